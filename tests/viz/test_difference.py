"""Overlays of a comparison: the colour is the difference, the border what changed."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.viewing import choose, classes, facts, node, text, told
from tests.viz.zoo import randn
from tinygrad_cv import nn, viz
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.viz.marks import mark_of
from tinygrad_cv.viz.overlay import shades
from tinygrad_cv.viz.palette import DARK, LIGHT

SPACE = "{http://www.w3.org/2000/svg}"


def operators(graph):
    return [n for n in graph.model.nodes if n.kind == "op"]


def shown(diff) -> dict[str, tuple]:
    """Of each operator the value, the text and the shade."""
    found = shades(diff.model)
    return {
        n.name: (
            n.facts["overlay"]["value"],
            " ".join(n.facts["overlay"]["texts"]) or None,
            found[n.id],
        )
        for n in operators(diff)
    }


@pytest.fixture
def two():
    """Versions of a network: a wider layer, one added, one removed, one the same."""
    first = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sigmoid())
    second = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Tanh())
    return first, second


def test_the_difference_in_parameters(two):
    diff = viz.diff(*two, tg.zeros(2, 4)).overlay("parameters")
    assert shown(diff)["linear"] == (10, "parameters 15 → 25 (+66.7 %)", "heat-4")
    assert {shade for name, (*_, shade) in shown(diff).items() if name != "linear"} == {"plain"}
    note = told(diff)
    assert note.startswith("colour: difference in parameters, 15 → 25; orange is more")
    assert note.endswith("; no colour: does not apply")


def test_what_is_added_or_removed_counts_whole(two):
    diff = viz.diff(*two, tg.zeros(2, 4)).overlay("output_bytes")
    found = shown(diff)
    assert found["linear"] == (16, "output bytes 24 B → 40 B (+66.7 %)", "heat-2")
    assert found["sigmoid"] == (-24, "output bytes − 24 B", "cool-3")  # 24 of 40
    assert found["tanh"] == (40, "output bytes + 40 B", "heat-4")
    back = diff.mirrored().overlay("output_bytes")
    assert {k: v[0] for k, v in shown(back).items()} == {k: -v[0] for k, v in found.items()}


def profiled(net, x):
    with tg.profile() as profile:
        net(x)
    return net.graph(x, profile=profile)


def test_the_difference_in_time_is_that_of_the_profiles(two):
    x = tg.zeros(2, 4)
    graphs = [profiled(net, x) for net in two]
    diff = viz.diff(*graphs)
    times = [{n.name: n.facts["overlay"]["value"] for n in operators(g)} for g in graphs]
    assert not any("overlay" in n.facts for n in diff.model.nodes), "of one graph it says nothing"
    assert not re.search(r"\d (ns|us|ms)", diff.to_text())
    assert told(diff) == "" == diff.model.overlay
    found = shown(diff.overlay("time"))
    for name in ("linear", "relu"):
        before, after = (of[name] for of in times)
        assert found[name][0] == pytest.approx(after - before, rel=1e-12)
        words = f"time {quantity(before, 's')} → {quantity(after, 's')} ("
        assert found[name][1].startswith(words)
    assert found["sigmoid"][0] == -times[0]["sigmoid"]
    assert found["tanh"][0] == times[1]["tanh"]
    largest = max(abs(value) for value, *_ in found.values())
    for value, _, shade in found.values():
        scale = "heat" if value > 0 else "cool"
        assert shade == f"{scale}-{min(int(5 * abs(value) / largest), 4)}"
    whole = [quantity(sum(of.values()), "s") for of in times]
    assert f"in time, {whole[0]} → {whole[1]};" in told(diff.overlay("time"))


def test_norms_have_no_difference_from_nothing(two):
    x = randn(2, 4)
    graphs = [viz.draw(net, x, statistics=True) for net in two]
    found = shown(viz.diff(*graphs).overlay("weight_norm"))
    sizes = [[p.detach().numpy().astype("float64") for p in net.parameters()] for net in two]
    norms = [float(np.sqrt(sum((p**2).sum() for p in parts))) for parts in sizes]
    assert found["linear"][0] == pytest.approx(norms[1] - norms[0], rel=1e-6)
    found = shown(viz.diff(*graphs).overlay("std"))
    assert found["tanh"][0] is None
    assert re.fullmatch(r"std \+ [\d.]+", found["tanh"][1])
    assert found["tanh"][2] == "plain"
    assert found["relu"][0] is not None


def test_equal_numbers_have_no_colour(two):
    first, _ = two
    diff = viz.diff(first, first, tg.zeros(2, 4)).overlay("flops")
    assert {value for value, *_ in shown(diff).values()} == {0}
    assert {shade for *_, shade in shown(diff).values()} == {"plain"}
    assert shown(diff)["relu"][1] == "flops 6 FLOPs, the same"
    assert "no colour: the same" in told(diff)


def test_nodes_that_become_one_add_up_each_side_for_itself():
    def net(*widths):
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        return nn.Sequential(nn.Sequential(*layers), nn.ReLU())

    diff = viz.diff(net(4, 3, 2), net(4, 6, 6, 2), tg.zeros(1, 4), fold=False)
    sizes = [4 * 3 + 3 + 3 * 2 + 2, 4 * 6 + 6 + 6 * 6 + 6 + 6 * 2 + 2]
    for one in (diff.depth(1).overlay("parameters"), diff.overlay("parameters").depth(1)):
        (block,) = [n for n in operators(one) if n.count > 1]
        fact = block.facts["overlay"]
        assert (fact["before"], fact["after"]) == tuple(sizes)
        assert fact["value"] == sizes[1] - sizes[0]
        assert mark_of(block) == "changed"
    again = viz.Graph.from_json(diff.depth(1).to_json()).overlay("parameters")
    assert again.model.nodes == diff.depth(1).overlay("parameters").model.nodes


def test_means_of_blocks_are_over_all_their_values():
    def net(scale):
        return nn.Sequential(nn.Sequential(nn.Tanh(), nn.ReLU()), nn.Tanh())

    values = [randn(2, 4), randn(2, 4) * 2.0]
    graphs = [viz.trace(net(1), x, statistics=True) for x in values]
    diff = viz.diff(*graphs).depth(1).overlay("mean")
    (block,) = [n for n in operators(diff) if n.count > 1]
    wanted = []
    for x in values:
        y = np.tanh(x.numpy().astype("float64"))
        wanted.append(np.concatenate([y, np.maximum(y, 0)]).mean())
    assert block.facts["overlay"]["before"] == pytest.approx(wanted[0], rel=1e-5)
    assert block.facts["overlay"]["after"] == pytest.approx(wanted[1], rel=1e-5)


def test_in_the_picture_the_mark_is_the_border(two, tmp_path):
    diff = viz.diff(*two, tg.zeros(2, 4)).overlay("output_bytes")
    text = diff.to_dot()
    added = next(line for line in text.splitlines() if "+ tanh" in line)
    assert 'class="op added heat-4"' in added
    assert f'fillcolor="{LIGHT["heat-4"]}"' in added
    assert f'color="{LIGHT["added-line"]}"' in added
    assert "penwidth=2" in added
    root = ElementTree.parse(diff.render(tmp_path / "a.svg")).getroot()
    groups = {g.get("data-name"): g for g in root.iter(f"{SPACE}g") if g.get("data-kind") == "op"}
    assert groups["sigmoid"].get("class").split() == ["node", "op", "removed", "cool-3"]
    assert groups["sigmoid"].get("data-mark") == "removed"
    assert float(groups["sigmoid"].get("data-value")) == -24
    words = [t.text for t in groups["sigmoid"].findall(f"{SPACE}text")]
    assert words[0] == "− sigmoid"
    assert words[-1] == "output bytes − 24 B"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colour_is_the_difference_in_the_browser(two, theme, look):
    diff = viz.diff(*two, tg.zeros(2, 4)).overlay("output_bytes")
    page = look(diff.model)
    choose(page, "#theme", theme)
    palette = LIGHT if theme == "light" else DARK
    (tanh,) = [n for n in operators(diff) if n.name == "tanh"]

    def colours() -> list[str]:
        found = page.run(
            f"(s => [s.fill, s.stroke])(getComputedStyle(document.querySelector('{node(tanh.id)}"
            " > path')))"
        )
        return ["#" + "".join(f"{int(p):02x}" for p in c[4:-1].split(",")) for c in found]

    assert colours() == [palette["heat-4"], palette["added-line"]]
    assert page.run("document.getElementById('below').hidden") is False
    assert "difference in output bytes" in text(page, "#note")
    assert text(page, "#scale").endswith("the same, or does not apply")
    options = page.run("[...document.querySelector('#overlay').options].map(o => o.value)")
    assert options == ["", "flops", "output_bytes", "parameters"]
    choose(page, "#overlay", "parameters")
    assert tanh.id in classes(page, "plain")
    assert colours() == [palette["plain"], palette["added-line"]]
    choose(page, "#overlay", "")
    assert colours() == [palette["added"], palette["added-line"]]
    page.run(f"document.querySelector('{node(tanh.id)}').focus()")
    found = facts(page)
    assert found["output bytes"] == ["output bytes + 40 B"]
    assert found["comparison"] == ["added: only in the second graph"]


def test_any_numbers_are_shown_as_they_are(two):
    diff = viz.diff(*two, tg.zeros(2, 4))
    first, second, *_ = operators(diff)
    graph = diff.overlay({first.id: -3.0, second.id: 1.0}, "V")
    found = shades(graph.model)
    assert (found[first.id], found[second.id]) == ("heat-0", "heat-4")
    assert "difference" not in told(graph)
    assert f"{mark_of(first)} heat-0" in graph.to_dot()


def test_a_colour_scheme_is_seen_too(two):
    diff = viz.diff(*two, tg.zeros(2, 4)).color("operator")
    line = next(line for line in diff.to_dot().splitlines() if "+ tanh" in line)
    hue = re.search(r'class="op added (hue-\d)"', line)[1]
    assert f'fillcolor="{LIGHT[hue]}"' in line
    assert f'color="{LIGHT["added-line"]}"' in line


def test_in_words(two):
    text = viz.diff(*two, tg.zeros(2, 4)).overlay("parameters").to_text().splitlines()
    assert text[-2].startswith("colour: difference in parameters, 15 → 25; ")
    assert text[-1] == "0 : Linear: parameters 15 → 25 (+66.7 %)"


def test_both_graphs_must_know_it(two):
    x = tg.zeros(2, 4)
    plain, timed = two[0].graph(x), profiled(two[1], x)
    with pytest.raises(
        tg.ArgumentError,
        match=r"the first graph of this comparison has no value of time\n  Draw with profile=",
    ):
        viz.diff(plain, timed).overlay("time")
    with pytest.raises(tg.ArgumentError, match="the second graph of this comparison has no value"):
        viz.diff(timed, plain).overlay("time")
    with pytest.raises(tg.ArgumentError, match="neither graph of this comparison has a value of"):
        viz.diff(plain, plain).overlay("grad_norm")
    with pytest.raises(tg.ArgumentError, match="there is no overlay 'beauty'"):
        viz.diff(plain, plain).overlay("beauty")
    none = nn.Sequential(nn.ReLU())
    found = shown(viz.diff(none, two[0], x).overlay("parameters"))
    assert found["linear"][:2] == (15, "parameters + 15")


def test_what_one_graph_has_not_measured_is_hatched(two):
    first, _ = two
    x = tg.ones(2, 4)
    with tg.profile() as profile:
        y = first(x)
    recorded = viz.draw(y.sum(), profile=profile)  # the sum ran outside
    diff = viz.diff(recorded, recorded).overlay("time")
    assert shown(diff)["sum"] == (None, None, "unmeasured")
    assert "hatched: not measured (1)" in told(diff)
    assert "time: not measured" in diff.to_text()
