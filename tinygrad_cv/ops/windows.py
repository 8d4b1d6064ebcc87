"""Windows along one axis: the method ``unfold`` of tensors, a view, and its adjoint."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.ops._axes import as_axis, as_int
from tinygrad_cv.ops._strides import dense_strides, layout_from_strides
from tinygrad_cv.ops.shape import reshape

__all__ = ["Windows", "WindowsGrad", "unfold"]

Shape = tuple[int, ...]


def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    """The windows of ``size`` along axis ``dimension``, ``step`` apart, as a new last axis.

    ``y[..., p, ..., k] = x[..., p*step + k, ...]``. A view. (The windows of images as columns are
    :func:`tinygrad_cv.nn.functional.unfold`.)

    Returns:
        Axis ``dimension`` has floor((n - size) / step) + 1 positions, n its size before; ``size``
        is added at the end.

    Raises:
        ShapeError: the windows are longer than the axis.
        ArgumentError: a negative size, or a step below 1.
        RangeError: the dimension is out of range.

    >>> import tinygrad_cv as tg
    >>> tg.arange(6).unfold(0, 3, 2).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    axis = as_axis("unfold", dimension, self.ndim, self.shape)
    size, step = as_int("unfold", "size", size), as_int("unfold", "step", step)
    if size < 0:
        raise ArgumentError(
            "unfold",
            f"size = {size} is negative",
            repair="Use a size of 0 or more.",
            repairs=[{"size": 0}],
        )
    if step < 1:
        raise ArgumentError(
            "unfold", f"step = {step} is not positive", repair="Use step=1.", repairs=[{"step": 1}]
        )
    if not self.ndim:  # PyTorch: one number is its own window
        _shape((1,), 0, size, step)
        return reshape(self, (1,)) if size else reshape(self, (1,))[:0]
    return _windows(self, axis, size, step)


class Windows(Op):
    """Windows along one axis as a new last axis; shares memory."""

    name = "windows"
    equation = "y[..., p, ..., k] = x[..., p*step + k, ...]"
    gradients = {"input": "dx[..., i, ...] = sum_{p,k: p*step + k = i} g[..., p, ..., k]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, dim: int, size: int, step: int) -> Spec:
        shape = _shape(input.shape, dim, size, step)
        strides = list(dense_strides(input))
        strides = [*strides, strides[dim]]
        strides[dim] *= step
        return Spec(shape, input.dtype, layout_from_strides(shape, strides))

    @staticmethod
    def forward(xp: Any, input: Any, dim: int, size: int, step: int) -> Any:
        shape, strides = _shape(input.shape, dim, size, step), list(input.strides)
        strides = [*strides, strides[dim]]
        strides[dim] *= step
        return xp.lib.stride_tricks.as_strided(input, shape, strides)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, dim: int, size: int, step: int) -> Any:
        return _windows_grad(g, input_shape, dim, size, step)


class WindowsGrad(Op):
    """Adjoint of ``Windows``: every window added back to where it came from."""

    name = "windows_grad"
    equation = "y[..., i, ...] = sum_{p,k: p*step + k = i} g[..., p, ..., k]"
    gradients = {"grad": "dg[..., p, ..., k] = G[..., p*step + k, ...]"}
    edges = "what comes to one place is added"
    cost = "1 per element of g"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, shape: Shape, dim: int, size: int, step: int) -> Spec:
        wanted = _shape(shape, dim, size, step)
        if grad.shape != wanted:
            raise ShapeError(
                "windows_grad",
                f"the windows of {shape} are {wanted}",
                values=[("grad", grad.shape)],
            )
        return Spec(shape, grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, shape: Shape, dim: int, size: int, step: int) -> Any:
        out = memory.empty(shape, grad.dtype, xp=xp)
        out[...] = 0
        lead, count = (slice(None),) * dim, grad.shape[dim]
        if count <= size:  # the shorter of two loops
            for p in range(count):
                target = out[(*lead, slice(p * step, p * step + size))]
                target += xp.moveaxis(grad[(*lead, p)], -1, dim)
            return out
        for k in range(size):
            target = out[(*lead, slice(k, k + (count - 1) * step + 1, step))]
            target += grad[..., k]
        return out

    @staticmethod
    def vjp_grad(g: Any, dim: int, size: int, step: int) -> Any:
        return _windows(g, dim, size, step)

    @staticmethod
    def flops(grad: Spec, *attributes: Any) -> int:
        return grad.size


_windows = Windows.call
_windows_grad = WindowsGrad.call


def _shape(shape: Shape, dim: int, size: int, step: int) -> Shape:
    """The shape of the windows of an input of ``shape``."""
    length = shape[dim]
    if size > length:
        raise ShapeError(
            "unfold",
            f"windows of {size} do not fit axis {dim}",
            law=["size <= input.shape[dimension]", f"{size} <= {length} is false"],
            values=[("input", shape)],
            repair=f"Use a size of at most {length}.",
            repairs=[{"size": length}],
        )
    return (*shape[:dim], (length - size) // step + 1, *shape[dim + 1 :], size)


METHODS = {"unfold": unfold}
