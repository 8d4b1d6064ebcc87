"""verify: a fault planted in any operator, rule or kernel is named, and nothing else is."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.planting import CASES, FLAT, cases_of, kernel, planted, recorded, smallest_of
from tests.scratch import scratch
from tinygrad_cv import nn
from tinygrad_cv.autograd import graph, retain_all, verify
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.op import REGISTRY, unregister


def test_nothing_is_said_of_any_case() -> None:
    for case in CASES:
        outputs = recorded(case, np.float32)
        if outputs:
            report = verify(outputs)
            assert report.ok, f"{case.id}: {report}"
            assert not report.open, f"{case.id}: {report}"


DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def needed(node: Any) -> set[str]:
    return {node.op.inputs[0 if node.op.variadic else k] for k in node.plan.needed}


@DTYPES
def test_a_wrong_factor_in_any_rule(dtype: Any) -> None:
    missed = set()
    for (op, name), cases in cases_of().items():
        for case in cases:
            with planted(REGISTRY[op], name, lambda g: g * 1.01):
                outputs = recorded(case, dtype)
                report = verify(outputs)
            nodes = graph.nodes(outputs)
            meant = {n for n in nodes if n.op.name == op and name in needed(n)}
            found = {fault.node for fault in report.faults}
            assert found <= meant, f"{op}.vjp_{name}, {case.id}: {report}"
            assert all(f.part.startswith(f"vjp_{name}") for f in report.faults), str(report)
            if found and found == meant:
                break
        else:
            missed.add(f"{op}.{name}")
    assert missed == FLAT


@DTYPES
def test_a_wrong_forward_kernel_of_any_operator(dtype: Any) -> None:
    for name, case in smallest_of().items():
        op = REGISTRY[name]

        def wrong(xp: Any, *given: Any, op: Any = op) -> Any:
            result = op.forward(xp, *given)
            first, *rest = result if type(result) is tuple else (result,)
            first = first * first.dtype.type(1.01) + first.dtype.type(1)
            return (first, *rest) if rest else first

        with kernel(name, wrong):
            outputs = recorded(case, dtype)
            report = verify(outputs)
        own = {f.node for f in report.faults if f.part == "forward by planted"}
        assert own == {n for n in graph.nodes(outputs) if n.op is op}, f"{case.id}: {report}"
        # A rule that runs this operator goes wrong with it, and says by whose fault.
        others = [f for f in report.faults if f.part != "forward by planted"]
        whose = f"the kernel of {name} by planted, which its rules run"
        assert {f.part for f in others} <= {whose}, f"{case.id}: {report}"


@DTYPES
def test_a_wrong_compiled_rule_of_any_operator(dtype: Any) -> None:
    missed = set()
    for name, case in smallest_of().items():
        op = REGISTRY[name]
        node = next(n for n in graph.nodes(recorded(case, dtype)) if n.op is op)

        def wrong(xp: Any, g: Any, needs: Any, *saved: Any, plan: Any = node.plan) -> Any:
            values, attrs = saved[: len(plan.names)], saved[len(plan.names) :]
            found = plan.each(g, needs, values, attrs)
            return [None if x is None else x * x.dtype.type(1.01) for x in found]

        reads = ("xp", "g", "needs", *node.plan.names, *op.attributes)
        with kernel(f"{name}.vjp", kernels.with_parameters(wrong, reads)):
            outputs = recorded(case, dtype)
            report = verify(outputs)
        assert {f.part for f in report.faults} <= {f"{name}.vjp by planted"}, f"{case.id}: {report}"
        assert all(f.node.op is op for f in report.faults)
        if not report.faults:
            missed.add(name)
    assert missed <= {rule.partition(".")[0] for rule in FLAT}


@DTYPES
def test_a_wrong_fused_rule_of_any_operator(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    fused = [(op, case) for op, case in smallest_of().items() if REGISTRY[op].fused_vjp]
    assert fused
    for name, case in fused:
        op = REGISTRY[name]
        right: Any = op.fused_vjp

        def wrong(*given: Any, right: Any = right) -> Any:
            found = right(*given)
            return found and tuple(None if x is None else x * x.dtype.type(1.01) for x in found)

        with monkeypatch.context() as patch:
            patch.setattr(op, "fused_vjp", staticmethod(wrong))
            report = verify(recorded(case, dtype))
        assert {(f.node.op, f.part) for f in report.faults} == {(op, "fused_vjp")}, str(report)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Any) -> Any:
        return self.pool(self.act(self.norm(self.conv(x))))


def network() -> nn.Module:
    return nn.Sequential(Block(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))


def test_a_network_in_order_and_the_line_of_its_fault() -> None:
    x, y = tg.rand(4, 2, 8, 8), tg.arange(4) % 3
    net = network()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    with retain_all():
        loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()  # the graph keeps what it was given
    report = verify(loss)
    assert report.ok, str(report)
    assert not report.open, str(report)
    assert report.checks > 2 * report.nodes > 10
    with planted(REGISTRY["conv"], "weight", lambda g: g * 1.01), retain_all():
        loss = nn.functional.cross_entropy(net(x), y)
    (fault,) = verify(loss).faults
    assert (fault.node.op.name, fault.part) == ("conv", "vjp_weight")
    assert fault.module_path == "model.0.conv (Conv2d)"
    line = Block.forward.__code__.co_firstlineno + 1
    assert (fault.site.filename, fault.site.line) == (__file__, line)
    text = str(verify(loss))
    assert f"it ran at {__file__}:{line} in" in text
    assert "in model.0.conv (Conv2d)" in text
    assert "fault: conv, vjp_weight: the rule gives" in text
    assert ": 1 fault\n" in text


def test_large_arrays_with_compiled_kernels() -> None:
    if "numba" not in kernels.providers():
        pytest.skip("Numba is not installed")
    net = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    report = verify(net, tg.rand(4, 8, 32, 32) - 0.5)
    assert report.ok, str(report)
    assert not report.open, str(report)

    def wrong(xp: Any, *given: Any) -> Any:
        y = REGISTRY["conv"].forward(xp, *given).copy()
        y[0, 0, 0, 0] += 0.1  # one pixel
        return y

    with kernel("conv", wrong):
        (fault,) = verify(net, tg.rand(4, 8, 32, 32) - 0.5).faults
    assert fault.part == "forward by planted"
    assert "at 1 of 65536 places, worst at [0, 0, 0, 0]" in fault.text


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (tg.relu, [0.0, 1.0, -2.0]),
        (lambda x: x.clamp(0.0, 1.0), [0.0, 1.0, 0.5]),
        (lambda x: x.floor(), [2.0, 1.5]),
        (lambda x: x.norm(), [0.0, 0.0]),
        (lambda x: x.sqrt(), [0.0, 4.0]),
    ],
    ids=["relu", "clamp", "floor", "norm", "sqrt"],
)
def test_a_kink_is_no_fault(function: Any, values: list[float]) -> None:
    report = verify(function, tg.tensor(values))
    assert report.ok, str(report)
    assert report.kinks, str(report)
    assert not report.open, str(report)


def test_where_both_sides_share_the_slope_there_is_nothing_to_say() -> None:
    for function in (tg.abs, lambda x: x.max()):
        report = verify(function, tg.tensor([0.0, 0.0, -2.0]))
        assert (report.faults, report.kinks, report.open) == ([], [], [])


def test_a_fault_at_a_kink() -> None:
    for name in ("relu", "abs"):
        with planted(REGISTRY[name], "input", lambda g: g * 1.01):
            report = verify(getattr(tg, name), tg.tensor([0.0, 1.0, -2.0]))
        assert [f.part for f in report.faults] == ["vjp_input"], str(report)


def test_sizes_far_from_one() -> None:
    for scale in (1e-12, 1e-6, 1e6, 1e12):
        x = tg.tensor([1.0, 2.0, 3.0], dtype="float64") * scale
        report = verify(lambda x: ((x * x).sum() / x).log(), x)
        assert report.ok, str(report)
        assert not report.open, str(report)
        with planted(REGISTRY["div"], "other", lambda g: g * 1.01):
            report = verify(lambda x: ((x * x).sum() / x).log(), x)
        assert [f.part for f in report.faults] == ["vjp_other"]


def test_an_operator_of_the_users_own() -> None:
    def wrong(g: Any, input: Any) -> Any:
        return g * input

    x, w = tg.rand(2, 3), tg.rand(2, 3)
    try:
        assert verify(scratch().call, x, w).ok
        report = verify(scratch(vjp_weight=wrong).call, x, w)
        assert [(f.node.op.name, f.part) for f in report.faults] == [("scratch", "vjp_weight")]
        report = verify(scratch(vjp_weight=lambda g, input: g.shape).call, x, w)
        assert "vjp_weight" in str(report.faults[0]), str(report)
        report = verify(scratch(vjp_weight=lambda g, input: g[0]).call, x, w)
        assert "a gradient of shape (3,) for an input of shape (2, 3)" in str(report.faults[0])
    finally:
        unregister("scratch")


def test_a_graph_that_was_not_kept() -> None:
    x = tg.ones(2, requires_grad=True)
    y, line = x.exp(), sys._getframe().f_lineno
    with retain_all():
        z = y.sum()
    with pytest.raises(tg.GraphError, match=r"without retain_all.* 1 of its 2") as caught:
        verify(z)
    assert f"the first of them is exp, which ran at {__file__}:{line}" in str(caught.value)
    with retain_all():  # the repair
        z = x.exp().sum()
    assert verify(z).ok


def test_what_verify_refuses() -> None:
    with pytest.raises(tg.DTypeError, match="a function and its inputs are needed, not 3"):
        verify(3)  # type: ignore[arg-type]  # what a user may get wrong
    with pytest.raises(tg.GraphError, match="there is no graph"):
        verify(tg.ones(2))
    with pytest.raises(tg.GraphError, match="meta"):
        verify(tg.exp, tg.ones(2, device="meta"))
    with pytest.raises(tg.ArgumentError, match="inputs are for functions"):
        verify(tg.ones(2, requires_grad=True), tg.ones(2))
    assert verify(tg.ones(2, requires_grad=True)).nodes == 0


def test_the_picture_marks_the_fault() -> None:
    x = tg.ones(3, requires_grad=True)
    with planted(REGISTRY["exp"], "input", lambda g: g * 1.01), retain_all():
        loss = (x.exp() * 2).sum()
    report = verify(loss)
    for picture in (tg.viz.draw(loss, verify=report), tg.viz.trace(loss, verify=report)):
        marked = {node.name: node.error for node in picture.model.nodes if node.error}
        assert marked == {"exp": report.faults[0].told}
        assert marked["exp"].startswith("wrong gradient of input: the rule gives ")
        assert "error" in picture.to_dot()
    assert not any(node.error for node in tg.viz.draw(loss).model.nodes)
    with pytest.raises(tg.ArgumentError, match="verify= marks the recorded graph of a Tensor"):
        tg.viz.draw(tg.exp, x, verify=report)


def test_what_is_kept_dies_with_the_graph() -> None:
    import weakref

    with retain_all():
        y = tg.ones(3, requires_grad=True) * 2
    node = weakref.ref(y.node)
    del y
    assert node() is None
