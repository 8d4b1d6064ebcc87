"""What a node saves and which rules it will run, worked out once for each operator.

An operator's rules name what they read. From those names a Plan compiles three functions by text,
as ``dataclasses`` compiles ``__init__``: one that saves, one that runs all rules, one that runs the
fused rule. Unpacking argument lists at run time instead would cost more than a small operator does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_cv.backend.contract import names_of

if TYPE_CHECKING:
    from tinygrad_cv.core.op import Op

__all__ = ["Plan"]


class Plan:
    """For one operator and one set of inputs that need a gradient.

    Attributes:
        needed: positions of the inputs that get a gradient.
        names: what a node saves; ``kinds`` says where each comes from: (kind, position).
        save: ``(*inputs, outputs) -> saved tuple``, outputs and residuals as forward returned them;
            of a variadic operator ``(inputs, outputs)``.
        rules: ``{position: rule(g, saved, attrs, position)}``.
        run: all rules at once, ``(g, saved, attrs) -> gradients`` of the inputs, None for one that
            needs none; not for a variadic operator.
        fused: ``(function, xp, g, needs, saved, attrs)`` -> gradients of all inputs, or None.
    """

    __slots__ = ("fused", "kinds", "names", "needed", "needs", "op", "rules", "run", "save")

    def __init__(self, op: type[Op], needs: int) -> None:
        self.op = op
        self.needs = needs
        self.needed = tuple(k for k, bit in enumerate(reversed(f"{needs:b}")) if bit == "1")
        rules = {k: op.rules[op.inputs[0 if op.variadic else k]] for k in self.needed}
        fused = op.fused_vjp
        different = dict.fromkeys(rules.values())  # one for all inputs of a variadic operator
        readers = [*different, *([fused] if fused is not None else [])]
        skip = {"g", "xp", "needs", *(("k",) if op.variadic else ()), *op.attributes}
        self.names = tuple(dict.fromkeys(n for r in readers for n in names_of(r) if n not in skip))
        self.kinds = tuple(self._kind(name) for name in self.names)
        self.save = self._compile_save()
        made = {r: _compiled("g, s, a, k", self._call("r", r), {"r": r}) for r in different}
        self.rules = {k: made[rule] for k, rule in rules.items()}
        rules = {} if op.variadic else rules
        texts = {k: self._call(f"r{k}", rule, str(k)) for k, rule in rules.items()}
        calls = [texts.get(k, "None") for k in range(len(op.inputs))]
        scope = {f"r{k}": rule for k, rule in rules.items()}
        self.run = _compiled("g, s, a", _tuple(calls), scope)
        self.fused = None
        if fused is not None:
            self.fused = _compiled("f, xp, g, needs, s, a", self._call("f", fused), {})

    def each(
        self, g: Any, needs: Sequence[bool], saved: Sequence[Any], attrs: tuple[Any, ...]
    ) -> list[Any]:
        """The gradients of the inputs that ``needs`` asks for, one by one; None for the others."""
        return [self.rules[k](g, saved, attrs, k) if need else None for k, need in enumerate(needs)]

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
        one = len(op.outputs) + len(op.residuals) == 1
        result = "o" if one else "o[{k}]"
        if op.variadic:
            head, read, shape = "i, o", "i", "tuple(x.shape for x in i)"
        else:
            head = "".join(f"i{k}, " for k in range(len(op.inputs))) + "o"
            read, shape = "i{k}", "getattr(i{k}, 'shape', ())"
        texts = {"input": read, "shape": shape, "output": result, "residual": result}
        return _compiled(head, _tuple(texts[kind].format(k=k) for kind, k in self.kinds), {})

    def _call(self, function: str, rule: Callable[..., Any], k: str = "k") -> str:
        """The text of a call of ``rule``, its arguments taken from g, s (saved), a (attributes)."""
        texts = {name: f"s[{i}]" for i, name in enumerate(self.names)}
        texts |= {name: f"a[{i}]" for i, name in enumerate(self.op.attributes)}
        if self.op.variadic:
            texts["k"] = k
        return f"{function}({', '.join(texts.get(name, name) for name in names_of(rule))})"

    def __repr__(self) -> str:
        return f"<Plan {self.op.name} inputs {self.needed} saves {self.names}>"


def _tuple(items: Iterable[str]) -> str:
    return "(" + "".join(item + ", " for item in items) + ")"


def _compiled(head: str, body: str, names: dict[str, Any]) -> Callable[..., Any]:
    # Our own text only. Its file name is inside the package, so that no line of it is the user's.
    code = compile(f"lambda {head}: {body}", f"{__file__} <compiled>", "eval")
    made: Callable[..., Any] = eval(code, names)
    return made
