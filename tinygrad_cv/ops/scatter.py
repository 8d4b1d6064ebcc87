"""Scatter: writing, adding, or reducing at the positions that gather would read."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axis
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.division import floor_divide
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.gather import GatherGrad, Scatter, ScatterFill, checked, cropped
from tinygrad_cv.ops.rounding import zero_map
from tinygrad_cv.ops.scatter_reduce import ScatterMax, ScatterMin, ScatterProd
from tinygrad_cv.ops.select import clamp
from tinygrad_cv.ops.shape import reshape

__all__ = ["index_reduce", "scatter", "scatter_add", "scatter_reduce"]

TENSOR_FUNCTIONS = tuple(__all__)
TENSOR_ARGUMENTS = ("index", "source", "src")

_WAYS = ("sum", "prod", "mean", "amax", "amin")


def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    """A copy of the input with ``src`` written at the positions that :func:`gather` would read.

    ``y[index[i][j]][j] = src[i][j]`` for dim 0, and so on. Of several values for one position the
    last one stands, and it alone gets the gradient. (PyTorch leaves open which.)

    Args:
        src: a tensor at least as long as the index along every axis, or a number (``value``).
        reduce: None, "add" for :func:`scatter_add`, or "multiply" for the product.

    Raises:
        ShapeError, RangeError, DTypeError: as :func:`gather`; ShapeError too if ``src`` is shorter.
        ArgumentError: another ``reduce``, or neither ``src`` nor ``value``.

    >>> import tinygrad_cv as tg
    >>> tg.scatter(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0])).tolist()
    [6.0, 0.0, 5.0]
    """
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError(
            "scatter",
            f"reduce={reduce!r} is not supported",
            repair='Use None, "add" or "multiply", or scatter_reduce.',
        )
    if (src is None) == (value is None):
        raise ArgumentError("scatter", "give either src or value")
    src = value if src is None else src
    if not input.shape and not index.shape:
        one = [reshape(x, (1,)) if hasattr(x, "shape") else x for x in (input, index, src)]
        return reshape(scatter(one[0], dim, one[1], one[2], reduce=reduce), ())
    axis = checked("scatter", input, dim, index)
    _check_dtype("scatter", input, src)
    if reduce is not None:
        src = as_tensor(src) if not hasattr(src, "shape") else src
        src = expand(src, index.shape) if not src.shape else src
        if reduce == "add":
            return scatter_add(input, dim, index, src)
        src = cropped("scatter", input, index, src)
        return ScatterProd.call(input, index, src, axis, True)
    if not hasattr(src, "shape"):
        return ScatterFill.call(input, index, input.dtype.type(src).item(), axis)
    src = src if src.shape else expand(src, index.shape)
    return Scatter.call(input, index, cropped("scatter", input, index, src), axis)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """The input plus ``src``, added at the positions that :func:`gather` would read.

    The sums run in the order of ``src``: the same in every run.

    Raises:
        ShapeError, RangeError, DTypeError: as :func:`gather`; ShapeError too if ``src`` is shorter.

    >>> import tinygrad_cv as tg
    >>> tg.scatter_add(tg.zeros(2), 0, tg.tensor([0, 1, 0]), tg.tensor([1.0, 2.0, 3.0])).tolist()
    [4.0, 2.0]
    """
    if not input.shape and not index.shape:
        one = (reshape(x, (1,)) for x in (input, index, src))
        input1, index1, src1 = one
        return reshape(scatter_add(input1, dim, index1, src1), ())
    axis = checked("scatter_add", input, dim, index)
    _check_dtype("scatter_add", input, src)
    src = cropped("scatter_add", input, index, src)
    return input + GatherGrad.call(src, index, input.shape, axis, False)


def _check_dtype(op: str, input: Any, src: Any) -> None:
    if getattr(src, "dtype", input.dtype) != input.dtype:
        raise DTypeError(
            op,
            f"src must have the dtype of the input, {input.dtype.name}, it is {src.dtype.name}",
            values=[("input", input.shape), ("src", src.shape)],
            repair=f'Convert it with src.to("{input.dtype.name}").',
        )


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The input with all elements of ``src`` that go to one position reduced to one.

    ``y[p] = reduce(x[p], src[i] for all i with index[i] = p)``, with positions as ``gather`` reads
    them; where nothing goes to, the input's element stays.

    Args:
        src: at least as long as the index along every axis.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: False leaves the input's element out of the reduction.

    An extremum shares its gradient evenly among equal elements; that of a factor is the product of
    the others, right for zeros too. The mean of integers is rounded down.

    Raises:
        ShapeError, RangeError, DTypeError: as ``gather``; ShapeError too if ``src`` is shorter.
        ArgumentError: another ``reduce``.

    >>> import tinygrad_cv as tg
    >>> x, index = tg.tensor([1.0, 5.0, 7.0]), tg.tensor([0, 1, 0])
    >>> tg.scatter_reduce(x, 0, index, tg.tensor([2.0, 3.0, 4.0]), "prod").tolist()
    [8.0, 15.0, 7.0]
    >>> tg.scatter_reduce(x, 0, index, tg.tensor([2.0, 3.0, 4.0]), "mean",
    ...                   include_self=False).tolist()
    [3.0, 3.0, 7.0]
    """
    if reduce not in _WAYS:
        raise _unknown("scatter_reduce", reduce, _WAYS)
    if not input.shape and not index.shape:
        one = (reshape(x, (1,)) for x in (input, index, src))
        input1, index1, src1 = one
        done = scatter_reduce(input1, dim, index1, src1, reduce, include_self=include_self)
        return reshape(done, ())
    axis = checked("scatter_reduce", input, dim, index)
    src = cropped("scatter_reduce", input, index, src)
    return _reduced(input, index, src, axis, reduce, include_self)


