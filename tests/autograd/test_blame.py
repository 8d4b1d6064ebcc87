"""Errors of the graph name the lines of both sides, and the module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import detect_anomaly, no_grad, retain_all, why_no_grad


def here(offset: int = 0) -> str:
    """The caller's line, or one above or below."""
    return f"{__file__}:{sys._getframe(1).f_lineno + offset} in"


class Times(nn.Module):
    """Its forward stands in line ``Times.line``."""

    line = sys._getframe().f_lineno + 3

    def forward(self, x: Any) -> Any:
        return x * Times.factor

    factor: Any = None


def net(factor: Any = None) -> nn.Module:
    Times.factor = tg.ones(3) if factor is None else factor
    return nn.Sequential(Times())


LINE = f"{__file__}:{Times.line} in forward"


def test_a_graph_used_twice() -> None:
    x = tg.ones(3, requires_grad=True)
    loss = net()(x).sum()
    loss.backward(), (line := here())
    with pytest.raises(tg.GraphError, match="used by an earlier backward, which freed") as caught:
        loss.backward()
    text = str(caught.value)
    assert f"the earlier backward ran at {line}" in text
    assert "the node is sum, which ran at" in text
    y = net()(x)
    tg.autograd.grad(y.sum(), x), (line := here())
    with pytest.raises(tg.GraphError) as caught:
        y.sum().backward()
    text = str(caught.value)
    assert f"the node is mul, which ran at {LINE}" in text
    assert f"the earlier backward ran at {line}" in text
    assert text.endswith("in model.0 (Times)")


def test_a_write_into_what_was_saved() -> None:
    x, w = tg.ones(3, requires_grad=True), tg.ones(3)
    loss = net(w)(x).sum()
    w[0], line = 5.0, here()
    with pytest.raises(tg.GraphError, match="'other', which mul saved for its gradient") as caught:
        loss.backward()
    text = str(caught.value)
    assert f"mul ran at {LINE}" in text
    assert f"it was overwritten at {line} {_me()} by setitem" in text
    assert text.endswith("in model.0 (Times)")


def test_who_has_written_into_what_was_saved() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.ReLU(inplace=True))
    loss, line = model(tg.rand(1, 1, 5, 5)).sum(), here()
    with pytest.raises(tg.GraphError, match="'output', which tanh saved") as caught:
        loss.backward()
    text = str(caught.value)
    assert f"tanh ran at {line}" in text
    assert text.endswith("in model.1 (Tanh)")
    assert f"it was overwritten at {line} {_me()} by relu_, in model.2 (ReLU)" in text
    weight = model[0].weight
    y, optimiser = (weight * weight).sum(), tg.optim.SGD([weight], lr=0.1)
    y.backward(retain_graph=True)
    optimiser.step(), (line := here())
    with pytest.raises(tg.GraphError) as caught:
        y.backward()
    assert f"it was overwritten at {line} {_me()} by SGD.step" in str(caught.value)


def test_inputs_on_two_devices() -> None:
    x, line = tg.ones(3, requires_grad=True).exp(), here()
    with pytest.raises(tg.BackendError, match="the inputs are on different devices") as caught:
        net(tg.ones(3, device="meta"))(x)
    text = str(caught.value)
    assert f"it ran at {LINE}" in text
    assert f"input was made by exp at {line}" in text
    assert text.endswith("in model.0 (Times)")
    layer, meta = nn.Linear(3, 2), tg.ones(1, 3, device="meta")
    with pytest.raises(tg.BackendError) as caught:
        layer(meta)
    text = str(caught.value)
    assert f"it ran at {here(-2)}" in text
    assert "weight is the parameter 'weight'" in text
    assert text.endswith("in Linear")
    with pytest.raises(tg.BackendError, match=r"tensors\[0\] was made by exp at"):
        tg.cat([x, tg.ones(3, device="meta")])


