"""autograd.Function under everything that looks at a graph: it is an operator like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import Function, checkpoint, detect_anomaly, grad, plan_memory, verify
from tinygrad_cv.autograd.graph import nodes, saved_tensors_hooks
from tinygrad_cv.nn import functional as F
from tinygrad_cv.testing import Case, check_case

X = np.random.default_rng(0).standard_normal((4, 3))


class Swish(Function):
    """x * sigmoid(scale * x)."""

    equation = "y = x * sigmoid(scale * x)"
    gradients = {"x": "g * (s + scale * y * (1 - s))"}

    @staticmethod
    def forward(ctx, x, scale, weight=None):
        s = F.sigmoid(x * scale)
        ctx.save_for_backward(x, weight)
        ctx.scale = scale
        return x * s if weight is None else x * s * weight

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        s = F.sigmoid(x * ctx.scale)
        y = x * s
        slope = s + ctx.scale * y * (1 - s)
        if weight is None:
            return g * slope, None
        return g * slope * weight, None, g * y


class Wrong(Swish):
    @staticmethod
    def backward(ctx, g):
        first, *rest = Swish.backward(ctx, g)
        return first * 1.01, *rest


class Noise(Function):
    """Scaled by random numbers, drawn in forward."""

    @staticmethod
    def forward(ctx, x):
        noise = tg.rand(*x.shape, dtype=x.dtype)
        ctx.save_for_backward(noise)
        return x * noise

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


def leaf(values: Any = X, dtype: str = "float64") -> tg.Tensor:
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def test_the_generic_checks():
    def reference(x, weight=None):
        y = x / (1 + np.exp(-1.5 * x))
        return y if weight is None else y * weight

    check_case(Case(Swish.apply, (X,), attrs=(1.5,), reference=reference, name="swish"))
    both = Case(lambda x, w: Swish.apply(x, 1.5, w), (X, X + 1), reference=reference)
    check_case(both)
    with pytest.raises(AssertionError, match="check 'derivative'"):
        check_case(Case(Wrong.apply, (X,), attrs=(1.5,), reference=reference))


def test_the_node():
    x, w = leaf(), leaf()
    y = Swish.apply(x, 1.5, w)
    node = y.grad_fn
    assert (node.name(), node.op.inputs, node.op.attributes[:-1]) == (
        "Swish",
        ("x", "weight"),
        ("scale",),
    )
    assert [source.tensor() for source, _ in node.next_functions] == [x, w]
    assert node.plan.names == ("x", "weight", "ctx")
    assert node.saved[0] is x.array
    assert repr(y).endswith("grad_fn=<Swish>)")
    assert Swish.apply(x, 2.5, w).grad_fn.op is node.op
    assert "Swish" not in tg.core.op.REGISTRY


def test_hooks_of_the_node_and_of_what_it_saves():
    x, packed = leaf(), []
    with saved_tensors_hooks(lambda t: packed.append(t) or t.numpy().copy(), tg.tensor):
        y = Swish.apply(x, 1.5, x * 2)
    assert [t.shape for t in packed] == [(4, 3), (4, 3)]
    (plain,) = grad(Swish.apply(x, 1.5, x * 2).sum(), x)
    (first,) = grad(y.sum(), x, create_graph=True)
    np.testing.assert_array_equal(first.detach().numpy(), plain.numpy())
    (second,) = grad(first.sum(), x, retain_graph=True)
    (again,) = grad(grad(Swish.apply(x, 1.5, x * 2).sum(), x, create_graph=True)[0].sum(), x)
    np.testing.assert_array_equal(second.numpy(), again.numpy())
    y.grad_fn.register_prehook(lambda g: (g[0] * 0,))
    seen = []
    y.grad_fn.register_hook(lambda given, _: seen.append(len(given)))
    (zero,) = grad(y.sum(), x)
    assert (zero.numpy() == 0).all()
    assert seen == [2]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_verify(dtype):
    x, w = leaf(dtype=dtype), leaf(X + 1, dtype=dtype)

    def net(kind: Any) -> Any:
        return lambda x, w: (kind.apply(x * 2, 1.5, w).sin() * Noise.apply(x)).sum()

    report = verify(net(Swish), x, w)
    assert report.ok, str(report)
    assert report.open == []
    report = verify(net(Wrong), x, w)
    assert [(f.node.op.name, f.part) for f in report.faults] == [("Wrong", "vjp_x")]
    assert report.faults[0].site.function == "<lambda>"


def test_verify_sees_a_forward_that_is_not_itself():
    class Counting(Function):
        count = 0

        @staticmethod
        def forward(ctx, x):
            Counting.count += 1
            return x * Counting.count

        @staticmethod
        def backward(ctx, g):
            return g

    report = verify(Counting.apply, leaf())
    assert [f.node.op.name for f in report.faults][:1] == ["Counting"]

    class Fickle(Function):
        saves = True

        @staticmethod
        def forward(ctx, x):
            if Fickle.saves:
                ctx.save_for_backward(x)
            Fickle.saves = False
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    (finding,) = verify(Fickle.apply, leaf()).open
    assert "forward does not do the same when it runs again" in finding.text


class AddOne(Function):
    """Writes into its argument."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.add_(1)

    @staticmethod
    def backward(ctx, g):
        return g


