"""What an operator declares, in words: its row in the table of operators."""

from __future__ import annotations

import inspect
import re
from typing import Any

from tinygrad_cv.autograd.function import Function
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.errors import ArgumentError

__all__ = ["explain", "explained", "fields", "first_sentence", "signature"]


def explain(target: Any) -> str:
    """The row of an operator in the table of operators, as ``tinygrad-cv ops`` prints it: equation,
    gradients, what it saves, kernels, and whatever else it declares.

    Args:
        target: an ``Op`` class, the name of a registered one, an ``autograd.Function``, or a node
            of a graph.

    Raises:
        ArgumentError: it is none of these.

    >>> import tinygrad_cv as tg
    >>> print(explain(tg.ones(2, requires_grad=True).sigmoid().grad_fn))  # doctest: +ELLIPSIS
    sigmoid(input) -> output
      ...
      gradient of input: ...
    """
    if isinstance(target, Node):
        target = target.op
    op = getattr(target, "function", target)  # what stands behind a node of a Function
    op = getattr(op, "op", op)  # what `call` belongs to
    if isinstance(op, str) and op in REGISTRY:
        op = REGISTRY[op]
    if isinstance(op, type) and issubclass(op, Function):
        return "\n".join(_function(op))
    if isinstance(op, type) and issubclass(op, Op) and op.name:
        return "\n".join(explained(op))
    raise ArgumentError(
        "explain",
        f"an operator is needed, not {target!r:.60}",
        repair="Give an Op class, a registered name, an autograd.Function or a node.",
    )


def explained(op: type[Op]) -> list[str]:
    """An operator as lines for the terminal; what it does not declare is left out."""
    facts = fields(op)
    what, equation = facts.pop("what"), facts.pop("equation")
    rows = [f"{key}: {value}" for key, value in facts.items() if value]
    return [signature(op), *(f"  {row}" for row in (equation, *rows, what) if row)]


def signature(op: type[Op]) -> str:
    """Inputs; attributes -> outputs.

    >>> signature(REGISTRY["add"])
    'add(input, other) -> output'
    """
    inputs = ", ".join(("*" if op.variadic else "") + name for name in op.inputs)
    attributes = f"; {', '.join(op.attributes)}" if op.attributes else ""
    return f"{op.name}({inputs}{attributes}) -> {', '.join(op.outputs)}"


def fields(op: type[Op]) -> dict[str, str]:
    """Everything that is declared about an operator, in words.

    >>> fields(REGISTRY["relu"])["gradient of input"]
    'g * [y > 0]'
    """
    found = {"what": first_sentence(op), "equation": op.equation}
    for name in op.inputs:
        if name in op.rules:
            found[f"gradient of {name}"] = op.gradients.get(name, "")
    found["orders"] = "any" if op.rules else "0"
    if op.rules:
        needs = 1 if op.variadic else sum(1 << k for k, n in enumerate(op.inputs) if n in op.rules)
        found["saves"] = ", ".join(_saved(name) for name in op.plan(needs).names) or "nothing"
    found["edges"] = op.edges
    found["FLOPs"] = op.cost or ("0" if op.flops is Op.flops else "")
    found["dtypes"] = op.dtypes
    found["kernels"] = ", ".join(_providers(op))
    return found


def first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring as one line of Markdown."""
    text = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")


def _function(function: type[Function]) -> list[str]:
    parameters = list(inspect.signature(function.forward).parameters.values())
    if function.setup_context is Function.setup_context:
        del parameters[0]  # ctx
    plain = [p.replace(annotation=p.empty) for p in parameters]
    lines = [f"{function.__name__}{inspect.Signature(plain)}", function.equation]
    lines += [f"gradient of {name}: {text}" for name, text in function.gradients.items()]
    once = getattr(function.backward, "once_differentiable", False)
    lines.append(f"orders: {'1' if once else 'any, if backward is made of operators'}")
    lines.append("kernels: its forward and backward")
    lines.append(first_sentence(function) if function.__dict__.get("__doc__") else "")
    return [lines[0], *(f"  {line}" for line in lines[1:] if line)]


def _saved(name: str) -> str:
    return f"the shape of {name.removesuffix('_shape')}" if name.endswith("_shape") else name


def _providers(op: type[Op]) -> list[str]:
    """Who serves the operator; the reference on NumPy and CuPy always does."""
    found = ["reference"]
    for what, words in ((op.name, ""), (f"{op.name}.vjp", " (gradient)")):
        rows = kernels.candidates(what) or []
        found += sorted(f"{row.provider}{words}" for row in rows)
    if op.fused_vjp is not None:
        found.append("reference (gradient)")
    return found
