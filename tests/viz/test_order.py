"""``a - b`` never reads as ``b - a``: whatever the tensors come from and go through, the picture
of one is not the picture of the other, and says which is which."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz.dot import to_dot


def lines(graph: viz.Graph, target: str) -> list[str]:
    """The labels of the edges into a node, by the names of their sources."""
    nodes = {node.id: node for node in graph.model.nodes}
    drawn = {}
    for line in to_dot(graph.model).splitlines():
        if "id=e" in line:
            number = int(line.partition("id=e")[2].partition("]")[0].partition(" ")[0])
            text = line.partition('label="')[2].partition('"')[0] if "label=" in line else ""
            drawn[number] = text.strip()
    return [
        drawn[k]
        for k, edge in enumerate(graph.model.edges)
        if nodes[edge.target].name == target or nodes[edge.target].title == target
    ]


class Two(nn.Module):
    """Two results, or two inputs."""

    def __init__(self, one=None, other=None):
        super().__init__()
        self.one, self.other = one or nn.Identity(), other or nn.Identity()

    def forward(self, x):
        return self.one(x.exp()), self.other(x.sin())


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.box, self.score = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.box(x), self.score(x)


class Joined(nn.Module):
    def forward(self, left, right):
        return left.exp() - right.exp()


class Outer(nn.Module):
    def __init__(self, inner, use):
        super().__init__()
        self.inner, self.use = inner, use

    def forward(self, *args):
        return self.use(self.inner, *args)


def several(name):
    def run(first, second):
        def function(x):
            found = {
                "max": lambda: x.max(1),
                "topk": lambda: x.topk(2, 1),
                "sort": lambda: x.sort(1),
                "kthvalue": lambda: x.kthvalue(2, 1),
                "cummax": lambda: x.cummax(1),
            }[name]()
            return found[first] - found[second]

        return viz.draw(function, randn(3, 4), title="")

    return run


def two_results(inner):
    def run(first, second):
        net = Outer(inner, lambda module, x: (lambda r: r[first] - r[second])(module(x)))
        return viz.trace(net, randn(2, 4), title="").collapse("inner")

    return run


def two_inputs(first, second):
    net = Outer(Joined(), lambda module, *given: module(given[first], given[second]))
    return viz.draw(net, randn(3), randn(3), title="").collapse("inner")


def only_ends(first, second):
    def function(a, b):
        given = (a, b)
        return given[first].exp() - given[second].exp()

    graph = viz.trace(function, randn(3), randn(3), title="")
    return graph.focus(lambda n: n.name in ("a", "b", "sub"), 0)


def one_end(first, second):
    def function(a, b):
        given = (a, b)
        return given[first] - given[second]

    graph = viz.trace(function, randn(3), randn(3), title="")
    return graph.focus(lambda n: n.name in ("a", "sub"), 0)


def through_a_hidden_result(first, second):
    def function(x):
        found = x.sort(1)
        kept = [found[0].exp(), found[1].float()]
        return kept[first] - kept[second]

    graph = viz.trace(function, randn(3, 4), title="")
    return graph.focus(lambda n: n.name in ("sort", "sub"), 0)


def gradients(first, second):
    a, b = (randn(3).requires_grad_() for _ in range(2))
    given = (a, b)
    graph = viz.trace(given[first] - given[second], backward=True, names={"a": a, "b": b}, title="")
    return graph.only("backward")


CASES = {
    **{name: several(name) for name in ("max", "topk", "sort", "kthvalue", "cummax")},
    "a module with two results": two_results(Two()),
    "two heads of one kind": two_results(Heads()),
    "two results of one operator": two_results(Outer(nn.Identity(), lambda m, x: m(x).max(1))),
    "a module with two inputs": two_inputs,
    "hidden operators between": only_ends,
    "one input is not drawn": one_end,
    "two hidden ways from one operator": through_a_hidden_result,
    "the gradients alone": gradients,
}


@pytest.mark.parametrize("name", CASES)
def test_the_picture_of_one_is_not_that_of_the_other(name):
    one, other = CASES[name](0, 1), CASES[name](1, 0)
    assert to_dot(one.model) != to_dot(other.model)
    assert one.to_text() != other.to_text()
    same = CASES[name](0, 1)
    assert to_dot(one.model) == to_dot(same.model)


def test_an_edge_says_which_result_it_is_of():
    assert lines(several("max")(0, 1), "sub") == ["values → input: 3", "indices → other: 3"]
    assert lines(several("topk")(1, 0), "sub") == ["indices → input: 3×2", "values → other: 3×2"]
    second = viz.draw(lambda x: x.max(1)[1].float(), randn(3, 4))
    assert lines(second, "cast") == ["indices: 3"]
    alone = viz.draw(lambda x: x.max(1)[0].exp(), randn(3, 4))
    assert lines(alone, "exp") == ["3"]  # a first result that is the only one to be used
    assert "#2 exp <- input #1.values " in alone.to_text()


def test_results_of_a_block_are_told_apart_by_what_made_them():
    assert lines(two_results(Two())(0, 1), "sub") == ["exp → input", "sin → other"]
    assert lines(two_results(Two())(1, 0), "sub") == ["sin → input", "exp → other"]
    assert lines(two_results(Heads())(0, 1), "sub") == ["box → input: 2×3", "score → other: 2×3"]
    same = two_results(Outer(nn.Identity(), lambda m, x: (x.exp(), (x + 1).exp())))(1, 0)
    assert lines(same, "sub") == ["exp 2 → input", "exp 1 → other"]
    (block,) = (n for n in same.model.nodes if "operators" in n.facts)
    assert [tensor.name for tensor in block.outputs] == ["exp 1", "exp 2"]
    assert "→ exp 1 2×4 float32" in same.to_text()


def test_inputs_of_a_block_have_names():
    for order, ends in (((0, 1), (0, 1)), ((1, 0), (1, 0))):
        graph = two_inputs(*order)
        found = [(e.source, e.argument) for e in graph.model.edges if e.argument]
        assert found == [(ends[0], "left"), (ends[1], "right")]
        assert lines(graph, "inner : Joined") == ["left", "right"]
        assert viz.GraphModel.from_json(graph.to_json()) == graph.model
    a, b = (randn(3).requires_grad_() for _ in range(2))
    recorded = viz.draw(Joined()(a, b), names={"a": a, "b": b}).depth(0)
    assert lines(recorded, "Joined") == ["input 1", "input 2"]  # the graph does not know more
    different = viz.draw((nn.Bilinear(3, 3, 2))(a, b), names={"a": a, "b": b}).depth(0)
    assert len(set(lines(different, different.model.nodes[2].name))) == 2


def test_a_tensor_that_is_several_inputs_has_all_their_names():
    def attend(module, x, memory):
        return module(x, memory, memory, need_weights=False)[0]

    net = Outer(nn.MultiheadAttention(4, 2), attend)
    graph = viz.trace(net, randn(3, 1, 4), randn(5, 1, 4)).fold_parameters().collapse("inner")
    found = {e.source: e.argument for e in graph.model.edges if e.argument}
    assert found == {0: "query", 1: "key, value"}
    nobody_listens = [m._forward_pre_hooks for m in net.modules()]
    assert not any(nobody_listens)


def test_a_single_input_or_result_needs_no_name():
    graph = viz.draw(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)), randn(1, 3))
    block = graph.depth(0)
    assert lines(block, "Sequential") == [""]
    assert lines(block, "output") == ["1×2"]


def test_an_edge_through_hidden_operators_keeps_its_argument():
    assert lines(only_ends(0, 1), "sub") == ["… hidden: input", "… hidden: other"]
    assert lines(one_end(0, 1), "sub") == ["input"]
    assert lines(one_end(1, 0), "sub") == ["other"]
    found = lines(through_a_hidden_result(1, 0), "sub")
    assert found == ["… hidden: indices → input", "… hidden: values → other"]
    both = viz.trace(lambda a: a.exp() - a.sin(), randn(3)).focus(lambda n: n.name in "a sub", 0)
    assert lines(both, "sub") == ["… hidden: input", "… hidden: other"]


def test_gradients_alone_say_of_what_they_are():
    assert [lines(gradients(*o), "a.grad") for o in ((0, 1), (1, 0))] == [["d input"], ["d other"]]


def test_the_svg_says_it_too(tmp_path):
    pytest.importorskip("pygraphviz")
    root = ET.parse(several("max")(1, 0).render(tmp_path / "a.svg")).getroot()
    edges = [g for g in root.iter() if "edge" in g.get("class", "").split()]
    into = [g for g in edges if g.get("data-target") == "2"]
    assert [g.get("data-output") for g in into] == ["1", "0"]
    assert [g.get("data-argument") for g in into] == ["input", "other"]
    assert [g.get("data-result") for g in into] == ["indices", "values"]
    titles = [g.find("{http://www.w3.org/2000/svg}title").text for g in into]
    assert titles == [
        "max_dim (indices) to sub as input: 3 int64",
        "max_dim (values) to sub as other: 3 float32",
    ]
