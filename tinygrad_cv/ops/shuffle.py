"""Exchanges between channels and pixels, and among channels: reorderings, made of reshapes and
permutations. Memory that is channels-last stays so.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.spec import CHANNELS_LAST, layout_of
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops.layout import contiguous
from tinygrad_cv.ops.places import raw
from tinygrad_cv.ops.shape import permute, reshape

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]

TG_FUNCTIONS = NN_FUNCTIONS = ("channel_shuffle", "pixel_shuffle", "pixel_unshuffle")


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels become pixels: [*, C*r*r, H, W] to [*, C, H*r, W*r], r = ``upscale_factor``.

    ``y[c, h*r + i, w*r + j] = x[(c*r + i)*r + j, h, w]``. Any dtype; any number of leading axes.

    Raises:
        ShapeError: fewer than three axes, or the channels are no multiple of r*r.
        ArgumentError: the factor is below 1.

    Source: W. Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network, 2016.

    >>> import tinygrad_cv as tg
    >>> tg.pixel_shuffle(tg.arange(4).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0, 1], [2, 3]]]]
    """
    r = _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    _check_rank("pixel_shuffle", input, 3, "[*, C*r*r, H, W]")
    *lead, channels, h, w = input.shape
    if channels % (r * r):
        few = max(channels // (r * r), 1) * r * r
        raise ShapeError(
            "pixel_shuffle",
            "the channels are no multiple of the square of upscale_factor",
            law=["channels = C * r*r", f"{channels} = C * {r * r} has no whole C"],
            values=[("input", input.shape, "[*, C*r*r, H, W]")],
            repair=f"{few} channels fit.",
            repairs=[{"input": (*lead, few, h, w)}],
        )
    c, n = channels // (r * r), len(lead)
    if _is_channels_last(input):
        x = reshape(permute(input, (0, 2, 3, 1)), (*lead, h, w, c, r, r))
        x = reshape(permute(x, (0, 1, 4, 2, 5, 3)), (*lead, h * r, w * r, c))
        return contiguous(permute(x, (0, 3, 1, 2)), CHANNELS_LAST)
    x = reshape(input, (*lead, c, r, r, h, w))
    first = tuple(range(n))
    x = permute(x, (*first, n, n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, c, h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Pixels become channels: [*, C, H*r, W*r] to [*, C*r*r, H, W], r = ``downscale_factor``. The
    inverse of :func:`pixel_shuffle`.

    Raises:
        ShapeError: fewer than three axes, or height or width are no multiple of r.
        ArgumentError: the factor is below 1.

    >>> import tinygrad_cv as tg
    >>> tg.pixel_unshuffle(tg.arange(4).reshape(1, 1, 2, 2), 2).flatten().tolist()
    [0, 1, 2, 3]
    """
    r = _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    _check_rank("pixel_unshuffle", input, 3, "[*, C, H*r, W*r]")
    *lead, c, height, width = input.shape
    for letter, size in (("H", height), ("W", width)):
        if size % r:
            fitting = tuple(max(s // r, 1) * r if s % r else s for s in (height, width))
            raise ShapeError(
                "pixel_unshuffle",
                "height and width must be multiples of downscale_factor",
                law=[f"size = {letter} * r", f"{size} = {letter} * {r} has no whole {letter}"],
                values=[("input", input.shape, "[*, C, H*r, W*r]")],
                repair=f"Pixels of {fitting} fit.",
                repairs=[{"input": (*lead, c, *fitting)}],
            )
    h, w, n = height // r, width // r, len(lead)
    if _is_channels_last(input):
        x = reshape(permute(input, (0, 2, 3, 1)), (*lead, h, r, w, r, c))
        x = reshape(permute(x, (0, 1, 3, 5, 2, 4)), (*lead, h, w, c * r * r))
        return contiguous(permute(x, (0, 3, 1, 2)), CHANNELS_LAST)
    x = reshape(input, (*lead, c, h, r, w, r))
    first = tuple(range(n))
    x = permute(x, (*first, n, n + 2, n + 4, n + 1, n + 3))
    return reshape(x, (*lead, c * r * r, h, w))


def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels of all groups mixed: the first of every group, then the second of every group.

    ``y[n, k*groups + g, ...] = x[n, g*K + k, ...]`` with K = C/groups. After a convolution in
    groups it lets the next one see every group.

    Args:
        input: [N, C, ...] with three axes or more; any dtype.

    Raises:
        ShapeError: fewer than three axes, or ``groups`` does not divide the channels.
        ArgumentError: groups below 1.

    Source: X. Zhang et al., ShuffleNet, 2018.

    >>> import tinygrad_cv as tg
    >>> tg.channel_shuffle(tg.arange(6).reshape(1, 6, 1), 2).flatten().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    groups = _factor("channel_shuffle", "groups", groups)
    _check_rank("channel_shuffle", input, 3, "[N, C, ...]")
    n, c, *rest = input.shape
    if c % groups:
        raise ShapeError(
            "channel_shuffle",
            "groups must divide the channels",
            law=["C % groups = 0", f"{c} % {groups} = {c % groups}"],
            values=[("input", input.shape, "[N, C, ...]")],
            repair=f"Use a divisor of {c}.",
            repairs=[{"groups": 1}],
        )
    if layout_of(raw(input)) == CHANNELS_LAST:
        last = input.ndim - 1
        x = reshape(permute(input, (0, *range(2, last + 1), 1)), (n, *rest, groups, c // groups))
        x = reshape(permute(x, (*range(last), last + 1, last)), (n, *rest, c))
        return contiguous(permute(x, (0, last, *range(1, last))), CHANNELS_LAST)
    x = permute(
        reshape(input, (n, groups, c // groups, *rest)), (0, 2, 1, *range(3, input.ndim + 1))
    )
    return reshape(x, input.shape)


def _factor(op: str, name: str, value: Any) -> int:
    factor = as_int(op, name, value)
    if factor < 1:
        raise ArgumentError(
            op,
            f"{name} must be at least 1, got {factor}",
            repair=f"Use {name}=1 or more.",
            repairs=[{name: 1}],
        )
    return factor


def _check_rank(op: str, input: Any, least: int, wanted: str) -> None:
    if input.ndim < least:
        raise ShapeError(
            op,
            f"the input must be {wanted}, with {least} axes or more; it has {input.ndim}",
            values=[("input", input.shape)],
        )


def _is_channels_last(input: Any) -> bool:
    """True for images whose memory runs N, H, W, C."""
    return input.ndim == 4 and layout_of(raw(input)) == CHANNELS_LAST
