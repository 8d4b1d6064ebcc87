"""The viewer tells badges, which result an input is, and what verify found."""

from __future__ import annotations

from tests.viz.test_badges import Double, added
from tests.viz.test_faults import faulty
from tests.viz.viewing import facts, node
from tests.viz.zoo import randn
from tinygrad_cv import viz


def number(graph, name, phase="forward"):
    (found,) = (n.id for n in graph.model.nodes if (n.name, n.phase) == (name, phase))
    return node(found)


def test_badges_are_among_the_facts(look):
    graph = viz.draw(lambda x: added(Double.apply(x)), randn(3))
    page = look(graph.model)
    page.key("f")
    page.click(*page.middle(number(graph, "add")))
    assert facts(page)["badges"] == ["in place"]
    page.click(*page.middle(number(graph, "Double")))
    assert facts(page)["badges"] == ["custom"]
    page.click(*page.middle(number(graph, "sin")))
    assert "badges" not in facts(page)


def test_an_input_says_which_result_it_is(look):
    graph = viz.draw(lambda x: (lambda v: v[1] - v[0])(x.max(1)), randn(3, 4))
    page = look(graph.model)
    page.key("f")
    page.click(*page.middle(number(graph, "sub")))
    assert facts(page)["from"] == [
        "input = max_dim indices 3 int64",
        "other = max_dim values 3 float32",
    ]


def test_what_verify_found_is_no_failure(look):
    loss, report = faulty(lambda g: g * 1.01)
    graph = viz.draw(loss, backward=True, verify=report)
    page = look(graph.model)
    page.key("f")
    page.click(*page.middle(number(graph, "exp", "backward")))
    assert facts(page)["verify"] == [report.faults[0].told]
    assert "failed" not in facts(page)
