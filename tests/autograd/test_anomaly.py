"""detect_anomaly: the first operator that goes wrong is named, with its line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import detect_anomaly


def here(offset: int) -> str:
    """The caller's line, or one above or below."""
    return f"{__file__}:{sys._getframe(1).f_lineno + offset} in"


def test_the_first_value_that_is_not_finite():
    x = tg.tensor([4.0, 0.0], requires_grad=True)
    with pytest.raises(tg.GraphError) as caught, detect_anomaly():
        (1 / x + 1).sqrt()
    line = here(-1)
    text = str(caught.value)
    assert text.startswith("div: the first value that is not finite (inf) appeared here")
    assert "other (2,) from 0 to 4" in " ".join(text.split())
    assert f"it ran at {line}" in text


def test_integers_and_empty_tensors_are_finite():
    with detect_anomaly():
        assert (tg.arange(3) + 1).sum().item() == 6
        assert tg.zeros(0, requires_grad=True).exp().shape == (0,)


def test_a_value_that_was_asked_for():
    x = tg.rand(2, 2, requires_grad=True)
    with detect_anomaly():
        masked = x.masked_fill(tg.tensor([[True, False], [False, True]]), -float("inf"))
        masked.softmax(1).sum().backward()


def test_the_first_gradient_that_is_not_finite():
    x = tg.tensor([4.0, 0.0], requires_grad=True)
    with detect_anomaly():
        y, line = x.sqrt(), here(0)
        with pytest.raises(tg.GraphError, match=r"\(inf\) is that of 'input' in sqrt") as caught:
            (y * 2).sum().backward()
    assert f"sqrt ran at {line}" in str(caught.value)
    assert x.grad is None


def test_inside_a_module():
    class Bad(nn.Module):
        def forward(self, x):
            return x.log()

    with pytest.raises(tg.GraphError, match=r"in model\.0 \(Bad\)"), detect_anomaly():
        nn.Sequential(Bad())(tg.tensor([-1.0], requires_grad=True))


def test_create_graph():
    x = tg.tensor([4.0, 0.0], requires_grad=True)
    with detect_anomaly(), pytest.raises(tg.GraphError, match="not finite"):
        tg.autograd.grad((x**1.5).sum(), x, create_graph=True)[0].sum().backward()


@pytest.mark.parametrize("alias", ["numpy", "from_numpy"])
def test_a_write_through_an_alias(alias):
    values = np.ones(3)
    x = tg.from_numpy(values) if alias == "from_numpy" else tg.tensor(values)
    w = tg.ones(3, dtype="float64", requires_grad=True)
    with detect_anomaly(check_nan=False):
        loss, line = (w * x).sum(), here(0)
        (values if alias == "from_numpy" else x.numpy())[0] = 5
        with pytest.raises(
            tg.GraphError, match=r"'other', which mul saved .* not recorded"
        ) as caught:
            loss.backward()
    assert f"mul ran at {line}" in str(caught.value)


def test_nothing_is_said_of_a_network_in_order():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    x = tg.rand(2, 1, 8, 8)
    with detect_anomaly():
        net(x).square().mean().backward()
    watched = [p.grad.tolist() for p in net.parameters()]
    for p in net.parameters():
        p.grad = None
    net(x).square().mean().backward()
    assert watched == [p.grad.tolist() for p in net.parameters()]


def test_the_graph_is_not_kept_alive():
    import gc
    import weakref

    gc.disable()
    try:
        with detect_anomaly():
            y = tg.ones(3, requires_grad=True) * 2
            node = weakref.ref(y.node)
            del y
            assert node() is None
    finally:
        gc.enable()


def test_nan_that_was_there_before():
    net = nn.Linear(2, 1)
    x = tg.tensor([[1.0, float("nan")], [2.0, 3.0]])

    def step():
        with detect_anomaly():
            y = net(x)
            y.sum().backward()

    line = step.__code__.co_firstlineno + 2
    before = (
        r"linear in Linear was given 1 NaN, of 4 values, as 'input', .* in the data, the parameters"
    )
    problem = "Mend where 'input' comes from: it held nan when linear ran"
    source = "linear in Linear was given 1 NaN, of 4 values, as 'input', and no operator inside"
    with pytest.warns(UserWarning, match=before) as caught, pytest.raises(tg.GraphError) as raised:
        step()
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, line)]
    text = " ".join(str(raised.value).split())
    assert problem in text
    assert source in text
    assert f"it ran at {__file__}:{line} in step" in text


def test_nan_in_a_weight_is_known_at_the_end_of_a_network():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with tg.no_grad():
        net[0].weight[0, 0] = float("nan")
    came_in = r"linear in model\.0 \(Linear\) was given 1 NaN, of 6 values, as 'weight'"

    def step():
        with detect_anomaly():
            net(tg.ones(1, 2)).sum().backward()

    with pytest.warns(UserWarning, match=came_in), pytest.raises(tg.GraphError, match=came_in):
        step()


@pytest.mark.parametrize(
    "function",
    [lambda x: x - x, lambda x: x.softmax(0), lambda x: x * 0.0, lambda x: x.sum() - x.sum()],
)
def test_nan_out_of_infinities(function):
    x = tg.full((3,), -float("inf"))
    problem = r"the first value that is not finite \(nan\) appeared here"
    with pytest.raises(tg.GraphError, match=problem), detect_anomaly():
        function(x)


def test_infinite_data_is_no_matter_for_a_warning():
    with detect_anomaly():
        (tg.zeros(2, 2) + tg.tensor([0.0, -float("inf")])).softmax(1)
