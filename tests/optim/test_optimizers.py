"""Optimisers against PyTorch in float64, and their behaviour around the rule."""

import copy
import pickle

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError

# With some of these rules the function runs off to infinity, here as with PyTorch.
pytestmark = pytest.mark.filterwarnings("ignore:.*the loss is (inf|nan|-inf):UserWarning")

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.001, "momentum": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("Adam", {"lr": 0.001, "maximize": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "amsgrad": True}),
    ("AdamW", {"lr": 0.001, "maximize": True}),
]
RULE_NAMES = [f"{name}-{'-'.join(options)}" for name, options in RULES]


def ours(name, options, arrays):
    params = [tg.tensor(array, requires_grad=True) for array in arrays]
    return params, getattr(tg.optim, name)(params, **options)


def theirs(name, options, arrays):
    params = [torch.tensor(array, requires_grad=True) for array in arrays]
    return params, getattr(torch.optim, name)(params, **options)


def train(params, optimizer, steps, scale=1.0):
    """Minimise a smooth function whose gradient changes its sign on the way."""
    for _ in range(steps):
        optimizer.zero_grad()
        loss = sum((p * p * p * p - scale * p * p + 0.3 * p).sum() for p in params)
        loss.backward()
        optimizer.step()


def start(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in [(3, 4), (5,), (), (2, 3, 2, 2)]]


