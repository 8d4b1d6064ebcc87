"""The contract of an operator, the registry, and ``apply``, which runs one and records it.

An operator is a class that is never instantiated: a name, an equation, a ``forward`` on raw arrays,
and one vjp rule for each differentiable input::

    class Mul(Op):
        name, equation, inputs = "mul", "y = a * b", ("a", "b")

        @staticmethod
        def infer(a, b):  # what the output is: here of the shape, dtype and layout of a
            return a

        @staticmethod
        def forward(xp, a, b):
            return a * b

        @staticmethod
        def vjp_a(g, b):
            return g * b

        @staticmethod
        def vjp_b(g, a):
            return g * a

The parameter names of a rule say what it reads: ``g`` (the gradient of the output), an input, an
output, a residual, an attribute, ``<input>_shape``, or ``k`` (the position, for a variadic
operator). What rules read is exactly what a node saves. The same rule text runs on raw arrays for a
plain backward and on Tensors for ``create_graph=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv.backend.array import shares_memory
from tinygrad_cv.backend.blame import no_value, passed_on, with_origins
from tinygrad_cv.backend.contract import check_operator, check_rules, names_of
from tinygrad_cv.backend.dispatch import run_kernel
from tinygrad_cv.backend.writes import clock
from tinygrad_cv.core.mode import State, state
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.plan import Plan
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import BackendError, DTypeError, TinygradError, user_frame

__all__ = ["REGISTRY", "Op", "apply", "general_call", "record", "unregister"]

REGISTRY: dict[str, type[Op]] = {}


class Op:
    """Base of every operator; see the module's text for the contract.

    Class attributes:
        name: key in the registry and label in pictures.
        equation, gradients: the mathematics in one line each, shown by the operator table and
            explain mode.
        edges: what holds at ties, kinks and borders, and for NaN and infinities.
        cost: the formula behind ``flops``.
        dtypes: what the differentiable inputs may be: of bool, integer and floating.
        inputs: names of the inputs of ``forward``; attributes follow them. An optional input may be
            None.
        outputs, residuals: what ``forward`` returns, in this order, as one flat tuple if there are
            several.
        shaped: ``infer`` runs before ``forward``, so that bad arguments never reach the arithmetic.
        view: the output may share memory with the first input.
        may_warn: False where arithmetic cannot warn, so that NumPy's warnings need not be silenced.
        variadic: the only input is a tuple of tensors; its rule ``vjp_<name>(g, k, ...)`` gives the
            k-th gradient.
        public_name: for an operator behind several functions: which of them was meant, from the
            attributes; errors speak of it.
        fills_zeros: of several outputs those that nothing was computed from have the gradient 0;
            False gives None for them.
    """

    name: ClassVar[str] = ""
    equation: ClassVar[str] = ""
    gradients: ClassVar[dict[str, str]] = {}
    edges: ClassVar[str] = ""
    cost: ClassVar[str] = ""
    dtypes: ClassVar[str] = "floating"
    inputs: ClassVar[tuple[str, ...]] = ("input",)
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    residuals: ClassVar[tuple[str, ...]] = ()
    shaped: ClassVar[bool] = True
    view: ClassVar[bool] = False
    may_warn: ClassVar[bool] = True
    variadic: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    public_name: ClassVar[Callable[..., str] | None] = None
    fills_zeros: ClassVar[bool] = True

    # Derived when the class is made.
    attributes: ClassVar[tuple[str, ...]]
    defaults: ClassVar[tuple[Any, ...]]
    rules: ClassVar[dict[str, Callable[..., Any]]]
    differentiable: ClassVar[int]  # bit mask of the inputs that have a rule
    call: ClassVar[Callable[..., Any]]
    _plans: ClassVar[dict[int, Plan]]

    infer: ClassVar[Callable[..., Any]]
    forward: ClassVar[Callable[..., Any]]
    fused_vjp: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        check_operator(cls, REGISTRY.get(cls.name))
        cls.attributes = names_of(cls.forward)[1 + len(cls.inputs) :]
        defaults = getattr(cls.forward, "__defaults__", None) or ()
        cls.defaults = defaults[max(0, len(defaults) - len(cls.attributes)) :]
        ruled = [k for k, name in enumerate(cls.inputs) if hasattr(cls, "vjp_" + name)]
        cls.rules = {cls.inputs[k]: getattr(cls, "vjp_" + cls.inputs[k]) for k in ruled}
        cls.differentiable = -1 if cls.variadic and ruled else sum(1 << k for k in ruled)
        cls._plans = {}
        if cls.view:
            cls.may_warn = False
        check_rules(cls)
        cls.call = staticmethod(cls._make_call())
        cls.call.__doc__, cls.call.__module__ = cls.__doc__, cls.__module__
        cls.call.__name__ = cls.call.__qualname__ = cls.name
        cls.call.op = cls  # type: ignore[attr-defined]
        REGISTRY[cls.name] = cls

    @staticmethod
    def flops(*_: Any) -> int:
        """Floating-point operations of one run, from the arguments of ``infer``; 0 if data only
        moves."""
        return 0

    @staticmethod
    def aliases(*_: Any) -> dict[str, str]:
        """Residuals that are no memory of their own, and the input or residual whose memory they
        are, from the arguments of ``infer``; for memory plans."""
        return {}

    @classmethod
    def count_flops(cls, specs: tuple[Any, ...], attrs: tuple[Any, ...]) -> int:
        """``flops`` for input Specs and attributes as a node or a recorder has them."""
        return cls.flops(specs, *attrs) if cls.variadic else cls.flops(*specs, *attrs)

    @classmethod
    def _make_call(cls) -> Callable[..., Any]:
        return general_call(cls)

    @classmethod
    def plan(cls, needs: int) -> Plan:
        """What to save and which rules to run when the inputs in the bit mask ``needs`` want a
        gradient."""
        found = cls._plans.get(needs)
        if found is None:
            found = cls._plans.setdefault(needs, Plan(cls, needs))  # the same in every thread
        return found


def general_call(op: type[Op]) -> Callable[..., Any]:
    """The function behind ``op.call``: Tensors in, Tensors out and recorded; only raw arrays in,
    raw arrays out."""
    count = len(op.inputs)

    def call(*args: Any) -> Any:
        inputs, attrs = args[:count], args[count:]
        if op.variadic:
            inputs = tuple(inputs[0])
        missing = len(op.attributes) - len(attrs)
        if missing > 0:
            attrs += op.defaults[len(op.defaults) - missing :]
        for value in inputs:
            if isinstance(value, Tensor):
                return apply(op, inputs, attrs)
        arrays = tuple(np.asarray(x) if isinstance(x, np.generic) else x for x in inputs)
        _, results = run_kernel(op, arrays, attrs)
        return results[0] if len(op.outputs) == 1 else results[: len(op.outputs)]

    return call


def unregister(name: str) -> None:
    """Forget an operator, so that a scratch one leaves no trace."""
    REGISTRY.pop(name, None)


def apply(op: type[Op], inputs: Sequence[Any], attrs: tuple[Any, ...]) -> Any:
    """Run ``op`` on Tensors (arrays and scalars become constants), record it if a gradient may be
    asked for, and return its output Tensor, or a tuple of them."""
    mode = state()
    tensors, arrays = [], []
    needs, bit, cut = 0, 0 if op.variadic else 1, None
    for t in inputs:
        if not isinstance(t, Tensor) and (t is not None or op.elementwise):
            t = _constant(op, t)
        if isinstance(t, Tensor):
            arrays.append(t.array)
            if t.node is not None:
                needs |= bit
            elif t.cut is not None:
                cut = t.cut
        else:
            arrays.append(t)
        tensors.append(t)
        bit += bit
    if op.variadic:  # of a million tensors: bit by bit would take quadratic time
        asks = ["01"[getattr(t, "node", None) is not None] for t in reversed(tensors)]
        needs = int("".join(asks) or "0", 2)
    try:
        if op.may_warn:
            with np.errstate(all="ignore"):
                used, results = run_kernel(op, tuple(arrays), attrs)
        else:
            used, results = run_kernel(op, tuple(arrays), attrs)
    except TinygradError as error:
        if error.module_path is None and mode.scope is not None:
            error.module_path = mode.scope.path
        if isinstance(error, BackendError):
            with_origins(error, op, tensors, user_frame(2))
        for watcher in mode.record:
            watcher.failed(op, tuple(tensors), attrs, error, user_frame(2), mode.scope)
        raise
    outputs = tuple([_wrapped(op, x, used) for x in results[: len(op.outputs)]])
    wanted, needs = needs, needs & op.differentiable
    if needs and mode.grad:
        record(op, needs, tensors, used, results, outputs, attrs, mode)
    elif wanted or cut is not None:
        cut = passed_on(cut, mode.scope) if not wanted else mode.place if needs else op
        for out in outputs:
            out.cut = cut
    for watcher in mode.record:
        watcher.add(op, tuple(tensors), outputs, attrs, user_frame(2), mode.scope)
    return outputs[0] if len(outputs) == 1 else outputs


def _constant(op: type[Op], value: Any) -> Any:
    """A Python number stays as it is for an elementwise operator (a weak scalar); the rest becomes
    a Tensor."""
    if op.elementwise and type(value) in (bool, int, float):
        return value
    try:
        return as_tensor(value)
    except DTypeError:
        raise no_value(op, value) from None


def _wrapped(op: type[Op], array: Any, inputs: tuple[Any, ...]) -> Tensor:
    """``Tensor(array)`` for what is known to be an array."""
    tensor: Tensor = object.__new__(Tensor)
    tensor.array = array
    tensor.node = tensor._grad = tensor.cut = None
    tensor.index = 0
    tensor.is_view = op.view or shares_memory(array, inputs)
    return tensor


def record(
    op: type[Op],
    needs: int,
    tensors: list[Any],
    arrays: tuple[Any, ...],
    results: tuple[Any, ...],
    outputs: tuple[Tensor, ...],
    attrs: tuple[Any, ...],
    mode: State,
) -> None:
    """Make the node of a run, and let its float outputs know."""
    node: Node = object.__new__(Node)
    for index, out in enumerate(outputs):
        if out.array.dtype.kind == "f":
            out.node, out.index = node, index
    node.plan = plan = op.plan(needs)
    node.attrs = attrs
    if op.variadic:
        edges = tuple([getattr(t, "node", None) for t in tensors])
    else:
        edges = tuple([t.node if needs >> k & 1 else None for k, t in enumerate(tensors)])
    indices = [0 if e is None else t.index for e, t in zip(edges, tensors, strict=True)]
    node.edges, node.indices = edges, tuple(indices) if any(indices) else None
    kept = results[0] if len(results) == 1 else results
    node.saved = plan.save(arrays, kept) if op.variadic else plan.save(*arrays, kept)
    first = outputs[0].array
    node.shape, node.dtype = first.shape, first.dtype
    node.rest = tuple([(o.array.shape, o.array.dtype) for o in outputs[1:]])
    node.scope, node.stamp = mode.scope, clock.tick()
    node.hooks, node.fits = None, False
    frame = user_frame(3)
    node.code, node.lasti = frame.f_code, frame.f_lasti
