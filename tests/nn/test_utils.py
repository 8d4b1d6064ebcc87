"""Clipping of gradients against PyTorch, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError
from tinygrad_cv.nn import utils

rng = np.random.default_rng(6)
SHAPES = [(3, 2), (4,), (), (2, 3, 1)]


def parameters(dtype="float64", factor=1.0):
    """The same parameters of both, all but the last with a gradient."""
    ours, theirs = [], []
    for k, shape in enumerate(SHAPES):
        value, grad = rng.normal(size=(2, *shape)).astype(dtype) * factor
        p, q = tg.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
        if k < len(SHAPES) - 1:
            p.grad, q.grad = tg.tensor(grad), torch.tensor(grad)
        ours.append(p)
        theirs.append(q)
    return ours, theirs


def same(ours, theirs):
    for p, q in zip(ours, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            assert p.grad.dtype == p.dtype
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("max_norm", [0.5, 2, 1e9])
@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, math.inf])
def test_the_norm_is_clipped_as_by_torch(max_norm, norm_type):
    ours, theirs = parameters()
    kept = [p.grad for p in ours]
    total = utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total.shape == ()
    assert not total.requires_grad
    np.testing.assert_allclose(total.item(), expected.item(), rtol=1e-12)
    same(ours, theirs)
    assert all(p.grad is g for p, g in zip(ours, kept, strict=True))  # in place


def test_values_are_clipped_as_by_torch():
    ours, theirs = parameters()
    assert utils.clip_grad_value_(ours, 0.3) is None
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    same(ours, theirs)
    utils.clip_grad_value_(ours[0], 0.1)
    assert np.abs(ours[0].grad.numpy()).max() == 0.1


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite(value):
    ours, theirs = parameters()
    ours[1].grad[0] = value
    theirs[1].grad[0] = value
    with pytest.raises(GraphError, match="the norm of the gradients is"):
        utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    utils.clip_grad_norm_(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    same(ours, theirs)


def test_mixed_dtypes_and_no_gradients():
    a, b = parameters("float32")[0][0], parameters("float64")[0][0]
    utils.clip_grad_norm_([a, b], 1e-3)
    assert (a.grad.dtype, b.grad.dtype) == ("float32", "float64")
    squares = sum(float((p.grad.double() ** 2).sum().item()) for p in (a, b))
    assert math.sqrt(squares) == pytest.approx(1e-3, rel=1e-3)
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.clip_grad_norm_([tg.zeros(2, requires_grad=True)], 1.0).item() == 0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: utils.clip_grad_norm_(nn.Linear(1, 1), 1.0), r"not one Linear[\s\S]*Call it"),
        (lambda: utils.clip_grad_norm_(nn.Linear(1, 1).named_parameters(), 1.0), "of type tuple"),
        (lambda: utils.clip_grad_norm_([], "b"), "max_norm must be a number"),
        (lambda: utils.clip_grad_norm_([], 1.0, "b"), "norm_type must be a number"),
        (lambda: utils.clip_grad_value_(3, 1.0), r"not one int[\s\S]*Give a list"),
        (lambda: utils.clip_grad_value_([], None), "clip_value must be a number"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(DTypeError, match=match):
        call()


def test_parameters_as_a_vector():
    ours, theirs = parameters()
    vector = utils.parameters_to_vector(ours)
    reference = torch.nn.utils.parameters_to_vector(theirs)
    np.testing.assert_array_equal(vector.detach().numpy(), reference.detach().numpy())
    (vector * vector).sum().backward()
    assert ours[0].grad is not None
    utils.vector_to_parameters(2 * vector.detach(), ours)
    torch.nn.utils.vector_to_parameters(2 * reference.detach(), theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
        assert a.requires_grad
    with pytest.raises(ShapeError, match="one number for each of the parameters"):
        utils.vector_to_parameters(vector[1:], ours)
    with pytest.raises(ShapeError, match="there are no parameters"):
        utils.parameters_to_vector([])
    with pytest.raises(DTypeError, match=r"parameters\[0\] is not a tensor"):
        utils.parameters_to_vector([3])
