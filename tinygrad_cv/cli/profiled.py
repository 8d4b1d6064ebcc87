"""A model that is run under a profile and then drawn: ``tinygrad-cv graph --overlay time``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tinygrad_cv as tg
from tinygrad_cv.viz.capture import named_inputs

__all__ = ["NEEDED", "profiled"]

NEEDED = ("time", "saved_bytes")  # what only a run under a profile tells


def profiled(
    target: Callable[..., Any],
    inputs: Sequence[Any],
    backward: bool = False,
    title: str | None = None,
) -> Any:
    """The graph of ``target(*inputs)`` with what it took. It runs once before, so that kernels are
    compiled; with ``backward`` its backward runs too, from gradients of ones.

    >>> import tinygrad_cv as tg
    >>> graph = profiled(tg.nn.Linear(3, 2), [tg.zeros(4, 3)], backward=True)
    >>> sorted(node.facts["measured"]["time"] for node in graph.model.nodes if node.kind == "op")
    ... # doctest: +SKIP
    [{'forward': 4.1e-06}, {'backward': 1.3e-05}]
    """
    _run(target, inputs, backward)
    with tg.profile() as profile:
        outputs = _run(target, inputs, backward)
    names = dict(named_inputs(target, tuple(inputs), {}))
    default = getattr(target, "__name__", type(target).__name__)
    options: dict[str, Any] = {"backward": backward, "names": names, "profile": profile}
    return tg.viz.trace(outputs, title=default if title is None else title, **options)


def _run(target: Callable[..., Any], inputs: Sequence[Any], backward: bool) -> list[tg.Tensor]:
    outputs = list(_tensors(target(*inputs)))
    ends = [output for output in outputs if output.requires_grad]
    if backward and ends:
        gradients = [tg.ones_like(output) for output in ends]
        tg.autograd.backward(ends, gradients, retain_graph=True)
    return outputs


def _tensors(value: Any) -> Iterator[tg.Tensor]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, tg.Tensor):
            yield value
        elif isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, (tuple, list)):
            waiting += reversed(value)
