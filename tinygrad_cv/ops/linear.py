"""The fully connected layer (inner product): y = x W^T + b.

Three operators closed under differentiation: ``Linear`` and its two adjoints. Each is bilinear, so
the gradient of any of them is again one of the three, at every order.
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.memory import empty
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.shape import reshape

__all__ = ["Linear", "LinearInputGrad", "LinearWeightGrad", "linear"]

NN_FUNCTIONS = ("linear",)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Fully connected layer: ``y[..., o] = sum_i input[..., i] * weight[o, i] + bias[o]``.

    Args:
        input: [..., I]; any number of leading axes, none included.
        weight: [O, I]; or [I], for one output without an axis of its own.
        bias: [O] or None; 0-d for a weight [I].

    Returns:
        [..., O], of the common dtype; [...] for a weight [I].

    Raises:
        ShapeError: the last axis of ``input`` is not I, or ``weight`` / ``bias`` have other shapes.
        DTypeError: the dtypes differ.

    Source: the lecture's fully connected (inner product) layer; names as
        ``torch.nn.functional.linear``.

    >>> import tinygrad_cv as tg
    >>> x, weight = tg.tensor([[1.0, 2.0]]), tg.tensor([[1.0, 1.0], [0.0, 3.0]])
    >>> tg.nn.functional.linear(x, weight, tg.tensor([0.5, 0.0])).tolist()
    [[3.5, 6.0]]
    """
    if len(weight.shape) != 1:
        return _linear(input, weight, bias)
    _check_vector(input, weight, bias)
    row, offset = reshape(weight, (1, *weight.shape)), None if bias is None else reshape(bias, (1,))
    return reshape(_linear(input, row, offset), input.shape[:-1])


class Linear(Op):
    """Fully connected layer; the leading axes of the input are a batch."""

    name = "linear"
    equation = "y[n,o] = sum_i x[n,i] * w[o,i] + b[o]"
    gradients = {
        "input": "dx[n,i] = sum_o g[n,o] * w[o,i]",
        "weight": "dw[o,i] = sum_n g[n,o] * x[n,i]",
        "bias": "db[o] = sum_n g[n,o]",
    }
    edges = "NaN and infinity as in the sums of products"
    cost = "2 N I O, and N O for the bias"
    dtypes = "bool, integer, floating"
    inputs = ("input", "weight", "bias")

    @staticmethod
    def infer(input: Spec, weight: Spec, bias: Spec | None) -> Spec:
        _check_shapes(input, weight, bias)
        return Spec((*input.shape[:-1], weight.shape[0]), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, weight: Any, bias: Any) -> Any:
        # One matrix product over all leading axes: NumPy would run one small product per leading
        # index.
        y = _product(xp, _rows(input), weight.T)
        if bias is not None:
            y += bias
        return y.reshape(*input.shape[:-1], weight.shape[0])

    @staticmethod
    def vjp_input(g: Any, weight: Any) -> Any:
        return linear_input_grad(g, weight)

    @staticmethod
    def vjp_weight(g: Any, input: Any) -> Any:
        return linear_weight_grad(g, input)

    @staticmethod
    def vjp_bias(g: Any) -> Any:
        return sum_over(g, dim=tuple(range(g.ndim - 1))) if g.ndim > 1 else g

    @staticmethod
    def flops(input: Spec, weight: Spec, bias: Spec | None) -> int:
        rows = math.prod(input.shape[:-1])
        return 2 * rows * weight.size + (rows * weight.shape[0] if bias is not None else 0)


class LinearInputGrad(Op):
    """Input gradient of ``Linear``: the product with the weight itself instead of its transpose."""

    name = "linear_input_grad"
    equation = "dx[n,i] = sum_o g[n,o] * w[o,i]"
    gradients = {
        "grad": "dg[n,o] = sum_i G[n,i] * w[o,i]",
        "weight": "dw[o,i] = sum_n g[n,o] * G[n,i]",
    }
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "2 N I O"
    inputs = ("grad", "weight")

    @staticmethod
    def infer(grad: Spec, weight: Spec) -> Spec:
        _check_product("linear_input_grad", ("grad", grad, -1), ("weight", weight, 0))
        return Spec((*grad.shape[:-1], weight.shape[1]), grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, weight: Any) -> Any:
        return _product(xp, _rows(grad), weight).reshape(*grad.shape[:-1], weight.shape[1])

    @staticmethod
    def vjp_grad(g: Any, weight: Any) -> Any:
        return _linear(g, weight, None)

    @staticmethod
    def vjp_weight(g: Any, grad: Any) -> Any:
        return linear_weight_grad(grad, g)

    @staticmethod
    def flops(grad: Spec, weight: Spec) -> int:
        return 2 * math.prod(grad.shape[:-1]) * weight.size


class LinearWeightGrad(Op):
    """Weight gradient of ``Linear``: outer products of gradient and input, summed over n."""

    name = "linear_weight_grad"
    equation = "dw[o,i] = sum_n g[n,o] * x[n,i]"
    gradients = {
        "grad": "dg[n,o] = sum_i x[n,i] * G[o,i]",
        "input": "dx[n,i] = sum_o g[n,o] * G[o,i]",
    }
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "2 N I O"
    inputs = ("grad", "input")

    @staticmethod
    def infer(grad: Spec, input: Spec) -> Spec:
        rows = [("grad", _rows_spec(grad), 0), ("input", _rows_spec(input), 0)]
        _check_product("linear_weight_grad", *rows)
        return Spec((grad.shape[-1], input.shape[-1]), input.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, input: Any) -> Any:
        return _product(xp, _rows(grad).T, _rows(input))

    @staticmethod
    def vjp_grad(g: Any, input: Any) -> Any:
        return _linear(input, g, None)

    @staticmethod
    def vjp_input(g: Any, grad: Any) -> Any:
        return linear_input_grad(grad, g)

    @staticmethod
    def flops(grad: Spec, input: Spec) -> int:
        return 2 * math.prod(grad.shape) * input.shape[-1]


