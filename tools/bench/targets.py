"""What is aimed at: the highest ratio of ours to PyTorch, and whether a row keeps to it."""

from __future__ import annotations

import statistics
from typing import Any

__all__ = ["limits", "verdict"]

FAST = {"ours/torch": 0.45, "ours/torch_channels_last": 0.5}
OTHER = {"ours/torch": 0.6, "ours/torch_channels_last": 0.8}
NETWORKS = {
    "vgg8": FAST | {"ours_numpy/torch": 2.0},
    "resnet18": FAST | {"ours_numpy/torch": 2.0},
    "depthwise": FAST | {"ours_numpy/torch": 4.0},
    "lenet": OTHER | {"ours_numpy/torch": 2.0},
    "unet": OTHER | {"ours_numpy/torch": 2.0},
    "c3d": OTHER | {"ours_numpy/torch": 2.0},
}
CHAINS = {"add_mul": {"ours/torch": 0.6}}
MEMORY = {"ours/torch": 0.8, "ours/torch_channels_last": 0.8}
LARGE_MB = 100  # below it there is no target for memory
FIRST_STEP_S = 20  # at most, the kernels of a network compiled
NAMES = {
    "ours/torch": "torch",
    "ours/torch_channels_last": "torch c.last",
    "ours_numpy/torch": "NumPy only",
}


def limits(row: dict[str, Any]) -> dict[str, float]:
    """The highest ratio that is aimed at, by pair of engines; points of a sweep have none."""
    workload, mode = row["workload"], row["mode"]
    if "sweep" in row:
        return {}
    if workload == "small_ops":
        return CHAINS.get(mode, {})
    if mode == "memory":
        sizes = [entry["mb"] for entry in row["engines"].values() if "mb" in entry]
        return MEMORY if sizes and max(sizes) > LARGE_MB else {}
    return NETWORKS.get(workload, {}) if mode in ("train", "infer") else {}


def verdict(row: dict[str, Any]) -> str:
    """A tick, or each target that is missed and by what; "-" where nothing is aimed at."""
    if row["mode"] == "first":
        cold = row["engines"].get("ours", {}).get("cold")
        if cold is None:
            return "-"
        slow = cold["first_s"] > FIRST_STEP_S
        return f"✗ {cold['first_s']:.1f} s > {FIRST_STEP_S} s" if slow else "✓"
    measured = row.get("ratios", {})
    judged = {pair: limit for pair, limit in limits(row).items() if measured.get(pair)}
    missed = [
        f"{NAMES[pair]} {statistics.median(measured[pair]):.2f} > {limit}"
        for pair, limit in judged.items()
        if statistics.median(measured[pair]) > limit
    ]
    if not judged:
        return "-"
    return "✗ " + ", ".join(missed) if missed else "✓"
