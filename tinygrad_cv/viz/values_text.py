"""The text of any Python value, the same in every process: no memory addresses, no order of hashes,
no module that a program happened to be loaded as.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

__all__ = ["number_text", "value_text"]

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_LONGEST = 200  # characters
_MANY = 16  # items of one container
_DEEP = 4  # containers in each other


def number_text(value: Any) -> str:
    """A Python number as a picture shows it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def value_text(value: Any, quoted: bool = False) -> str:
    """An attribute of an operator, in at most 200 characters; or, ``quoted``, a key of a dict or a
    value in a message: as ``repr`` has it, with quotes and the names of classes.

    Functions and classes have their name without the module; other objects what ``str`` says,
    without the address.

    >>> value_text((1, 0.5, slice(None, 3), np.zeros((2, 3)), np.dtype("int8")))
    '(1, 0.5, :3:, array 2×3 float64, int8)'
    >>> value_text([print, {"key": object()}, {"b", "a"}, complex])
    "[print, {'key': <object object>}, {'a', 'b'}, complex]"
    """
    text = (
        value if isinstance(value, str) and not quoted else _text(value, 0, repr if quoted else str)
    )
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _text(value: Any, depth: int, words: Callable[[Any], str]) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    if kind in (tuple, list, set, frozenset, dict):
        deeper = partial(_text, depth=depth + 1, words=words)
        return "…" if depth == _DEEP else _container(value, deeper)
    if kind is slice:
        ends = (value.start, value.stop, value.step)
        return ":".join("" if part is None else _text(part, depth + 1, words) for part in ends)
    if kind is float and math.isfinite(value):
        return number_text(value)
    if isinstance(value, np.dtype):
        return str(value.name)
    try:
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return f"array {'×'.join(map(str, value.shape)) or 'scalar'} {value.dtype}"
        name = getattr(value, "__qualname__", None)
        if callable(value) and isinstance(name, str):
            return name
        if kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__:
            return f"<{kind.__qualname__} object>"
        return _ADDRESS.sub("", repr(value) if kind is str else words(value))
    except Exception:  # an object of the user's may do anything when it is asked
        return f"<{kind.__qualname__} object>"


def _container(value: Any, text: Callable[[Any], str]) -> str:
    if isinstance(value, dict):
        return f"{{{_some(f'{text(k)}: {text(v)}' for k, v in value.items())}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{_some(sorted(map(text, value)))}}}" if value else f"{type(value).__name__}()"
    if isinstance(value, list):
        return f"[{_some(map(text, value))}]"
    inner = _some(part if type(part) is str else text(part) for part in value)
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _some(texts: Iterable[str]) -> str:
    shown: list[str] = []
    for text in texts:
        if len(shown) == _MANY:
            shown.append("...")
            break
        shown.append(text)
    return ", ".join(shown)
