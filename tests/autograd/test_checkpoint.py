"""checkpoint: the same gradients to the bit, from saved values that are computed again."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint_sequential as torch_sequential

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import checkpoint, checkpoint_sequential, detect_anomaly
from tinygrad_cv.nn import functional as F


def plainly(function, *args, **kwargs):
    for name in ("preserve_rng_state", "early_stop"):
        kwargs.pop(name, None)
    return function(*args, **kwargs)


def numbers(*tensors):
    return [t.detach().numpy().tobytes() for t in tensors]


class Net(nn.Module):
    """Convolutions, batch normalisation, dropout from two generators, pooling."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.body = nn.Sequential(
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.BatchNorm2d(6, momentum=None),
            nn.Dropout2d(0.4, generator=tg.Generator(5)),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x):
        return self.head(F.dropout(self.run(self.body, self.stem(x)).flatten(1)))


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("provider", ["reference", "numba"])
def test_training_is_the_same_to_the_bit(provider, early_stop):
    def steps(run):
        tg.manual_seed(1)
        net = Net(lambda *args: run(*args, early_stop=early_stop))
        optimizer = tg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        found = []
        for _ in range(3):
            with tg.use_kernels(provider):
                loss = F.cross_entropy(net(tg.rand(4, 2, 8, 8)), tg.randint(0, 3, (4,)))
            optimizer.zero_grad()
            loss.backward()  # outside: the second run must use the kernels of the first
            optimizer.step()
            found += numbers(loss.detach(), *(p.grad for p in net.parameters()))
        return found + numbers(*net.state_dict().values(), tg.rand(1))

    assert steps(checkpoint) == steps(plainly)


def test_what_the_function_makes_dies_and_is_made_again():
    x = tg.rand(8, requires_grad=True)
    made = []

    def function(x):
        a = x.exp()
        b = a.sin()
        made.extend(weakref.ref(t.array) for t in (a, b))
        return b * b

    gc.disable()
    try:
        y = checkpoint(function, x)
        assert [reference() for reference in made] == [None, None]
        node = y.grad_fn
        assert list(node.saved) == [None] * len(node.plan.names)
        y.sum().backward()
        assert [reference() for reference in made] == [None] * 4
    finally:
        gc.enable()
    other = x.detach().requires_grad_()
    (other.exp().sin() ** 1 * other.exp().sin()).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-5)


def counted(function):
    def run(*args, **kwargs):
        run.calls += 1
        return function(*args, **kwargs)

    run.calls = 0
    return run


def test_how_often_it_runs():
    x = tg.rand(3, requires_grad=True)
    function = counted(lambda x: x.exp().sin())
    y = checkpoint(function, x)
    assert function.calls == 1
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert function.calls == 3
    with pytest.raises(tg.GraphError, match="used by an earlier backward"):
        y.sum().backward()
    with tg.no_grad():
        assert not checkpoint(function, x).requires_grad
    assert function.calls == 4
    views = counted(lambda x: x.reshape(3, 1).sum(1))
    checkpoint(views, x).sum().backward()
    assert views.calls == 1, "shapes are kept, so nothing is computed again"
    assert not checkpoint(function, tg.rand(3)).requires_grad


def test_it_stops_early():
    x = tg.rand(3, requires_grad=True)
    after = []

    def function(x):
        y = x.exp()
        after.append(y)
        return y

    checkpoint(function, x).sum().backward()
    assert len(after) == 1
    checkpoint(function, x, early_stop=False).sum().backward()
    assert len(after) == 3


def test_statistics_inside_two_checkpoints():
    norm, w = nn.BatchNorm1d(4), tg.rand(4, requires_grad=True)
    y = checkpoint(lambda x: checkpoint(lambda x: norm(x * w), x).exp(), tg.rand(3, 4))
    before = numbers(*norm.state_dict().values())
    y.sum().backward()
    assert numbers(*norm.state_dict().values()) == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nested(dtype):
    w = tg.rand(4, 4, dtype=dtype, requires_grad=True)
    x = tg.rand(2, 4, dtype=dtype)

    def gradients(run):
        tg.manual_seed(0)
        norm = nn.BatchNorm1d(4, dtype=dtype)
        inner = counted(lambda x: F.dropout((x @ w).tanh()))
        middle = counted(lambda x: run(inner, x).exp() + norm(run(inner, x * 2)))
        outer = counted(lambda x: F.dropout(run(middle, x) @ w))
        y = run(outer, x)
        found = numbers(y, *tg.autograd.grad(y.sum(), w), tg.rand(1), *norm.state_dict().values())
        return found, [f.calls for f in (inner, middle, outer)]

    (a, calls), (b, _) = gradients(checkpoint), gradients(plainly)
    assert a == b
    assert calls == [2 + 2 + 2 + 2, 3, 2]  # each level runs again what it has thrown away


