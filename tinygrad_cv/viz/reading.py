"""Plain data, as JSON gives it, read as what annotations say: dataclasses, TypedDicts, tuples,
lists, dicts, unions, literals. What does not fit is refused with its place.
"""

from __future__ import annotations

import functools
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from tinygrad_cv.errors import DataError, DTypeError

__all__ = ["REPAIR", "Rule", "json_text", "loaded", "misfit", "read"]

Reader = Callable[[Any], Any]
REPAIR = "Give the text that Graph.to_json() or .render('graph.json') wrote."
_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_MOST_DIGITS = 100  # of a whole number: more than anything here needs, and a float64 holds it
_DEEPEST = 30  # containers in each other


class Rule(NamedTuple):
    """What a value must be besides its type: ``Annotated[int, Rule("0 or more", test)]``."""

    words: str
    test: Callable[[Any], bool]


class _Misfit(Exception):
    """What is wrong; its place is put together on the way out."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem)
        self.place = place


def misfit(place: str, problem: str) -> DataError:
    """The error that names a place in a graph's JSON."""
    return DataError("graph", f"{place.lstrip('.') or 'the JSON'}{problem}", repair=REPAIR)


def loaded(text: str | bytes) -> Any:
    """What JSON text stands for.

    Raises:
        DTypeError: no text.
        DataError: it is not JSON, or nested too deeply.

    >>> loaded('{"a": [1, "inf"]}')
    {'a': [1, 'inf']}
    """
    if not isinstance(text, (str, bytes, bytearray)):
        problem = f"the text of a graph is needed, not {type(text).__name__}"
        raise DTypeError("from_json", problem, repair=REPAIR)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise DataError("graph", f"the text is not JSON: {error}", repair=REPAIR) from None
    except RecursionError:
        problem = "the JSON is nested too deeply for a graph"
        raise DataError("graph", problem, repair=REPAIR) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"it has no {name}")


def json_text(data: Any) -> str:
    """JSON of plain data; numbers that are not finite as the texts "inf", "-inf" and "nan"."""
    try:
        return _dumped(data)
    except ValueError:
        return _dumped(_in_words(data))


def _dumped(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _in_words(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(float(data))
    if isinstance(data, dict):
        return {key: _in_words(value) for key, value in data.items()}
    return [_in_words(value) for value in data] if isinstance(data, (list, tuple)) else data


def read(kind: Any, data: Any) -> Any:
    """``data`` as ``kind``, the type that an annotation gives.

    A float may stand as "inf", "-inf" or "nan"; a TypedDict may have more keys; a field of a
    dataclass may be missing if it has a default, as one that is newer than the data.

    Raises:
        DataError: it does not fit; the message has the place and what is needed there.

    >>> read(dict[str, tuple[int, ...]], {"shape": [2, 3]})
    {'shape': (2, 3)}
    >>> read(dict[str, list[int]], {"sizes": [2, "3"]})
    Traceback (most recent call last):
    tinygrad_cv.errors.DataError: graph: sizes[1] must be a whole number, not '3'
      Give the text that Graph.to_json() or .render('graph.json') wrote.
    """
    try:
        return _reader(kind)(data)
    except _Misfit as error:
        raise misfit(error.place, str(error)) from None


@functools.cache
def _reader(kind: Any) -> Reader:
    """The function that reads one type."""
    if kind in _SCALARS:
        return _scalar(*_SCALARS[kind])
    if kind is float:
        return _float
    if kind is Any:
        return _anything
    origin, parts = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return _reader(parts[0])
    if origin is Annotated:
        return _annotated(*parts)
    if origin is Literal:
        return _scalar(f"one of {', '.join(map(repr, parts))}", lambda data: _among(data, parts))
    if origin in (Union, types.UnionType):
        return _union(parts)
    if origin is tuple and parts[1:] != (...,):
        return _row(parts)
    if origin in (tuple, list):
        return _list(origin, parts[0])
    if origin in (dict, Mapping):
        return _dict(*parts)
    if is_typeddict(kind):
        return _typed_dict(kind)
    assert is_dataclass(kind), f"{kind} cannot be read"
    return _dataclass(kind)


def _among(data: Any, values: tuple[Any, ...]) -> bool:
    return any(type(data) is type(value) and data == value for value in values)


_SCALARS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda data: type(data) is str),
    bool: ("true or false", lambda data: type(data) is bool),
    type(None): ("null", lambda data: data is None),
    int: (
        "a whole number",
        lambda data: type(data) is int and abs(data) < 10**_MOST_DIGITS,
    ),
}


