"""Nested tuples, lists and dictionaries as one flat list, and back again."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_cv.core.tensor import Tensor

__all__ = ["Structure", "flatten", "map_leaves", "tensors_of"]


class Structure(NamedTuple):
    """How leaves are nested. Two structures are equal if the same containers stand in the same
    places, with the same keys.

    Attributes:
        kind: the class of the container, None for a leaf.
        keys: of its parts, in order: positions, names of a named tuple, or keys of a dictionary.
        parts: the structure of each.
    """

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    parts: tuple[Structure, ...] = ()

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """The same nesting around other leaves.

        >>> flatten((1, {"a": [2, 3]}))[1].rebuild("xyz")
        ('x', {'a': ['y', 'z']})
        """
        return self._built(iter(leaves))

    def _built(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        parts = [part._built(leaves) for part in self.parts]
        if issubclass(self.kind, dict):
            kind = OrderedDict if issubclass(self.kind, OrderedDict) else dict
            return kind(zip(self.keys, parts, strict=True))
        if hasattr(self.kind, "_fields"):
            return self.kind(*parts)
        return parts if issubclass(self.kind, list) else tuple(parts)

    def paths(self, name: str) -> list[str]:
        """How a program reaches each leaf from ``name``.

        >>> flatten((1, {"a": [2, 3]}))[1].paths("args")
        ['args[0]', "args[1]['a'][0]", "args[1]['a'][1]"]
        """
        if self.kind is None:
            return [name]
        dot = hasattr(self.kind, "_fields")
        heads = [f"{name}.{key}" if dot else f"{name}[{key!r}]" for key in self.keys]
        return [path for h, part in zip(heads, self.parts, strict=True) for path in part.paths(h)]

    def __str__(self) -> str:
        return repr(self._built(itertools.repeat(_Star())))


class _Star:
    def __repr__(self) -> str:
        return "*"


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of nested tuples (named ones too), lists and dictionaries, in order, and the
    structure that puts them back. Everything else is a leaf.

    >>> leaves, structure = flatten({"w": 1, "layers": [2, (3,)]})
    >>> leaves
    [1, 2, 3]
    >>> print(structure)
    {'w': *, 'layers': [*, (*,)]}
    """
    if isinstance(tree, dict):
        keys, items = tuple(tree), list(tree.values())
    elif isinstance(tree, (tuple, list)):
        keys, items = getattr(tree, "_fields", tuple(range(len(tree)))), list(tree)
    else:
        return [tree], Structure()
    leaves: list[Any] = []
    parts = []
    for item in items:
        found, part = flatten(item)
        leaves += found
        parts.append(part)
    return leaves, Structure(type(tree), keys, tuple(parts))


def map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """The same nesting, with ``change(leaf)`` in place of each leaf.

    >>> map_leaves(lambda x: x + 1, [1, (2, {"a": 3})])
    [2, (3, {'a': 4})]
    """
    leaves, structure = flatten(tree)
    return structure.rebuild([change(leaf) for leaf in leaves])


def tensors_of(tree: Any) -> list[Tensor]:
    """The leaves that are Tensors, in order.

    >>> import tinygrad_cv as tg
    >>> [t.shape for t in tensors_of({"x": [tg.ones(2), 3]})]
    [(2,)]
    """
    return [leaf for leaf in flatten(tree)[0] if isinstance(leaf, Tensor)]
