"""Programs that fail, and what a picture says of it."""

from __future__ import annotations

import tinygrad_cv as tg
from tinygrad_cv import nn


def zeros(*shape, dtype="float32", device="cpu"):
    return tg.zeros(*shape, dtype=dtype, device=device)


def meta(*shape):
    return zeros(*shape, device="meta")


def red(graph):
    """The only node that failed, and (argument, name of its source) of what goes into it."""
    (node,) = [n for n in graph.model.nodes if n.error]
    names = {n.id: n.name for n in graph.model.nodes}
    edges = [e for e in graph.model.edges if e.target == node.id]
    assert all(e.source in names for e in edges)
    assert [n.id for n in graph.model.nodes if n.kind == "op"][-1] == node.id
    return node, [(e.argument, names[e.source]) for e in edges]


class Net(nn.Module):
    """``what`` runs at the end of the inner module."""

    class Inner(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.fc, self.what = nn.Linear(4, 4), what

        def forward(self, x):
            hidden = self.fc(x)
            return self.what(hidden)

    def __init__(self, what):
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), Net.Inner(what))

    def forward(self, image):
        return self.body(image).tanh()


def box(graph, node):
    return {c.id: c.label for c in graph.model.clusters}.get(node.cluster)


def refuse(hidden):
    if hidden.shape[1] == 4:
        raise ValueError("four is too many")
    return hidden
