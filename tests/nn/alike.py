"""A layer of ours beside PyTorch's of the same name and arguments."""

from __future__ import annotations

import inspect

import numpy as np
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn

rng = np.random.default_rng(15)


def pair(name, args, kwargs):
    """Our layer and PyTorch's with its values, in float64."""
    ours = getattr(nn, name)(*args, **kwargs).double()
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def check_layer(name, args, kwargs, shape):
    """Keys, looks, results and gradients, twice in training and once in evaluation."""
    ours, theirs = pair(name, args, kwargs)
    assert repr(ours) == repr(theirs)
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert [t.shape for t in mine.values()] == [tuple(t.shape) for t in other.values()]
    for training in (True, True, False):
        x = rng.normal(size=shape)
        ours.train(training)
        theirs.train(training)
        a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, expected = ours(a), theirs(b)
        np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-12)
        (out * out).sum().backward()
        (expected * expected).sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), other[key].numpy(), atol=1e-12, err_msg=key)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-9)


def check_arguments(name):
    """The arguments of the constructor, with their defaults, in PyTorch's order, then more."""
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(nn, name)).parameters
    for (mine, p), (other, q) in zip(ours.items(), theirs.items(), strict=False):
        assert (mine, p.default) == (other, q.default) or other in ("args", "kwargs")
    assert set(theirs) - {"args", "kwargs"} <= set(ours)
