"""The names under which an operator shows the tensors that it holds: a parameter's own, and the
argument that it is where the two differ and a reader could not tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.viz.model import FoldedTensor, GraphNode

__all__ = ["held_form", "held_names", "last_name", "module_paths", "own_names"]
__all__ += ["value_form"]

# Operators that give the same whatever the order of their arguments.
_EITHER_WAY = frozenset(
    ("add", "mul", "eq", "ne", "logical_and", "logical_or", "logical_xor", "hypot", "logaddexp")
)


def last_name(path: str) -> str:
    """What a parameter is called in its own module; of a list of parameters with the list.

    >>> last_name("layer1.0.gamma"), last_name("head.scales.2"), last_name("pos")
    ('gamma', 'scales.2', 'pos')
    """
    parts = path.split(".")
    first = len(parts) - 1
    while first > 0 and parts[first].isdigit():
        first -= 1
    return ".".join(parts[first:])


def own_names(paths: Iterable[str]) -> dict[str, str]:
    """For each path its last name, or all of it where two would be called the same.

    >>> own_names(["0.weight", "0.bias"]), own_names(["a.scale", "b.scale"])
    ({'0.weight': 'weight', '0.bias': 'bias'}, {'a.scale': 'a.scale', 'b.scale': 'b.scale'})
    """
    called: dict[str, set[str]] = defaultdict(set)
    paths = list(paths)
    for path in paths:
        called[last_name(path)].add(path)
    return {path: path if len(called[last_name(path)]) > 1 else last_name(path) for path in paths}


def held_names(operator: str, held: Sequence[FoldedTensor], exactly: bool = False) -> list[str]:
    """How each tensor in an operator is called: ``gamma``, or ``other: gamma`` where it matters
    which argument it is (``exactly``: wherever the names differ).

    >>> from tinygrad_cv.viz.model import TensorInfo
    >>> gamma = FoldedTensor("param", TensorInfo("0.gamma", (3,)), "other")
    >>> held_names("mul", [gamma]), held_names("sub", [gamma])
    (['gamma'], ['other: gamma'])
    """
    own = own_names(item.tensor.name for item in held)
    evident = not exactly and _any_order(operator)
    names = []
    for item in held:
        name = own[item.tensor.name]
        if not name or not item.role or name == item.role:
            names.append(name or item.role)
        else:
            names.append(name if evident else f"{item.role}: {name}")
    return names


def held_form(item: FoldedTensor) -> tuple[Hashable, ...]:
    """What two tensors in equal operators have in common: all but the module that they are of.

    >>> from tinygrad_cv.viz.model import TensorInfo
    >>> held_form(FoldedTensor("param", TensorInfo("0.gamma", (3,), "float32"), "other"))
    ('param', 'other', 'gamma', (3,), 'float32', '')
    """
    own = item.tensor.name.rpartition(".")[2]
    return item.kind, item.role, own, item.tensor.shape, item.tensor.dtype, value_form(item)


def value_form(part: GraphNode | FoldedTensor) -> str:
    """What the value of two equal parts has in common: what is saved may be an input in the first
    of several calls, and in the others the result of one."""
    return "" if part.kind == "saved" and part.value == "input" else part.value


def module_paths(
    nodes: Iterable[GraphNode], paths: Mapping[int | None, str]
) -> dict[str, list[str]]:
    """The fact "paths": where the forward operators are that nodes stand for, as paths of the
    innermost modules; ``paths`` has that of each call."""
    found: dict[str, None] = {}
    for node in nodes:
        if node.kind != "op" or node.phase != "forward":
            continue
        own, inlined, _ = node.title.partition(" : ")
        own = own if inlined else paths[node.cluster]
        found |= dict.fromkeys(node.facts.get("paths") or filter(None, [own]))
    return {"paths": list(found)} if found else {}


def _any_order(operator: str) -> bool:
    """True if an argument's name tells nothing: there is one only, or they can be exchanged."""
    op = REGISTRY.get(operator)
    return operator in _EITHER_WAY or (op is not None and len(op.inputs) == 1 and not op.variadic)
