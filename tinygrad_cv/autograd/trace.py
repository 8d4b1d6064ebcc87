"""One run of a function at fresh points: what every transform is made of.

The arguments to differentiate are replaced by *points*: new leaves, or, where an argument already
hangs in a graph that may be differentiated later, views of it. No two runs share a point, so nested
transforms never take one another's variables for their own (Siskind and Pearlmutter, "Perturbation
confusion and referential transparency", 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakSet

from tinygrad_cv.autograd.backward import grad
from tinygrad_cv.autograd.tree import Structure, flatten
from tinygrad_cv.backend.array import on_device_of, zeros
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.engine import reachable
from tinygrad_cv.core.mode import grad_mode, is_grad_enabled
from tinygrad_cv.core.node import Source
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import NO_VALUE, ArgumentError, DTypeError, GraphError, ShapeError
from tinygrad_cv.ops.join import stack
from tinygrad_cv.ops.shape import reshape

__all__ = ["Trace", "check_function", "gradient_of", "zeros_like"]

ArgNums = int | tuple[int, ...]


# What transforms have differentiated by.
_VARIABLES: WeakSet[Source] = WeakSet()


class Trace:
    """``function(*args)`` with points in place of ``args[k]`` for each k of ``argnums``.

    Args:
        what: the transform, as messages call it.
        argnums: a position, a tuple of positions, or None for all arguments.
        has_aux: the function returns (output, anything); the second is only handed through.
        record: results may be differentiated again, if something that asks for a gradient went in
            and the caller records.
        strict: an output that does not depend on a point is an error, not a zero.

    Attributes:
        points, structure, paths: the points, flat; how they are nested; what messages call them.
        outputs, out_structure: the same of what the function returned.
        aux: what came with it.
    """

    def __init__(
        self,
        what: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        argnums: ArgNums | None = None,
        has_aux: bool = False,
        record: bool = True,
        strict: bool = False,
    ) -> None:
        self.what, self.strict = what, strict
        check_function(what, function)
        self._record = record and is_grad_enabled()
        self._own: set[Source] = set()  # leaves that nobody outside can ask about
        self._duals: list[Tensor | None] = []
        self._made: list[Tensor | None] | None = None
        args = tuple(args)
        chosen = _chosen(what, argnums, len(args))
        picked = args[chosen] if isinstance(chosen, int) else tuple([args[k] for k in chosen])
        leaves, self.structure = flatten(picked)
        self.paths = self.structure.paths("input")
        self.points = [self._point(x, p) for x, p in zip(leaves, self.paths, strict=True)]
        points = self.structure.rebuild(self.points)
        places = (
            {chosen: points} if isinstance(chosen, int) else dict(zip(chosen, points, strict=True))
        )
        with grad_mode(True):
            result = function(*[places.get(k, x) for k, x in enumerate(args)], **(kwargs or {}))
        aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError(
                    what,
                    f"with has_aux=True the function returns (output, aux), not a {_kind(result)}",
                    repair="Return a tuple of two, or leave has_aux out.",
                )
            result, aux = result
        self.outputs, self.out_structure = flatten(result)
        for y, path in zip(self.outputs, self.out_structure.paths("the output"), strict=True):
            if not isinstance(y, Tensor):
                raise DTypeError(
                    what,
                    f"the function must return tensors, {path} is {y!r:.60}, a {_kind(y)}",
                    repair=NO_VALUE
                    if y is None
                    else "Compute with tensors only; what is no "
                    "tensor can come along with has_aux=True.",
                )
        extras, aux_structure = flatten(aux)
        graph = [*self.outputs, *[x for x in extras if isinstance(x, Tensor)]]
        self._open = self._record and self._reaches_others(graph)
        self.aux = aux_structure.rebuild(
            [self.settled(x) if isinstance(x, Tensor) else x for x in extras]
        )

    def _point(self, x: Any, path: str) -> Tensor:
        if not isinstance(x, Tensor):
            raise DTypeError(
                self.what,
                f"{path} is to be differentiated and must be a tensor, it is {x!r:.60}, "
                f"a {_kind(x)}",
                repair="Make it one with tg.tensor(...), or leave it out of the inputs (argnums).",
            )
        if x.dtype.kind != "f":
            raise DTypeError(
                self.what,
                f"{path} is {x.dtype.name}; only floating tensors can be differentiated",
                repair="Convert it with .float() or .double(), or leave it out of the inputs "
                "(argnums).",
            )
        if isinstance(x.array, Spec):
            raise GraphError(self.what, f"{path} is on the meta device and has no values")
        if x.node is not None and self._record:
            with grad_mode(True):
                return reshape(x, x.shape)
        return self._leaf(x.array)

    def _leaf(self, array: Any) -> Tensor:
        leaf = Tensor(array).requires_grad_()
        self._own.add(leaf.node)  # type: ignore[arg-type]
        _VARIABLES.add(leaf.node)  # type: ignore[arg-type]
        return leaf

    # What is left in the graph

    def _reaches_others(self, tensors: Sequence[Tensor]) -> bool:
        """True if what somebody outside may differentiate by went into the tensors: a leaf that is
        none of ours, alive or not, since a result that was computed from it may be asked about; but
        not a variable of another transform that is over."""
        _, leaves = reachable(t.node for t in tensors)
        others = [leaf for leaf in leaves if leaf not in self._own]
        return any(leaf.tensor() is not None or leaf not in _VARIABLES for leaf in others)

    def settled(self, tensor: Tensor) -> Tensor:
        """``tensor`` as the caller gets it: with its graph only where it leads outside."""
        if tensor.node is None or (self._open and self._reaches_others([tensor])):
            return tensor
        return tensor.detach()

    @property
    def value(self) -> Any:
        """What the function returned."""
        return self.out_structure.rebuild([self.settled(y) for y in self.outputs])

    # Backward: from a cotangent of the outputs to one of the points

    def pull(self, cotangents: Sequence[Tensor | None], retain: bool = False) -> list[Tensor]:
        """g -> g J, one for each point; None stands for a cotangent of zeros."""
        pairs = [
            (y, g)
            for y, g in zip(self.outputs, cotangents, strict=True)
            if g is not None and y.node is not None
        ]
        graph = self._graph_for([g for _, g in pairs])
        found: Sequence[Tensor | None] = [None] * len(self.points)
        if pairs and self.points:
            ys, gs = zip(*pairs, strict=True)
            keep = retain or graph
            found = grad(ys, self.points, gs, keep, create_graph=graph, allow_unused=True)
        if self.strict and None in found:
            self._refuse(self.paths[list(found).index(None)])
        return [zeros_like(x) if g is None else g for x, g in zip(self.points, found, strict=True)]

    def _graph_for(self, given: Sequence[Tensor]) -> bool:
        self._open = self._open or (self._record and self._reaches_others(given))
        return self._open

    def _refuse(self, path: str) -> None:
        raise GraphError(
            self.what,
            f"the output does not depend on {path}, which strict=True does not allow",
            repair="strict=False gives zeros there.",
        )

    # Forward: from a tangent of the points to one of the outputs

    def push(self, tangents: Sequence[Tensor | None], retain: bool = False) -> list[Tensor]:
        """v -> J v, one for each output, exactly: g -> g J is linear in g, and the pullback of
        that map is v -> J v. None stands for a tangent of zeros."""
        rows = self._rows
        pairs = [
            (row, v)
            for row, v in zip(rows, tangents, strict=True)
            if v is not None and row is not None and row.node is not None
        ]
        graph = self._graph_for([v for _, v in pairs])
        duals = [d for d in self._duals if d is not None]
        found: Sequence[Tensor | None] = [None] * len(duals)
        if pairs and duals:
            ends, vs = zip(*pairs, strict=True)
            found = grad(ends, duals, vs, retain or graph, create_graph=graph, allow_unused=True)
        arrived = iter(found)
        results = [None if d is None else next(arrived) for d in self._duals]
        return [
            zeros_like(y) if t is None else t for y, t in zip(self.outputs, results, strict=True)
        ]

    @property
    def _rows(self) -> list[Tensor | None]:
        """g J with g as variables, ``_duals``; made once for all tangents."""
        if self._made is None:
            self._duals = [
                None if y.node is None else self._leaf(zeros_like(y).array) for y in self.outputs
            ]
            pairs = [
                (y, d) for y, d in zip(self.outputs, self._duals, strict=True) if d is not None
            ]
            rows: Sequence[Tensor | None] = [None] * len(self.points)
            if pairs and self.points:
                ys, ds = zip(*pairs, strict=True)
                rows = grad(ys, self.points, ds, create_graph=True, allow_unused=True)
            if self.strict and None in rows:
                self._refuse(self.paths[list(rows).index(None)])
            self._made = list(rows)
        return self._made

    # Whole matrices

    def jacobian(self, forward: bool = False) -> Any:
        """dy/dx of shape [*y.shape, *x.shape], nested as the outputs and, inside, as the points."""
        blocks = self._columns() if forward else self._by_rows()
        rows = [self.structure.rebuild([self.settled(b) for b in row]) for row in blocks]
        return self.out_structure.rebuild(rows)

    def _by_rows(self) -> list[list[Tensor]]:
        blocks = []
        for k, y in enumerate(self.outputs):
            rows = [self.pull(_alone(g, k, self.outputs), retain=True) for g in _basis(y)]
            parts = zip(*rows, strict=True) if rows else [()] * len(self.points)
            blocks.append(
                [
                    _joined(part, (*y.shape, *x.shape), x, 0)
                    for part, x in zip(parts, self.points, strict=True)
                ]
            )
        return blocks

    def _columns(self) -> list[list[Tensor]]:
        blocks: list[list[Tensor]] = [[] for _ in self.outputs]
        for j, x in enumerate(self.points):
            columns = [self.push(_alone(v, j, self.points), retain=True) for v in _basis(x)]
            parts = zip(*columns, strict=True) if columns else [()] * len(self.outputs)
            for block, part, y in zip(blocks, parts, self.outputs, strict=True):
                block.append(_joined(part, (*y.shape, *x.shape), y, -1))
        return blocks

    # What the caller gives

    def cotangents(self, given: Any, name: str = "the cotangent") -> list[Tensor]:
        """Checked against the outputs; None stands for 1 where there is one element in all."""
        return self._beside(given, self.outputs, self.out_structure, name, "the output")

    def tangents(self, given: Any, name: str = "the tangent") -> list[Tensor]:
        """Checked against the points; None stands for 1 where there is one element in all."""
        return self._beside(given, self.points, self.structure, name, "the input")

    def _beside(
        self, given: Any, like: Sequence[Tensor], structure: Structure, name: str, what: str
    ) -> list[Tensor]:
        if given is None:
            if len(like) == 1 and like[0].numel() == 1:
                return [ones_like(like[0])]
            shapes = [(path, t.shape) for path, t in zip(structure.paths(what), like, strict=True)]
            raise GraphError(
                self.what,
                f"{name} is missing; it is 1 by itself only for one element",
                values=shapes,
                repair=f"Pass it, nested and shaped as {what}.",
            )
        leaves, found = flatten(given)
        if found != structure:
            raise ArgumentError(
                self.what,
                f"{name} must be nested as {what}",
                values=[(what, structure), (name, found)],
            )
        tensors = []
        for leaf, path, t in zip(leaves, structure.paths(name), like, strict=True):
            tensor = as_tensor(leaf)
            if tensor.shape != t.shape:
                raise ShapeError(
                    self.what,
                    f"{path} must have the shape of {what}",
                    values=[(what, t.shape), (path, tensor.shape)],
                    repair=f"Reshape or expand it to {t.shape}.",
                )
            if tensor.dtype.kind != "f":
                raise DTypeError(self.what, f"{path} must be floating, not {tensor.dtype.name}")
            tensors.append(tensor)
        return tensors


def gradient_of(
    what: str,
    function: Callable[..., Any],
    argnums: ArgNums | None,
    *,
    scalar: bool = True,
    has_aux: bool = False,
    record: bool = True,
    strict: bool = False,
) -> Callable[..., tuple[Any, Any, Any]]:
    """``(*args, **kwargs) -> (gradient, value, aux)`` of a function that gives one number.

    ``scalar``: its shape must be (); else one element of any shape will do.
    """
    check_function(what, function)

    def gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        trace = Trace(what, function, args, kwargs, argnums, has_aux, record, strict)
        y = trace.outputs[0] if trace.out_structure.kind is None else None
        if y is None or y.numel() != 1 or (scalar and y.ndim):
            shown = y.shape if y is not None else trace.out_structure
            raise ShapeError(
                what,
                "the function must return one number",
                values=[("the output", shown)],
                repair="Reduce it, for example with .sum(); jacrev, jacfwd and jacobian take "
                "outputs of any shape.",
            )
        if y.dtype.kind != "f":
            raise DTypeError(
                what, f"the function must return a floating tensor, not {y.dtype.name}"
            )
        value = trace.value
        slopes = [trace.settled(g) for g in trace.pull([ones_like(y)])]
        return trace.structure.rebuild(slopes), value, trace.aux

    return gradient


def check_function(what: str, function: Any) -> None:
    """Refuse what is no function, as in ``hessian(x, f)``."""
    if not callable(function):
        name = what.rpartition(".")[2]
        raise DTypeError(
            what,
            f"it differentiates a function, not a {_kind(function)}",
            repair=f"The function comes first, as in {name}(function, ...).",
        )


def zeros_like(tensor: Tensor) -> Tensor:
    """Zeros of its shape, dtype and device."""
    return Tensor(zeros(tensor.shape, tensor.dtype, tensor.array))


def ones_like(tensor: Tensor) -> Tensor:
    """Ones of its shape, dtype and device."""
    ones = zeros_like(tensor)
    with on_device_of(ones.array):
        ones.array[...] = 1
    return ones


def _basis(like: Tensor) -> Iterator[Tensor]:
    """The unit vectors of the space of a tensor."""
    for k in range(like.numel()):
        unit = zeros_like(like)
        with on_device_of(unit.array):
            unit.array.reshape(-1)[k] = 1
        yield unit


def _alone(item: Tensor, k: int, others: Sequence[Any]) -> list[Tensor | None]:
    return [item if i == k else None for i in range(len(others))]


def _joined(parts: Sequence[Tensor], shape: tuple[int, ...], like: Tensor, dim: int) -> Tensor:
    if not parts:
        return Tensor(zeros(shape, like.dtype, like.array))
    with grad_mode(True):
        return reshape(stack(list(parts), dim), shape)


def _chosen(what: str, argnums: Any, count: int) -> int | tuple[int, ...]:
    """Positions of the arguments to differentiate, not negative."""
    if argnums is None:
        return tuple(range(count))
    several = argnums if isinstance(argnums, tuple) else (argnums,)
    if not several or any(type(k) is not int for k in several):
        raise DTypeError(what, f"argnums must be an int or a tuple of ints, not {argnums!r}")
    for k in several:
        if not -count <= k < count:
            raise ArgumentError(
                what,
                f"argnums names argument {k}, but the function was called with {count} by position",
                repair="Give the arguments to differentiate by position.",
            )
    positions = tuple([k % count for k in several])
    if len(set(positions)) < len(positions):
        raise ArgumentError(what, f"argnums names an argument twice: {argnums}")
    return positions if isinstance(argnums, tuple) else positions[0]


def _kind(value: Any) -> str:
    return type(value).__name__
