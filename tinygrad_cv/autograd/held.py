"""Tensors as they stand at a moment, inside tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_cv.core.tensor import Tensor

__all__ = ["Held", "held", "mapped", "restored"]


def held(value: Any) -> Any:
    """``value`` with each Tensor as it stands now: its handle may move on, by ``x += 1``."""
    return mapped(value, Tensor, Held)


def restored(value: Any) -> Any:
    """What :func:`held` was given, with Tensors of their own."""
    return mapped(value, Held, Held.tensor)


class Held:
    """A Tensor as it was when this was made, wherever its handle went since."""

    def __init__(self, tensor: Tensor) -> None:
        self.array, self.node, self.index = tensor.array, tensor.node, tensor.index

    def tensor(self) -> Tensor:
        """A Tensor that stands there."""
        tensor = Tensor(self.array)
        tensor.node, tensor.index = self.node, self.index
        return tensor


def mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Nested tuples, lists and dicts with each ``kind`` in them changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [mapped(item, kind, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if type(value) is dict:
        return {key: mapped(item, kind, change) for key, item in value.items()}
    return value
