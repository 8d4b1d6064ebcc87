"""Max unpooling: the values of max pooling go back to the pixels that they came from."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._pooling import check_input
from tinygrad_cv.ops._spatial import AXES, Sizes, letters, per_axis
from tinygrad_cv.ops.gather import Gather, GatherGrad
from tinygrad_cv.ops.places import on_input_device, raw
from tinygrad_cv.ops.shape import reshape

__all__ = ["MaxUnpool", "max_unpool1d", "max_unpool2d", "max_unpool3d"]

NN_FUNCTIONS = ("max_unpool1d", "max_unpool2d", "max_unpool3d")
TENSOR_ARGUMENTS = ("indices",)


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """Max unpooling of [N, C, P] or [C, P]; see :func:`max_unpool2d`.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 3.0, 2.0, 0.0]]])
    >>> y, indices = tg.nn.functional.max_pool1d(x, 2, return_indices=True)
    >>> tg.nn.functional.max_unpool1d(y, indices, 2).tolist()
    [[[0.0, 3.0, 2.0, 0.0]]]
    """
    return _unpooled(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """The values of max pooling at the places that they came from, and 0 elsewhere:
    ``y[n, c, indices[n, c, p]] = x[n, c, p]``, where y counts the pixels of a plane row by row.

    Args:
        input: [N, C, P, Q] or [C, P, Q], what :func:`max_pool2d` returned or the like.
        indices: the same shape, int64: the winners of the pooling, flat in the plane [H, W].
        kernel_size, stride, padding: of the pooling; a stride of None is the kernel size.
        output_size: (H, W), or a shape [N, C, H, W], where several sizes give the same P and Q.

    Returns:
        [N, C, H, W] with ``H = (P - 1) * stride + KH - 2 * padding``.

    Raises:
        ShapeError: ``indices`` has another shape, an axis is empty, or the output would be.
        ArgumentError: ``output_size`` is a stride or more away from H or W.
        RangeError: an index is outside the plane.
        DTypeError: the indices are not integer.

    Edge rules: of several values for one place, as overlapping windows give them, the last one in
    row-major order stands, and it alone gets the gradient. (PyTorch leaves open which stands and
    gives the gradient to all.)

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014).

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> y, indices = tg.nn.functional.max_pool2d(x, 2, return_indices=True)
    >>> tg.nn.functional.max_unpool2d(y, indices, 2).tolist()
    [[[0.0, 0.0], [4.0, 0.0]]]
    """
    return _unpooled(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """Max unpooling of [N, C, P, Q, R] or [C, P, Q, R]; see :func:`max_unpool2d`.

    >>> import tinygrad_cv as tg
    >>> y, indices = tg.nn.functional.max_pool3d(tg.rand(1, 2, 4, 4, 4), 2, return_indices=True)
    >>> tg.nn.functional.max_unpool3d(y, indices, 2).shape
    (1, 2, 4, 4, 4)
    """
    return _unpooled(3, input, indices, kernel_size, stride, padding, output_size)


def _unpooled(
    n: int,
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Any:
    op = f"max_unpool{n}d"
    check_input(op, n, input, ("input", "indices"))
    if indices.shape != input.shape:
        raise ShapeError(
            op,
            "the indices must have the shape of the input",
            law=["y[n,c,index[n,c,p]] = x[n,c,p]"],
            values=[("input", input.shape), ("indices", indices.shape)],
            repairs=[{"indices": tuple(input.shape)}],
        )
    if 0 in input.shape[-n - 1 :]:
        axes = letters(n, "C" if input.ndim == n + 1 else "N, C")
        raise ShapeError(op, "there is nothing to unpool", values=[("input", input.shape, axes)])
    kernel = per_axis(op, "kernel_size", kernel_size, n)
    step = kernel if stride is None else per_axis(op, "stride", stride, n)
    pads = per_axis(op, "padding", padding, n, least=0)
    size = _size(op, n, input, kernel, step, pads, output_size)
    _check_indices(op, input, indices, size)
    lead = input.shape[:-n]
    count = math.prod(input.shape[-n:])
    values, places = (reshape(x, (*lead, count)) for x in (input, indices))
    shape = (*lead, math.prod(size))
    return reshape(MaxUnpool.call(values, places, shape, len(lead)), (*lead, *size))


class MaxUnpool(Op):
    """Zeros, with each value at its position; of several values for one the last stands."""

    name = "max_unpool"
    equation = "y[..., index[...,m]] = x[...,m] for m in order, 0 elsewhere"
    gradients = {"input": "dx[...,m] = g[..., index[...,m]]"}
    edges = "of several values for one place the last stands; all of them get the gradient"
    dtypes = "integer, floating"
    inputs = ("input", "index")

    @staticmethod
    def infer(input: Spec, index: Spec, shape: Sizes, dim: int) -> Spec:
        return Spec(shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, index: Any, shape: Sizes, dim: int) -> Any:
        return GatherGrad.forward(xp, input, index, shape, dim, True)

    @staticmethod
    def vjp_input(g: Any, index: Any, dim: int) -> Any:
        return _gather(g, index, dim, False)


_gather = Gather.call


def _size(
    op: str, n: int, input: Any, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any
) -> Sizes:
    """The spatial size of the output."""
    positions = input.shape[-n:]
    usual = tuple(
        (p - 1) * s + k - 2 * pad
        for p, s, k, pad in zip(positions, stride, kernel, padding, strict=True)
    )
    axis = AXES[n][0]
    law = [f"{axis} = (positions - 1) * stride + kernel - 2 * padding"]
    rows = [("input", input.shape, letters(n, "C" if input.ndim == n + 1 else "N, C"))]
    if output_size is None:
        if min(usual) < 1:
            most = tuple((u + 2 * pad - 1) // 2 for u, pad in zip(usual, padding, strict=True))
            law.append(f"  = ({positions[0]} - 1) * {stride[0]} + {kernel[0]} - 2 * {padding[0]}")
            raise ShapeError(
                op,
                f"the output would have the size {usual}",
                law=law,
                values=rows,
                repair=f"Use a padding of at most {most}.",
                repairs=[{"padding": most}],
            )
        return usual
    wanted = as_ints(op, "output_size", output_size)
    if len(wanted) == n + 2:
        wanted = wanted[2:]
    if len(wanted) != n:
        raise ArgumentError(
            op,
            f"output_size needs {n} or {n + 2} numbers, it has {len(wanted)}: {wanted}",
            repairs=[{"output_size": usual}],
        )
    for name, size, middle, s in zip(AXES[n], wanted, usual, stride, strict=True):
        if not max(middle - s, 0) < size < middle + s:
            raise ArgumentError(
                op,
                f"output_size {wanted} cannot be pooled to {positions}: along {name} it must be "
                f"above {max(middle - s, 0)} and below {middle + s}",
                law=law,
                values=rows,
                repair=f"Use output_size={usual}, or leave it out.",
                repairs=[{"output_size": usual}],
            )
    return wanted


@on_input_device
def _check_indices(op: str, input: Any, indices: Any, size: Sizes) -> None:
    array = raw(indices)
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        raise DTypeError(
            op,
            f"the indices must be int64, they are {array.dtype}",
            values=[("indices", array.shape)],
            repair='Convert them with indices.to("int64").',
        )
    if isinstance(array, Spec) or not array.size:
        return
    pixels, low, high = math.prod(size), int(array.min()), int(array.max())
    if low < 0 or high >= pixels:
        raise RangeError(
            op,
            f"index {low if low < 0 else high} is outside the plane {size}",
            law=[f"0 <= index < {pixels}"],
            values=[("input", input.shape), ("indices", array.shape)],
            repair="Pass the output_size that was pooled." if high >= pixels else None,
        )
