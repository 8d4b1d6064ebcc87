"""One run of the forward of a :class:`tinygrad_cv.autograd.Function`, and what came of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_cv.autograd.function_plan import Nested, State
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.backend.array import owner_of
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.backend.writes import clock, written_after
from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, TinygradError
from tinygrad_cv.ops.writing import check_writable

__all__ = ["Kind", "Run"]


class Kind(NamedTuple):
    """One way to call a Function; calls of one kind share an operator.

    Attributes:
        positions: for each argument its number among the tensors, None for what is no tensor.
        needs: which arguments require a gradient.
        outputs: for each tensor returned its position in what forward returned.
        floats: positions of the outputs that may have a gradient as far as the engine knows.
        saved: (kind, number) of each value kept, as a plan has them.
        labels: what messages call each of them.
        fills: zeros stand for gradients that nothing brought.
        writes: forward writes into an argument.
    """

    positions: tuple[int | None, ...]
    needs: tuple[bool, ...]
    outputs: tuple[int, ...] = (0,)
    floats: tuple[int, ...] = ()
    saved: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()
    fills: bool = True
    writes: bool = False


class Run:
    """One run of the forward of a Function, and what came of it.

    Attributes:
        outputs: the tensors that forward returned; ``open`` are the numbers of those that have a
            gradient, ``written`` has the caller's tensor for each that was written in place.
        results: what an operator returns: arrays of outputs and residuals, and the state.
        flops: operations of the operators that ran, if they were counted.
    """

    def __init__(
        self,
        function: Any,
        context: Any,
        separate: bool,
        args: Sequence[Any],
        needs: tuple[bool, ...],
        counted: bool,
    ) -> None:
        self.name, self.args, self.needs = function.__name__, args, needs
        self.handles = [_handle(a) if isinstance(a, Tensor) else a for a in args]
        self.ctx = ctx = context(needs)
        watch = _Watch(self._roots(), counted)
        with mode.grad_mode(False), mode.recording(watch):
            if separate:
                self.returned = function.forward(*self.handles)
                function.setup_context(ctx, tuple(self.handles), self.returned)
            else:
                self.returned = function.forward(ctx, *self.handles)
        self.flops = watch.flops if counted else None
        self._take_outputs()
        self._take_marks()
        self._take_saved(watch)

    def _roots(self) -> list[Tensor]:
        return [t for t, need in zip(self.handles, self.needs, strict=True) if need]

    def _take_outputs(self) -> None:
        several = isinstance(self.returned, tuple)
        self.items = self.returned if several else (self.returned,)
        self.places = tuple([k for k, x in enumerate(self.items) if isinstance(x, Tensor)])
        self.outputs: list[Tensor] = [self.items[k] for k in self.places]
        for k, item in enumerate(self.items):
            plain = several and (item is None or isinstance(item, (bool, int, float, str)))
            if not (plain or isinstance(item, Tensor)):
                what = f"element {k} of what forward returned is" if several else "forward returned"
                raise DTypeError(
                    self.name,
                    f"{what} no tensor, but {type(item).__name__} {item!r:.60}",
                    repair="Return a Tensor or a tuple of Tensors.",
                )
        if not self.outputs:
            raise DTypeError(self.name, "forward returned no tensor", repair="Return one.")

    def _take_marks(self) -> None:
        """What ctx was told about outputs and arguments."""
        for tensor in self.ctx._constant:
            if not any(tensor is y for y in self.outputs):
                raise ArgumentError(
                    self.name,
                    "mark_non_differentiable was given something that forward did not return",
                    repair="Give it outputs of forward.",
                )
        constant = set(map(id, self.ctx._constant))
        outputs = enumerate(self.outputs)
        self.open = [k for k, y in outputs if y.dtype.kind == "f" and id(y) not in constant]
        self.written: dict[int, Tensor] = {}
        for tensor in self.ctx._dirty:
            slot, place = _place(tensor, self.handles), _place(tensor, self.outputs)
            if slot is None or place is None:
                lacks = "is no argument of forward" if slot is None else "forward did not return"
                raise ArgumentError(
                    self.name,
                    f"mark_dirty was given a tensor that {lacks}",
                    repair="Mark the arguments that forward writes into, and return them.",
                )
            self.written[place] = self.args[slot]

    def check_writes(self, begun: int) -> None:
        """Refuse writes that the graph cannot follow."""
        if clock.last_write < begun and not self.written:
            return
        for argument in self.written.values():
            check_writable(argument, self.name)
        for tensor, need in zip(self.args, self.needs, strict=True):
            if need and not any(tensor is x for x in self.written.values()):
                site = written_after(tensor.array, begun)
                if site is not None:
                    raise GraphError(
                        self.name,
                        "forward wrote into an argument that requires a gradient",
                        repair="Write into a copy (x.clone()), or call ctx.mark_dirty(x) and "
                        "return x.",
                        notes=[f"it was written at {site}"],
                    )

    def _take_saved(self, watch: _Watch) -> None:
        state = self.state = State()
        values: list[Tensor] = [t for t in self.ctx._saved if t is not None]
        labels = [f"saved_tensors[{k}]" for k, t in enumerate(self.ctx._saved) if t is not None]
        numbers = iter(range(len(values)))
        state.saved = tuple(None if t is None else next(numbers) for t in self.ctx._saved)
        state.attributes = {}
        for name, value in vars(self.ctx).items():
            leaves, structure = flatten(value)
            if not any(isinstance(x, Tensor) for x in leaves):
                state.attributes[name] = value
                continue
            places: list[int | None] = []
            for x in leaves:
                places.append(len(values) if isinstance(x, Tensor) else None)
                if isinstance(x, Tensor):
                    # Not by a key of the user's: every label is kept, and keys may be endless.
                    labels.append(
                        f"ctx.{name}[{len(places) - 1}]" if structure.kind else f"ctx.{name}"
                    )
                    values.append(x)
            plain = tuple(None if isinstance(x, Tensor) else x for x in leaves)
            state.attributes[name] = Nested(structure, plain, tuple(places))
        tensors = [h for h in self.handles if isinstance(h, Tensor)]
        residuals: list[Any] = []
        self.saved: list[tuple[str, int]] = []
        origins: list[Any] = []
        for value in values:
            origin: Any = None
            output, given = _place(value, self.outputs), _place(value, tensors)
            if output is not None:  # of a marked one the array only
                self.saved.append(("output" if output in self.open else "residual", output))
            elif given is not None:
                self.saved.append(("input", given))
            else:
                self.saved.append(("residual", len(self.outputs) + len(residuals)))
                residuals.append(value.array)
                if value.node is not None:
                    origin = value
                elif watch.knows(value):
                    origin = "computed"
            origins.append(origin)
        state.origins = tuple(origins)
        self.labels = labels
        state.specs = tuple([(t.shape, t.dtype, t.device) for t in tensors])
        pairs = zip(self.args, self.needs, strict=True)
        state.sources = tuple([(t.node, t.index) for t, need in pairs if need])
        items = self.items
        state.outputs = tuple(
            [(x.shape, x.dtype) if isinstance(x, Tensor) else None for x in items]
        )
        self.results = (*[y.array for y in self.outputs], *residuals, state)

    def kind(self, positions: tuple[int | None, ...]) -> Kind:
        """Which of the Function's operators this was."""
        pairs = zip(self.places, self.outputs, strict=True)
        floats = tuple(place for place, y in pairs if y.dtype.kind == "f")
        saved, labels = tuple(self.saved), tuple(self.labels)
        fills, writes = self.ctx._materialize, bool(self.written)
        return Kind(positions, self.needs, self.places, floats, saved, labels, fills, writes)

    def wrapped(self) -> list[Tensor]:
        """The outputs as new tensors; what shares memory with an argument, or with another output,
        is a view of it."""
        owners = [owner_of(t.array) for t in self.args if isinstance(t, Tensor)]
        own = [owner_of(y.array) for y in self.outputs]
        owners += [x for k, x in enumerate(own) if any(x is y for y in own[:k])]
        made = []
        for y in self.outputs:
            tensor = Tensor(y.array)
            owner = owner_of(y.array)
            tensor.is_view = any(owner is x for x in owners) and not isinstance(owner, Spec)
            made.append(tensor)
        return made

    def returned_with(self, outputs: list[Tensor]) -> Any:
        """What forward returned, with these for its tensors."""
        if not isinstance(self.returned, tuple):
            return outputs[0]
        items = list(self.items)
        for place, out in zip(self.places, outputs, strict=True):
            items[place] = out
        return tuple(items)


