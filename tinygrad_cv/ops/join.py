"""Putting tensors together: along an axis (cat) or along a new one (stack)."""

from __future__ import annotations

import itertools
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.dtypes import promote
from tinygrad_cv.backend.spec import CHANNELS_LAST, CONTIGUOUS, Spec, spec_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.core.tensor import as_tensor
from tinygrad_cv.errors import NO_VALUE, ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_axis
from tinygrad_cv.ops._strides import settled_layout
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.shape import reshape
from tinygrad_cv.ops.slicing import replaced, slice_

__all__ = ["Cat", "Stack", "cat", "concat", "concatenate", "dstack", "hstack", "stack", "vstack"]

TG_FUNCTIONS = ("cat", "concat", "concatenate", "dstack", "hstack", "stack", "vstack")

Shape = tuple[int, ...]


def cat(tensors: Any, dim: int = 0, axis: Any = None) -> Any:
    """Tensors one after the other along axis ``dim``; all other sizes must agree.

    Args:
        tensors: a sequence of tensors; their common dtype is the result's. Empty vectors (shape
            (0,)) count for the dtype only, as in PyTorch.

    Raises:
        ShapeError: sizes differ outside ``dim``, or the numbers of axes differ.
        ArgumentError: no tensors.

    >>> import tinygrad_cv as tg
    >>> tg.cat([tg.tensor([[1, 2]]), tg.tensor([[3, 4]])]).tolist()
    [[1, 2], [3, 4]]
    """
    items = _promoted(_sequence("cat", tensors))
    if any(len(t.shape) != 1 for t in items):
        items = [t for t in items if t.shape != (0,)]
    shape = items[0].shape
    if not all(t.shape for t in items):
        raise ShapeError(
            "cat",
            "0-d tensors have no axis to be joined along",
            values=[(f"tensors[{k}]", t.shape) for k, t in enumerate(items)],
            repair="Use t.reshape(1)." if any(t.shape for t in items) else "Use stack.",
        )
    dim = as_axis("cat", dim if axis is None else axis, len(shape), shape)
    return Cat.call(tuple(items), dim)


def concat(tensors: Any, dim: int = 0, axis: Any = None) -> Any:
    """Another name of :func:`cat`.

    >>> import tinygrad_cv as tg
    >>> tg.concat([tg.tensor([1]), tg.tensor([2])]).tolist()
    [1, 2]
    """
    return cat(tensors, dim, axis)


def concatenate(tensors: Any, dim: int = 0, axis: Any = None) -> Any:
    """NumPy's name of :func:`cat`.

    >>> import tinygrad_cv as tg
    >>> tg.concatenate([tg.tensor([1]), tg.tensor([2])], axis=0).tolist()
    [1, 2]
    """
    return cat(tensors, dim, axis)


def stack(tensors: Any, dim: int = 0, axis: Any = None) -> Any:
    """Tensors of one shape side by side along a new axis ``dim``.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: no tensors.

    >>> import tinygrad_cv as tg
    >>> tg.stack([tg.tensor([1, 2]), tg.tensor([3, 4])], dim=1).tolist()
    [[1, 3], [2, 4]]
    """
    items = _sequence("stack", tensors)
    shape = items[0].shape
    dim = dim if axis is None else axis
    dim = as_axis("stack", dim, len(shape) + 1, shape)
    return Stack.call(tuple(_promoted(items)), dim)


def hstack(tensors: Any) -> Any:
    """Joined along axis 1 (columns); vectors along axis 0.

    >>> import tinygrad_cv as tg
    >>> tg.hstack([tg.tensor([1, 2]), tg.tensor([3])]).tolist()
    [1, 2, 3]
    """
    items = [t if t.shape else reshape(t, (1,)) for t in _sequence("hstack", tensors)]
    return cat(items, 0 if len(items[0].shape) == 1 else 1)


