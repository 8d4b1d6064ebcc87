"""Tensor: an array, and where it stands in the graph.

A Tensor that asks for a gradient has a ``node``: the :class:`Node` that made it, or a :class:`Leaf`
if the user did. Everything that computes (``+``, ``sum``, ``conv2d`` ...) is given to this class by
the floors above through :func:`extend`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_cv.backend.array import Device, asarray, device_of
from tinygrad_cv.backend.blame import Detached
from tinygrad_cv.backend.dtypes import as_dtype, supported
from tinygrad_cv.core.mode import state
from tinygrad_cv.core.node import Leaf, Node, Source
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, user_frame

__all__ = ["Tensor", "as_tensor", "extend"]


if TYPE_CHECKING:
    from tinygrad_cv.core.tensor_methods import TensorMethods  # what the floors above give to it
else:
    TensorMethods = object

_DTYPES = frozenset(supported)


class Tensor(TensorMethods):
    """An n-dimensional array that records what is done with it.

    ``Tensor(array)`` wraps an array without a copy; :func:`tinygrad_cv.tensor` copies.

    Attributes:
        array: the raw NumPy or CuPy array, or a Spec on the meta device.
        node, index: who made it (Node or Leaf), and which output of that node it is; None without a
            gradient.
        cut: None, or where a gradient was lost, here or before: by ``detach()``, under ``no_grad``,
            or by an operator without one; ``autograd.why_no_grad`` reads it.
        grad: after ``backward()``, the gradient of a leaf; a Tensor, or None.

    Raises:
        ArgumentError: several values, such as the sizes of a new tensor.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__weakref__", "_grad", "array", "cut", "index", "is_view", "node")

    array: Any
    node: Source | None
    index: int
    _grad: Tensor | None  # behind the property `grad`, which autograd gives
    is_view: bool
    cut: Any

    def __init__(self, data: Any, *sizes: Any, requires_grad: bool = False) -> None:
        if sizes:
            numbers = ", ".join(f"{n:.0f}" for n in (data, *sizes) if type(n) in (int, float))
            raise ArgumentError(
                "Tensor",
                f"it takes one array or number and requires_grad by its name, not {1 + len(sizes)}",
                repair=f"For a tensor of these sizes use tg.empty({numbers or '2, 3'}).",
            )
        self.array = data if type(data) is np.ndarray and data.dtype in _DTYPES else asarray(data)
        self.node = self._grad = self.cut = None
        self.index = 0
        self.is_view = False
        if requires_grad:
            self.requires_grad_()

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along every axis.

        >>> import tinygrad_cv as tg
        >>> tg.zeros(2, 3).shape
        (2, 3)
        """
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements, one of NumPy's.

        >>> import tinygrad_cv as tg
        >>> tg.zeros(2).dtype == tg.float32, tg.arange(2).dtype == 'int64'
        (True, True)
        """
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes.

        >>> import tinygrad_cv as tg
        >>> tg.zeros(2, 3).ndim
        2
        """
        return self.array.ndim  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the elements lie: cpu, cuda:i, or meta, which has none.

        >>> import tinygrad_cv as tg
        >>> tg.zeros(2).device, tg.zeros(2, device='meta').device
        (device('cpu'), device('meta'))
        """
        return device_of(self.array)

    # Where it stands in the graph

    @property
    def requires_grad(self) -> bool:
        """True if backward computes a gradient for it, or for what it was made from.

        >>> import tinygrad_cv as tg
        >>> w = tg.ones(2, requires_grad=True)
        >>> w.requires_grad, (2 * w).requires_grad, tg.ones(2).requires_grad
        (True, True, False)
        """
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """True if no recorded operator made it.

        >>> import tinygrad_cv as tg
        >>> w = tg.ones(2, requires_grad=True)
        >>> w.is_leaf, (2 * w).is_leaf
        (True, False)
        """
        return not isinstance(self.node, Node)

    @property
    def grad_fn(self) -> Node | None:
        """The node that made it, None for a leaf.

        >>> import tinygrad_cv as tg
        >>> y = tg.ones(2, requires_grad=True).exp()
        >>> y.grad_fn.op.name, y.detach().grad_fn
        ('exp', None)
        """
        return self.node if isinstance(self.node, Node) else None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient (or stop asking), in place. Only float leaves can.

        Raises:
            DTypeError: the dtype is not floating.
            GraphError: the tensor is the result of a recorded operator.

        >>> import tinygrad_cv as tg
        >>> tg.ones(2).requires_grad_()
        tensor([1., 1.], requires_grad=True)
        """
        if isinstance(self.node, Node):
            if not requires_grad:
                raise GraphError(
                    "requires_grad_",
                    "only a leaf can stop asking for a gradient",
                    repair="Use t.detach() for a tensor that is cut from the graph.",
                    notes=[f"it was made by {self.node.op.name} at {self.node.site}"],
                )
        elif not requires_grad:
            self.node = None
        elif self.node is None:
            if self.dtype.kind != "f":
                raise DTypeError(
                    "requires_grad_",
                    f"only floating tensors have gradients, this one is {self.dtype.name}",
                    repair="Convert it first, for example with t.float().",
                )
            self.node = Leaf(self)
        return self

    def detach(self) -> Tensor:
        """The same array outside the graph: no gradient flows through the result. Memory is
        shared.

        >>> import tinygrad_cv as tg
        >>> w = tg.ones(1, requires_grad=True)
        >>> (w * w.detach()).sum().backward()  # the derivative of w * 1
        >>> w.grad
        tensor([1.])
        """
        tensor = Tensor(self.array)
        tensor.cut = Detached(user_frame(2), state().scope) if self.node is not None else self.cut
        return tensor

    def detach_(self) -> Tensor:
        """Cut this tensor from the graph, in place.

        >>> import tinygrad_cv as tg
        >>> y = tg.ones(1, requires_grad=True) * 2
        >>> y.detach_().requires_grad
        False
        """
        self.cut = Detached(user_frame(2), state().scope) if self.node is not None else self.cut
        self.node = None
        self.index = 0
        return self

    @property
    def data(self) -> Tensor:
        """A detached Tensor that shares memory; assigning replaces the array.

        >>> import tinygrad_cv as tg
        >>> w = tg.ones(2, requires_grad=True)
        >>> w.data = tg.tensor([3.0, 4.0])
        >>> w
        tensor([3., 4.], requires_grad=True)
        """
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = as_tensor(value).array
        if isinstance(self.node, Leaf):
            self.node.shape, self.node.dtype = self.array.shape, self.array.dtype

    __hash__ = object.__hash__
    __array_priority__ = 1000


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A Tensor of ``data``: itself if it is one, else a constant, without a copy where possible."""
    if isinstance(data, Tensor):
        if dtype is None and device is None:
            return data
        return data.to(device=device, dtype=as_dtype(dtype) if dtype is not None else None)
    return Tensor(asarray(data, dtype, device))


def extend(name: str, function: Any) -> None:
    """Give Tensor a method, property or special method; the floors above do it this way."""
    setattr(Tensor, name, function)
