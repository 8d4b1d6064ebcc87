"""The optimiser warns once when training has gone wrong, and costs next to nothing."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn


def test_a_loss_that_is_not_finite_warns_once() -> None:
    p = nn.Parameter(tg.tensor([0.0, 1.0]))
    optimizer = tg.optim.SGD([p], lr=0.1)
    (1 / p).sum().backward()
    line = sys._getframe().f_lineno - 1
    with pytest.warns(UserWarning, match="SGD: the loss is inf") as seen:
        optimizer.step()
    assert f"backward ran at {__file__}:{line} in" in str(seen[0].message)
    assert "with tg.autograd.detect_anomaly():" in str(seen[0].message)
    assert (seen[0].filename, seen[0].lineno) == (__file__, line + 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (1 / p).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5), (300, 200)])
def test_a_gradient_that_is_not_finite(shape: tuple[int, ...]) -> None:
    good, p = nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(*shape))
    layer = nn.Module()
    layer.good, layer.weight = good, p
    optimizer = tg.optim.Adam(layer.parameters())
    good.grad, values = tg.ones(2), np.ones(shape, np.float32)
    values[(-1,) * len(shape)] = np.nan
    p.grad = tg.tensor(values)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):  # a large gradient is read in pieces
            optimizer.step()
    (warning,) = seen
    named = f"the gradient of parameter 1 (weight) {shape} has a nan"
    assert str(warning.message).startswith(f"Adam: {named}")


def test_nothing_is_said_of_large_or_finite_gradients() -> None:
    p = nn.Parameter(tg.ones(3))
    optimizer = tg.optim.SGD([p], lr=0.0)
    for values in ([1e30, 1.0, 1.0], [3e38, -3e38, 0.0]):  # squares overflow
        p.grad = tg.tensor(values)
        optimizer.step()
    with tg.no_grad():
        optimizer.step()


def test_a_loss_that_recovered_says_nothing() -> None:
    p = nn.Parameter(tg.tensor([0.0, 1.0]))
    optimizer = tg.optim.SGD([p], lr=0.1)
    (1 / p).sum().backward()
    optimizer.zero_grad()  # this step is skipped, as a careful loop does
    (p * p).sum().backward()
    optimizer.step()


def test_it_is_pickled_with_the_optimizer() -> None:
    import copy
    import pickle

    optimizer: Any = tg.optim.SGD([nn.Parameter(tg.ones(2))], lr=0.1)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        other.step()


def test_the_loss_of_another_model_is_not_blamed():
    other, ours = (tg.ones(2, requires_grad=True) for _ in range(2))
    (other / 0).sum().backward()
    ours.grad = tg.ones(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tg.optim.SGD([ours], lr=0.1).step()
    with pytest.warns(UserWarning, match="the loss is inf"):
        tg.optim.SGD([other], lr=0.1).step()
