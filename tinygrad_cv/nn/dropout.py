"""Dropout layers."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F
from tinygrad_cv.nn._arguments import flag, number
from tinygrad_cv.nn.module import Module

__all__ = ["AlphaDropout", "DropPath", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]
__all__ += ["FeatureAlphaDropout", "StochasticDepth"]


class _Dropout(Module):
    function: ClassVar[str]

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Any = None) -> None:
        super().__init__()
        _check(type(self).__name__, p)
        flag(type(self).__name__, "inplace", inplace)
        self.p, self.inplace, self.generator = p, inplace, generator

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(
            input, self.p, self.training, self.inplace, generator=self.generator
        )

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, elements become 0 with probability ``p`` and the others are divided by 1 - p
    (Srivastava et al., JMLR 2014). In evaluation nothing happens: the mean is the same.

    ``p`` is the probability to DROP (the lecture's p is the probability to keep). Masks come from
    ``generator``, or from the default one.

    Raises:
        ArgumentError: ``p`` is outside [0, 1], or ``inplace`` is asked for.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.Dropout(0.5, generator=tg.Generator(0))
    >>> set(layer(tg.ones(100)).tolist()) == {0.0, 2.0}, layer.eval()(tg.ones(3)).tolist()
    (True, [1.0, 1.0, 1.0])
    """

    function = "dropout"


class Dropout1d(_Dropout):
    """Dropout of whole channels of [N, C, L]; otherwise as :class:`Dropout`.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.Dropout1d(0.5, generator=tg.Generator(0))(tg.ones(8, 4, 10))
    >>> set(y.sum(-1).flatten().tolist()) == {0.0, 20.0}  # all of a channel or nothing
    True
    """

    function = "dropout1d"


class Dropout2d(_Dropout):
    """Dropout of whole channels of [N, C, H, W] (Tompson et al., CVPR 2015); otherwise as
    :class:`Dropout`. Neighbouring pixels say nearly the same, so dropping them one by one hides
    little.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.Dropout2d(0.5, generator=tg.Generator(0))(tg.ones(8, 4, 3, 3))
    >>> set(y.sum((2, 3)).flatten().tolist()) == {0.0, 18.0}  # all of a plane or nothing
    True
    """

    function = "dropout2d"


class Dropout3d(_Dropout):
    """Dropout of whole channels of [N, C, D, H, W]; otherwise as :class:`Dropout`.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.Dropout3d(0.5, generator=tg.Generator(0))(tg.ones(8, 4, 2, 2, 2))
    >>> set(y.sum((2, 3, 4)).flatten().tolist()) == {0.0, 16.0}  # all of a volume or nothing
    True
    """

    function = "dropout3d"


class AlphaDropout(_Dropout):
    """In training, elements become the lowest value of SELU with probability ``p``, and all are
    scaled and shifted so that mean 0 and variance 1 stay (Klambauer et al., NIPS 2017); see
    :func:`~tinygrad_cv.nn.functional.alpha_dropout`. Otherwise as :class:`Dropout`.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.AlphaDropout(0.5, generator=tg.Generator(0))(tg.zeros(100))
    >>> len(set(y.tolist()))  # kept and dropped
    2
    """

    function = "alpha_dropout"


class FeatureAlphaDropout(_Dropout):
    """Alpha dropout of whole channels of [N, C, ...]; otherwise as :class:`AlphaDropout`.

    >>> import tinygrad_cv as tg
    >>> y = tg.nn.FeatureAlphaDropout(0.5, generator=tg.Generator(0))(tg.zeros(8, 4, 3, 3))
    >>> bool((y.amax((2, 3)) == y.amin((2, 3))).all())  # all of a channel or nothing
    True
    """

    function = "feature_alpha_dropout"


class StochasticDepth(Module):
    """In training, whole samples become 0 with probability ``p`` and the others are divided by
    1 - p: the branch of a residual block that is skipped now and then (Huang et al., ECCV 2016).

    Args:
        p: the probability to drop.
        mode: "row" draws for each sample, "batch" once for all.
        generator: where is drawn from; the default generator if None.

    Raises:
        ArgumentError: ``p`` is outside [0, 1], or another mode.

    >>> import tinygrad_cv as tg
    >>> layer = tg.nn.StochasticDepth(0.5, "row", generator=tg.Generator(0))
    >>> layer, set(layer(tg.ones(8, 3)).sum(1).tolist()) == {0.0, 6.0}
    (StochasticDepth(p=0.5, mode=row), True)
    """

    def __init__(self, p: float, mode: str, *, generator: Any = None) -> None:
        super().__init__()
        layer = type(self).__name__
        _check(layer, p)
        if mode not in ("row", "batch"):
            raise ArgumentError(
                layer,
                f"mode must be 'row' or 'batch', it is {mode!r:.60}",
                repairs=[{"mode": "row"}, {"mode": "batch"}],
            )
        self.p, self.mode, self.generator = p, mode, generator

    def forward(self, input: Any) -> Any:
        return F.drop_path(input, self.p, self.mode, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class DropPath(StochasticDepth):
    """:class:`StochasticDepth` that drops sample by sample if nothing else is said.

    >>> import tinygrad_cv as tg
    >>> tg.nn.DropPath(0.1)
    DropPath(p=0.1, mode=row)
    """

    def __init__(self, p: float, mode: str = "row", *, generator: Any = None) -> None:
        super().__init__(p, mode, generator=generator)


def _check(layer: str, p: Any) -> None:
    number(layer, "p", p)
    if not 0 <= p <= 1:
        raise ArgumentError(
            layer,
            f"p is the probability to drop and must be in [0, 1], it is {p}",
            repair="If you mean the probability to keep, pass 1 - p.",
        )
