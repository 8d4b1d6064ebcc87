"""Pictures from DOT: find a Graphviz engine, run it in a child process within a time limit,
replace the file whole.

Engines, in this order: ``dot`` on the PATH; the Graphviz inside the ``pygraphviz`` (>= 2) wheel.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tinygrad_cv.errors import ArgumentError, BackendError, DataError, DTypeError
from tinygrad_cv.viz.checks import seconds
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.html import page, with_room
from tinygrad_cv.viz.labels import clean
from tinygrad_cv.viz.limits import MAX_NODES, boxes, limit
from tinygrad_cv.viz.model import GraphModel
from tinygrad_cv.viz.svg import finish

__all__ = ["FORMATS", "TIME_LIMIT", "EngineTimeout", "draw_dot", "engines", "picture", "save"]

TIME_LIMIT = 20.0
PICTURES = ("svg", "html", "png", "pdf")
FORMATS = (*PICTURES, "dot", "json", "txt")
_MAGIC = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}

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


def draw_dot(source: str, format: str, time_limit: float = TIME_LIMIT) -> bytes:
    """DOT source drawn as "svg", "png" or "pdf" by the first engine that succeeds.

    Args:
        source: a graph in the DOT language.
        format: "svg", "png" or "pdf".
        time_limit: seconds for one run of the engine.

    Raises:
        EngineTimeout: an engine needed longer than ``time_limit`` seconds.
        BackendError: there is no engine, or each one failed; the message has what they said.

    >>> if engines():
    ...     assert b"<svg" in draw_dot("digraph { a -> b }", "svg")
    """
    found = engines()
    if not found:
        raise BackendError(
            "render",
            "no Graphviz engine is installed",
            repair="Install one: pip install 'pygraphviz>=2' (its wheel carries Graphviz), or the "
            "system package that brings `dot` (apt install graphviz, brew install graphviz).",
        )
    problems = []
    for engine in found:
        try:
            return _run(engine, source, format, time_limit)
        except EngineTimeout:
            raise
        except BackendError as error:
            problems.append(error.problem)
    raise BackendError(
        "render",
        "; ".join(problems),
        repair="The DOT source itself needs no engine: save it as .dot.",
    )


def _run(engine: Engine, source: str, format: str, time_limit: float) -> bytes:
    try:
        child = subprocess.Popen(
            engine.arguments(format),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        raise BackendError("render", f"{engine.name} cannot be started: {error}") from None
    try:
        output, messages = child.communicate(source.encode("utf-8"), timeout=time_limit)
    except subprocess.TimeoutExpired:
        _kill(child)
        raise EngineTimeout(
            "render",
            f"{engine.name} did not finish within {time_limit:g} s",
            repair="Draw less: .depth(k), .collapse('layer*') or a smaller max_nodes.",
        ) from None
    except BaseException:
        _kill(child)
        raise
    said = clean(messages.decode("utf-8", "replace").strip()[-400:])
    if child.returncode != 0:
        raise BackendError(
            "render", f"{engine.name} failed with status {child.returncode}: {said or 'no message'}"
        )
    if _MAGIC[format] not in output[: 4096 if format == "svg" else 8]:
        raise BackendError(
            "render", f"{engine.name} did not return {format.upper()}: {said or 'no message'}"
        )
    return output


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started, and wait for it."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.communicate()


def save(
    model: GraphModel, path: str | os.PathLike[str], text: str, time_limit: float = TIME_LIMIT
) -> Path:
    """Write a graph to ``path`` in the format of its ending. An existing file is replaced only by
    a complete one.

    Where the engine does not finish in time, the graph is collapsed further and the picture says
    so.

    Args:
        model: the graph.
        path: where to; its ending is one of :data:`FORMATS`.
        text: what a ``.txt`` file gets.
        time_limit: seconds for one run of the engine.

    Raises:
        ArgumentError: the ending is not supported, or the time limit is no positive number.
        DTypeError: the path is none.
        BackendError: no engine, or it failed; the ``.dot`` file beside ``path`` has been written.
        DataError: the file cannot be written.

    >>> import tempfile, tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/relu.json", "").read_text() == model.to_json()
    True
    """
    try:
        path = Path(path)
    except TypeError:
        problem = f"the path must be a text or a Path, not {path!r:.60}"
        raise DTypeError("render", problem, repair='Write .render("graph.svg").') from None
    time_limit = seconds("render", time_limit)
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
        return replace_file(path, text.encode())
    if format == "dot":
        return replace_file(path, to_dot(limit(model)).encode())
    try:
        content = picture(model, format, time_limit)
    except BackendError as error:
        try:
            written = replace_file(path.with_suffix(".dot"), to_dot(limit(model)).encode())
        except DataError as problem:
            error.notes.append(f"The .dot file is not there either: {problem.problem}.")
        else:
            error.notes.append(f"The graph is in {written}.")
        raise
    return replace_file(path, content)


def picture(model: GraphModel, format: str, time_limit: float = TIME_LIMIT) -> bytes:
    """The content of a picture file: "svg", "html", "png" or "pdf".

    Where the engine does not finish in ``time_limit`` seconds, the graph is collapsed further.

    Raises:
        BackendError: no engine, or it failed.

    >>> import tinygrad_cv as tg
    >>> model = tg.viz.trace(lambda x: x.relu(), tg.zeros(2, 3)).model
    >>> if engines():
    ...     assert picture(model, "png").startswith(b"\\x89PNG")
    """
    most = MAX_NODES
    while True:
        drawn = limit(model, most)
        try:
            if format == "html":
                return page(draw_dot(to_dot(with_room(drawn)), "svg", time_limit), drawn)
            output = draw_dot(to_dot(drawn), format, time_limit)
            return finish(output, drawn) if format == "svg" else output
        except EngineTimeout:
            most = min(most, boxes(drawn)) // 3
            if most < 10:
                raise


def replace_file(path: Path, content: bytes) -> Path:
    """Put ``content`` at ``path`` in one step.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
    try:
        if (
            target.exists() and not target.is_file()
        ):  # a pipe or a device is written to, not replaced
            target.write_bytes(content)
            return path
        try:
            with temporary.open("xb") as file:
                file.write(content)
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError("render", f"cannot write {path}: {error.strerror or error}") from None
    return path
