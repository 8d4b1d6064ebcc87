"""The backward of a :class:`tinygrad_cv.autograd.Function`: what its node keeps, and how the user's
rule is run on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_cv.autograd.tree import Structure
from tinygrad_cv.backend.array import on_device_of, xp_of, zeros
from tinygrad_cv.backend.blame import Place
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Source
from tinygrad_cv.core.op import REGISTRY, Op, apply
from tinygrad_cv.core.plan import Plan
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, GraphError, ShapeError

__all__ = ["Context", "FunctionPlan", "Nested", "Refusal", "State", "missing"]


class Context:
    """What the public ctx is made of; ``__dict__`` has what the user set on it."""

    # fmt: off
    __slots__ = ("__dict__", "__weakref__", "_constant", "_dirty", "_materialize", "_refusal",
                 "_restored", "_saved", "needs_input_grad")
    # fmt: on

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._saved: tuple[Tensor | None, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True
        self._refusal: Any = None
        self._restored = False


class Nested(NamedTuple):
    """An attribute of ctx with tensors in it: a number stands for each, inside its nesting."""

    structure: Structure
    leaves: tuple[Any, ...]
    places: tuple[int | None, ...]


class State:
    """What a node keeps of one call beside arrays.

    Attributes:
        place: the user's line that called ``apply``.
        attributes: what was set on ctx, tensors replaced by :class:`Nested`.
        saved: for each of ``saved_tensors`` its number among the values kept, or None.
        origins: of each value: a Tensor that brings a graph of its own, "computed" by forward from
            its arguments, or None.
        specs: (shape, dtype) of each tensor argument.
        sources: where the arguments that require a gradient stand in the graph.
        outputs: for each output (shape, dtype), None where forward returned no tensor.
    """

    __slots__ = ("attributes", "origins", "outputs", "place", "saved", "sources", "specs")

    place: Place
    attributes: dict[str, Any]
    saved: tuple[int | None, ...]
    origins: tuple[Any, ...]
    specs: tuple[tuple[Any, Any, Any], ...]
    sources: tuple[tuple[Source, int], ...]
    outputs: tuple[Any, ...]

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """True if both keep the same things, as far as it shows: two runs of one function."""
        return isinstance(other, State) and (self._names(), self.saved) == (
            other._names(),
            other.saved,
        )

    def _names(self) -> list[str]:
        return list(self.attributes)

    def __repr__(self) -> str:
        return f"<ctx {', '.join(self.attributes)}>"


class FunctionPlan(Plan):
    """Runs the backward of the class behind ``op`` instead of rules for each input."""

    op: Any

    def __init__(self, op: Any, needs: int) -> None:
        self.op = op
        self.needs = needs
        self.needed = tuple(k for k in range(needs.bit_length()) if needs >> k & 1)
        self.names = (*op.saved_names, "ctx")
        self.kinds = (*op.saved_kinds, ("shape", len(op.inputs)))  # like a shape it is no array
        self.save = self._save
        self.rules = dict.fromkeys(self.needed, self._rule)
        self.fused = None

    def _save(self, *arrays: Any) -> tuple[Any, ...]:
        *inputs, results = arrays
        kept = [(inputs if kind == "input" else results)[k] for kind, k in self.op.saved_kinds]
        return (*kept, results[-1])

    def _rule(self, g: Any, saved: Sequence[Any], attrs: tuple[Any, ...], k: int) -> Any:
        return self.each(g, [k == i for i in range(len(self.op.inputs))], saved, attrs)[k]

    def each(
        self, g: Any, needs: Sequence[bool], saved: Sequence[Any], attrs: tuple[Any, ...]
    ) -> list[Any]:
        op = self.op
        state: State = saved[-1]
        parts = g if isinstance(g, tuple) else (g,)
        like = next(x for x in parts if x is not None)
        raw = not isinstance(like, Tensor)
        with_graph = mode.state().grad and not raw
        ctx = op.context(tuple(op.spread(needs, False)))
        ctx._refusal = refusal = Refusal(op.name, state, parts if with_graph else (), like)
        values = [
            _restored(value, origin, name, refusal if with_graph else None)
            for value, origin, name in zip(saved, state.origins, self.names, strict=False)
        ]
        ctx._restored = True
        ctx._saved = tuple(None if k is None else values[k] for k in state.saved)
        for name, value in state.attributes.items():
            setattr(ctx, name, _filled(value, values))
        arrived = iter(_tensor(x) for x in parts)
        grads: list[Tensor | None] = []
        for k, spec in enumerate(state.outputs):
            if k in op.floats:
                grads.append(next(arrived))
            elif spec is not None and op.fills_zeros:
                grads.append(Tensor(zeros(spec[0], spec[1], like if raw else like.array)))
            else:
                grads.append(None)
        with nullcontext() if with_graph else mode.recording():
            if op.backward is None:
                raise missing(op.name)
            found = self._checked(op.backward(ctx, *grads), needs, state)
        return [x.array if raw and isinstance(x, Tensor) else x for x in found]

    def _checked(self, returned: Any, needs: Sequence[bool], state: State) -> list[Any]:
        """The gradients of the tensor arguments, out of what backward returned."""
        op = self.op
        grads = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
        count = len(op.names)
        if len(grads) < count or any(x is not None for x in grads[count:]):
            raise ArgumentError(
                op.name,
                f"backward returned {_several(len(grads), 'gradient')}, "
                f"forward got {_several(count, 'argument')}",
                values=[("forward got", ", ".join(op.names))],
                repair="Return one for each argument, None where there is none.",
            )
        found: list[Any] = []
        for name, slot, gradient in zip(op.names, op.positions, grads, strict=False):
            if slot is None:
                if gradient is not None:
                    raise ArgumentError(
                        op.name,
                        f"backward returned a gradient for {name!r}, which is no tensor",
                        repair="Return None there.",
                    )
            elif gradient is None or not needs[slot]:
                found.append(None)
            else:
                found.append(_fitted(op.name, name, gradient, *state.specs[slot]))
        return found


def _fitted(op: str, name: str, gradient: Any, shape: Any, dtype: Any, device: Any) -> Tensor:
    """A gradient in the shape of its argument: summed over axes along which that broadcasts."""
    if not isinstance(gradient, Tensor):
        raise DTypeError(
            op,
            f"backward returned {gradient!r:.60} as the gradient of {name!r}, "
            f"a {type(gradient).__name__}",
            repair="Return a Tensor, or None.",
        )
    if gradient.device != device:
        raise BackendError(
            op,
            f"backward returned a gradient on {gradient.device} for {name!r}, which is on {device}",
            repair=f'Move it with .to("{device}").',
        )
    if gradient.shape == shape:
        return gradient
    try:
        fits = np.broadcast_shapes(shape, gradient.shape) == gradient.shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            op,
            f"backward returned a gradient of the wrong shape for {name!r}",
            values=[("returned", gradient.shape), (name, shape)],
            repair=f"The gradient of {name!r} has its shape, {shape}.",
        )
    summed: Tensor = REGISTRY["sum_to"].call(gradient, shape)
    return summed


def _restored(value: Any, origin: Any, name: str, refusal: Refusal | None) -> Tensor:
    """A value that was kept, as backward sees it."""
    if isinstance(origin, Tensor):
        return origin
    tensor = _tensor(value)
    if origin == "computed" and refusal is not None:
        return refusal.of_value(tensor, name)
    return tensor


def _filled(value: Any, values: Sequence[Tensor]) -> Any:
    """An attribute with its tensors in place."""
    if not isinstance(value, Nested):
        return value
    pairs = zip(value.leaves, value.places, strict=True)
    return value.structure.rebuild([x if k is None else values[k] for x, k in pairs])


def _tensor(value: Any) -> Any:
    return value if value is None or isinstance(value, Tensor) else Tensor(value)


def _several(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def missing(name: str) -> GraphError:
    """There is no backward to run."""
    return GraphError(
        name,
        "it has no backward",
        repair="Write a static method backward(ctx, *grad_outputs) that returns a gradient, or "
        "None, for each argument of forward.",
    )


# A derivative that does not exist -----------------------------------------------------------------


class Refusal:
    """Makes tensors whose differentiation is an error, although they have no graph of their own:
    they hang on all that the result may depend on, so that no walk misses them."""

    def __init__(self, op: str, state: State, gradients: Sequence[Any], like: Any) -> None:
        self.op, self.state, self.gradients, self.like = op, state, gradients, like

    def once(self, value: Any) -> Any:
        """For what a ``once_differentiable`` backward gave."""
        return self._made(
            value,
            "its backward is once_differentiable: what it gave cannot be differentiated",
            "Write backward with Tensor operators, and leave once_differentiable out.",
        )

    def of_value(self, value: Tensor, name: str) -> Any:
        """For what forward computed on the way and saved."""
        return self._made(
            value,
            f"{name!r} was computed in forward and saved, and its derivative is not known",
            "Return it from forward as a further output, or compute it again in backward from the "
            "arguments.",
        )

    def _made(self, value: Any, problem: str, repair: str) -> Any:
        if not isinstance(value, Tensor) or value.dtype.kind != "f":
            return value
        sources = [g for g in self.gradients if g is not None and g.node is not None]
        sources += [self._stand_in(*source) for source in self.state.sources]
        return apply(
            _Refused, (value.detach(), *sources), ((self.op, problem, repair, self.state),)
        )

    def _stand_in(self, node: Source, index: int) -> Tensor:
        """A tensor at that place of the graph, without its values."""
        shape, dtype = node.outputs[index]
        array = self.like.array if isinstance(self.like, Tensor) else self.like
        with on_device_of(array):
            xp = xp_of(array)
            tensor = Tensor(xp.broadcast_to(xp.zeros((), dtype), shape))
        tensor.node, tensor.index = node, index
        return tensor


class _Refused(Op, abstract=True):  # not in the registry: nobody calls it by its name
    """The first of its inputs; its rule says why there is no derivative."""

    name = "once_differentiable"
    equation = "y = x, without a derivative"
    variadic = True
    view = True
    shaped = False
    attributes: ClassVar[tuple[str, ...]] = ("key",)
    defaults: ClassVar[tuple[Any, ...]] = ()
    differentiable = -1
    _plans: ClassVar[dict[int, Plan]] = {}

    @staticmethod
    def infer(inputs: Any, key: Any) -> Any:
        return inputs[0]

    @staticmethod
    def forward(xp: Any, inputs: Any, key: Any) -> Any:
        return inputs[0]

    @staticmethod
    def vjp_input(g: Any, k: Any, key: Any) -> Any:
        name, problem, repair, state = key
        notes = [f"{name} ran at {state.place.site}"]
        raise GraphError(name, problem, repair=repair, notes=notes)


_Refused.rules = {"input": _Refused.vjp_input}