def test_verify_leaves_a_written_argument_open():
    report = verify(lambda x: AddOne.apply(x * 2).sum(), leaf())
    assert report.ok, str(report)
    assert [f.node.op.name for f in report.open] == ["AddOne"]
    assert "it writes into its arguments, and so cannot run again" in report.open[0].text


def test_anomalies():
    class Log(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x.abs() + 1).log() if x.min() >= 0 else x.log()

        @staticmethod
        def backward(ctx, g):
            return g / ctx.saved_tensors[0]

    with (
        pytest.raises(tg.GraphError, match=r"Log: the first value that is not finite \(nan\)"),
        detect_anomaly(),
    ):
        Log.apply(leaf([1.0, -1.0]))
    with pytest.raises(tg.GraphError) as caught, detect_anomaly():
        Log.apply(leaf([1.0, 0.0])).sum().backward()
    assert "the first gradient that is not finite (inf) is that of 'x' in Log" in str(caught.value)
    with detect_anomaly():
        x = leaf([1.0, 2.0])
        y = Log.apply(x).sum()
        x.detach().numpy()[0] = 3
        with pytest.raises(tg.GraphError) as caught:
            y.backward()
    assert "'x', which Log saved for its gradient, was changed by a write" in str(caught.value)


def test_checkpoint_gives_the_same_bits():
    def function(x, w):
        return Noise.apply(Swish.apply(x * 2, 1.5, w)).sin() * x

    results = []
    for checked in (False, True):
        tg.manual_seed(3)
        x, w = leaf(), leaf(X + 1)
        y = checkpoint(function, x, w) if checked else function(x, w)
        if checked:
            assert [next(iter(n.saved)) for n in nodes(y) if n.op.name == "Swish"] == [None]
        first = grad((y**2).sum(), (x, w), create_graph=True)
        results.append([y, *first, *grad(sum(g.sum() for g in first[1:]), (x, w))])
    for a, b in zip(*results, strict=True):
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_a_value_computed_on_the_way_under_checkpoint():
    class Saving(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.half = x / 2
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 4 * ctx.half * g

    x = leaf()
    (g,) = grad(checkpoint(lambda x: Saving.apply(x * 3), x).sum(), x, create_graph=True)
    with pytest.raises(tg.GraphError, match=r"'ctx.half' was computed in forward"):
        grad(g.sum(), x)


def test_profile():
    class Cheap(Swish):
        @staticmethod
        def flops(x, scale, weight):
            return 7 * x.shape[0]

    x, w = leaf(), leaf()
    with tg.profile() as p:
        Swish.apply(x, 1.5, w).sum().backward()
        Cheap.apply(x, 1.5, w)
    events = [e for e in p.events if e.operator in ("Swish", "Cheap")]
    assert [(e.operator, e.phase) for e in events] == [
        ("Swish", "forward"),
        ("Swish", "backward"),
        ("Cheap", "forward"),
    ]
    with tg.profile() as inner:
        x.detach() * F.sigmoid(x.detach() * 1.5) * w.detach()
    assert events[0].flops == sum(e.flops for e in inner.events) > 0
    assert events[2].flops == 28
    assert events[0].output_bytes == 96
    assert events[1].output_bytes == 192
    assert str(events[0].site).startswith(f"{__file__}:")
    assert {e.operator for e in p.events} == {"Swish", "Cheap", "sum"}


def test_a_backward_runs_once_in_a_profile():
    runs = []

    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            runs.append(type(g.array))
            return g

    with tg.profile():
        Once.apply(leaf()).sum().backward()
    assert runs == [np.ndarray]


def test_pictures():
    x, w = leaf(), leaf()
    y = Swish.apply(x, 1.5, w)
    for graph in (
        tg.viz.trace(y, backward=True, names={"x": x, "w": w}),
        tg.viz.trace(lambda x, w: Swish.apply(x, 1.5, w), x, w, backward=True),
    ):
        model = graph.model
        there, back = [n for n in model.nodes if n.name == "Swish"]
        assert (there.phase, back.phase) == ("forward", "backward")
        assert dict(there.attributes)["scale"] == "1.5"
        assert there.facts["equation"] == "y = x * sigmoid(scale * x)"
        assert back.facts["gradients"] == "d x: g * (s + scale * y * (1 - s))"
        edges = [e.argument for e in model.edges if e.target == there.id and e.kind == "data"]
        assert edges == ["x", "weight"]
        assert sorted(n.name for n in model.nodes if n.kind == "saved") == ["weight", "x"]
        assert {n.name for n in model.nodes if n.kind == "op"} == {"Swish"}
        assert "Swish scale=1.5" in graph.to_dot()
        assert "Swish" in graph.simplify().to_text()


def test_memory_plan_and_summary():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.last(Swish.apply(self.first(x), 1.5))

    net = Net()
    plan = plan_memory(net, tg.ones(4, 3))
    steps = [s for s in plan.steps if s.operator == "Swish"]
    assert [(s.phase, s.output_bytes) for s in steps] == [("forward", 48), ("backward", 48)]
    assert net.summary(4, 3).flops > 0


def test_a_gradient_that_nothing_brought():
    """Everything that looks at gradients meets None."""

    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            assert g is None
            return 3 * h

    x = leaf(np.ones((600, 700)))
    assert plan_memory(lambda x: Both.apply(x)[1], x).steps[-1].operator == "Both"
    with detect_anomaly(), tg.profile() as p:
        y = Both.apply(x)[1]
        y.grad_fn.register_prehook(lambda grads: grads)
        (g,) = grad(y.sum(), x, create_graph=True)
        y.sum().backward()
    assert (g.detach().numpy() == 3).all()
    assert (x.grad.numpy() == 3).all()
    assert {e.operator for e in p.events} >= {"Both"}


def test_a_write_into_an_argument_in_a_picture_and_under_retain_all():
    graph = tg.viz.trace(lambda x: AddOne.apply(x * 2).sum(), leaf())
    assert [n.name for n in graph.model.nodes if n.kind == "op"] == ["mul", "AddOne", "sum"]


def test_why_no_grad_goes_through_it():
    x = leaf()
    with tg.autograd.retain_all(), tg.no_grad():
        y = Swish.apply(x, 1.5) * 2
    assert "Swish" in tg.autograd.why_no_grad(y.exp()) or "Swish" in tg.autograd.why_no_grad(y)


def test_calls_of_one_kind_share_an_operator():
    """Whatever the arguments and the keys are called: operators are kept for good."""

    class Keyed(Function):
        @staticmethod
        def forward(ctx, x, key):
            ctx.cache = {key: x, "more": [key, x * 2]}
            return x * key

        @staticmethod
        def backward(ctx, g):
            (key, *_) = ctx.cache
            return g * key, None

    x = leaf()
    ops = {Keyed.apply(x, float(key)).grad_fn.op for key in range(20)}
    assert len(ops) == 1
    Keyed.apply(x, 3.0).sum().backward()
    assert (x.grad.numpy() == 3).all()


def test_arguments_that_stand_in_bytes():
    values = np.array([1.0, 2.0, 3.0])
    x = tg.from_numpy(np.frombuffer(values.tobytes())).requires_grad_()

    class Cube(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g

    with tg.profile():
        Cube.apply(x).sum().backward()
        (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * values**2 + 2 * values)


@pytest.mark.parametrize("again", [lambda y: y, lambda y: y.reshape(-1)])
def test_outputs_that_share_memory_are_views(again):
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            return y, again(y)

        @staticmethod
        def backward(ctx, g, h):
            return 2 * g + 2 * h.reshape(g.shape)

    x = tg.ones(3, requires_grad=True)
    for k in range(2):
        with pytest.raises(tg.GraphError, match="a view of another one"):
            Twice.apply(x)[k].mul_(5)