def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """The input with slice k of ``source`` reduced into position ``index[k]`` of axis ``dim``.

    Args:
        index: [K].
        source: the shape of the input, but K along ``dim``.
        reduce, include_self: as those of ``scatter_reduce``; "prod", "mean", "amax" or "amin"
            (``index_add`` sums).

    Raises:
        ShapeError: ``source`` or the index has another shape.
        RangeError: a position is outside the axis.
        ArgumentError: another ``reduce``.

    >>> import tinygrad_cv as tg
    >>> x, rows = tg.zeros(2, 2), tg.tensor([[1.0, 2.0], [3.0, -4.0]])
    >>> tg.index_reduce(x, 0, tg.tensor([0, 0]), rows, "amax").tolist()
    [[3.0, 2.0], [0.0, 0.0]]
    """
    if reduce not in _WAYS[1:]:
        raise _unknown("index_reduce", reduce, _WAYS[1:])
    shape = input.shape
    axis = as_axis("index_reduce", dim, len(shape), shape)
    if len(index.shape) > 1:
        raise ShapeError(
            "index_reduce",
            "the index must be a vector or one number",
            values=[("input", shape), ("index", index.shape)],
        )
    count = index.shape[0] if index.shape else 1
    wanted = (*shape[:axis], count, *shape[axis + 1 :]) if shape else (count,)
    given = reshape(source, (1,)) if not source.shape and wanted == (1,) else source
    if given.shape != wanted:
        raise ShapeError(
            "index_reduce",
            f"source must have the shape {wanted if shape else ()}",
            values=[("input", shape), ("source", source.shape)],
        )
    places = expand(reshape(index, (count,) + (1,) * (len(wanted) - axis - 1)), wanted)
    vector = input if shape else reshape(input, (1,))
    checked("index_reduce", vector, axis, places)
    given = given if given.dtype == input.dtype else cast(given, input.dtype)
    return reshape(_reduced(vector, places, given, axis, reduce, include_self), shape)


def _unknown(op: str, reduce: Any, ways: tuple[str, ...]) -> ArgumentError:
    known = ", ".join(ways)
    return ArgumentError(
        op,
        f"there is no reduction {reduce!r}",
        repair=f"Use one of {known}.",
        repairs=[{"reduce": way} for way in ways],
    )


def _reduced(input: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool) -> Any:
    if reduce in ("sum", "mean"):
        base = input if include_self else ScatterFill.call(input, index, 0, dim)
        total = base + GatherGrad.call(src, index, input.shape, dim, False)
        if reduce == "sum":
            return total
        ones = zero_map(index) + 1
        count = GatherGrad.call(ones, index, input.shape, dim, False)
        count = clamp(count + 1 if include_self else count, min=1)
        if input.dtype.kind == "f":
            return total / cast(count, input.dtype)
        return cast(floor_divide(total, count), input.dtype)
    op = {"prod": ScatterProd, "amax": ScatterMax, "amin": ScatterMin}[reduce]
    return op.call(input, index, src, dim, bool(include_self))
