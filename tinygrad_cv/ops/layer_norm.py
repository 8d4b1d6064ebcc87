"""Layer and RMS normalisation: statistics over the last axes, whatever the other axes are."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_cv.backend import standardise
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.standardise import standardised, trailing_sets
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._channels import check_floating
from tinygrad_cv.ops._standardise import input_gradient, standard_values
from tinygrad_cv.ops.expand import sum_to

__all__ = ["LayerNorm", "RMSNorm", "layer_norm", "rms_norm"]

NN_FUNCTIONS = ("layer_norm", "rms_norm")

Shape = tuple[int, ...]


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Layer normalisation: ``y = (x - mean) / sqrt(var + eps) * weight + bias`` with mean and
    biased variance over the last axes, element by element of weight and bias.

    For images, ``normalized_shape`` = (C, H, W) normalises whole samples.

    Args:
        input: [..., *normalized_shape], float.
        normalized_shape: an int, or the sizes of the last axes.
        weight (gamma), bias (beta): [*normalized_shape] or None.

    Returns:
        The shape of ``input``.

    Raises:
        ShapeError: the last axes of the input, or weight or bias, have other sizes.
        ArgumentError: ``normalized_shape`` is empty.

    Edge rules: one value per set gives the bias. An empty input gives an empty output.

    Source: Ba et al., "Layer normalization" (2016); the lecture's layer normalisation.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1.0, 3.0], [10.0, 30.0]])
    >>> tg.nn.functional.layer_norm(x, (2,)).numpy().round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    shape = _checked("layer_norm", input, normalized_shape)
    return _layer_norm(input, weight, bias, len(shape), float(eps))[0]


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """RMS normalisation: ``y = x / sqrt(mean(x^2) + eps) * weight``, the mean over the last axes.

    Layer normalisation without centring and bias: as good in many networks, and cheaper.

    Args:
        input: [..., *normalized_shape], float.
        normalized_shape: an int, or the sizes of the last axes.
        weight: [*normalized_shape] or None.
        eps: None is the smallest number that makes a difference to 1 in the dtype of the input.

    Returns:
        The shape of ``input``.

    Raises:
        ShapeError: the last axes of the input, or the weight, have other sizes.
        ArgumentError: ``normalized_shape`` is empty.

    Source: Zhang and Sennrich, "Root mean square layer normalization" (2019).

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.rms_norm(tg.tensor([3.0, 4.0, 0.0, 0.0]), 4).numpy().round(3)
    array([1.2, 1.6, 0. , 0. ], dtype=float32)
    """
    shape = _checked("rms_norm", input, normalized_shape)
    if eps is None:
        eps = float(np.finfo(input.dtype).eps)
    elif not isinstance(eps, Real):
        raise DTypeError("rms_norm", f"eps must be a number or None, not {eps!r:.60}")
    return _rms_norm(input, weight, len(shape), float(eps))[0]


class LayerNorm(Op):
    """Normalisation over the last ``dims`` axes; mean and biased variance, [N, 1], are outputs too,
    with N the number of sets."""

    name = "layer_norm"
    equation = "y[n,i] = (x[n,i] - mean[n]) / sqrt(var[n] + eps) * w[i] + b[i]; mean, var over i"
    gradients = {
        "input": "dx = (G - mean(G) - xhat * mean(G * xhat)) / s, G = g * w, s = sqrt(var + eps)",
        "weight": "dw[i] = sum_n g * xhat",
        "bias": "db[i] = sum_n g",
    }
    edges = "NaN and infinity spoil their row"
    cost = "7 per element"
    inputs = ("input", "weight", "bias")
    outputs = ("output", "mean", "var")

    @staticmethod
    def infer(
        input: Spec, weight: Spec | None, bias: Spec | None, dims: int, eps: float
    ) -> tuple[Spec, ...]:
        return _specs("layer_norm", input, dims, weight=weight, bias=bias)

    @staticmethod
    def forward(
        xp: Any, input: Any, weight: Any, bias: Any, dims: int, eps: float
    ) -> tuple[Any, ...]:
        return standardised(xp, input, weight, bias, eps, trailing_sets(input.shape, dims))

    @staticmethod
    def vjp_input(g: Any, input: Any, weight: Any, mean: Any, var: Any, eps: float) -> Any:
        gy, g_mean, g_var = g
        weighted = gy if weight is None else gy * weight
        return input_gradient(weighted, g_mean, g_var, input, mean, var, eps)

    @staticmethod
    def vjp_weight(g: Any, input: Any, weight_shape: Shape, mean: Any, var: Any, eps: float) -> Any:
        return sum_to(g[0] * standard_values(input, mean, var, eps), weight_shape)

    @staticmethod
    def vjp_bias(g: Any, bias_shape: Shape) -> Any:
        return sum_to(g[0], bias_shape)

    @staticmethod
    def fused_vjp(
        xp: Any,
        g: Any,
        needs: Any,
        input: Any,
        weight: Any,
        mean: Any,
        var: Any,
        dims: int,
        eps: float,
    ) -> tuple[Any, ...]:
        sets = trailing_sets(input.shape, dims)
        return _shaped(
            standardise.gradients(xp, g, needs, input, weight, mean, var, eps, sets), input, dims
        )

    @staticmethod
    def flops(input: Spec, *_: Any) -> int:
        return 7 * input.size  # mean 1, variance 3, centre, scale and shift 3


class RMSNorm(Op):
    """Division by the root of the mean square over the last ``dims`` axes; the mean square, [N, 1],
    is an output too."""

    name = "rms_norm"
    equation = "y[n,i] = x[n,i] / sqrt(square[n] + eps) * w[i]; square = mean_i x[n,i]^2"
    gradients = {
        "input": "dx = (G - xhat * mean(G * xhat)) / s, G = g * w, s = sqrt(square + eps)",
        "weight": "dw[i] = sum_n g * xhat",
    }
    edges = "NaN and infinity spoil their row"
    cost = "4 per element"
    inputs = ("input", "weight")
    outputs = ("output", "square")

    @staticmethod
    def infer(input: Spec, weight: Spec | None, dims: int, eps: float) -> tuple[Spec, ...]:
        return _specs("rms_norm", input, dims, weight=weight)[:2]

    @staticmethod
    def forward(xp: Any, input: Any, weight: Any, dims: int, eps: float) -> tuple[Any, ...]:
        sets = trailing_sets(input.shape, dims)
        output, _, square = standardised(xp, input, weight, None, eps, sets, centre=False)
        return output, square

    @staticmethod
    def vjp_input(g: Any, input: Any, weight: Any, square: Any, eps: float) -> Any:
        weighted = g[0] if weight is None else g[0] * weight
        return input_gradient(weighted, None, g[1], input, None, square, eps)

    @staticmethod
    def vjp_weight(g: Any, input: Any, weight_shape: Shape, square: Any, eps: float) -> Any:
        return sum_to(g[0] * standard_values(input, None, square, eps), weight_shape)

    @staticmethod
    def fused_vjp(
        xp: Any, g: Any, needs: Any, input: Any, weight: Any, square: Any, dims: int, eps: float
    ) -> tuple[Any, ...]:
        sets = trailing_sets(input.shape, dims)
        found = standardise.gradients(
            xp, (g[0], None, g[1]), needs, input, weight, None, square, eps, sets
        )
        return _shaped(found[:2], input, dims)

    @staticmethod
    def flops(input: Spec, *_: Any) -> int:
        return 4 * input.size  # mean square 2, scale and weight 2


_layer_norm = LayerNorm.call
_rms_norm = RMSNorm.call


def _specs(op: str, input: Spec, dims: int, **elements: Spec | None) -> tuple[Spec, ...]:
    """Output, mean and variance. Weight and bias must have the sizes of the last axes."""
    shape = tuple(input.shape[input.ndim - dims :])
    for name, value in elements.items():
        if value is not None and tuple(value.shape) != shape:
            raise ShapeError(
                op,
                f"{name} must have the shape normalized_shape",
                values=[("normalized_shape", shape), (name, tuple(value.shape))],
                repairs=[{n: shape for n, v in elements.items() if v is not None}],
            )
    check_floating(op, input, **elements)
    statistic = Spec((math.prod(input.shape[: input.ndim - dims]), 1), input.dtype)
    return Spec(input.shape, input.dtype), statistic, statistic


def _shaped(found: tuple[Any, ...], input: Any, dims: int) -> tuple[Any, ...]:
    """The gradients of weight and bias in their shape."""
    shape = input.shape[input.ndim - dims :]
    return (found[0], *(None if d is None else d.reshape(shape) for d in found[1:]))


def _checked(op: str, input: Any, normalized_shape: Any) -> Shape:
    """The normalised shape as a tuple, which the last axes of the input must have."""
    shape = as_ints(op, "normalized_shape", normalized_shape)
    if not shape:
        raise ArgumentError(
            op,
            "normalized_shape must name at least one axis, it is empty",
            repair="Pass the sizes of the last axes, such as input.shape[-1:].",
        )
    if tuple(input.shape[-len(shape) :]) != shape:
        last = tuple(input.shape[-len(shape) :])
        raise ShapeError(
            op,
            f"the last {len(shape)} axes of the input must have the sizes of normalized_shape",
            law=[
                f"input.shape[{-len(shape)}:] = normalized_shape",
                f"{last} = {shape} is false",
            ],
            values=[("input", tuple(input.shape)), ("normalized_shape", shape)],
            repair=f"Use normalized_shape={last}.{_channels_repair(input, shape)}"
            if last
            else None,
            repairs=[{"normalized_shape": last}] if last else [],
        )
    return shape


def _channels_repair(input: Any, shape: Shape) -> str:
    """What to do about the channels of images, which do not stand in the last axis."""
    if input.ndim < 3 or shape != (input.shape[1],):
        return ""
    return (
        f" If it is for the {shape[0]} channels of axis 1: input.movedim(1, -1) puts them last; "
        f"over positions too, use nn.GroupNorm(1, {shape[0]})."
    )
