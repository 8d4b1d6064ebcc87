"""What is folded or collapsed, and cannot be opened or is not found, is said, with the way to open
it."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.viz import Graph


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x):
        return self.act(self.linear(x)) + x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.features = nn.Sequential(*(Block() for _ in range(4)))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.features(self.stem(x)))


@pytest.fixture(scope="module")
def whole() -> Graph:
    return viz.trace(Net(), randn(2, 3))


def read_again(graph: Graph) -> Graph:
    return Graph.from_json(graph.to_json())


VIEWS = {
    "simplified": lambda graph: graph.simplify(),
    "repeated": lambda graph: graph.repeat(),
    "collapsed": lambda graph: graph.depth(1),
    "limited": lambda graph: graph.limit(10),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_was_read_again_says_that_it_cannot_be_opened(whole, view):
    graph = VIEWS[view](whole)
    graph.expand("features.2")  # the view itself can
    again = read_again(graph)
    for glob in ("features", "features.2", "feat*"):
        with pytest.raises(
            tg.ArgumentError, match=r"is not in this graph|no module call"
        ) as caught:
            again.expand(glob)
        text = str(caught.value)
        assert "for JSON from viz.trace(...).to_json()" in text
        assert "It has as one: 'features" in text
        assert "no module calls" not in text


@pytest.mark.parametrize("view", ["simplified", "repeated"])
def test_a_row_that_was_read_again_says_that_it_cannot_be_unfolded(whole, view):
    graph = VIEWS[view](whole)
    assert len(graph.repeat(False).model.nodes) > len(graph.model.nodes)
    with pytest.raises(tg.ArgumentError, match=r"what the row 'features\.0 : Block ×4'") as caught:
        read_again(graph).repeat(False)
    assert "start from the whole" in str(caught.value)


def test_a_row_without_a_box_says_it_too():
    net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)), nn.ReLU())
    graph = read_again(viz.draw(net, randn(1, 3)))
    assert "0 : Linear ×4" in [node.title for node in graph.model.nodes]
    with pytest.raises(tg.ArgumentError, match="what the row '0 : Linear ×4' stands for"):
        graph.repeat(False)
    for glob in ("0", "2", ""):
        with pytest.raises(tg.ArgumentError, match="to_json"):
            graph.expand(glob)


def test_a_whole_graph_that_was_read_again_can_be_folded_and_opened(whole):
    again = read_again(whole)
    folded = again.simplify()
    assert folded.model == whole.simplify().model
    assert folded.repeat(False).model == whole.simplify().repeat(False).model
    assert (
        folded.depth(1).expand("features").model
        == whole.simplify().depth(1).expand("features").model
    )
    assert again.repeat(False).model == whole.model  # nothing to do, nothing to say
    assert read_again(whole.depth(1)).repeat(False).model == whole.depth(1).model


def test_what_is_open_in_a_view_that_was_read_again_may_stay_open(whole):
    again = read_again(whole.collapse("features.0"))
    assert again.expand("features.1").depth(1).model != again.depth(1).model
    with pytest.raises(tg.ArgumentError, match="what is in 'features' is not in this graph"):
        again.expand("features")


def test_a_comparison_can_be_opened():
    other = Net()
    other.head = nn.Linear(4, 5)
    diff = viz.diff(Net(), other, randn(2, 3))
    assert "features : Sequential" in [node.title for node in diff.model.nodes]
    opened = diff.expand("features.2")
    assert opened.changes == diff.changes
    assert "features.1 : Block" in [node.title for node in opened.model.nodes]
    assert any(cluster.path == "features.2" for cluster in opened.model.clusters)
    drawn = viz.diff(viz.draw(Net(), randn(2, 3)), viz.draw(other, randn(2, 3)))
    with pytest.raises(tg.ArgumentError, match="is not in this graph") as caught:
        drawn.expand("features")
    assert "a comparison of drawn graphs" in str(caught.value)


@pytest.mark.parametrize("asked", ["features.2.linear", "features.3", "features.2.linear.weight"])
@pytest.mark.parametrize("view", ["simplified", "repeated", "collapsed"])
def test_what_is_collapsed_or_folded_is_said_with_the_way_to_open_it(whole, view, asked):
    graph = VIEWS[view](whole)
    if view != "repeated" and asked.endswith("weight"):
        return
    looks = [lambda g: g.focus(asked), lambda g: g.path("x", asked)]
    for look in looks[:1] if asked.endswith("weight") else looks:
        with pytest.raises(tg.ArgumentError, match=f"no node matches '{asked}' in this") as caught:
            look(graph)
        problem, repair = str(caught.value).splitlines()
        assert "drawn as one node, as a part of one, or of a row" in problem
        assert repair.startswith("  Open it first: .expand(")
        opened = eval(f"graph{repair.removeprefix('  Open it first: ')[:-1]}", {"graph": graph})
        assert look(opened).model.nodes


def test_a_call_inside_of_a_row_that_was_read_again_cannot_be_opened_either(whole):
    again = read_again(whole.repeat())
    with pytest.raises(tg.ArgumentError) as caught:
        again.expand("features.0.linear")
    text = str(caught.value)
    assert "what is in 'features.0.linear' is not in this graph" in text
    assert text.endswith("It has as one: 'features.0 : Block ×4'.")


def test_the_call_that_was_asked_for_is_the_one_to_open(whole):
    wanted = {
        "features.3": "features.3",
        "*.3": "features.3",
        "features.3.act.relu": "features.3.act",
    }
    for asked, path in wanted.items():
        with pytest.raises(tg.ArgumentError, match=f'expand."{path}"') as caught:
            whole.simplify().focus(asked)
        assert f"'{path}' is drawn as" in str(caught.value)


def test_what_a_view_leaves_out_is_said(whole):
    for graph in (whole.focus("head", 0), whole.path("features.1", "features.2")):
        with pytest.raises(tg.ArgumentError, match="the whole graph has one") as caught:
            graph.focus("stem")
        assert "as viz.trace gives it" in str(caught.value)
    assert whole.focus("stem").model.nodes


def test_what_is_nowhere_is_said_with_names_that_are_near(whole):
    with pytest.raises(tg.ArgumentError, match="no node matches 'feature'") as caught:
        whole.depth(1).focus("feature")
    assert "Names in this graph: features" in str(caught.value)
    with pytest.raises(tg.ArgumentError, match=r"no node matches 'features\.3'") as caught:
        read_again(whole.simplify()).focus("features.3")
    assert "'features.0 : Block ×4' is one here, and cannot be opened." in str(caught.value)
