"""A scratch operator into which faults are planted, for tests of the generic checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.testing import Case, CheckFailure, check_case

__all__ = ["W", "X", "assert_caught", "case", "scratch"]

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((2, 3, 4)), RNG.standard_normal((2, 3, 4))


def scratch(residuals: tuple[str, ...] = (), **members: Any) -> type[Op]:
    """An operator y = w*x**2 + x that is right but for the ``members`` given."""

    def infer(input: Spec, weight: Spec) -> Any:
        if input.shape != weight.shape:
            values = [("input", input.shape), ("weight", weight.shape)]
            raise ShapeError("scratch", "the shapes differ", values=values)
        spec = Spec(input.shape, input.dtype, input.layout)
        return (spec, *(spec for _ in residuals)) if residuals else spec

    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return weight * input * input + input

    def vjp_input(g: Any, input: Any, weight: Any) -> Any:
        return g * (2 * weight * input + 1)

    def vjp_weight(g: Any, input: Any) -> Any:
        return g * input * input

    functions = {"infer": infer, "forward": forward, "vjp_input": vjp_input}
    functions |= {"vjp_weight": vjp_weight, **members}
    body: dict[str, Any] = {
        "name": "scratch",
        "inputs": ("input", "weight"),
        "residuals": residuals,
        "__module__": __name__,
        "__qualname__": "Scratch",
    }
    body |= {k: staticmethod(f) if callable(f) else f for k, f in functions.items()}
    return type("Scratch", (Op,), body)


def case(op: Any, **changes: Any) -> Case:
    given: dict[str, Any] = {"inputs": (X, W), "reference": lambda x, w: w * x**2 + x, **changes}
    return Case(op, **given)


def assert_caught(case: Case, *checks: str, device: str = "cpu") -> str:
    """Each of the checks, alone, fails on the case; the last message is given back."""
    message = ""
    for check in checks:
        with pytest.raises(CheckFailure) as caught:
            check_case(case, device, only=[check])
        message = str(caught.value)
        assert f"check '{check}'" in message
    return message