def test_create_graph_to_the_third_order():
    values = np.random.default_rng(0).standard_normal(5)

    def derivatives(run):
        tg.manual_seed(0)
        x = tg.tensor(values, requires_grad=True)
        w = tg.tensor(values[::-1].copy(), requires_grad=True)
        y = run(lambda x: F.dropout((x * w * x).sin().exp() * x.detach().cos(), 0.3), x * 1)
        found = []
        for _ in range(3):
            y, slope = tg.autograd.grad(y.sum(), (x, w), create_graph=True)
            found += numbers(y.detach(), slope.detach())
        return found

    assert derivatives(checkpoint) == derivatives(plainly)


def test_outputs_arguments_and_closures():
    def gradients(run):
        tg.manual_seed(0)
        w, x, z = (tg.rand(3, requires_grad=True) for _ in range(3))
        captured = (z * 2).exp()  # no leaf, and no argument

        def function(pair, *, scale, more=None):
            first, (second,) = pair
            a = first * second.exp() * captured
            return {"a": a, "b": (a.argmax(), [w.sin() * scale["s"]]), "none": more}

        result = run(function, (x, [captured.sin()]), scale={"s": tg.tensor(3.0)})
        assert result["none"] is None
        assert result["b"][0].dtype == tg.int64
        loss = (result["a"] * result["b"][1][0]).sum()
        only = tg.autograd.grad(result["b"][1][0].sum(), w, retain_graph=True)
        loss.backward()
        return numbers(*only, w.grad, x.grad, z.grad)

    assert gradients(checkpoint) == gradients(plainly)


def test_a_gradient_inside_the_function():
    def gradients(run):
        x = tg.tensor([0.3, -1.2], requires_grad=True)

        def penalty(x):
            (slope,) = tg.autograd.grad((x.sin() * x).exp().sum(), x, create_graph=True)
            return (slope * slope).sum() + slope.sum()

        run(penalty, x * 1).backward()
        return numbers(x.grad)

    assert gradients(checkpoint) == gradients(plainly)


def test_a_tensor_that_moves_on_afterwards():
    def gradient(run):
        x = tg.tensor([1.0, 2.0], requires_grad=True)
        y = x * 2
        z = run(lambda y: y.exp().sin(), y)
        y = y + 1
        z += 1
        (z * y).sum().backward()
        return numbers(x.grad)

    assert gradient(checkpoint) == gradient(plainly)


def test_in_place_inside_the_function():
    def gradient(run):
        x = tg.tensor([1.0, 2.0], requires_grad=True)

        def function(x):
            y = x * x
            y += 3  # its own
            return y.sin()

        run(function, x).sum().backward()
        return numbers(x.grad)

    assert gradient(checkpoint) == gradient(plainly)

    def spoils(x):
        y = x.exp()
        z = y.sin()
        y *= 2
        return z

    y = checkpoint(spoils, tg.ones(2, requires_grad=True), early_stop=False)
    with pytest.raises(tg.GraphError, match="was overwritten before backward"):
        y.sum().backward()


def test_hooks():
    seen = []
    layer = nn.Linear(3, 3)

    def function(x):
        y = layer(x)
        y.register_hook(lambda g: seen.append("gradient"))
        return y.exp()

    layer.register_forward_hook(lambda *_: seen.append("forward"))
    checkpoint(function, tg.ones(2, 3)).sum().backward()
    assert seen == ["forward", "forward", "gradient"]


def test_contexts_of_both_runs():
    seen = []

    @contextlib.contextmanager
    def run(name):
        seen.append(name)
        yield
        seen.append("end of " + name)

    x = tg.ones(2, requires_grad=True)
    y = checkpoint(lambda x: x.exp(), x, context_fn=lambda: (run("first"), run("second")))
    y.sum().backward()
    assert seen == ["first", "end of first", "second", "end of second"]


