"""What the tests of the viewer ask of a page that shows a graph."""

from __future__ import annotations

import json
from typing import Any

from tests.viz.browser import Page
from tinygrad_cv.viz.overlay import legend


def told(graph: Any) -> str:
    """What the legend says of the overlay."""
    return "; ".join(legend(graph.model))


def classes(page: Page, name: str, kind: str = "node") -> set[Any]:
    """The nodes (by id), or edges (by both ends), that have a class."""
    found = page.run(
        f"[...document.querySelectorAll('.{kind}.{name}:not(.stub)')].map(e => ({{...e.dataset}}))"
    )
    if kind == "node":
        return {int(one["id"]) for one in found}
    return {(int(one["source"]), int(one["target"])) for one in found}


def text(page: Page, selector: str) -> str:
    return page.run(f"document.querySelector({json.dumps(selector)}).innerText")


def facts(page: Page) -> dict[str, list[str]]:
    """What is said of the chosen node: for each heading its entries."""
    found: dict[str, list[str]] = {}
    rows = page.run(
        "[...document.querySelectorAll('#facts dl > *')].map(e => [e.tagName, e.innerText])"
    )
    for tag, words in rows:
        if tag == "DT":
            last = found.setdefault(words, [])
        else:
            last.append(words)
    return found


def chosen(page: Page) -> list[int]:
    return sorted(page.run(
        "[...document.querySelectorAll('.node[aria-pressed=true]')].map(e => +e.dataset.id)"
    ))  # fmt: skip


def node(number: int) -> str:
    return f'.node[data-id="{number}"]'


def choose(page: Page, selector: str, value: str) -> None:
    """As a user of a menu does."""
    page.run(
        f"(menu => {{menu.value = {json.dumps(value)};"
        "menu.dispatchEvent(new Event('change', {bubbles: true}))})"
        f"(document.querySelector({json.dumps(selector)}))"
    )
