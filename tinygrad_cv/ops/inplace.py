"""In-place forms of the functions that write at positions, bound, scan and cut triangles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.core.mode import state
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops.index import index_put
from tinygrad_cv.ops.layout import clone
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.writing import inplace

__all__ = ["METHODS"]


def fill_diagonal(input: Any, fill_value: Any, wrap: bool = False) -> Any:
    """A copy with ``fill_value`` where all positions are equal."""
    shape = input.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(
            "fill_diagonal_",
            "needs a matrix, or more than 2 axes of one size",
            values=[("input", shape)],
        )
    size = math.prod(shape)
    step = sum(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    end = size if wrap or len(shape) > 2 else min(size, shape[1] * shape[1])
    flat = reshape(input, (size,))
    return reshape(index_put(flat, np.arange(0, end, step), fill_value), shape)


def _form(name: str) -> Callable[..., Any]:
    """The method without the underscore, as a function."""

    def form(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        learns = any(isinstance(x, Tensor) and x.requires_grad for x in (self, *args))
        source = clone(self) if learns and state().grad else self  # nodes may save it
        return getattr(source, name)(*args, **kwargs)

    form.__name__ = form.__qualname__ = name
    return form


_DETAILS = """

Gradients flow through it as through the form that makes a new tensor.

Raises:
    GraphError: this tensor is a view, or a leaf that requires a gradient.
    ShapeError: the result has another shape than this tensor.
    DTypeError: a float result cannot go into an integer tensor.

>>> import tinygrad_cv as tg
>>> tg.tensor([[4.0, 1.0], [2.0, 3.0]]).{name}({arguments}).tolist()
{result}
"""

_ROW, _INDEX = "tg.tensor([[8.0, 9.0]])", "tg.tensor([0])"
_HERE = "tg.tensor([[1, 0]])"  # positions along axis 0

# The arguments of an example, and what becomes of [[4, 1], [2, 3]].
_EXAMPLES = {
    "clamp_": ("2, 3", "[[3.0, 2.0], [2.0, 3.0]]"),
    "clamp_max_": ("2", "[[2.0, 1.0], [2.0, 2.0]]"),
    "clamp_min_": ("2", "[[4.0, 2.0], [2.0, 3.0]]"),
    "clip_": ("2, 3", "[[3.0, 2.0], [2.0, 3.0]]"),
    "cumprod_": ("0", "[[4.0, 1.0], [8.0, 3.0]]"),
    "cumsum_": ("0", "[[4.0, 1.0], [6.0, 4.0]]"),
    "index_add_": (f"0, {_INDEX}, {_ROW}", "[[12.0, 10.0], [2.0, 3.0]]"),
    "index_copy_": (f"0, {_INDEX}, {_ROW}", "[[8.0, 9.0], [2.0, 3.0]]"),
    "index_fill_": (f"0, {_INDEX}, 7", "[[7.0, 7.0], [2.0, 3.0]]"),
    "index_put_": (f"({_INDEX},), tg.tensor(7.0)", "[[7.0, 7.0], [2.0, 3.0]]"),
    "index_reduce_": (f"0, {_INDEX}, {_ROW}, 'amax'", "[[8.0, 9.0], [2.0, 3.0]]"),
    "masked_fill_": ("tg.tensor([True, False]), 0", "[[0.0, 1.0], [0.0, 3.0]]"),
    "masked_scatter_": (
        "tg.tensor([True, False]), tg.tensor([8.0, 9.0])",
        "[[8.0, 1.0], [9.0, 3.0]]",
    ),
    "put_": ("tg.tensor([3]), tg.tensor([7.0])", "[[4.0, 1.0], [2.0, 7.0]]"),
    "scatter_": (f"0, {_HERE}, {_ROW}", "[[4.0, 9.0], [8.0, 3.0]]"),
    "scatter_add_": (f"0, {_HERE}, {_ROW}", "[[4.0, 10.0], [10.0, 3.0]]"),
    "scatter_reduce_": (f"0, {_HERE}, {_ROW}, 'amax'", "[[4.0, 9.0], [8.0, 3.0]]"),
    "tril_": ("", "[[4.0, 0.0], [2.0, 3.0]]"),
    "triu_": ("", "[[4.0, 1.0], [0.0, 3.0]]"),
}

METHODS: dict[str, Any] = {name: inplace(_form(name[:-1]), name) for name in _EXAMPLES}
METHODS["fill_diagonal_"] = inplace(fill_diagonal, "fill_diagonal_")
METHODS["fill_diagonal_"].__doc__ = "Set the elements whose positions are all equal; in place."
_EXAMPLES["fill_diagonal_"] = ("0", "[[0.0, 1.0], [2.0, 0.0]]")

for _name, (_arguments, _result) in _EXAMPLES.items():
    METHODS[_name].__doc__ += _DETAILS.format(name=_name, arguments=_arguments, result=_result)
