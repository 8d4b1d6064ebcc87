"""The colours that a browser gives to the elements of a drawn SVG: its style sheet, resolved.

Only what our sheets use: ids, classes and tags, descendants and children, custom properties, and
``@media (prefers-color-scheme: dark)``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import NamedTuple

SVG = "{http://www.w3.org/2000/svg}"
DARK_RULES = "@media (prefers-color-scheme: dark)"

_Simple = tuple[str, str, frozenset[str]]  # tag, id, classes


class Rule(NamedTuple):
    """One selector: steps from the outermost, each with how it hangs on the one before."""

    steps: tuple[tuple[str, _Simple], ...]
    declarations: dict[str, str]
    dark: bool

    @property
    def weight(self) -> tuple[int, int, int]:
        parts = [simple for _, simple in self.steps]
        return (
            sum(bool(name) for _, name, _ in parts),
            sum(len(classes) for *_, classes in parts),
            sum(bool(tag) for tag, *_ in parts),
        )


def rules(text: str) -> list[Rule]:
    found = []
    for dark, block in _blocks(text):
        for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", block):
            pairs = [entry.partition(":") for entry in body.split(";") if entry.strip()]
            declarations = {name.strip(): value.strip() for name, _, value in pairs}
            found += [Rule(_steps(one), declarations, dark) for one in selectors.split(",")]
    return found


def _blocks(text: str) -> list[tuple[bool, str]]:
    """(dark, rules): what stands in a media block, and what does not, in order."""
    start = text.find("@media")
    if start < 0:
        return [(False, text)]
    assert text[start:].startswith(DARK_RULES)
    opened = text.index("{", start)
    depth, end = 1, opened
    while depth:
        end += 1
        depth += {"{": 1, "}": -1}.get(text[end], 0)
    inside = [(True, text[opened + 1 : end])]
    return [(False, text[:start]), *inside, *_blocks(text[end + 1 :])]


def _steps(selector: str) -> tuple[tuple[str, _Simple], ...]:
    steps = []
    for sign, simple in re.findall(r"(\s*>\s*|\s+|^)([^\s>]+)", selector.strip()):
        tag = re.match(r"\w*", simple)[0]
        names = re.findall(r"#([\w-]+)", simple)
        classes = frozenset(re.findall(r"\.([\w-]+)", simple))
        steps.append((sign.strip(), (tag, names[0] if names else "", classes)))
    return tuple(steps)


class Sheet:
    """The style sheet of a drawing, and the elements that it is for."""

    def __init__(self, root: ET.Element) -> None:
        (style,) = root.iter(f"{SVG}style")
        self.root, self.rules = root, rules(style.text)
        self._parents = {child: parent for parent in root.iter() for child in parent}

    def computed(self, element: ET.Element, name: str, dark: bool) -> str | None:
        """The value of a property: the strongest rule that matches, else that of the attribute."""
        best: tuple[tuple[int, int, int], str] | None = None
        for rule in self.rules:
            if name not in rule.declarations or (rule.dark and not dark):
                continue
            stronger = best is None or rule.weight >= best[0]
            if stronger and self._matches(element, rule.steps):
                best = rule.weight, rule.declarations[name]
        value = element.get(name) if best is None else best[1]
        return self._resolved(value, dark) if value else value

    def inherited(self, element: ET.Element, name: str, dark: bool) -> str | None:
        here: ET.Element | None = element
        while here is not None:
            value = self.computed(here, name, dark)
            if value:
                return value
            here = self._parents.get(here)
        return None

    def _resolved(self, value: str, dark: bool) -> str:
        def lookup(match: re.Match[str]) -> str:
            found = self.computed(self.root, match[1], dark)
            assert found, f"{match[1]} is used and not set"
            return found

        return re.sub(r"var\((--[\w-]+)\)", lookup, value)

    def _matches(self, element: ET.Element, steps: tuple[tuple[str, _Simple], ...]) -> bool:
        *before, (sign, simple) = steps
        if not _is(element, simple):
            return False
        if not before:
            return True
        above = self._parents.get(element)
        while above is not None:
            if self._matches(above, tuple(before)):
                return True
            above = None if sign == ">" else self._parents.get(above)
        return False


def _is(element: ET.Element, simple: _Simple) -> bool:
    tag, name, classes = simple
    return (
        (not tag or element.tag == SVG + tag)
        and (not name or element.get("id") == name)
        and classes <= set(element.get("class", "").split())
    )
