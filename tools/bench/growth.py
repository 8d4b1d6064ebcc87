"""How the time of a sweep grows: a power of the batch size, depth or number of pixels."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

__all__ = ["UNITS", "amount", "exponent", "groups", "is_linear"]

UNITS = {"batch": "image", "depth": "layer of a stage", "size": "pixel"}
MARGIN = 0.1  # an exponent of up to 1.1 is called linear: figures are noisy


def amount(row: dict[str, Any]) -> int:
    """How many units there are at a point of a sweep: images, layers, or pixels of an image."""
    at: int = row["at"]
    return at * at if row["sweep"] == "size" else at


def exponent(amounts: Sequence[float], times: Sequence[float]) -> float | None:
    """The p of time = constant * amount^p, by least squares in logarithms; None from one point."""
    if len(set(amounts)) < 2:
        return None
    x, y = [math.log(a) for a in amounts], [math.log(t) for t in times]
    return statistics.linear_regression(x, y).slope


def is_linear(power: float) -> bool:
    """True if the time grows at most in proportion; a fixed part makes it grow more slowly."""
    return power <= 1 + MARGIN


def groups(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows of sweeps by (workload, mode, sweep): for each engine its amounts and times."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (row for row in rows if "sweep" in row):
        engines = found.setdefault((row["workload"], row["mode"], row["sweep"]), {})
        for name, entry in row["engines"].items():
            if entry.get("ms"):
                amounts, times = engines.setdefault(name, ([], []))
                amounts.append(amount(row))
                times.append(statistics.median(entry["ms"]))
    return found