def assert_equal(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            mine.detach().numpy(), other.detach().numpy(), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(("name", "options"), RULES, ids=RULE_NAMES)
def test_parameters_equal_pytorch_after_25_steps(name, options):
    params, optimizer = ours(name, options, start())
    expected, reference = theirs(name, options, start())
    train(params, optimizer, 25)
    train(expected, reference, 25)
    assert_equal(params, expected)
    assert not np.allclose(params[0].detach().numpy(), start()[0])


@pytest.mark.parametrize(("name", "options"), RULES, ids=RULE_NAMES)
def test_float32_stays_float32_and_close(name, options):
    arrays = [array.astype(np.float32) for array in start()]
    params, optimizer = ours(name, options, arrays)
    expected, reference = theirs(name, options, arrays)
    train(params, optimizer, 5)
    train(expected, reference, 5)
    for mine, other in zip(params, expected, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(
            mine.detach().numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(("name", "options"), RULES, ids=RULE_NAMES)
def test_resumes_from_a_state_dict_as_if_never_stopped(name, options):
    params, optimizer = ours(name, options, start())
    train(params, optimizer, 7)
    saved = pickle.loads(pickle.dumps(optimizer.state_dict()))
    resumed, other = ours(name, {"lr": 9.0}, [p.detach().numpy().copy() for p in params])
    other.load_state_dict(saved)
    train(params, optimizer, 7)
    train(resumed, other, 7)
    for mine, again in zip(params, resumed, strict=True):
        np.testing.assert_array_equal(mine.detach().numpy(), again.detach().numpy())


@pytest.mark.parametrize(("name", "options"), RULES, ids=RULE_NAMES)
def test_state_dict_of_pytorch_loads(name, options):
    expected, reference = theirs(name, options, start())
    train(expected, reference, 7)
    params, optimizer = ours(name, {}, [p.detach().numpy().copy() for p in expected])
    optimizer.load_state_dict(reference.state_dict())
    train(expected, reference, 7)
    train(params, optimizer, 7)
    assert_equal(params, expected)


@pytest.mark.parametrize(("name", "options"), RULES, ids=RULE_NAMES)
def test_the_cuda_path_gives_the_same_on_the_stand_in(name, options):
    from tests.cupy_standin import installed

    results = []
    with installed(devices=2) as cupy:
        for device in ("cpu", "cuda:1"):  # not the current device
            params = [tg.tensor(a, device=device, requires_grad=True) for a in start()]
            optimizer = getattr(tg.optim, name)(params, **options)
            train(params, optimizer, 2)
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.zero_grad(set_to_none=False)
            before = cupy.counts.to_host
            optimizer.step()
            assert cupy.counts.to_host == before
            assert all(str(param.device) == device for param in params)
            results.append([param.detach().cpu() for param in params])
    assert_equal(*results)


def test_state_dict_has_the_shape_of_pytorchs():
    params, optimizer = ours("Adam", {"amsgrad": True}, start())
    expected, reference = theirs("Adam", {"amsgrad": True}, start())
    train(params, optimizer, 1)
    train(expected, reference, 1)
    mine, other = optimizer.state_dict(), reference.state_dict()
    assert mine.keys() == other.keys()
    assert {n: set(s) for n, s in mine["state"].items()} == {
        n: set(s) for n, s in other["state"].items()
    }
    assert mine["param_groups"][0]["params"] == other["param_groups"][0]["params"]
    assert mine["param_groups"][0].keys() <= other["param_groups"][0].keys()


def test_groups_have_options_of_their_own_and_new_ones_can_join():
    def build(library, make):
        a, b, c = (make(array) for array in start()[:3])
        groups = [{"params": [a], "lr": 0.01}, {"params": b, "momentum": 0.5}]
        optimizer = library.optim.SGD(groups, lr=0.1, momentum=0.9)
        train([a, b], optimizer, 3)
        optimizer.add_param_group({"params": [c], "weight_decay": 0.1})
        train([a, b, c], optimizer, 3)
        return [a, b, c]

    assert_equal(
        build(tg, lambda array: tg.tensor(array, requires_grad=True)),
        build(torch, lambda array: torch.tensor(array, requires_grad=True)),
    )


def test_writes_in_place_and_leaves_gradients_alone():
    (p,), optimizer = ours("AdamW", {"lr": 0.1, "maximize": True}, [np.ones(3)])
    array = p.array
    (p * p).sum().backward()
    gradient = p.grad.numpy().copy()
    optimizer.step()
    assert p.array is array
    assert not np.array_equal(array, np.ones(3))
    np.testing.assert_array_equal(p.grad.numpy(), gradient)


def test_parameters_without_gradient_are_left_alone():
    (p, q), optimizer = ours("SGD", {"lr": 0.1, "weight_decay": 0.5}, [np.ones(3), np.ones(2)])
    (p * p).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(q.detach().numpy(), np.ones(2))
    assert q not in optimizer.state


def test_zero_grad():
    (p,), optimizer = ours("SGD", {}, [np.ones(3)])
    (p * p).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(p.grad.numpy(), np.zeros(3))
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_runs_with_gradients_and_gives_the_loss():
    (p,), optimizer = ours("SGD", {"lr": 0.5}, [np.array([3.0])])

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0


def test_backward_through_an_overwritten_parameter_is_refused():
    (p,), optimizer = ours("SGD", {"lr": 0.1}, [np.ones(3)])
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(GraphError, match="overwritten") as caught:
        loss.backward()
    assert str(caught.value).count("test_optimizers.py") == 2


def test_deep_copy_trains_alone():
    (p,), optimizer = ours("Adam", {"lr": 0.1}, [np.ones(3)])
    train([p], optimizer, 2)
    twin = copy.deepcopy(optimizer)
    before = p.detach().numpy().copy()
    (q,) = twin.param_groups[0]["params"]
    train([q], twin, 2)
    np.testing.assert_array_equal(p.detach().numpy(), before)
    train([p], optimizer, 2)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def leaf(*shape, dtype="float64"):
    return tg.ones(*shape, dtype=dtype, requires_grad=dtype == "float64")


BAD = [
    (lambda: tg.optim.SGD(leaf(2)), DTypeError, "not one Tensor"),
    (lambda: tg.optim.SGD({"params": [leaf(2)]}), DTypeError, "not one dict"),
    (lambda: tg.optim.SGD([]), ArgumentError, r"no parameters[^$]*nn\.ModuleList"),
    (lambda: tg.optim.Adam([np.ones(2)]), DTypeError, r"params\[0\] is not a tensor.*ndarray"),
    (lambda: tg.optim.Adam([leaf(2), ("w", leaf(2))]), DTypeError, r"params\[1\].*tuple"),
    (lambda: tg.optim.Adam([leaf(2, dtype="int64")]), DTypeError, "int64"),
    (lambda: tg.optim.Adam([leaf(2) * 2]), GraphError, r"shape \(2,\) is the result"),
    (lambda: tg.optim.SGD([(p := leaf(2)), p]), ArgumentError, r"params\[1\].*given twice"),
    (lambda: tg.optim.SGD([leaf(2)], lr=-1), ArgumentError, "lr must be at least 0; it is -1"),
    (lambda: tg.optim.SGD([leaf(2)], lr="fast"), ArgumentError, "it is 'fast'"),
    (lambda: tg.optim.SGD([leaf(2)], momentum=-0.1), ArgumentError, "momentum"),
    (lambda: tg.optim.SGD([leaf(2)], nesterov=True), ArgumentError, "nesterov needs a momentum"),
    (lambda: tg.optim.Adam([leaf(2)], betas=(0.9, 1.0)), ArgumentError, "below 1; it is 1.0"),
    (lambda: tg.optim.Adam([leaf(2)], eps=float("nan")), ArgumentError, "it is nan"),
    (lambda: tg.optim.AdamW([leaf(2)], weight_decay=-1), ArgumentError, "weight_decay"),
    (lambda: tg.optim.SGD([{"params": [leaf(2)], "rate": 1}]), ArgumentError, "'rate'"),
    (lambda: tg.optim.SGD([{"parameters": [leaf(2)]}]), DTypeError, "'params'"),
]


@pytest.mark.parametrize(("build", "error", "match"), BAD)
def test_bad_arguments_are_refused_by_name(build, error, match):
    with pytest.raises(error, match=match) as caught:
        build()
    assert str(caught.value).startswith(("SGD:", "Adam:", "AdamW:"))


def test_a_state_dict_that_does_not_fit_changes_nothing():
    params, optimizer = ours("Adam", {"lr": 0.1}, start())
    train(params, optimizer, 2)
    other_params, other = ours("Adam", {"lr": 0.2}, [np.ones((2, 2)), *start()[1:]])
    train(other_params, other, 2)
    before = optimizer.state_dict()
    with pytest.raises(ShapeError, match=r"exp_avg"):
        optimizer.load_state_dict(other.state_dict())
    with pytest.raises(ArgumentError, match=r"\[3\]; the optimiser has \[4\]"):
        optimizer.load_state_dict(ours("Adam", {}, start()[1:])[1].state_dict())
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert all(
        after["state"][n]["exp_avg"] is before["state"][n]["exp_avg"] for n in before["state"]
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_gradient_of_the_wrong_shape_changes_no_parameter(momentum):
    first, second = tg.ones(3, requires_grad=True), tg.ones(1, requires_grad=True)
    optimizer = tg.optim.SGD([first, second], lr=0.1, momentum=momentum)
    first.grad, second.grad = tg.ones(3), tg.ones(1)
    second.data = tg.ones(3)
    with pytest.raises(ShapeError, match=r"parameter's shape\n.*\(3,\)\n.*\(1,\)"):
        optimizer.step()
    assert first.tolist() == [1.0, 1.0, 1.0]


def test_arguments_of_the_wrong_kind():
    parameter = tg.ones(2, requires_grad=True)
    with pytest.raises(DTypeError, match="params must be an iterable"):
        tg.optim.SGD(None, lr=0.1)
    with pytest.raises(ArgumentError, match="betas must be two numbers"):
        tg.optim.Adam([parameter], betas=0.9)
    for wrong in (None, {}, {"state": {}}):
        with pytest.raises(DTypeError, match="'state' and 'param_groups'"):
            tg.optim.SGD([parameter], lr=0.1).load_state_dict(wrong)


def test_a_method_that_was_not_called_is_named():
    with pytest.raises(DTypeError, match=r"Call it: model\.parameters\(\)"):
        tg.optim.SGD(tg.nn.Linear(1, 1).parameters, lr=0.1)
