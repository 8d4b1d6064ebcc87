"""What a Tensor is, without looking at its values: the sizes that torch.Tensor has as methods.

``shape``, ``dtype``, ``ndim`` and ``device`` are attributes of Tensor itself.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import RangeError
from tinygrad_cv.ops._axes import as_axis

__all__ = ["METHODS", "dim", "element_size", "is_floating_point", "numel", "size"]


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size along ``dim``.

    Raises:
        RangeError: there is no such axis.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2, 3).size(), tg.ones(2, 3).size(-1)
    ((2, 3), 3)
    """
    if dim is None:
        return self.shape
    axis = as_axis("size", dim, self.ndim, self.shape)
    if not self.shape:
        raise RangeError("size", "a 0-d tensor has no axis", values=[("input", ())])
    return self.shape[axis]


def dim(self: Tensor) -> int:
    """The number of axes.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2, 3).dim()
    2
    """
    return self.ndim


def numel(self: Tensor) -> int:
    """The number of elements.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2, 3).numel()
    6
    """
    return int(self.array.size)


def element_size(self: Tensor) -> int:
    """Bytes per element.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2).element_size(), tg.ones(2, dtype="float64").element_size()
    (4, 8)
    """
    return self.dtype.itemsize


def is_floating_point(self: Tensor) -> bool:
    """True for the dtypes that can have a gradient.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2).is_floating_point(), tg.arange(2).is_floating_point()
    (True, False)
    """
    return self.dtype.kind == "f"


def _nbytes(self: Tensor) -> int:
    """Bytes of all elements.

    >>> import tinygrad_cv as tg
    >>> tg.ones(2, 3).nbytes
    24
    """
    return int(self.array.nbytes)


METHODS = {
    "size": size,
    "dim": dim,
    "ndimension": dim,
    "nelement": numel,
    "numel": numel,
    "element_size": element_size,
    "is_floating_point": is_floating_point,
    "nbytes": property(_nbytes),
}
