"""What a watched call uses and nobody saw being made: recorded before it, or in another thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import tinygrad_cv as tg
from tests.viz.zoo import randn
from tinygrad_cv import nn
from tinygrad_cv.viz import trace


def wiring(model) -> dict[str, list[str]]:
    """Operator or output -> what it reads, in order."""
    names = {n.id: n.value or n.name or n.kind for n in model.nodes}
    return {
        names[n.id]: [
            names[e.source]
            for e in sorted(model.edges, key=lambda e: e.slot)
            if e.target == n.id and e.kind == "data"
        ]
        for n in model.nodes
        if n.phase == "forward" and n.kind in ("op", "output")
    }


def test_what_was_recorded_before_the_call_is_walked():
    weight = randn(3).requires_grad_()
    before = (weight * 3).exp()
    model = trace(lambda: before.sin().sum(), backward=True, names={"weight": weight}).model
    assert wiring(model) == {
        "mul": ["weight", "3"],
        "exp": ["mul"],
        "sin": ["exp"],
        "sum": ["sin"],
        "output": ["sum"],
    }
    backward = [n.name for n in model.nodes if n.phase == "backward"]
    assert backward == ["gradient of output", "sum", "sin", "exp", "mul", "weight.grad"]
    assert model.totals["operators"] == model.totals["backward_operators"] == 4


def test_module_calls_of_before_have_their_boxes():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    before = net(randn(1, 3))
    model = trace(lambda: before.sum()).model
    assert [c.label for c in model.clusters] == ["Sequential", "0 : Linear", "1 : Tanh"]
    assert wiring(model)["sum"] == ["tanh"]


def test_another_thread_is_walked():
    def spread(x):
        with ThreadPoolExecutor(2) as pool:
            parts = [pool.submit(part.exp) for part in x.chunk(2)]
        return tg.cat([part.result() for part in parts]).sum()

    model = trace(spread, randn(4).requires_grad_()).model
    exps = [n.id for n in model.nodes if n.name == "exp"]
    slices = [n.id for n in model.nodes if n.name == "slice"]
    assert len(exps) == len(slices) == 2
    into = [(e.source, e.target) for e in model.edges if e.target in exps]
    assert into == list(zip(slices, exps, strict=True))
    assert wiring(model)["cat"] == ["exp", "exp"]


def test_an_argument_with_a_history_is_still_the_end():
    x = randn(3).requires_grad_().cos()
    outside = x.tanh()
    model = trace(lambda given: (given + outside).sum(), x).model
    assert wiring(model) == {
        "tanh": ["given"],
        "add": ["given", "tanh"],
        "sum": ["add"],
        "output": ["sum"],
    }
    unrelated = x.detach().requires_grad_()
    other = trace(lambda given: given + unrelated, x).model
    assert [n.name for n in other.nodes if n.kind == "op"] == ["add"]


def test_one_of_several_results_of_before():
    values, _ = randn(2, 3).requires_grad_().max(1)
    model = trace(lambda: (values * 2).sum()).model
    assert wiring(model)["mul"] == ["max_dim", "2"]
    again = trace(lambda given: given * values, values).model
    assert wiring(again)["mul"] == ["given", "given"]


def test_a_long_history_does_not_recurse():
    before = randn(2).requires_grad_()
    for _ in range(5000):
        before = before.sin()
    model = trace(lambda: before * 1.0).model
    assert sum(n.name == "sin" for n in model.nodes) == 5000
