"""Pictures from DOT: find a Graphviz engine, run it in a child process within a time limit,
replace the file whole.

Engines, in this order: ``dot`` on the PATH; the Graphviz inside the ``pygraphviz`` (>= 2) wheel.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.errors import ArgumentError, BackendError, DataError, DTypeError
from tinygrad_cv.viz.checks import seconds, whole
from tinygrad_cv.viz.child import MOST_OUTPUT, TooMuchOutput, run
from tinygrad_cv.viz.complete import parsed, problem
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.html import page, with_room
from tinygrad_cv.viz.labels import clean
from tinygrad_cv.viz.limits import LEAST, MAX_NODES, boxes, limit
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.svg import finish

__all__ = ["FORMATS", "TIME_LIMIT", "EngineTimeout", "draw_dot", "engines", "picture", "save"]

TIME_LIMIT = 20.0
PICTURES = ("svg", "html", "png", "pdf")
FORMATS = (*PICTURES, "dot", "json", "txt")

# What the child runs. A whole process, because a layout cannot be interrupted from Python and must
# not take ours with it when it crashes; -P keeps a stray pygraphviz.py of the working directory
# out.
_CHILD = """
import sys
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
if sys.argv[1] == "png":
    graph.graph_attr["dpi"] = "144"
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


class EngineTimeout(BackendError):
    """The engine did not finish within the time limit.

    The layout of Graphviz takes more than linear time in the number of nodes; a graph that is
    collapsed further can be drawn.

    >>> from tinygrad_cv.errors import BackendError
    >>> issubclass(EngineTimeout, BackendError)  # one except clause for all that an engine may do
    True
    """


class Engine(NamedTuple):
    """A way to run Graphviz: its name and the command for a format."""

    name: str
    command: tuple[str, ...]

    def arguments(self, format: str) -> list[str]:
        if self.name == "dot":
            return [*self.command, f"-T{format}", *(["-Gdpi=144"] if format == "png" else [])]
        return [*self.command, format]


def engines() -> list[Engine]:
    """The usable engines, best first: ``dot`` on the PATH, the Graphviz inside ``pygraphviz``.

    >>> {engine.name for engine in engines()} <= {"dot", "pygraphviz"}
    True
    """
    found = []
    dot = shutil.which("dot")
    if dot is not None:
        found.append(Engine("dot", (dot,)))
    if importlib.util.find_spec("pygraphviz") is not None:
        found.append(Engine("pygraphviz", (sys.executable, "-P", "-c", _CHILD)))
    return found


def _whole_svg(output: bytes) -> bytes:
    parsed(output)
    return output


