"""Explain mode: beside every operator its equation and the equations of its gradients, with the
shapes that it has here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from tinygrad_cv.errors import GraphError
from tinygrad_cv.viz.labels import shape_text
from tinygrad_cv.viz.letters import gradient_letter, names_result, uses
from tinygrad_cv.viz.model import GraphModel, GraphNode, TensorInfo

__all__ = ["broken", "with_equations"]

WIDTH = 56  # characters of one line
INDENT = "\N{NO-BREAK SPACE}" * 3  # of continued lines


def with_equations(model: GraphModel) -> GraphModel:
    """The model with ``facts["explain"]``: the lines that its operators show.

    A forward operator has its equation, which letter is which argument and the shapes of its
    arguments, and, where its backward operator is not drawn, the gradients of the arguments that it
    has; g is the gradient of its output. A backward operator has the gradients that it computes. A
    block of several operators has no equation.

    Raises:
        GraphError: no operator of the graph has an equation.

    >>> import tinygrad_cv as tg
    >>> model = with_equations(tg.viz.trace(lambda x: x.exp(), tg.zeros(2, 3)).model)
    >>> print(*model.nodes[1].facts["explain"], sep="\\n")
    y = e^x
    dx = g * y
    where x = input 2×3, g is 2×3
    """
    arguments: dict[int, dict[str, TensorInfo]] = defaultdict(dict)
    arriving: dict[int, TensorInfo] = {}
    for edge in model.edges:
        if edge.kind == "data" and edge.argument:
            arguments[edge.target][edge.argument] = edge.tensor
        elif edge.kind == "gradient":
            arriving.setdefault(edge.target, edge.tensor)
    mirrored = {n.pair for n in model.nodes if n.kind == "op" and n.phase == "backward"}
    nodes = []
    found = False
    for node in model.nodes:
        if node.kind == "op" and "operators" not in node.facts:
            if node.phase == "backward":
                lines = _backward(node, arriving.get(node.id))
            else:
                lines = _forward(node, arguments[node.id], node.id not in mirrored)
            if lines:
                found = True
                node = replace(node, facts={**node.facts, "explain": lines})
        nodes.append(node)
    if not found:
        raise GraphError(
            "explain",
            "no operator of this graph has an equation to show",
            repair="Explain a graph whose operators are not collapsed, as of viz.trace.",
        )
    return replace(model, nodes=tuple(nodes))


def _forward(node: GraphNode, arguments: dict[str, TensorInfo], gradients: bool) -> list[str]:
    known = node.facts.get("letters", {})
    given = {held.role: held.tensor for held in node.held if held.role}
    given = {**arguments, **given}
    shapes = [
        f"{known[name]} = {name} {shape_text(t.shape)}"
        if name in known
        else f"{name} is {shape_text(t.shape)}"
        for name, t in given.items()
        if t.shape is not None
    ]
    lines = broken(str(node.facts.get("equation", "")))
    if gradients:
        rules = _gradients(node, {name.partition("[")[0] for name in given})
        for rule in rules:
            lines += broken(rule)
        if rules and node.outputs:
            shapes.append(f"{gradient_letter(known)} is {shape_text(node.outputs[0].shape)}")
    if lines and shapes:
        lines += broken("where " + ", ".join(shapes))
    return lines


def _backward(node: GraphNode, arriving: TensorInfo | None) -> list[str]:
    known = node.facts.get("letters", {})
    rules = _gradients(node, None)
    lines = [line for rule in rules for line in broken(rule)]
    read = [
        f"{letter} = {name}"
        for name, letter in known.items()
        if any(uses(rule, letter) or rule.startswith(f"d{letter}") for rule in rules)
    ]
    if arriving is not None and arriving.shape is not None:
        read.append(f"{gradient_letter(known)} is {shape_text(arriving.shape)}")
    return lines + broken("where " + ", ".join(read)) if lines and read else lines


def _gradients(node: GraphNode, of: Collection[str] | None) -> list[str]:
    """The rules of an operator, or of these arguments. One that names its result, as
    ``dw[o] = ...`` does, stands alone; another says of what it is."""
    known, found = node.facts.get("letters", {}), []
    for text in str(node.facts.get("gradients", "")).splitlines():
        argument, _, rule = text.removeprefix("d ").partition(": ")
        if of is None or argument in of:
            result = f"d{known[argument]}" if argument in known else f"d {argument}"
            found.append(rule if names_result(rule) else f"{result} = {rule}")
    return found


def broken(text: str, width: int = WIDTH) -> list[str]:
    """A formula in lines of at most ``width`` characters, broken where the fewest brackets are
    open, rather before an operator, and indented from the second line on.

    >>> [line.replace(INDENT, "   ") for line in broken("y = f(a, b + c) + g(d)", 18)]
    ['y = f(a, b + c)', '   + g(d)']
    """
    lines: list[str] = []
    rest = text.strip()
    while rest:
        room = width - (len(INDENT) if lines else 0)
        cut = len(rest) if len(rest) <= room else _cut(rest, room)
        lines.append((INDENT if lines else "") + rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _cut(text: str, room: int) -> int:
    """Where to break: at the space with the least cost, costs being open brackets, a short line,
    a line that does not begin with an operator, and one that begins with "=".
    """
    best, cost = room, float("inf")
    for place, depth in _spaces(text):
        if place > room:
            break
        operator = re.match(r" [-+*/=;] ", text[place:]) or text[place - 1] in ",;:"
        price = 5 * depth + 4 * (1 - place / room) + (0 if operator else 1.5)
        price += text.startswith(" = ", place)
        if text[:place].endswith((" =", " +", " *", " /", " -")) or text[:place].endswith(" sum"):
            price += 3  # the operator goes with what follows
        if price <= cost and place > len(INDENT):
            best, cost = place, price
    return best


def _spaces(text: str) -> Iterable[tuple[int, int]]:
    depth = 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == " ":
            yield place, depth
