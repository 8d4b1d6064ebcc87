"""What activation functions share: which dtypes they take, and writing in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_cv.errors import DTypeError
from tinygrad_cv.ops.layout import clone
from tinygrad_cv.ops.writing import write

__all__ = ["applied", "check_floating", "refuse_bool"]


def check_floating(name: str, input: Any) -> None:
    """Exponentials and slopes have no whole numbers."""
    if input.dtype.kind != "f":
        raise DTypeError(
            name,
            f"the input must be floating, it is {input.dtype.name}",
            values=[("input", input.shape)],
            repair="Convert it first, for example with .float().",
        )


def refuse_bool(name: str, input: Any) -> None:
    """Whole numbers may be cut off, bool may not."""
    if input.dtype.kind == "b":
        raise DTypeError(name, "bool has no sign and no order", values=[("input", input.shape)])


def applied(function: Callable[..., Any], input: Any, inplace: bool, *attributes: Any) -> Any:
    """``function(input, *attributes)``; with ``inplace`` the input gets the values, and stands for
    the result from then on. The gradient reads what was there before, so a copy of it is kept."""
    if not inplace:
        return function(input, *attributes)
    source = clone(input) if input.requires_grad else input
    return write(input, function(source, *attributes), f"{function.__name__}_")
