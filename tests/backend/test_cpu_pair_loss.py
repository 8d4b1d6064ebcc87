"""Compiled losses of two tensors equal their references, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import pair_loss, threads
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore:kl_div")

# The function, of what kind its inputs are, its options, and which inputs kernels differentiate.
LOSSES = [
    ("mse_loss", "xx", {}, (0, 1)),
    ("l1_loss", "xx", {}, (0, 1)),
    ("smooth_l1_loss", "xx", {"beta": 0.7}, (0, 1)),
    ("huber_loss", "xx", {"delta": 0.7}, (0, 1)),
    ("binary_cross_entropy", "pp", {}, (0,)),
    ("binary_cross_entropy_with_logits", "xp", {}, (0,)),
    ("kl_div", "xp", {}, (0,)),
    ("kl_div", "xx", {"log_target": True}, (0,)),
    ("poisson_nll_loss", "xp", {}, (0,)),
    ("gaussian_nll_loss", "xxp", {}, (0, 1, 2)),
    ("sigmoid_focal_loss", "xp", {"alpha": 0.3}, (0,)),
    ("sigmoid_focal_loss", "xp", {"alpha": -1}, (0,)),
]
KINDS = {(name, str(options)): (kinds, wanted) for name, kinds, options, wanted in LOSSES}
LAYOUTS = st.sampled_from(["contiguous", "channels_last"])


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(pair_loss, "SMALLEST", 0)


def inputs(kinds, shape):
    rng = np.random.default_rng(3)
    make = {"x": rng.standard_normal, "p": lambda s: rng.uniform(0.02, 0.98, s)}
    return [make[kind](shape).astype(np.float32) for kind in kinds]


def results(provider, name, options, arrays, layouts, reduction, wanted):
    """The loss and the gradients of the wanted inputs, and what the kernels of it were asked."""
    leaves = [
        tg.tensor(a).contiguous(layout).detach() for a, layout in zip(arrays, layouts, strict=False)
    ]
    for k in wanted:
        leaves[k].requires_grad_()
    with kernels.use(provider):
        loss = getattr(F, name)(*leaves, **options, reduction=reduction)
        weights = np.linspace(-1, 1, loss.numel(), dtype=np.float32).reshape(loss.shape)
        loss.backward(tg.tensor(weights))
    return [loss.detach().numpy(), *(leaves[k].grad.numpy() for k in wanted)]


def compare(name, options, shape, layouts, reduction, wanted=None):
    kinds, served = KINDS[name, str(options)]
    wanted = served if wanted is None else wanted
    arrays = inputs(kinds, shape)
    found, expected = (
        results(p, name, options, arrays, layouts, reduction, wanted)
        for p in ("numba", "reference")
    )
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "kinds", "options", "served"), LOSSES)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 4),
    layouts=st.tuples(LAYOUTS, LAYOUTS, LAYOUTS),
    reduction=st.sampled_from(["mean", "sum", "none"]),
)
@settings(max_examples=15, deadline=None)
def test_any_shape_and_layout(name, kinds, options, served, shape, layouts, reduction):
    compare(name, options, shape, layouts, reduction)


@pytest.mark.parametrize(("name", "kinds", "options", "served"), LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_every_input_that_needs_a_gradient_gets_it(name, kinds, options, served, reduction):
    for wanted in ((0,), (1,), tuple(range(len(kinds)))):
        compare(name, options, (2, 3, 4, 5), ("contiguous",) * 3, reduction, wanted)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_long_sum_by_any_number_of_threads(workers):
    """Of squares, in float64; a plain sum in float32 would be off by more."""
    x = np.random.default_rng(1).standard_normal(3_000_001).astype(np.float32) + 100
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(workers)
        loss = F.mse_loss(tg.tensor(x), tg.zeros(x.size), reduction="sum")
    finally:
        threads.set_num_threads(before)
    exact = np.sum(x.astype(np.float64) ** 2)
    assert abs(loss.item() - exact) <= 1e-7 * exact


@pytest.mark.parametrize("operator", sorted({row.operator for row in pair_loss.TABLE}))
def test_who_serves(operator):
    assert REGISTRY[operator].attributes[-1] == "reduction"
    served = tg.kernels(operator)
    assert served[operator][0] == served[f"{operator}.vjp"][0] == "numba (cpu)"
    for row in (row for row in pair_loss.TABLE if row.operator == operator):
        names = [*row.attributes.split(), "reduction"]
        assert (*row.inputs.split(), *names) == (
            *REGISTRY[operator].inputs,
            *REGISTRY[operator].attributes,
        )


def test_the_kernels_do_run(monkeypatch):
    """Values, sum and slopes: not a reference that steps in."""
    from tinygrad_cv.backend.cpu.compiled import pair_loss as compiled

    ran = set()

    def noting(kind, name, kernel):
        def run(*args):
            ran.add((kind, name))
            kernel(*args)

        return run

    for kind in ("VALUES", "SUMS", "SLOPES"):
        table = getattr(compiled, kind)
        noted = {name: noting(kind, name, kernel) for name, kernel in table.items()}
        monkeypatch.setattr(compiled, kind, noted)
    for name, _, options, _ in LOSSES:
        for reduction in ("mean", "none"):
            compare(name, options, (2, 3, 4, 5), ("channels_last",) * 3, reduction)
    tables = {kind: getattr(compiled, kind) for kind in ("VALUES", "SUMS", "SLOPES")}
    assert ran == {(kind, name) for kind, table in tables.items() for name in table}


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_what_is_no_probability_is_refused(bad, reduction):
    x = np.full((4, 5), 0.5, np.float32)
    x[2, 3] = bad
    with pytest.raises(ArgumentError, match="probabilities"):
        F.binary_cross_entropy(tg.tensor(x), tg.ones(4, 5), reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_variance_may_be_nan_but_not_negative(reduction):
    x, var = tg.zeros(4, 5), np.ones((4, 5), np.float32)
    var[2, 3] = np.nan
    loss = F.gaussian_nll_loss(x, x, tg.tensor(var), reduction=reduction)
    assert np.isnan(loss.numpy()).sum() == 1
    var[2, 3] = -1
    with pytest.raises(ArgumentError, match="negative"):
        F.gaussian_nll_loss(x, x, tg.tensor(var), reduction=reduction)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "kl_div"])
def test_ends_are_as_accurate_as_the_middle(name):
    """ln(1 - x) for tiny x, and the bounds at 0 and 1."""
    x = np.array([1e-7, 1e-4, 0.3, 1 - 1e-6, 0.0, 1.0, 0.0, 1.0], np.float32)
    t = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0], np.float32)
    exact = getattr(F, name)(
        tg.tensor(x.astype(float)), tg.tensor(t.astype(float)), reduction="none"
    )
    found = getattr(F, name)(tg.tensor(x), tg.tensor(t), reduction="none")
    np.testing.assert_allclose(found.numpy(), exact.numpy(), rtol=1e-6)
