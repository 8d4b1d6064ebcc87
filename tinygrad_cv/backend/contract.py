"""What the class of an operator must have: checked when it is made, so that a slip in it is an
error at once and not a wrong gradient later.

Operators are known here by their attributes only.
"""

from __future__ import annotations

import difflib
import dis
import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_cv.errors import ArgumentError

_STARRED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

__all__ = ["check_operator", "check_rules", "names_of"]


def names_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameter names of a function; `inspect.signature` would make importing slow."""
    made = getattr(function, "__signature__", None)
    code = getattr(function, "__code__", None)
    if made is None and code is not None and not hasattr(function, "__wrapped__"):
        names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return names
    return tuple((made or inspect.signature(function)).parameters)


def check_operator(op: Any, known: Any) -> None:
    """Refuse an operator that lacks a part, or whose name ``known`` has.

    Raises:
        ArgumentError: as said.
    """
    if not op.name:
        raise ArgumentError(op.__name__, "an operator needs a name")
    taken, here = (f"{x.__module__}.{x.__qualname__}" for x in (known or op, op))
    if taken != here:  # the same class once more is a module that was reloaded
        raise ArgumentError(op.name, f"this name is taken by {taken}")
    for method in ("forward", "infer") if op.shaped else ("forward",):
        if not hasattr(op, method):
            raise ArgumentError(op.name, f"an operator needs the static method {method}")
    first = names_of(op.forward)[1 : 1 + len(op.inputs)]
    if first != op.inputs:
        raise ArgumentError(
            op.name,
            f"inputs is {op.inputs}, but after xp forward takes {first}",
            repair="Tell which of its arguments are tensors: inputs = ('a', 'b'); those that "
            "follow are attributes.",
        )


def check_rules(op: Any) -> None:
    """Refuse rules that nothing would run, that read what no node could save, and names that mean
    something else in a rule.

    Raises:
        ArgumentError: as said.
    """
    own = ("g", "k") if op.variadic else ("g",)
    named = (*op.inputs, *op.outputs, *op.residuals, *op.attributes)
    for name in named:
        if name in (*own, "xp", "needs"):
            raise ArgumentError(
                op.name,
                f"{name!r} cannot be the name of an input, output, residual or attribute",
                repair="In gradient rules it has a meaning of its own: choose another name.",
            )
    for rule in dir(op):
        if rule.startswith("vjp_") and rule[4:] not in op.inputs:
            near = difflib.get_close_matches(rule[4:], op.inputs, 1, 0)
            raise ArgumentError(
                op.name,
                f"{rule} is the rule of no input; the inputs are {', '.join(op.inputs)}",
                repair=f"Call it vjp_{near[0]}, or name its input in inputs." if near else None,
            )
    readable = (*named, *(name + "_shape" for name in op.inputs))
    readers: list[tuple[str, Any, tuple[str, ...]]]
    readers = [(f"vjp_{name}", rule, own) for name, rule in op.rules.items()]
    if op.fused_vjp is not None:
        readers.append(("fused_vjp", op.fused_vjp, ("xp", "g", "needs")))
    own_code = op.__module__.startswith("tinygrad_cv.")  # which is tested; to look takes time
    for reader, rule, extra in readers:
        if not own_code and _gives_nothing(rule):
            raise ArgumentError(op.name, f"{reader} returns nothing: is a return missing?")
        code = None if hasattr(rule, "__signature__") else getattr(rule, "__code__", None)
        starred = code is not None and (code.co_flags & _STARRED or code.co_kwonlyargcount)
        if starred and not own_code:
            raise ArgumentError(
                op.name, f"{reader} must name what it reads as plain parameters, not * or **"
            )
        if "g" not in names_of(rule):
            raise ArgumentError(
                op.name,
                f"{reader} does not read g, the gradient of the output, by which it multiplies",
            )
        for name in names_of(rule):
            if name not in (*extra, *readable):
                raise ArgumentError(
                    op.name,
                    f"{reader} reads {name!r}, which is no input, output, residual or attribute",
                    repair="It can read " + ", ".join((*extra, *readable)) + ".",
                )


def _gives_nothing(function: Any) -> bool:
    """True for a function that can return None only."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_GENERATOR:
        return False
    steps = list(dis.get_instructions(code))
    ends = [k for k, step in enumerate(steps) if step.opname.startswith("RETURN")]
    before = [steps[k - 1] if steps[k].opname == "RETURN_VALUE" else steps[k] for k in ends]
    return bool(ends) and all(
        step.opname.endswith("CONST") and step.argval is None for step in before
    )
