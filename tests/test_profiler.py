"""tg.profile: what ran, how long, how many operations and bytes, who served, in which module."""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.cupy_standin import installed
from tinygrad_cv import nn
from tinygrad_cv.autograd import detect_anomaly
from tinygrad_cv.backend import kernels
from tinygrad_cv.core import mode
from tinygrad_cv.core.op import Op, unregister
from tinygrad_cv.profiler import OperatorRow, record
from tinygrad_cv.profiler.text import table_text


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 7)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.fc(x)) * 2


def runs(p, depth=0):
    return [(e.operator, e.phase, e.module) for e in p.events if e.depth == depth]


def test_operators_rules_and_their_modules():
    net = nn.Sequential(Block())
    x = tg.ones(3, 5)
    with tg.profile() as p:
        net(x).sum().backward()
    line = f"{__file__}:{sys._getframe().f_lineno - 1} in {sys._getframe().f_code.co_name}"
    assert runs(p) == [
        ("linear", "forward", "0.fc"),
        ("relu", "forward", "0.act"),
        ("mul", "forward", "0"),
        ("sum", "forward", ""),
        ("sum", "backward", ""),
        ("mul", "backward", "0"),
        ("relu", "backward", "0.act"),
        ("linear", "backward", "0.fc"),
    ]
    assert [e.site for e in p.events if e.operator == "sum"] == [line, line]
    assert p.events[0].shapes == ((3, 5), (7, 5), (7,))


def test_flops_by_formulas_of_their_own():
    b, i, o = 3, 5, 7
    layer, x = nn.Linear(i, o), tg.ones(b, i, requires_grad=True)
    with tg.profile() as p:
        layer(x).backward(tg.ones(b, o))
    forward, backward = p.events
    assert forward.flops == 2 * b * i * o + b * o
    # dx = g w and dw = g^T x, each a product of the same size, and db, which sums o columns
    assert backward.flops == 2 * (2 * b * i * o) + b * o
    n, c, k, h = 2, 3, 4, 8
    conv, image = nn.Conv2d(c, k, 3, padding=1, bias=False), tg.rand(n, c, h, h)
    with tg.profile() as p:
        conv(image).backward(tg.ones(n, k, h, h))
    assert [e.flops for e in p.events] == [2 * n * k * h * h * c * 9] * 2  # dw only


def test_forward_flops_are_those_of_the_summary():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2)).eval()
    with tg.profile() as p:
        net(tg.rand(2, 1, 10, 10))
    assert sum(e.flops for e in p.events) == net.summary(2, 1, 10, 10).flops
    (whole,) = [row for row in p.by_module() if row.module == "Sequential"]
    assert whole.forward_flops == sum(e.flops for e in p.events)


def test_bytes_of_results_and_of_what_is_kept():
    w = tg.ones(4, 6, requires_grad=True)
    with tg.profile() as p:
        a = w.exp()  # keeps its result
        b = a.reshape(24)  # a view: no memory of its own
        c = b * a.reshape(24)  # keeps both, which is the memory that exp keeps already
        d = w * w  # keeps a leaf, which is there anyway
        (c.sum() + d.sum()).backward()
    size = 4 * 6 * 4
    got = [(e.operator, e.output_bytes, e.saved_bytes) for e in p.events if e.phase == "forward"]
    assert got == [
        ("exp", size, size),
        ("reshape", 0, 0),
        ("reshape", 0, 0),
        ("mul", size, 0),
        ("mul", size, 0),
        ("sum", 4, 0),
        ("sum", 4, 0),
        ("add", 4, 0),
    ]
    (exp,) = [e for e in p.events if e.operator == "exp" and e.phase == "backward"]
    assert (exp.output_bytes, exp.shapes) == (size, ((4, 6),))


@pytest.fixture
def slow():
    """An operator that takes 20 ms, with rules that take 10 ms."""

    class Slow(Op):
        name = "slow_scratch"
        equation = "y = x"
        gradients = {"input": "dx = g"}

        @staticmethod
        def infer(input):
            return input

        @staticmethod
        def forward(xp, input):
            time.sleep(0.02)
            return input.copy()

        @staticmethod
        def vjp_input(g):
            time.sleep(0.01)
            return g * 1

    yield Slow
    unregister("slow_scratch")
    kernels.TABLE.pop("slow_scratch", None)
    kernels.TABLE.pop("slow_scratch.vjp", None)


