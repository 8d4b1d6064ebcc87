"""How the figures of the benchmark are shown: a line for each as it is taken, then tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import growth
import targets

__all__ = ["LABELS", "broken", "quartiles", "show", "summary", "title"]

LABELS = {
    "ours": "ours",
    "ours_numpy": "NumPy only",
    "ours_channels_last": "ours c.last",
    "torch": "torch",
    "torch_channels_last": "torch c.last",
    "torch_compile": "torch.compile",
    "torch_compile_channels_last": "torch.compile c.last",
    "jax": "JAX",
    "tinygrad": "tinygrad",
    "autograd": "autograd",
}


def show(row: dict[str, Any]) -> None:
    """One measurement as it is finished."""
    print(f"{title(row):24s}" + "  ".join(_cell(row, name) for name in row["engines"]))
    for name, entry in row["engines"].items():
        if "error" in entry:
            print(f"    {LABELS[name]} skipped: {entry['error']} ({entry.get('where', '')})")
        elif entry.get("wrong"):
            print(f"    {LABELS[name]} gives other results: {entry['results']}; not timed")
    if row.get("unchecked"):
        print("    unchecked: no other engine gave results to compare with")
    for pair, ratios in row.get("ratios", {}).items():
        middle, low, high = quartiles(ratios)
        print(f"    {_pair(pair):34s} {middle:5.2f}  ({low:.2f} - {high:.2f})")


def summary(document: dict[str, Any]) -> None:
    """The tables in Markdown: medians, medians of the ratios round by round, and the targets."""
    machine, rows = document["machine"], document["rows"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {document['date']}, ", end="")
    print(f"commit {document['commit']}, {document['versions']}")
    if document["load"][0] > machine["cores"] / 2:
        print(f"NOTE: other work was running (load {document['load'][0]:.1f}); figures are noisy")
    for table in (_comparison(rows), _first(rows), _growth(rows)):
        lines = list(table)
        if lines:
            print()
            _print_table(lines)
    for reason in dict.fromkeys(_skipped(rows)):
        print(reason)


def broken(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What makes the benchmark fail: other results in any engine, and errors in ours."""
    found = []
    for row in rows:
        for name, entry in row["engines"].items():
            if entry.get("wrong"):
                found.append(f"{title(row)}: {LABELS[name]} gives other results")
            elif "error" in entry and name.startswith("ours"):
                found.append(f"{title(row)}: {LABELS[name]} fails: {entry['error']}")
    return list(dict.fromkeys(found))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def title(row: dict[str, Any]) -> str:
    """What was measured, at which point of a sweep, and whether the results had no others to be
    compared with."""
    point = f" {row['sweep']} {row['at']}" if "sweep" in row else ""
    unchecked = " (unchecked)" if row.get("unchecked") else ""
    return f"{row['workload']} {row['mode']}{point}{unchecked}"


def _comparison(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """What was timed, and peak memory: a column for each engine and each pair."""
    rows = [row for row in rows if row["mode"] != "first"]
    if not rows:
        return
    engines = [name for name in LABELS if any(name in row["engines"] for row in rows)]
    pairs = [f"ours/{n}" for n in engines if not n.startswith("ours")] + ["ours_numpy/torch"]
    pairs.append("ours_channels_last/torch_channels_last")
    pairs = [pair for pair in pairs if any(pair in row.get("ratios", {}) for row in rows)]
    aims = any(targets.limits(row) for row in rows)
    yield ["what", *(LABELS[name] for name in engines), *map(_pair, pairs)] + ["target"] * aims
    for row in rows:
        ratios = [row.get("ratios", {}).get(pair) for pair in pairs]
        cells = [f"{statistics.median(r):.2f}" if r else "-" for r in ratios]
        figures = [_figure(row, name) for name in engines]
        yield [title(row), *figures, *cells] + [targets.verdict(row)] * aims


def _first(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """The first training step, with an empty cache and with a warm one."""
    rows = [row for row in rows if row["mode"] == "first"]
    if not rows:
        return
    head = ["first training step", "engine", "empty cache", "warm cache", "kernels", "import"]
    yield [*head, "start to end, empty", "start to end, warm", "target"]
    for row in rows:
        what = row["workload"] + (" (unchecked)" if row.get("unchecked") else "")
        for name, entry in row["engines"].items():
            if "warm" not in entry:
                continue
            cold, warm = entry["cold"], entry["warm"]
            steps = [f"{state['first_s']:.2f} s" for state in (cold, warm)]
            kernels = "-" if cold["kernels"] is None else str(cold["kernels"])
            whole = [f"{state['start_s']:.2f} s" for state in (cold, warm)]
            target = targets.verdict(row) if name == "ours" else "-"
            loading = f"{warm['import_s']:.2f} s"
            yield [what, LABELS[name], *steps, kernels, loading, *whole, target]


def _growth(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """Time per unit along each sweep, and the exponent of its growth."""
    found = growth.groups(rows)
    if not found:
        return
    yield ["sweep", "engine", "per", "time per unit, from small to large", "exponent", "linear"]
    for (workload, mode, sweep), engines in found.items():
        for name, (amounts, times) in engines.items():
            power = growth.exponent(amounts, times)
            each = " ".join(_per_unit(t / a) for a, t in zip(amounts, times, strict=True))
            grows = "-" if power is None else f"{power:.2f}"
            linear = "-" if power is None else ("✓" if growth.is_linear(power) else "✗")
            unit = growth.UNITS[sweep]
            yield [f"{workload} {mode} {sweep}", LABELS[name], unit, each, grows, linear]


def _per_unit(ms: float) -> str:
    for unit, scale in (("ms", 1.0), ("us", 1e3)):
        if ms * scale >= 0.1:
            return f"{ms * scale:.3g} {unit}"
    return f"{ms * 1e6:.3g} ns"


def _skipped(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        for name, entry in row["engines"].items():
            if "error" in entry:
                yield f"skipped: {title(row)}, {LABELS[name]}: {entry['error']}"


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    head, *body = lines
    for line in (head, ["---"] * len(head), *body):
        print("| " + " | ".join(line) + " |")


def _pair(pair: str) -> str:
    ours, peer = pair.split("/")
    return f"{LABELS[ours]}/{LABELS[peer]}"


def _cell(row: dict[str, Any], name: str) -> str:
    entry = row["engines"][name]
    if "mb" in entry:
        return f"{LABELS[name]} {entry['mb']:.0f} MB"
    if "warm" in entry:
        cold, warm = entry["cold"]["first_s"], entry["warm"]["first_s"]
        return f"{LABELS[name]} {cold:.2f} s, again {warm:.2f} s"
    if "ms" not in entry:
        return f"{LABELS[name]} -"
    scale, unit = (10.0, "us/op") if row["workload"] == "small_ops" else (1.0, "ms")
    middle, low, high = (value * scale for value in quartiles(entry["ms"]))
    busy = statistics.median(entry["cpu_ms"]) * scale
    return f"{LABELS[name]} {middle:.2f} {unit} ({low:.2f} - {high:.2f}; processors {busy:.2f})"


def _figure(row: dict[str, Any], name: str) -> str:
    entry = row["engines"].get(name, {})
    if entry.get("wrong"):
        return "wrong"
    if "mb" in entry:
        return f"{entry['mb']:.0f} MB"
    if "ms" not in entry:
        return "skipped" if "error" in entry else "-"
    middle = statistics.median(entry["ms"])
    # A chain has 100 operators: ms per chain * 1000 / 100 = microseconds per operator.
    return f"{middle * 10:.2f} µs" if row["workload"] == "small_ops" else f"{middle:.2f} ms"
