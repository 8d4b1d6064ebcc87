"""The measurements: results compared first, then the engines take turns. Each gives a row.

A row is what the JSON file holds: ``workload``, ``mode``, of a sweep ``sweep`` and ``at``, and by
name of the engines what they answered: ``results``; ``ms`` and ``cpu_ms`` with a figure for each of
the ``rounds`` that were no errors; ``mb``; ``cold`` and ``warm``; or ``error``, and ``wrong`` if
the results differ. ``ratios`` holds for every pair of engines the ratios round by round. A row is
``unchecked`` if no engine but ours gave results.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from process import Process

__all__ = ["agree", "by_round", "first_steps", "memory", "opened", "operator", "workload"]

Row = dict[str, Any]
TOLERANCE = {"small_ops": 1e-4, "operator": 2e-4}  # networks, in float32: 2e-3
# Each step of a deep network enlarges what rounding has changed: with 24 convolutions PyTorch and
# plain sums of NumPy are 0.2 % apart after one step, and 2.4 % after two.
DEEP_GROWTH = 5.0


@contextmanager
def opened(engines: Sequence[str], device: str = "cpu") -> Iterator[list[Process]]:
    """A process for each engine."""
    processes = [Process(engine, device) for engine in engines]
    try:
        yield processes
    finally:
        for process in processes:
            process.close()


def workload(
    processes: Sequence[Process], name: str, mode: str, rounds: int, run_s: float, **point: int
) -> Row:
    """A network, or a chain of small operators, in every engine; ``point`` is a batch size, a depth
    or an image size other than the usual one."""
    row: Row = {"workload": name, "mode": mode, "engines": {}}
    for sweep, at in point.items():
        row |= {"sweep": sweep, "at": at}
    for process in processes:
        answer = process.ask("setup", workload=name, mode=mode, **point)
        row["engines"][process.engine] = answer
    growth = DEEP_GROWTH if "depth" in point else 1.0
    ready = compare(row, processes, TOLERANCE.get(name, 2e-3), growth)
    take_turns(row, ready, rounds, run_s)
    return row


def operator(processes: Sequence[Process], name: str, rounds: int, run_s: float) -> list[Row]:
    """An operator forward and backward, in processes that go on living."""
    first: Row = {"workload": name, "mode": "forward", "engines": {}}
    for process in processes:
        first["engines"][process.engine] = process.ask("operator", name=name)
    ready = compare(first, processes, TOLERANCE["operator"])
    entries = {name: dict(entry) for name, entry in first["engines"].items()}
    second: Row = {"workload": name, "mode": "backward", "engines": entries}
    for row in (first, second):
        take_turns(row, ready, rounds, run_s)
    return [first, second]


def memory(name: str, engines: Sequence[str]) -> Row:
    """Peak resident memory of a training step, one process per engine."""
    row: Row = {"workload": name, "mode": "memory", "engines": {}}
    for engine in engines:
        with opened([engine]) as (process,):
            row["engines"][engine] = process.ask("memory", workload=name)
            _add_versions(row, process)
    add_ratios(row, "mb")
    return row


def first_steps(name: str, engines: Sequence[str]) -> Row:
    """The first training step of a process whose cache of compiled code is empty (``cold``), and of
    a second process that finds what the first has left there (``warm``)."""
    row: Row = {"workload": name, "mode": "first", "engines": {}}
    for engine in engines:
        entry: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                started = time.perf_counter()
                process = Process(engine, cache=Path(cache))
                answer = process.ask("setup", workload=name, mode="train")
                answer["start_s"] = time.perf_counter() - started
                row["engines"][engine] = entry
                if "error" in answer:
                    entry |= {key: answer[key] for key in ("error", "where") if key in answer}
                else:
                    entry["results"] = answer.pop("results")
                    entry[state] = answer | process.ask("kernels")
                    _add_versions(row, process)
                process.close()
                if "error" in entry:
                    break
    compare(row, (), TOLERANCE.get(name, 2e-3))
    return row


def compare(
    row: Row, processes: Sequence[Process], tolerance: float, growth: float = 1.0
) -> list[Process]:
    """Marks the engines whose results are wrong; returns the processes that may be timed."""
    engines = row["engines"]
    expected = next(
        (engines[n]["results"] for n in ("torch", *engines) if "results" in engines.get(n, {})), []
    )
    for entry in engines.values():
        if "results" in entry:
            entry["wrong"] = not agree(entry["results"], expected, tolerance, growth)
    row["unchecked"] = not any("results" in e for n, e in engines.items() if not is_ours(n))
    return [p for p in processes if engines[p.engine].get("wrong") is False]


def is_ours(engine: str) -> bool:
    """True if the engine is this package, with kernels or without."""
    return engine.startswith("ours")


def agree(
    actual: Sequence[float], expected: Sequence[float], tolerance: float, growth: float = 1.0
) -> bool:
    """True if there are as many results, and each is near the expected one: the first within
    ``tolerance``, each later one within ``growth`` times more."""
    near = [
        abs(a - e) <= tolerance * growth**step * abs(e)
        for step, (a, e) in enumerate(zip(actual, expected, strict=False))
    ]
    return len(actual) == len(expected) and all(near)


def take_turns(row: Row, processes: Sequence[Process], rounds: int, run_s: float) -> None:
    """Times the engines one after the other (A B C C B A ...), and adds the ratios to the row."""
    engines, mode = row["engines"], row["mode"]
    for process in processes:
        process.ask("run", mode=mode, at_least_s=run_s)  # caches, pools of blocks and threads fill
    for turn in range(rounds):
        for process in processes[:: 1 if turn % 2 == 0 else -1]:
            answer = process.ask("run", mode=mode, at_least_s=run_s)
            entry = engines[process.engine]
            if "error" in answer:
                entry |= answer
            else:
                for figure, value in ("rounds", turn), *((k, answer[k]) for k in ("ms", "cpu_ms")):
                    entry.setdefault(figure, []).append(value)
    for process in processes:
        _add_versions(row, process)
    add_ratios(row, "ms")


def add_ratios(row: Row, figure: str) -> None:
    """Ours to each of the others, in the rounds that both have."""
    found = {name: by_round(entry, figure) for name, entry in row["engines"].items()}
    for ours in ("ours", "ours_numpy", "ours_channels_last"):
        for peer, theirs in found.items():
            mine = found.get(ours, {})
            pairs = [(mine[turn], theirs[turn]) for turn in mine if turn in theirs]
            if not is_ours(peer) and pairs and all(b > 0 for _, b in pairs):
                row.setdefault("ratios", {})[f"{ours}/{peer}"] = [a / b for a, b in pairs]


def by_round(entry: dict[str, Any], figure: str) -> dict[int, float]:
    """The figures of an engine by the number of the round; an error leaves a gap."""
    values = entry.get(figure, [])
    values = values if isinstance(values, list) else [values]
    return dict(zip(entry.get("rounds", range(len(values))), values, strict=True))


def _add_versions(row: Row, process: Process) -> None:
    row["engines"][process.engine] |= process.ask("versions")
