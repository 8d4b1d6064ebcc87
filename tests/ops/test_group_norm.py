"""Group, instance, layer, RMS and local response normalisation: values, three derivatives, errors,
recorded statistics, accuracy in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.group_norm import GroupNorm, InstanceNorm
from tinygrad_cv.ops.layer_norm import LayerNorm, RMSNorm
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

rng = np.random.default_rng(31)
F = tg.nn.functional
TF = torch.nn.functional
EPS = 1e-5


def normal(*shape):
    return rng.normal(size=shape)


def positive(*shape):
    return rng.uniform(0.5, 2.0, size=shape)


def naive_groups(x, weight, bias, groups, eps=EPS):
    """Output, means and variances, set by set and value by value."""
    n, c = x.shape[:2]
    y, means, variances = np.empty_like(x), np.empty((n, groups)), np.empty((n, groups))
    for sample in range(n):
        for group in range(groups):
            channels = [k for k in range(c) if k * groups // c == group]
            places = [(sample, k, *p) for k in channels for p in np.ndindex(*x.shape[2:])]
            values = [x[place] for place in places]
            mean = sum(values) / len(values)
            var = sum((v - mean) ** 2 for v in values) / len(values)
            means[sample, group], variances[sample, group] = mean, var
            for place in places:
                y[place] = (x[place] - mean) / (var + eps) ** 0.5
                y[place] *= 1 if weight is None else weight[place[1]]
                y[place] += 0 if bias is None else bias[place[1]]
    return y, means, variances


def naive_layers(x, weight, bias, dims, eps=EPS, centre=True):
    split = x.ndim - dims
    y, means, squares = np.empty_like(x), [], []
    for lead in np.ndindex(*x.shape[:split]):
        values = [x[(*lead, *p)] for p in np.ndindex(*x.shape[split:])]
        mean = sum(values) / len(values) if centre else 0.0
        square = sum((v - mean) ** 2 for v in values) / len(values)
        means.append([mean])
        squares.append([square])
        for p in np.ndindex(*x.shape[split:]):
            y[(*lead, *p)] = (x[(*lead, *p)] - mean) / (square + eps) ** 0.5
            y[(*lead, *p)] *= 1 if weight is None else weight[p]
            y[(*lead, *p)] += 0 if bias is None else bias[p]
    return (y, np.array(means), np.array(squares)) if centre else (y, np.array(squares))


def naive_response(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for n, c, *p in np.ndindex(*x.shape):
        around = [j for j in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= j < x.shape[1]]
        energy = sum(x[(n, j, *p)] ** 2 for j in around)
        y[(n, c, *p)] = x[(n, c, *p)] / (k + alpha / size * energy) ** beta
    return y


def of_op(op, x, weight, bias, attrs, reference, **options):
    return Case(op, (x, weight, bias), attrs=attrs, reference=reference, order=3, **options)


CASES = [
    of_op(
        GroupNorm, normal(2, 4, 3, 2), normal(4), normal(4), (2, EPS),
        lambda x, w, b: naive_groups(x, w, b, 2), rtol=1e-8,
    ),
    of_op(
        GroupNorm, normal(2, 6, 2), normal(6), None, (1, 0.1),
        lambda x, w, b: naive_groups(x, w, b, 1, 0.1), name="one group, no bias",
    ),
    of_op(
        GroupNorm, normal(3, 6), None, normal(6), (3, EPS),
        lambda x, w, b: naive_groups(x, w, b, 3), name="no positions, no weight", rtol=1e-7,
    ),
    Case(
        F.group_norm, (normal(2, 6, 3, 2, 2), 3, normal(6), normal(6)),
        reference=lambda x, k, w, b: naive_groups(x, w, b, 3)[0], torch=TF.group_norm, order=3,
        batch=(0,),
    ),
    Case(
        F.group_norm, (normal(2, 3), 3, normal(3), normal(3)),
        reference=lambda x, k, w, b: np.stack([b, b]), torch=TF.group_norm, order=1,
        name="one value per group, several samples",
        skip={"gradient": "0", "derivative": "the slope at 0 is 1 / sqrt(eps)"},
    ),
    of_op(
        InstanceNorm, normal(2, 3, 3, 2), normal(3), normal(3), (EPS,),
        lambda x, w, b: naive_groups(x, w, b, 3), rtol=1e-8,
    ),
    Case(
        F.instance_norm, (normal(2, 3, 5), None, None, normal(3), normal(3)),
        reference=lambda x, m, v, w, b: naive_groups(x, w, b, 3)[0], torch=TF.instance_norm,
        order=3, batch=(0,),
    ),
    Case(
        F.instance_norm, (normal(2, 3, 2, 2, 2),), reference=lambda x: naive_groups(
            x, None, None, 3)[0], torch=TF.instance_norm, name="plain",
    ),
    Case(
        F.instance_norm, (normal(2, 3, 4), normal(3), positive(3), normal(3), normal(3)),
        kwargs={"use_input_stats": False}, diff=("input", "weight", "bias"),
        torch=lambda *args: TF.instance_norm(*args, use_input_stats=False), name="recorded",
    ),
    of_op(
        LayerNorm, normal(3, 5), normal(5), normal(5), (1, EPS),
        lambda x, w, b: naive_layers(x, w, b, 1), rtol=1e-8,
    ),
    of_op(
        LayerNorm, normal(2, 2, 3, 2), normal(3, 2), normal(3, 2), (2, 0.2),
        lambda x, w, b: naive_layers(x, w, b, 2, 0.2), name="two axes",
    ),
    of_op(
        LayerNorm, normal(4), None, None, (1, EPS), lambda x, w, b: naive_layers(x, w, b, 1),
        name="vector, plain", rtol=1e-7,
    ),
    Case(
        F.layer_norm, (normal(2, 3, 4, 3), (4, 3), normal(4, 3), normal(4, 3)),
        reference=lambda x, s, w, b: naive_layers(x, w, b, 2)[0], torch=TF.layer_norm, order=3,
        batch=(0,),
    ),
    Case(
        F.layer_norm, (normal(2, 3, 4, 3), (3, 4, 3), normal(3, 4, 3), None),
        reference=lambda x, s, w, b: naive_layers(x, w, b, 3)[0], torch=TF.layer_norm,
        name="whole images",
    ),
    Case(
        F.layer_norm, (normal(3, 1), (1,), normal(1), normal(1)),
        reference=lambda x, s, w, b: np.stack([b, b, b]), torch=TF.layer_norm, order=1,
        name="one value per set",
        skip={"derivative": "the slope at 0 is 1 / sqrt(eps)"},
    ),
    Case(
        RMSNorm, (normal(3, 5), normal(5)), attrs=(1, EPS), order=3,
        reference=lambda x, w: naive_layers(x, w, None, 1, centre=False),
    ),
    Case(
        F.rms_norm, (normal(2, 3, 4), (3, 4), normal(3, 4)), order=3, batch=(0,),
        reference=lambda x, s, w: naive_layers(x, w, None, 2, np.finfo(x.dtype).eps, False)[0],
        torch=TF.rms_norm,
    ),
    Case(
        F.rms_norm, (normal(2, 4), 4), kwargs={"eps": 0.1},
        reference=lambda x, s: naive_layers(x, None, None, 1, 0.1, False)[0],
        torch=lambda x, s: TF.rms_norm(x, (4,), eps=0.1), name="plain",
    ),
    *(
        Case(
            F.local_response_norm, (normal(2, 5, *spatial), size),
            kwargs={"alpha": 0.5, "beta": 0.7, "k": 2.0}, order=3, batch=(0,),
            reference=lambda x, size: naive_response(x, size, 0.5, 0.7, 2.0),
            torch=lambda x, size: TF.local_response_norm(x, size, 0.5, 0.7, 2.0),
            name=f"{len(spatial)}d, {size}",
        )
        for spatial, size in [((3,), 2), ((2, 3), 3), ((2, 1, 2), 5), ((2,), 8), ((2,), 1)]
    ),
    Case(
        F.local_response_norm, (3 * normal(2, 4, 3), 2), torch=TF.local_response_norm,
        name="defaults",
    ),
]  # fmt: skip

BAD = [
    Bad(F.group_norm, (normal(2, 6, 4), 4), error=ArgumentError, match="1, 2, 3, 6"),
    Bad(F.group_norm, (normal(2, 6, 4), 0), error=ArgumentError, match="num_groups = 0"),
    Bad(F.group_norm, (normal(2, 6, 4), -2), error=ArgumentError, match="num_groups >= 1"),
    Bad(F.group_norm, (normal(2, 6, 4), 2.0), error=DTypeError, match="whole number"),
    Bad(F.group_norm, (normal(1, 3), 3), error=ShapeError, match="n = 3 / 3 = 1"),
    Bad(F.group_norm, (normal(6), 2), error=ShapeError, match=r"unsqueeze\(0\)"),
    Bad(F.group_norm, (normal(2, 6), 2, normal(5)), error=ShapeError, match="num_channels=6"),
    Bad(F.group_norm, (normal(2, 6), 2, normal(6).astype("f4")), error=DTypeError, match="float32"),
    Bad(F.group_norm, (np.ones((2, 6), int), 2), error=DTypeError, match="must be float"),
    Bad(F.group_norm, (normal(2, 6), 2, None, None, "b"), error=DTypeError, match="eps must be"),
    Bad(F.instance_norm, (normal(2, 3),), error=ShapeError, match="n = 1"),
    Bad(F.instance_norm, (normal(2, 3, 1, 1),), error=ShapeError, match="larger maps"),
    Bad(F.instance_norm, (normal(3),), error=ShapeError, match="channels"),
    Bad(
        F.instance_norm, (normal(2, 3, 4), normal(2), positive(2)), error=ShapeError,
        match="running_mean",
    ),
    Bad(F.instance_norm, (normal(2, 3, 4), normal(3)), error=ArgumentError, match="together"),
    Bad(
        F.instance_norm, (normal(2, 3, 4),), {"use_input_stats": False}, error=ArgumentError,
        match="use_input_stats=True",
    ),
    Bad(F.layer_norm, (normal(2, 3, 4), (3,)), error=ShapeError, match=r"normalized_shape=\(4,\)"),
    Bad(F.layer_norm, (normal(2, 3), (2, 2, 3)), error=ShapeError, match="last 3 axes"),
    Bad(F.layer_norm, (normal(2, 3), ()), error=ArgumentError, match="empty"),
    Bad(F.layer_norm, (normal(2, 3), 3.0), error=DTypeError, match="whole number"),
    Bad(F.layer_norm, (normal(2, 3), 3, normal(2)), error=ShapeError, match="weight"),
    Bad(F.layer_norm, (normal(2, 3), 3, None, normal(1, 3)), error=ShapeError, match="bias"),
    Bad(F.layer_norm, (np.ones((2, 3), int), 3), error=DTypeError, match="must be float"),
    Bad(F.rms_norm, (normal(2, 3), 2), error=ShapeError, match=r"normalized_shape=\(3,\)"),
    Bad(F.rms_norm, (normal(2, 3), 3, normal(4)), error=ShapeError, match="weight"),
    Bad(F.rms_norm, (normal(2, 3), 3), {"eps": "b"}, error=DTypeError, match="eps"),
    Bad(F.local_response_norm, (normal(2, 3), 2), error=ShapeError, match="3 axes or more"),
    Bad(F.local_response_norm, (normal(2, 3, 4), 0), error=ArgumentError, match="at least 1"),
    Bad(F.local_response_norm, (np.ones((2, 3, 4), int), 2), error=DTypeError, match="int64"),
    Bad(
        F.local_response_norm, (normal(2, 3, 4), 2), {"beta": None}, error=DTypeError,
        match="beta",
    ),
]  # fmt: skip


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@parametrize_cases(BAD)
def test_bad(bad):
    check_bad(bad)


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_recorded_statistics_are_means_over_the_batch(momentum):
    x, mean, var = normal(4, 3, 5, 2), normal(3), positive(3)
    ours, theirs = (tg.tensor(mean), tg.tensor(var)), (torch.tensor(mean), torch.tensor(var))
    for _ in range(3):
        F.instance_norm(tg.tensor(x), *ours, momentum=momentum)
        TF.instance_norm(torch.tensor(x), *theirs, momentum=momentum)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.numpy() == pytest.approx(other.numpy(), rel=1e-12)


@pytest.mark.parametrize("size", [0, 3])
def test_an_empty_batch_and_meta_record_nothing(size):
    mean, var = tg.zeros(3), tg.ones(3)
    x = tg.zeros(size, 3, 4)
    F.instance_norm(x, mean, var) if size == 0 else F.instance_norm(
        x.to("meta"), mean.to("meta"), var.to("meta")
    )
    assert (mean.tolist(), var.tolist()) == ([0] * 3, [1] * 3)


FUNCTIONS = {
    "groups": lambda x: F.group_norm(x, 2),
    "instances": lambda x: F.instance_norm(x),
    "layers": lambda x: F.layer_norm(x, x.shape[1:]),
}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_is_accurate_however_far_from_zero(kind, layout, offset):
    """The variance of this many values, added one after the other, would be off by 4e-4."""
    x = (normal(2, 4, 112, 112) * 2 + offset).astype("f4")
    y = FUNCTIONS[kind](tg.tensor(x).contiguous(layout)).numpy()
    exact = FUNCTIONS[kind](tg.tensor(x.astype("f8"))).numpy()
    np.testing.assert_allclose(y, exact, atol=4e-6 if offset == 0 else 1e-4)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", ["groups", "instances"])
def test_the_memory_layout_is_kept(kind, layout):
    x = tg.tensor(normal(4, 4, 5, 6)).contiguous(layout).requires_grad_()
    y = FUNCTIONS[kind](x)
    (gradient,) = tg.autograd.grad((y * y * y).sum(), x)
    assert y.array.strides == x.array.strides == gradient.array.strides


def test_a_constant_set_gives_the_bias():
    x = tg.full((2, 4, 3), 5.0)
    y = F.group_norm(x, 2, tg.ones(4), tg.arange(4.0))
    np.testing.assert_array_equal(y.numpy(), np.arange(4.0)[:, None] + np.zeros((2, 4, 3)))


@pytest.mark.parametrize("function", [TF.group_norm, TF.layer_norm, TF.rms_norm])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spoils_its_set_only(function, value):
    x = normal(2, 4)
    x[0, 1] = value
    argument = 2 if function is TF.group_norm else (4,)
    ours = getattr(F, function.__name__)(tg.tensor(x), argument).numpy()
    theirs = function(torch.tensor(x), argument).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_zero_sizes_follow_torch():
    for shape, last in [((0, 4), 4), ((3, 0), 0), ((2, 0, 3), 3)]:
        x = tg.zeros(*shape, requires_grad=True)
        w = tg.ones(last, requires_grad=True)
        F.layer_norm(x, last, w).sum().backward()
        assert x.grad.shape == shape
        assert w.grad.tolist() == [0] * last
    x = tg.zeros(2, 4, 0, requires_grad=True)
    F.group_norm(x, 2).sum().backward()
    assert x.grad.shape == (2, 4, 0)
    assert F.local_response_norm(tg.zeros(0, 3, 2), 2).shape == (0, 3, 2)
