"""How the figures of the benchmark are shown, and the circumstances they were taken under."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["circumstances", "show", "summary"]

SHORT = {"ours": "ours", "ours_numpy": "NumPy only", "torch": "torch"}
SHORT["torch_channels_last"] = "torch c.last"


def show(row: dict[str, Any]) -> None:
    """One measurement as it is finished."""
    print(f"{_title(row):24s}" + "  ".join(_cell(row, name) for name in row["engines"]))
    for name, entry in row["engines"].items():
        if "error" in entry:
            print(f"    {SHORT[name]} skipped: {entry['error']} ({entry.get('where', '')})")
        elif entry.get("wrong"):
            print(f"    {SHORT[name]} gives other results: {entry['results']}; not timed")
    for pair, ratios in row.get("ratios", {}).items():
        middle, low, high = quartiles(ratios)
        print(f"    {pair:30s} {middle:5.2f}  ({low:.2f} - {high:.2f})")


def summary(document: dict[str, Any]) -> None:
    """The table in Markdown: medians, and medians of the ratios pair by pair."""
    machine = document["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores, {document['date']}, ", end="")
    print(f"commit {document['commit']}, {document['versions']}")
    if document["load"][0] > machine["cores"] / 2:
        print(f"NOTE: other work was running (load {document['load'][0]:.1f}); figures are noisy")
    print("\n| what | ours | NumPy only | torch | torch c.last | ours/torch | ours/c.last |")
    print("|---|---|---|---|---|---|---|")
    for row in document["rows"]:
        cells = [_figure(row, name) for name in SHORT]
        if row["mode"] == "memory":
            pairs = [_memory_ratio(row, peer) for peer in ("torch", "torch_channels_last")]
        else:
            ratios = row.get("ratios", {})
            found = [ratios.get(f"ours/{p}") for p in ("torch", "torch_channels_last")]
            pairs = [f"{statistics.median(r):.2f}" if r else "-" for r in found]
        print("| " + " | ".join([_title(row), *cells, *pairs]) + " |")


def circumstances(rows: Sequence[dict[str, Any]], command: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, date, commit and command."""
    versions: dict[str, str] = {"python": platform.python_version()}
    for row in rows:
        for entry in row["engines"].values():
            versions |= entry.get("versions", {})
    return {
        "machine": {
            "platform": platform.platform(),
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "memory_gb": _memory_gb(),
        },
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": ["python", *command],
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [0.0],
        "removed_variables": sorted(k for k in os.environ if k.startswith("OPENBLAS_")),
    }


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def _title(row: dict[str, Any]) -> str:
    size = f" b{row['size']}" if row.get("size") else ""
    return f"{row['workload']} {row['mode']}{size}"


def _cell(row: dict[str, Any], name: str) -> str:
    entry = row["engines"][name]
    if "mb" in entry:
        return f"{SHORT[name]} {entry['mb']:.0f} MB"
    if "ms" not in entry:
        return f"{SHORT[name]} -"
    scale, unit = (10.0, "us/op") if row["workload"] == "small_ops" else (1.0, "ms")
    middle, low, high = (value * scale for value in quartiles(entry["ms"]))
    busy = statistics.median(entry["cpu_ms"]) * scale
    return f"{SHORT[name]} {middle:.2f} {unit} ({low:.2f} - {high:.2f}; processors {busy:.2f})"


def _figure(row: dict[str, Any], name: str) -> str:
    entry = row["engines"].get(name, {})
    if "mb" in entry:
        return f"{entry['mb']:.0f} MB"
    if "ms" not in entry:
        return "skipped" if "error" in entry else "-"
    middle = statistics.median(entry["ms"])
    # A chain has 100 operators: ms per chain * 1000 / 100 = microseconds per operator.
    return f"{middle * 10:.2f} us" if row["workload"] == "small_ops" else f"{middle:.2f} ms"


def _memory_ratio(row: dict[str, Any], peer: str) -> str:
    ours, theirs = (row["engines"].get(n, {}).get("mb") for n in ("ours", peer))
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "-"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return 0.0


def _commit() -> str:
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + ("+changes" if git("status", "--porcelain") else "")
