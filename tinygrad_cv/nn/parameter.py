"""Parameter: a leaf Tensor that a module owns and an optimiser trains."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.array import as_device, default_device, to_device
from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.node import Leaf
from tinygrad_cv.core.tensor import Tensor, as_tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A Tensor that becomes a parameter of the module it is assigned to.

    Args:
        data: a Tensor, array or nested list; memory is shared where it can be.
        requires_grad: False makes a frozen parameter.

    Assigning it to an attribute of a module registers it and gives it that attribute's name, which
    pictures and messages show.

    >>> from tinygrad_cv import nn
    >>> nn.Parameter([1.0, 2.0])
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ("_label",)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        self._label: str | None = None
        super().__init__(as_tensor(data).array, requires_grad=requires_grad)

    def named(self, name: str) -> None:
        """Take the attribute's name, now and whenever a gradient is asked for again.

        Modules call it when the parameter is registered; a parameter outside a module may be named
        so.

        >>> weight = Parameter([1.0])
        >>> weight.named("weight")
        >>> weight.node.label
        'weight'
        """
        self._label = name
        if isinstance(self.node, Leaf):
            self.node.label = name

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for the gradient, or freeze the parameter; its name stays.

        >>> weight = Parameter([1.0], requires_grad=False)
        >>> weight.requires_grad_()
        Parameter containing:
        tensor([1.], requires_grad=True)
        """
        super().requires_grad_(requires_grad)
        if isinstance(self.node, Leaf) and self.node.label is None:
            self.node.label = getattr(self, "_label", None)
        return self

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def blank(
    shape: tuple[int, ...], device: Any, dtype: Any, order: tuple[int, ...] | None = None
) -> Parameter:
    """A float parameter of zeros, to be filled by ``nn.init``; a Spec on the meta device. ``order``
    says which axes its memory runs through, the slowest first."""
    if order is None:
        return Parameter(blank_array(shape, device, dtype))
    array = blank_array(tuple(shape[axis] for axis in order), device, dtype)
    if isinstance(array, Spec):
        return Parameter(Spec(shape, array.dtype))
    return Parameter(array.transpose(tuple(order.index(axis) for axis in range(len(order)))))


def blank_array(shape: tuple[int, ...], device: Any, dtype: Any, value: float = 0.0) -> Any:
    """An array filled with ``value`` on ``device``, or its Spec on the meta device."""
    place = default_device() if device is None else as_device(device)
    kind = get_default_dtype() if dtype is None else as_dtype(dtype)
    if place.type == "meta":
        return Spec(tuple(shape), kind)
    return to_device(np.full(shape, value, kind), place)