def test_a_value_that_is_not_finite() -> None:
    x, line = tg.tensor([0.0, 1.0, 2.0], requires_grad=True).abs(), here()
    finite = pytest.raises(tg.GraphError, match=r"not finite \(inf\) appeared here")
    with finite as caught, detect_anomaly():
        net()(x.exp() / x)
    text = " ".join(str(caught.value).split())
    assert text.startswith("div: ")
    assert "other (3,) from 0 to 2" in text
    assert f"other was made by abs at {line}" in text
    with pytest.raises(tg.GraphError) as caught, detect_anomaly():
        net(tg.tensor(3e38))(x.exp())
    text = str(caught.value)
    assert f"it ran at {LINE}" in text
    assert text.endswith("in model.0 (Times)")


def test_a_gradient_that_is_not_finite() -> None:
    class Root(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.sqrt()

    x = tg.tensor([4.0, 0.0], requires_grad=True)
    with detect_anomaly():
        y = nn.Sequential(Root())(x).sum()
        with pytest.raises(tg.GraphError, match=r"\(inf\) is that of 'input' in sqrt") as caught:
            y.backward()
    text = str(caught.value)
    assert f"sqrt ran at {__file__}:{Root.forward.__code__.co_firstlineno + 1} in" in text
    assert f"backward ran at {here(-3)}" in text
    assert text.endswith("in model.0 (Root)")


def test_a_write_through_numpy() -> None:
    x, w = tg.ones(3, requires_grad=True), tg.ones(3)
    with detect_anomaly():
        loss = net(w)(x).sum()
        w.numpy()[0] = 5.0
        with pytest.raises(tg.GraphError, match="was changed by a write that was not") as caught:
            loss.backward()
    text = str(caught.value)
    assert f"mul ran at {LINE}" in text
    assert f"backward ran at {here(-3)}" in text
    assert text.endswith("in model.0 (Times)")


# Why a tensor has no gradient ---------------------------------------------------------------------


def test_what_was_detached() -> None:
    x = tg.ones(3, requires_grad=True)
    y, line = (x * 2).detach(), here()
    assert why_no_grad(y) == f"it was cut from the graph by detach() at {line} " + _me()
    for cut in (lambda t: t.data, lambda t: t.detach_()):
        assert "it was cut from the graph by detach() at" in why_no_grad(cut(x * 2))
    with pytest.raises(tg.GraphError) as caught:
        y.sum().backward()
    assert f"from what was cut from the graph by detach() at {line}" in str(caught.value)
    with pytest.raises(tg.GraphError) as caught:
        tg.autograd.grad(x.sum().detach(), x)
    assert f"a gradient: it was cut from the graph by detach() at {here(-1)}" in str(caught.value)
    with pytest.raises(tg.GraphError) as caught:
        y.register_hook(print)
    assert f"does not require a gradient: it was cut from the graph by detach() at {line}" in str(
        caught.value
    )


def _me() -> str:
    return sys._getframe(1).f_code.co_name


def test_what_was_made_under_no_grad() -> None:
    x = tg.ones(3, requires_grad=True)
    with no_grad():
        line = here(-1)
        results = [x * 2, 2 * x, x.exp(), x.sum(), nn.functional.softmax(x, 0)]
    for y in results:
        assert why_no_grad(y) == f"it was made under no_grad, which begins at {line} {_me()}"
    with tg.set_grad_enabled(False):
        line = here(-1)
        y = x * 2
    assert f"begins at {line}" in why_no_grad(y)

    @tg.no_grad()
    def evaluate() -> Any:
        return x * 2

    assert f"which begins at {here(-4)}" in why_no_grad(evaluate())
    with pytest.raises(tg.GraphError, match="a gradient: it was made under no_grad, which begins"):
        evaluate().backward(tg.ones(3))


def test_what_never_had_one() -> None:
    x = tg.ones(3, requires_grad=True)
    assert why_no_grad(tg.arange(3)) == "it is int64, and only float tensors have gradients"
    assert "was made by argmax, which has none" in why_no_grad(x.argmax())
    assert "it is bool" in why_no_grad(x > 1)
    assert "was made by gt, which has none" in why_no_grad(x > 1)
    assert "it is a leaf that does not ask for a gradient" in why_no_grad(tg.ones(2))
    assert ".numpy(), .item() or .tolist() is such a leaf" in why_no_grad(tg.tensor(x.tolist()))
    assert "it is no tensor, but ndarray: what comes out of .numpy()" in why_no_grad(np.ones(2))


def test_what_has_one_but_no_backward_brought_it() -> None:
    x = tg.ones(3, requires_grad=True)
    y, line = x * 2, here()
    assert "no backward has reached it" in why_no_grad(x)
    assert f"it is in the graph (made by mul at {line}" in why_no_grad(y)
    assert "call t.retain_grad() before backward" in why_no_grad(y)
    y.sum().backward()
    assert why_no_grad(x) == "it has a gradient"


def test_through_operators_inside_retain_all() -> None:
    class Frozen(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.detach() * 3.0

    x = tg.ones(3, requires_grad=True)
    with retain_all():
        h = nn.Sequential(Frozen())(x * 2)
        loss, line = (h + 1).sum(), here()
    first, second, third, fourth = why_no_grad(loss).splitlines()
    inside = f"{__file__}:{Frozen.forward.__code__.co_firstlineno + 1} in forward"
    assert first == f"it was made by sum at {line} {_me()}, from"
    assert second == f"it was made by add at {line} {_me()}, from"
    assert third == f"it was made by mul at {inside}, in model.0 (Frozen), from"
    assert fourth == (
        f"  a tensor that was cut from the graph by detach() at {inside}, in model.0 (Frozen)"
    )
    with pytest.raises(tg.GraphError) as caught:
        loss.backward()
    assert f"cut from the graph by detach() at {inside}" in str(caught.value)
    assert why_no_grad(h * 2).startswith("it was computed, first at ")
    assert why_no_grad(h * 2).endswith(f"what was made by mul at {inside}, in model.0 (Frozen)")
    with retain_all(), no_grad():
        line = here(-1)
        y = (x * 2).exp()
    text = why_no_grad(y)
    assert "it was made by exp at" in text
    assert f"made under no_grad, which begins at {line} {_me()}" in text


def test_what_was_computed_from_what_had_lost_it() -> None:
    x = tg.ones(2, 3, requires_grad=True)
    y, cut = (x * 2).detach(), here()
    (first := y + 1), (line := here())
    for z in (first, first.exp(), 2 * first, nn.functional.softmax(first, 0), first.sum().detach()):
        place = f"it was computed, first at {line} {_me()}, from what was cut from the graph by"
        assert why_no_grad(z) == f"{place} detach() at {cut} {_me()}"
    assert "from what was cut from the graph" in why_no_grad(tg.ones(2, 3) * first)
    with no_grad():
        h = x.sum(0)
    assert "from what was made under no_grad, which begins at" in why_no_grad(h.tanh())
    assert "from what was made by argmax, which has no" in why_no_grad(x.argmax(1).float().mean())
    with pytest.raises(tg.GraphError) as caught:
        (first * first).sum().backward()
    text = " ".join(str(caught.value).split())
    assert f"first at {line} {_me()}, from what was cut" in text
    assert f"by detach() at {cut} {_me()}" in text
    assert "Leave that out where the gradient has to go through." in text
    assert (first * x).requires_grad, "another input still asks for one"


def test_nodes_that_rules_record(tmp_path: Path) -> None:
    """Their line is that of the backward, also the first time that a file of rules is met."""
    code = """
import tinygrad_cv as tg

x, w = tg.rand(2, 1, 6, 6), tg.rand(2, 1, 3, 3, requires_grad=True)
loss = tg.nn.functional.conv2d(x, w).tanh().sum()
(slope,) = tg.autograd.grad(loss, w, create_graph=True)
print(*sorted({node.site.line for node in tg.autograd.graph.nodes(slope)}))
print(*{node.site.filename for node in tg.autograd.graph.nodes(slope)})
"""
    path = tmp_path / "second.py"
    path.write_text(code)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "6", str(path)]


def test_what_was_copied() -> None:
    x = tg.ones(3, requires_grad=True)
    y, line = tg.tensor(x * 2), here()
    assert (
        why_no_grad(y)
        == f"it was cut from the graph by tg.tensor(), which copies, at {line} " + _me()
    )
    with pytest.raises(tg.GraphError, match=r"Use tg.stack\(\[...\]\), which keeps it"):
        tg.tensor([x.sum(), x.sum()])
