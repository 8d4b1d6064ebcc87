"""The command line: ``tinygrad-cv graph`` draws a graph, ``tinygrad-cv ops`` lists the operators,
``tinygrad-cv doctor`` tells what the speed depends on, ``tinygrad-cv warmup`` compiles all kernels.

Exit codes: 0 done; 1 the model or its input is wrong (``graph`` has drawn the operators that ran,
if any did), or a kernel could not be compiled; 2 the command line is wrong; 3 no Graphviz engine
could draw (the ``.dot`` file has been written); 4 the file could not be written, or the standard
output; 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tinygrad_cv._version import __version__
from tinygrad_cv.cli.inputs import HELP, made, makes, misfit, noted, parsed
from tinygrad_cv.cli.output import CannotPrint, abandon, complain, flush, say
from tinygrad_cv.cli.views import add_views, taken
from tinygrad_cv.errors import ArgumentError, BackendError, DataError, GraphError, TinygradError

__all__ = ["main"]

DONE, WRONG_MODEL, WRONG_COMMAND, NO_ENGINE, NO_FILE = range(5)
NO_KERNEL = WRONG_MODEL
INTERRUPTED = 130  # 128 and the number of the signal, as shells have it
EXIT_CODES = """exit codes: 0 done; 1 the model or its input is wrong (graph has drawn the operators
that ran, if any did), or a kernel could not be compiled; 2 the command line is wrong; 3 no Graphviz
engine could draw (the .dot file has been written); 4 the file could not be written, or the standard
output; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: the words behind ``tinygrad-cv``; those of this process if None.

    Raises:
        SystemExit: the command line cannot be read (code 2), or asks for help or the version
            (code 0).

    >>> main(["ops", "exp"])  # doctest: +ELLIPSIS
    exp(input) -> output
      ...
      gradient of input: ...
    0
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as in `tinygrad-cv ops | head`
        abandon()
        return DONE
    except (_Refused, CannotPrint, KeyboardInterrupt) as error:
        if options.traceback:
            raise
        if isinstance(error, CannotPrint):
            abandon()
            error = _Refused(NO_FILE, str(error))
        elif isinstance(error, KeyboardInterrupt):
            error = _Refused(INTERRUPTED, "interrupted")
        complain(error)
        return error.code


