"""A checkpoint is right or refuses: what changes between its two runs, and what they leave behind.

Expected values are those of the function without a checkpoint.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import func, nn
from tinygrad_cv.autograd import Function, checkpoint, grad, plan_memory
from tinygrad_cv.autograd.graph import register_multi_grad_hook

DIFFERS = "did not do the same when it ran again"


def leaf(*values: float) -> Any:
    return tg.tensor(values, dtype="float64", requires_grad=True)


def plainly(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


# Values that were computed again -----------------------------------------------------------------


@pytest.mark.parametrize("first", ["backward", "grad"])
def test_a_write_between_two_backwards_through_one_checkpoint(first: str) -> None:
    x, w = leaf(1, 2), leaf(1, 2)
    a, b = checkpoint(lambda x, w: (x * x, w * w), x, w)
    if first == "backward":
        b.sum().backward()
    else:
        grad((a + b).sum(), w, retain_graph=True)
    with tg.no_grad():
        x.mul_(10)
    line = sys._getframe().f_lineno - 1
    with pytest.raises(tg.GraphError, match="an input of the checkpoint was overwritten") as caught:
        a.sum().backward()
    assert f"it was overwritten at {__file__}:{line} in" in str(caught.value)
    assert x.grad is None


def test_without_a_write_the_second_backward_uses_what_is_there() -> None:
    x, w = leaf(1, 2), leaf(1, 2)
    calls = []

    def function(x: Any, w: Any) -> Any:
        calls.append(1)
        return (x.exp() * x).sin(), w * w

    a, b = checkpoint(function, x, w)
    b.sum().backward()
    with tg.no_grad():
        w.mul_(10)  # not read by what is left, and not shared with it
    a.sum().backward()
    assert len(calls) == 2
    (expected,) = grad((x.exp() * x).sin().sum(), x)
    assert x.grad.tolist() == expected.tolist()
    assert w.grad.tolist() == [2, 4]


def test_an_output_may_be_written_to() -> None:
    """What exp saves is its output, which is computed again elsewhere."""
    x = leaf(1, 2)
    y = checkpoint(lambda x: (x * 1).exp(), x)
    (first,) = grad(y.sum(), x, retain_graph=True)
    with tg.no_grad():
        y.mul_(0)
    (second,) = grad(y.sum(), x)
    assert first.tolist() == second.tolist() == x.detach().exp().tolist()


# Other tensors and attributes --------------------------------------------------------------------


def test_rebinding() -> None:
    x, w = leaf(1, 2), leaf(1, 2)
    y = checkpoint(lambda x: (w * x).exp(), x)
    w.data = w.data * 0.5
    with pytest.raises(tg.GraphError, match=DIFFERS) as caught:
        y.sum().backward()
    assert "mul ran at" in str(caught.value)
    assert "'input' has other values than it had" in str(caught.value)
    large = tg.ones(100, 100, dtype="float64", requires_grad=True)
    y = checkpoint(lambda x: (large * x[0]).exp(), x)
    large = large.detach().requires_grad_() * 2
    with pytest.raises(tg.GraphError, match=r"'input' (is another tensor|was not computed)"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x, p: (x.sum() * x).roll(p, 0).sin(), r"shifts is \(3,\), it was \(2,\)"),
        (lambda x, p: (x * p).sin(), "other is 3, it was 2"),
        (lambda x, p: (x * float(p)).sin(), r"other is 3\.0, it was 2\.0"),
        (lambda x, p: (x * -float(p > 2)).sin(), r"other is -1\.0, it was -0\.0"),
        (lambda x, p: (x.detach() * p + x).sin(), "'input' was not computed as it was before"),
        (lambda x, p: (x * tg.tensor(float(p))).sin(), "'other' has other values than it had"),
        (lambda x, p: (x * tg.ones(p)[0]).sin(), "'other' was not computed as it was before"),
        (lambda x, p: (x * (x.detach() * 1).fill_(p)).sin(), "'other' has other values than"),
        (lambda x, p: (x * np.full(3, p)).sin(), "'other' has other values"),
        (lambda x, p: (x[[0, 1, p - 2]] * 1).sin(), "places are other positions than they were"),
        (lambda x, p: (x.sin() * (x if p == 2 else x * 1)).exp(), "in its place mul ran"),
        (lambda x, p: (x * 2 if p == 2 else (x * 1).mul_(2)).sin(), "other is 1, it was 2"),
    ],
)
def test_what_the_function_depends_on_changes(function: Any, match: str) -> None:
    p = [2]
    x = leaf(1, 2, 3)
    y = checkpoint(lambda x: function(x, p[0]), x)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == grad(function(x, 2).sum(), x)[0].tolist()
    p[0] = 3
    with pytest.raises(tg.GraphError, match=DIFFERS) as caught:
        y.sum().backward()
    caught.match(match)
    assert f"ran at {__file__}:{function.__code__.co_firstlineno} in" in str(caught.value)


@pytest.mark.parametrize("how", ["ctx", "saved", "returned"])
def test_a_function_of_the_users_that_depends_on_more(how: str) -> None:
    p = [2.0]

    class Scale(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.factor = p[0] if how == "ctx" else 2.0
            ctx.other = object()
            ctx.save_for_backward(tg.ones(2, dtype="float64") * (p[0] if how == "saved" else 1.0))
            return x * (p[0] if how == "returned" else 2.0)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.factor * ctx.saved_tensors[0]

    x = leaf(1, 2)
    y = checkpoint(lambda x: Scale.apply(x).sin(), x)
    (first,) = grad(y.sum(), x, retain_graph=True)
    plain = Scale.apply(x).sin()
    assert first.tolist() == grad(plain.sum(), x)[0].tolist()
    p[0] = 3.0
    with pytest.raises(tg.GraphError, match=r"Scale ran at .*\n  it returned or saved"):
        grad(y.sum(), x)


def test_an_iterator_is_used_up() -> None:
    def function(x: Any, factors: Any) -> Any:
        for factor in factors:
            x = (x * factor).sin()
        return x

    y = checkpoint(function, leaf(1, 2), iter([1, 1]))
    with pytest.raises(tg.GraphError, match="it did not run in the second run"):
        y.sum().backward()


def test_an_error_of_the_second_run_only() -> None:
    layer = nn.Linear(2, 2)
    y = checkpoint(lambda x: layer(x).sin(), tg.ones(1, 2))
    layer.to("float64")
    with pytest.raises(tg.DTypeError, match="the dtypes differ: float32, float64") as caught:
        y.sum().backward()
    assert "it did not fail when checkpoint ran the function first" in str(caught.value)
    p: list[int] = []
    y = checkpoint(lambda x: (x * {0: 1.0}[len(p)]).sin(), leaf(1, 2))
    p.append(1)
    with pytest.raises(KeyError) as raised:
        y.sum().backward()
    assert "it did not fail when checkpoint ran the function first" in raised.value.__notes__[0]


def test_a_constant_that_numpy_writes_into() -> None:
    mask = np.ones(2)
    y = checkpoint(lambda x: (x * mask).sin(), leaf(1, 2))
    mask[0] = 0
    with pytest.raises(tg.GraphError, match="'other' has other values than it had"):
        y.sum().backward()


def test_a_write_of_the_second_run_only() -> None:
    w, runs = tg.ones(2, dtype="float64"), []

    def function(x: Any) -> Any:
        y = (x * w).sin()
        runs.append(1)
        if len(runs) > 1:
            w.mul_(2)
        return y.exp()

    y = checkpoint(function, leaf(1, 2), early_stop=False)
    with pytest.raises(tg.GraphError, match="the function wrote into a tensor"):
        y.sum().backward()


def test_what_is_compared_keeps_nothing_alive() -> None:
    x, made = leaf(1, 2, 3), []

    def function(x: Any) -> Any:
        constant, places = tg.tensor([3.0], dtype="float64"), np.array([2, 1])
        y = x[places] * constant
        made.extend(weakref.ref(array) for array in (constant.array, places, y.array))
        return y.sin()

    gc.disable()
    try:
        y = checkpoint(function, x, early_stop=False)
        assert [array() for array in made] == [None] * 3
        segment = y.grad_fn.saved.segment
        for _ in range(3):
            y.sum().backward(retain_graph=True)
            sizes = len(segment.flow.computations), len(segment.flow._known), len(segment.read)
            assert sizes == (3, 3, 2)
        assert [array() for array in made] == [None] * 12
        gone = weakref.ref(segment)
        del segment
        y.sum().backward()
        assert gone() is None
    finally:
        gc.enable()


def test_what_may_differ_between_the_runs() -> None:
    """Extra work that nothing depends on, caches, constants that are made anew."""
    x = leaf(0.5, -1)
    cache: dict[str, Any] = {}
    logged = []

    def function(x: Any) -> Any:
        if not logged:
            with tg.no_grad():
                logged.append((x * 2).mean().item())
            cache["table"] = tg.arange(2, dtype="float64").sin() + 1
        scale = tg.tensor([2.0, float("nan"), -0.0], dtype="float64")[:1]
        y = x.clone()
        y.mul_(cache["table"])
        y += tg.from_numpy((x.detach().numpy() * 2).copy())
        return (y * scale * np.array([1.0, 3.0])).sin()

    (found,) = grad(checkpoint(function, x).sum(), x)
    assert found.tolist() == grad(function(x).sum(), x)[0].tolist()


def test_the_check_may_be_left_out() -> None:
    p, x = [2.0], leaf(1, 2)
    y = checkpoint(lambda x: (x * p[0]).sin(), x, determinism_check="none")
    p[0] = 3.0
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos(3 * np.array([1.0, 2.0])))


# Modules with other parameters -------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self, run: Any) -> None:
        super().__init__()
        self.run = run
        self.first = nn.Linear(3, 4, dtype="float64")
        self.body = nn.Sequential(
            nn.Linear(4, 4, dtype="float64"), nn.BatchNorm1d(4, dtype="float64"), nn.Tanh()
        )

    def forward(self, x: Any) -> Any:
        return self.run(lambda h: self.run(self.body, h) * h, self.first(x).sin())


def test_functional_call() -> None:
    def gradients(run: Any) -> Any:
        tg.manual_seed(0)
        net, x = Net(run), tg.rand(5, 3, dtype="float64")
        given = {name: p.detach() * 1.7 for name, p in net.named_parameters()}
        given["body.1.running_mean"] = tg.ones(4, dtype="float64")

        def loss(p: Any) -> Any:
            return (func.functional_call(net, {**given, **p}, x) ** 2).sum()

        names = [name for name, _ in net.named_parameters()]
        p = {name: given[name] for name in names}
        first = func.grad(loss)(p)
        second = func.grad(lambda p: sum((g * g).sum() for g in func.grad(loss)(p).values()))(p)
        own = [v.tolist() for v in net.state_dict().values()]
        return [[d[n].tolist() for n in names] for d in (first, second)], own

    assert gradients(checkpoint) == gradients(plainly)


def test_functional_call_under_a_plan() -> None:
    tg.manual_seed(0)
    net = nn.Sequential(
        *(nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4)) for _ in "ab")
    )
    x = tg.rand(128, 4)
    plan = plan_memory(net, x, budget=plan_memory(net, x).total_bytes - 1)
    assert plan.recompute
    p = {name: (q.detach() * 1.5).requires_grad_() for name, q in net.named_parameters()}

    def gradients() -> Any:
        loss = (func.functional_call(net, p, x) ** 2).sum()
        return [g.tolist() for g in grad(loss, list(p.values()))]

    expected = gradients()
    with plan.apply(net):
        loss = (func.functional_call(net, p, x) ** 2).sum()
    assert [g.tolist() for g in grad(loss, list(p.values()))] == expected


def test_what_functional_call_puts_in_place_dies_with_the_graph() -> None:
    net = Net(checkpoint)
    given = {name: q.detach() * 2 for name, q in net.named_parameters()}
    given["first.weight"].requires_grad_()
    gc.disable()
    try:
        y = func.functional_call(net, given, tg.rand(5, 3, dtype="float64")).sum()
        gone = weakref.ref(given.pop("body.0.weight").array)
        assert gone() is not None
        y.backward()
        assert gone() is None
    finally:
        gc.enable()
    with pytest.raises(tg.GraphError, match="earlier backward"):
        y.backward()


# What the function leaves behind -----------------------------------------------------------------


def hooks_of(tensor: Any) -> int:
    return sum(map(len, (tensor.node.hooks or {}).values()))


KINDS = ["tensor", "node", "multi", "retain", "module"]


@pytest.mark.parametrize(
    ("kind", "on"),
    [(kind, on) for kind in KINDS for on in ("closure", "argument")] + [("accumulate", "closure")],
)
def test_hooks_are_there_once(on: str, kind: str) -> None:
    def run(run: Any) -> Any:
        base, w = leaf(0.1), leaf(0.7)
        x, layer, seen = base * 1, nn.Tanh(), []

        def function(h: Any) -> Any:
            target = (w if kind == "accumulate" else z) if on == "closure" else h
            if kind == "tensor":
                target.register_hook(lambda g: g * 10)
            elif kind == "node":
                target.grad_fn.register_hook(lambda given, _: [g and g * 3 for g in given])
            elif kind == "accumulate":
                target.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
            elif kind == "multi":
                register_multi_grad_hook([target], lambda g: seen.append(g[0].tolist()))
            elif kind == "retain":
                target.retain_grad()
            else:
                layer.register_forward_hook(lambda m, a, out: seen.append(out.item()))
            return (layer(h) * z * w).sin()

        z = w * 1
        run(function, x).sum().backward()
        kept = x.grad.tolist() if kind == "retain" and on == "argument" else None
        numbers = [t.grad.tolist() for t in (base, w)]
        counts = [hooks_of(x), hooks_of(z), hooks_of(w), len(layer._forward_hooks)]
        return numbers, counts, kept, seen[:1]

    assert run(checkpoint) == run(plainly)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_backward_inside_adds_once(create_graph: bool) -> None:
    def run(run: Any) -> Any:
        x, w, used = leaf(0.5, 2), leaf(3, 4), []
        w.register_hook(lambda g: used.append(1))

        def function(h: Any) -> Any:
            (w * w).sum().backward(create_graph=create_graph)
            inner = h.detach().requires_grad_()
            inner.retain_grad()
            (inner**3).sum().backward()
            (inner**2).sum().backward()
            return (h * inner.grad).sin()

        y = run(function, x * 1)
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        return w.grad.tolist(), x.grad.tolist()

    assert run(checkpoint) == run(plainly)


def test_gradients_that_are_reset_inside() -> None:
    def run(run: Any) -> Any:
        x, w = leaf(0.5, 2), leaf(3, 4)

        def function(h: Any) -> Any:
            w.grad = None
            (w**3).sum().backward()
            return (h * w.grad).sin()

        (run(function, x).sum() + (x * w).sum()).backward()
        return w.grad.tolist(), x.grad.tolist()

    assert run(checkpoint) == run(plainly)


def test_gradients_of_runs_inside_one_another() -> None:
    def run(run: Any) -> Any:
        x, w = leaf(0.5, 2), leaf(3, 4)

        def inner(h: Any) -> Any:
            (w**3).sum().backward()
            return (h * h).sin()

        def outer(h: Any) -> Any:
            (w * w).sum().backward()
            (slope,) = grad(run(inner, h).sum(), h, create_graph=True)
            return (slope * w.grad).sin()

        run(outer, x * 1).sum().backward()
        return w.grad.tolist(), x.grad.tolist()

    assert run(checkpoint) == run(plainly)


def test_gradients_that_are_added_to_and_read_are_refused() -> None:
    x, w = leaf(0.5, 2), leaf(3, 4)
    w.grad = tg.ones(2, dtype="float64")

    def function(h: Any) -> Any:
        (w * w).sum().backward()
        return (h * w.grad).sin()

    y = checkpoint(function, x)
    with pytest.raises(tg.GraphError, match="'other' was not computed as it was before"):
        y.sum().backward()
    assert w.grad.tolist() == [7, 9], "the second run adds nothing"