_linear = Linear.call
linear_input_grad = LinearInputGrad.call
linear_weight_grad = LinearWeightGrad.call


def _rows(array: Any) -> Any:
    """[..., I] as a matrix [N, I]; N is computed, not inferred, so that empty arrays work too."""
    if array.ndim == 2:
        return array
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _product(xp: Any, a: Any, b: Any) -> Any:
    return xp.matmul(a, b, out=empty((a.shape[0], b.shape[1]), a.dtype, xp=xp))


def _rows_spec(spec: Spec) -> Spec:
    return Spec((math.prod(spec.shape[:-1]), *spec.shape[-1:]), spec.dtype)


def _check_product(op: str, first: tuple[str, Spec, int], second: tuple[str, Spec, int]) -> None:
    """Two factors must agree in the axis over which they are summed."""
    (one, a, i), (other, b, k) = first, second
    if not a.ndim or not b.ndim or a.shape[i] != b.shape[k]:
        raise ShapeError(
            op,
            f"axis {i} of {one} and axis {k} of {other} must have the same size",
            values=[(one, a.shape), (other, b.shape)],
        )


def _check_vector(input: Any, weight: Any, bias: Any) -> None:
    """Input and bias fit a weight [I]; what else there is to check, the operator checks."""
    size = weight.shape[0]
    if not input.shape or input.shape[-1] != size:
        problem = f"the input needs I = {size} in its last axis"
        repairs: list[dict[str, Any]] = [{"weight": input.shape[-1:]}] if input.shape else []
    elif bias is not None and bias.shape:
        problem, repairs = "a weight [I] takes a bias without axes", [{"bias": ()}]
    else:
        return
    values = [("input", input.shape, "[..., I]"), ("weight", weight.shape, "[I]")]
    if bias is not None:
        values.append(("bias", bias.shape, "[]"))
    raise ShapeError("linear", problem, values=values, repairs=repairs)


def _check_shapes(input: Spec, weight: Spec, bias: Spec | None) -> None:
    values = [("input", input.shape, "[..., I]"), ("weight", weight.shape, "[O, I]")]
    if bias is not None:
        values.append(("bias", bias.shape, "[O]"))
    if weight.ndim != 2:
        raise ShapeError(
            "linear", f"the weight needs 2 axes [O, I], it has {weight.ndim}", values=values
        )
    out_features, in_features = weight.shape
    if input.ndim == 0 or input.shape[-1] != in_features:
        found = "no axis" if input.ndim == 0 else f"{input.shape[-1]} in its last axis"
        raise ShapeError(
            "linear",
            f"the input has {found}, the weight takes I = {in_features}",
            law=["y[..., o] = sum_i x[..., i] * w[o, i]"],
            values=values,
            repair=_feature_repair(input, in_features),
            repairs=[{"weight": (out_features, *input.shape[-1:])}] if input.ndim else [],
        )
    if bias is not None and bias.shape != (out_features,):
        raise ShapeError(
            "linear",
            f"the bias must have shape ({out_features},), one value per output feature",
            values=values,
            repairs=[{"bias": (out_features,)}],
        )
    dtypes = {spec.dtype.name for spec in (input, weight, bias) if spec is not None}
    if len(dtypes) > 1:
        raise DTypeError(
            "linear",
            f"the dtypes differ: {', '.join(sorted(dtypes))}",
            values=[("input", input.dtype), ("weight", weight.dtype)]
            + ([] if bias is None else [("bias", bias.dtype)]),
            repair=f"Convert with input.to({weight.dtype.name!r}) or module.to(dtype).",
        )


def _feature_repair(input: Spec, in_features: int) -> str:
    """What is meant most often: a flatten or a pooling was forgotten, or in_features is wrong."""
    shape, last = input.shape, input.shape[-1] if input.ndim else 0
    flat = math.prod(shape[1:])
    if input.ndim > 2 and flat == in_features:
        return f"Flatten the input first: input.flatten(1) has {in_features} features."
    if in_features in shape[:-1] and (input.ndim > 2 or last == 1):
        axis = max(a for a in range(input.ndim - 1) if shape[a] == in_features)
        return f"Axis {axis} has {in_features}: input.movedim({axis}, -1) puts it last."
    also = f", or flatten(1) and in_features={flat}" if input.ndim > 2 else ""
    text = f"Make the layer with in_features={last}{also}."
    if input.ndim in (2, 4) and min(flat, in_features) > 1 and _is_square(flat * in_features):
        # C*H*H and C*P*P, of square images that are not of the size the layer was made for
        size, law = "P", f", with C*P*P = {in_features}"
        if input.ndim == 4 and in_features % shape[1] == 0 and shape[2] == shape[3]:
            size, law = str(math.isqrt(in_features // shape[1])), ""
        text += (
            " If it was made for images of another size: "
            f"nn.AdaptiveAvgPool2d({size}) before flatten{law}."
        )
    return text


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number
