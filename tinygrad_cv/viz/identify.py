"""Which of the named Tensors an input is that a recorded graph does not keep, such as a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.autograd.kept import memory_of
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz.build import Builder, info

__all__ = ["Unknown", "identify"]


class Unknown(NamedTuple):
    """An input that is not kept: its number in the picture, whose argument it is, and what is known
    of all arguments."""

    number: int
    node: Node
    slot: int
    specs: tuple[Any, ...]


def identify(
    builder: Builder, unknown: Sequence[Unknown], named: Sequence[tuple[str, Tensor]]
) -> None:
    """Give unknown inputs the names of Tensors that they certainly are: their memory is kept under
    another name, or one Tensor fits one input alone.

    Operators whose operands broadcast are left out: a number would fit as well.
    """
    fitting = {
        place.number: [(name, t) for name, t in named if _fits(place, t)]
        for place in unknown
        if not place.node.op.elementwise
    }
    for place in unknown:
        found = fitting.get(place.number, [])
        same = [pair for pair in found if _kept(place, pair[1])]
        if not same and len(found) == 1:
            elsewhere = [k for k, pairs in fitting.items() if found[0] in pairs]
            same = found if elsewhere == [place.number] else []
        if same:
            _name(builder, place.number, *same[0])


def _fits(place: Unknown, tensor: Tensor) -> bool:
    """True if the operator gives with this Tensor what it gave."""
    node, specs = place.node, list(place.specs)
    specs[place.slot] = spec_of(tensor.array)
    arguments = (tuple(specs),) if node.op.variadic else tuple(specs)
    try:
        given = node.op.infer(*arguments, *node.attrs)
    except Exception:  # refused, or the rule needs another input that is not known either
        return False
    given = given if type(given) is tuple else (given,)
    return all(
        (tuple(spec.shape), spec.dtype) == (tuple(shape), dtype)
        for spec, (shape, dtype) in zip(given, node.outputs, strict=False)
    )


def _kept(place: Unknown, tensor: Tensor) -> bool:
    """True if a residual that the operator keeps is this Tensor's memory."""
    node, specs = place.node, list(place.specs)
    if node.op.variadic or type(node.saved) is not tuple:
        return False
    specs[place.slot] = spec_of(tensor.array)
    aliases = node.op.aliases(*specs, *node.attrs)
    argument = node.op.inputs[place.slot]
    return any(
        aliases.get(name) == argument and memory_of(value) is memory_of(tensor.array)
        for name, value in zip(node.plan.names, node.saved, strict=True)
        if hasattr(value, "dtype")
    )


def _name(builder: Builder, number: int, name: str, tensor: Tensor) -> None:
    known = info(tensor.array)
    node = builder.nodes[number]
    builder.nodes[number] = replace(node, kind="input", name=name, outputs=(known,))
    for index, edge in enumerate(builder.edges):
        if edge.source == number:
            builder.edges[index] = replace(edge, tensor=known)
