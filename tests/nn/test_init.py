"""Initial values: the distributions by their bounds and moments, the formulas by PyTorch's."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn import init

FANS = (64, 32, 3, 3)


def moments(tensor):
    values = tensor.numpy().astype("f8")
    return values.mean(), values.std(), values.min(), values.max()


@pytest.mark.parametrize("name", [n for n in init.__all__ if hasattr(torch.nn.init, n)])
def test_arguments_are_torchs(name):
    theirs = inspect.signature(getattr(torch.nn.init, name)).parameters
    ours = inspect.signature(getattr(init, name)).parameters
    assert [(p.name, p.default) for p in ours.values()] == [
        (q.name, q.default) for q in theirs.values()
    ]


@pytest.mark.parametrize(
    ("function", "kwargs"),
    [
        ("uniform_", {"a": -2.0, "b": 3.0}),
        ("normal_", {"mean": 1.0, "std": 0.5}),
        ("trunc_normal_", {"mean": 0.5, "std": 1.0, "a": -1.0, "b": 1.5}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": math.sqrt(5)}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"nonlinearity": "tanh"}),
    ],
)
def test_distribution_is_torchs(function, kwargs):
    ours = tg.zeros(*FANS, dtype="float64")
    theirs = torch.zeros(*FANS, dtype=torch.float64)
    torch.manual_seed(0)
    assert getattr(init, function)(ours, **kwargs) is ours
    getattr(torch.nn.init, function)(theirs, **kwargs)
    mean, std, low, high = moments(ours)
    expected_mean, expected_std, expected_low, expected_high = moments(theirs)
    assert mean == pytest.approx(expected_mean, abs=0.03 * expected_std)
    assert std == pytest.approx(expected_std, rel=0.02)
    if "normal" not in function or "trunc" in function:  # bounded: the extremes nearly meet
        assert (low, high) == pytest.approx((expected_low, expected_high), abs=0.01 * std)


def test_constants():
    x = tg.zeros(2, 3)
    assert init.ones_(x).tolist() == [[1] * 3] * 2
    assert init.constant_(x, 0.5).tolist() == [[0.5] * 3] * 2
    assert init.zeros_(x).tolist() == [[0] * 3] * 2
    assert init.eye_(x).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 2, 3), 2), ((3, 3, 3, 4), 1), ((4, 2, 1, 3, 2), 1)]
)
def test_dirac_is_torchs(shape, groups):
    expected = torch.nn.init.dirac_(torch.zeros(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(tg.ones(*shape), groups).numpy(), expected)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 2, 3), (4, 4)])
def test_orthogonal(shape):
    q = init.orthogonal_(tg.zeros(*shape, dtype="float64"), gain=2.0).numpy().reshape(shape[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_sparse(sparsity, kind):
    shape, options = (31, 200), {"sparsity": sparsity, "std": 0.5}
    ours = init.sparse_(tg.ones(*shape, dtype=kind), **options, generator=tg.Generator(0)).numpy()
    theirs = torch.nn.init.sparse_(torch.ones(shape), **options).numpy()
    zeros = (ours == 0).sum(0)
    np.testing.assert_array_equal(zeros, (theirs == 0).sum(0))
    kept = ours[ours != 0]
    if kept.size:
        assert kept.std() == pytest.approx(0.5, rel=0.05)
        assert len(np.unique(np.argmax(ours != 0, 0))) > 1 or not sparsity  # places are random


def test_every_function_of_torch_is_there():
    theirs = {n for n in vars(torch.nn.init) if n.endswith("_") and not n.startswith("_")}
    assert theirs - set(init.__all__) == set()


@pytest.mark.parametrize(
    "name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
def test_gain_is_torchs(name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_fans():
    assert init._calculate_fan_in_and_fan_out(tg.zeros(*FANS)) == (32 * 9, 64 * 9)


def test_default_values_of_layers_are_torchs():
    """Uniform on [-k, k] with k = 1 / sqrt(fan_in), for weight and bias alike."""
    for layer, fan_in in (
        (nn.Linear(300, 200), 300),
        (nn.Conv2d(32, 64, 3), 288),
        (nn.ConvTranspose2d(64, 32, 3), 288),
    ):
        bound = 1 / math.sqrt(fan_in)
        for p in (layer.weight, layer.bias):
            values = p.detach().numpy()
            assert abs(values).max() <= bound
            assert abs(values).max() > 0.8 * bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.2)


def test_the_seed_fixes_the_values():
    tg.manual_seed(5)
    first = nn.Linear(3, 3)
    tg.manual_seed(5)
    second = nn.Linear(3, 3)
    third = nn.Linear(3, 3)
    assert first.weight.tolist() == second.weight.tolist() != third.weight.tolist()
    a, b = tg.zeros(4), tg.zeros(4)
    init.normal_(a, generator=tg.Generator(1))
    init.normal_(b, generator=tg.Generator(1))
    assert a.tolist() == b.tolist()


def test_meta_draws_nothing():
    generator = tg.Generator(0)
    x = init.kaiming_uniform_(tg.zeros(2, 2).to("meta"), generator=generator)
    init.trunc_normal_(x, generator=generator)
    init.zeros_(x)
    assert x.device.type == "meta"
    assert generator.get_state().tolist() == [0, 0]


def test_bad_arguments():
    with pytest.raises(ShapeError, match="at least 2 axes"):
        init.kaiming_normal_(tg.zeros(3))
    with pytest.raises(ArgumentError, match="fan_in or fan_out"):
        init.kaiming_normal_(tg.zeros(3, 3), mode="fan_avg")
    with pytest.raises(ArgumentError, match="unknown nonlinearity 'softmax'"):
        init.calculate_gain("softmax")
    with pytest.raises(ArgumentError, match="below"):
        init.trunc_normal_(tg.zeros(3), a=1.0, b=0.0)
    with pytest.raises(ShapeError, match="matrix"):
        init.eye_(tg.zeros(3))
    with pytest.raises(ShapeError, match="matrix"):
        init.sparse_(tg.zeros(3), 0.5)
    for sparsity in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match=r"sparsity must be in \[0, 1\]"):
            init.sparse_(tg.zeros(3, 3), sparsity)
    with pytest.raises(ArgumentError, match="std must be at least 0"):
        init.sparse_(tg.zeros(3, 3), 0.5, std=-1.0)
    with pytest.raises(ShapeError, match="3, 4 or 5"):
        init.dirac_(tg.zeros(3, 3))
    for groups in (0, -1):
        with pytest.raises(ArgumentError, match=f"4 output channels do not .* {groups} groups"):
            init.dirac_(tg.zeros(4, 2, 3), groups)
    for std in (0, -1.0, math.nan):
        with pytest.raises(ArgumentError, match=f"std must be above 0, it is {std}"):
            init.trunc_normal_(tg.zeros(3), std=std)
    for std in (-1.0, math.nan):
        with pytest.raises(ArgumentError, match=f"std must be at least 0, it is {std}"):
            init.normal_(tg.zeros(3), std=std)
    with pytest.raises(ArgumentError, match="a must not be above b: a = 1, b = 0"):
        init.uniform_(tg.zeros(3), 1, 0)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "orthogonal_"])
def test_integers_are_not_drawn(name):
    tensor = tg.ones(2, 2, dtype="int64")
    with pytest.raises(DTypeError, match="int64 is not a floating dtype"):
        getattr(init, name)(tensor)
    assert tensor.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("name", [n for n in init.__all__ if n.startswith(("xavier", "kaiming"))])
def test_a_weight_without_units_has_nothing_to_draw(name):
    assert getattr(init, name)(tg.zeros(0, 0)).shape == (0, 0)
    assert init.normal_(tg.zeros(3), 2.0, 0.0).tolist() == [2, 2, 2]
