"""Common shapes, and other names that code written for PyTorch expects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.testing import Bad, check_bad, parametrize_cases

BAD = [
    Bad(tg.broadcast_shapes, ((2,), (3,)), error=ShapeError, match="do not broadcast"),
    Bad(tg.broadcast_shapes, ((2, 0), (2, 2)), error=ShapeError, match="do not broadcast"),
    Bad(tg.broadcast_shapes, ((-1,), 2), error=ShapeError, match="negative"),
    Bad(tg.broadcast_shapes, (2, (2.0,)), error=DTypeError, match=r"shapes\[1\]"),
    Bad(tg.broadcast_shapes, ("ab",), error=DTypeError, match=r"shapes\[0\]"),
    Bad(tg.broadcast_shapes, (None,), error=DTypeError, match=r"shapes\[0\]"),
    Bad(
        tg.broadcast_tensors,
        (np.zeros((2, 3)), np.zeros(2)),
        error=ShapeError,
        match=r"tensors\[1\].reshape\(2, 1\)",
    ),
]


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize(
    ("shape", "other", "repair"),
    [
        ((2, 3, 8, 9), (3,), "It would fit as other.reshape(3, 1, 1)."),
        ((3, 3, 8, 9), (3,), "It would fit as other.reshape(3, 1, 1)."),  # channels, not samples
        ((2, 3, 8, 9), (2,), "It would fit as other.reshape(2, 1, 1, 1)."),
        ((2, 3, 8, 9), (2, 3), "It would fit as other.reshape(2, 3, 1, 1)."),
        ((4,), (5, 4, 2), "It would fit as input.reshape(4, 1)."),
        ((2, 3), (3, 2), "It would fit as other.mT."),
        ((2, 3, 8, 9), (2, 8, 9, 3), "It would fit as other.movedim(-1, 1)."),
        ((2, 3), (2, 4), "Any of these fits: other (2, 3), input (2, 4)."),
        ((7, 2, 3), (4,), "Any of these fits: other (3,), input (7, 2, 4)."),
        ((3,), (7, 2, 4), "Any of these fits: other (7, 2, 3), input (4,)."),
    ],
)
def test_the_way_out_is_found(shape, other, repair):
    with pytest.raises(ShapeError) as caught:
        tg.zeros(*shape) + tg.zeros(*other)
    assert caught.value.repair == repair
    _, _, view = repair.removesuffix(".").partition("fit as ")
    if view:
        x, y = tg.zeros(*shape), tg.zeros(*other)
        (x + eval(view, {"other": y}) if "other" in view else eval(view, {"input": x}) + y)


SHAPES = st.lists(st.integers(0, 3), max_size=5).map(tuple)


@settings(max_examples=300)
@given(shapes=st.lists(SHAPES, min_size=1, max_size=4))
def test_common_shapes_are_numpys_and_every_repair_works(shapes):
    named = {f"x{k}": shape for k, shape in enumerate(shapes)}
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError) as caught:
            common_shape("add", **named)
        for repair in caught.value.repairs:
            np.broadcast_shapes(*(named | repair).values())
        assert caught.value.repairs or len(shapes) > 2
    else:
        assert common_shape("add", **named) == expected


@pytest.mark.parametrize(
    "shapes", [(), ((),), (2, (3, 1)), ([2, 1], (1, 3), ()), ((0, 1), (1, 1)), ((1,), (0,))]
)
def test_common_shapes_are_torchs(shapes):
    found = tg.broadcast_shapes(*shapes)
    assert type(found) is tuple
    assert found == tuple(torch.broadcast_shapes(*shapes))


def test_what_is_a_tensor():
    assert tg.is_tensor(tg.zeros(1))
    assert tg.is_tensor(tg.nn.Parameter(tg.zeros(1)))
    assert tg.is_tensor(obj=tg.zeros(1, device="meta"))
    for other in (np.zeros(1), 1.0, [tg.zeros(1)], None, "a", tg.Tensor):
        assert not tg.is_tensor(other)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"scale_factor": 2}, (1, 2, 3, 4)),
        ({"size": 5, "mode": "linear", "align_corners": True}, (1, 2, 3)),
        ({"size": (4, 7), "mode": "bicubic"}, (1, 2, 3, 4)),
    ],
)
@pytest.mark.filterwarnings("ignore:`nn.functional.upsample` is deprecated")
def test_upsampling_is_torchs(kwargs, shape):
    x = np.random.default_rng(0).normal(size=shape)
    expected = torch.nn.functional.upsample(torch.tensor(x), **kwargs)
    np.testing.assert_allclose(F.upsample(x, **kwargs).numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize(("n", "shape"), [(1, (2, 3, 8)), (2, (2, 7, 6)), (3, (1, 2, 4, 5, 4))])
def test_pooling_with_indices_is_torchs(n, shape):
    x, name = np.random.default_rng(n).normal(size=shape), f"max_pool{n}d_with_indices"
    found = getattr(F, name)(x, 3, 2, 1)
    expected = getattr(torch.nn.functional, name)(torch.tensor(x), 3, 2, 1)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert len(getattr(F, name)(x, 2, return_indices=False)) == 2
