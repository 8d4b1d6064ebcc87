"""A layer of products of two inputs."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.errors import DTypeError, ShapeError
from tinygrad_cv.ops.einsum import einsum
from tinygrad_cv.ops.shape import reshape

__all__ = ["bilinear"]

NN_FUNCTIONS = ("bilinear",)
TENSOR_ARGUMENTS = ("input1", "input2", "weight", "bias")

Shape = tuple[int, ...]
OPTIONAL_TENSORS = ("bias",)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``y[..., o] = sum_{i,j} a[..., i] weight[o, i, j] b[..., j] + bias[o]``.

    Args:
        input1: [..., I].
        input2: [..., J], with the same axes in front.
        weight: [O, I, J].
        bias: [O], or None.

    Returns:
        [..., O].

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes differ, or are bool.

    >>> import tinygrad_cv as tg
    >>> a, b, w = tg.tensor([1.0, 2.0]), tg.tensor([3.0]), tg.tensor([[[1.0], [10.0]]])
    >>> tg.nn.functional.bilinear(a, b, w).tolist()  # 1 * 1 * 3 + 2 * 10 * 3
    [63.0]
    """
    tensors = {"input1": input1, "input2": input2, "weight": weight}
    tensors |= {} if bias is None else {"bias": bias}
    _check_dtypes(tensors)
    letters = {"input1": "[..., I]", "input2": "[..., J]", "weight": "[O, I, J]", "bias": "[O]"}
    problem = None
    if len(weight.shape) != 3 or not input1.shape or not input2.shape:
        problem = "the weight needs three axes, the inputs one at least"
    elif input1.shape[:-1] != input2.shape[:-1]:
        problem = "the inputs differ in the axes in front of the last"
    elif (input1.shape[-1], input2.shape[-1]) != weight.shape[1:]:
        problem = (
            f"the inputs have {input1.shape[-1]} and {input2.shape[-1]} features, "
            f"the weight takes {weight.shape[1]} and {weight.shape[2]}"
        )
    elif bias is not None and bias.shape != weight.shape[:1]:
        problem = f"the bias needs {weight.shape[0]} elements"
    if problem is not None:
        raise ShapeError(
            "bilinear",
            problem,
            law=["y[..., o] = sum_{i,j} input1[..., i] * weight[o, i, j] * input2[..., j] + b[o]"],
            values=[(name, x.shape, letters[name]) for name, x in tensors.items()],
            **_repair(input1.shape, input2.shape, weight.shape, bias),
        )
    front = input1.shape[:-1]
    a, b = (reshape(x, (math.prod(front), x.shape[-1])) for x in (input1, input2))
    y = reshape(einsum("ni,oij,nj->no", a, weight, b), (*front, weight.shape[0]))
    return y if bias is None else y + bias


def _repair(a: Shape, b: Shape, weight: Shape, bias: Any) -> dict[str, Any]:
    """The shapes of what is to change if the first input stays as it is, for a ShapeError."""
    if not a or not b:
        return {}
    outputs = weight[0] if weight else 1
    fitting = {"input2": (*a[:-1], b[-1]), "weight": (outputs, a[-1], b[-1])}
    if bias is not None:
        fitting["bias"] = (outputs,)
    given = {"input2": b, "weight": weight, "bias": getattr(bias, "shape", None)}
    changed = {name: shape for name, shape in fitting.items() if given[name] != shape}
    words = ", ".join(f"{name} {shape}" for name, shape in changed.items())
    return {"repair": f"With this input1 would fit: {words}.", "repairs": [changed]}


def _check_dtypes(tensors: dict[str, Any]) -> None:
    dtype = tensors["input1"].dtype
    for name, x in tensors.items():
        if x.dtype != dtype:
            raise DTypeError(
                "bilinear",
                f"input1 is {dtype}, {name} is {x.dtype}",
                repair=f"Convert with {name}.to({dtype.name!r}).",
            )
    if dtype.kind == "b":
        raise DTypeError("bilinear", "bool has no products", repair="Convert with .float().")
