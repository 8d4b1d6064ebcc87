"""Compiled steps of optimisers: the numbers of the rule, whatever the memory of the parameters."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.cpu import optim, threads
from tinygrad_cv.core.tensor import Tensor

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.001, "momentum": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.001, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.001, "maximize": True}),
]
NAMES = [f"{name}-{'-'.join(options)}" for name, options in RULES]
SHAPES = [(3,), (), (16, 5, 3, 3), (1, 7, 1, 1), (0, 4), (31, 33)]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(optim, "SMALLEST", 0)


@pytest.fixture
def served(monkeypatch):
    """How many parameters each call of a kernel took."""
    counts = []
    for name in ("sgd", "adam", "adamw"):
        rows = kernels.TABLE[f"optim.{name}"]
        for row in rows:

            def counted(*args, function=row.function):
                taken = function(*args)
                counts.append(sum(taken))
                return taken

            monkeypatch.setitem(kernels.TABLE, f"optim.{name}", [row._replace(function=counted)])
    return counts


def lying(array, order):
    """The same numbers, the memory in the order of the given axes, or with gaps."""
    if order == "gaps":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        view = wide[..., ::2]
        view[...] = array
        return view
    back = np.argsort(order)
    return np.ascontiguousarray(array.transpose(order)).transpose(back)


def run(provider, name, options, params, gradients, steps=4):
    """The parameters after some steps, and the state."""
    leaves = [Tensor(copy.deepcopy(p)).requires_grad_() for p in params]
    optimizer = getattr(tg.optim, name)(leaves, **options)
    with kernels.use(provider):
        for step in range(steps):
            for leaf, g in zip(leaves, gradients, strict=True):
                leaf.grad = Tensor(g * g.dtype.type(1 - 0.4 * step))
            optimizer.step()
    states = [
        {k: v.numpy() if isinstance(v, Tensor) else v for k, v in optimizer.state[leaf].items()}
        for leaf in leaves
    ]
    return [leaf.detach().numpy() for leaf in leaves], states


def compare(found, expected):
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    for one, other in zip(found[1], expected[1], strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_allclose(one[key], other[key], rtol=2e-5, atol=2e-6)


def arrays(shapes=SHAPES, seed=0):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in shapes]


@pytest.mark.parametrize(("name", "options"), RULES, ids=NAMES)
def test_steps_are_those_of_the_rule(name, options, served):
    found = run("numba", name, options, arrays(), arrays(seed=1))
    calls = 0 if "amsgrad" in options else 4 if name == "SGD" and "momentum" not in options else 3
    assert served == [len(SHAPES)] * calls  # the first step is the rule's, if it has a state
    compare(found, run("reference", name, options, arrays(), arrays(seed=1)))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_memory_order(data):
    count = data.draw(st.integers(1, 5))
    params, gradients = [], []
    for number in range(count):
        shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
        orders = st.one_of(st.just("gaps"), st.permutations(range(len(shape))))
        order = data.draw(orders)
        other = data.draw(st.one_of(st.just(order), orders))
        dtype = data.draw(st.sampled_from([np.float32, np.float32, np.float64]))
        values = np.random.default_rng(number).standard_normal((2, *shape)).astype(dtype)
        params.append(lying(values[0], order))
        gradients.append(lying(values[1], other))
    name, options = data.draw(st.sampled_from(RULES))
    found = run("numba", name, options, params, gradients)
    compare(found, run("reference", name, options, params, gradients))


def test_weights_of_convolutions_are_served_as_they_lie(served):
    params = [lying(a, (2, 3, 1, 0)) for a in arrays([(8, 4, 3, 3), (8, 4, 1, 1)])]
    run("numba", "SGD", {"lr": 0.1, "momentum": 0.9}, params, params)
    assert served == [2, 2, 2]  # the first step makes the velocities


def test_a_loaded_state_lies_as_its_parameter(served):
    leaf = Tensor(lying(arrays([(8, 4, 3, 3)])[0], (2, 3, 1, 0))).requires_grad_()
    state = {"state": {0: {"momentum_buffer": np.ones((8, 4, 3, 3), np.float32)}}}
    optimizer = tg.optim.SGD([leaf], lr=0.1, momentum=0.9)
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})
    leaf.grad = Tensor(leaf.array.copy(order="K"))
    optimizer.step()
    assert served == [1]


def test_parameters_that_share_memory_are_left_to_the_rule(served):
    whole = np.ones(100, np.float32)
    leaves = [Tensor(whole[:60]).requires_grad_(), Tensor(whole[40:]).requires_grad_()]
    for leaf in leaves:
        leaf.grad = tg.ones(60)
    tg.optim.SGD(leaves, lr=0.25).step()
    assert served == [0]
    np.testing.assert_array_equal(whole, np.where(np.arange(100) // 20 == 2, 0.5, 0.75))


@pytest.mark.filterwarnings("ignore:.*the gradient of parameter:UserWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("name", "options"), RULES, ids=NAMES)
def test_what_is_not_finite_is_carried(name, options, value):
    params, gradients = arrays(), arrays(seed=1)
    gradients[2][0, 0, 0], params[5][3, 4] = value, value
    with np.errstate(invalid="ignore", over="ignore"):
        found = run("numba", name, options, params, gradients, steps=2)
        expected = run("reference", name, options, params, gradients, steps=2)
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_array_equal(np.isinf(a), np.isinf(b))


@pytest.mark.parametrize("workers", [1, 3, 64])
def test_any_number_of_threads_gives_the_same_bits(workers):
    before = threads.get_num_threads()
    expected = run("numba", "Adam", {"lr": 0.1}, arrays(), arrays(seed=1))
    try:
        threads.set_num_threads(workers)
        found = run("numba", "Adam", {"lr": 0.1}, arrays(), arrays(seed=1))
    finally:
        threads.set_num_threads(before)
    for a, b in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_rule_of_ones_own_is_never_passed_over(served):
    class Half(tg.optim.SGD):
        def _update(self, param, grad, group, state):
            param *= 0.5

    leaf = tg.ones(4, requires_grad=True)
    leaf.grad = tg.ones(4)
    Half([leaf], lr=0.1).step()
    assert leaf.tolist() == [0.5] * 4
    assert served == []


def test_the_less_numpy_passes_over_memory_the_later_a_kernel_is_chosen(monkeypatch):
    monkeypatch.undo()
    for size, expected in ((1 << 16, (False, False, True)), (1 << 17, (False, True, True))):
        params = (np.zeros(size, np.float32),)
        found = (
            optim._takes_sgd(params, ({"momentum": 0},)),
            optim._takes_sgd(params, ({"momentum": 0.9},)),
            optim._takes_adam(params, ({"amsgrad": False},)),
        )
        assert found == expected
    assert optim._takes_sgd((np.zeros(1 << 19, np.float32),), ({"momentum": 0},))


def test_few_numbers_do_not_load_the_compiler(monkeypatch):
    monkeypatch.undo()
    few = (np.zeros(100, np.float32),)
    assert not optim._takes_sgd(few, ({},))
    assert not optim._takes_adam(few, ({"amsgrad": False},))
