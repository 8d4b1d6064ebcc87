"""Tensors copied, pickled, printed, and moved between devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.array import as_device, copy_of, to_device, to_numpy
from tinygrad_cv.core.node import Leaf, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError

__all__ = ["METHODS", "cpu", "cuda"]


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with its own memory; only leaves can be copied so."""
    if isinstance(self.node, Node):
        raise GraphError(
            "deepcopy",
            "only leaves can be deep-copied, this tensor is the result of an operator",
            repair="Use t.detach().clone(), or copy the leaf.",
            notes=[f"it was made by {self.node.op.name} at {self.node.site}"],
        )
    copy = _rebuild(type(self), copy_of(self.array), self.requires_grad, _name(self))
    memo[id(self)] = copy
    if self.grad is not None:
        copy.grad = Tensor(copy_of(self.grad.array))
    return copy


def _reduce(self: Tensor) -> tuple[Any, ...]:
    if isinstance(self.node, Node):
        raise GraphError("pickle", "only leaves can be pickled", repair="Use t.detach().")
    device = self.device
    array = self.array if device.type == "meta" else to_numpy(self.array)
    return _unpickle, (type(self), array, str(device), self.requires_grad, _name(self))


def _repr(self: Tensor) -> str:
    note = ""
    if self.device.type == "meta":
        return f"tensor(..., device='meta', shape={self.shape}, dtype={self.dtype.name})"
    values = np.array2string(to_numpy(self.array), separator=", ", prefix="tensor(")
    if self.dtype.name not in ("float32", "int64", "bool"):
        note += f", dtype={self.dtype.name}"
    if self.device.type != "cpu":
        note += f", device='{self.device}'"
    if isinstance(self.node, Node):
        note += f", grad_fn=<{self.node.op.name}>"
    elif self.node is not None:
        note += ", requires_grad=True"
    return f"tensor({values}{note})"


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if self.ndim == 0 and spec else format(str(self), spec)


def cpu(self: Tensor) -> Tensor:
    """This tensor on the CPU; itself if it is there.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(2)
    >>> x.cpu() is x
    True
    """
    return self.to("cpu")


def cuda(self: Tensor, device: Any = None) -> Tensor:
    """This tensor on a CUDA device; itself if it is there.

    Args:
        device: a name, index or Device; the current CUDA device if None.

    Raises:
        BackendError: there is no usable CUDA device.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2).cuda().device  # doctest: +SKIP
    device('cuda:0')
    """
    return self.to("cuda" if device is None else as_device(device))


def _name(tensor: Tensor) -> str | None:
    return tensor.node.label if isinstance(tensor.node, Leaf) else None


def _rebuild(kind: type[Tensor], array: Any, requires_grad: bool, name: str | None) -> Tensor:
    tensor = kind.__new__(kind)
    Tensor.__init__(tensor, array, requires_grad=requires_grad)
    if isinstance(tensor.node, Leaf):
        tensor.node.label = name
    return tensor


def _unpickle(
    kind: type[Tensor], array: Any, device: str, requires_grad: bool, name: str | None
) -> Tensor:
    return _rebuild(kind, to_device(array, as_device(device)), requires_grad, name)


METHODS = {
    "__deepcopy__": _deepcopy,
    "__reduce__": _reduce,
    "__repr__": _repr,
    "__format__": _format,
    "cpu": cpu,
    "cuda": cuda,
}
