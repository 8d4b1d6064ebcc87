"""Chains of a hundred small operators: they measure what an operator costs beside its arithmetic.

Written once against the names that the engines share (``ns.relu``, ``ns.tanh`` and arithmetic).
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["CHAINS", "FORWARD", "READS_B", "inputs", "run"]

CHAINS = ("add_mul", "forward", "no_grad", "scalar", "unary", "row", "64x64")
FORWARD = ("forward", "no_grad")  # the others go backward, too
READS_B = ("add_mul", "forward", "no_grad", "64x64")  # the others have one operand


def inputs(variant: str) -> list[np.ndarray]:
    """Two operands and the gradient of the result."""
    size = 64 if variant == "64x64" else 4
    rng = np.random.default_rng(0)
    operands = [rng.standard_normal((size, size)).astype(np.float32) * 0.5 for _ in range(2)]
    return [*operands, np.ones((size, size), np.float32)]


def run(ns: Any, variant: str, a: Any, b: Any, row: Any) -> Any:
    """100 operators, each on the result of the one before; ``row`` is a constant to broadcast."""
    z = a
    if variant == "scalar":
        for _ in range(50):
            z = z * 0.9 + 0.1
    elif variant == "unary":
        for _ in range(50):
            z = ns.relu(ns.tanh(z))
    elif variant == "row":
        for _ in range(50):
            z = z * row + row
    else:
        for _ in range(50):
            z = z * b + b
    return z
