"""Dropout in its inverted form, element by element or for whole channels."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import bool_, is_float
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.random import Generator, default_generator, keep_mask
from tinygrad_cv.backend.spec import CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.writing import write

__all__ = ["Dropout", "dropout", "dropout1d", "dropout2d", "dropout3d"]
__all__ += ["check_probability", "drawn_shape", "next_key"]

NN_FUNCTIONS = ("dropout", "dropout1d", "dropout2d", "dropout3d")


def dropout(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set each element to zero with probability ``p`` and divide the others by ``1 - p``.

    ``y = x * keep / (1 - p)`` with ``keep`` = 1 with probability 1 - p, else 0. The expected value
    of y is x, so that evaluation needs no scaling: there the input is returned as it is.

    ``p`` is the probability to DROP, as in PyTorch. The lecture (and the first paper) call p the
    probability to KEEP, and multiply by it in evaluation instead of dividing in training: the
    lecture's p is ``1 - p`` here.

    Args:
        input: any shape, float.
        p: from 0 (nothing is dropped) to 1 (all zero).
        training: False returns the input.
        inplace: write the result into ``input``.
        generator: where the mask is drawn from; the default generator if None.

    Returns:
        The shape, dtype and memory layout of ``input``.

    Raises:
        ArgumentError: ``p`` is not in [0, 1].

    Edge rules: p = 0 returns the input and draws nothing; p = 1 gives zeros with a zero gradient.
    On the meta device nothing is drawn.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
    (2014), and the lecture's dropout layer.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(4, 1000)
    >>> y = tg.nn.functional.dropout(x, 0.75, generator=tg.Generator(0))
    >>> sorted(set(y.flatten().tolist())), abs(y.mean().item() - 1) < 0.1
    ([0.0, 4.0], True)
    """
    return _drop("dropout", input, p, training, inplace, generator, 0)


def dropout1d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Any:
    """Drop whole channels of [N, C, L] or [C, L]; otherwise as :func:`dropout`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.dropout1d(tg.ones(2, 3, 5), p=0.0).shape
    (2, 3, 5)
    """
    return _drop("dropout1d", input, p, training, inplace, generator, 1)


def dropout2d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Any:
    """Drop whole channels of [N, C, H, W] or [C, H, W]; otherwise as :func:`dropout`.

    Neighbouring pixels say nearly the same, so dropping them one by one hides little.
    Source: Tompson et al., "Efficient object localization using convolutional networks" (2015).

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.functional.dropout2d(tg.ones(8, 8, 2, 2), generator=tg.Generator(0))
    >>> bool((y.numpy().reshape(64, 4).min(1) == y.numpy().reshape(64, 4).max(1)).all())
    True
    """
    return _drop("dropout2d", input, p, training, inplace, generator, 2)


def dropout3d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Any = None,
) -> Any:
    """Drop whole channels of [N, C, D, H, W] or [C, D, H, W]; otherwise as :func:`dropout`.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.dropout3d(tg.ones(2, 3, 4, 5, 6), training=False).shape
    (2, 3, 4, 5, 6)
    """
    return _drop("dropout3d", input, p, training, inplace, generator, 3)


class Dropout(Op):
    """Multiplication by a random mask, which is a constant to every derivative.

    ``shared`` trailing axes have one draw in common: 2 drops whole channels of [N, C, H, W].
    """

    name = "dropout"
    equation = "y = x * keep / (1 - p), keep ~ Bernoulli(1 - p)"
    gradients = {"input": "dx = g * keep / (1 - p)"}
    edges = "p = 1 gives exactly 0, even for NaN and infinity"
    cost = "2 per element"
    residuals = ("mask",)

    @staticmethod
    def infer(input: Spec, p: float, draw: tuple[int, int], shared: int = 0) -> tuple[Spec, Spec]:
        if not is_float(input.dtype):
            raise DTypeError("dropout", f"the input must be float, it is {input.dtype}")
        mask = Spec(drawn_shape(input.shape, shared), bool_, CONTIGUOUS if shared else input.layout)
        return Spec(input.shape, input.dtype, input.layout), mask

    @staticmethod
    def forward(xp: Any, input: Any, p: float, draw: tuple[int, int], shared: int = 0) -> Any:
        # Drawn in the order of the public shape, so that the memory layout does not change which
        # elements drop.
        mask = xp.asarray(keep_mask(draw, drawn_shape(input.shape, shared), 1 - p))
        layout = layout_of(input)
        if not shared and layout != CONTIGUOUS:
            mask = reordered(xp, mask, layout)
        output = memory.empty(input.shape, input.dtype, layout, xp)
        xp.multiply(input, mask, out=output)
        xp.multiply(output, _scale(p), out=output)
        return output, mask

    @staticmethod
    def vjp_input(g: Any, mask: Any, p: float) -> Any:
        return g * mask * _scale(p)

    @staticmethod
    def flops(input: Spec, p: float, draw: tuple[int, int], shared: int = 0) -> int:
        return 2 * input.size


_dropout = Dropout.call


def _scale(p: float) -> float:
    """1 / (1 - p); where all is dropped the factor of zeros does not matter."""
    return 1 / (1 - p) if p < 1 else 0.0


def _drop(
    function: str,
    input: Any,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
    spatial: int,
) -> Any:
    check_probability(function, p)
    if spatial:
        _check_channels(function, input, spatial)
    if not training or p == 0:
        return input
    output = _dropout(input, float(p), next_key(input, generator), spatial)
    return write(input, output, f"{function}_") if inplace else output


def check_probability(function: str, p: float) -> None:
    """Raise unless p is in [0, 1]."""
    if not 0 <= p <= 1:
        raise ArgumentError(
            function,
            f"p is the probability to drop and must be in [0, 1], it is {p}",
            repair="If you mean the probability to keep, pass 1 - p.",
        )


def next_key(input: Any, generator: Generator | None) -> tuple[int, int]:
    """What the mask of an input is drawn by; on the meta device nothing is drawn."""
    on_meta = isinstance(getattr(input, "array", input), Spec)
    return (0, 0) if on_meta else (generator or default_generator).next_key()


def drawn_shape(shape: tuple[int, ...], shared: int) -> tuple[int, ...]:
    """The shape of the mask: one draw for all of the last ``shared`` axes."""
    lead = len(shape) - shared
    return (*shape[:lead], *(1 for _ in range(shared)))


def _check_channels(function: str, input: Any, spatial: int) -> None:
    if input.ndim in (spatial + 1, spatial + 2):
        return
    letters = ("L", "H, W", "D, H, W")[spatial - 1]
    raise ShapeError(
        function,
        f"the input must have {spatial + 1} or {spatial + 2} axes, it has {input.ndim}",
        values=[("input", input.shape, f"[N, C, {letters}] or [C, {letters}]")],
    )
