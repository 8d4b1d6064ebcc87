"""The contract of an operator, the registry, and ``apply``, which runs one and records it.

An operator is a class that is never instantiated: a name, an equation, a ``forward`` on raw arrays,
and one vjp rule for each differentiable input::

    class Mul(Op):
        name, equation, inputs = "mul", "y = a * b", ("a", "b")

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

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import CPU, device_of, on_device_of, xp_of
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.core import write
from tinygrad_cv.core.mode import State, state
from tinygrad_cv.core.node import Node, user_frame
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, BackendError, TinygradError

__all__ = ["REGISTRY", "Op", "Plan", "apply", "run_kernel", "unregister"]

REGISTRY: dict[str, type[Op]] = {}


class Op:
    """Base of every operator; see the module's text for the contract.

    Class attributes:
        name: key in the registry and label in pictures.
        equation, gradients: the mathematics in one line each, shown by the operator table and
            explain mode.
        inputs: names of the inputs of ``forward``; attributes follow them. An optional input may be
            None.
        outputs, residuals: what ``forward`` returns, in this order, as one flat tuple if there are
            several.
        shaped: ``infer`` runs before ``forward``, so that bad arguments never reach the arithmetic.
        view: the output may share memory with the first input.
        may_warn: False where arithmetic cannot warn, so that NumPy's warnings need not be silenced.
        variadic: the only input is a tuple of tensors; its rule ``vjp_<name>(g, k, ...)`` gives the
            k-th gradient.
    """

    name: ClassVar[str] = ""
    equation: ClassVar[str] = ""
    gradients: ClassVar[dict[str, str]] = {}
    inputs: ClassVar[tuple[str, ...]] = ("input",)
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    residuals: ClassVar[tuple[str, ...]] = ()
    shaped: ClassVar[bool] = True
    view: ClassVar[bool] = False
    may_warn: ClassVar[bool] = True
    variadic: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False

    # Derived when the class is made.
    attributes: ClassVar[tuple[str, ...]]
    defaults: ClassVar[tuple[Any, ...]]
    rules: ClassVar[dict[str, Callable[..., Any]]]
    call: ClassVar[Callable[..., Any]]
    _plans: ClassVar[dict[int, Plan]]

    infer: ClassVar[Callable[..., Any]]
    forward: ClassVar[Callable[..., Any]]
    fused_vjp: ClassVar[Callable[..., Any] | None] = None
    flops: ClassVar[Callable[..., int] | None] = None

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        if not cls.name:
            raise ArgumentError(cls.__name__, "an operator needs a name")
        known = REGISTRY.get(cls.name)
        if known is not None and (known.__module__, known.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise ArgumentError(
                cls.name, f"this name is taken by {known.__module__}.{known.__qualname__}"
            )
        parameters = list(inspect.signature(cls.forward).parameters.values())[1 + len(cls.inputs) :]
        cls.attributes = tuple(p.name for p in parameters)
        cls.defaults = tuple(p.default for p in parameters if p.default is not p.empty)
        cls.rules = {
            name: getattr(cls, "vjp_" + name) for name in cls.inputs if hasattr(cls, "vjp_" + name)
        }
        cls._plans = {}
        for rule in cls.rules.values():
            _check_names(cls, rule, ("g", "k"))
        if cls.fused_vjp is not None:
            _check_names(cls, cls.fused_vjp, ("xp", "g", "needs"))
        cls.call = staticmethod(cls._make_call())
        cls.call.__doc__ = cls.__doc__
        cls.call.__name__ = cls.call.__qualname__ = cls.name
        cls.call.__module__ = cls.__module__
        cls.call.op = cls  # type: ignore[attr-defined]
        REGISTRY[cls.name] = cls

    @classmethod
    def _make_call(cls) -> Callable[..., Any]:
        return general_call(cls)

    @classmethod
    def plan(cls, needs: int) -> Plan:
        """What to save and which rules to run when the inputs in the bit mask ``needs`` want a
        gradient."""
        found = cls._plans.get(needs)
        if found is None:
            found = cls._plans[needs] = Plan(cls, needs)
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


def _check_names(op: type[Op], rule: Callable[..., Any], extra: tuple[str, ...]) -> None:
    shapes = tuple(name + "_shape" for name in op.inputs)
    known = (*extra, *op.inputs, *op.outputs, *op.residuals, *op.attributes, *shapes)
    for name in inspect.signature(rule).parameters:
        if name not in known:
            raise ArgumentError(
                op.name,
                f"{rule.__name__} reads {name!r}, which is no input, output, residual or attribute",
                repair="It can read " + ", ".join(known) + ".",
            )


class Plan:
    """For one operator and one set of inputs that need a gradient: what is saved, and the compiled
    rules.

    Attributes:
        needed: positions of the inputs that get a gradient.
        names: what a node saves, by name; ``kinds`` says where each comes from.
        save: ``(*inputs, outputs) -> saved tuple``; one argument per input, outputs as forward
            returned them.
        rules: ``{position: rule(g, saved, attrs)}``; of a variadic operator ``rule(g, saved, attrs,
            k)``.
        run: all rules at once, ``(g, saved, attrs) -> gradients`` in the order of ``needed``.
        fused: ``(xp, g, needs, saved, attrs)`` -> gradients of all inputs, or None.
    """

    __slots__ = (
        "fused",
        "kinds",
        "names",
        "needed",
        "needs",
        "op",
        "plain",
        "reads",
        "rules",
        "run",
        "save",
    )

    def __init__(self, op: type[Op], needs: int) -> None:
        self.op = op
        self.needs = needs
        if op.variadic:
            wanted = list(op.inputs)
            self.needed = tuple(k for k in range(needs.bit_length()) if needs >> k & 1)
        else:
            self.needed = tuple(k for k in range(len(op.inputs)) if needs >> k & 1)
            wanted = [op.inputs[k] for k in self.needed]
        readers = [op.rules[name] for name in wanted]
        if op.fused_vjp is not None:
            readers.append(op.fused_vjp)
        skip = {"g", "k", "xp", "needs", *op.attributes}
        read = (name for reader in readers for name in inspect.signature(reader).parameters)
        self.names = tuple(dict.fromkeys(name for name in read if name not in skip))
        self.kinds = tuple(self._kind(name) for name in self.names)
        self.save = self._compile_save()
        compiled = [self._compile_rule(op.rules[name]) for name in wanted]
        if op.variadic:
            rule = compiled[0]
            self.rules = dict.fromkeys(self.needed, rule)
            self.run = lambda g, s, a: tuple(rule(g, s, a, k) for k in self.needed)
        else:
            self.rules = dict(zip(self.needed, compiled, strict=True))
            parts = "".join(f"r{i}(g, s, a), " for i in range(len(compiled)))
            inner = {f"r{i}": rule for i, rule in enumerate(compiled)}
            self.run = compiled_lambda("g, s, a", f"({parts})", inner)
            if len(compiled) <= 2:  # one call less for small operators
                texts = [self._rule_text(op.rules[name], f"r{i}") for i, name in enumerate(wanted)]
                inner = {f"r{i}": op.rules[name] for i, name in enumerate(wanted)}
                self.run = compiled_lambda(
                    "g, s, a", "(" + "".join(t + ", " for t in texts) + ")", inner
                )
        self.fused = self._compile_fused()
        self.plain = self.fused is None and len(op.outputs) == 1

    def _kind(self, name: str) -> tuple[str, int]:
        op = self.op
        if name in op.inputs:
            return "input", op.inputs.index(name)
        if name in op.outputs:
            return "output", op.outputs.index(name)
        if name in op.residuals:
            return "residual", len(op.outputs) + op.residuals.index(name)
        return "shape", op.inputs.index(name.removesuffix("_shape"))

    def _compile_save(self) -> Callable[..., tuple[Any, ...]]:
        op = self.op
        if not self.names:
            return lambda *_: ()
        if op.variadic:
            head, texts = "*xs, o", {"input": "xs", "shape": "tuple(x.shape for x in xs)"}
        else:
            head = ", ".join(f"i{k}" for k in range(len(op.inputs))) + ", o"
            texts = {"input": "i{k}", "shape": "getattr(i{k}, 'shape', ())"}
        flat = len(op.outputs) + len(op.residuals) == 1
        texts["output"] = texts["residual"] = "o" if flat else "o[{k}]"
        items = "".join(texts[kind].format(k=k) + ", " for kind, k in self.kinds)
        if op.variadic:
            body = compiled_lambda("xs, o", f"({items})", {})
            return lambda *args: body(args[:-1], args[-1])
        return compiled_lambda(head, f"({items})", {})

    def _argument(self, name: str) -> str:
        if name in self.op.attributes:
            return f"a[{self.op.attributes.index(name)}]"
        return f"s[{self.names.index(name)}]" if name in self.names else name

    def _rule_text(self, rule: Callable[..., Any], called: str) -> str:
        return (
            f"{called}(" + ", ".join(map(self._argument, inspect.signature(rule).parameters)) + ")"
        )

    def _compile_rule(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        head = "g, s, a, k" if self.op.variadic else "g, s, a"
        return compiled_lambda(head, self._rule_text(rule, "rule"), {"rule": rule})

    def _compile_fused(self) -> Callable[..., Any] | None:
        rule = self.op.fused_vjp
        if rule is None:
            return None
        text = self._rule_text(rule, "f")
        return compiled_lambda("f, xp, g, needs, s, a", text, {})

    def __repr__(self) -> str:
        return f"<Plan {self.op.name} inputs {self.needed} saves {self.names}>"


def compiled_lambda(head: str, body: str, names: dict[str, Any]) -> Callable[..., Any]:
    """A function made from text, as ``dataclasses`` makes ``__init__``: argument lists differ by
    operator, and unpacking them at run time would cost more than a small operator does."""
    made: Callable[..., Any] = eval(f"lambda {head}: {body}", names)  # our own text only
    return made


def apply(op: type[Op], inputs: Sequence[Any], attrs: tuple[Any, ...]) -> Any:
    """Run ``op`` on Tensors (arrays and scalars become constants), record it if a gradient may be
    asked for, and return its output Tensor, or a tuple of them."""
    mode = state()
    tensors = tuple(t if t is None or isinstance(t, Tensor) else _constant(op, t) for t in inputs)
    arrays = tuple(t.array if isinstance(t, Tensor) else t for t in tensors)
    try:
        with np.errstate(all="ignore") if op.may_warn else nullcontext():
            arrays, results = run_kernel(op, arrays, attrs)
    except TinygradError as error:
        if error.module_path is None and mode.scope is not None:
            error.module_path = mode.scope.path
        if mode.record is not None:
            mode.record.failed(op, tensors, attrs, error, user_frame(2), mode.scope)
        raise
    count = len(op.outputs)
    outputs = tuple(Tensor(array) for array in results[:count])
    if mode.grad:
        needs = 0
        for k, t in enumerate(tensors):
            if (
                isinstance(t, Tensor)
                and t.node is not None
                and (op.variadic or op.inputs[k] in op.rules)
            ):
                needs |= 1 << k
        if needs and any(out.array.dtype.kind == "f" for out in outputs):
            _record(op, needs, tensors, arrays, results, outputs, attrs, mode)
    if op.view:
        for out in outputs:
            out.is_view = True
    if mode.record is not None:
        mode.record.add(op, tensors, outputs, attrs, user_frame(2), mode.scope)
    return outputs[0] if count == 1 else outputs


def _constant(op: type[Op], value: Any) -> Any:
    """A Python number stays as it is for an elementwise operator (a weak scalar); the rest becomes
    a Tensor."""
    if op.elementwise and type(value) in (bool, int, float):
        return value
    return as_tensor(value)


def _record(
    op: type[Op],
    needs: int,
    tensors: tuple[Any, ...],
    arrays: tuple[Any, ...],
    results: tuple[Any, ...],
    outputs: tuple[Tensor, ...],
    attrs: tuple[Any, ...],
    mode: State,
) -> None:
    node: Node = object.__new__(Node)
    node.plan = plan = op.plan(needs)
    node.attrs = attrs
    node.edges = tuple(t.node if needs >> k & 1 else None for k, t in enumerate(tensors))
    indices = tuple(t.index if needs >> k & 1 else 0 for k, t in enumerate(tensors))
    node.indices = indices if any(indices) else None
    node.saved = plan.save(*arrays, results[0] if len(results) == 1 else results)
    first, *others = outputs
    node.shape, node.dtype = first.array.shape, first.array.dtype
    node.rest = tuple((out.array.shape, out.array.dtype) for out in others)
    node.scope = mode.scope
    node.stamp = write.clock.tick()
    node.hooks = None
    frame = user_frame(3)
    node.code, node.lasti = frame.f_code, frame.f_lasti
    for index, out in enumerate(outputs):
        if out.array.dtype.kind == "f":
            out.node, out.index = node, index


def run_kernel(
    op: type[Op], arrays: tuple[Any, ...], attrs: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Run the best kernel on raw arrays, as a rule or another kernel does. Returns the inputs as
    they were used (promoted, for an elementwise operator) and the flat tuple of outputs and
    residuals."""
    device = _common_device(op, arrays)
    if device != "cuda":
        return _run_kernel(op, arrays, attrs, device, np)
    first = next(x for x in arrays if hasattr(x, "dtype"))
    with on_device_of(first):
        return _run_kernel(op, arrays, attrs, device, xp_of(first))