class _Refused(Exception):
    """A message for the user, and the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-cv",
        description="An autograd engine for computer vision, written to be read.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"tinygrad-cv {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    graph = commands.add_parser(
        "graph",
        help="draw the computation graph of a model",
        description="Draw the computation graph of a model.",
        epilog=EXIT_CODES,
    )
    graph.add_argument(
        "target",
        help="module:name or file.py:name of a Module, of a function of Tensors, or of a function "
        "or class that makes a Module (or a loss) when called without arguments",
    )
    graph.add_argument(
        "--input",
        action="append",
        default=[],
        type=parsed,
        metavar="SHAPE[:DTYPE]",
        help=HELP,
    )
    graph.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="an .svg, .html, .png, .pdf, .dot, .json or .txt file; without it the text is printed",
    )
    graph.add_argument(
        "--format",
        choices=("text", "dot", "json"),
        default="text",
        help="what is printed without --output",
    )
    graph.add_argument(
        "--backward",
        action="store_true",
        help="add the backward graph; without a gradient the forward is drawn, and the exit code 1",
    )
    graph.add_argument("--max-nodes", type=int, metavar="N", help="collapse to at most N nodes")
    graph.add_argument(
        "--full", action="store_true", help="every node: fold nothing, draw as many as there are"
    )
    add_views(graph)
    graph.add_argument(
        "--diff",
        metavar="TARGET",
        help="another model, called with the same inputs: draw what it adds, removes and changes",
    )
    graph.add_argument("--device", default="cpu", help="cpu, cuda or meta (shapes only)")
    graph.add_argument("--title", help="first line of the picture")
    graph.set_defaults(run=_graph, wrong=graph.error)

    ops = commands.add_parser(
        "ops",
        help="list the operators",
        description="List the operators, or explain an operator, a function or a layer.",
    )
    ops.add_argument("name", nargs="?", help="what to explain: conv, conv2d, Conv2d, file.py:MyOp")
    ops.set_defaults(run=_ops)

    told = "tell what the speed depends on here, and what to do to be faster"
    doctor = commands.add_parser("doctor", help=told, description=f"{told.capitalize()}.")
    doctor.add_argument("--json", action="store_true", help="print the same facts as JSON")
    doctor.set_defaults(run=_doctor)

    told = "compile every kernel ahead, which programs otherwise do at the first use"
    warmup = commands.add_parser("warmup", help=told, description=f"{told.capitalize()}.")
    warmup.add_argument(
        "--clean",
        action="store_true",
        help="first delete what is kept for other versions (programs that still run them compile "
        "again)",
    )
    warmup.set_defaults(run=_warmup)
    return parser


# ---- graph


def _graph(options: argparse.Namespace) -> int:
    if options.diff is not None and options.color is not None:
        options.wrong("argument --diff: not allowed with argument --color")
    if options.overlay == "time" and options.device == "meta":
        raise _Refused(
            WRONG_COMMAND,
            "--overlay time: on the meta device nothing is computed, so there is no time; choose "
            "--device cpu or cuda, or --overlay flops",
        )
    names = [options.target] if options.diff is None else [options.target, options.diff]
    loaded = [_load(name) for name in names]
    with_inputs = bool(options.input)
    try:
        inputs = made(options.input, options.device)
    except (TinygradError, TypeError, MemoryError) as error:
        raise _Refused(WRONG_COMMAND, f"--input or --device: {error}") from error
    try:
        drawn = [_traced(source, inputs, with_inputs, options) for source in loaded]
    except _Refused:
        raise
    except SystemExit as error:
        raise _Refused(WRONG_MODEL, f"the model called sys.exit({error.code!r:.60})") from error
    except Exception as error:
        raise _Refused(WRONG_MODEL, f"{type(error).__name__}: {error}") from error
    problem = next((part for part in drawn if part.problem), None)
    try:
        _write(_view([part.graph for part in drawn], options, problem is not None), options)
    except (ArgumentError, GraphError) as error:  # an option that does not fit this graph
        raise _Refused(WRONG_COMMAND, str(error)) from error
    except BackendError as error:
        raise _Refused(NO_ENGINE, str(error)) from error
    except DataError as error:
        raise _Refused(NO_FILE, str(error)) from error
    if problem is not None:
        raise _Refused(WRONG_MODEL, problem.problem) from problem.cause(options.traceback)
    return DONE


class _Drawn(NamedTuple):
    """A graph; if it is not all that was wanted, why, and the error or the call that raises it."""

    graph: Any
    problem: str = ""
    again: Callable[[], Any] | None = None
    error: Exception | None = None

    def cause(self, wanted: bool) -> Exception | None:
        """The error with its traceback."""
        try:
            if wanted and self.error is None and self.again is not None:
                self.again()
        except Exception as error:
            return error
        return self.error


def _traced(
    source: Any, inputs: list[Any], with_inputs: bool, options: argparse.Namespace
) -> _Drawn:
    """The graph of what ``source`` is or makes; with an overlay, with the numbers that it needs.
    If that cannot be had, as much of it as can.
    """
    import tinygrad_cv as tg
    from tinygrad_cv.cli.overlaid import overlaid

    given: dict[str, Any] = {"title": options.title}
    try:
        target = _made(source, with_inputs, options.device)
    except _Refused:
        raise
    except Exception:
        if not makes(source):
            raise
        graph = tg.viz.trace(source, **given)  # what ran in it, if anything did
        if not graph.error:
            raise
        return _Drawn(graph, graph.error, source)
    function = source if isinstance(target, tg.Tensor) else target
    problem = "" if isinstance(target, tg.Tensor) else misfit(target, inputs)
    if problem:
        name = getattr(target, "__name__", type(target).__name__)
        raise _Refused(
            WRONG_MODEL,
            f"the inputs do not fit {name}: {problem}\n  Give --input once for each argument, in "
            "their order.",
        )
    ways: list[tuple[Callable[..., Any], Any, bool]] = [(tg.viz.trace, target, options.backward)]
    if function is not target:
        ways.append((tg.viz.trace, function, options.backward))
    if options.backward:
        ways.append((tg.viz.trace, function, False))
    if options.overlay is not None and callable(function):

        def coloured(function: Any, *inputs: Any, **given: Any) -> Any:
            graph = overlaid(function, inputs, options.overlay, **given)
            return noted(graph, options.input, options.overlay)

        ways.insert(0, (coloured, function, options.backward))
    first: Exception | None = None
    for draw, what, backward in ways:
        try:
            graph = draw(what, *inputs, backward=backward, **given)
        except Exception as error:
            first = first or error
        else:
            again = partial(function, *inputs) if graph.error else None
            problem = "" if first is None else f"{type(first).__name__}: {first}"
            return _Drawn(graph, graph.error or problem, again, first)
    assert first is not None  # there is at least one way
    raise first


def _load(target: str) -> Any:
    """The object that ``package.module:name`` or ``file.py:name`` names."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise _Refused(WRONG_COMMAND, f"{target!r} is not of the form module:name or file.py:name")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(spec.name, module)
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, os.getcwd())
            module = importlib.import_module(place)
        found: Any = module
        for part in name.split("."):
            if not hasattr(found, part):
                hint = _near(part, dir(found))
                raise _Refused(WRONG_COMMAND, f"{place} has no attribute {part!r}{hint}")
            found = getattr(found, part)
    except _Refused:
        raise
    except SystemExit as error:
        raise _Refused(
            WRONG_COMMAND, f"cannot load {target}: it called sys.exit({error.code!r:.60})"
        ) from error
    except Exception as error:  # the user's module may raise anything
        raise _Refused(
            WRONG_COMMAND, f"cannot load {target}: {type(error).__name__}: {error}"
        ) from error
    return found


