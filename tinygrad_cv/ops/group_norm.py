"""Group and instance normalisation: statistics of each sample over groups of channels.

Both, like layer normalisation, standardise sets of values: here a set is a group of channels of one
sample, or one channel. Mean and variance are outputs of the operators, as in batch normalisation,
which makes the short gradient formula right at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import standardise
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.standardise import channel_sets, standardised
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._channels import (
    channel_sum,
    check_channels,
    record,
    spread_channels,
)
from tinygrad_cv.ops._standardise import input_gradient, standard_values
from tinygrad_cv.ops.norm import batch_norm

__all__ = ["GroupNorm", "InstanceNorm", "group_norm", "instance_norm"]

NN_FUNCTIONS = ("group_norm", "instance_norm")
TENSOR_ARGUMENTS = OPTIONAL_TENSORS = ("running_mean", "running_var")


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Group normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with mean and
    biased variance over the channels of a group and all positions, for each sample.

    Group k holds the channels k*C/G to (k + 1)*C/G - 1. One group normalises whole samples, C
    groups single channels (:func:`instance_norm`). The result does not depend on the batch, nor on
    training or evaluation.

    Args:
        input: [N, C] or [N, C, spatial...], float.
        num_groups: G, a divisor of C.
        weight (gamma), bias (beta): [C] or None.

    Returns:
        The shape of ``input``, in its memory layout.

    Raises:
        ArgumentError: G is below 1 or does not divide C.
        ShapeError: a single sample with one value per group (its variance is 0), or weight or bias
            is not [C].

    Edge rules: with several samples of one value per group the output is the bias. An empty batch
    gives an empty output.

    Source: Wu and He, "Group normalization" (2018); the lecture's group normalisation.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1.0, 3.0, 10.0, 30.0]])  # four channels in two groups
    >>> tg.nn.functional.group_norm(x, 2).numpy().round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    groups = as_int("group_norm", "num_groups", num_groups)
    return _group_norm(input, weight, bias, groups, float(eps))[0]


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Instance normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with mean and
    biased variance over the positions of each channel of each sample.

    With ``use_input_stats`` these are the input's, and recorded ones, if given, move in place
    towards their means over the batch, as :func:`batch_norm` does it (variance unbiased). Without,
    the recorded ones normalise.

    Args:
        input: [N, C, spatial...], float.
        running_mean, running_var: [C] or None (both).
        weight, bias: [C] or None.
        momentum: the share of the new statistics in the recorded ones.

    Returns:
        The shape of ``input``, in its memory layout.

    Raises:
        ShapeError: one position per channel (its variance is 0), or a per-channel argument is not
            [C].
        ArgumentError: only one running statistic is given, or none where they are needed.

    Source: Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization"
    (2016); the lecture's instance normalisation.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 3.0], [10.0, 30.0]]])  # one sample, two channels, two positions
    >>> tg.nn.functional.instance_norm(x).numpy().round(3).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("instance_norm", "running_mean and running_var must be given together")
    recorded = {"running_mean": running_mean, "running_var": running_var}
    if not use_input_stats:
        if running_mean is None:
            raise ArgumentError(
                "instance_norm",
                "there are no running statistics to normalise with",
                repair="Pass running_mean and running_var, or use_input_stats=True.",
            )
        check_channels("instance_norm", input, **recorded, weight=weight, bias=bias)
        return batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)
    if running_mean is not None:
        check_channels("instance_norm", input, **recorded)
    output, mean, var = _instance_norm(input, weight, bias, float(eps))
    if running_mean is not None:
        record(running_mean, running_var, mean, var, math.prod(input.shape[2:]), momentum)
    return output


class _PerChannel(Op, abstract=True):
    """Sets of whole channels, weight and bias per channel."""

    inputs = ("input", "weight", "bias")
    outputs = ("output", "mean", "var")
    gradients = {
        "input": "dx = (G - mean(G) - xhat * mean(G * xhat)) / s, G = g * w, s = sqrt(var + eps)",
        "weight": "dw[c] = sum(g * xhat)",
        "bias": "db[c] = sum(g)",
    }

    @staticmethod
    def vjp_input(g: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float) -> Any:
        gy, g_mean, g_var = g
        weighted = gy if weight is None else gy * spread_channels(weight, input.ndim)
        return input_gradient(weighted, g_mean, g_var, input, mean, var, eps)

    @staticmethod
    def vjp_weight(g: Any, input: Any, mean: Any, var: Any, eps: float) -> Any:
        return channel_sum(g[0] * standard_values(input, mean, var, eps))

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return channel_sum(g[0])

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float
    ) -> tuple[Any, ...]:
        sets = channel_sets(input, mean.shape[1])
        return standardise.gradients(xp, g, needs, input, weight, mean, var, eps, sets)

    @staticmethod
    def flops(input: Spec, *_: Any) -> int:
        return 7 * input.size  # mean 1, variance 3, centre, scale and shift 3


class GroupNorm(_PerChannel):
    """Normalisation of groups of channels of each sample; mean and biased variance are outputs
    too."""

    name = "group_norm"
    equation = (
        "y = (x - mean[n,k]) / sqrt(var[n,k] + eps) * w[c] + b[c]; mean, var over the channels of "
        "group k and positions"
    )
    edges = "one value per group is refused; NaN and infinity spoil their group"
    cost = "7 per element"

    @staticmethod
    def infer(
        input: Spec, weight: Spec | None, bias: Spec | None, groups: int, eps: float
    ) -> tuple[Spec, ...]:
        check_channels("group_norm", input, "num_channels", weight=weight, bias=bias)
        c = input.shape[1]
        if groups < 1 or c % groups:
            fits = [k for k in range(1, c + 1) if c % k == 0] or [1]
            near = min(fits, key=lambda k: abs(k - groups))
            raise ArgumentError(
                "group_norm",
                f"C = {c} channels do not divide into num_groups = {groups} groups",
                law=["C % num_groups = 0, num_groups >= 1"],
                values=[("input", input.shape, "[N, C, ...]")],
                repair=f"num_groups may be any of {', '.join(map(str, fits))}.",
                repairs=[{"num_groups": near}],
            )
        if input.size == groups:
            raise ShapeError(
                "group_norm",
                "one value per group: it cannot be normalised by its variance, which is 0",
                law=[
                    "n = N * C / num_groups * prod(spatial) must be at least 2",
                    f"n = {input.size} / {groups} = 1",
                ],
                values=[("input", input.shape, "[N, C, ...]")],
                repair="Use fewer groups, or larger maps.",
                repairs=[{"input": (2, *input.shape[1:])}] + ([{"num_groups": 1}] if c > 1 else []),
            )
        return _specs(input, groups)

    @staticmethod
    def forward(
        xp: Any, input: Any, weight: Any, bias: Any, groups: int, eps: float
    ) -> tuple[Any, ...]:
        return standardised(xp, input, weight, bias, eps, channel_sets(input, groups))


class InstanceNorm(_PerChannel):
    """Normalisation of each channel of each sample; mean and biased variance are outputs too."""

    name = "instance_norm"
    equation = (
        "y = (x - mean[n,c]) / sqrt(var[n,c] + eps) * w[c] + b[c]; mean, var over the positions"
    )
    edges = "one value per channel and image is refused; NaN and infinity spoil their channel"
    cost = "7 per element"

    @staticmethod
    def infer(input: Spec, weight: Spec | None, bias: Spec | None, eps: float) -> tuple[Spec, ...]:
        check_channels("instance_norm", input, weight=weight, bias=bias)
        if math.prod(input.shape[2:]) == 1:
            raise ShapeError(
                "instance_norm",
                "one value per channel: it cannot be normalised by its variance, which is 0",
                law=["n = prod(spatial) must be at least 2", "n = 1"],
                values=[("input", input.shape, "[N, C, ...]")],
                repair="Use larger maps, or group_norm with several channels per group.",
                repairs=[{"input": (*input.shape[:2], *(input.shape[2:] or (1,))[:-1], 2)}],
            )
        return _specs(input, input.shape[1])

    @staticmethod
    def forward(xp: Any, input: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
        return standardised(xp, input, weight, bias, eps, channel_sets(input, input.shape[1]))


_group_norm = GroupNorm.call
_instance_norm = InstanceNorm.call


def _specs(input: Spec, groups: int) -> tuple[Spec, ...]:
    """Output, mean and variance."""
    statistic = Spec((input.shape[0], groups), input.dtype)
    return Spec(input.shape, input.dtype, input.layout), statistic, statistic