def _run_kernel(
    op: type[Op], arrays: tuple[Any, ...], attrs: tuple[Any, ...], device: str, xp: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if op.elementwise:
        arrays = op.promoted(arrays)  # type: ignore[attr-defined]
    arguments = (arrays,) if op.variadic else arrays
    rows = kernels.candidates(op.name)
    specs: tuple[Any, ...] = ()
    if op.shaped or device == "meta" or rows is not None:
        specs = _specs(arrays)
    if op.shaped or device == "meta":
        inferred = op.infer(*((specs,) if op.variadic else specs), *attrs)
        if device == "meta":
            return arrays, (inferred,) if isinstance(inferred, Spec) else tuple(inferred)
    function = op.forward
    if rows is not None:
        kernel = kernels.choose(rows, device, specs, attrs)
        if kernel is not None:
            function = kernel.function
    try:
        result = function(xp, *arguments, *attrs)
    except (ValueError, TypeError) as problem:
        if not isinstance(problem, TinygradError) and not op.shaped:
            specs = _specs(arrays)
            op.infer(
                *((specs,) if op.variadic else specs), *attrs
            )  # raises the error that explains
        raise
    results = result if isinstance(result, tuple) else (result,)
    if any(isinstance(item, np.generic) for item in results):  # what NumPy makes of 0-d results
        results = tuple(np.asarray(item) for item in results)
    return arrays, results


def _specs(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(spec_of(x) if hasattr(x, "dtype") else x for x in arrays)


def _common_device(op: type[Op], arrays: tuple[Any, ...]) -> str:
    """The type of the device on which all inputs lie."""
    found = None
    for array in arrays:
        if type(array) is np.ndarray:
            here = CPU
        elif array is None or isinstance(array, (bool, int, float)):
            continue
        else:
            here = device_of(array)
        if found is None:
            found = here
        elif here != found:
            names = (
                [f"{op.inputs[0]}[{k}]" for k in range(len(arrays))] if op.variadic else op.inputs
            )
            raise BackendError(
                op.name,
                "the inputs are on different devices",
                values=[
                    (n, str(device_of(a)))
                    for n, a in zip(names, arrays, strict=True)
                    if hasattr(a, "dtype")
                ],
                repair=f'Move them to one device, for example with .to("{found}").',
            )
    return found.type if found is not None else "cpu"
