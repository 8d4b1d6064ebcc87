"""Moving elements to other places: flip, roll, repeat, tile.

``Flip`` and ``Roll`` are permutations of the elements, so their adjoints are of the same kind;
``Repeat`` makes copies, so its adjoint is a sum over them.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import CONTIGUOUS, Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, RangeError, ShapeError
from tinygrad_cv.ops._axes import as_axes, as_axis, as_ints
from tinygrad_cv.ops._dims import named
from tinygrad_cv.ops.reduce import sum as sum_over
from tinygrad_cv.ops.shape import reshape

__all__ = [
    "Flip",
    "Repeat",
    "Roll",
    "flip",
    "fliplr",
    "flipud",
    "repeat",
    "roll",
    "tile",
]

TENSOR_FUNCTIONS = ("fliplr", "flipud")
TG_FUNCTIONS = ("flip", "roll", "tile")

Shape = tuple[int, ...]


def flip(input: Any, dims: Any = None, axis: Any = None) -> Any:
    """The order of the elements reversed along ``dims`` (None: along all axes). A copy.

    Raises:
        RangeError: a dim is out of range.
        ArgumentError: a dim stands twice.

    >>> import tinygrad_cv as tg
    >>> tg.flip(tg.tensor([[1, 2], [3, 4]]), dims=(1,)).tolist()
    [[2, 1], [4, 3]]
    """
    shape, dims = input.shape, named("flip", dims, axis)
    if dims is None:
        return _flip(input, tuple(range(len(shape))))
    axes = as_axes("flip", dims, len(shape), shape)
    return _flip(input, axes if shape else ())


def fliplr(input: Any) -> Any:
    """Reversed along axis 1: an image [H, W] mirrored left to right.

    >>> import tinygrad_cv as tg
    >>> tg.fliplr(tg.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 1], [4, 3]]
    """
    return flip(input, 1)


def flipud(input: Any) -> Any:
    """Reversed along axis 0: an image [H, W] turned upside down.

    >>> import tinygrad_cv as tg
    >>> tg.flipud(tg.tensor([[1, 2], [3, 4]])).tolist()
    [[3, 4], [1, 2]]
    """
    if not input.shape:
        raise ShapeError("flipud", "a 0-d tensor has no rows", values=[("input", ())])
    return flip(input, 0)


def roll(input: Any, shifts: Any, dims: Any = None, axis: Any = None) -> Any:
    """Elements shifted along ``dims``; what leaves at the end comes back at the start.

    ``y[i] = x[(i - shift) mod n]``. Without ``dims`` the tensor is rolled as if it were flat.

    Raises:
        ArgumentError: ``shifts`` and ``dims`` have different lengths.

    >>> import tinygrad_cv as tg
    >>> tg.roll(tg.arange(5), 2).tolist()
    [3, 4, 0, 1, 2]
    """
    shape, dims = input.shape, named("roll", dims, axis)
    shifts = as_ints("roll", "shifts", shifts)
    if dims is None:
        if len(shifts) != 1:
            raise ArgumentError("roll", f"{len(shifts)} shifts need as many dims, none are given")
        return reshape(
            _roll(reshape(input, (-1,) if 0 not in shape else (0,)), shifts, (0,)), shape
        )
    if not shape and as_ints("roll", "dims", dims):
        raise RangeError("roll", f"a 0-d tensor has no dim {dims}", values=[("input", ())])
    axes = tuple(as_axis("roll", dim, len(shape), shape) for dim in as_ints("roll", "dims", dims))
    if len(shifts) != len(axes):
        raise ArgumentError(
            "roll",
            f"{len(shifts)} shifts for {len(axes)} dims",
            values=[("shifts", shifts), ("dims", axes)],
        )
    return _roll(input, shifts, axes) if shape else _roll(input, (), ())


def tile(input: Any, dims: Any) -> Any:
    """The tensor repeated ``dims[i]`` times along axis i; the shorter of the two gets leading ones.

    >>> import tinygrad_cv as tg
    >>> tg.tile(tg.tensor([1, 2]), (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    repeats = as_ints("tile", "dims", dims)
    return _repeat(input, (1,) * (len(input.shape) - len(repeats)) + repeats)


def repeat(input: Any, repeats: Any) -> Any:
    """The tensor repeated ``repeats[i]`` times along axis i.

    A copy; more repeats than axes add leading axes. NumPy's ``repeat`` is another function,
    PyTorch's ``repeat_interleave``.

    Raises:
        ShapeError: fewer repeats than axes, or a negative one.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1, 2, 3]).repeat(2, 2).tolist()
    [[1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3]]
    """
    return _repeat(input, as_ints("repeat", "repeats", repeats))


class Flip(Op):
    """Elements in reverse order along some axes."""

    name = "flip"
    equation = "y[i] = x[n - 1 - i]"
    gradients = {"input": "dx[i] = g[n - 1 - i]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, dims: Shape) -> Spec:
        return input

    @staticmethod
    def forward(xp: Any, input: Any, dims: Shape) -> Any:
        out = memory.empty(input.shape, input.dtype, layout_of(input), xp)
        out[...] = xp.flip(input, dims)
        return out

    @staticmethod
    def vjp_input(g: Any, dims: Shape) -> Any:
        return _flip(g, dims)


class Roll(Op):
    """A cyclic shift along some axes."""

    name = "roll"
    equation = "y[i] = x[(i - shift) mod n]"
    gradients = {"input": "dx[i] = g[(i + shift) mod n]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, shifts: Shape, dims: Shape) -> Spec:
        return Spec(input.shape, input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, shifts: Shape, dims: Shape) -> Any:
        if not dims:
            return input.copy()
        return xp.ascontiguousarray(xp.roll(input, shifts, dims)).reshape(input.shape)

    @staticmethod
    def vjp_input(g: Any, shifts: Shape, dims: Shape) -> Any:
        return _roll(g, tuple(-shift for shift in shifts), dims)


class Repeat(Op):
    """Copies of the tensor side by side."""

    name = "repeat"
    equation = "y[i] = x[i mod n]"
    gradients = {"input": "dx[i] = sum_k g[i + k*n]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, repeats: Shape) -> Spec:
        values = [("input", input.shape), ("repeats", repeats)]
        missing = len(repeats) - input.ndim
        if missing < 0:
            raise ShapeError(
                "repeat",
                f"{len(repeats)} repeats for {input.ndim} axes: each axis needs one",
                law=["size_out = repeats * size, along each axis"],
                values=values,
                repair="Put ones in front, or use tile.",
                repairs=[{"repeats": (1,) * -missing + repeats}],
            )
        if min(repeats, default=0) < 0:
            raise ShapeError(
                "repeat",
                f"a repeat cannot be negative: {repeats}",
                law=["size_out = repeats * size, along each axis"],
                values=values,
                repair="Use repeats of 0 or more.",
                repairs=[{"repeats": tuple(max(n, 0) for n in repeats)}],
            )
        sizes = (1,) * missing + input.shape
        return Spec(tuple(r * n for r, n in zip(repeats, sizes, strict=True)), input.dtype)

    @staticmethod
    def forward(xp: Any, input: Any, repeats: Shape) -> Any:
        sizes = (1,) * (len(repeats) - input.ndim) + input.shape
        shape = tuple(r * n for r, n in zip(repeats, sizes, strict=True))
        out = memory.empty(shape, input.dtype, CONTIGUOUS, xp)
        # Axes (r0, n0, r1, n1, ...): the copies of an axis stand in front of it.
        blocks = out.reshape(_interleaved(repeats, sizes))
        blocks[...] = input.reshape(_interleaved((1,) * len(repeats), sizes))
        return out

    @staticmethod
    def vjp_input(g: Any, input_shape: Shape, repeats: Shape) -> Any:
        sizes = (1,) * (len(repeats) - len(input_shape)) + input_shape
        copies = tuple(range(0, 2 * len(repeats), 2))
        if not copies:
            return g
        return reshape(sum_over(reshape(g, _interleaved(repeats, sizes)), copies), input_shape)


_flip = Flip.call
_roll = Roll.call
_repeat = Repeat.call


def _interleaved(first: Shape, second: Shape) -> Shape:
    return tuple(n for pair in zip(first, second, strict=True) for n in pair)


def _flip_method(self: Any, *dims: Any) -> Any:
    """The elements in reverse order along ``dims``, all axes if none is named; see :func:`flip`.

    >>> import tinygrad_cv as tg
    >>> tg.arange(6).reshape(2, 3).flip(-1).tolist()  # an image, left and right exchanged
    [[2, 1, 0], [5, 4, 3]]
    """
    return flip(self, dims or None)


def _repeat_method(self: Any, *repeats: Any) -> Any:
    """The tensor repeated ``repeats[i]`` times along axis i: ``x.repeat(2, 3)`` or
    ``x.repeat((2, 3))``.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([1, 2]).repeat(2, 2).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    return repeat(self, repeats)


def _tile_method(self: Any, *dims: Any) -> Any:
    """The tensor repeated ``dims[i]`` times along axis i: ``x.tile(2, 3)`` or ``x.tile((2, 3))``;
    the shorter of the two shapes gets leading ones.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(5, 2, 3).tile(2).shape, tg.zeros(3).tile(2, 2).shape
    ((5, 2, 6), (2, 6))
    """
    return tile(self, dims)


METHODS = {
    "flip": _flip_method,
    "roll": roll,
    "repeat": _repeat_method,
    "tile": _tile_method,
}