def test_time(slow, monkeypatch):
    clock = itertools.count()  # one second for each look at it; operators inside rules look too
    monkeypatch.setattr(record, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda seconds: [next(clock) for _ in range(10)])
    x = tg.ones(3, requires_grad=True)
    with tg.profile() as p:
        y = slow.call(x)
        time.sleep(0.05)  # the user's own
        y.sum().backward()
    forward, total, spread, backward = p.events
    assert [e.time for e in (forward, total, spread, backward)] == [11.0, 1.0, 2.0, 11.0]
    assert total.start == forward.start + forward.time + 11
    assert p.time == sum(e.time for e in p.events) == 25.0
    assert [row.operator for row in p.by_operator()[:2]] == ["slow_scratch"] * 2
    assert [row.phase for row in p.by_operator()[:2]] == ["forward", "backward"]


def test_the_kernel_that_served(slow):
    always = {"provider": "always", "supports": lambda specs, attrs: True}
    kernels.register("slow_scratch", **always)(lambda xp, x: x.copy() if x.size > 2 else None)
    kernels.register("slow_scratch.vjp", **always)(
        lambda xp, g, needs: (g * 1,) if g.size > 2 else None
    )
    for size, served in ((3, ["always", "always"]), (2, ["reference", "rules"])):
        with tg.profile() as p:
            slow.call(tg.ones(size, requires_grad=True)).backward(tg.ones(size))
        assert [e.kernel for e in p.events] == served
    kernels.TABLE.pop("slow_scratch.vjp")
    slow.fused_vjp = staticmethod(lambda xp, g, needs: (g * 1,))
    slow._plans.clear()
    with tg.profile() as p:
        slow.call(tg.ones(3, requires_grad=True)).backward(tg.ones(3))
    assert [e.kernel for e in p.events] == ["always", "fused_vjp"]


def test_flops_that_depend_on_values(slow):
    slow.flops = staticmethod(lambda input: input.item())
    with tg.profile() as p:
        slow.call(tg.ones(3))
    assert p.events[0].flops is None
    assert p.table().endswith("the FLOPs of 1 runs depend on values and are not counted")
    assert p.by_operator()[0].flops == 0


def test_nothing_stays_switched_on():
    x = tg.ones(2)
    with pytest.raises(tg.ShapeError), tg.profile() as p:
        x.exp() + tg.ones(3)
    assert kernels.watchers == 0
    assert mode.state().record == ()
    tg.ones(2).exp()
    assert len(p.events) == 1
    with p:
        tg.ones(2).log()
    assert [e.operator for e in p.events] == ["exp", "log"]
    assert p.events[1].start > p.events[0].start + p.events[0].time


def test_the_results_are_the_same():
    def gradients(watch):
        tg.manual_seed(3)
        net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
        x = tg.rand(2, 2, 6, 6)
        if watch:
            with tg.profile():
                net(x).square().sum().backward()
        else:
            net(x).square().sum().backward()
        return [p.grad.numpy() for p in net.parameters()]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_inside_and_around_other_watchers():
    with pytest.raises(tg.GraphError, match="not finite"), detect_anomaly(), tg.profile():
        tg.tensor([-1.0]).log()
    x = tg.tensor([4.0, 0.0], requires_grad=True)
    with pytest.raises(tg.GraphError, match="in sqrt"), detect_anomaly(), tg.profile():
        x.sqrt().sum().backward()
    with tg.profile() as outer:
        tg.ones(2).exp()
        with tg.profile() as inner:
            (x * x).sum().backward()
    assert runs(outer) == [("exp", "forward", ""), *runs(inner)]
    assert len(runs(inner)) == 4


