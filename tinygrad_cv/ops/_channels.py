"""What normalisations per channel share: numbers of the channels, and recorded statistics."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import replay
from tinygrad_cv.backend.array import on_device_of
from tinygrad_cv.backend.dtypes import is_float
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import note_writes
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "channel_sum",
    "check_channels",
    "check_floating",
    "record",
    "spread_channels",
    "values_per_channel",
]


# ---- expressions of differentiable operators, for the rules


def channel_sum(x: Any) -> Any:
    """[N, C, ...] -> [C]."""
    return sum_over(x, dim=(0, *range(2, x.ndim)))


def spread_channels(channel: Any, ndim: int) -> Any:
    """[C] -> [C, 1, ...], which broadcasts against [N, C, ...]."""
    return reshape(channel, (channel.shape[0], *(1 for _ in range(ndim - 2))))


# ---- running statistics and checks


def values_per_channel(shape: tuple[int, ...]) -> int:
    """How many values a channel of a batch has."""
    return shape[0] * math.prod(shape[2:])


def record(
    running_mean: Any, running_var: Any, mean: Any, var: Any, n: int, momentum: float
) -> None:
    """Move the recorded statistics towards those of n values per channel, in place; an empty batch
    has none, and a batch that is only computed again has been recorded before.

    ``mean`` and the biased ``var`` are [C], or [N, C] with one line for each sample: then the means
    of the lines count.
    """
    recorded = [getattr(t, "array", t) for t in (running_mean, running_var)]
    batch = [getattr(t, "array", t) for t in (mean, var)]
    if replay.running_again() or n < 2 or not batch[0].size:
        return
    if any(isinstance(array, Spec) for array in recorded):
        return
    with on_device_of(recorded[0]):
        batch[1] = batch[1] * (n / (n - 1))  # unbiased
        for old, new in zip(recorded, batch, strict=True):
            old *= 1 - momentum
            old += momentum * (new.mean(0) if new.ndim == 2 else new)
    note_writes(recorded, "the update of running statistics")


def check_channels(op: str, input: Any, argument: str = "num_features", **channels: Any) -> None:
    """Every given one of ``channels`` must be [C] in the dtype of the input; ``argument`` is what
    layers call C."""
    if input.ndim < 2:
        raise ShapeError(
            op,
            "the input needs an axis of samples and one of channels",
            values=[("input", input.shape, "[N, C, ...]")],
            repair="Add the missing axis: input.unsqueeze(0) if it is one sample.",
        )
    check_floating(op, input)
    c = input.shape[1]
    for name, value in channels.items():
        if value is None:
            continue
        if value.shape != (c,):
            raise ShapeError(
                op,
                f"{name} must have one value per channel, the input has C = {c} in axis 1",
                values=[("input", input.shape, "[N, C, ...]"), (name, value.shape, "[C]")],
                repair=f"Make the layer with {argument}={c}.",
                repairs=[{n: (c,) for n, v in channels.items() if v is not None}],
            )
    check_floating(op, input, **channels)


def check_floating(op: str, input: Any, **others: Any) -> None:
    """The input must be float, and each given one of the others of the same dtype."""
    if not is_float(input.dtype):
        raise DTypeError(op, f"the input must be float, it is {input.dtype}")
    for name, value in others.items():
        if value is not None and value.dtype != input.dtype:
            raise DTypeError(
                op,
                f"{name} is {value.dtype}, the input is {input.dtype}",
                repair="Convert one of them with .to(dtype).",
            )