def vstack(tensors: Any) -> Any:
    """Joined along axis 0 (rows); a vector [N] counts as one row [1, N].

    >>> import tinygrad_cv as tg
    >>> tg.vstack([tg.tensor([1, 2]), tg.tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    items = _sequence("vstack", tensors)
    return cat([t if len(t.shape) > 1 else reshape(t, (1, *(t.shape or (1,)))) for t in items], 0)


def dstack(tensors: Any) -> Any:
    """Joined along axis 2; a matrix [N, M] counts as [N, M, 1], a vector [N] as [1, N, 1].

    >>> import tinygrad_cv as tg
    >>> tg.dstack([tg.tensor([1, 2]), tg.tensor([3, 4])]).tolist()
    [[[1, 3], [2, 4]]]
    """
    items = []
    for t in _sequence("dstack", tensors):
        if len(t.shape) < 2:
            t = reshape(t, (1, *(t.shape or (1,)), 1))
        items.append(t if len(t.shape) > 2 else reshape(t, (*t.shape, 1)))
    return cat(items, 2)


class Cat(Op):
    """Tensors one after the other along an axis."""

    name = "cat"
    equation = "y = [x_0, x_1, ...] along dim"
    gradients = {"tensors": "dx_k = the part of g that x_k fills"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    inputs = ("tensors",)
    variadic = True

    @staticmethod
    def infer(tensors: tuple[Spec, ...], dim: int) -> Spec:
        first = tensors[0]
        for k, spec in enumerate(tensors):
            if _without(spec.shape, dim) != _without(first.shape, dim):
                _raise_mismatch("cat", tensors, k, dim)
        total = sum(spec.shape[dim] for spec in tensors)
        shape = (*first.shape[:dim], total, *first.shape[dim + 1 :])
        last = any(spec.layout == CHANNELS_LAST for spec in tensors)
        layout = settled_layout(shape, CHANNELS_LAST if last else CONTIGUOUS)
        return Spec(shape, first.dtype, layout)

    @staticmethod
    def forward(xp: Any, tensors: tuple[Any, ...], dim: int) -> Any:
        spec = Cat.infer(tuple(spec_of(x) for x in tensors), dim)
        out = memory.empty(spec.shape, spec.dtype, spec.layout, xp)
        return xp.concatenate(tensors, axis=dim, out=out)

    @staticmethod
    def vjp_tensors(g: Any, k: int, tensors_shape: tuple[Shape, ...], dim: int) -> Any:
        start = sum(shape[dim] for shape in tensors_shape[:k])
        stop = start + tensors_shape[k][dim]
        return slice_(g, replaced(g.shape, dim, (start, stop, 1)))

    @staticmethod
    def fused_vjp(xp: Any, g: Any, needs: Any, tensors_shape: tuple[Shape, ...], dim: int) -> Any:
        """All parts in one pass: for many tensors the rule alone would take quadratic time."""
        stops = itertools.accumulate(shape[dim] for shape in tensors_shape)
        places = [(stop - s[dim], stop, 1) for s, stop in zip(tensors_shape, stops, strict=True)]
        return tuple(slice_(g, replaced(g.shape, dim, place)) for place in places)


class Stack(Op):
    """Tensors of one shape side by side along a new axis."""

    name = "stack"
    equation = "y[k, ...] = x_k"
    gradients = {"tensors": "dx_k = g[k, ...]"}
    edges = "values move as they are, NaN and infinity too"
    dtypes = "bool, integer, floating"
    inputs = ("tensors",)
    variadic = True

    @staticmethod
    def infer(tensors: tuple[Spec, ...], dim: int) -> Spec:
        first = tensors[0]
        for k, spec in enumerate(tensors):
            if spec.shape != first.shape:
                _raise_mismatch("stack", tensors, k, None)
        return Spec((*first.shape[:dim], len(tensors), *first.shape[dim:]), first.dtype)

    @staticmethod
    def forward(xp: Any, tensors: tuple[Any, ...], dim: int) -> Any:
        shape = tensors[0].shape
        out_shape = (*shape[:dim], len(tensors), *shape[dim:])
        out = memory.empty(out_shape, tensors[0].dtype, CONTIGUOUS, xp)
        return xp.stack(tensors, axis=dim, out=out)

    @staticmethod
    def vjp_tensors(g: Any, k: int, dim: int) -> Any:
        return slice_(g, replaced(g.shape, dim, k))


def _sequence(op: str, tensors: Any) -> list[Any]:
    if not isinstance(tensors, (tuple, list)):
        raise DTypeError(
            op,
            f"takes a list or tuple of tensors, not {type(tensors).__name__}",
            values=[("tensors", getattr(tensors, "shape", tensors))],
            repair=f"Write {op}([a, b]).",
        )
    if not tensors:
        raise ArgumentError(op, "needs at least one tensor")
    return [t if hasattr(t, "shape") else _as_item(op, k, t) for k, t in enumerate(tensors)]


def _as_item(op: str, k: int, value: Any) -> Any:
    """A number or a list of numbers as a tensor."""
    try:
        return as_tensor(value)
    except DTypeError:
        raise DTypeError(
            op,
            f"tensors[{k}] must be a tensor, not {value!r:.60}, a {type(value).__name__}",
            repair=NO_VALUE if value is None else None,
        ) from None


def _promoted(items: list[Any]) -> list[Any]:
    first = items[0].dtype
    if all(t.dtype == first for t in items):
        return items
    common = promote(*items)
    return [t if t.dtype == common else cast(t, common) for t in items]


def _without(shape: Shape, dim: int) -> Shape:
    return (*shape[:dim], -1, *shape[dim + 1 :])


def _raise_mismatch(op: str, tensors: tuple[Spec, ...], k: int, dim: int | None) -> None:
    first, other = tensors[0].shape, tensors[k].shape
    if len(first) != len(other):
        problem = f"tensors[{k}] has {len(other)} axes, tensors[0] has {len(first)}"
    else:
        axis = next(a for a in range(len(first)) if a != dim and first[a] != other[a])
        problem = f"tensors[{k}] has {other[axis]} along axis {axis}, tensors[0] has {first[axis]}"
    law = "all shapes must be equal" if dim is None else f"all shapes must agree but in axis {dim}"
    fits = [
        axis
        for axis in range(len(first))
        if dim is not None and all(_fits(first, spec.shape, axis) for spec in tensors)
    ]
    fitting = {
        f"tensors[{i}]": first
        if dim is None or dim >= spec.ndim
        else (*first[:dim], spec.shape[dim], *first[dim + 1 :])
        for i, spec in enumerate(tensors)
    }
    raise ShapeError(
        op,
        problem,
        law=[law],
        values=[(f"tensors[{i}]", spec.shape) for i, spec in enumerate(tensors[: max(k + 1, 8)])],
        repair=f"They can be joined along dim = {fits[0]}." if fits else _spread(tensors, k, dim),
        repairs=[{"dim": axis} for axis in fits] or [fitting],
    )


def _spread(tensors: tuple[Spec, ...], k: int, dim: int | None) -> str | None:
    """What broadcasts is not joined by itself: how the one with the axis of size 1 is expanded."""
    first, other = tensors[0].shape, tensors[k].shape
    axes = [a for a in range(len(first)) if a != dim and first[a] != other[a]]
    if len(first) != len(other) or len(axes) != 1 or 1 not in (first[axes[0]], other[axes[0]]):
        return None
    small = 0 if first[axes[0]] == 1 else k
    sizes = ["-1"] * len(first)
    sizes[axes[0]] = str(max(first[axes[0]], other[axes[0]]))
    return f"Expand the one of size 1 first: tensors[{small}].expand({', '.join(sizes)})."


def _fits(first: Shape, other: Shape, axis: int) -> bool:
    return len(first) == len(other) and _without(first, axis) == _without(other, axis)
