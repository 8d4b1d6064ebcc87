"""The views of ``tinygrad-cv graph``: one entry of a table for each option that a Graph has a
method for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["VIEWS", "View", "add_views", "taken"]

COLOURS = "colours"  # of these options one at most


class View(NamedTuple):
    """An option, what argparse must know of it, and what it does to a graph."""

    flag: str
    parameters: dict[str, Any]
    take: Callable[[Any, Any, argparse.Namespace], Any]  # graph, value of the option, all options
    late: bool = False  # after the graph was simplified, not before
    group: str = ""


def _each(name: str) -> Callable[[Any, Any, argparse.Namespace], Any]:
    """Call a method once for each value."""

    def take(graph: Any, values: Iterable[Any], options: argparse.Namespace) -> Any:
        for value in values:
            graph = getattr(graph, name)(value)
        return graph

    return take


def _node(text: str) -> int | str:
    """A node by its number or by a glob."""
    return int(text) if text.isdecimal() else text


def _folded(graph: Any, options: argparse.Namespace) -> Any:
    """With parameters inside their operators, as they will be drawn: they stand beside none."""
    return graph if options.full else graph.fold_parameters().fold_constants().fold_saved()


VIEWS = (
    View(
        "--depth",
        {"type": int, "metavar": "K", "help": "calls nested K deep become one node each"},
        lambda graph, value, options: graph.depth(value),
    ),
    View(
        "--collapse",
        {
            "action": "append",
            "metavar": "GLOB",
            "help": "module calls whose path matches, such as 'layer*', become one node each",
        },
        _each("collapse"),
    ),
    View(
        "--only",
        {"choices": ("forward", "backward"), "help": "this part alone"},
        lambda graph, value, options: graph.only(value),
    ),
    View(
        "--focus",
        {
            "type": _node,
            "metavar": "NODE",
            "help": "what is around a node: its number, or a glob of names or module paths",
        },
        lambda graph, value, options: _folded(graph, options).focus(value, options.radius),
    ),
    View(
        "--radius",
        {"type": int, "default": 2, "metavar": "N", "help": "how many edges around (2)"},
        lambda graph, value, options: graph,  # it is an argument of --focus
    ),
    View(
        "--path",
        {
            "type": _node,
            "nargs": 2,
            "metavar": ("START", "END"),
            "help": "what lies on all paths from one node to another",
        },
        lambda graph, value, options: _folded(graph, options).path(*value),
    ),
    View(
        "--expand",
        {
            "action": "append",
            "metavar": "GLOB",
            "help": "module calls whose path matches are drawn in full",
        },
        _each("expand"),
        late=True,
    ),
    View(
        "--repeat",
        {
            "action": argparse.BooleanOptionalAction,
            "help": "equal calls in a row once, with --full too, or none of them",
        },
        lambda graph, value, options: graph.repeat(value),
        late=True,
    ),
    View(
        "--stubs",
        {
            "type": int,
            "metavar": "USES",
            "help": "a tensor that goes to more nodes has a copy at each",
        },
        lambda graph, value, options: graph.stubs(value),
        late=True,
    ),
    View(
        "--color",
        {
            "metavar": "SCHEME",
            "help": "colour nodes by role, operator, dtype, order or structure",
        },
        lambda graph, value, options: graph.color(value),
        late=True,
        group=COLOURS,
    ),
    View(
        "--overlay",
        {
            "metavar": "NAME",
            "help": "colour operators by a number: flops, parameters, output_bytes, weight_norm, "
            "mean, std, zeros, nonfinite, peak_bytes (planned), time, saved_bytes, grad_norm (of a "
            "run); with --diff by the difference",
        },
        lambda graph, value, options: graph.overlay(value),
        late=True,
        group=COLOURS,
    ),
    View(
        "--explain",
        {
            "action": "store_true",
            "default": None,
            "help": "each operator with its equation and its gradients",
        },
        lambda graph, value, options: graph.explain(),
        late=True,
    ),
)


def add_views(parser: argparse.ArgumentParser) -> None:
    """Give a parser these options; those of one group exclude each other."""
    colours = parser.add_mutually_exclusive_group()
    for view in VIEWS:
        place = colours if view.group == COLOURS else parser
        place.add_argument(view.flag, **view.parameters)


def taken(graph: Any, options: argparse.Namespace, late: bool, but: Iterable[str] = ()) -> Any:
    """The graph as the options want it seen, those before or after it is simplified.

    >>> import tinygrad_cv as tg
    >>> parser = argparse.ArgumentParser()
    >>> add_views(parser)
    >>> options = parser.parse_args(["--only", "forward"])
    >>> graph = tg.viz.trace(lambda x: x.exp().sin().cos(), tg.zeros(3))
    >>> [node.name for node in taken(graph, options, late=False).model.nodes]
    ['x', 'exp', 'sin', 'cos', 'output']
    """
    for view in VIEWS:
        value = getattr(options, view.flag.removeprefix("--"))
        if view.late == late and value is not None and view.flag not in but:
            graph = view.take(graph, value, options)
    return graph
