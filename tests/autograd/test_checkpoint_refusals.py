"""What checkpoint refuses, each with the lines that are involved."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.autograd import checkpoint
from tinygrad_cv.nn import functional as F


def here(offset=0):
    """The caller's line."""
    frame = sys._getframe(1)
    return f"{__file__}:{frame.f_lineno + offset} in {frame.f_code.co_name}"


def test_writing_into_what_it_reads():
    buffer = tg.ones(2)

    def function(x):
        y = x * buffer
        buffer.mul_(0.5)
        return y

    line = f"{__file__}:{function.__code__.co_firstlineno + 2} in function"
    with pytest.raises(tg.GraphError) as caught:
        checkpoint(function, tg.ones(2, requires_grad=True))
    text = str(caught.value)
    assert "the function wrote into a tensor that it reads from outside" in text
    assert f"it was overwritten at {line}" in text
    assert "Write out of place" in text

    def on_input(x, w):
        x.add_(1)
        return x * w

    with pytest.raises(tg.GraphError, match="wrote into a tensor"):
        checkpoint(on_input, tg.ones(2), tg.ones(2, requires_grad=True))


def test_an_input_that_is_overwritten_before_backward():
    for nothing in (tg.ones(2), tg.ones(2, requires_grad=True)):
        w = tg.ones(2, requires_grad=True)
        y = checkpoint(lambda x, w: (x * w).exp(), nothing, w)
        with tg.no_grad():
            nothing += 1
        line = here(-1)
        with pytest.raises(tg.GraphError) as caught:
            y.sum().backward()
        assert "an input of the checkpoint was overwritten before backward" in str(caught.value)
        assert f"it was overwritten at {line}" in str(caught.value)
        assert "exp, which ran at" in str(caught.value)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda x: x.sin().sin(), "in its place sin ran at"),
        (lambda x: x[:1].exp(), "in its place slice ran at"),
        (lambda x: x, "it did not run in the second run"),
        (lambda x: F.leaky_relu(x, 0.2).exp(), "negative_slope is 0.2, it was 0.1"),
    ],
)
def test_a_second_run_that_differs(second, message):
    again = []

    def function(x):
        if again:
            return second(x)
        again.append(1)
        return F.leaky_relu(x, 0.1).exp()

    line = f"{__file__}:{function.__code__.co_firstlineno + 4} in function"
    y = checkpoint(function, tg.ones(2, requires_grad=True))
    with pytest.raises(tg.GraphError) as caught:
        y.sum().backward()
    text = str(caught.value)
    assert "did not do the same when it ran again" in text
    assert message in text
    assert f"ran at {line}" in text


def test_more_random_numbers_than_before():
    again = []

    def function(x):
        y = F.dropout(x)
        if again:
            y = F.dropout(y)
        again.append(1)
        return y.exp()

    y = checkpoint(function, tg.ones(2, requires_grad=True))
    with pytest.raises(tg.GraphError, match="drew more random numbers"):
        y.sum().backward()


def test_arguments():
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(tg.DTypeError, match="a module or function, not int"):
        checkpoint(3, x)
    with pytest.raises(tg.ArgumentError, match="use_reentrant=True is not supported"):
        checkpoint(tg.exp, x, use_reentrant=True)
    with pytest.raises(tg.ArgumentError, match="debug=True is not supported"):
        checkpoint(tg.exp, x, debug=True)
    with pytest.raises(tg.ArgumentError, match='"default" or "none", not \'all\''):
        checkpoint(tg.exp, x, determinism_check="all")
    for wrong, place in (((x, 3.0), r"result\[1\]"), ({"a": [np.ones(2)]}, r"result\['a'\]\[0\]")):
        with pytest.raises(tg.DTypeError, match=rf"{place} of the function is no tensor, but"):
            checkpoint(lambda x, w=wrong: w, x)
    with tg.no_grad(), pytest.raises(tg.DTypeError, match="is no tensor, but float"):
        checkpoint(lambda x: x.sum().item(), x)


def test_the_address_of_pytorch():
    from tinygrad_cv.utils import checkpoint as module

    assert tg.utils.checkpoint is module
    assert module.checkpoint is checkpoint
    assert module.checkpoint_sequential is tg.autograd.checkpoint_sequential
    x = tg.ones(2, requires_grad=True)
    for accepted in (None, False):
        module.checkpoint(tg.exp, x, use_reentrant=accepted).sum().backward()
    with pytest.raises(tg.ArgumentError, match="use_reentrant=True is not supported"):
        module.checkpoint(tg.exp, x, use_reentrant=True)