def _place(tensor: Any, among: Sequence[Any]) -> int | None:
    """Where this very object stands."""
    for k, other in enumerate(among):
        if other is tensor:
            return k
    return None


def _handle(tensor: Tensor) -> Tensor:
    """The same array without a graph."""
    handle = Tensor(tensor.array)
    handle.is_view = tensor.is_view
    return handle


class _Watch(mode.Recorder):
    """Follows what forward computes from arguments that require a gradient, and counts FLOPs."""

    def __init__(self, roots: Sequence[Tensor], counted: bool) -> None:
        self.flops: int | None = 0
        self.counted = counted
        self.owners: dict[int, Callable[[], Any]] = {}
        for tensor in roots:
            self._note(tensor)

    def _note(self, tensor: Tensor) -> None:
        owner = owner_of(tensor.array)
        if not isinstance(owner, Spec):  # on meta there is nothing to differentiate twice
            self.owners[id(owner)] = weakref.ref(owner)

    def knows(self, tensor: Any) -> bool:
        """Was it computed from such an argument?"""
        if not isinstance(tensor, Tensor) or tensor.dtype.kind != "f":
            return False
        owner = owner_of(tensor.array)
        known = self.owners.get(id(owner))
        return known is not None and known() is owner

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        if op.differentiable and any(map(self.knows, inputs)):
            for out in outputs:
                self._note(out)
        if self.counted and self.flops is not None:
            specs = [spec_of(x.array) if isinstance(x, Tensor) else x for x in inputs]
            try:
                self.flops += int(op.count_flops(tuple(specs), attrs))
            except (TinygradError, AttributeError, TypeError):  # it depends on values
                self.flops = None
