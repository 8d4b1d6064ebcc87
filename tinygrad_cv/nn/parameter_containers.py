"""Containers that hold parameters: a list and a dictionary."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any, Self

from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError
from tinygrad_cv.nn.module import Module
from tinygrad_cv.nn.parameter import Parameter

__all__ = ["ParameterDict", "ParameterList"]


class _Holder(Module):
    """Values under names that are attributes: a Tensor becomes a Parameter, another value stays."""

    def _put(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        state = self.__dict__
        if isinstance(value, Parameter):
            state.pop(name, None)
        else:  # what was there may have been a Parameter, which no other value can replace
            self._parameters.pop(name, None)
        setattr(self, name, value)

    def _shown(self, pairs: Iterable[tuple[Any, Any]]) -> str:
        return "\n".join(f"  ({name}): {_described(value)}" for name, value in pairs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind = type(self).__name__
        raise GraphError(kind, f"a {kind} is a container and computes nothing, it has no forward")


class ParameterList(_Holder):
    """A list of parameters, which its module sees. Tensors become Parameters; other values are kept
    as they are.

    Args:
        values: what the list starts with.

    >>> import tinygrad_cv as tg
    >>> scales = tg.nn.ParameterList([tg.ones(2), tg.zeros(3)])
    >>> len(scales), scales[-1].shape, list(scales.state_dict())
    (2, (3,), ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, index: Any) -> str:
        if not hasattr(index, "__index__"):
            raise DTypeError("ParameterList", f"an index must be a whole number, not {index!r:.60}")
        number = operator.index(index)
        if not -self._size <= number < self._size:
            raise RangeError(
                "ParameterList", f"index {number} is out of range, there are {self._size} values"
            )
        return str(number % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self[k] for k in range(*index.indices(self._size)))
        return getattr(self, self._key(index))

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._key(index), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a value at the end.

        >>> import tinygrad_cv as tg
        >>> tg.nn.ParameterList().append(tg.ones(2))[0]
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
        """
        self._put(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several values at the end.

        Raises:
            DTypeError: a Tensor, or nothing that can be iterated.

        >>> import tinygrad_cv as tg
        >>> len(tg.nn.ParameterList().extend(tg.ones(2) for _ in range(3)))
        3
        """
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise DTypeError(
                "ParameterList",
                f"values must be a list or the like, not {type(values).__name__}",
                repair="Put it into a list: [value].",
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return self._shown(enumerate(self))


class ParameterDict(_Holder):
    """A dictionary of parameters, which its module sees. Tensors become Parameters; other values
    are kept as they are.

    Args:
        parameters: a mapping, or (name, value) pairs.

    >>> import tinygrad_cv as tg
    >>> heads = tg.nn.ParameterDict({"a": tg.ones(2), "b": tg.zeros(3)})
    >>> [(name, p.shape) for name, p in heads.named_parameters()]
    [('a', (2,)), ('b', (3,))]
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._names: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise DTypeError("ParameterDict", f"a name must be a string, not {name!r:.60}")
        if name not in self._names and hasattr(self, name):
            raise ArgumentError("ParameterDict", f"the name {name!r} is taken by an attribute")
        self._put(name, value)
        self._names[name] = None

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __or__(self, other: Any) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: Any) -> ParameterDict:
        joined = ParameterDict(other)
        joined.update(self)
        return joined

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def keys(self) -> KeysView[str]:
        """The names, in the order in which they came in.

        >>> import tinygrad_cv as tg
        >>> list(tg.nn.ParameterDict({"b": tg.ones(1), "a": tg.ones(1)}).keys())
        ['b', 'a']
        """
        return self._names.keys()

    def values(self) -> Iterable[Any]:
        """The values, in the order in which they came in.

        >>> import tinygrad_cv as tg
        >>> [p.tolist() for p in tg.nn.ParameterDict({"a": tg.ones(2)}).values()]
        [[1.0, 1.0]]
        """
        return (self[name] for name in self._names)

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, value) pairs, in the order in which they came in.

        >>> import tinygrad_cv as tg
        >>> [(name, p.shape) for name, p in tg.nn.ParameterDict({"a": tg.ones(2)}).items()]
        [('a', (2,))]
        """
        return ((name, self[name]) for name in self._names)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, or ``default`` if there is none.

        >>> import tinygrad_cv as tg
        >>> tg.nn.ParameterDict().get("a", 0)
        0
        """
        return self[name] if name in self._names else default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value of a name; if there is none, ``default`` becomes it.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ParameterDict()
        >>> heads.setdefault("a", tg.ones(1)) is heads["a"]
        True
        """
        if name not in self._names:
            self[name] = default
        return self[name]

    def pop(self, name: str) -> Any:
        """Take a value out and return it.

        Raises:
            KeyError: there is no such name.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ParameterDict({"a": tg.ones(1)})
        >>> heads.pop("a").tolist(), len(heads)
        ([1.0], 0)
        """
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last (name, value) pair out.

        Raises:
            KeyError: the dictionary is empty.

        >>> import tinygrad_cv as tg
        >>> tg.nn.ParameterDict({"a": tg.ones(1), "b": 2}).popitem()
        ('b', 2)
        """
        if not self._names:
            raise KeyError("the ParameterDict is empty")
        name = next(reversed(self._names))
        return name, self.pop(name)

    def clear(self) -> None:
        """Remove everything.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ParameterDict({"a": tg.ones(1)})
        >>> heads.clear()
        >>> len(heads)
        0
        """
        for name in list(self._names):
            del self[name]

    def copy(self) -> ParameterDict:
        """A new dictionary of the same values.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ParameterDict({"a": tg.ones(1)})
        >>> heads.copy()["a"] is heads["a"]
        True
        """
        return ParameterDict(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary of these names, with one value for all.

        >>> import tinygrad_cv as tg
        >>> list(tg.nn.ParameterDict().fromkeys(["a", "b"], 0.0).items())
        [('a', 0.0), ('b', 0.0)]
        """
        return ParameterDict((name, default) for name in keys)

    def update(self, parameters: Any) -> None:
        """Add values from a mapping or from (name, value) pairs, in their order; a known name gets
        the new value.

        Raises:
            DTypeError: neither a mapping nor pairs.

        >>> import tinygrad_cv as tg
        >>> heads = tg.nn.ParameterDict({"a": tg.ones(1)})
        >>> heads.update([("a", tg.zeros(1)), ("b", tg.ones(2))])
        >>> heads["a"].tolist(), len(heads)
        ([0.0], 2)
        """
        if isinstance(parameters, (Mapping, ParameterDict)):
            pairs = list(parameters.items())
        elif isinstance(parameters, Iterable) and not isinstance(parameters, Tensor):
            pairs = list(parameters)
        else:
            raise DTypeError(
                "ParameterDict",
                f"give a mapping or (name, value) pairs, not {type(parameters).__name__}",
            )
        for number, pair in enumerate(pairs):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise DTypeError(
                    "ParameterDict", f"entry {number} is no (name, value) pair: {pair!r:.60}"
                )
        for name, value in pairs:
            self[name] = value

    def extra_repr(self) -> str:
        return self._shown(self.items())


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    size = "x".join(map(str, value.shape))
    where = "" if value.device.type == "cpu" else f" ({value.device})"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"{kind} containing: [{value.dtype.name} of size {size}{where}]"
