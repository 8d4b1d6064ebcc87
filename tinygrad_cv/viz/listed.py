"""Arguments that are one list, ``tensors[0]``, ``tensors[1]`` ..., when one edge stands for several
of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinygrad_cv.viz.model import GraphEdge

__all__ = ["joined", "list_name"]

_ITEM = re.compile(r"(?P<list>.*?)\[(?P<first>\d+)\](?: (?P<how>to|…) \[(?P<last>\d+)\])?")


def list_name(edge: GraphEdge) -> str:
    """``tensors`` of the argument ``tensors[3]``; "" of an argument that is no list.

    >>> list_name(GraphEdge(0, 1, argument="tensors[3]")), list_name(GraphEdge(0, 1, argument="x"))
    ('tensors', '')
    """
    item = _ITEM.fullmatch(edge.argument)
    return item["list"] if item else ""


def joined(arguments: Sequence[str]) -> str:
    """The arguments of several edges that become one: those of a list by the first and the last,
    with "to" if none between is missing; of others the first.

    >>> joined(["tensors[3]", "tensors[4]", "tensors[5]"]), joined(["tensors[3]", "tensors[7]"])
    ('tensors[3] to [5]', 'tensors[3] … [7]')
    >>> joined(["tensors[3] to [5]", "tensors[6]"]), joined(["input", "input"])
    ('tensors[3] to [6]', 'input')
    """
    first = arguments[0]
    if all(argument == first for argument in arguments):
        return first
    items = [_ITEM.fullmatch(argument) for argument in arguments]
    spans = sorted((int(i["first"]), int(i["last"] or i["first"]), i["how"]) for i in items if i)
    names = {i["list"] for i in items if i}
    if None in items or len(names) > 1:
        return first
    low, high, whole = spans[0][0], spans[0][1], True
    for start, end, how in spans:
        whole = whole and how != "…" and start <= high + 1
        high = max(high, end)
    return f"{names.pop()}[{low}] {'to' if whole else '…'} [{high}]"
