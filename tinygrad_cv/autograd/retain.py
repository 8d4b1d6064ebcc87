"""Keeping what every recorded node was given and gave, so that it can be replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tinygrad_cv.autograd.cuts import Made
from tinygrad_cv.backend.array import copy_of, is_array
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import clock, written_after
from tinygrad_cv.core.mode import Recorder, watching
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor

__all__ = ["Kept", "kept_of", "retain_all"]


class Kept(NamedTuple):
    """What one node was given, and what it gave: raw arrays, numbers and None. Of the residuals
    those that it saved, by their place among the results; none if they were packed."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    residuals: dict[int, Any]


_KEPT: WeakKeyDictionary[Node, Kept] = WeakKeyDictionary()


def kept_of(node: Node) -> Kept | None:
    """What was kept of a node; None if it was recorded outside :func:`retain_all`."""
    return _KEPT.get(node)


@contextmanager
def retain_all() -> Iterator[None]:
    """Keep, for every node recorded inside the block, copies of its inputs and outputs, as long as
    the graph lives: :func:`verify` then replays it, also after ``backward`` and after the
    parameters have changed. Of operators that are not recorded, remember which they were, for
    :func:`why_no_grad`. Costs the memory of all values of the forward pass once more.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.autograd.retain_all():
    ...     loss = (x * x).sum()
    >>> tg.autograd.verify(loss).ok
    True
    """
    with watching(_Keeper()):
        yield


class _Keeper(Recorder):
    def __init__(self) -> None:
        # id -> (the array, when it was copied, the copy); the array stays, so its id stays its own
        self.copies: dict[int, tuple[Any, int, Any]] = {}

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        nodes = [t.node for t in outputs if isinstance(t.node, Node) and t.node.op is op]
        if nodes:
            given = tuple(self._copy(t.array if isinstance(t, Tensor) else t) for t in inputs)
            _KEPT[nodes[0]] = Kept(
                given, tuple(self._copy(t.array) for t in outputs), self._residuals(nodes[0])
            )
        for out in outputs:
            if out.node is None:
                out.cut = Made(frame, op, inputs, scope, out.cut)

    def _residuals(self, node: Node) -> dict[int, Any]:
        values = zip(node.plan.kinds, node.saved, strict=True)
        found = {place: v for (kind, place), v in values if kind == "residual"}
        return {place: self._copy(v) for place, v in found.items() if is_array(v)}

    def _copy(self, value: Any) -> Any:
        if not is_array(value) or isinstance(value, Spec):
            return value
        known = self.copies.get(id(value))
        if known is None or written_after(value, known[1]) is not None:
            known = self.copies[id(value)] = (value, clock.tick(), copy_of(value))
        return known[2]
