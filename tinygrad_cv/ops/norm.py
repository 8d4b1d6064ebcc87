"""Batch normalisation by the statistics of the batch (training) or recorded ones (evaluation).

The mean and the variance of the batch are *outputs* of the training operator: its gradient rules
may therefore use them, because the engine rebuilds outputs as differentiable values. That makes
the short, well-known formula right at every order of differentiation.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.channels import affine, gradient_sums, input_gradient, statistics
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._channels import (
    channel_sum,
    check_channels,
    record,
    spread_channels,
    values_per_channel,
)
from tinygrad_cv.ops.math import rsqrt

__all__ = ["BatchNorm", "BatchNormEval", "batch_norm"]

NN_FUNCTIONS = ("batch_norm",)
TENSOR_ARGUMENTS = OPTIONAL_TENSORS = ("running_mean", "running_var")


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch normalisation per channel: ``y = (x - mean) / sqrt(var + eps) * weight + bias``.

    In training, mean and *biased* variance (divided by n) are those of the batch, over all axes but
    C, and the recorded ones move towards them in place:
    ``running = (1 - momentum) * running + momentum * batch``, with the *unbiased* variance (divided
    by n - 1). ``momentum=1.0`` records the last batch's. In evaluation the recorded ones normalise.

    Args:
        input: [N, C] or [N, C, spatial...], float.
        running_mean, running_var: [C] or None (both).
        weight (gamma), bias (beta): [C] or None.

    Returns:
        The shape of ``input``, in its memory layout.

    Raises:
        ShapeError: one value per channel in training (its variance is 0 and the output would be the
            bias), or a per-channel argument is not [C].
        ArgumentError: ``eps`` is negative, or 0 in training; or only one running statistic is
            given.

    Edge rules: an empty batch in training gives an empty output and leaves the recorded statistics
    alone. On the meta device they do not advance either.

    Source: Ioffe and Szegedy, "Batch Normalization" (2015); the lecture's batch normalisation.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> mean, var = tg.zeros(2), tg.ones(2)
    >>> y = tg.nn.functional.batch_norm(x, mean, var, training=True, momentum=1.0)
    >>> y.numpy().round(3).tolist(), mean.tolist(), var.tolist()
    ([[-1.0, -1.0], [1.0, 1.0]], [2.0, 20.0], [2.0, 200.0])
    """
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("batch_norm", "running_mean and running_var must be given together")
    if not (eps > 0 or (eps == 0 and not training)):
        wanted = "positive in training" if training else "at least 0"
        raise ArgumentError(
            "batch_norm",
            f"eps must be {wanted}, it is {eps}",
            repair="Use eps=1e-5.",
            repairs=[{"eps": 1e-5}],
        )
    if not training:
        if running_mean is None:
            raise ArgumentError(
                "batch_norm",
                "there are no running statistics to evaluate with",
                repair="Pass running_mean and running_var, or training=True.",
            )
        return _batch_norm_eval(input, running_mean, running_var, weight, bias, float(eps))
    if running_mean is not None:
        check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var)
    output, mean, var = _batch_norm(input, weight, bias, float(eps))
    if running_mean is not None:
        record(running_mean, running_var, mean, var, values_per_channel(input.shape), momentum)
    return output


