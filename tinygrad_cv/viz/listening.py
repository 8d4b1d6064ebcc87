"""Module calls as they are watched: what the tensors that a module is called with are named
there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.viz.arguments import named_inputs
from tinygrad_cv.viz.build import Source
from tinygrad_cv.viz.failure import states
from tinygrad_cv.viz.model import cluster_paths
from tinygrad_cv.viz.translate import Translator

__all__ = ["Given", "listening", "name_inputs"]


class Given(NamedTuple):
    """A tensor that a module was called with: the call, the name there, where the tensor stood in
    the graph, and who had made it, as far as that was known then."""

    call: mode.Scope
    name: str
    tensor: Tensor
    state: tuple[Any, int, Any]
    source: Source | None = None


@contextmanager
def listening(function: Any, entered: Callable[[Given], None]) -> Iterator[None]:
    """Tell ``entered`` what the modules in ``function`` are called with."""

    def note(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = mode.state().scope
        if call is not None:
            for name, tensor in named_inputs(module, args, kwargs):
                entered(Given(call, name, tensor, *states((tensor,))))

    walk = getattr(function, "modules", None)
    modules = list(walk()) if callable(walk) else []
    handles = [m.register_forward_pre_hook(note, with_kwargs=True) for m in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
