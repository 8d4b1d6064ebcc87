"""The benchmark: ours and PyTorch side by side, each engine in a process of its own.

    python tools/bench [--quick] [--only small_ops,lenet] [--json FILE] [--sweep] [--device cuda]

For every workload each engine is started afresh, without any OPENBLAS_* variable, builds the same
network with the same weights, and must give the same first losses. Then the engines take turns
(A B C A B C ...) and the table shows medians, their spread (quartiles) and the median of the
ratios pair by pair. Peak memory is taken in further processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).resolve().parent
NETWORKS = ("lenet", "vgg8", "resnet18", "depthwise", "unet", "c3d")
CHAINS = ("add_mul", "forward", "no_grad", "scalar", "unary", "row", "64x64")
ENGINES = ("ours", "ours_numpy", "torch", "torch_channels_last")
TOLERANCE = {"small_ops": 1e-4}  # of the first three results; networks: 2e-3 in float32


class Process:
    """An engine in a process of its own."""

    def __init__(self, engine: str, device: str = "cpu") -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        paths = [str(HERE.parent.parent), clean.get("PYTHONPATH", "")]
        clean["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), engine, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request and its answer; a dead process answers with an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"the process ended with status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process and waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(
    workload: str,
    mode: str,
    engines: Sequence[str],
    rounds: int,
    run_s: float,
    size: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """One workload on all engines: correctness first, then interleaved timing."""
    row: dict[str, Any] = {"workload": workload, "mode": mode, "size": size, "engines": {}}
    processes = [Process(engine, device) for engine in engines]
    try:
        ready = []
        for process in processes:
            answer = process.ask("setup", workload=workload, mode=mode, size=size)
            row["engines"][process.engine] = answer
            if "error" not in answer:
                ready.append(process)
        expected = _expected(row["engines"])
        for process in list(ready):
            entry = row["engines"][process.engine]
            entry["wrong"] = not _agree(entry["results"], expected, TOLERANCE.get(workload, 2e-3))
            if entry["wrong"]:
                ready.remove(process)
        for process in ready:
            process.ask("run", at_least_s=run_s)  # caches, block pools and thread pools fill
        for turn in range(rounds):
            for process in ready[:: 1 if turn % 2 == 0 else -1]:
                answer = process.ask("run", at_least_s=run_s)
                entry = row["engines"][process.engine]
                if "error" in answer:
                    entry["error"] = answer["error"]
                else:
                    for figure in ("ms", "cpu_ms"):
                        entry.setdefault(figure, []).append(answer[figure])
        for process in ready:
            row["engines"][process.engine]["versions"] = process.ask("versions")
    finally:
        for process in processes:
            process.close()
    for peer in ("torch", "torch_channels_last"):
        for ours in ("ours", "ours_numpy"):
            ratios = _ratios(row["engines"].get(ours, {}), row["engines"].get(peer, {}))
            if ratios:
                row.setdefault("ratios", {})[f"{ours}/{peer}"] = ratios
    return row


def measure_memory(workload: str, engines: Sequence[str]) -> dict[str, Any]:
    """Peak resident memory of a training step, one process per engine."""
    row: dict[str, Any] = {"workload": workload, "mode": "memory", "engines": {}}
    for engine in engines:
        process = Process(engine)
        row["engines"][engine] = process.ask("memory", workload=workload)
        process.close()
    return row


def _expected(engines: dict[str, Any]) -> list[float] | None:
    """The results every engine must reproduce: PyTorch's, or else those of the first engine."""
    good = [name for name in ("torch", *engines) if "results" in engines.get(name, {})]
    return engines[good[0]]["results"] if good else None


def _agree(actual: list[float], expected: list[float] | None, tolerance: float) -> bool:
    if expected is None:
        return False
    return all(abs(a - e) <= tolerance * abs(e) for a, e in zip(actual, expected, strict=True))


def _ratios(ours: dict[str, Any], peer: dict[str, Any]) -> list[float]:
    return [a / b for a, b in zip(ours.get("ms", []), peer.get("ms", []), strict=False)]


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, int | None]]:
    """(workload, mode, batch size) of every measurement asked for."""
    wanted = options.only.split(",") if options.only else ["small_ops", *NETWORKS]
    unknown = set(wanted) - {"small_ops", *NETWORKS}
    if unknown:
        known = ", ".join(("small_ops", *NETWORKS))
        raise SystemExit(f"unknown workload {', '.join(sorted(unknown))}; known are {known}")
    for workload in wanted:
        if options.sweep:
            if workload != "small_ops":
                yield from ((workload, "train", size) for size in (4, 8, 16, 32, 64))
        elif workload == "small_ops":
            yield from ((workload, chain, None) for chain in CHAINS[: 1 if options.quick else None])
        else:
            yield from ((workload, mode, None) for mode in options.modes.split(","))


def progress(items: list[Any]) -> Any:
    """The items behind a progress bar, if tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, unit="workload", disable=not sys.stderr.isatty())


def main() -> None:
    """Runs what the command line asks for, prints the table and writes the JSON file."""
    parser = argparse.ArgumentParser(prog="python tools/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", help="comma-separated: small_ops," + ",".join(NETWORKS))
    parser.add_argument("--modes", default="train,infer", help="train,infer (default both)")
    parser.add_argument(
        "--engines", default=",".join(ENGINES), help="default: " + ",".join(ENGINES)
    )
    parser.add_argument("--rounds", type=int, help="rounds per workload (default 11, quick 5)")
    parser.add_argument("--sweep", action="store_true", help="batch sizes 4 to 64 of each network")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--device", default="cpu", help='"cpu" (default) or "cuda"')
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    engines = options.engines.split(",")
    unknown = set(engines) - set(ENGINES)
    if unknown:
        raise SystemExit(f"unknown engine {', '.join(sorted(unknown))}; known are {ENGINES}")
    rounds = options.rounds or (5 if options.quick else 11)
    run_s = 0.1 if options.quick else 0.3
    work = list(plan(options))
    networks = list(dict.fromkeys(w for w, _, _ in work if w != "small_ops"))
    if options.no_memory or options.quick or options.sweep or "train" not in options.modes:
        networks = []
    if options.device != "cpu":  # there is one provider, and memory is the device's own
        networks, engines = [], [e for e in engines if e != "ours_numpy"]
    rows = []
    for item in progress([*work, *networks]):
        if isinstance(item, str):
            row = measure_memory(item, [e for e in engines if e != "ours_numpy"])
        else:
            # Small operators have one reference kernel and no layout.
            few = [e for e in engines if item[0] != "small_ops" or e in ("ours", "torch")]
            row = measure(item[0], item[1], few, rounds, run_s, item[2], options.device)
        rows.append(row)
        report.show(row)
    document = {"rows": rows, **report.circumstances(rows, sys.argv)}
    report.summary(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