def test_modules_keep_their_names_in_a_profile():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

        def forward(self, x):
            return checkpoint(self.features, x) * 2

    with tg.profile() as p:
        Outer()(tg.ones(2, 4)).sum().backward()
    again = [(e.operator, e.module) for e in p.events if e.phase == "recompute"]
    assert again == [("linear", "features.0"), ("tanh", "features.1")]
    rules = {e.operator: e.flops for e in p.events if e.phase == "backward"}
    assert rules["linear"] == 2 * 2 * 4 * 4 + 2 * 4
    (row,) = [r for r in p.by_module() if r.module == "features.0"]
    assert (row.calls, row.backward_flops) == (1, rules["linear"] + 2 * 2 * 4 * 4 + 2 * 4)
    assert {e.saved_bytes for e in p.events if e.phase == "forward"} == {0}


def test_other_watchers():
    x = tg.tensor([1.0, 4.0], requires_grad=True)
    with detect_anomaly():
        checkpoint(lambda x: x.log().exp(), x).sum().backward()
    with detect_anomaly(), pytest.raises(tg.GraphError, match=r"inf\) is that of 'input' in sqrt"):
        checkpoint(lambda x: (x - 1).sqrt(), x).sum().backward()
    y = checkpoint(lambda x: x.log().exp(), x)
    graph = tg.viz.draw(y.sum(), backward=True)
    assert [n.name for n in graph.model.nodes if n.phase == "backward" and n.kind == "op"] == [
        "sum",
        "exp",
        "log",
    ]


def test_threads():
    w = tg.rand(6, 6, requires_grad=True)
    x = tg.rand(4, 6)

    def forward():
        return checkpoint(lambda x: F.dropout((x @ w).tanh(), generator=tg.Generator(1)), x)

    (expected,) = tg.autograd.grad(forward().sum(), w)
    shared = forward().sum()
    found = []

    def work():
        for _ in range(10):
            found.extend(tg.autograd.grad(shared, w, retain_graph=True))
            found.extend(tg.autograd.grad(forward().sum(), w))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 60
    assert {t.numpy().tobytes() for t in found} == {expected.numpy().tobytes()}


def test_without_the_random_state():
    x = tg.ones(200, requires_grad=True)
    y = checkpoint(lambda x: F.dropout(x * 1.0), x, preserve_rng_state=False)
    with pytest.raises(tg.GraphError, match="draw is") as caught:
        y.sum().backward()
    assert "dropout ran at" in str(caught.value)
    y = checkpoint(
        lambda x: F.dropout(x * 1.0), x, preserve_rng_state=False, determinism_check="none"
    )
    y.sum().backward()
    assert int((x.grad.numpy() != y.detach().numpy()).sum()) > 0


# Sequential ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "segments"), [(5, 2), (6, 3), (7, 3), (4, 4), (3, 1)])
def test_sequential_runs_the_pieces_of_torch(count, segments):
    def calls(run, ones, library):
        functions = [counted(lambda x: x.sin()) for _ in range(count)]
        x = ones(3)
        run(functions, segments, x).sum().backward()
        return [f.calls for f in functions], x.grad.tolist()

    ours, slope = calls(
        lambda *args: checkpoint_sequential(*args),
        lambda n: tg.ones(n, requires_grad=True),
        tg,
    )
    theirs, expected = calls(
        lambda *args: torch_sequential(*args, use_reentrant=False),
        lambda n: torch.ones(n, requires_grad=True),
        torch,
    )
    assert ours == theirs
    assert slope == pytest.approx(expected, rel=1e-6)


def test_sequential_of_modules():
    net = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)))
    x = tg.rand(2, 3)
    net(x).exp().sum().backward()
    expected = numbers(*(p.grad for p in net.parameters()))
    net.zero_grad()
    checkpoint_sequential(net, 2, x).exp().sum().backward()
    assert numbers(*(p.grad for p in net.parameters())) == expected
    for wrong in (0, 5, 2.0):
        with pytest.raises(tg.ArgumentError, match="from 1 to the 4 functions"):
            checkpoint_sequential(net, wrong, x)
