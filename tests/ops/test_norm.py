"""Batch normalisation: values, derivatives to the third order, accuracy, running statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.channels import statistics
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.norm import BatchNorm, BatchNormEval
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(12)
F = tg.nn.functional
EPS = 1e-5


def normal(*shape):
    return rng.normal(size=shape)


def positive(*shape):
    return rng.uniform(0.5, 2.0, size=shape)


def channel(x, c):
    return [x[(n, c, *place)] for n in range(x.shape[0]) for place in np.ndindex(*x.shape[2:])]


def naive_eval(x, mean, var, weight=None, bias=None, eps=EPS):
    y = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        c = index[1]
        y[index] = (x[index] - mean[c]) / (var[c] + eps) ** 0.5
        y[index] = y[index] * (1 if weight is None else weight[c]) + (
            0 if bias is None else bias[c]
        )
    return y


def naive_statistics(x):
    mean = np.array([sum(channel(x, c)) / len(channel(x, c)) for c in range(x.shape[1])])
    var = np.array(
        [sum((v - m) ** 2 for v in channel(x, c)) / len(channel(x, c)) for c, m in enumerate(mean)]
    )
    return mean, var


def naive_train(x, weight=None, bias=None, eps=EPS):
    mean, var = naive_statistics(x)
    return naive_eval(x, mean, var, weight, bias, eps), mean, var


def torch_train(x, weight, bias, eps=EPS):
    return torch.nn.functional.batch_norm(x, None, None, weight, bias, True, 0.1, eps)


CASES = [
    Case(
        BatchNorm,
        (normal(3, 2, 2, 2), normal(2), normal(2)),
        attrs=(EPS,),
        reference=naive_train,
        order=3,
        rtol=1e-8,
    ),
    Case(
        BatchNorm,
        (normal(4, 3), normal(3), normal(3)),
        attrs=(0.3,),
        reference=lambda x, w, b: naive_train(x, w, b, 0.3),
        order=3,
        name="no spatial axes, large eps",
    ),
    Case(
        BatchNorm,
        (normal(3, 2, 5), None, None),
        attrs=(EPS,),
        reference=naive_train,
        name="plain",
        order=3,
    ),
    Case(
        BatchNorm,
        (normal(2, 2, 2, 1, 3), normal(2), None),
        attrs=(EPS,),
        reference=naive_train,
        name="3d",
    ),
    Case(
        F.batch_norm,
        (normal(3, 2, 2, 3), None, None, normal(2), normal(2)),
        kwargs={"training": True},
        reference=lambda x, m, v, w, b: naive_train(x, w, b)[0],
        torch=lambda x, m, v, w, b: torch_train(x, w, b),
        name="training",
        order=3,
    ),
    Case(
        BatchNormEval,
        (normal(3, 2, 2, 2), normal(2), positive(2), normal(2), normal(2)),
        attrs=(EPS,),
        reference=naive_eval,
        order=3,
    ),
    Case(
        BatchNormEval,
        (normal(3, 2), normal(2), positive(2), None, None),
        attrs=(EPS,),
        reference=naive_eval,
        name="plain",
    ),
    Case(
        F.batch_norm,
        (normal(3, 2, 2, 2), normal(2), positive(2), normal(2), normal(2)),
        reference=naive_eval,
        torch=torch.nn.functional.batch_norm,
        diff=("input", "weight", "bias"),
        name="evaluation",
    ),
]

BAD = [
    Bad(
        F.batch_norm,
        (normal(1, 3), None, None),
        {"training": True},
        error=ShapeError,
        match="n = 1",
    ),
    Bad(
        F.batch_norm,
        (normal(1, 3, 1, 1), None, None),
        {"training": True},
        error=ShapeError,
        match="drop_last",
    ),
    Bad(
        F.batch_norm,
        (normal(3), None, None),
        {"training": True},
        error=ShapeError,
        match="channels",
    ),
    Bad(
        F.batch_norm, (normal(2, 3), normal(2), positive(2)), error=ShapeError, match="running_mean"
    ),
    Bad(
        F.batch_norm,
        (normal(2, 3), normal(2), positive(3)),
        {"training": True},
        error=ShapeError,
        match="running_mean",
    ),
    Bad(
        F.batch_norm,
        (normal(2, 3), normal(3), positive(3), normal(2)),
        error=ShapeError,
        match="weight",
    ),
    Bad(
        F.batch_norm,
        (normal(2, 3), normal(3), positive(3), normal(3).astype("f4")),
        error=DTypeError,
        match="float32",
    ),
    Bad(
        F.batch_norm,
        (np.ones((2, 3), int), None, None),
        {"training": True},
        error=DTypeError,
        match="float",
    ),
    Bad(F.batch_norm, (normal(2, 3), None, None), error=ArgumentError, match="training=True"),
    Bad(F.batch_norm, (normal(2, 3), normal(3), None), error=ArgumentError, match="together"),
    Bad(
        F.batch_norm,
        (normal(2, 3), normal(3), positive(3)),
        {"eps": 0.0, "training": True},
        error=ArgumentError,
        match="eps must be positive in training",
    ),
    Bad(
        F.batch_norm,
        (normal(2, 3), normal(3), positive(3)),
        {"eps": -1e-5},
        error=ArgumentError,
        match="eps must be at least 0",
    ),
]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_running_statistics_follow_torch(momentum):
    x = normal(4, 3, 5, 2)
    mean, var = normal(3), positive(3)
    ours = tg.tensor(mean), tg.tensor(var)
    theirs = torch.tensor(mean), torch.tensor(var)
    for _ in range(3):
        F.batch_norm(tg.tensor(x), *ours, training=True, momentum=momentum)
        torch.nn.functional.batch_norm(torch.tensor(x), *theirs, training=True, momentum=momentum)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.numpy() == pytest.approx(other.numpy(), rel=1e-12)


def test_evaluation_without_eps_follows_torch():
    x, mean, var = normal(4, 3), normal(3), positive(3)
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    layer = tg.nn.BatchNorm1d(3, eps=0).double().eval()
    with tg.no_grad():
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)
    expected = torch.nn.functional.batch_norm(theirs, *map(torch.tensor, (mean, var)), eps=0.0)
    y = layer(ours)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy())
    y.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())
    with pytest.raises(ArgumentError, match="eps must be positive in training"):
        layer.train()(ours)


def test_another_number_of_channels_names_the_argument_of_the_layer():
    with pytest.raises(ShapeError, match=r"num_features=3\."):
        F.batch_norm(tg.ones(2, 3), tg.zeros(4), tg.ones(4))


def test_running_statistics_survive_a_refused_call():
    mean, var = tg.zeros(3), tg.ones(3)
    with pytest.raises(ShapeError, match="one value per channel"):
        F.batch_norm(tg.ones(1, 3), mean, var, training=True)
    assert mean.tolist() == [0, 0, 0]
    assert var.tolist() == [1, 1, 1]


def test_empty_batch():
    mean, var = tg.zeros(3), tg.ones(3)
    x = tg.zeros(0, 3, 2, 2, requires_grad=True)
    weight = tg.ones(3, requires_grad=True)
    y = F.batch_norm(x, mean, var, weight, training=True)
    y.sum().backward()
    assert y.shape == x.grad.shape == (0, 3, 2, 2)
    assert weight.grad.tolist() == mean.tolist() == [0, 0, 0]
    assert var.tolist() == [1, 1, 1]


def test_meta_does_not_advance_the_statistics():
    mean, var = tg.zeros(3).to("meta"), tg.ones(3).to("meta")
    y = F.batch_norm(tg.zeros(2, 3, 4).to("meta"), mean, var, training=True)
    assert y.shape == (2, 3, 4)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_statistics_are_accurate(layout, offset):
    """A naive float32 variance over this many values is off by 4e-4."""
    x = (normal(16, 8, 64, 64) * 2 + offset).astype("f4")
    tensor = tg.tensor(x).contiguous(layout)
    _, mean, var = BatchNorm.call(tensor, None, None, EPS)
    exact = x.astype("f8")
    assert mean.numpy() == pytest.approx(exact.mean((0, 2, 3)), rel=3e-7, abs=1e-6)
    assert var.numpy() == pytest.approx(exact.var((0, 2, 3)), rel=2e-6)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_memory_layout_is_kept(layout):
    x = tg.tensor(normal(4, 3, 5, 6)).contiguous(layout).requires_grad_()
    y = F.batch_norm(x, None, None, training=True)
    (gradient,) = tg.autograd.grad((y * y * y).sum(), x)
    assert y.array.strides == x.array.strides == gradient.array.strides


def test_layouts_agree_to_the_last_digits():
    x, g = normal(8, 6, 9, 9).astype("f4"), normal(8, 6, 9, 9).astype("f4")
    results = []
    for layout in ("contiguous", "channels_last"):
        tensor = tg.tensor(x).contiguous(layout).requires_grad_()
        y = F.batch_norm(tensor, None, None, tg.ones(6), tg.zeros(6), training=True)
        y.backward(tg.tensor(g))
        results.append((y.detach().numpy(), tensor.grad.numpy()))
    for one, other in zip(*results, strict=True):
        assert one == pytest.approx(other, abs=2e-6)


def test_a_constant_channel_gives_the_bias():
    y = F.batch_norm(
        tg.full((2, 1, 3), 5.0), None, None, tg.ones(1), tg.tensor([0.25]), training=True
    )
    assert y.numpy() == pytest.approx(0.25)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("far", ["all", "first image", "first rows"])
def test_statistics_are_accurate_however_far_the_values_are_from_zero(far, layout):
    x = np.random.default_rng(4).normal(size=(32, 24, 24, 8)).astype(np.float32)
    x[{"all": (), "first image": 0, "first rows": np.s_[:, :2]}[far]] += 1000
    x = x.transpose(0, 3, 1, 2)
    x = np.ascontiguousarray(x) if layout == "contiguous" else x
    mean, var = statistics(np, x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=3e-7)
    np.testing.assert_allclose(var, exact.var((0, 2, 3)), rtol=2e-6)