def test_create_graph():
    block, x = Block(), tg.ones(3, 5, requires_grad=True)
    with tg.profile() as p:
        gradient = tg.autograd.grad(block(x).sum(), x, create_graph=True)
    assert gradient[0].requires_grad
    assert ("linear", "backward", "fc") in runs(p)
    inner = [e for e in p.events if e.depth == 1]
    assert {e.phase for e in inner} == {"backward"}
    assert {e.module for e in inner if e.operator == "linear_input_grad"} == {"fc"}
    assert {e.site.split(" in ")[0].rpartition(":")[0] for e in inner} == {__file__}
    rows = {(r.operator, r.phase): r for r in p.by_operator()}
    assert ("linear_input_grad", "backward") not in rows
    assert p.time == pytest.approx(sum(r.time for r in rows.values()))
    (node,) = [n for n in p.values() if n.op.name == "linear_input_grad"]  # of the gradient's graph
    assert p.values("output_bytes")[node] == 3 * 5 * 4
    first = tg.profile()
    with first:
        tg.autograd.grad(block(x).sum(), x)
    assert rows["linear", "backward"].flops == sum(
        e.flops for e in first.events if (e.operator, e.phase) == ("linear", "backward")
    )


def test_modules_add_up():
    net = nn.Sequential(Block(), nn.Flatten(), nn.Linear(7, 2))
    shared = nn.Sequential(net[2], nn.Linear(2, 7), net[2])
    with tg.profile() as p:
        (net(tg.ones(3, 5)).sum() + shared(tg.ones(3, 7)).sum()).backward()
    rows = {(r.module, r.kind): r for r in p.by_module()}
    block = rows["0", "Block"]
    own = [e for e in p.events if e.module == "0" and e.operator == "mul"]
    for of in ("flops", "output_bytes", "saved_bytes"):
        parts = getattr(rows["0.fc", "Linear"], of) + getattr(rows["0.act", "ReLU"], of)
        assert getattr(block, of) == parts + sum(getattr(e, of) for e in own)
    assert block.forward == pytest.approx(
        sum(e.time for e in p.events if e.module[:1] == "0" and e.phase == "forward")
        - sum(
            e.time
            for e in p.events
            if e.module == "0" and e.operator == "linear" and e.phase == "forward"
        )
    )
    assert rows["0", "Linear"].calls == 2
    assert rows["Sequential", "Sequential"].calls == 2
    assert p.by_module("module")[0].module == "0"


