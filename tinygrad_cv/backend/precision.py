"""How exact float32 convolution has to be: the one setting that kernels read."""

from __future__ import annotations

from tinygrad_cv.errors import ArgumentError

__all__ = ["get_convolution_precision", "set_convolution_precision"]

_KINDS = ("fast", "exact")
_precision = "fast"


def get_convolution_precision() -> str:
    """ "fast" or "exact"; see :func:`set_convolution_precision`.

    >>> get_convolution_precision()
    'fast'
    """
    return _precision


def set_convolution_precision(precision: str) -> None:
    """Choose how float32 convolutions round; float64 ones are always direct.

    * ``"fast"`` (at start): 3x3 kernels at stride 1 or 2 may use Winograd's algorithm, which
      multiplies up to four times less (1.8 times at stride 2) and rounds more coarsely.
    * ``"exact"``: direct sums only.

    Error against float64 for inputs and outputs of variance 1, half a million outputs (root mean
    square, largest): with 64 channels fast 7.8e-7, 7.7e-6 and exact 4.1e-7, 4.4e-6; with 256
    channels fast 1.5e-6, 1.3e-5 and exact 8.3e-7, 1.0e-5. At stride 2: with 64 channels fast
    8.4e-7, 1.3e-5 and exact 4.2e-7, 4.3e-6; with 256 channels fast 1.6e-6, 2.2e-5 and exact
    8.4e-7, 9.4e-6.

    "fast" rounds relative to the largest pixel of a tile of up to 10 x 10: beside a pixel that is
    a million times larger than its neighbours, their outputs have no correct digit. Where one
    channel holds such values, take "exact".

    Raises:
        ArgumentError: another word.

    >>> set_convolution_precision("exact")
    >>> get_convolution_precision()
    'exact'
    >>> set_convolution_precision("fast")
    """
    global _precision
    if precision not in _KINDS:
        raise ArgumentError(
            "set_convolution_precision",
            f"the precision must be 'fast' or 'exact', not {precision!r}",
            repairs=[{"precision": kind} for kind in _KINDS],
        )
    _precision = precision
