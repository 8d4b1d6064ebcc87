"""The command line: ``tinygrad-cv graph`` draws a graph, ``tinygrad-cv ops`` lists the operators,
``tinygrad-cv doctor`` tells what the speed depends on, ``tinygrad-cv warmup`` compiles all kernels.

Exit codes: 0 done; 1 the model or its input is wrong (for ``graph``, the part that ran has been
drawn), or a kernel could not be compiled; 2 the command line is wrong; 3 no Graphviz engine could
draw (the ``.dot`` file has been written); 4 the file could not be written.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tinygrad_cv._version import __version__
from tinygrad_cv.errors import ArgumentError, BackendError, DataError, GraphError, TinygradError

__all__ = ["main"]

DONE, WRONG_MODEL, WRONG_COMMAND, NO_ENGINE, NO_FILE = range(5)
NO_KERNEL = WRONG_MODEL
EXIT_CODES = """exit codes: 0 done; 1 the model or its input is wrong (what ran has been drawn), or
a kernel could not be compiled; 2 the command line is wrong; 3 no Graphviz engine could draw (the
.dot file has been written); 4 the file could not be written"""


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
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as in `tinygrad-cv ops | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except _Refused as error:
        if options.traceback:
            raise
        print(f"tinygrad-cv: {error}", file=sys.stderr)
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
        type=_input,
        metavar="SHAPE[:DTYPE]",
        help="an input of zeros, such as 1,3,32,32 or 8:int64; once for each input",
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
    graph.add_argument("--backward", action="store_true", help="add the backward graph")
    graph.add_argument(
        "--depth", type=int, metavar="K", help="module calls nested K deep become one node each"
    )
    graph.add_argument(
        "--collapse",
        action="append",
        default=[],
        metavar="GLOB",
        help="module calls whose path matches, such as 'layer*', become one node each",
    )
    graph.add_argument("--max-nodes", type=int, metavar="N", help="collapse to at most N nodes")
    graph.add_argument("--full", action="store_true", help="every node: fold nothing")
    graph.add_argument(
        "--explain", action="store_true", help="each operator with its equation and its gradients"
    )
    graph.add_argument(
        "--overlay",
        metavar="NAME",
        help="colour operators by a number: flops, parameters, output_bytes, weight_norm, mean, "
        "std, zeros, nonfinite, peak_bytes (planned), time, saved_bytes, grad_norm (of a run); "
        "with --diff by the difference",
    )
    graph.add_argument(
        "--diff",
        metavar="TARGET",
        help="another model, called with the same inputs: draw what it adds, removes and changes",
    )
    graph.add_argument("--device", default="cpu", help="cpu, cuda or meta (shapes only)")
    graph.add_argument("--title", help="first line of the picture")
    graph.set_defaults(run=_graph)

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


def _input(text: str) -> tuple[tuple[int, ...], str]:
    """``1,3,32,32:float32`` as shape and dtype; a scalar is ``()``."""
    shape, _, dtype = text.partition(":")
    try:
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shape!r} is no shape such as 1,3,32,32") from None
    if any(size < 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"{shape!r} has a negative size")
    return sizes, dtype or "float32"


# ---- graph


def _graph(options: argparse.Namespace) -> int:
    import tinygrad_cv as tg

    names = [options.target] if options.diff is None else [options.target, options.diff]
    loaded = [_load(name) for name in names]
    with_inputs = bool(options.input)
    try:
        inputs = [tg.zeros(*s, dtype=d, device=options.device) for s, d in options.input]
    except (TinygradError, TypeError) as error:
        raise _Refused(WRONG_COMMAND, f"--input or --device: {error}") from error
    try:
        targets = [_made(target, with_inputs, options.device) for target in loaded]
        graphs = [
            _traced(target, source, inputs, options)
            for target, source in zip(targets, loaded, strict=True)
        ]
    except _Refused:
        raise
    except Exception as error:
        raise _Refused(WRONG_MODEL, f"{type(error).__name__}: {error}") from error
    failure = next((graph.error for graph in graphs if graph.error), "")
    try:
        _write(_view(graphs, options, bool(failure)), options)
    except (ArgumentError, GraphError) as error:  # an option that does not fit this graph
        raise _Refused(WRONG_COMMAND, str(error)) from error
    except BackendError as error:
        raise _Refused(NO_ENGINE, str(error)) from error
    except DataError as error:
        raise _Refused(NO_FILE, str(error)) from error
    if failure:
        raise _Refused(WRONG_MODEL, failure)
    return DONE


def _traced(target: Any, source: Any, inputs: list[Any], options: argparse.Namespace) -> Any:
    """The graph of a target, made by ``source``; with an overlay, with the numbers that it
    needs.
    """
    import tinygrad_cv as tg
    from tinygrad_cv.cli.overlaid import overlaid

    given: dict[str, Any] = {"backward": options.backward, "title": options.title}
    function = source if isinstance(target, tg.Tensor) else target
    if options.overlay is None or not callable(function):
        return tg.viz.trace(target, *inputs, **given)
    try:
        return overlaid(function, inputs, options.overlay, **given)
    except TinygradError:
        graph = tg.viz.trace(target, *inputs, **given)
        if graph.error:  # the part that ran, and what failed
            return graph
        raise


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
    if isinstance(found, type) or _needs_nothing(found):
        found = found()
    if hasattr(found, "parameters") and hasattr(found, "to") and device != "cpu":
        found = found.to(device)
    if callable(found) and not isinstance(found, tg.Tensor) and not with_inputs:
        raise _Refused(WRONG_COMMAND, "this model needs its inputs: add --input 1,3,32,32")
    return found


def _needs_nothing(function: Callable[..., Any]) -> bool:
    import inspect

    if hasattr(function, "forward"):
        return False
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def _view(graphs: Sequence[Any], options: argparse.Namespace, failed: bool) -> Any:
    """The graph, or the differences of two, as the options want it seen."""
    import tinygrad_cv as tg

    limit = {} if options.max_nodes is None else {"max_nodes": options.max_nodes}
    if options.diff is not None and not options.full:
        graphs = [graph.fold_parameters().fold_constants().fold_saved() for graph in graphs]
    graphs = [_collapsed(graph, options) for graph in graphs]
    if options.diff is not None:
        view: Any = tg.viz.diff(*graphs, title=options.title, fold=not options.full, **limit)
    else:
        view = graphs[0] if options.full else graphs[0].simplify(**limit)
    if options.overlay is not None and not failed:
        view = view.overlay(options.overlay)
    return view.explain() if options.explain else view


def _collapsed(graph: Any, options: argparse.Namespace) -> Any:
    if options.depth is not None:
        graph = graph.depth(options.depth)
    for glob in options.collapse:
        graph = graph.collapse(glob)
    return graph


def _write(graph: Any, options: argparse.Namespace) -> None:
    if options.output is not None:
        print(graph.render(options.output))
    else:
        text = {"text": graph.to_text, "dot": graph.to_dot, "json": graph.to_json}
        sys.stdout.write(text[options.format]())


# ---- ops


def _ops(options: argparse.Namespace) -> int:
    import tinygrad_cv as tg
    from tinygrad_cv.cli.operators import described, names
    from tinygrad_cv.core.op import REGISTRY

    if options.name is None:
        width = max(len(name) for name in REGISTRY)
        for name in sorted(REGISTRY):
            print(f"{name:<{width}}  {REGISTRY[name].equation}".rstrip())
        return DONE
    if ":" in options.name:
        try:
            print(tg.viz.explain(_load(options.name)))
        except ArgumentError as error:
            raise _Refused(WRONG_COMMAND, str(error)) from error
        return DONE
    lines = described(options.name)
    if not lines:
        hint = _near(options.name, names())
        raise _Refused(WRONG_COMMAND, f"there is no operator or function {options.name!r}{hint}")
    print("\n".join(lines))
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
    print(json.dumps(facts, indent=2) if options.json else doctor.text(facts))
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
