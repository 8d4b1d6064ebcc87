"""Module calls as they are watched: what the tensors that a module is called with are named
there."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz.build import Source
from tinygrad_cv.viz.model import cluster_paths
from tinygrad_cv.viz.translate import Translator

__all__ = ["Given", "listening", "name_inputs", "named", "named_inputs", "state_of"]


class Given(NamedTuple):
    """A tensor that a module was called with: the call, the name there, where the tensor stood in
    the graph, and who had made it, as far as that was known then."""

    call: mode.Scope
    name: str
    tensor: Tensor
    state: tuple[Any, int, Any]
    source: Source | None


@contextmanager
def listening(function: Any, entered: Callable[[mode.Scope, str, Tensor], None]) -> Iterator[None]:
    """Tell ``entered`` what the modules in ``function`` are called with."""

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = mode.state().scope
        if call is not None:
            for name, tensor in named_inputs(module, args, kwargs):
                entered(call, name, tensor)

    walk = getattr(function, "modules", None)
    modules = list(walk()) if callable(walk) else []
    handles = [m.register_forward_pre_hook(note, with_kwargs=True) for m in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def state_of(tensor: Tensor) -> tuple[Any, int, Any]:
    """Where a Tensor stands in the graph now: a later in-place write moves it on."""
    return tensor.node, tensor.index, tensor.array


def name_inputs(translator: Translator, given: Iterable[Given]) -> None:
    """Mark the edges into each call of a module with several inputs with the names that it gives
    them."""
    names: dict[int, dict[tuple[int, int], list[str]]] = defaultdict(dict)
    for call, name, tensor, state, known in given:
        cluster = translator.builder.known_cluster(call)
        source = known or translator.find(tensor, *state)
        if cluster is not None and source is not None:
            names[cluster].setdefault((source.node, source.output), []).append(name)
    several = {key: found for key, found in names.items() if len(found) > 1}
    if not several:
        return
    builder = translator.builder
    above = cluster_paths(builder.clusters)
    for k, edge in enumerate(builder.edges):
        if edge.kind == "data":
            tensor_of = edge.source, edge.output
            calls = above[builder.nodes[edge.target].cluster]
            entering = tuple(
                (call, ", ".join(several[call][tensor_of]))
                for call in calls
                if tensor_of in several.get(call, ())
            )
            if entering:
                builder.edges[k] = replace(edge, entering=entering)


def named_inputs(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    """The Tensors in the arguments of a call, named after the function's parameters.

    >>> import tinygrad_cv as tg
    >>> def loss(image, scale=1): ...
    >>> [name for name, _ in named_inputs(loss, (tg.zeros(2),), {"scale": [tg.ones(1)]})]
    ['image', 'scale[0]']
    """
    return list(named(_arguments(function, args, kwargs)))


def _arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments of a call with the names of the function's (or the module's forward's)
    parameters.
    """
    target = getattr(function, "forward", function)
    try:
        bound = inspect.signature(target).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [*((f"input {i}", value) for i, value in enumerate(args)), *kwargs.items()]
    return list(bound.arguments.items())


def named(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """All Tensors in nested tuples, lists and dicts, named after their place."""
    stack = list(values)[::-1]
    while stack:
        name, value = stack.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, (tuple, list)):
            stack += [(f"{name}[{i}]", v) for i, v in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            stack += [(f"{name}[{k!r}]", v) for k, v in reversed(list(value.items()))]
