"""What the nodes of a graph keep for backward, and which of it is there anyway.

Memory counts once, and whole, since a view keeps all of it alive. What belongs to a leaf, a
parameter or an input that asks for a gradient, does not count: it is alive without the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_cv.backend.array import is_array
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.node import Leaf, Node

__all__ = ["leaf_memory", "memory_of"]


def memory_of(array: Any) -> Any:
    """The array that owns the memory of a view; of a Spec the Spec itself.

    >>> import numpy as np
    >>> array = np.zeros(4)
    >>> memory_of(array[1:]) is array
    True
    """
    base = getattr(array, "base", None)
    while base is not None and hasattr(base, "nbytes"):
        array, base = base, getattr(base, "base", None)
    return array


def leaf_memory(nodes: Iterable[Node]) -> dict[int, tuple[Any, Leaf]]:
    """The memory of leaves that nodes read: by its id itself, and the leaf.

    The Tensor of a leaf may be gone, but what a node keeps of a leaf as its input is the leaf's.

    >>> import tinygrad_cv as tg
    >>> w = tg.ones(3, requires_grad=True)
    >>> [memory is w.array for memory, _ in leaf_memory([(w * w).grad_fn]).values()]
    [True]
    """
    found: dict[int, tuple[Any, Leaf]] = {}
    for node in nodes:
        for leaf in (edge for edge in node.edges if isinstance(edge, Leaf)):
            tensor = leaf.tensor()
            if tensor is not None:
                memory = memory_of(tensor.array)
                found.setdefault(id(memory), (memory, leaf))
        for slot, array in _kept_inputs(node):
            source = _viewed(node.edges[slot])
            if source is not None and array.dtype == source.dtype and not _is_copy(array, source):
                memory = memory_of(array)
                found.setdefault(id(memory), (memory, source))
    return found


def _kept_inputs(node: Node) -> Iterator[tuple[int, Any]]:
    """(argument, array) of the inputs that a node keeps."""
    saved = node.saved if type(node.saved) is tuple else getattr(node.saved, "shared", None)
    if saved is not None:
        for (kind, place), value in zip(node.plan.kinds, saved, strict=True):
            several = enumerate(value) if type(value) is tuple else [(place, value)]
            for slot, array in several if kind == "input" else ():
                if is_array(array) or isinstance(array, Spec):
                    yield slot, array


def _viewed(edge: Node | Leaf | None) -> Leaf | None:
    """The leaf that an input is, or is a view of."""
    while isinstance(edge, Node) and edge.op.view:
        edge = edge.edges[0]
    return edge if isinstance(edge, Leaf) else None


def _is_copy(array: Any, leaf: Leaf) -> bool:
    """True for what a view operator had to copy, such as a reshape of a transposed leaf."""
    tensor = leaf.tensor()
    if tensor is None or array.shape == leaf.shape:
        return False
    return memory_of(tensor.array) is not memory_of(array)
