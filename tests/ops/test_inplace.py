"""In-place forms: they write the memory of their tensor, and gradients flow through them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import GraphError, ShapeError
from tinygrad_cv.ops.inplace import METHODS

rng = np.random.default_rng(28)
X = rng.normal(size=(3, 3))
INDEX, HERE = np.array([2, 0]), np.array([[1, 0, 2]])
ROWS, ROW, MASK = rng.normal(size=(2, 3)), rng.normal(size=(1, 3)), X > 0

pytestmark = pytest.mark.filterwarnings("ignore:index_reduce")

CALLS = {
    "clamp_": (-0.5, 0.5),
    "clamp_max_": (0.5,),
    "clamp_min_": (-0.5,),
    "clip_": (-0.5, 0.5),
    "cumprod_": (1,),
    "cumsum_": (0,),
    "fill_diagonal_": (2.0,),
    "index_add_": (0, INDEX, ROWS),
    "index_copy_": (0, INDEX, ROWS),
    "index_fill_": (1, INDEX, 2.0),
    "index_put_": ((INDEX,), ROWS),
    "index_reduce_": (0, INDEX, ROWS, "amin"),
    "masked_fill_": (MASK, 2.0),
    "masked_scatter_": (MASK, rng.normal(size=9)),
    "put_": (INDEX, rng.normal(size=2)),
    "scatter_": (0, HERE, ROW),
    "scatter_add_": (0, HERE, ROW),
    "scatter_reduce_": (0, HERE, ROW, "prod"),
    "tril_": (1,),
    "triu_": (-1,),
}


def given(arguments, tensor):
    """The arrays among the arguments as tensors."""
    if isinstance(arguments, tuple):
        return tuple(given(a, tensor) for a in arguments)
    return tensor(arguments) if isinstance(arguments, np.ndarray) else arguments


def run(name, tensor):
    """The result, whether its memory is that of the tensor written to, and the gradient."""
    leaf = tensor(X).requires_grad_()
    x = leaf * 1
    y = getattr(x, name)(*given(CALLS[name], tensor))
    assert y is x
    (y * tensor(np.arange(9.0).reshape(3, 3))).sum().backward()
    return y.detach().numpy(), leaf.grad.numpy()


def test_every_form_has_a_call():
    assert set(CALLS) == set(METHODS)


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_as_torch(name):
    for ours, theirs in zip(run(name, tg.tensor), run(name, torch.tensor), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_the_memory_is_written(name):
    x = tg.tensor(X)
    memory = x.numpy()
    expected = getattr(torch.tensor(X), name)(*given(CALLS[name], torch.tensor))
    getattr(x, name)(*given(CALLS[name], tg.tensor))
    np.testing.assert_allclose(memory, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_a_leaf_that_learns_is_not_written(name):
    x = tg.tensor(X, requires_grad=True)
    with pytest.raises(GraphError, match="leaf"):
        getattr(x, name)(*given(CALLS[name], tg.tensor))
    np.testing.assert_array_equal(x.detach().numpy(), X)


@pytest.mark.parametrize("name", CALLS)
def test_examples_run(name):
    (example,) = doctest.DocTestFinder().find(getattr(tg.Tensor, name), name, globs={})
    assert doctest.DocTestRunner().run(example) == (0, 2)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (7, 2), (2, 5), (2, 2, 2), (0, 3)])
def test_diagonals_as_torch(shape, wrap):
    ours = tg.zeros(shape).fill_diagonal_(2.5, wrap)
    theirs = torch.zeros(shape).fill_diagonal_(2.5, wrap)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("shape", [(3,), (2, 3, 3)])
def test_what_has_no_diagonal_is_refused(shape):
    with pytest.raises(ShapeError, match="needs a matrix"):
        tg.zeros(shape).fill_diagonal_(1.0)