class BatchNorm(Op):
    """Normalisation by the statistics of the batch; mean and biased variance are outputs too."""

    name = "batch_norm"
    equation = (
        "y = (x - mean[c]) / sqrt(var[c] + eps) * w[c] + b[c]; mean, var over n and positions"
    )
    gradients = {
        "input": "dx = w/s * (g - mean(g) - xhat * mean(g * xhat)), s = sqrt(var + eps)",
        "weight": "dw[c] = sum(g * xhat)",
        "bias": "db[c] = sum(g)",
    }
    edges = "one value per channel is refused; NaN and infinity spoil their channel"
    cost = "7 per element"
    inputs = ("input", "weight", "bias")
    outputs = ("output", "mean", "var")

    @staticmethod
    def infer(input: Spec, weight: Spec | None, bias: Spec | None, eps: float) -> tuple[Spec, ...]:
        check_channels("batch_norm", input, weight=weight, bias=bias)
        if values_per_channel(input.shape) == 1:
            _raise_one_value(input)
        channel = Spec((input.shape[1],), input.dtype)
        return Spec(input.shape, input.dtype, input.layout), channel, channel

    @staticmethod
    def forward(xp: Any, input: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
        mean, var = statistics(xp, input)
        scale = 1 / xp.sqrt(var + eps)
        if weight is not None:
            scale = scale * weight
        output = affine(xp, input, mean, scale, bias)
        return output, mean, var

    @staticmethod
    def vjp_input(g: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float) -> Any:
        gy, g_mean, g_var = g
        n = max(values_per_channel(input.shape), 1)
        centred = input - spread_channels(mean, input.ndim)
        s = rsqrt(var + eps)
        scale = s if weight is None else s * weight
        slope = 2 * g_var / n - scale * s * s * channel_sum(gy * centred) / n
        shift = g_mean / n - scale * channel_sum(gy) / n
        ndim = input.ndim
        return (
            gy * spread_channels(scale, ndim)
            + centred * spread_channels(slope, ndim)
            + spread_channels(shift, ndim)
        )

    @staticmethod
    def vjp_weight(g: Any, input: Any, mean: Any, var: Any, eps: float) -> Any:
        return channel_sum(g[0] * (input - spread_channels(mean, input.ndim))) * rsqrt(var + eps)

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return channel_sum(g[0])

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float
    ) -> tuple[Any, ...]:
        gy, g_mean, g_var = g
        n = max(values_per_channel(input.shape), 1)
        s = 1 / xp.sqrt(var + eps)
        scale = s if weight is None else s * weight
        g_sum, gx_sum = gradient_sums(xp, gy, input, mean)
        g_input = None
        if needs[0]:
            slope = (2 * g_var - scale * s * s * gx_sum) / n
            shift = (g_mean - scale * g_sum) / n
            g_input = input_gradient(xp, gy, input, mean, scale, slope, shift)
        return g_input, gx_sum * s if needs[1] else None, g_sum if needs[2] else None

    @staticmethod
    def flops(input: Spec, weight: Spec | None, bias: Spec | None, eps: float) -> int:
        return 7 * input.size  # mean 1, variance 3, centre, scale and shift 3


class BatchNormEval(Op):
    """Batch normalisation by given statistics: an affine map per channel."""

    name = "batch_norm_eval"
    equation = "y = (x - mean[c]) / sqrt(var[c] + eps) * w[c] + b[c]"
    gradients = {
        "input": "dx = g * w / sqrt(var + eps)",
        "mean": "dmean[c] = -w/s * sum(g), s = sqrt(var + eps)",
        "var": "dvar[c] = -w/(2 s^3) * sum(g * (x - mean))",
        "weight": "dw[c] = sum(g * (x - mean)) / s",
        "bias": "db[c] = sum(g)",
    }
    edges = "a variance of 0 divides by sqrt(eps)"
    cost = "3 per element"
    inputs = ("input", "mean", "var", "weight", "bias")

    @staticmethod
    def infer(
        input: Spec, mean: Spec, var: Spec, weight: Spec | None, bias: Spec | None, eps: float
    ) -> Spec:
        check_channels(
            "batch_norm", input, running_mean=mean, running_var=var, weight=weight, bias=bias
        )
        return Spec(input.shape, input.dtype, input.layout)

    @staticmethod
    def forward(
        xp: Any, input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float
    ) -> Any:
        scale = 1 / xp.sqrt(var + eps)
        if weight is not None:
            scale = scale * weight
        return affine(xp, input, mean, scale, bias)

    @staticmethod
    def vjp_input(g: Any, var: Any, weight: Any, eps: float) -> Any:
        s = rsqrt(var + eps)
        return g * spread_channels(s if weight is None else s * weight, g.ndim)

    @staticmethod
    def vjp_mean(g: Any, var: Any, weight: Any, eps: float) -> Any:
        s = rsqrt(var + eps)
        return -channel_sum(g) * (s if weight is None else s * weight)

    @staticmethod
    def vjp_var(g: Any, input: Any, mean: Any, var: Any, weight: Any, eps: float) -> Any:
        s = rsqrt(var + eps)
        total = channel_sum(g * (input - spread_channels(mean, g.ndim))) * (s * s * s) * -0.5
        return total if weight is None else total * weight

    @staticmethod
    def vjp_weight(g: Any, input: Any, mean: Any, var: Any, eps: float) -> Any:
        return channel_sum(g * (input - spread_channels(mean, g.ndim))) * rsqrt(var + eps)

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return channel_sum(g)

    @staticmethod
    def flops(
        input: Spec, mean: Spec, var: Spec, weight: Spec | None, bias: Spec | None, eps: float
    ) -> int:
        return 3 * input.size


_batch_norm = BatchNorm.call
_batch_norm_eval = BatchNormEval.call


def _raise_one_value(input: Spec) -> None:
    raise ShapeError(
        "batch_norm",
        "one value per channel: training cannot normalise by its variance, which is 0",
        law=["n = N * prod(spatial) must be at least 2", f"n = {values_per_channel(input.shape)}"],
        values=[("input", input.shape, "[N, C, ...]")],
        repair="Use a batch of 2 or more (drop_last=True in the loader), larger maps, or "
        "evaluation: model.eval().",
        repairs=[{"input": (2, *input.shape[1:])}],
    )
