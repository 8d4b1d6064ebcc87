"""NumPy functions on Tensors: ``np.sin(t)``, ``array * t``, ``np.concatenate([t, t])``.

NumPy hands a call over when a Tensor is among its arguments. What we have under PyTorch's name runs
as our operator, with a gradient; everything else is a clear TypeError, never a number without its
graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, GraphError

__all__ = ["METHODS"]

# NumPy's name -> ours, where they differ. The same name is looked for otherwise.
_UFUNCS = {
    "absolute": "abs",
    "add": "add",
    "arccos": "acos",
    "arcsin": "asin",
    "arccosh": "acosh",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "divide": "div",
    "equal": "eq",
    "greater": "gt",
    "greater_equal": "ge",
    "left_shift": "bitwise_left_shift",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "invert": "bitwise_not",
    "negative": "neg",
    "not_equal": "ne",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "subtract": "sub",
    "true_divide": "div",
}
_FUNCTIONS = {
    "abs": "abs",
    "amax": "amax",
    "amin": "amin",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "max": "amax",
    "min": "amin",
    "moveaxis": "movedim",
    "repeat": "repeat_interleave",
    "swapaxes": "transpose",
    "take_along_axis": "take_along_dim",
    "expand_dims": "unsqueeze",
}
# Functions with the same name and meaning in both libraries for the arguments that NumPy hands
# over.
_SAME = frozenset(
    {
        "all",
        "allclose",
        "any",
        "argmax",
        "argmin",
        "argsort",
        "argwhere",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "bincount",
        "broadcast_to",
        "column_stack",
        "count_nonzero",
        "cumprod",
        "cumsum",
        "diagonal",
        "diff",
        "dot",
        "dsplit",
        "einsum",
        "empty_like",
        "flip",
        "full_like",
        "hsplit",
        "i0",
        "isclose",
        "isin",
        "kron",
        "matmul",
        "mean",
        "nan_to_num",
        "nanmean",
        "nanquantile",
        "nansum",
        "ones_like",
        "outer",
        "prod",
        "quantile",
        "ravel",
        "reshape",
        "roll",
        "round",
        "sinc",
        "squeeze",
        "stack",
        "std",
        "sum",
        "tensordot",
        "tile",
        "trace",
        "tril",
        "triu",
        "var",
        "vdot",
        "vsplit",
        "where",
        "zeros_like",
    }
)
_RENAMED_ARGUMENTS = {"axis": "dim", "keepdims": "keepdim", "ddof": "correction"}


def _ours(name: str, numpy_name: str) -> Callable[..., Any]:
    from tinygrad_cv.ops import TG_FUNCTIONS

    function = TG_FUNCTIONS.get(name)
    if function is None:
        raise DTypeError(
            f"np.{numpy_name}",
            "this NumPy function has no form for Tensors",
            repair="Use a tinygrad_cv function, or t.detach().numpy() where no gradient is needed.",
        )
    return function


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    name = ufunc.__name__
    if kwargs.get("out") is not None:
        raise DTypeError(
            f"np.{name}",
            "out= cannot be used with Tensors",
            repair="Use the result, or t.copy_(result).",
        )
    if method != "__call__" or kwargs:
        used = f".{method}" if method != "__call__" else " with " + ", ".join(kwargs)
        raise DTypeError(
            f"np.{name}",
            f"{name}{used} has no form for Tensors",
            repair="Use a tinygrad_cv function.",
        )
    function = _ours(_UFUNCS.get(name, name), name)
    return function(*(Tensor(x) if is_array(x) else x for x in map(_plain, inputs)))


def _plain(value: Any) -> Any:
    """NumPy scalars are weak, like Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _array_function(
    self: Tensor,
    function: Callable[..., Any],
    types: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    name = function.__name__
    if kwargs.pop("out", None) is not None:
        raise DTypeError(f"np.{name}", "out= cannot be used with Tensors", repair="Use the result.")
    if name in ("shape", "ndim", "size"):
        return {"shape": args[0].shape, "ndim": args[0].ndim, "size": args[0].numel()}[name]
    if name not in _FUNCTIONS and name not in _SAME:
        _ours("", name)
    renamed = {_RENAMED_ARGUMENTS.get(key, key): value for key, value in kwargs.items()}
    if name in ("var", "std"):
        renamed.setdefault("correction", 0)  # NumPy's default is the biased one
    ours = _ours(_FUNCTIONS.get(name, name), name)
    try:
        return ours(*args, **renamed)
    except TypeError as problem:
        if isinstance(problem, DTypeError):
            raise
        raise DTypeError(
            f"np.{name}", f"these arguments have no form for Tensors ({problem})"
        ) from None


def _dlpack(self: Tensor, **kwargs: Any) -> Any:
    if self.requires_grad:
        raise GraphError(
            "dlpack",
            "this tensor requires a gradient, which would be lost",
            repair="Use t.detach().",
        )
    return self.array.__dlpack__(**kwargs)


METHODS = {
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__dlpack__": _dlpack,
}
