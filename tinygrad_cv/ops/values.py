"""Values out of a Tensor: to NumPy, to Python numbers, and the truth, length and items of one.

Nothing here is recorded, so a tensor that requires a gradient refuses to become a NumPy array.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import to_numpy
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError

__all__ = ["METHODS", "item", "numpy", "tolist"]


def numpy(self: Tensor) -> np.ndarray:
    """The values as a NumPy array that shares memory on the CPU.

    Raises:
        GraphError: this tensor requires a gradient, which would be lost, or is on the meta device.

    >>> import tinygrad_cv as tg
    >>> t = tg.zeros(3)
    >>> t.numpy()[0] = 5  # the same memory
    >>> t
    tensor([5., 0., 0.])
    """
    if self.node is not None:
        raise GraphError(
            "numpy",
            "this tensor requires a gradient, which NumPy would lose",
            repair="Use t.detach().numpy().",
        )
    return to_numpy(_with_data(self, "numpy"))


def item(self: Tensor) -> Any:
    """The only element, as a Python number.

    Raises:
        ShapeError: there is not exactly one element.
        GraphError: this tensor is on the meta device.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([[2.5]]).item()
    2.5
    """
    if self.array.size != 1:
        raise ShapeError(
            "item",
            f"only a tensor of one element has an item, this one has {self.numel()}",
            values=[("self", self.shape)],
            repair="Reduce it first, or use t.tolist().",
        )
    return _with_data(self, "item").item()


def tolist(self: Tensor) -> Any:
    """The values as nested lists of Python numbers; of a 0-d tensor, one number.

    Raises:
        GraphError: this tensor is on the meta device.

    >>> import tinygrad_cv as tg
    >>> tg.arange(4).reshape(2, 2).tolist(), tg.tensor(2.5).tolist()
    ([[0, 1], [2, 3]], 2.5)
    """
    return to_numpy(_with_data(self, "tolist")).tolist()


def _with_data(self: Tensor, what: str) -> Any:
    if isinstance(self.array, Spec):
        raise GraphError(what, "a tensor on the meta device has a shape but no values")
    return self.array


def _float(self: Tensor) -> float:
    return float(self.item())


def _int(self: Tensor) -> int:
    return int(self.item())


def _index(self: Tensor) -> int:
    if self.dtype.kind not in "iub":
        raise DTypeError(
            "index", f"only an integer tensor can be an index, this one is {self.dtype.name}"
        )
    return int(self.item())


def _bool(self: Tensor) -> bool:
    if self.array.size != 1:
        raise ArgumentError(
            "bool",
            f"the truth of a tensor of {self.numel()} elements is ambiguous",
            repair="Use t.any() or t.all().",
        )
    return bool(_with_data(self, "bool").item())


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise DTypeError("len", "a 0-d tensor has no length")
    return self.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise DTypeError("iter", "a 0-d tensor cannot be iterated over")
    return (self[i] for i in range(len(self)))


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    return np.array(self.numpy(), dtype=dtype, copy=copy)


def _dlpack_device(self: Tensor) -> Any:
    return _with_data(self, "dlpack").__dlpack_device__()


METHODS = {
    "numpy": numpy,
    "item": item,
    "tolist": tolist,
    "__float__": _float,
    "__int__": _int,
    "__index__": _index,
    "__bool__": _bool,
    "__len__": _len,
    "__iter__": _iter,
    "__array__": _array,
    "__dlpack_device__": _dlpack_device,
}
