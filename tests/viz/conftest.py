"""A browser for the tests of the viewer, an operator of a user's, a file with models.

A failing test leaves a screenshot beside its other files; with ``VIEWER_SCREENSHOTS=folder`` every
test writes one there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.viz.browser import Browser, Page, chromium
from tinygrad_cv.core.op import Op, unregister
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import GraphModel


@pytest.fixture
def cube() -> Iterator[type[Op]]:
    """An operator that is not of the package."""

    class Cube(Op):
        name, equation = "users_cube", "y = x^3"
        gradients = {"input": "3 * g * x^2"}

        @staticmethod
        def infer(input):
            return input

        @staticmethod
        def forward(xp, input):
            return input**3

        @staticmethod
        def vjp_input(g, input):
            return g * 3.0 * input * input

    yield Cube
    unregister(Cube.name)


@pytest.fixture
def write_models(tmp_path, monkeypatch) -> Iterator[Callable[[str, str], str]]:
    """A function that writes a module into the working directory, a temporary one; gives its file
    name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    written = []

    def write(name: str, text: str) -> str:
        written.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}.py"

    yield write
    for name in written:
        sys.modules.pop(name, None)


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
