"""Alpha dropout: dropout that keeps mean and variance, for networks that normalise themselves."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import bool_, is_float
from tinygrad_cv.backend.layout import reordered
from tinygrad_cv.backend.random import Generator, keep_mask
from tinygrad_cv.backend.spec import CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.dropout import check_probability, drawn_shape, next_key
from tinygrad_cv.ops.writing import write

__all__ = ["AlphaDropout", "alpha_dropout", "feature_alpha_dropout"]

NN_FUNCTIONS = ("alpha_dropout", "feature_alpha_dropout")

LOW = -1.7580993408473766  # the value of SELU far below 0: its scale times its alpha


def alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set each element to the lowest value of SELU with probability ``p``, then scale and shift all
    so that mean 0 and variance 1 stay.

    ``y = a * (x if kept else low) + b`` with ``low = -1.7581``,
    ``a = 1 / sqrt((1 - p) * (1 + p * low^2))`` and ``b = -a * p * low``.

    Args:
        input: any shape, float.
        p: the probability to drop, from 0 (nothing is dropped) to 1 (all zero).
        training: False, the default, returns the input.
        inplace: write the result into ``input``.
        generator: where the mask is drawn from; the default generator if None.

    Returns:
        The shape, dtype and memory layout of ``input``.

    Raises:
        ArgumentError: ``p`` is not in [0, 1].
        DTypeError: the input is not float.

    Edge rules: p = 0 returns the input and draws nothing; p = 1 multiplies by 0.

    Source: Klambauer et al., "Self-normalizing neural networks" (2017).

    >>> import tinygrad_cv as tg
    >>> x = tg.nn.init.normal_(tg.zeros(1000, 100), generator=tg.Generator(0))
    >>> y = tg.nn.functional.alpha_dropout(x, 0.3, training=True, generator=tg.Generator(1))
    >>> abs(y.mean().item()) < 0.02, abs(y.std().item() - 1) < 0.02
    (True, True)
    """
    return _dropped("alpha_dropout", input, p, training, inplace, generator, 0)


def feature_alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """:func:`alpha_dropout` of whole channels of [N, C, ...].

    Raises:
        ShapeError: fewer than 2 axes.
        ArgumentError, DTypeError: as :func:`alpha_dropout`.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(8, 8, 5)
    >>> y = tg.nn.functional.feature_alpha_dropout(x, training=True, generator=tg.Generator(0))
    >>> bool((y.amax(-1) == y.amin(-1)).all())
    True
    """
    if input.ndim < 2 and training:
        raise ShapeError(
            "feature_alpha_dropout",
            f"the input needs an axis of channels, it has {input.ndim} axes",
            values=[("input", input.shape, "[N, C, ...]")],
        )
    shared = max(input.ndim - 2, 0)
    return _dropped("feature_alpha_dropout", input, p, training, inplace, generator, shared)


class AlphaDropout(Op):
    """Dropout to the lowest value of SELU, with mean and variance kept.

    ``shared`` trailing axes have one draw in common.
    """

    name = "alpha_dropout"
    equation = "y = a (x if keep else low) + b, keep ~ Bernoulli(1 - p), low = -1.7581"
    gradients = {"input": "dx = g * keep * a, a = 1 / sqrt((1 - p) (1 + p low^2))"}
    edges = "p = 1 gives one value everywhere, even for NaN and infinity"
    cost = "3 per element"
    residuals = ("mask",)

    @staticmethod
    def infer(input: Spec, p: float, draw: tuple[int, int], shared: int = 0) -> tuple[Spec, Spec]:
        if not is_float(input.dtype):
            raise DTypeError("alpha_dropout", f"the input must be float, it is {input.dtype}")
        order = CONTIGUOUS if shared else input.layout
        mask = Spec(drawn_shape(input.shape, shared), bool_, order)
        return Spec(input.shape, input.dtype, input.layout), mask

    @staticmethod
    def forward(xp: Any, input: Any, p: float, draw: tuple[int, int], shared: int = 0) -> Any:
        mask = xp.asarray(keep_mask(draw, drawn_shape(input.shape, shared), 1 - p))
        layout, scale = layout_of(input), _scale(p)
        if not shared and layout != CONTIGUOUS:
            mask = reordered(xp, mask, layout)
        kept, dropped = -scale * p * LOW, scale * (1 - p) * LOW  # what is added to the values
        shift = mask * input.dtype.type(kept - dropped) + input.dtype.type(dropped)
        output = memory.empty(input.shape, input.dtype, layout, xp)
        xp.multiply(input, mask, out=output)
        xp.multiply(output, input.dtype.type(scale), out=output)
        xp.add(output, shift, out=output)
        return output, mask

    @staticmethod
    def vjp_input(g: Any, mask: Any, p: float) -> Any:
        return g * mask * _scale(p)

    @staticmethod
    def flops(input: Spec, p: float, draw: tuple[int, int], shared: int = 0) -> int:
        return 3 * input.size


def _scale(p: float) -> float:
    """a; where all is dropped the factor of zeros does not matter."""
    return ((1 - p) * (1 + p * LOW * LOW)) ** -0.5 if p < 1 else 0.0


def _dropped(
    function: str,
    input: Any,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
    shared: int,
) -> Any:
    check_probability(function, p)
    if not is_float(input.dtype):
        raise DTypeError(function, f"the input must be float, it is {input.dtype}")
    if not training or p == 0:
        return input
    output = AlphaDropout.call(input, float(p), next_key(input, generator), shared)
    return write(input, output, f"{function}_") if inplace else output
