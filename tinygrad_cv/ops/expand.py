"""Broadcasting as an operator, and its adjoint: ``Expand`` repeats along axes, ``SumTo`` sums over
them.

The engine un-broadcasts every gradient with ``sum_to``; reductions spread theirs with ``expand``.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import sums
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ShapeError
from tinygrad_cv.ops._axes import as_ints, check_like
from tinygrad_cv.ops._dims import every_dim

__all__ = ["Expand", "SumTo", "broadcast_to", "expand", "expand_as", "spread", "sum_to"]

TG_FUNCTIONS = ("broadcast_to",)
TENSOR_ARGUMENTS = ("other",)

Shape = tuple[int, ...]


class Expand(Op):
    """Repeats the input along new axes and along axes of size 1, without copying.

    ``dims`` are the axes of ``shape`` that the input lacks; by default the leading ones, as in
    broadcasting.
    """

    name = "expand"
    equation = "y[i,j] = x[j]"
    gradients = {"input": "dx[j] = sum_i g[i,j]"}
    edges = "values move as they are, NaN and infinity too"
    cost = "0"
    dtypes = "bool, integer, floating"
    view = True

    @staticmethod
    def infer(input: Spec, shape: Shape, dims: Shape | None = None) -> Spec:
        _aligned("expand", input.shape, shape, dims)
        layout = input.layout if input.shape == shape else "contiguous"
        return Spec(shape, input.dtype, layout)

    @staticmethod
    def forward(xp: Any, input: Any, shape: Shape, dims: Shape | None = None) -> Any:
        if dims:
            sizes = iter(input.shape)
            input = input.reshape(
                [1 if axis in dims else next(sizes) for axis in range(len(shape))]
            )
        return xp.broadcast_to(input, shape)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, dims: Shape | None) -> Any:
        return sum_to(g, input_shape, dims)

    @staticmethod
    def flops(input: Spec, shape: Shape, dims: Shape | None = None) -> int:
        return 0


class SumTo(Op):
    """Sums over the axes that broadcasting ``shape`` to the input's shape would repeat.

    ``dims`` are the axes of the input that ``shape`` lacks; by default the leading ones.
    """

    name = "sum_to"
    equation = "y[j] = sum_i x[i,j]"
    gradients = {"input": "dx[i,j] = g[j]"}
    edges = "NaN and infinity as in a sum"
    cost = "1 per element"
    shaped = False

    @staticmethod
    def infer(input: Spec, shape: Shape, dims: Shape | None = None) -> Spec:
        _aligned("sum_to", shape, input.shape, dims)
        return Spec(shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, shape: Shape, dims: Shape | None = None) -> Any:
        repeated = sums.repeated_axes(input.shape, shape, dims)
        if not repeated:
            return input.reshape(shape).copy()
        return sums.total(xp, input, repeated).reshape(shape)

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, dims: Shape | None) -> Any:
        return _expand(g, input_shape, dims)

    @staticmethod
    def flops(input: Spec, shape: Shape, dims: Shape | None = None) -> int:
        return input.size


_expand = Expand.call
sum_to = SumTo.call


def spread(reduced: Any, shape: Shape, dims: Shape, keepdim: bool) -> Any:
    """The result of a reduction of ``shape`` over ``dims``, repeated back to ``shape``."""
    return _expand(reduced, shape, () if keepdim else dims)


def expand(input: Any, *size: Any) -> Any:
    """The input repeated along axes of size 1, and along new leading axes, to the given sizes;
    nothing is copied.

    Args:
        input: any shape.
        size: the new shape; -1 keeps the size of that axis.

    The gradient is the sum over the repeated axes. The result shares memory with the input and
    cannot be written to.

    Raises:
        ShapeError: an axis of a size other than 1 would change, or there are too few sizes.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([[1], [2]]).expand(-1, 3).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    wanted = as_ints("expand", "size", size)
    new = len(wanted) - len(input.shape)
    shape = tuple(
        input.shape[axis - new] if n == -1 and axis >= new >= 0 else n
        for axis, n in enumerate(wanted)
    )
    return _expand(input, shape)


def expand_as(input: Any, other: Any) -> Any:
    """The input expanded to the shape of ``other``.

    Raises:
        ShapeError: the shapes do not broadcast.
        DTypeError: ``other`` is no tensor.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1, 2]).expand_as(tg.zeros(2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    check_like("expand_as", other)
    return _expand(input, other.shape)


def broadcast_to(input: Any, shape: Any) -> Any:
    """The input expanded to ``shape``, as NumPy's function of this name.

    Raises:
        ShapeError: the shapes do not broadcast.

    >>> import tinygrad_cv as tg
    >>> tg.broadcast_to(tg.tensor([1, 2]), (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return expand(input, shape)


def _aligned(op: str, small: Shape, large: Shape, dims: Shape | None) -> None:
    """Raises unless ``small``, with axes of size 1 put in at ``dims``, broadcasts to ``large``."""
    new = len(large) - len(small)
    lacking = range(max(new, 0)) if dims is None else every_dim(op, large, dims) if dims else ()
    sizes = iter(small)
    fits = new == len(lacking) and all(
        axis in lacking or next(sizes) in (1, size) for axis, size in enumerate(large)
    )
    if not fits or min(large, default=0) < 0:
        raise ShapeError(
            op,
            f"{small} does not broadcast to {large}",
            law=["sizes, aligned at the last axis, must be equal, or 1 in the smaller shape"],
            values=[("input", small), ("shape", large)]
            if op == "expand"
            else [("input", large), ("shape", small)],
        )


METHODS = {"expand": expand, "expand_as": expand_as, "broadcast_to": broadcast_to}