def test_the_trace_encloses(tmp_path):
    net = nn.Sequential(Block(), nn.Sequential(nn.Linear(7, 7), nn.ReLU()))
    x = tg.ones(3, 5, requires_grad=True)
    with tg.profile() as p:
        (gradient,) = tg.autograd.grad(net(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
    p.export_chrome_trace(tmp_path / "trace.json")
    entries = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["ph"] for e in entries} == {"M", "X"}
    spans = [e for e in entries if e["ph"] == "X"]
    for a in spans:
        assert a["dur"] >= 0
        for b in spans:
            first, second = sorted((a, b), key=lambda e: (e["ts"], -e["dur"]))
            end = first["ts"] + first["dur"] + 0.002  # times are rounded to nanoseconds
            assert second["ts"] >= end - 0.004 or second["ts"] + second["dur"] <= end
    (block,) = [e for e in spans if e["name"] == "0" and e["cat"] == "forward"]
    (product,) = [e for e in spans if e["args"].get("module") == "0.fc" and e["cat"] == "forward"]
    assert block["ts"] <= product["ts"]
    assert product["ts"] + product["dur"] <= block["ts"] + block["dur"] + 0.002
    (layer,) = [e for e in spans if e["name"] == "0.fc" and e["cat"] == "forward"]
    assert layer["ts"] + layer["dur"] == pytest.approx(product["ts"] + product["dur"], abs=0.002)
    assert product["args"]["flops"] == 2 * 3 * 5 * 7 + 3 * 7
    assert {e["name"] for e in spans if e["cat"] == "backward"} >= {"linear", "0", "1.0", "1"}


def test_values_for_a_picture():
    x = tg.ones(3, requires_grad=True)
    with tg.profile() as p:
        y = x.exp()
        z = y * 2
        z.sum().backward()
    assert p.values("flops", "forward") == {y.grad_fn: 3, z.grad_fn: 3}
    both = p.values("output_bytes")
    assert both[y.grad_fn] == 12 + 12
    assert set(p.values()) == {y.grad_fn, z.grad_fn}
    assert p.values("time", "backward")[z.grad_fn] == p.events[-2].time
    node = weakref.ref(y.grad_fn)
    del y, z, both
    assert node() is None, "a profile keeps no graph alive"


def test_only_this_thread():
    with tg.profile() as p:
        thread = threading.Thread(target=lambda: tg.ones(2).exp())
        thread.start()
        thread.join()
        tg.ones(2).log()
    assert [e.operator for e in p.events] == ["log"]


def test_a_device_is_waited_for(monkeypatch):
    with installed() as cupy:
        waits = []
        monkeypatch.setattr(
            type(cupy.cuda.Stream.null), "synchronize", lambda stream: waits.append(stream)
        )
        x = tg.ones(3, device="cuda", requires_grad=True)
        with tg.profile():
            x.exp().backward(tg.ones(3, device="cuda"))
        assert len(waits) == 3  # after the operator, and around its rules


def test_tables():
    net = Block()
    with tg.profile() as p:
        net(tg.ones(3, 5)).sum().backward()
    head, *lines, total = p.table("flops").splitlines()
    assert head.split()[:4] == ["operator", "phase", "calls", "time"]
    assert lines[0].split()[:2] == ["linear", "forward"]
    assert len(lines) == 8
    assert total.startswith("total: ")
    short = p.table("operator", row_limit=2).splitlines()
    assert [line.split()[0] for line in short[1:3]] == ["linear", "linear"]
    assert short[3] == "... and 6 more rows"
    modules = p.table("flops", by="module").splitlines()
    assert modules[1].split()[:3] == ["Block", "Block", "1"]
    assert modules[2].split()[:3] == ["fc", "Linear", "1"]
    assert tg.profile().table().splitlines()[-1] == "total: 0 s"


def test_cells_of_a_table():
    """FLOPs without the unit, which heads their columns; bytes and times with it."""
    event = SimpleNamespace(time=0.002, depth=0, flops=2_500_000)
    row = ("exp", "forward", 1, 0.002, 2_500_000, 999_999, 448, "own")
    head, line, total = table_text([OperatorRow(*row)], None, [event], 0.0).splitlines()
    assert re.split("  +", head)[3:9] == ["time", "share", "FLOPs", "FLOP/s", "output", "saved"]
    assert re.split("  +", line)[3:9] == ["2 ms", "100.0 %", "2.5 M", "1.25 G", "1 MB", "448 B"]
    assert total == "total: 2 ms"


def test_what_is_refused(tmp_path):
    p = tg.profile()
    with pytest.raises(tg.ArgumentError, match=r"sorted by 'size'\n  They can be by 'time', 'fl"):
        p.table(sort_by="size")
    with pytest.raises(tg.ArgumentError, match="sorted by 'operator'"):
        p.by_module("operator")
    with pytest.raises(tg.ArgumentError, match="row_limit is a positive integer or None, not 0"):
        p.table(row_limit=0)
    with pytest.raises(tg.ArgumentError, match='by "operator" or "module", not \'line\''):
        p.table(by="line")
    with pytest.raises(tg.ArgumentError, match="no values of 'calls'"):
        p.values("calls")
    with pytest.raises(tg.ArgumentError, match="not 'both'"):
        p.values("time", "both")
    with pytest.raises(tg.DataError, match=r"cannot be written \(No such file"):
        p.export_chrome_trace(tmp_path / "no" / "trace.json")
    with p, pytest.raises(tg.GraphError, match="runs already"), p:
        pass
    assert kernels.watchers == 0


def test_getting_kernels_ready_is_no_time_of_an_operator(slow, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("tinygrad_cv.profiler.record.perf_counter", lambda: clock[0])
    monkeypatch.setattr(kernels.time, "perf_counter", lambda: clock[0])

    @kernels.register("slow_scratch", provider="late", supports=lambda specs, attrs: True)
    def late(xp, x):
        with kernels.preparing():
            clock[0] += 5
        clock[0] += 2
        return x.copy()

    with tg.profile() as p:
        slow.call(tg.ones(3))
        slow.call(tg.ones(3))
    assert [event.time for event in p.events] == [2.0, 2.0]
    assert [event.start for event in p.events] == [0.0, 2.0]
    assert p.preparing == 10.0
    assert "and 10 s for compiling or loading kernels" in p.table()
