"""What the comparison says when it fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.scratch import scratch
from tinygrad_cv.autograd import GradcheckError, gradcheck, verify
from tinygrad_cv.core.op import unregister
from tinygrad_cv.testing import CheckFailure, assert_close
from tinygrad_cv.testing.compare import check_derivatives


@pytest.mark.parametrize(
    ("actual", "expected", "text"),
    [
        ([1.0, 2.0], [1.0, 3.0], r"worst at \[1\]: 2\.0, expected 3\.0 \(rtol"),
        (1.0, 2.0, r"worst at \[\]: 1\.0, expected 2\.0 \(rtol"),
        ([[True]], [[False]], r"worst at \[0, 0\]: True, expected False \(rtol"),
    ],
)
def test_a_failure_shows_plain_numbers(actual: Any, expected: Any, text: str) -> None:
    with pytest.raises(CheckFailure, match=text):
        assert_close(actual, expected)


KINKS = {
    "relu at 0": (lambda x: x.relu(), [0.0, 1.0]),
    "max at a tie": (lambda x: x.max(dim=0)[0], [2.0, 2.0]),
    "relu6 at 6": (lambda x: tg.nn.functional.relu6(x), [6.0, 1.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_none_for_all_who_ask(name: str) -> None:
    """The checks of cases, gradcheck and verify agree on what is a kink and what a fault."""
    function, values = KINKS[name]
    x = tg.tensor(values, dtype="float64", requires_grad=True)
    rng = np.random.default_rng(0)
    with pytest.raises(CheckFailure, match=r"order 1, along input 0: the inputs are at a kink"):
        check_derivatives(lambda xs: [function(xs[0])], [x], 1, rng)
    with pytest.raises(GradcheckError, match="the function has a kink at this input"):
        gradcheck(function, x)
    report = verify(function, x)
    assert (len(report.faults), len(report.kinks)) == (0, 1)


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.5, 1.0]])
def test_a_fault_is_one_for_all_who_ask(values: list[float]) -> None:
    """w x^3 + x, where nothing bends."""
    wrong = scratch(
        forward=lambda xp, input, weight: weight * input * input * input + input,
        vjp_input=lambda g, input, weight: g * (3 * weight * input * input + 1.5),
        vjp_weight=lambda g, input: g * input * input * input,
    )
    x, w = (tg.tensor(v, dtype="float64", requires_grad=True) for v in (values, [1.0, 2.0]))
    try:
        with pytest.raises(CheckFailure, match=r"order 1, along input 0: the rule gives"):
            check_derivatives(lambda xs: [wrong.call(*xs)], [x, w], 1, np.random.default_rng(0))
        with pytest.raises(GradcheckError, match="the gradient is wrong"):
            gradcheck(wrong.call, (x, w))
        assert [f.part for f in verify(wrong.call, x, w).faults] == ["vjp_input"]
    finally:
        unregister("scratch")
