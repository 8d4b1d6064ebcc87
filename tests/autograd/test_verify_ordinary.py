"""verify on ordinary data: no operator is blamed that is right, and none passes that is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.planting import CASES, FLAT, cases_of, kernel, planted
from tests.scratch import scratch
from tinygrad_cv import models, nn
from tinygrad_cv.autograd import graph, retain_all, verify
from tinygrad_cv.autograd.quotients import quotients
from tinygrad_cv.core.op import REGISTRY, unregister
from tinygrad_cv.testing.case import to_tensors

F = nn.functional


@pytest.fixture
def op() -> Any:
    yield scratch
    unregister("scratch")


# The measure


def test_three_times_the_bound_covers_one_kink_anywhere() -> None:
    where = np.concatenate([np.linspace(-2e-3, 2e-3, 2001), 10.0 ** np.linspace(-12, -3, 500)])
    found = quotients(lambda t: np.maximum(t - where, 0.0) + np.exp(t))
    assert (np.abs(found.slope - np.where(where < 0, 2.0, 1.0)) <= 3 * found.bound + 1e-9).all()
    assert found.settled()[np.abs(where) > 1e-8].all()
    at_kink = quotients(lambda t: np.maximum(np.full(3, t), 0.0) + t)
    assert not at_kink.settled().any()


def test_what_rounding_swallows_is_not_known() -> None:
    def loss(t: float) -> np.ndarray:
        x = 30 * (1 + t)
        return np.array([np.log(1 + np.exp(-x)), np.exp(-x)])

    found = quotients(loss, 30.0, careful=True)
    assert abs(found.slope[0] + 30 * np.exp(-30)) <= 3 * found.bound[0]
    assert list(found.settled()) == [False, True]


# Right operators


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [5, 10, 14, 17, 20, 25, 30, 36, 37, 40, 100, 800])
def test_saturated_losses(margin: float, dtype: str) -> None:
    x, label = tg.tensor([[margin, 0.0]], dtype=dtype), tg.zeros(1, dtype="int64")
    target = tg.ones(1, 2, dtype=dtype)
    for function in (
        lambda x: F.cross_entropy(x, label),
        lambda x: F.binary_cross_entropy_with_logits(x, target),
        lambda x: x.sigmoid().log(),
        lambda x: x.tanh(),
        lambda x: F.softplus(-x),
    ):
        report = verify(function, x)
        assert report.ok, str(report)


def test_a_fault_in_a_saturated_loss() -> None:
    label = tg.zeros(1, dtype="int64")
    for margin in (5.0, 14.0, 20.0, 30.0, 40.0):
        with planted(REGISTRY["cross_entropy"], "input", lambda g: g * 1.01):
            report = verify(lambda x: F.cross_entropy(x, label), tg.tensor([[margin, 0.0]]))
        assert [f.part for f in report.faults] == ["vjp_input"], str(report)


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu"])
def test_many_kinks_inside_the_step(name: str) -> None:
    function = getattr(F, name, None) or getattr(tg, name)
    for seed in range(3):
        tg.manual_seed(seed)
        report = verify(function, tg.randn(100_000), seed=seed)
        assert (report.faults, report.open) == ([], []), str(report)
        report = verify(lambda x: function(x.exp() - 1), tg.randn(10_000), seed=seed)
        assert (report.faults, report.open) == ([], []), str(report)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sort(dim=0)[0],
        lambda x: F.normalize(x**5, dim=0),
        lambda x: F.l1_loss(x**5, tg.zeros(10_000)),
        lambda x: F.l1_loss(x, x.detach().flip(0)),
        lambda x: (x * 3).round().sort(dim=0)[0],
        lambda x: x.median(),
        lambda x: x.softmax(0),
    ],
    ids=["sort", "normalize", "l1_loss", "l1_loss of pairs", "sort of ties", "median", "softmax"],
)
def test_ordinary_numbers(function: Any) -> None:
    for seed in range(8):
        tg.manual_seed(seed)
        report = verify(function, tg.randn(10_000), seed=seed)
        assert (report.faults, report.open) == ([], []), str(report)


def test_a_tie_is_a_kink_along_straight_lines_too() -> None:
    """The median of three equal numbers has a derivative along each line, and no gradient."""
    for count in (3, 101):
        for seed in range(5):
            report = verify(lambda x: x.median(), tg.ones(count), seed=seed)
            assert report.ok, str(report)
            assert len(report.kinks) == 1, str(report)
        with planted(REGISTRY["median"], "input", lambda g: g * 1.01):
            assert not verify(lambda x: x.median(), tg.ones(count)).ok


def test_a_network_of_videos() -> None:
    tg.manual_seed(5)
    net = models.C3D(5, widths=(4, 6, 8), hidden=8).eval()
    report = verify(net, tg.randn(2, 3, 16, 56, 56), seed=5)
    assert (report.faults, report.open) == ([], []), str(report)


def test_where_nothing_can_be_measured_nothing_is_said() -> None:
    for x in (tg.rand(3), tg.rand(3, dtype="float64")):
        report = verify(lambda x: (x.double() * 1e200).sin(), x)
        assert report.ok, str(report)
        assert [f.node.op.name for f in report.open] == ["sin"]
        assert "it is right at inputs of size 1" in report.open[0].text


# Wrong ones


def one_nan(g: Any) -> Any:
    wrong = np.array(g, order="C")
    wrong.reshape(-1)[2] = np.nan
    return wrong


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g: g * np.nan,
        one_nan,
        lambda g: g / (g - g),
        lambda g: g + np.inf,
        lambda g: g - np.inf,
    ],
    ids=["nan", "one nan", "zero", "inf", "-inf"],
)
@pytest.mark.parametrize("name", ["sin", "relu", "cumsum", "softmax"])
def test_a_rule_without_a_number(name: str, wrong: Any) -> None:
    call = {"cumsum": lambda x: x.cumsum(0), "softmax": lambda x: x.softmax(0)}
    function = call.get(name) or getattr(tg, name)
    with planted(REGISTRY[name], "input", wrong):
        (fault,) = verify(function, tg.tensor([0.5, -1.0, 2.0, 3.0])).faults
    assert (fault.node.op.name, fault.part) == (name, "vjp_input")
    assert fault.text.startswith(
        ("the rule gives nan, ", "the rule gives inf", "the rule gives -i")
    )
    assert "alone" in fault.text


def test_no_number_at_a_kink_is_no_fault() -> None:
    for function in (tg.sqrt, tg.log, tg.rsqrt, lambda x: x**0.5):
        report = verify(function, tg.tensor([0.0, 1.0, 2.0]))
        assert report.ok, str(report)
        assert report.kinks, str(report)


@pytest.mark.parametrize("count", [10, 1_000, 100_000])
def test_small_faults_in_small_and_large_arrays(count: int) -> None:
    def last(g: Any) -> Any:
        wrong = np.array(g)
        wrong.reshape(-1)[-1] *= 1.0001
        return wrong

    functions = {"relu": tg.relu, "exp": tg.exp, "mean": tg.mean, "cumsum": lambda x: x.cumsum(0)}
    functions["l1_loss"] = lambda x: F.l1_loss(x, tg.zeros(count))
    for name, function in functions.items():
        for wrong in (lambda g: g * 1.0001, last):
            if wrong is last and name not in ("relu", "exp"):
                continue  # one element of a sum of many
            with planted(REGISTRY[name], "input", wrong):
                report = verify(function, tg.rand(count) + 0.1)
            assert [f.part for f in report.faults] == ["vjp_input"], f"{name}: {report}"


def single(factor: float) -> Any:
    """A factor that only float32 meets."""
    return lambda x: x * x.dtype.type(factor) if x.dtype == np.float32 else x


def test_a_reference_that_is_wrong_in_float32_only(op: Any) -> None:
    x, w = tg.rand(20, 30), tg.rand(20, 30)
    off = single(1.001)
    wrong = op(forward=lambda xp, input, weight: off(weight * input * input + input))
    (fault,) = verify(wrong.call, x, w).faults
    assert fault.part == "forward by the reference"
    assert fault.text.startswith("in float32 it is not what it is in float64: ")
    assert verify(wrong.call, x.double(), w.double()).ok
    unregister("scratch")
    wrong = op(vjp_weight=lambda g, input: off(g * input * input))
    (fault,) = verify(wrong.call, x, w).faults
    assert fault.part == "vjp_weight"
    assert fault.text.startswith("in float32 it is not what it is in float64: ")


def test_a_compiled_kernel_that_is_off_where_slopes_are_small() -> None:
    exp = REGISTRY["exp"].forward
    with kernel("exp", lambda xp, x: exp(xp, x) * x.dtype.type(1.001)):
        (fault,) = verify(tg.exp, tg.tensor([-20.0, -21.0])).faults
    assert fault.part == "forward by planted"


# Nothing is left behind


def test_a_function_leaves_no_trace() -> None:
    net: Any = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten())
    x = tg.rand(3, 1, 5, 5)
    net(x).sum().backward()
    before = {name: np.array(t.array) for name, t in net.state_dict().items()}
    grads = [np.array(p.grad.array) for p in net.parameters()]
    tg.manual_seed(3)
    expected = np.array(tg.rand(4).array)
    tg.manual_seed(3)

    def function(x: Any) -> Any:
        y = net(x).sum()
        net[0].weight.grad.mul_(2)
        return y

    assert verify(net, x).ok
    assert verify(function, x).ok
    assert np.array_equal(tg.rand(4).array, expected)
    for name, t in net.state_dict().items():
        assert np.array_equal(t.array, before[name]), name
    for p, g in zip(net.parameters(), grads, strict=True):
        assert np.array_equal(p.grad.array, g)
    w: Any = tg.rand(3, requires_grad=True)
    y = w * 2
    assert verify(lambda y: y.mul_(3).sum(), y).ok
    y.sum().backward()
    assert np.array_equal(w.grad.array, [2, 2, 2])

    def fails(x: Any) -> Any:
        net(x)
        raise RuntimeError("here")

    with pytest.raises(RuntimeError, match="here"):
        verify(fails, x)
    assert net[1].num_batches_tracked.item() == before["1.num_batches_tracked"]
    with retain_all():  # the user's own run
        y = net(x).sum()
    assert verify(y).ok
    assert net[1].num_batches_tracked.item() == before["1.num_batches_tracked"] + 1


# Every operator on numbers of many kinds


def numbers(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    shape = like.shape
    kinds: list[Any] = [
        lambda: like * 10.0 ** rng.uniform(-3, 3),
        lambda: rng.normal(size=shape),
        lambda: rng.uniform(0, 1, shape),
        lambda: rng.uniform(-1, 1, shape) * 10.0 ** rng.uniform(-3, 3),
        lambda: rng.lognormal(0, 1, shape),
        lambda: rng.integers(-3, 4, shape).astype(float),
        lambda: np.where(rng.random(shape) < 0.3, 0.0, rng.normal(size=shape)),
        lambda: rng.choice(rng.normal(size=3), shape),
        lambda: rng.integers(0, 256, shape) / 255.0,
        lambda: rng.normal(size=shape) ** 5,
    ]
    return np.asarray(kinds[rng.integers(len(kinds))]())


# At 0 its rule gives 0 as PyTorch's does, where the function is x: which verify finds.
KNOWN = "softshrink-(0.0,)"


def fuzzed(rng: np.random.Generator, case: Any) -> list[tg.Tensor]:
    """The graph of a case on other numbers; empty if it refuses them."""
    leaves, wanted = list(case.leaves()), case.differentiable()
    dtype = (np.float32, np.float64)[rng.integers(2)]
    for i in wanted:
        if rng.random() < 0.85:
            leaves[i] = numbers(rng, leaves[i])
    leaves = [x.astype(dtype) if x.dtype.kind == "f" else x for x in leaves]
    try:
        with np.errstate(all="ignore"), retain_all():
            tensors = to_tensors(leaves, "cpu", wanted, "contiguous")
            outputs = case.call([x.clone() if x.requires_grad else x for x in tensors])
            return [y.reshape(-1) for y in outputs if y.requires_grad]
    except tg.TinygradError:
        return []


def test_no_operator_is_blamed_on_numbers_of_any_kind() -> None:
    checked = 0
    for seed in range(450):
        rng = np.random.default_rng(seed)
        case = CASES[rng.integers(len(CASES))]
        outputs = [] if case.id.startswith(KNOWN) else fuzzed(rng, case)
        if outputs:
            report = verify(outputs, seed=seed)
            assert report.ok, f"seed {seed}, {case.id}: {report}"
            checked += 1
    assert checked > 400


class Planted:
    """A fault in a gradient, and whether it makes a difference that counts."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.size, self.kind, self.place = 10.0 ** rng.uniform(-4, 0), rng.integers(3), rng.random()
        self.counts = False

    def __call__(self, g: Any) -> Any:
        wrong = np.array(g, order="C")
        if self.kind == 2 and wrong.size:
            at = np.flatnonzero(np.isfinite(wrong))
            wrong.reshape(-1)[at[int(self.place * at.size)] if at.size else 0] = np.nan
        elif self.kind == 1:
            wrong -= self.size * abs(wrong)
        else:
            wrong *= 1 + self.size
        if type(g) is np.ndarray and g.dtype == np.float64 and self.kind != 2:
            self.counts |= bool((np.isfinite(g) & (abs(g) > 1e-6) & (wrong != g)).any())
        return wrong


def test_a_fault_of_any_kind_in_any_rule_is_found() -> None:
    """Unless a node says itself that it stands at a kink or could not be checked."""
    rules = [item for item in cases_of().items() if ".".join(item[0]) not in FLAT]
    found = 0
    for seed in range(180):
        rng = np.random.default_rng(seed)
        (name, input), cases = rules[rng.integers(len(rules))]
        case, fault = cases[rng.integers(len(cases))], Planted(rng)
        with planted(REGISTRY[name], input, fault):
            outputs = [] if case.id.startswith(KNOWN) else fuzzed(rng, case)
            if not outputs:
                continue
            report = verify(outputs, seed=seed)
        nodes = {n for n in graph.nodes(outputs) if n.op is REGISTRY[name]}
        assert {f.node for f in report.faults} <= nodes, f"seed {seed}, {case.id}: {report}"
        told = {f.node for f in (*report.faults, *report.kinks, *report.open)}
        if fault.counts:
            assert told & nodes, f"seed {seed}, {name}.{input}, {case.id}: {report}"
        found += not report.ok
    assert found > 100