def _made(found: Any, with_inputs: bool, device: str) -> Any:
    """Call a class, or a function that needs no argument, for the model; move it to the device."""
    import tinygrad_cv as tg

    if isinstance(found, tg.Tensor):
        return found
    if not callable(found):
        raise _Refused(WRONG_COMMAND, f"{found!r:.60} is neither a model nor makes one")
    problem = misfit(found, []) if isinstance(found, type) else ""
    if problem:
        name = found.__name__
        raise _Refused(
            WRONG_COMMAND,
            f"{name} cannot be made without arguments: {problem}\n  Write a function that makes "
            f"it, such as `def model(): return {name}(...)` in a file, and give file.py:model.",
        )
    if makes(found):
        found = found()
    if hasattr(found, "parameters") and hasattr(found, "to") and device != "cpu":
        found = found.to(device)
    if callable(found) and not isinstance(found, tg.Tensor) and not with_inputs:
        raise _Refused(WRONG_COMMAND, "this model needs its inputs: add --input 1,3,32,32")
    return found


def _view(graphs: Sequence[Any], options: argparse.Namespace, failed: bool) -> Any:
    """The graph, or the differences of two, as the options want it seen."""
    import tinygrad_cv as tg

    limit = {} if options.max_nodes is None else {"max_nodes": options.max_nodes}
    if options.diff is not None and not options.full:
        graphs = [graph.fold_parameters().fold_constants().fold_saved() for graph in graphs]
    graphs = [taken(graph, options, late=False) for graph in graphs]
    if options.diff is not None:
        view: Any = tg.viz.diff(*graphs, title=options.title, fold=not options.full, **limit)
    else:
        view = graphs[0].simplify(**limit) if not options.full else graphs[0]
        if options.full and limit:
            view = view.limit(**limit)
    return taken(view, options, late=True, but=["--overlay"] if failed else [])


def _write(graph: Any, options: argparse.Namespace) -> None:
    if options.output is not None:
        every = max(len(graph.model.nodes), 10) if options.full else None
        path = graph.render(options.output, max_nodes=every)
        if sys.stdout is not None:  # it may be closed: the file is what was asked for
            say(f"{path}\n")
    elif options.format == "dot":  # Graphviz reads "&#8594;" as the character
        say(graph.to_dot(), errors="xmlcharrefreplace")
    else:
        say(graph.to_json() if options.format == "json" else graph.to_text())


# ---- ops


def _ops(options: argparse.Namespace) -> int:
    import tinygrad_cv as tg
    from tinygrad_cv.cli.operators import described, names
    from tinygrad_cv.core.op import REGISTRY

    if options.name is None:
        width = max(len(name) for name in REGISTRY)
        for name in sorted(REGISTRY):
            say(f"{name:<{width}}  {REGISTRY[name].equation}".rstrip() + "\n")
        return DONE
    if ":" in options.name:
        try:
            say(tg.viz.explain(_load(options.name)) + "\n")
        except ArgumentError as error:
            raise _Refused(WRONG_COMMAND, str(error)) from error
        return DONE
    lines = described(options.name)
    if not lines:
        hint = _near(options.name, names())
        raise _Refused(WRONG_COMMAND, f"there is no operator or function {options.name!r}{hint}")
    say("\n".join(lines) + "\n")
    return DONE


def _near(name: str, names: Iterable[str]) -> str:
    names = list(names)
    longer = (n for n in names if len(n) > 2 and (name.startswith(n) or n.startswith(name)))
    close = sorted(longer, key=lambda n: abs(len(n) - len(name)))
    close += [n for n in difflib.get_close_matches(name, names, n=5) if n not in close]
    close = close[:5]
    return f"; near it: {', '.join(close)}" if close else ""


# ---- doctor and warmup


def _doctor(options: argparse.Namespace) -> int:
    import json

    from tinygrad_cv.cli import doctor

    facts = doctor.examine()
    say((json.dumps(facts, indent=2) if options.json else doctor.text(facts)) + "\n")
    return DONE


def _warmup(options: argparse.Namespace) -> int:
    from tinygrad_cv.cli.warmup import warmup

    try:
        failed = warmup(options.clean)
    except BackendError as error:
        raise _Refused(NO_KERNEL, str(error)) from error
    if failed:
        raise _Refused(NO_KERNEL, f"these kernels cannot be compiled: {', '.join(failed)}")
    return DONE
