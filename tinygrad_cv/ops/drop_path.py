"""Stochastic depth: the branch of a residual block is dropped as a whole."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.backend.random import Generator
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.dropout import Dropout, check_probability, next_key

__all__ = ["drop_path", "stochastic_depth"]

NN_FUNCTIONS = ("drop_path", "stochastic_depth")


def drop_path(
    input: Any,
    p: float,
    mode: str = "row",
    training: bool = True,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set whole samples to zero with probability ``p``, and divide the others by ``1 - p``.

    Applied to the branch of a residual block, ``x + drop_path(block(x), p)``: in training a sample
    skips the block with probability p, so that the network is shallower in the mean; in evaluation
    all blocks run. The expected value of the output is the input.

    Args:
        input: [N, ...], float.
        p: the probability to drop, from 0 to 1.
        mode: "row" draws for each sample, "batch" once for all.
        training: False returns the input.
        generator: where is drawn from; the default generator if None.

    Returns:
        The shape, dtype and memory layout of ``input``.

    Raises:
        ArgumentError: ``p`` is not in [0, 1], or another mode.
        ShapeError: mode "row" without an axis of samples.
        DTypeError: the input is not float.

    Edge rules: p = 0 returns the input and draws nothing; p = 1 gives zeros with a zero gradient.

    Source: Huang et al., "Deep networks with stochastic depth" (2016).

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.functional.drop_path(tg.ones(8, 3), 0.5, generator=tg.Generator(0))
    >>> set(y.sum(1).tolist()) == {0.0, 6.0}  # all of a sample or nothing
    True
    """
    return _dropped("drop_path", input, p, mode, training, generator)


def stochastic_depth(
    input: Any,
    p: float,
    mode: str,
    training: bool = True,
    *,
    generator: Generator | None = None,
) -> Any:
    """:func:`drop_path` under torchvision's name, and without a default for the mode.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.stochastic_depth(tg.ones(2, 2), 1.0, "batch").tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return _dropped("stochastic_depth", input, p, mode, training, generator)


def _dropped(
    function: str,
    input: Any,
    p: float,
    mode: str,
    training: bool,
    generator: Generator | None,
) -> Any:
    check_probability(function, p)
    if mode not in ("row", "batch"):
        raise ArgumentError(
            function,
            f"mode must be 'row' or 'batch', it is {mode!r:.60}",
            repairs=[{"mode": "row"}, {"mode": "batch"}],
        )
    if not is_float(input.dtype):
        raise DTypeError(function, f"the input must be float, it is {input.dtype}")
    if mode == "row" and not input.ndim:
        raise ShapeError(
            function,
            "a 0-d tensor has no samples to drop",
            values=[("input", input.shape)],
            repair='Use mode="batch".',
            repairs=[{"mode": "batch"}],
        )
    if not training or p == 0:
        return input
    shared = input.ndim - (mode == "row")
    return Dropout.call(input, float(p), next_key(input, generator), shared)
