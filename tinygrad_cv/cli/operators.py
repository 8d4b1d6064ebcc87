"""What is declared about operators: as lines for the terminal, and as one Markdown page."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tinygrad_cv import nn
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.ops import NN_FUNCTIONS, TG_FUNCTIONS
from tinygrad_cv.viz.operators import explained, fields, first_sentence, signature

__all__ = ["described", "made_of", "names", "operators", "page"]


def operators() -> list[type[Op]]:
    """The operators of the package, by name; not those that a user has registered."""
    return [op for _, op in sorted(REGISTRY.items()) if op.__module__.startswith("tinygrad_cv.")]


def names() -> list[str]:
    """All that :func:`described` knows: operators, public functions, layers."""
    return sorted({*REGISTRY, *TG_FUNCTIONS, *NN_FUNCTIONS, *_layers()})


def described(name: str) -> list[str]:
    """An operator, a public function or a layer for the terminal; no line if there is none.

    >>> print(*described("F.dropout2d"), sep="\\n")
    F.dropout2d(input, p=0.5, training=True, inplace=False, *, generator=None)
      Drop whole channels of [N, C, H, W] or [C, H, W]; otherwise as `dropout`.
      operators: dropout
    """
    short = name.rpartition(".")[2]
    lines = explained(REGISTRY[short]) if short in REGISTRY else []
    for full, function in _functions():
        if full.rpartition(".")[2] != short:
            continue
        call = f"{full}{_parameters(function)}"
        if lines:
            lines.append(f"  call: {call}")
        else:
            parts = ", ".join(sorted(made_of(function))) or "none"
            lines = [call, f"  {first_sentence(function)}", f"  operators: {parts}"]
    layer = _layers().get(short)
    if layer is not None:
        lines = [f"nn.{short}{_parameters(layer)}", f"  {first_sentence(layer)}"]
    return lines


def _layers() -> dict[str, type]:
    return {name: getattr(nn, name) for name in nn.__all__ if isinstance(getattr(nn, name), type)}


def _parameters(function: Callable[..., Any]) -> str:
    """What it is called with, without types."""
    found = inspect.signature(function)
    plain = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=found.empty))


def page() -> str:
    """The operator table: every operator, then every public function and what it is made of."""
    lines = [
        "# Operators",
        "",
        "Written by `python tools/operators.py` from the registry. Letters: N batch, C channels,",
        "D H W sizes, O outputs, K kernel, P Q positions of the output; g is the gradient of the",
        "output. Rules are made of differentiable operators, so gradients exist to any order.",
        '"Saves" is what a node keeps if every input needs a gradient; a shape costs nothing.',
        "",
        "| operator | equation | orders | kernels |",
        "|---|---|---|---|",
    ]
    for op in operators():
        facts = fields(op)
        row = (f"[{op.name}](#{op.name})", f"`{op.equation}`", facts["orders"], facts["kernels"])
        lines.append(f"| {' | '.join(map(_cell, row))} |")
    for file, found in _by_file():
        lines += ["", f"## {file}"]
        for op in found:
            facts = fields(op)
            lines += ["", f"### {op.name}", "", f"`{signature(op)}`", "", facts.pop("what"), ""]
            lines += [f"- {key}: {_code(key, value)}" for key, value in facts.items()]
    lines += ["", "## Functions", "", "What they may run, beside arithmetic.", ""]
    lines += ["| function | what | operators |", "|---|---|---|"]
    for name, function in _functions():
        parts = ", ".join(sorted(made_of(function))) or "none"
        lines.append(f"| `{name}` | {_cell(first_sentence(function))} | {parts} |")
    return "\n".join(lines) + "\n"


def made_of(function: Callable[..., Any]) -> set[str]:
    """The operators that a public function may run beside arithmetic, read from its text.

    >>> import tinygrad_cv as tg
    >>> sorted(made_of(tg.nn.functional.conv_transpose2d))
    ['conv_input_grad', 'reshape']
    """
    return set(_made_of(inspect.unwrap(function)))


@functools.cache
def _made_of(function: Any) -> frozenset[str]:
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [function]
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        if getattr(part, "op", None) is not None:
            found.add(part.op.name)
        elif inspect.isfunction(part) and part.__module__.startswith("tinygrad_cv.ops"):
            waiting += _callees(part, found)
    return frozenset(found)


def _callees(function: Any, found: set[str]) -> Iterator[Any]:
    """What the names in a function's text stand for; operators that it names go into ``found``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            value = function.__globals__.get(node.id)
            if inspect.isfunction(value):
                yield value
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            value = function.__globals__.get(node.value.id)
            if isinstance(value, type) and issubclass(value, Op) and node.attr == "call":
                found.add(value.name)
            elif inspect.ismodule(value) and inspect.isfunction(getattr(value, node.attr, None)):
                yield getattr(value, node.attr)


def _by_file() -> list[tuple[str, list[type[Op]]]]:
    files: dict[str, list[type[Op]]] = {}
    for op in operators():
        files.setdefault(op.__module__.removeprefix("tinygrad_cv.ops.") + ".py", []).append(op)
    return sorted(files.items())


def _functions() -> list[tuple[str, Callable[..., Any]]]:
    named = {f"tg.{name}": function for name, function in TG_FUNCTIONS.items()}
    named |= {f"F.{name}": f for name, f in NN_FUNCTIONS.items() if name not in TG_FUNCTIONS}
    return sorted(named.items())


def _code(key: str, value: str) -> str:
    return f"`{value}`" if key == "equation" or key.startswith("gradient of") else value


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
