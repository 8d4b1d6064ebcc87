"""What a notebook shows of a graph: the picture, and its text for where there is none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container

from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.render import picture

__all__ = ["mimebundle"]

SVG, TEXT = "image/svg+xml", "text/plain"


def mimebundle(
    model: GraphModel,
    text: Callable[[], str],
    include: Container[str] | None = None,
    exclude: Container[str] | None = None,
) -> dict[str, str]:
    """The graph by media type. It never raises: what cannot be drawn is told in the text.

    Args:
        model: what is drawn.
        text: gives the text.
        include: the types that are wanted; all if None.
        exclude: types that are not.
    """

    def wanted(kind: str) -> bool:
        return (include is None or kind in include) and (exclude is None or kind not in exclude)

    found, problem = {}, ""
    if wanted(SVG):
        try:
            # A notebook is one page, which may show a graph twice: ids of its own each time.
            found[SVG] = picture(model, "svg", suffix=f"-{secrets.token_hex(4)}").decode()
        except Exception as error:  # a cell's value must be shown whatever is wrong with it
            problem = f"\nno picture: {error}\n"
    if wanted(TEXT):
        try:
            found[TEXT] = text() + problem
        except Exception as error:
            found[TEXT] = f"graph {model.title!r}, no text: {error}\n{problem}"
    return found
