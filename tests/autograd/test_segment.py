"""What a checkpoint remembers of its first run: the memory that it read, and its inputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.autograd import checkpoint
from tinygrad_cv.core.op import Op, unregister


@pytest.mark.parametrize("early_stop", [True, False])
def test_memory_that_stands_where_other_memory_was_is_watched_too(early_stop: bool) -> None:
    """An id is used again when its array has died: what was made inside and is gone must not hide
    what comes from outside."""
    x = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    outside: list[Any] = []

    def function(x: Any) -> Any:
        if not outside:
            inside = x * 2.0
            place = id(inside.array)
            del inside
            unused = []
            while True:  # until an array stands at the same place
                array = np.array([3.0, 4.0])
                if id(array) == place:
                    break
                unused.append(array)
                assert len(unused) < 1000
            outside.append(tg.Tensor(array))
        else:
            x * 2.0
        return x * outside[0]

    loss = checkpoint(function, x, early_stop=early_stop).sum()
    outside[0][0], line = 100.0, sys._getframe().f_lineno
    with pytest.raises(tg.GraphError, match="an input of the checkpoint was overwritten") as caught:
        loss.backward()
    assert f"it was overwritten at {__file__}:{line} in" in str(caught.value)


class TwoOutputs(Op, abstract=True):
    """``(2 x, 3 x)``."""

    inputs, outputs, shaped = ("input",), ("first", "second"), False

    @staticmethod
    def forward(xp: Any, input: Any) -> Any:
        return input * 2, input * 3

    @staticmethod
    def vjp_input(g: Any) -> Any:
        return g[0] * 2 + g[1] * 3


@pytest.fixture
def pair() -> Iterator[Any]:
    class Scratch(TwoOutputs):
        name = "scratch_pair"

    yield Scratch.call
    unregister("scratch_pair")


@pytest.mark.parametrize("order", [1, 2])
def test_inputs_are_held_with_their_output_index(pair: Any, order: int) -> None:
    """The function differentiates with respect to one of two outputs of the same node."""

    def gradients(run: Any) -> list[Any]:
        x = tg.tensor([0.5, -1.5], dtype="float64", requires_grad=True)

        def function(a: Any, b: Any) -> Any:
            (slope,) = tg.autograd.grad((a * b**3).sum(), b, create_graph=True)
            return slope * slope * a

        found = tg.autograd.grad(run(function, *pair(x)).sum(), x, create_graph=order == 2)
        if order == 2:
            found = tg.autograd.grad(found[0].square().sum(), x)
        return [g.numpy() for g in found]

    (plain,) = gradients(lambda function, *args: function(*args))
    x = np.array([0.5, -1.5])
    # With a = 2x and b = 3x: slope = 3 a b^2 = 54 x^3, so the result is 2x (54 x^3)^2.
    expected = 7 * 2 * 54**2 * x**6
    if order == 2:
        expected = 2 * expected * 42 * 2 * 54**2 * x**5
    np.testing.assert_allclose(plain, expected, rtol=1e-12)
    np.testing.assert_array_equal(gradients(checkpoint)[0], plain)