def draw_dot(
    source: str,
    format: str,
    time_limit: float = TIME_LIMIT,
    accept: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """DOT source drawn as "svg", "png" or "pdf" by the first engine that returns a whole picture.

    An engine that cannot be started, fails, or returns something else or only a part is followed by
    the next one. One that runs out of time is not: the time is spent, and the next lays out with
    Graphviz as well.

    Args:
        source: a graph in the DOT language.
        format: "svg", "png" or "pdf".
        time_limit: seconds for one run of the engine.
        accept: what to make of the picture; by a BackendError it refuses it.

    Raises:
        EngineTimeout: an engine needed longer than ``time_limit`` seconds.
        BackendError: there is no engine, or each one failed; the message has what they said.
        ArgumentError: the time limit is no number above 0.

    >>> if engines():
    ...     assert b"<svg" in draw_dot("digraph { a -> b }", "svg")
    """
    time_limit = seconds("render", time_limit)
    if accept is None:
        accept = _whole_svg if format == "svg" else bytes
    found = engines()
    if not found:
        raise BackendError(
            "render",
            "no Graphviz engine is installed",
            repair="Install one: pip install 'pygraphviz>=2' (its wheel carries Graphviz), or the "
            "system package that brings `dot` (apt install graphviz, brew install graphviz).",
        )
    problems = []
    for number, engine in enumerate(found):
        try:
            return accept(_run(engine, source, format, time_limit))
        except EngineTimeout as error:
            others = ", ".join(other.name for other in found[number + 1 :])
            if others:
                error.notes.append(
                    f"{others} was not tried: the time is spent, and it lays out with Graphviz too."
                )
            raise
        except BackendError as error:
            known = error.problem.startswith(f"{engine.name} ")
            problems.append(error.problem if known else f"{engine.name}: {error.problem}")
    raise BackendError(
        "render",
        "; ".join(problems),
        repair="The DOT source itself needs no engine: save it as .dot.",
    )


def _run(engine: Engine, source: str, format: str, time_limit: float) -> bytes:
    try:
        done = run(engine.arguments(format), source.encode("utf-8"), time_limit)
    except TimeoutError:
        raise EngineTimeout(
            "render",
            f"{engine.name} did not finish within {time_limit:g} s",
            repair="Draw less: .depth(k), .collapse('layer*') or a smaller max_nodes.",
        ) from None
    except TooMuchOutput:
        raise BackendError(
            "render", f"{engine.name} wrote more than {quantity(MOST_OUTPUT, 'B')} and was ended"
        ) from None
    except OSError as error:
        raise BackendError("render", f"{engine.name} cannot be started: {error}") from None
    said = clean(done.said[-4000:].decode("utf-8", "replace").strip()[-400:]) or "no message"
    if done.status != 0:
        raise BackendError("render", f"{engine.name} failed with status {done.status}: {said}")
    fault = problem(done.output, format)
    if fault:
        raise BackendError("render", f"{engine.name} {fault}: {said}")
    return done.output


def save(
    model: GraphModel,
    path: str | os.PathLike[str],
    text: Callable[[], str],
    time_limit: float = TIME_LIMIT,
    max_nodes: int | None = None,
) -> Path:
    """Write a graph to ``path`` in the format of its ending. An existing file is replaced only by
    a complete one.

    Where the engine does not finish in time, the graph is collapsed further and the picture says
    so.

    Args:
        model: the graph.
        path: where to; its ending is one of :data:`FORMATS`.
        text: gives what a ``.txt`` file gets; not called for the others.
        time_limit: seconds for one run of the engine.
        max_nodes: as in :func:`picture`.

    Raises:
        ArgumentError: the ending is not supported, the time limit is no positive number, or
            ``max_nodes`` is no integer from 10 on.
        DTypeError: the path is none.
        BackendError: no engine, or it failed; the ``.dot`` file beside ``path`` has been written.
        DataError: the file cannot be written.

    >>> import tempfile, tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/relu.json", str).read_text() == model.to_json()
    True
    """
    try:
        path = Path(path)
    except TypeError:
        message = f"the path must be a text or a Path, not {path!r:.60}"
        raise DTypeError("render", message, repair='Write .render("graph.svg").') from None
    time_limit = seconds("render", time_limit)
    most = _budget(model, max_nodes)
    format = path.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        raise ArgumentError(
            "render",
            f"{path.name!r} does not end in a supported format",
            repair="Supported are " + ", ".join("." + name for name in FORMATS) + ".",
        )
    if format == "json":
        return replace_file(path, model.to_json().encode())
    if format == "txt":
        return replace_file(path, text().encode())
    if format == "dot":
        return replace_file(path, to_dot(model).encode())
    try:
        content = picture(model, format, time_limit, most)
    except BackendError as error:
        try:
            written = replace_file(path.with_suffix(".dot"), to_dot(limit(model, most)).encode())
        except DataError as problem:
            error.notes.append(f"The .dot file is not there either: {problem.problem}.")
        else:
            error.notes.append(f"The graph is in {written}.")
        raise
    return replace_file(path, content)


def picture(
    model: GraphModel,
    format: str,
    time_limit: float = TIME_LIMIT,
    max_nodes: int | None = None,
    suffix: str = "",
) -> bytes:
    """The content of a picture file: "svg", "html", "png" or "pdf".

    Where the engine does not finish in ``time_limit`` seconds, the graph is collapsed further. The
    ids of an SVG have ``suffix``; without one, the same graph gives the same bytes.

    Args:
        model: the graph.
        format: which content.
        time_limit: seconds for one run of the engine.
        max_nodes: the most nodes that are drawn; if None, what the graph was last limited to, or
            300.

    Raises:
        BackendError: no engine, or it failed.
        ArgumentError: the time limit is no positive number, or ``max_nodes`` is no integer from 10
            on.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).model
    >>> if engines():
    ...     assert picture(model, "png").startswith(b"\\x89PNG")
    """
    time_limit = seconds("render", time_limit)
    most = _budget(model, max_nodes)
    while True:
        drawn = limit(model, most)
        try:
            return _content(drawn, format, time_limit, suffix)
        except EngineTimeout:
            most = min(most, boxes(drawn)) // 3
            if most < 10:
                raise


def _content(model: GraphModel, format: str, time_limit: float, suffix: str) -> bytes:
    if format == "html":
        source = to_dot(with_room(model))
        return draw_dot(source, "svg", time_limit, lambda output: page(output, model))
    if format == "svg":
        source = to_dot(model)
        return draw_dot(source, "svg", time_limit, lambda output: finish(output, model, suffix))
    return draw_dot(to_dot(model), format, time_limit)


def _budget(model: GraphModel, max_nodes: int | None) -> int:
    """The most nodes of a picture."""
    if max_nodes is None:
        return model.max_nodes or MAX_NODES
    return whole("render", "max_nodes", max_nodes, LEAST)


def replace_file(path: Path, content: bytes) -> Path:
    """Put ``content`` at ``path`` in one step.

    Raises:
        DataError: the folder does not exist or cannot be written, or no file can have this name.
    """
    try:
        target = Path(os.path.realpath(path))
        # A pipe or a device is written to, not replaced.
        if target.exists() and not target.is_file():
            target.write_bytes(content)
            return path
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(content)
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        said = getattr(error, "strerror", None) or error
        raise DataError("render", f"cannot write {clean(str(path))}: {said}") from None
    return path
