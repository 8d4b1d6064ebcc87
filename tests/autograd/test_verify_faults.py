"""What verify finds beside wrong factors, from which size on, and that it leaves networks alone."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.planting import FLAT, cases_of, kernel, planted, recorded, smallest_of
from tests.scratch import scratch
from tinygrad_cv import models, nn
from tinygrad_cv.autograd import graph, retain_all, verify
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.op import REGISTRY, unregister

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@pytest.fixture
def op() -> Any:
    yield scratch
    unregister("scratch")


def faults(function: Any, *inputs: Any) -> list[tuple[str, str, str]]:
    return [(f.node.op.name, f.part, f.text) for f in verify(function, *inputs).faults]


def test_every_rule_of_the_package_has_a_case() -> None:
    """So whatever is planted into every case is planted into every rule."""
    rules = {
        (name, input)
        for name, op in REGISTRY.items()
        if op.__module__.startswith("tinygrad_cv.")
        for input in op.rules
    }
    assert rules <= set(cases_of())
    assert len(rules) > 250


# Rules and kernels


@DTYPES
def test_a_rule_that_gives_nothing(op: Any, dtype: Any) -> None:
    x, w = tg.rand(2, 3).to(dtype), tg.rand(2, 3).to(dtype)
    wrong = op(vjp_weight=lambda g, input: {}.get("gradient"))
    ((name, part, text),) = faults(lambda x, w: (wrong.call(x * 1, w) * 2).sum(), x, w)
    assert (name, part) == ("scratch", "vjp_weight")
    assert text.startswith("the rule gives 0, differences ")


def test_a_rule_that_gives_nan(op: Any) -> None:
    x, w = tg.rand(2, 3), tg.rand(2, 3)
    wrong = op(vjp_weight=lambda g, input: g * input * input * np.nan)
    ((name, part, text),) = faults(wrong.call, x, w)
    assert (name, part) == ("scratch", "vjp_weight")
    assert text.startswith("the rule gives nan, differences ")


def written_g(g: Any, input: Any) -> Any:
    found = g * input * input
    g *= 2
    return found


def written_input(g: Any, input: Any) -> Any:
    found = g * input * input
    input += 1
    return found


@DTYPES
@pytest.mark.parametrize(("rule", "name"), [(written_g, "g"), (written_input, "input")])
def test_a_rule_that_writes_into_its_arguments(op: Any, dtype: Any, rule: Any, name: str) -> None:
    """The other rule, which would read what was overwritten, is not blamed."""
    x, w = tg.rand(2, 3).to(dtype), tg.rand(2, 3).to(dtype)
    found = faults(op(vjp_weight=rule).call, x, w)
    assert found == [("scratch", "vjp_weight", f"it writes into its argument {name}")]


def right(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
    return [g * (2 * weight * input + 1), g * input * input]


def test_a_compiled_rule_that_writes_or_lies(op: Any) -> None:
    x, w = tg.rand(2, 3), tg.rand(2, 3)

    def writes(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
        found = right(xp, g, needs, input, weight)
        weight += 1
        return found

    def lacks(*given: Any) -> Any:
        return [right(*given)[0], None]

    def shrinks(*given: Any) -> Any:
        return [right(*given)[0], right(*given)[1][0]]

    def widens(*given: Any) -> Any:
        return [x.astype(np.float64) for x in right(*given)]

    texts = {
        writes: "it writes into its argument weight",
        lacks: "no gradient of weight",
        shrinks: "a gradient of shape (3,) for an input of shape (2, 3)",
        widens: "the gradient of input: float64 (2, 3) instead of float32 (2, 3)",
    }
    call = op().call
    reads = ("xp", "g", "needs", "input", "weight")
    for wrong, text in texts.items():
        with kernel("scratch.vjp", kernels.with_parameters(lambda *a, w=wrong: w(*a), reads)):
            assert faults(call, x, w) == [("scratch", "scratch.vjp by planted", text)]
    for wrong in (writes, lacks, shrinks):
        fused = op(fused_vjp=kernels.with_parameters(lambda *a, w=wrong: w(*a), reads))
        assert faults(fused.call, x, w) == [("scratch", "fused_vjp", texts[wrong])]


@DTYPES
def test_a_kernel_of_another_dtype_or_shape(dtype: Any) -> None:
    x = tg.rand(2, 3).to(dtype)
    other = {"float32": np.float64, "float64": np.float32}[x.dtype.name]
    exp = REGISTRY["exp"].forward
    with kernel("exp", lambda xp, x: exp(xp, x).astype(other)):
        ((_, part, text),) = faults(tg.exp, x)
    assert part == "forward by planted"
    assert f"{np.dtype(other)} (2, 3) instead of {x.dtype} (2, 3)" in text
    with kernel("exp", lambda xp, x: exp(xp, x)[:1]):
        ((_, part, text),) = faults(tg.exp, x)
    assert f"output is not what the reference gives: {x.dtype} (1, 3) instead of" in text


@DTYPES
def test_a_wrong_residual(dtype: Any) -> None:
    """The output is right; only the gradient would be wrong."""
    image = tg.rand(2, 3, 6, 6).to(dtype)
    pool = REGISTRY["max_pool"]

    def winners(xp: Any, *given: Any) -> Any:
        output, indices = pool.forward(xp, *given)
        return output, indices[..., ::-1].copy()

    with kernel("max_pool", winners):
        ((name, part, text),) = faults(lambda x: nn.functional.max_pool2d(x * 1, 2), image)
    assert (name, part) == ("max_pool", "forward by planted")
    assert text.startswith(f"{pool.residuals[0]} is not what the reference gives: ")
    dropout = REGISTRY["dropout"]

    def mask(xp: Any, *given: Any) -> Any:
        output, kept = dropout.forward(xp, *given)
        return output, ~kept if kept.dtype == bool else kept[::-1].copy()

    with kernel("dropout", mask):
        ((name, part, text),) = faults(lambda x: nn.functional.dropout(x, 0.5), image)
    assert (name, part) == ("dropout", "forward by planted")
    assert text.startswith(f"{dropout.residuals[0]} is not what the reference gives: ")


# The smallest fault that is found, as verify's docstring says


def test_a_rule_that_is_off_by_little() -> None:
    missed = set()
    for (op, name), cases in cases_of().items():
        with planted(REGISTRY[op], name, lambda g: g * (1 + 1e-5)):
            if all(verify(recorded(case)).ok for case in cases):
                missed.add(f"{op}.{name}")
    assert missed == FLAT


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 2e-4), (np.float64, 2e-9)])
def test_a_kernel_that_is_off_by_little(dtype: Any, size: float) -> None:
    missed = set()
    for name, case in smallest_of().items():
        op = REGISTRY[name]

        def wrong(xp: Any, *given: Any, op: Any = op) -> Any:
            result = op.forward(xp, *given)
            first, *rest = result if type(result) is tuple else (result,)
            first = first * first.dtype.type(1 + size)
            return (first, *rest) if rest else first

        with kernel(name, wrong):
            report = verify(recorded(case, dtype))
        if "forward by planted" not in {f.part for f in report.faults}:
            missed.add(name)
    assert missed == {"zero_map"}  # which gives zeros


# Networks, and inputs of every kind

NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "C3D": (lambda: models.C3D(5, 2, (4, 8), 8), (2, 2, 8, 16, 16)),
    "DepthwiseSeparableConv2d": (
        lambda: models.DepthwiseSeparableConv2d(2, 3, 3, padding=1),
        (2, 2, 8, 8),
    ),
    "HybridDilatedConv": (lambda: models.HybridDilatedConv(2, 3), (2, 2, 12, 12)),
    "LeNet": (lambda: models.LeNet(), (2, 1, 32, 32)),
    "LeNet, as today": (
        lambda: models.LeNet(activation="relu", pool="max", padding=2),
        (2, 1, 28, 28),
    ),
}


def test_all_networks_are_here() -> None:
    kinds = {name for name in models.__all__ if isinstance(getattr(models, name), type)}
    kinds = {name for name in kinds if issubclass(getattr(models, name), nn.Module)}
    assert kinds == {name.partition(",")[0] for name in NETWORKS}


@DTYPES
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_clean(name: str, seed: int, dtype: Any) -> None:
    make, shape = NETWORKS[name]
    tg.manual_seed(seed)
    net = make().to(dtype)
    for training in (True, False):
        report = verify(net.train(training), tg.randn(*shape).to(dtype), seed=seed)
        assert report.ok, str(report)
        assert not report.open, str(report)
        assert report.nodes >= 6
    with planted(REGISTRY["conv"], "weight", lambda g: g * 1.01):
        report = verify(net, tg.randn(*shape).to(dtype), seed=seed)
    assert {(f.node.op.name, f.part) for f in report.faults} == {("conv", "vjp_weight")}


Pair = namedtuple("Pair", "a b")


def test_inputs_in_containers() -> None:
    def function(pair: Any, table: Any, *, options: Any) -> Any:
        return Pair(pair.a.exp(), [table["w"] * options[0]["s"]])

    x, w, s = (tg.rand(2) for _ in range(3))
    args = Pair(x, "b"), OrderedDict(w=w)
    report = verify(function, *args, options=({"s": s},))
    assert report.ok
    assert report.nodes == 2
    assert report.checks >= 2 + 3  # two forwards, and a rule for each of x, w and s
    with planted(REGISTRY["mul"], "other", lambda g: g * 1.01):  # the one of s
        (fault,) = verify(function, *args, options=({"s": s},)).faults
    assert (fault.node.op.name, fault.part) == ("mul", "vjp_other")


def test_inputs_with_a_graph_of_their_own() -> None:
    w = tg.rand(3, requires_grad=True)
    report = verify(tg.exp, w * 2)
    assert (report.ok, report.nodes) == (True, 1)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    report = verify(net[1:], net[0](tg.rand(2, 3)))
    assert (report.ok, report.nodes) == (True, 2)
    with planted(REGISTRY["tanh"], "input", lambda g: g * 1.01):
        (fault,) = verify(net[1:], net[0](tg.rand(2, 3))).faults
    assert fault.node.op.name == "tanh"
    before = w.exp()  # what a function finds outside is as a constant, but its own part is checked
    report = verify(lambda x: (x * before).sum(), tg.rand(3))
    assert (report.ok, report.nodes) == (True, 2)
    with planted(REGISTRY["mul"], "other", lambda g: g * 1.01):
        assert len(verify(lambda x: (x * before).sum(), tg.rand(3)).faults) == 1
    report = verify(lambda x: x.mul_(3).sum(), w * 2)  # which a leaf would not allow
    assert (report.ok, report.nodes) == (True, 2)
    assert w.grad is None
    with retain_all():
        whole = (w * 2).exp()
    assert verify(whole).nodes == len(graph.nodes(whole)) == 2
