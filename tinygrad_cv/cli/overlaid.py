"""A model that is run, measured and then drawn: ``tinygrad-cv graph --overlay time``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tinygrad_cv as tg
from tinygrad_cv.core import mode
from tinygrad_cv.viz.arguments import named_inputs

__all__ = ["overlaid"]

RUN = ("time", "saved_bytes", "grad_norm")  # what only a run, and its backward, tells
VALUES = ("weight_norm", "mean", "std", "zeros", "nonfinite")


def overlaid(
    target: Callable[..., Any],
    inputs: Sequence[Any],
    overlay: str,
    backward: bool = False,
    title: str | None = None,
) -> Any:
    """The graph of ``target(*inputs)`` with the numbers that an overlay needs.

    For times it runs under a profile, and once before, so that kernels are compiled; with
    ``backward`` (and for the norms of gradients) its backward runs too, from gradients of ones. For
    peak bytes the memory is planned. A model without a gradient is watched once more.

    >>> import tinygrad_cv as tg
    >>> graph = overlaid(tg.nn.Linear(3, 2), [tg.zeros(4, 3)], "time")
    >>> [node.name for node in graph.model.nodes if node.facts.get("measured", {}).get("time")]
    ['linear']
    """
    options: dict[str, Any] = {"backward": backward, "title": title}
    if overlay in RUN:
        return _measured(target, inputs, overlay, options)
    if overlay in VALUES:
        options["statistics"] = True
    elif overlay == "peak_bytes":
        options["plan"] = tg.autograd.plan_memory(target, *inputs)
    return tg.viz.trace(target, *inputs, **options)


def _measured(
    target: Callable[..., Any], inputs: Sequence[Any], overlay: str, options: dict[str, Any]
) -> Any:
    wanted = options["backward"] or overlay == "grad_norm"
    if overlay == "time":
        _run(target, inputs, wanted)
    keeper = _Keeper()
    watched = mode.watching(keeper) if overlay == "grad_norm" else contextlib.nullcontext()
    with tg.profile() as profile, watched:
        outputs = _run(target, inputs, wanted)
    options |= {"profile": profile, "statistics": overlay == "grad_norm"}
    if all(output.node is None for output in outputs):
        return tg.viz.trace(target, *inputs, **options)
    names = dict(named_inputs(target, tuple(inputs), {}))
    if options["title"] is None:
        options["title"] = getattr(target, "__name__", type(target).__name__)
    return tg.viz.trace(outputs, names=names, **options)


class _Keeper(mode.Recorder):
    """Keeps all inputs alive: the parameters of a model that the function made itself would be gone
    with their gradients.
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def add(self, op: Any, inputs: Any, *rest: Any) -> None:
        self.kept.append(inputs)


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
