"""Draws from given distributions, and tensors filled with draws: values, streams, refusals."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import (
    ArgumentError,
    BackendError,
    DTypeError,
    GraphError,
    RangeError,
    ShapeError,
)
from tinygrad_cv.nn import functional as F
from tinygrad_cv.ops import distributions
from tinygrad_cv.ops.distributions import METHODS
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(8)
MEAN, STD = rng.normal(size=(2, 1, 3)), rng.uniform(0.5, 2, size=(4, 1))
WEIGHTS = np.array([[1.0, 0.0, 3.0, 2.0], [0.0, 0.5, 0.0, 0.5]])
LOGITS = rng.normal(size=(2, 3, 4))


def gumbel(logits, tau=1.0, hard=False, dim=-1):
    """Called with the same stream each time, so that it is a function."""
    return F.gumbel_softmax(logits, tau, hard, dim=dim, generator=tg.Generator(4))


def gumbel_by_hand(logits, tau=1.0, dim=-1):
    u = np.random.Generator(np.random.Philox(key=np.array([4, 0], np.uint64))).random(logits.shape)
    e = np.exp((logits - np.log(-np.log(1 - u))) / tau)
    return e / e.sum(dim, keepdims=True)


def method(name):
    """The method as a function that takes arrays too."""

    def call(x, *args, **kwargs):
        return getattr(tg.as_tensor(x), name)(*args, **kwargs)

    call.__name__ = name
    return call


bernoulli_, normal_, uniform_ = map(method, ("bernoulli_", "normal_", "uniform_"))

CASES = [
    Case(gumbel, (LOGITS,), reference=gumbel_by_hand),
    Case(gumbel, (LOGITS,), (0.5, False, 1), reference=lambda x: gumbel_by_hand(x, 0.5, 1)),
]
NUMBERS = np.array([0.5, 1.0])
BAD = [
    Bad(tg.normal, (), error=ArgumentError, match="size is missing"),
    Bad(tg.normal, (0.0, 1.0), error=ArgumentError, match="size is missing"),
    Bad(tg.normal, (NUMBERS, 1.0, (2,)), error=ArgumentError, match="do not give it"),
    Bad(tg.normal, (0.0, -1.0, (2,)), error=ArgumentError, match="negative"),
    Bad(tg.normal, (0.0, -NUMBERS), error=ArgumentError, match="negative"),
    Bad(tg.normal, (np.array([1, 2]), 1.0), error=DTypeError, match="mean must be floating"),
    Bad(tg.normal, ("a", 1.0, (2,)), error=DTypeError, match="mean must be a number"),
    Bad(tg.normal, (0.0, None, (2,)), error=DTypeError, match="std must be a number"),
    Bad(tg.normal, (np.ones(4), np.ones((2, 2))), error=ShapeError, match="broadcast"),
    Bad(tg.normal, (0.0, 1.0, (-2,)), error=ShapeError, match="negative"),
    Bad(tg.normal, (NUMBERS,), {"generator": 3}, error=DTypeError, match="Generator"),
    Bad(tg.multinomial, (np.array([1, 2]), 1), error=DTypeError, match="floating"),
    Bad(tg.multinomial, (np.array(1.0), 1), error=ShapeError, match="1 or 2 axes"),
    Bad(tg.multinomial, (np.ones((2, 2, 2)), 1), error=ShapeError, match="1 or 2 axes"),
    Bad(tg.multinomial, (NUMBERS, 0), error=ArgumentError, match="at least 1"),
    Bad(tg.multinomial, (NUMBERS, 1.5), error=DTypeError, match="num_samples"),
    Bad(tg.multinomial, (NUMBERS, 3), error=ArgumentError, match="3 different positions"),
    Bad(tg.multinomial, (WEIGHTS, 3), error=ArgumentError, match="has 2 weights"),
    Bad(tg.multinomial, (-NUMBERS, 1), error=ArgumentError, match="negative"),
    Bad(tg.multinomial, (NUMBERS * np.inf, 1), error=ArgumentError, match="infinite"),
    Bad(tg.multinomial, (NUMBERS * np.nan, 1), error=ArgumentError, match="NaN"),
    Bad(tg.multinomial, (np.zeros(3), 1), error=ArgumentError, match="add up to 0"),
    Bad(tg.multinomial, (np.zeros((2, 0)), 1, True), error=ArgumentError, match="add up to 0"),
    Bad(tg.multinomial, (NUMBERS, 1), {"generator": 3}, error=DTypeError, match="Generator"),
    Bad(F.gumbel_softmax, (NUMBERS, 0), error=ArgumentError, match="above 0"),
    Bad(F.gumbel_softmax, (NUMBERS, float("nan")), error=ArgumentError, match="above 0"),
    Bad(F.gumbel_softmax, (NUMBERS, "a"), error=DTypeError, match="tau must be a number"),
    Bad(F.gumbel_softmax, (np.array([1, 2]),), error=DTypeError, match="floating"),
    Bad(
        F.gumbel_softmax,
        (NUMBERS,),
        {"dim": 1},
        error=RangeError,
        match="dim 1",
        skip={"operator": ""},
    ),
    Bad(uniform_, (NUMBERS, 1, 0), error=ArgumentError, match="low must not"),
    Bad(uniform_, (NUMBERS, "a"), error=DTypeError, match="low must be a number"),
    Bad(uniform_, (np.array([1]),), error=DTypeError, match="must be floating"),
    Bad(normal_, (NUMBERS, 0, -1), error=ArgumentError, match="negative"),
    Bad(normal_, (NUMBERS, None), error=DTypeError, match="mean must be a number"),
    Bad(normal_, (np.array([1]),), error=DTypeError, match="must be floating"),
    Bad(bernoulli_, (NUMBERS, 2.0), error=ArgumentError, match=r"\[0, 1\]"),
    Bad(bernoulli_, (NUMBERS, "a"), error=DTypeError, match="p must be a number"),
    Bad(
        bernoulli_,
        (NUMBERS, np.array([0.5, 1.5])),
        error=ArgumentError,
        match=r"\[0, 1\]",
        skip={"operator": ""},
    ),
    Bad(bernoulli_, (NUMBERS, np.ones(3)), error=ShapeError, match="expand", skip={"operator": ""}),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


def test_the_mean_and_deviation_of_each_element_are_its_own():
    mean, std = tg.tensor(MEAN), tg.tensor(STD)
    x = tg.normal(mean.expand(5000, 2, 4, 3), std, generator=tg.Generator(0)).numpy()
    assert x.dtype == np.float64
    shape = np.broadcast_shapes(MEAN.shape, STD.shape)
    np.testing.assert_allclose(x.mean(0), np.broadcast_to(MEAN, shape), atol=0.12)
    np.testing.assert_allclose(x.std(0), np.broadcast_to(STD, shape), rtol=0.05)
    z = tg.randn(2, 4, 3, generator=tg.Generator(1), dtype="float64").numpy()
    y = tg.normal(mean, std, generator=tg.Generator(1)).numpy()
    np.testing.assert_allclose(y, MEAN + STD * z, rtol=1e-12)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((np.zeros((2, 1)), np.ones(3)), {}),
        ((np.zeros((2, 1), "f4"), np.ones(3)), {}),
        ((2.0, np.ones(2, "f4")), {}),
        ((np.zeros(2, "f4"),), {}),
        ((np.zeros(2), 0.5), {}),
        ((2, 1, (2, 3)), {}),
        ((2, 1), {"size": (2,), "dtype": "float64"}),
        ((np.zeros((0, 3)), 1.0), {}),
    ],
)
def test_normal_has_torchs_shape_and_dtype(args, kwargs):
    theirs = {k: getattr(torch, v) if k == "dtype" else v for k, v in kwargs.items()}
    given = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    expected = torch.normal(*given, **theirs)
    found = tg.normal(*args, **kwargs)
    assert (found.shape, found.dtype.name) == (
        tuple(expected.shape),
        str(expected.dtype).removeprefix("torch."),
    )


def test_no_gradient_flows_through_a_draw():
    mean = tg.zeros(2, requires_grad=True)
    assert not tg.normal(mean, 1.0).requires_grad
    assert tg.normal(0.0, 1.0, (2,), requires_grad=True).requires_grad


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_positions_come_as_often_as_their_weights_say(replacement, dtype):
    weights = tg.tensor(np.tile(WEIGHTS, (20_000, 1)), dtype=dtype)
    drawn = tg.multinomial(weights, 2, replacement, generator=tg.Generator(0))
    assert (drawn.dtype, drawn.shape) == (tg.int64, (40_000, 2))
    pairs = drawn.numpy().reshape(-1, 2, 2)
    for row, w in enumerate(WEIGHTS):
        p = w / w.sum()
        expected = np.outer(p, p)
        if not replacement:
            expected = p[:, None] * p / (1 - p)[:, None]
            np.fill_diagonal(expected, 0)
        found = np.zeros((4, 4))
        np.add.at(found, tuple(pairs[:, row].T), 1 / len(pairs))
        np.testing.assert_allclose(found, expected, atol=0.015)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_a_weight_of_zero_is_never_drawn(n):
    weights = np.zeros((50, n))
    chosen = np.random.default_rng(n).integers(0, n, 50)
    weights[np.arange(50), chosen] = 1e-300
    for replacement, count in ((True, 40), (False, 1)):
        drawn = tg.multinomial(weights, count, replacement).numpy()
        assert (drawn == chosen[:, None]).all()


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
@pytest.mark.parametrize("replacement", [False, True])
def test_nor_by_the_ends_of_the_uniform_draw(monkeypatch, u, replacement):
    monkeypatch.setattr(distributions.random, "uniform", lambda key, shape, _: np.full(shape, u))
    for weights in ([0.0, 0.1, 0.7, 0.0], [0.0, 0.3, 0.1, 0.0, 0.0]):
        drawn = tg.multinomial(tg.tensor(weights, dtype="float64"), 2, replacement)
        assert {weights[i] for i in drawn.tolist()}.isdisjoint({0.0})
    x = F.gumbel_softmax(tg.zeros(3))
    np.testing.assert_allclose(x.numpy(), 1 / 3, rtol=1e-6)


def test_weights_may_be_huge():
    weights = tg.tensor([1e308, 1e308, 1e-308], dtype="float64")
    assert set(tg.multinomial(weights, 100, True).tolist()) == {0, 1}
    assert sorted(tg.multinomial(weights, 3).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("replacement", [False, True])
def test_no_rows(replacement):
    assert tg.multinomial(tg.zeros(0, 3), 2, replacement).shape == (0, 2)
    assert tg.multinomial(tg.zeros(0, 0), 2, replacement).shape == (0, 2)


def test_hard_draws_are_exact_and_have_the_soft_gradient():
    weight = rng.normal(size=LOGITS.shape)
    gradients = []
    for hard in (False, True):
        x = tg.tensor(LOGITS, requires_grad=True)
        y = gumbel(x, 0.7, hard, dim=1)
        (y * weight).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)
    soft = gumbel(tg.tensor(LOGITS), 0.7, dim=1).numpy()
    np.testing.assert_array_equal(y.detach().numpy(), soft == soft.max(1, keepdims=True))


def test_hard_draws_follow_softmax():
    logits = tg.tensor([0.0, 1.0, -1.0])
    drawn = F.gumbel_softmax(logits.expand(30_000, 3), 2.0, True, generator=tg.Generator(0))
    np.testing.assert_allclose(drawn.numpy().mean(0), logits.softmax(0).numpy(), atol=0.01)


def test_temperature_may_be_learned_and_eps_does_nothing():
    tau = tg.tensor(0.5, requires_grad=True)
    gumbel(tg.tensor(LOGITS, dtype="float32"), tau)[..., 0].sum().backward()
    assert tau.grad.item() != 0
    with pytest.warns(UserWarning, match="eps has no effect"):
        F.gumbel_softmax(tg.zeros(2), eps=1e-6)
    assert F.gumbel_softmax(tg.tensor(1.0)).item() == 1.0
    assert F.gumbel_softmax(tg.zeros(0, 2)).shape == (0, 2)
    assert F.gumbel_softmax(tg.zeros(2, 3), hard=True).dtype == tg.float32


FILLS = {"uniform_": (-1.0, 3.0), "normal_": (2.0, 0.5), "bernoulli_": (0.25,)}


@pytest.mark.parametrize("name", METHODS)
def test_fills_have_torchs_mean_and_deviation(name):
    x = tg.zeros(200, 100).mT  # not in the order of memory
    x = x.clone()
    memory = x.numpy()
    assert getattr(x, name)(*FILLS[name], generator=tg.Generator(0)) is x
    torch.manual_seed(0)
    expected = getattr(torch.zeros(100, 200), name)(*FILLS[name]).numpy()
    for statistic in (np.mean, np.std):
        assert abs(statistic(memory) - statistic(expected)) < 0.03
    again = getattr(tg.zeros(100, 200), name)(*FILLS[name], generator=tg.Generator(0))
    np.testing.assert_array_equal(memory, again.numpy())


@pytest.mark.parametrize("name", METHODS)
def test_fills_have_no_history_and_spare_what_learns(name):
    x = tg.zeros(3, requires_grad=True)
    y = x * 2
    assert not getattr(y, name)().requires_grad
    before = tg.default_generator.get_state().tolist()
    for target in (x, tg.zeros(3)[:2]):
        with pytest.raises(GraphError):
            getattr(target, name)()
    assert tg.default_generator.get_state().tolist() == before
    with tg.no_grad():
        assert getattr(x, name)() is x
    assert x.requires_grad
    saved = tg.ones(3, requires_grad=True)
    z = saved * 1
    w = (z * z).sum()
    getattr(z, name)()
    with pytest.raises(GraphError, match="overwritten"):
        w.backward()


@pytest.mark.parametrize("name", METHODS)
def test_examples_run(name):
    (example,) = doctest.DocTestFinder().find(getattr(tg.Tensor, name), name, globs={})
    failed, tried = doctest.DocTestRunner().run(example)
    assert (failed, tried > 1) == (0, True)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_bernoulli_fills_any_dtype(dtype):
    p = np.array([0.0, 1.0, 0.0])
    for given in (p, tg.tensor(p), tg.tensor(p, requires_grad=True)):
        x = tg.zeros(2, 3, dtype=dtype).bernoulli_(given)
        assert (x.dtype.name, x.tolist()) == (dtype, [[0, 1, 0]] * 2)
    assert tg.zeros(2, dtype=dtype).bernoulli_(1).tolist() == [1, 1]


def test_nothing_moves_between_devices_unseen():
    meta = tg.ones(2, device="meta")
    for use in (
        lambda: tg.normal(meta, tg.ones(2)),
        lambda: tg.zeros(2).bernoulli_(meta),
        lambda: tg.zeros(2, device="meta").bernoulli_(tg.ones(2)),
    ):
        with pytest.raises(BackendError, match="different devices"):
            use()
    assert tg.normal(tg.ones(2), 1.0, device="meta").device.type == "meta"


def test_meta_has_shapes_and_draws_nothing():
    generator = tg.Generator(3)
    before = generator.get_state().tolist()
    meta = tg.zeros(2, 3, device="meta")
    results = [
        tg.normal(meta, 1.0, generator=generator),
        tg.normal(0.0, 1.0, (2, 3), device="meta", generator=generator),
        tg.multinomial(meta, 3, generator=generator),
        F.gumbel_softmax(meta, hard=True, generator=generator),
        *(getattr(tg.zeros(2, 3, device="meta"), m)(generator=generator) for m in METHODS),
    ]
    assert {(x.device.type, x.shape) for x in results} == {("meta", (2, 3))}
    assert generator.get_state().tolist() == before
