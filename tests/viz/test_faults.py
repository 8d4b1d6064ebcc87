"""What ``verify`` found stands where it is: a wrong rule at the backward operator, a wrong result
at the forward one."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import tinygrad_cv as tg
from tests.autograd.planting import kernel, planted
from tinygrad_cv import viz
from tinygrad_cv.autograd import retain_all, verify
from tinygrad_cv.core.op import REGISTRY


def faulty(wrong=lambda g: g):
    """A loss in which the rule of exp is wrong, and what verify finds."""
    x, w = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 5.0], requires_grad=True)
    with planted(REGISTRY["exp"], "input", wrong), retain_all():
        loss = ((x * w).exp() * 2).sum()
        return loss, verify(loss)


def marked(graph):
    return {(n.name, n.phase): n.error for n in graph.model.nodes if n.error}


def test_a_wrong_rule_is_at_the_backward_operator():
    loss, report = faulty(lambda g: g * 1.01)
    (fault,) = report.faults
    text = f"wrong gradient of input: {fault.text}"
    for make in (viz.draw, viz.trace):
        graph = make(loss, backward=True, verify=report)
        assert marked(graph) == {("exp", "backward"): text}
        assert "verify: 1 faulty rule" in graph.to_text().splitlines()
        assert "failed" not in graph.to_text() + graph.to_dot()
    assert graph.model.totals["flops"] == viz.trace(loss).model.totals["flops"]
    alone = viz.draw(loss, backward=True, verify=report).only("backward")
    assert marked(alone) == {("exp", "backward"): text}


def test_where_no_backward_is_drawn_it_is_at_the_forward_one():
    loss, report = faulty(lambda g: g * 1.01)
    graph = viz.draw(loss, verify=report)
    assert marked(graph) == {
        ("exp", "forward"): f"wrong gradient of input: {report.faults[0].text}"
    }
    assert "verify: 1 faulty rule" in graph.to_text().splitlines()


def test_a_wrong_result_is_at_the_forward_operator():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with kernel("exp", lambda xp, x: xp.exp(x) * 1.01), retain_all():
        loss = (x.exp() * 2).sum()
    report = verify(loss)
    graph = viz.draw(loss, backward=True, verify=report)
    ((key, text),) = marked(graph).items()
    assert key == ("exp", "forward")
    assert text.startswith("wrong result by ")
    assert "verify: 1 wrong result" in graph.to_text().splitlines()


def test_a_graph_without_fault_says_so():
    loss, report = faulty()
    graph = viz.draw(loss, backward=True, verify=report)
    assert marked(graph) == {}
    assert "verify: no fault" in graph.to_text().splitlines()
    assert "verify" not in viz.draw(loss, backward=True).to_text()


def test_what_is_not_drawn_is_counted():
    _, report = faulty(lambda g: g * 1.01)
    other = faulty()[0]
    graph = viz.draw(other, verify=report)
    assert marked(graph) == {}
    assert "verify: 1 faulty rule, 1 of them not in this picture" in graph.to_text()


class Block(tg.nn.Module):
    def forward(self, x):
        return x.exp().sin()


def test_a_block_says_which_operator_it_is():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with planted(REGISTRY["sin"], "input", lambda g: g * 3.0), retain_all():
        loss = Block()(x).sum()
        report = verify(loss)
    graph = viz.draw(loss, backward=True, verify=report).depth(0)
    ((key, text),) = marked(graph).items()
    assert key == ("Block", "backward")
    assert text == f"sin: wrong gradient of input: {report.faults[0].text}"
    assert "failed" not in graph.to_text()


def test_a_forward_that_fails_still_says_failed():
    graph = viz.draw(lambda x: x @ x, tg.zeros(2, 3))
    assert "failed: " in graph.to_text()


def test_svg_and_viewer(tmp_path):
    pytest.importorskip("pygraphviz")
    loss, report = faulty(lambda g: g * 1.01)
    graph = viz.draw(loss, backward=True, verify=report)
    root = ET.parse(graph.render(tmp_path / "a.svg")).getroot()
    (group,) = (g for g in root.iter() if g.get("data-error"))
    assert (group.get("data-name"), group.get("data-phase")) == ("exp", "backward")
    assert group.get("data-error").startswith("wrong gradient of input: ")
    assert viz.GraphModel.from_json(graph.to_json()) == graph.model
