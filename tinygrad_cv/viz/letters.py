"""Which letter of an equation is which argument, as far as the operator's declaration says so.

A gradient that names its result does: ``dw[o,i] = ...`` of the argument weight says that w is
weight. Besides, x is the argument "input" where nothing else is, and a and b are the two arguments
of an elementwise operator in their order. Where neither holds an argument has no letter.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tinygrad_cv.core.op import Op

__all__ = ["gradient_letter", "letters", "names_result", "uses"]

_RESULT = re.compile(r"d([A-Za-z]+)(_\w+)?(\.\w+)?(\[[^=]*\])? = ")


def letters(op: type[Op]) -> dict[str, str]:
    """Argument -> its letter in the equations, where it has one.

    >>> from tinygrad_cv.core.op import REGISTRY
    >>> letters(REGISTRY["linear"])
    {'input': 'x', 'weight': 'w', 'bias': 'b'}
    >>> letters(REGISTRY["sub"]), letters(REGISTRY["gather"])
    ({'input': 'a', 'other': 'b'}, {'input': 'x'})
    """
    if op.variadic or not op.equation:
        return {}
    rules = tuple(op.gradients.items())
    return dict(_letters(op.inputs, op.equation, rules, op.elementwise))


@lru_cache(4096)
def _letters(
    inputs: tuple[str, ...],
    equation: str,
    rules: tuple[tuple[str, str], ...],
    elementwise: bool,
) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, rule in rules:
        match = _RESULT.match(rule)
        if name in inputs and match is not None and uses(equation, match[1]):
            found[name] = match[1]
    free = [name for name in inputs if name not in found]
    spare = [c for c in "xab" if uses(equation, c) and c not in found.values()]
    if "input" in free and "x" in spare:
        found["input"] = "x"
    elif elementwise and len(inputs) == 2 and free == list(inputs) and spare == ["a", "b"]:
        found = dict(zip(inputs, "ab", strict=True))
    if len(set(found.values())) < len(found) or set(found.values()) & set(inputs) - set(found):
        return ()
    return tuple((name, found[name]) for name in inputs if name in found and found[name] != name)


def uses(text: str, letter: str) -> bool:
    """True if ``letter`` stands in a formula by itself.

    >>> uses("y = x_i^2 + exp(a)", "x"), uses("y = exp(a)", "x")
    (True, False)
    """
    return re.search(rf"(?<![A-Za-z]){re.escape(letter)}(?![A-Za-z])", text) is not None


def names_result(rule: str) -> bool:
    """True if a rule names its result, as ``dw[o] = ...`` does."""
    return _RESULT.match(rule) is not None


def gradient_letter(known: dict[str, str]) -> str:
    """What the gradient of the output is called: g, or G where g is an argument.

    >>> gradient_letter({"grad": "g"})
    'G'
    """
    return "G" if "g" in known.values() else "g"
