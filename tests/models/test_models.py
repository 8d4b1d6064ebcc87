"""Blocks and networks: shapes, numbers of parameters, state, gradients, one step of training."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import models, nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn import functional as F

# (model, arguments, input shape, output shape, number of parameters)
MODELS = [
    (
        models.HybridDilatedConv,
        {"in_channels": 3, "out_channels": 4},
        (2, 3, 9, 12),
        (2, 4, 9, 12),
        9 * (3 * 4 + 2 * 4 * 4) + 3 * 2 * 4,
    ),
    (
        models.HybridDilatedConv,
        {"in_channels": 2, "out_channels": 3, "rates": (1, 3), "kernel_size": 5},
        (2, 2, 13, 8),
        (2, 3, 13, 8),
        25 * (2 * 3 + 3 * 3) + 2 * 2 * 3,
    ),
    (
        models.DepthwiseSeparableConv2d,
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1},
        (2, 4, 9, 8),
        (2, 6, 5, 4),
        4 * 9 + 2 * 4 + 4 * 6 + 2 * 6,
    ),
    (
        models.DepthwiseSeparableConv2d,
        {"in_channels": 4, "out_channels": 2, "kernel_size": (3, 1), "bias": True, "dilation": 2},
        (2, 4, 9, 8),
        (2, 2, 5, 8),
        4 * 3 + 4 + 2 * 4 + 4 * 2 + 2 + 2 * 2,
    ),
    (
        models.C3D,
        {"num_classes": 4, "widths": (3, 5), "hidden": 6, "dropout": 0.0},
        (3, 3, 4, 8, 9),
        (3, 4),
        27 * (3 * 3 + 3 * 5) + 3 + 5 + (5 + 1) * 6 + (6 + 1) * 4,
    ),
    (
        models.LeNet,
        {},
        (3, 1, 32, 32),
        (3, 10),
        (25 + 1) * 6 + (25 * 6 + 1) * 16 + (400 + 1) * 120 + 121 * 84 + 85 * 10,
    ),
    (
        models.LeNet,
        {
            "num_classes": 4,
            "in_channels": 3,
            "activation": "relu",
            "pool": "max",
            "padding": 2,
        },
        (3, 3, 28, 28),
        (3, 4),
        (75 + 1) * 6 + (25 * 6 + 1) * 16 + (400 + 1) * 120 + 121 * 84 + 85 * 4,
    ),
]
every_model = pytest.mark.parametrize(
    ("model", "kwargs", "shape", "out", "count"), MODELS, ids=lambda v: getattr(v, "__name__", "")
)


def given(shape):
    return tg.tensor(np.random.default_rng(3).normal(size=shape).astype("f4"))


def test_every_model_is_here():
    public = [getattr(models, name) for name in models.__all__]
    modules = {m for m in public if inspect.isclass(m) and issubclass(m, nn.Module)}
    assert modules == {model for model, *_ in MODELS}


@every_model
def test_shapes_and_parameters(model, kwargs, shape, out, count):
    net = model(**kwargs)
    assert net(given(shape)).shape == out
    assert net.eval()(given(shape)).shape == out
    assert sum(w.numel() for w in net.parameters()) == count
    assert net(tg.zeros(0, *shape[1:])).shape == (0, *out[1:])


@every_model
def test_one_step_lowers_the_loss(model, kwargs, shape, out, count):
    tg.manual_seed(0)
    net, x = model(**kwargs), given(shape)
    target = tg.arange(out[0]) % out[1] if len(out) == 2 else given(out)
    loss_of = F.cross_entropy if len(out) == 2 else F.mse_loss
    sgd = tg.optim.SGD(net.parameters(), lr=0.01)
    before = loss_of(net(x), target)
    before.backward()
    for name, weight in net.named_parameters():
        found = weight.grad.numpy()
        assert np.isfinite(found).all(), name
        # A bias in front of a normalisation changes nothing.
        assert found.any() or (name.endswith("wise.bias")), name
    sgd.step()
    assert loss_of(net(x), target).item() < before.item()


@every_model
def test_dtype_device_and_state(model, kwargs, shape, out, count):
    net, other = model(**kwargs, dtype="float64"), model(**kwargs, dtype="float64")
    assert {w.dtype for w in net.parameters()} == {tg.float64}
    other.load_state_dict(net.state_dict())
    x = given(shape).double()
    np.testing.assert_array_equal(net.eval()(x).detach().numpy(), other.eval()(x).detach().numpy())
    assert model(**kwargs, device="meta")(given(shape).to("meta")).shape == out


NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def test_the_keys_of_the_state():
    def keys(net):
        return list(net.state_dict())

    def with_bias(*names):
        return [f"{name}.{part}" for name in names for part in ("weight", "bias")]

    assert keys(models.HybridDilatedConv(1, 2, (1, 2))) == [
        key
        for i in (0, 1)
        for key in (f"stages.{i}.conv.weight", *(f"stages.{i}.norm.{part}" for part in NORM))
    ]
    assert keys(models.DepthwiseSeparableConv2d(2, 3, 3)) == [
        key
        for name in ("depthwise", "pointwise")
        for key in (f"{name}.weight", *(f"{name}_norm.{part}" for part in NORM))
    ]
    assert keys(models.C3D(3, widths=(2, 3))) == with_bias(
        "features.conv1", "features.conv2", "fc1", "fc2"
    )
    assert keys(models.LeNet()) == with_bias("conv1", "conv2", "conv3", "fc1", "fc2")


def test_hybrid_dilated_convolution_is_torchs_layers():
    ours = models.HybridDilatedConv(2, 3, dtype="float64")
    layers, channels = [], 2
    for rate in (1, 2, 5):
        conv = torch.nn.Conv2d(channels, 3, 3, padding=rate, dilation=rate, bias=False)
        layers.append(torch.nn.Sequential())
        layers[-1].add_module("conv", conv)
        layers[-1].add_module("norm", torch.nn.BatchNorm2d(3))
        layers[-1].add_module("relu", torch.nn.ReLU())
        channels = 3
    theirs = torch.nn.Sequential(*layers).double()
    theirs.load_state_dict(
        {k.removeprefix("stages."): torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    )
    x = given((2, 2, 12, 13)).double()
    expected = theirs(torch.tensor(x.numpy())).detach().numpy()
    np.testing.assert_allclose(ours(x).detach().numpy(), expected, atol=1e-12)


def test_depthwise_separable_convolution_is_one_of_outer_products():
    """In evaluation without ReLU between, the two make one kernel: w[o,c] = p[o,c] d[c]."""
    block = models.DepthwiseSeparableConv2d(3, 4, 3, padding=1, dtype="float64").eval()
    block.relu = nn.Identity()
    d, p = block.depthwise.weight.detach(), block.pointwise.weight.detach()
    x = given((2, 3, 6, 7)).double()
    scale = 1 / (1 + 1e-5)  # two normalisations by 1 / sqrt(1 + eps)
    expected = F.conv2d(x, p * d.reshape(1, 3, 3, 3), padding=1) * scale
    np.testing.assert_allclose(block(x).detach().numpy(), expected.numpy(), atol=1e-12)


def test_the_field_of_a_block():
    assert models.HybridDilatedConv(1, 1).receptive_field() == (17, 1, -8)
    block = models.HybridDilatedConv(1, 1, rates=(1, 2), kernel_size=5)
    assert block.receptive_field() == (13, 1, -6)


@pytest.mark.parametrize("name", ["activation", "pool"])
def test_options_of_lenet_matter(name):
    layers = {"activation": ("Tanh", "ReLU"), "pool": ("AvgPool2d", "MaxPool2d")}[name]
    option = {"activation": "relu", "pool": "max"}[name]
    for net, kind in zip((models.LeNet(), models.LeNet(**{name: option})), layers, strict=True):
        assert type(getattr(net, name)).__name__ == kind


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: models.HybridDilatedConv(0, 4), ArgumentError, "in_channels"),
        (lambda: models.HybridDilatedConv(3, 4, ()), ArgumentError, "rates is empty"),
        (lambda: models.HybridDilatedConv(3, 4, (1, 0)), ArgumentError, "rates must be positive"),
        (lambda: models.HybridDilatedConv(3, 4, (1, 1.5)), DTypeError, "rates"),
        (lambda: models.HybridDilatedConv(3, 4, kernel_size=4), ArgumentError, "must be odd"),
        (lambda: models.HybridDilatedConv(3, 4, kernel_size=0), ArgumentError, "kernel_size"),
        (lambda: models.DepthwiseSeparableConv2d(3, 0, 3), ArgumentError, "out_channels"),
        (lambda: models.DepthwiseSeparableConv2d(3, 4, 0), ArgumentError, "kernel_size"),
        (
            lambda: models.DepthwiseSeparableConv2d(3, 4, 3, padding_mode="b"),
            ArgumentError,
            "padding_mode",
        ),
        (lambda: models.C3D(0), ArgumentError, "num_classes"),
        (lambda: models.C3D(2, widths=()), ArgumentError, "widths is empty"),
        (lambda: models.C3D(2, widths=(4, -1)), ArgumentError, "widths must be positive"),
        (lambda: models.C3D(2, hidden=1.5), DTypeError, "hidden"),
        (lambda: models.C3D(2, dropout=2), ArgumentError, "1 - p"),
        (lambda: models.LeNet(activation="gelu"), ArgumentError, "tanh, relu, sigmoid"),
        (lambda: models.LeNet(pool=2), ArgumentError, "avg, max"),
        (lambda: models.LeNet(padding=-1), ArgumentError, "padding"),
        (lambda: models.LeNet(0), ArgumentError, "num_classes"),
    ],
)
def test_arguments_are_checked_at_once(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_an_even_kernel_is_repaired():
    with pytest.raises(ArgumentError) as caught:
        models.HybridDilatedConv(3, 4, kernel_size=4)
    (repair,) = caught.value.repairs
    assert models.HybridDilatedConv(3, 4, **repair)(tg.zeros(1, 3, 6, 6)).shape == (1, 4, 6, 6)


@pytest.mark.parametrize(
    ("net", "shape", "match"),
    [
        (models.HybridDilatedConv(3, 4), (3, 8, 8), "must have 4 axes, it has 3"),
        (models.HybridDilatedConv(3, 4), (1, 2, 8, 8), r"in model\.stages\.0\.conv \(Conv2d\)"),
        (models.DepthwiseSeparableConv2d(3, 4, 3), (3, 8, 8), "must have 4 axes"),
        (models.DepthwiseSeparableConv2d(3, 4, 3), (2, 3, 2, 2), "does not fit"),
        (models.C3D(2), (3, 8, 16, 16), r"\[N, C, T, H, W\]"),
        (models.C3D(2), (1, 3, 3, 8, 8), "T >= 4, H >= 8, W >= 8"),
        (models.C3D(2), (1, 1, 8, 16, 16), r"features\.conv1 \(Conv3d\)"),
        (models.LeNet(), (1, 1, 28, 28), r"32 - 2\*0 = 32"),
        (models.LeNet(padding=2), (1, 1, 32, 32), r"32 - 2\*2 = 28"),
        (models.LeNet(), (1, 32, 32), r"x.unsqueeze\(0\)"),
        (models.LeNet(), (1, 3, 32, 32), r"conv1 \(Conv2d\)"),
    ],
)
def test_inputs_that_do_not_fit(net, shape, match):
    with pytest.raises(ShapeError, match=match) as caught:
        net(tg.zeros(shape))
    for repair in caught.value.repairs:
        if set(repair) == {"input"}:
            net(tg.zeros(repair["input"]))
    if shape[1:] == (32, 32):
        assert net(tg.zeros(shape).unsqueeze(0)).shape == (1, 10)  # the repair


def test_c3d_learns_which_way_things_move():
    """A bar starts at each column and goes left or right around the image; as no single frame
    tells, the kernels must look along time."""
    sign = np.where(np.arange(16) % 2, 1, -1)
    clips = np.zeros((16, 1, 4, 8, 8), "f4")
    for i in range(16):
        for t in range(4):
            clips[i, 0, t, :, (i // 2 + sign[i] * t) % 8] = 1
    target = tg.tensor((sign > 0).astype("i8"))
    tg.manual_seed(0)
    net = models.C3D(2, in_channels=1, widths=(6, 8), hidden=8, dropout=0.0)
    optimizer = tg.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(net(clips), target).backward()
        optimizer.step()
    assert (net(clips).argmax(1) == target).all()
