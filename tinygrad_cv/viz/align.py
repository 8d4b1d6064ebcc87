"""Which node of one graph is which node of another: an alignment of the two orders of execution
with the greatest sum of likenesses.

Two nodes can be the same if they do the same (the operator, the kind of tensor); they are more
alike with the same module path and with the same attributes and shapes. Pairs keep the order in
both graphs, so that both, laid over each other, have no circle. The alignment of (b, a) is that of
(a, b), turned round.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from tinygrad_cv.viz.model import GraphModel, GraphNode

__all__ = ["CHANCE", "align", "place", "signature"]

CHANCE = ("draw",)  # attributes that say which random draw it is
MOST_CELLS = 20_000_000  # of the table of an alignment, 4 bytes each
_TITLE = re.compile(r"(?:(?P<path>.*) : )?[^:]*?(?:, call (?P<call>\d+) of \d+)?$", re.DOTALL)

Key = tuple[Hashable, Hashable, Hashable]  # what it does, where, with which attributes and shapes


def align(a: GraphModel, b: GraphModel) -> list[tuple[int, int]]:
    """Positions (in ``a.nodes``, in ``b.nodes``) of the nodes that are the same, in order.

    >>> import tinygrad_cv as tg
    >>> short = tg.viz.trace(lambda x: x.exp().sum(), tg.zeros(3)).model
    >>> long = tg.viz.trace(lambda x: x.relu().exp().sum(), tg.zeros(3)).model
    >>> align(short, long)
    [(0, 0), (1, 2), (2, 3), (3, 4)]
    """
    first, second = _Nodes(a), _Nodes(b)
    if repr(first.keys) > repr(second.keys):  # one way round, so that the result has no direction
        return sorted((i, j) for j, i in _both(second, first))
    return _both(first, second)


class _Nodes:
    """The nodes of a graph: those that are matched, and those that follow what they belong to: a
    saved tensor its operator, a backward operator its forward one.
    """

    def __init__(self, model: GraphModel) -> None:
        self.keys = _keys(model)
        here = {node.id: position for position, node in enumerate(model.nodes)}
        self.main = [i for i, node in enumerate(model.nodes) if node.pair not in here]
        self.belonging: dict[tuple[int, tuple[Hashable, int]], int] = {}
        seen: Counter[tuple[int, Hashable]] = Counter()
        for i, node in enumerate(model.nodes):
            if node.pair is not None and node.pair in here:
                key = here[node.pair], _does(node)
                self.belonging[key[0], (key[1], seen[key])] = i
                seen[key] += 1


def _both(a: _Nodes, b: _Nodes) -> list[tuple[int, int]]:
    main = _align([a.keys[i] for i in a.main], [b.keys[j] for j in b.main])
    pairs = [(a.main[i], b.main[j]) for i, j in main]
    of = dict(pairs)
    for (owner, what), i in sorted(a.belonging.items(), key=lambda item: item[1]):
        if owner in of:
            j = b.belonging.get((of[owner], what))
            if j is not None:
                pairs.append((i, j))
    return _increasing(sorted(pairs))


def signature(node: GraphNode) -> tuple[Hashable, ...]:
    """What makes two nodes equal, apart from their place: attributes, tensors, values, error."""
    outputs = tuple((t.name, t.shape, t.dtype) for t in node.outputs)
    held = tuple(
        (h.kind, h.role, h.tensor.shape, h.tensor.dtype, h.value)
        for h in node.held
        if h.kind != "gradient"  # it is an output as well
    )
    attributes = tuple(item for item in node.attributes if item[0] not in CHANCE)
    name = "" if node.kind == "op" else node.name.rpartition(".")[2]
    return name, attributes, outputs, held, node.value, node.error, node.count


def place(node: GraphNode, labels: dict[int | None, tuple[str, int]]) -> tuple[str, int]:
    """Path and number of the module call that a node belongs to, also if it has become the
    node.
    """
    if node.title:
        found = _TITLE.match(node.title)
        if found:
            return found["path"] or "", int(found["call"] or 1)
    return labels[node.cluster]


def places(model: GraphModel) -> list[tuple[str, int]]:
    """:func:`place` of each node."""
    labels: dict[int | None, tuple[str, int]] = {None: ("", 1)}
    labels |= {cluster.id: (cluster.path, cluster.call) for cluster in model.clusters}
    return [place(node, labels) for node in model.nodes]


def _keys(model: GraphModel) -> list[Key]:
    return [
        (_does(node), where, signature(node))
        for node, where in zip(model.nodes, places(model), strict=True)
    ]


def _does(node: GraphNode) -> tuple[str, ...]:
    """Only nodes for which this is equal can be the same."""
    if node.kind == "op":
        collapsed = "block" if "operators" in node.facts else ""
        return node.phase, node.kind, node.name, collapsed
    if node.kind in ("param", "saved") or node.facts.get("of") == "param":
        return node.phase, node.kind, node.name.removesuffix(".grad").rpartition(".")[2]
    return node.phase, node.kind


def _align(a: Sequence[Key], b: Sequence[Key]) -> list[tuple[int, int]]:
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    inner_a, inner_b = a[start : len(a) - end], b[start : len(b) - end]
    if len(inner_a) * len(inner_b) <= MOST_CELLS:
        inner = _best(inner_a, inner_b)
    else:
        inner = _by_place(inner_a, inner_b)
    pairs = [(i, i) for i in range(start)]
    pairs += [(start + i, start + j) for i, j in inner]
    return pairs + [(len(a) - end + k, len(b) - end + k) for k in range(end)]


def _best(a: Sequence[Key], b: Sequence[Key]) -> list[tuple[int, int]]:
    """The alignment with the greatest sum of likenesses (Needleman and Wunsch, 1970; gaps cost
    nothing): 4 for nodes that do the same, 2 more for the same place, 3 more for the same
    attributes and shapes.
    """
    codes = []
    for part in range(3):
        numbers: dict[Hashable, int] = {}
        rows = [[numbers.setdefault(key[part], len(numbers)) for key in keys] for keys in (a, b)]
        codes.append([np.array(row, dtype=np.int32) for row in rows])
    (does_a, does_b), (place_a, place_b), (like_a, like_b) = codes
    best = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int32)

    def score(i: int) -> np.ndarray:
        more = 4 + 2 * (place_b == place_a[i]) + 3 * (like_b == like_a[i])
        return np.where(does_b == does_a[i], more, 0)

    for i in range(len(a)):
        row = np.maximum(best[i, 1:], best[i, :-1] + score(i))
        best[i + 1, 1:] = np.maximum.accumulate(row)
    pairs = []
    i, j = len(a), len(b)
    while i and j:
        gain = int(score(i - 1)[j - 1])
        if gain and best[i, j] == best[i - 1, j - 1] + gain:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _by_place(a: Sequence[Key], b: Sequence[Key]) -> list[tuple[int, int]]:
    """For graphs too large for a table: nodes that do the same at the same place, the first one
    there with the first and so on; of these the longest row that keeps the order in both.
    """
    where = dict(zip(_numbered(b), range(len(b)), strict=True))
    return _increasing([(i, where[key]) for i, key in enumerate(_numbered(a)) if key in where])


def _increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of ``pairs`` that rises in the second number as in the first."""
    ends: list[int] = []  # the least last position in b of an ordered row of each length
    last: list[int] = []  # and the pair it is of
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [j]
        last[length : length + 1] = [number]
    row = []
    number = last[-1] if last else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]


def _numbered(keys: Iterable[Key]) -> list[tuple[Hashable, Hashable, int]]:
    seen: Counter[tuple[Hashable, Hashable]] = Counter()
    numbered = []
    for does, where, _ in keys:
        numbered.append((does, where, seen[does, where]))
        seen[does, where] += 1
    return numbered
