"""Containers: modules that hold modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError
from tinygrad_cv.nn import _calls
from tinygrad_cv.nn.module import Module, bracketed, indented

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Numbered(Module):
    """A container whose children are called "0", "1", ..."""

    def _fill(self, modules: Iterable[Module]) -> None:
        """Replace all children."""
        self._modules.clear()
        _calls.structure_changed()
        for number, module in enumerate(modules):
            self.register_module(str(number), module)

    def _list(self) -> list[Any]:
        return list(self._modules.values())

    def _key(self, index: Any) -> str:
        if not hasattr(index, "__index__"):
            raise DTypeError(type(self).__name__, f"an index must be a whole number, not {index!r}")
        number = operator.index(index)
        count = len(self._modules)
        if not -count <= number < count:
            raise RangeError(
                type(self).__name__, f"index {number} is out of range, there are {count} modules"
            )
        return list(self._modules)[number]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def __getitem__(self, index: Any) -> Any:
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def append(self, module: Module) -> Self:
        """Add a module at the end.

        >>> from tinygrad_cv import nn
        >>> nn.Sequential(nn.Linear(4, 2)).append(nn.ReLU())[-1]
        ReLU()
        """
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end.

        >>> from tinygrad_cv import nn
        >>> len(nn.ModuleList([nn.ReLU()]).extend([nn.Tanh(), nn.Sigmoid()]))
        3
        """
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at ``index``; those behind it move up by one.

        Raises:
            RangeError: the index is beyond the ends.

        >>> from tinygrad_cv import nn
        >>> list(nn.ModuleList([nn.ReLU(), nn.Tanh()]).insert(1, nn.Flatten()).children())
        [ReLU(), Flatten(start_dim=1, end_dim=-1), Tanh()]
        """
        modules = self._list()
        if not -len(modules) <= index <= len(modules):
            raise RangeError(
                type(self).__name__,
                f"index {index} is out of range, there are {len(modules)} modules",
            )
        modules.insert(index, module)
        self._fill(modules)
        return self

    def pop(self, index: Any = -1) -> Any:
        """Take a module out and return it; those behind it move down by one.

        Raises:
            RangeError: the index is out of range.
            DTypeError: the index is no whole number.

        >>> from tinygrad_cv import nn
        >>> layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        >>> layers.pop(0), layers[0]
        (ReLU(), Tanh())
        """
        module = self[index]
        del self[index]
        return module

    def __delitem__(self, index: Any) -> None:
        modules = self._list()
        if not isinstance(index, slice):
            self._key(index)
        del modules[index]
        self._fill(modules)


class Sequential(_Numbered):
    """Modules that run one after the other: ``y = m_n(... m_1(x))``.

    Args:
        *args: modules, called "0", "1", ...; or one mapping of names to modules.

    >>> from tinygrad_cv import nn
    >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self._fill(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    _in_order = forward  # a memory plan tells by it that layers run one after the other

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ArgumentError(
                "Sequential", f"only a Sequential can be added, not {type(other).__name__}"
            )
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            raise ArgumentError(
                "Sequential", f"only a Sequential can be added, not {type(other).__name__}"
            )
        return self.extend(other)


class ModuleList(_Numbered):
    """A list of modules; it has no ``forward``.

    >>> from tinygrad_cv import nn
    >>> layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    >>> len(layers), layers[-1]
    (3, Linear(in_features=2, out_features=2, bias=True))
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._fill(modules or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self._list()[index])
        return super().__getitem__(index)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        """Equal neighbours are shown once: ``(0-2): 3 x Linear(...)``."""
        runs: list[list[Any]] = []
        for number, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = number
            else:
                runs.append([number, number, text])
        lines = []
        for first, last, text in runs:
            count = "" if first == last else f"{last - first + 1} x "
            place = str(first) if first == last else f"{first}-{last}"
            lines.append(indented(f"({place}): {count}{text}"))
        return bracketed(type(self).__name__, [], lines)


class ModuleDict(Module):
    """A dictionary of modules; it has no ``forward``.

    >>> from tinygrad_cv import nn
    >>> heads = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    >>> list(heads), heads["b"]
    (['a', 'b'], Tanh())
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or from (name, module) pairs; a known name gets the new
        module.

        >>> from tinygrad_cv import nn
        >>> heads = nn.ModuleDict({"a": nn.ReLU()})
        >>> heads.update([("a", nn.Tanh()), ("b", nn.Sigmoid())])
        >>> list(heads.items())
        [('a', Tanh()), ('b', Sigmoid())]
        """
        for name, module in modules.items() if hasattr(modules, "items") else modules:
            self[name] = module

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        _calls.structure_changed()

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """The names, in the order in which they came in.

        >>> from tinygrad_cv import nn
        >>> list(nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()}).keys())
        ['b', 'a']
        """
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules, in the order in which they came in.

        >>> from tinygrad_cv import nn
        >>> list(nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()}).values())
        [ReLU(), Tanh()]
        """
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, module) pairs, in the order in which they came in.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ModuleDict({"label": tg.nn.Linear(8, 10), "box": tg.nn.Linear(8, 4)})
        >>> {name: head(tg.zeros(1, 8)).shape for name, head in heads.items()}
        {'label': (1, 10), 'box': (1, 4)}
        """
        return self._modules.items()

    def clear(self) -> None:
        """Remove all modules.

        >>> from tinygrad_cv import nn
        >>> heads = nn.ModuleDict({"a": nn.ReLU()})
        >>> heads.clear()
        >>> len(heads)
        0
        """
        self._modules.clear()
        _calls.structure_changed()

    def pop(self, name: str) -> Any:
        """Take a module out and return it.

        Raises:
            KeyError: there is no such name.

        >>> from tinygrad_cv import nn
        >>> heads = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
        >>> heads.pop("a"), list(heads)
        (ReLU(), ['b'])
        """
        module = self[name]
        del self[name]
        return module
