"""A browser for the tests of the viewer.

A failing test leaves a screenshot beside its other files; with ``VIEWER_SCREENSHOTS=folder`` every
test writes one there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.viz.browser import Browser, Page, chromium
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("there is no Chromium on the PATH to show the viewer in")
    pytest.importorskip("pygraphviz")
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def look(browser, tmp_path, request):
    """A function that shows a graph. In the end nothing was said on the console and nothing but
    the file was asked for."""
    pages: list[tuple[Page, Path]] = []
    failed = request.session.testsfailed

    def show(model: GraphModel, width: int = 1200, height: int = 900) -> Page:
        path = Graph(model).render(tmp_path / f"graph{len(pages)}.html")
        pages.append((browser.open(path, width, height), path))
        return pages[-1][0]

    yield show
    wanted = os.environ.get("VIEWER_SCREENSHOTS")
    for page, path in pages:
        if wanted or request.session.testsfailed > failed:
            folder = Path(wanted) if wanted else tmp_path
            page.screenshot(folder / f"{request.node.name}-{path.stem}.png")
        problems, requests = page.problems(), page.requests()
        page.close()
        assert problems == []
        assert requests == [path.as_uri()]
