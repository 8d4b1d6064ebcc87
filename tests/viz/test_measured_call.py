"""A profile of a call: its numbers on the operators of the watched call, without a gradient too."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tests.viz.viewing import told
from tests.viz.zoo import LeNet, randn
from tinygrad_cv import cli, nn, viz
from tinygrad_cv.viz.table import MEASURES


def operators(graph, phase="forward"):
    return [n for n in graph.model.nodes if n.kind == "op" and n.phase == phase]


def events(profile, phase="forward"):
    return [event for event in profile.events if event.phase == phase]


@pytest.mark.parametrize("gradient", [False, True])
def test_the_numbers_of_a_module_are_those_of_its_last_run(gradient):
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile, tg.set_grad_enabled(gradient):
        net(randn(5, 1, 12, 12))
        y = net(x).square().sum()
        if gradient:
            y.backward()
    graph = net.graph(x, profile=profile)
    drawn = operators(graph)
    ran = events(profile)[len(drawn) : 2 * len(drawn)]
    assert [e.operator for e in ran] == [n.name for n in drawn]
    back = {e.operator + e.module: e for e in events(profile, "backward")}
    for name in MEASURES:
        for event, node in zip(ran, drawn, strict=True):
            parts = {"forward": getattr(event, name)}
            rules = back.get(event.operator + event.module)
            if rules is not None:
                parts["backward"] = getattr(rules, name) or 0
            assert node.facts["measured"][name] == parts
    assert told(graph).startswith("colour: time, ")
    assert ["overlay" in n.facts for n in drawn] == [True] * len(drawn)
    assert len(back) == (10 if gradient else 0) + gradient  # reshape, square and sum have some too


def test_with_backward_each_phase_has_its_own():
    net, x = LeNet(), randn(2, 1, 12, 12)
    with tg.profile() as profile:
        net(x).square().sum().backward()
    graph = viz.draw(net, x, profile=profile, backward=True)
    back = {e.operator + e.module: e.time for e in events(profile, "backward")}
    paths = {c.id: c.path for c in graph.model.clusters}
    shown = operators(graph, "backward")
    assert len(shown) == 9
    titles = {n.id: n.title.split(" : ")[0] for n in operators(graph)}
    for node in shown:
        place = titles[node.pair] or paths[node.cluster] or "LeNet"
        assert node.facts["overlay"]["value"] == back[node.name + place]
        assert "forward" not in node.facts["measured"]["time"]


def test_two_backwards_add_up():
    net, x = nn.Linear(3, 2), randn(4, 3)
    with tg.profile() as profile:
        loss = net(x).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    (node,) = operators(viz.trace(net, x, profile=profile))
    times = [e.time for e in events(profile, "backward") if e.operator == "linear"]
    assert len(times) == 2
    assert node.facts["measured"]["time"]["backward"] == pytest.approx(sum(times), rel=1e-12)


def test_an_operator_without_a_gradient_does_not_get_the_backward_of_another():
    w = randn(3).requires_grad_()

    def call(x):
        return (x * x) * w  # only the second of two equal operators has a gradient

    x = randn(3)
    with tg.profile() as profile:
        call(x).sum().backward()
    first, second = operators(viz.trace(call, x, profile=profile))
    assert set(first.facts["measured"]["time"]) == {"forward"}
    assert set(second.facts["measured"]["time"]) == {"forward", "backward"}


def test_a_call_that_differentiates():
    def slope(x):
        (d,) = tg.autograd.grad(x.sin().sum(), x, create_graph=True)
        return d * d

    x = randn(3).requires_grad_()
    with tg.profile() as profile:
        slope(x)
    graph = viz.trace(slope, x, profile=profile)
    assert len(operators(graph)) > 3
    assert all(n.facts["measured"]["time"]["forward"] > 0 for n in operators(graph))


def test_what_a_checkpoint_computes_again_is_no_run_of_the_call():
    block, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), randn(2, 3).requires_grad_()

    def call(x):
        return tg.autograd.checkpoint(block, x)

    with tg.profile() as profile:
        call(x).sum().backward()
    assert [e.operator for e in events(profile, "recompute")] == ["linear", "tanh"]
    for node, event in zip(
        operators(viz.trace(call, x, profile=profile)), events(profile), strict=False
    ):
        times = node.facts["measured"]["time"]
        assert times["forward"] == event.time
        assert times["backward"] > 0


def test_a_write_that_is_not_recorded_is_not_measured():
    def call(x):
        y = x * 2.0
        y[0] = 3.0
        return y.exp()

    x = randn(3)
    with tg.profile() as profile:
        call(x)
    graph = viz.draw(call, x, profile=profile)
    found = {n.name: n.facts["overlay"]["value"] for n in operators(graph)}
    assert (found["mul"], found["exp"]) == tuple(event.time for event in profile.events)
    assert set(found) > {"mul", "exp"}
    assert [found[name] for name in set(found) - {"mul", "exp"}] == [None]
    assert "hatched: not measured (1)" in told(graph)


def test_the_profile_may_still_run():
    x = randn(3)
    with tg.profile() as profile:
        graph = viz.draw(lambda x: x.exp().sin(), x, profile=profile)
    times = [n.facts["overlay"]["value"] for n in operators(graph)]
    assert times == [event.time for event in profile.events]


def test_a_failing_call_is_drawn_without_times():
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2)), randn(1, 3)
    with tg.profile() as profile, pytest.raises(tg.ShapeError):
        net(x)
    graph = viz.draw(net, x, profile=profile)
    assert "the input has 4 in its last axis" in graph.error
    assert not any("overlay" in n.facts for n in graph.model.nodes)


def test_another_call_is_refused():
    net, x = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), randn(2, 3)
    with tg.profile() as profile:
        nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Tanh())(x)
    with pytest.raises(
        tg.ArgumentError,
        match=r"the profile is of another call: it saw 3 operators run, the call has 2; "
        r"operator 1 is tanh in 1 here and relu in 1 there\n  Run the call itself inside",
    ):
        net.graph(x, profile=profile)
    with pytest.raises(tg.ArgumentError, match="the profile saw no operator of this graph"):
        net.graph(x, profile=tg.profile())
    calls = []
    for wrong in (True, {}, 3):
        with pytest.raises(tg.DTypeError, match=r"what tg\.profile\(\) recorded, not "):
            viz.draw(lambda x: calls.append(x), x, profile=wrong)
    assert calls == [], "it is refused before anything runs"


def test_a_module_takes_what_draw_takes():
    net, x = nn.Linear(3, 2), randn(4, 3)
    plan = tg.autograd.plan_memory(net, x)
    graph = net.graph(x, plan=plan, statistics=True, explain=True, backward=True, title="mine")
    (forward,) = operators(graph)
    assert graph.model.title == "mine"
    assert {"live", "statistics", "norms", "explain"} <= set(forward.facts)
    with tg.autograd.retain_all():
        loss = net(x).sum()
    report = tg.autograd.verify(loss)
    assert loss.graph(verify=report).model == viz.draw(loss, verify=report).model
    with pytest.raises(tg.ArgumentError, match="verify= marks the recorded graph of a Tensor"):
        net.graph(x, verify=report)


def test_the_command_line_measures_what_has_no_gradient(tmp_path, monkeypatch, capsys):
    (tmp_path / "plain.py").write_text("def difference(a, b):\n    return (a - b).relu()\n")
    monkeypatch.chdir(tmp_path)
    for name in ("time", "saved_bytes"):
        code = cli.main(["graph", "plain.py:difference", "--input", "3", "--input", "3",
                         "--overlay", name, "-o", "a.json"])  # fmt: skip
        assert code == cli.DONE, capsys.readouterr().err
        graph = viz.Graph.from_json((tmp_path / "a.json").read_text())
        assert [n.name for n in graph.model.nodes if n.kind == "input"] == ["a", "b"]
        values = [n.facts["overlay"]["value"] for n in operators(graph)]
        assert all(value > 0 for value in values) if name == "time" else values == [0, 0]
