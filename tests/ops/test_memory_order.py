"""The memory order that ``infer`` promises is the one that comes out, whatever order the inputs are
in: views with gaps, mirrored and permuted ones, and small operands that are broadcast.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_cv as tg
from tinygrad_cv.backend.elementwise import SMALL
from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of, spec_of
from tinygrad_cv.cli.operators import operators
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.testing import Case, recorded_calls
from tinygrad_cv.testing.runs import as_tuple, forward, map_arrays
from tools.gpu_check import collect

ELEMENTWISE = [op for op in operators() if op.elementwise]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def calls() -> dict[str, list[tuple[Any, Any]]]:
    """For each elementwise operator inputs and attributes of its cases, one per set of dtypes."""
    found: dict[str, dict[Any, tuple[Any, Any]]] = {}
    for case in collect("CASES"):
        for op, inputs, attrs in recorded_calls(case) if isinstance(case, Case) else ():
            if op.elementwise:
                kinds = tuple(getattr(x, "dtype", type(x)) for x in inputs)
                found.setdefault(op.name, {})[kinds] = (inputs, attrs)
    return {name: list(by_kind.values()) for name, by_kind in found.items()}


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def half(array: np.ndarray, axis: int) -> np.ndarray:
    """A view of every second element of memory that is twice as large in channels-last order."""
    wide = channels_last(np.repeat(array, 2, axis))
    return wide[(slice(None),) * axis + (slice(None, None, 2),)]


ORDERS = {
    "row-major": np.ascontiguousarray,
    "channels-last": channels_last,
    "half the channels": lambda x: half(x, 1),
    "half the rows": lambda x: half(x, 2),
    "mirrored": lambda x: channels_last(x[:, ::-1])[:, ::-1],
    "column-major": np.asfortranarray,
    "one value": lambda x: np.broadcast_to(x[(0,) * x.ndim], x.shape),
    "one per channel": lambda x: np.broadcast_to(x[:1, :, :1], x.shape),
}


@st.composite
def laid(draw: st.DrawFn, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arrays of the dtypes of ``inputs`` that broadcast, each in some order of memory."""
    count = len(inputs)
    shapes = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=count, min_dims=1, max_dims=5, max_side=3)
    )
    arrays = []
    for like, shape in zip(inputs, shapes.input_shapes, strict=True):
        if isinstance(like, np.ndarray):
            orders = list(ORDERS) if len(shape) > 2 else ["row-major", "column-major"]
            like = ORDERS[draw(st.sampled_from(orders))](np.ones(shape, like.dtype))
        arrays.append(like)
    return tuple(arrays)


def expect_promised(op: type[Op], inputs: Any, attrs: Any) -> None:
    promised = as_tuple(op.infer(*map_arrays(spec_of, inputs), *attrs))
    ran = op.call(*(Tensor(x) if isinstance(x, np.ndarray) else x for x in inputs), *attrs)
    outputs = [y.array for y in (ran if isinstance(ran, tuple) else (ran,))]
    for found in (as_tuple(forward(op, inputs, attrs)), outputs):
        for spec, array in zip(promised, found, strict=False):
            assert (spec.shape, spec.dtype, spec.layout) == (
                array.shape,
                array.dtype,
                layout_of(array),
            ), [(x.shape, x.strides) for x in inputs if isinstance(x, np.ndarray)]


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
@settings(max_examples=25)
@given(data=st.data())
def test_elementwise_results_lie_as_promised(op: type[Op], calls: Any, data: Any) -> None:
    inputs, attrs = data.draw(st.sampled_from(calls[op.name]))
    expect_promised(op, data.draw(laid(inputs)), attrs)


LARGE = (2, 8, 31, 37)  # no longer on the short way


@pytest.mark.parametrize("name", ["add", "mul", "ne", "where", "relu", "gelu", "masked", "cast"])
@pytest.mark.parametrize("order", [name for name in ORDERS if name != "one per channel"])
@pytest.mark.parametrize("other", [LARGE, (8, 1, 1), (1, 8, 31, 37)])
def test_large_results_lie_as_promised(name: str, order: str, other: Any, calls: Any) -> None:
    assert math.prod(LARGE) > SMALL
    op = next(op for op in ELEMENTWISE if op.name == name)
    inputs, attrs = next(c for c in calls[name] if all(isinstance(x, np.ndarray) for x in c[0]))
    first, *rest = (x.dtype for x in inputs)
    arrays = [ORDERS[order](np.ones(LARGE, first)), *(np.ones(other, dtype) for dtype in rest)]
    expect_promised(op, tuple(arrays), attrs)


@pytest.mark.parametrize("order", ["half the channels", "mirrored", "one value", "column-major"])
@pytest.mark.parametrize("function", ["clone", "softmax", "log_softmax", "setitem"])
def test_copies_of_views_lie_as_promised(function: str, order: str) -> None:
    array = ORDERS[order](RNG.standard_normal((2, 4, 3, 5)))
    uses = {
        "clone": lambda x: x.clone(),
        "softmax": lambda x: x.softmax(1),
        "log_softmax": lambda x: x.log_softmax(-1),
        "setitem": lambda x: x.index_put((tg.tensor([0]),), tg.tensor(1.0, dtype="float64")),
    }
    y = uses[function](Tensor(array))
    assert layout_of(y.array) == uses[function](Tensor(spec_of(array))).array.layout


def test_an_operand_that_lies_channels_last_decides() -> None:
    """The one of the full shape, against a smaller one that lies row by row."""
    x = tg.ones(2, 3, 4, 5).contiguous("channels_last")
    for other in (tg.ones(3, 1, 1), tg.ones(1, 3, 4, 5), tg.ones(4, 5), 2.0):
        for y in (x * other, x > other, tg.where(x > 0, x, other)):
            assert layout_of(y.array) == CHANNELS_LAST
