"""What optimisers refuse before they change anything: states, values, parameters."""

import copy
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError
from tinygrad_cv.optim import SGD, Adam, AdamW


def leaf(*shape):
    return tg.ones(*shape, requires_grad=True)


def trained(kind=Adam, steps=2, **options):
    p = leaf(2)
    optimizer = kind([p], **{"lr": 0.1, **options})
    train(p, optimizer, steps)
    return p, optimizer


def train(p, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()


def changed(**parts):
    """The state of an Adam with some of its parts replaced."""
    state = copy.deepcopy(trained()[1].state_dict())
    for part, value in parts.items():
        if part == "group":
            state["param_groups"][0].update(value)
        elif part == "entry":
            state["state"][0].update(value)
        else:
            state[part] = value
    return state


STATES = {
    "of SGD": (trained(SGD, momentum=0.9)[1].state_dict(), ArgumentError, "has no 'step'"),
    "number": (changed(state={7: {}}), ArgumentError, "parameter 7, which is in no group"),
    "no params": (changed(param_groups=[{"lr": 1}]), DTypeError, r"param_groups\[0\] must be"),
    "no list": (changed(param_groups=None), DTypeError, "'param_groups' must be a list"),
    "no mapping": (changed(state=[1]), DTypeError, "'state' must be a mapping, not list"),
    "no entry": (changed(state={0: 3}), DTypeError, "state of parameter 0 is no mapping but int"),
    "lr": (changed(group={"lr": "x"}), ArgumentError, "lr must be at least 0; it is 'x'"),
    "betas": (changed(group={"betas": (0.9, 2)}), ArgumentError, "betas must be"),
    "step": (changed(entry={"step": "x"}), DTypeError, "'step' must be a number, not 'x'"),
    "step below 0": (changed(entry={"step": -1}), ArgumentError, "it is -1"),
    "array": (changed(entry={"exp_avg": [[1], 2]}), DTypeError, "'exp_avg' is no array"),
    "part": (changed(state={0: {"step": 1, "exp_avg": tg.ones(2)}}), ArgumentError, "'exp_avg_sq'"),
}


@pytest.mark.parametrize(("state", "error", "match"), STATES.values(), ids=list(STATES))
def test_a_state_that_cannot_be_used_changes_nothing(state, error, match):
    p, optimizer = trained(lr=0.2)
    before = optimizer.state_dict()
    with pytest.raises(error, match=match) as caught:
        optimizer.load_state_dict(state)
    assert str(caught.value).startswith(("Adam.load_state_dict: ", "Adam: "))
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]
    assert optimizer.state[p]["exp_avg"] is before["state"][0]["exp_avg"]


def test_one_number_for_two_parameters_is_refused():
    optimizer = SGD([leaf(2), leaf(2)], lr=0.1)
    with pytest.raises(ArgumentError, match=r"a number stands for two parameters: \[0, 0\]"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0, 0]}]})


def test_the_state_of_adam_does_not_fit_sgd():
    with pytest.raises(ArgumentError, match=r"no 'momentum_buffer'; it has \['exp_avg'"):
        trained(SGD)[1].load_state_dict(trained(Adam)[1].state_dict())


def test_amsgrad_may_be_asked_for_on_the_way():
    p, optimizer = trained()
    q, other = trained()
    optimizer.param_groups[0]["amsgrad"] = True
    train(p, optimizer, 1)
    train(q, other, 1)
    # The largest divisor so far is the present one while nothing before is remembered.
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert "max_exp_avg_sq" in optimizer.state[p]


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
@pytest.mark.parametrize(
    "number", [np.float32(0.25), np.float64(0.25), Fraction(1, 4), np.int64(1)]
)
def test_every_kind_of_number_is_a_rate(kind, number):
    p, q = leaf(2), leaf(2)
    train(p, kind([p], lr=number, weight_decay=number), 2)
    train(q, kind([q], lr=float(number), weight_decay=float(number)), 2)
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_other_bad_values():
    with pytest.raises(ArgumentError, match="dampening must be a number; it is 'x'"):
        SGD([leaf(2)], lr=0.1, dampening="x")
    with pytest.raises(DTypeError, match="a tensor or several, not one int"):
        SGD([{"params": 3}], lr=0.1)


def read_only(p):
    array = p.array.copy()
    array.flags.writeable = False
    return array


UNWRITABLE = {
    "read-only": read_only,
    "expanded": lambda p: np.broadcast_to(p.array[:1], p.shape),
    "repeated": lambda p: np.lib.stride_tricks.as_strided(p.array, p.shape, (0,)),
}


@pytest.mark.parametrize("array_of", UNWRITABLE.values(), ids=list(UNWRITABLE))
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_parameter_that_cannot_be_written_stops_the_whole_step(kind, array_of):
    first, second = leaf(3), leaf(3)
    second.array = array_of(second)
    optimizer = kind([first, second], lr=0.1)
    first.grad, second.grad = tg.ones(3), tg.ones(3)
    with pytest.raises(GraphError, match=r"read-only, or one element[^$]*parameter \(3,\)"):
        optimizer.step()
    assert first.tolist() == second.tolist() == [1, 1, 1]
    assert not any(optimizer.state.values())
    second.data = second.data.clone()  # the repair
    optimizer.step()
    assert first.tolist() == second.tolist() != [1, 1, 1]


def test_expanded_gradients_become_zero_too():
    p = leaf(3)
    p.grad = tg.ones(1).expand(3)
    SGD([p], lr=0.1).zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0, 0]
