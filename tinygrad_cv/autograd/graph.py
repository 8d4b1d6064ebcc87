"""The recorded graph, to walk over: its nodes, where they come from, and what they keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor

__all__ = ["nodes"]


def nodes(target: Any) -> list[Node]:
    """Every node below a Tensor (or Tensors in tuples, lists and dicts), in the order in which
    they were recorded.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(3, requires_grad=True)
    >>> [node.op.name for node in nodes((x.exp() * 2).sum())]
    ['exp', 'mul', 'sum']
    """
    stack: list[Any] = [t.node for t in tensors_of(target)]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node not in seen:
            seen.add(node)
            stack += node.edges
    return sorted(seen, key=attrgetter("stamp"))


def tensors_of(item: Any) -> Iterable[Tensor]:
    """The Tensors in nested tuples, lists and dicts, in order."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, (tuple, list)):
        for part in item:
            yield from tensors_of(part)
    elif isinstance(item, Mapping):
        for part in item.values():
            yield from tensors_of(part)