def _refuse(words: str, data: Any) -> _Misfit:
    kinds: dict[type, str] = {dict: "an object", list: "a list"}
    return _Misfit(f" must be {words}, not {kinds.get(type(data)) or ascii(data)[:60]}")


def _scalar(words: str, fits: Callable[[Any], bool]) -> Reader:
    def reader(data: Any) -> Any:
        if not fits(data):
            raise _refuse(words, data)
        return data

    return reader


def _float(data: Any) -> Any:
    if type(data) is str and data in _WORDS:
        return _WORDS[data]
    if type(data) is float or (type(data) is int and abs(data) < 10**_MOST_DIGITS):
        return data
    raise _refuse("a number", data)


def _anything(data: Any, depth: int = 0) -> Any:
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    if parts and depth == _DEEPEST:
        raise _Misfit(" is nested too deeply")
    for part in parts:
        _anything(part, depth + 1)
    return data


def _annotated(kind: Any, rule: Any) -> Reader:
    if not isinstance(rule, Rule):  # a more exact type of the same data
        return _reader(rule)
    plain = _reader(kind)

    def reader(data: Any) -> Any:
        found = plain(data)
        if not rule.test(found):
            raise _refuse(rule.words, data)
        return found

    return reader


def _union(parts: tuple[Any, ...]) -> Reader:
    readers = [_reader(part) for part in parts]

    def reader(data: Any) -> Any:
        problems = []
        for part in readers:
            try:
                return part(data)
            except _Misfit as error:
                problems.append(error)
        inside = max(problems, key=lambda error: len(error.place))
        if inside.place:  # what is wrong inside says more
            raise inside
        words = [str(error).removeprefix(" must be ").rpartition(", not ")[0] for error in problems]
        raise _refuse(" or ".join(words), data)

    return reader


def _inside(reader: Reader, data: Any, place: str) -> Any:
    try:
        return reader(data)
    except _Misfit as error:
        error.place = place + error.place
        raise


def _list(kind: type, part: Any) -> Reader:
    inner = _reader(part)

    def reader(data: Any) -> Any:
        if type(data) is not list:
            raise _refuse("a list", data)
        return kind(_inside(inner, item, f"[{k}]") for k, item in enumerate(data))

    return reader


def _row(parts: tuple[Any, ...]) -> Reader:
    readers = [_reader(part) for part in parts]

    def reader(data: Any) -> Any:
        if type(data) is not list or len(data) != len(readers):
            raise _refuse(f"a list of {len(readers)}", data)
        rows = zip(readers, data, strict=True)
        return tuple(_inside(inner, item, f"[{k}]") for k, (inner, item) in enumerate(rows))

    return reader


def _dict(key: Any, part: Any) -> Reader:
    keys, inner = _reader(key), _reader(part)

    def reader(data: Any) -> Any:
        _object(data)
        return {
            _inside(keys, name, f".{name}"): _inside(inner, item, f".{name}")
            for name, item in data.items()
        }

    return reader


def _object(data: Any) -> None:
    if type(data) is not dict:
        raise _refuse("an object", data)


def _typed_dict(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    readers = {name: _reader(part) for name, part in hints.items()}
    needed = [
        name for name, part in hints.items() if kind.__total__ and get_origin(part) != NotRequired
    ]

    def reader(data: Any) -> Any:
        _object(data)
        for name in needed:
            if name not in data:
                raise _Misfit(" is missing", f".{name}")
        return {
            name: _inside(readers.get(name, _anything), item, f".{name}")
            for name, item in data.items()
        }

    return reader


def _dataclass(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    readers = {part.name: _reader(hints[part.name]) for part in fields(kind)}
    needed = [
        part.name
        for part in fields(kind)
        if part.default is MISSING and part.default_factory is MISSING
    ]

    def reader(data: Any) -> Any:
        _object(data)
        for name in needed:
            if name not in data:
                raise _Misfit(" is missing", f".{name}")
        for name in data:
            if name not in readers:
                raise _Misfit(" is not known", f".{name[:60]}")
        return kind(
            **{name: _inside(readers[name], item, f".{name}") for name, item in data.items()}
        )

    return reader
