"""At most so many boxes are drawn, copies of tensors included, and the note says what is not."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.handmade import Maker, chain
from tests.viz.invariants import check_clusters, sums
from tests.viz.random_graphs import KINDS, built
from tinygrad_cv import viz
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.model import GraphModel, check

NOTE = re.compile(
    r"([\d,]+) nodes(?: and ([\d,]+) copies)?: (.*) (?:are|is) drawn as one node( each)?"
)


def drawn(model: GraphModel) -> int:
    """The boxes of the picture: the nodes that its DOT text has."""
    text = viz.Graph(model).to_dot()
    return len(re.findall(r"^\s*[ns]\d+ \[.*\bid=", text, re.MULTILINE))


def number(text: str) -> int:
    return int(text.replace(",", ""))


def part(node) -> str:
    """The word that a note has for it."""
    forward = node.phase == "forward"
    return {
        "op": "operators in the middle" if forward else "backward operators",
        "saved": "saved tensors",
        "param": "parameter tensors",
        "const": "constants",
        "input": "inputs" if forward else "gradients of outputs",
        "output": "outputs" if forward else "gradients",
    }[node.kind]


def tensors(saved) -> int:
    return sum(len(node.held) or 1 for node in saved)


def check_note(before: GraphModel, after: GraphModel, copies: int) -> None:
    """The note says what the picture does to ``before``, which would have had ``copies``."""
    notes = [note for note in after.notes if NOTE.fullmatch(note)]
    if not notes:
        assert len(after.nodes) == len(before.nodes)
        return
    assert len(notes) == 1
    nodes, said, what, _ = NOTE.fullmatch(notes[0]).groups()
    assert number(nodes) == len(before.nodes)
    assert said is None or number(said) == copies
    folded = dict(reversed(entry.split(" ", 1)) for entry in what.split(", "))
    collapsed = folded.pop("calls at depth", None) or "module" in folded.values()
    ids = {node.id for node in after.nodes}
    for word in {part(node) for node in before.nodes}:
        own = [node for node in after.nodes if part(node) == word]
        bundles = [node for node in own if node.name.startswith("…")]
        if word in ("operators in the middle", "backward operators"):
            count = sum(n.count for n in own if n.name == "...")
            assert number(folded.get(word, "0")) == count
        elif word == "saved tensors":
            if not collapsed:
                plain = [n for n in own if "saved_tensors" not in n.facts]
                gone = tensors(n for n in before.nodes if n.kind == "saved") - tensors(plain)
                assert number(folded.get(word, "0")) == gone
        elif word in folded:
            (bundle,) = bundles
            assert bundle.count == number(folded[word])
            assert bundle.name == f"… {folded[word]} {word}"
        if word in ("inputs", "outputs", "gradients of outputs"):
            everything = sum(n.count for n in before.nodes if part(n) == word)
            assert sum(n.count for n in own) == everything
    assert ids <= {node.id for node in before.nodes}


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 90),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(10, 60),
)
def test_no_picture_has_more_boxes_than_its_budget(
    kind, operators, seed, backward, saved, calls, most
):
    model = built(kind, operators, random.Random(seed), backward, saved, calls)
    check(model)
    folded = transforms.fold_saved(transforms.fold_constants(transforms.fold_parameters(model)))
    folded = transforms.repeat(folded, least=3)
    copied = transforms.stubs(model, 1 + seed % 4, 1 + seed % 7)
    alone = replace(model, nodes=tuple(_alone(node, seed) for node in model.nodes))
    for before, after in (
        (alone, transforms.limit(alone, most)),
        (folded, transforms.simplify(model, most)),
        (model, transforms.limit(model, most)),
        (copied, transforms.limit(copied, most)),
    ):
        assert drawn(after) <= most
        check(after)
        check_clusters(after, model)
        copies = sum(
            e.stub for e in (transforms.stubs(before) if before is folded else before).edges
        )
        check_note(before, after, copies)
        whole, now = sums(before), sums(after)
        assert whole == now
        place = {node.id: k for k, node in enumerate(after.nodes)}
        assert all(place[e.source] < place[e.target] for e in after.edges)
        again = transforms.limit(after, 10)
        assert drawn(again) <= 10
        check_note(before, again, copies)


def _alone(node, seed):
    """Some backward operators that belong to none of the forward ones, as in a part of a graph."""
    apart = node.kind == "op" and node.phase == "backward" and (node.id + seed) % 3 == 0
    return replace(node, pair=None) if apart else node


def steps(x, t):
    for _ in range(95):
        x = (x * t).sin() + t
    return x


def dense(x):
    found = [x]
    for _ in range(40):
        found.append(tg.stack(found).sum(0))
    return found[-1]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("function", "inputs", "said"),
    [
        (steps, 2, "operators in the middle"),
        (dense, 1, "operators in the middle"),
        (lambda x: [x * i for i in range(500)], 1, "outputs"),
        (lambda *xs: tg.cat(xs), 500, "inputs"),
        (lambda x: tg.cat([x * i for i in range(500)]), 1, "operators in the middle"),
    ],
    ids=["steps", "dense", "outputs", "inputs", "fan"],
)
def test_the_default_budget(function, inputs, said, backward):
    tensors = [tg.ones(3, requires_grad=True) for _ in range(inputs)]
    graph = viz.draw(function, *tensors, backward=backward)
    assert drawn(graph.model) <= 300
    (note,) = graph.model.notes
    assert said in note
    assert graph.model.nodes[0].name in ("x", "xs[0]")
    assert len(graph.model.nodes) > 40, "it says more than that there is something"


def test_many_outputs_are_one_box():
    graph = viz.draw(lambda x: [x * i for i in range(500)], tg.zeros(3), max_nodes=30)
    (bundle,) = [n for n in graph.model.nodes if n.kind == "output" and n.count > 1]
    (block,) = [n for n in graph.model.nodes if n.name == "..."]
    assert bundle.name == f"… {block.count} outputs"
    (note,) = graph.model.notes
    said = (
        f"{block.count} operators in the middle, {bundle.count} outputs are drawn as one node each"
    )
    assert note == f"1,001 nodes: {said}"
    (edge,) = [e for e in graph.model.edges if e.target == bundle.id]
    assert (edge.source, edge.count) == (block.id, bundle.count)
    text = graph.to_text()
    assert f"… {block.count} outputs" in text
    assert "each 3 float32" in text


def test_many_lines_between_a_block_and_a_node_are_one():
    graph = viz.draw(lambda *xs: tg.cat(xs), *[tg.zeros(3) for _ in range(50)], max_nodes=20)
    (bundle,) = [n for n in graph.model.nodes if n.count > 1]
    lines = [e for e in graph.model.edges if e.source == bundle.id]
    assert [(e.count, e.argument) for e in lines] == [(bundle.count, "")]
    assert f"{bundle.count} tensors" in graph.to_dot()


def test_a_second_limit_says_what_the_first_one_hid():
    once = transforms.limit(chain(2000), 100)
    twice = transforms.limit(once, 20)
    count = max(node.count for node in twice.nodes)
    assert twice.notes == (f"2,002 nodes: {count:,} operators in the middle are drawn as one node",)


@pytest.mark.parametrize("most", [9, True, 10.5, "many", None])
def test_a_budget_that_is_none(most):
    with pytest.raises(tg.ArgumentError, match="max_nodes must be an integer, 10 or more"):
        transforms.limit(chain(3), most)


def test_where_even_the_parts_have_too_many_copies_lines_take_their_place():
    m = Maker()
    leaves = [
        m.node(kind, f"{kind}{k}", (1,)) for kind in ("input", "param", "const") for k in "ab"
    ]
    one = m.op("add", (1,), *leaves)
    two = m.op("relu", (1,), one)
    for number in (one, two):
        m.edge(
            number, m.node("saved", "kept", (1,), pair=number, facts={"storage": number}), "saved"
        )
    m.op("exp", (1,), two)
    ends = [m.node("output", f"output[{k}]", (1,)) for k in range(8)]
    for source, end in zip([*leaves, one, two], ends, strict=True):
        m.edge(source, end)
    seeds = [m.node("input", "gradient", (1,), phase="backward", pair=end) for end in ends[:2]]
    first = m.op("relu", (1,), phase="backward", pair=two)
    second = m.op("add", (1,), phase="backward", pair=one)
    for source, target in ((seeds[0], first), (seeds[1], second), (first, second)):
        m.edge(source, target, "gradient")
    for leaf in leaves[:2]:
        m.edge(second, m.node("output", "grad", (1,), phase="backward", pair=leaf), "gradient")
    model = transforms.stubs(m.model(), uses=1)
    after = transforms.limit(model, 10)
    assert drawn(after) == len(after.nodes) == 9
    assert drawn(transforms.limit(model, 14)) in range(10, 15)
