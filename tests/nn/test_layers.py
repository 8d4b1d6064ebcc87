"""Every layer against PyTorch's: the same arguments give the same keys, shapes, looks and
results.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.nn.alike import check_arguments, check_layer, pair
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn import functional as F

rng = np.random.default_rng(15)

# (name, positional arguments, keyword arguments, input shape)
LAYERS = [
    ("Linear", (4, 3), {}, (2, 4)),
    ("Linear", (4, 3), {"bias": False}, (2, 5, 4)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 9)),
    ("Conv2d", (3, 8, 3), {}, (2, 3, 8, 8)),
    ("Conv2d", (3, 8, (3, 1), 2, 1), {"bias": False, "dilation": (1, 2)}, (2, 3, 9, 8)),
    ("Conv2d", (4, 4, 3), {"padding": "same", "groups": 4}, (2, 4, 7, 6)),
    ("Conv2d", (2, 4, 3), {"padding": "valid"}, (2, 2, 7, 6)),
    ("Conv2d", (2, 4, 3), {"padding": (2, 1), "padding_mode": "reflect"}, (2, 2, 7, 6)),
    ("Conv2d", (2, 4, 4), {"padding": "same", "padding_mode": "circular"}, (2, 2, 7, 6)),
    ("Conv2d", (2, 4, 3), {"padding": 1, "stride": 2, "padding_mode": "replicate"}, (2, 2, 7, 6)),
    ("Conv3d", (2, 3, (1, 3, 2)), {"padding": (0, 1, 1)}, (1, 2, 3, 5, 4)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "groups": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 3, 3, 2, 1), {"output_padding": 1}, (2, 4, 5, 4)),
    ("ConvTranspose2d", (4, 2, 3), {"dilation": 2, "bias": False}, (1, 4, 5, 4)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": (1, 2, 2)}, (1, 2, 2, 3, 3)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": None}, (5, 4, 3)),
    ("BatchNorm2d", (3,), {"eps": 1e-3, "momentum": 0.5}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"affine": False}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"bias": False}, (4, 3, 5, 5)),
    ("BatchNorm3d", (2,), {"momentum": 1.0}, (2, 2, 2, 3, 2)),
    ("MaxPool1d", (2,), {}, (2, 3, 8)),
    ("MaxPool2d", (3, 2, 1), {"ceil_mode": True}, (2, 3, 8, 9)),
    ("MaxPool2d", ((2, 3),), {"dilation": 2}, (2, 3, 8, 9)),
    ("MaxPool3d", (2,), {}, (1, 2, 4, 4, 4)),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}, (2, 3, 8, 9)),
    ("AvgPool2d", (2,), {"divisor_override": 3}, (2, 3, 8, 9)),
    ("AvgPool3d", (2,), {"ceil_mode": True}, (1, 2, 5, 4, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 8)),
    ("AdaptiveAvgPool2d", ((2, None),), {}, (2, 3, 7, 5)),
    ("AdaptiveAvgPool3d", (1,), {}, (1, 2, 3, 4, 5)),
    ("ReLU", (), {}, (2, 3)),
    ("LeakyReLU", (0.2,), {}, (2, 3)),
    ("ELU", (1.5,), {}, (2, 3)),
    ("Sigmoid", (), {}, (2, 3)),
    ("Tanh", (), {}, (2, 3)),
    ("GELU", (), {}, (2, 3)),
    ("GELU", ("tanh",), {}, (2, 3)),
    ("Softmax", (1,), {}, (2, 3)),
    ("LogSoftmax", (-1,), {}, (2, 3, 4)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (2, 6)),
    ("Identity", (), {}, (2, 3)),
    ("Dropout", (0.0,), {}, (2, 3)),
    ("Dropout2d", (1.0,), {}, (2, 3, 4, 4)),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_is_torchs(name, args, kwargs, shape):
    check_layer(name, args, kwargs, shape)


def listed(name):
    """The list of that name in this file and in every family's that has one."""
    for path in sorted(Path(__file__).parent.glob("test_*layers.py")):
        yield from getattr(importlib.import_module(f"{__package__}.{path.stem}"), name, ())


def compared():
    """The names of the layers in the tables LAYERS."""
    return {name for name, *_ in listed("LAYERS")}


def test_every_layer_is_compared():
    layers = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    containers = {"Module", "ModuleDict", "ModuleList", "Sequential"}
    containers |= {"FeatureExtractor", "ParameterDict", "ParameterList"}
    alike = {"AvgPool1d", "Dropout1d", "Dropout3d"}  # below, or the same text as a compared one
    alike |= {"DeformConv2d"}  # torchvision's, in a file of its own
    losses = {name for name in layers if name.endswith("Loss")}
    assert layers - containers - alike - losses == (
        {*compared(), *listed("LAYERS_ELSEWHERE")} - losses
    )


@pytest.mark.parametrize("name", sorted({*compared(), "AvgPool1d", "MSELoss", "NLLLoss"}))
def test_constructors_have_torchs_arguments(name):
    check_arguments(name)


@pytest.mark.parametrize("kind", ["CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss"])
def test_losses(kind):
    options = {"reduction": "sum"}
    x, target = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    if kind in ("CrossEntropyLoss", "NLLLoss"):
        target = np.array([0, 2, 1, 1])
        options["weight"] = np.array([1.0, 2.0, 0.5])
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    expected = getattr(torch.nn, kind)(**theirs)(torch.tensor(x), torch.tensor(target)).item()
    layer = getattr(nn, kind)(**options)
    assert layer(tg.tensor(x), tg.tensor(target)).item() == pytest.approx(expected)
    assert repr(layer) == f"{kind}()"
    with pytest.raises(ArgumentError, match="median"):
        getattr(nn, kind)(reduction="median")
    with pytest.raises(ArgumentError, match="of old"):
        getattr(nn, kind)(reduce=True)


def test_avg_pool1d():
    out = nn.AvgPool1d(2, 1)(tg.tensor([[[1.0, 3.0, 5.0]]]))
    assert out.tolist() == [[[2, 4]]]


def test_max_pool_returns_indices():
    values, indices = nn.MaxPool2d(2, return_indices=True)(tg.tensor([[[[1.0, 4.0], [3.0, 2.0]]]]))
    assert (values.item(), indices.item()) == (4, 1)


def test_output_size_of_a_transposed_convolution():
    ours, theirs = pair("ConvTranspose2d", (2, 3, 3), {"stride": 2, "padding": 1})
    x = rng.normal(size=(1, 2, 4, 4))
    for size in ((7, 7), (8, 7), (1, 3, 8, 8)):
        expected = theirs(torch.tensor(x), output_size=size[-2:])
        out = ours(tg.tensor(x), output_size=size)
        np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    with pytest.raises(ShapeError, match=r"from \(7, 7\) to \(8, 8\)") as caught:
        ours(tg.tensor(x), output_size=(9, 9))
    for repair in caught.value.repairs:
        assert ours(tg.tensor(x), **repair).shape[2:] == repair["output_size"]


BAD = [
    (nn.Linear, (0, 3), {}, "in_features"),
    (nn.Conv2d, (3, 8), {"kernel_size": 0}, "kernel_size"),
    (nn.Conv2d, (3, 8, (3, 3, 3)), {}, "2"),
    (nn.Conv2d, (3, 8, 3), {"stride": 0}, "stride"),
    (nn.Conv2d, (3, 8, 3), {"padding": -1}, "padding"),
    (nn.Conv2d, (3, 8, 3), {"padding": "full"}, "same"),
    (nn.Conv2d, (3, 8, 3), {"padding_mode": "mirror"}, "padding_mode"),
    (nn.Conv2d, (3, 8, 3), {"groups": 2}, "groups = 2"),
    (nn.ConvTranspose2d, (3, 8, 3), {"padding_mode": "reflect"}, "zeros"),
    (nn.BatchNorm2d, (0,), {}, "num_features"),
    (nn.BatchNorm2d, (3,), {"momentum": 1.5}, "momentum"),
    (nn.BatchNorm2d, (3,), {"eps": -1e-5}, "eps must be at least 0"),
    (nn.BatchNorm2d, (3,), {"eps": float("nan")}, "eps must be at least 0"),
    (nn.Dropout, (1.5,), {}, "1 - p"),
    (nn.MaxPool2d, (), {"kernel_size": 0}, "kernel_size must be at least 1"),
    (nn.MaxPool1d, (2,), {"dilation": 0}, "dilation"),
    (nn.AvgPool2d, (2,), {"padding": -1}, "padding must be at least 0"),
    (nn.AvgPool3d, ((2, 2),), {}, "one int or 3"),
    (nn.AdaptiveAvgPool2d, (), {"output_size": 0}, "output_size must be at least 1"),
    (nn.Softmax, (), {}, "dim=1"),
    (nn.GELU, ("erf",), {}, "tanh"),
]


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(2.5, 8),
        lambda: nn.Conv2d("3", 8, 3),
        lambda: nn.Conv2d(3, 8, 3.0),
        lambda: nn.Conv2d(3, 8, (3, 1.5)),
        lambda: nn.BatchNorm2d(2.0),
    ],
)
def test_sizes_are_whole_numbers(make):
    with pytest.raises(DTypeError, match="whole number"):
        make()


def test_a_padding_of_pairs():
    layer = nn.Conv2d(3, 8, 3, padding=((1, 2), (0, 1)))
    assert "padding=((1, 2), (0, 1))" in repr(layer)
    assert layer(tg.zeros(1, 3, 5, 5)).shape == (1, 8, 6, 4)
    reflecting = nn.Conv2d(3, 8, 3, padding=((1, 2), (0, 1)), padding_mode="reflect")
    x = tg.rand(1, 3, 5, 5)
    padded = F.pad(x, (0, 1, 1, 2), mode="reflect")
    plain = F.conv2d(padded, reflecting.weight, reflecting.bias)
    assert reflecting(x).tolist() == plain.tolist()


def test_the_border_of_a_convolution_may_be_symmetric():
    layer = nn.Conv2d(3, 8, 3, padding=1, stride=2, padding_mode="symmetric")
    assert repr(layer).endswith("padding_mode=symmetric)")
    x = tg.rand(1, 3, 6, 5)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="symmetric")
    expected = F.conv2d(padded, layer.weight, layer.bias, 2)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected.detach().numpy(), atol=1e-6)


def test_dilation_widens_what_a_transposed_convolution_can_give():
    ours, theirs = pair("ConvTranspose2d", (4, 2, 3), {"stride": 1, "dilation": 2})
    x = rng.normal(size=(1, 4, 5, 5))
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x), theirs.weight, theirs.bias, output_padding=1, dilation=2
    )
    out = ours(tg.tensor(x), output_size=(10, 10))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-12)


def test_dropout_in_place():
    layer, x = nn.Dropout(0.5, inplace=True), tg.ones(100)
    assert layer(x) is x
    assert set(x.tolist()) == {0.0, 2.0}
    y = tg.ones(100, requires_grad=True) * 1
    F.dropout(y, 0.5, inplace=True).sum().backward()


@pytest.mark.parametrize("layer", [nn.ReLU, nn.LeakyReLU, nn.ELU])
def test_activations_in_place(layer):
    x = tg.tensor([-1.0, 2.0])
    expected = layer()(x).tolist()
    assert layer(inplace=True)(x) is x
    assert x.tolist() == expected
    assert "inplace=True" in repr(layer(inplace=True))


@pytest.mark.parametrize(("layer", "args", "kwargs", "match"), BAD)
def test_bad_arguments(layer, args, kwargs, match):
    with pytest.raises(ArgumentError, match=match) as caught:
        layer(*args, **kwargs)
    for repair in caught.value.repairs:
        layer(*args, **{**kwargs, **repair})


def test_batch_norm_names_the_layer_and_the_ways_out():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    with pytest.raises(ShapeError) as caught:
        net(tg.zeros(1, 4))
    text = str(caught.value)
    for part in (
        "one value per channel",
        "n = 1",
        "drop_last",
        "eval()",
        "in model.1 (BatchNorm1d)",
    ):
        assert part in text
    assert net[1].num_batches_tracked.item() == 0
    assert net[1].running_mean.tolist() == [0] * 4
    assert net.eval()(tg.zeros(1, 4)).shape == (1, 4)


def test_batch_norm_checks_the_rank():
    with pytest.raises(ShapeError, match=r"BatchNorm2d: the input must have 4 axes, it has 2"):
        nn.BatchNorm2d(3)(tg.zeros(2, 3))


def test_cumulative_statistics_are_the_mean_over_batches():
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [rng.normal(size=(6, 2)).astype("f4") for _ in range(4)]
    for batch in batches:
        layer(tg.tensor(batch))
    assert layer.running_mean.numpy() == pytest.approx(
        np.mean([b.mean(0) for b in batches], 0), abs=1e-6
    )
    assert layer.num_batches_tracked.item() == 4


def test_dropout_layer_draws_from_its_generator():
    layer = nn.Dropout(0.5, generator=tg.Generator(3))
    again = nn.Dropout(0.5, generator=tg.Generator(3))
    x = tg.ones(100)
    assert layer(x).tolist() == again(x).tolist()
    assert layer.eval()(x) is x


def test_device_and_dtype_of_new_layers():
    layer = nn.Conv2d(1, 2, 3, dtype="float64")
    assert layer.weight.dtype == layer.bias.dtype == tg.float64
    state = tg.default_generator.get_state()
    meta = nn.Sequential(nn.Conv2d(1, 2, 3, device="meta"), nn.BatchNorm2d(2, device="meta"))
    assert (tg.default_generator.get_state() == state).all()
    assert meta(tg.zeros(1, 1, 4, 4).to("meta")).shape == (1, 2, 2, 2)
    assert meta[1].num_batches_tracked.device.type == "meta"
    tg.set_default_dtype("float64")
    assert nn.Linear(1, 1).weight.dtype == tg.float64
    assert nn.BatchNorm1d(1).running_mean.dtype == tg.float64


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: nn.Dropout("a"), "p must be a number"),
        (lambda: nn.BatchNorm2d(3, momentum="a"), "momentum must be a number"),
        (lambda: nn.BatchNorm2d(3, eps=None), "eps must be a number"),
        (lambda: nn.Sequential(nn.ReLU())["a"], "an index must be a whole number"),
    ],
)
def test_arguments_of_the_wrong_kind(build, match):
    with pytest.raises(DTypeError, match=match):
        build()


def test_a_single_image_needs_its_batch_axis():
    x = tg.rand(3, 4, 4)
    with pytest.raises(ShapeError, match=r"x\.unsqueeze\(0\)"):
        nn.BatchNorm2d(3)(x)
    assert nn.BatchNorm2d(3)(x.unsqueeze(0)).shape == (1, 3, 4, 4)  # the repair
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm2d(5)(x)  # another axis is missing, or another layer is meant
    assert caught.value.repair is None


@pytest.mark.parametrize("layer", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Dropout])
def test_an_input_given_to_the_class_is_no_option(layer):
    x = tg.ones(2)
    with pytest.raises(DTypeError, match="inplace must be True or False") as caught:
        layer(inplace=x)
    assert f"nn.{layer.__name__}()(x)" in caught.value.repair
    assert layer()(x).shape == (2,)  # the repair
    with pytest.raises(DTypeError, match="must be") as caught:
        layer(x)  # its first option
    assert f"nn.{layer.__name__}()(x)" in caught.value.repair


NAMES = [n for n in nn.__all__ if isinstance(getattr(nn, n), type) and n != "Identity"]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_argument_names_the_layer_and_no_private_base(name):
    layer = getattr(nn, name)
    with pytest.raises(TypeError) as caught:
        layer(no_such_argument=1)
    assert re.match(r"\w+", str(caught.value))[0] == name


def test_a_layer_says_that_its_input_is_none():
    class Silent(nn.Module):
        def forward(self, x):
            x.relu()

    for layer in (nn.Flatten(), nn.BatchNorm2d(2)):
        with pytest.raises(DTypeError, match="is a return missing") as caught:
            nn.Sequential(Silent(), layer)(tg.ones(2))
        assert f"in model.1 ({type(layer).__name__})" in str(caught.value)
    with pytest.raises(AttributeError) as caught:
        nn.Sequential(Silent(), Silent())(tg.ones(2))
    notes = " ".join(caught.value.__notes__)
    assert "the input of model.1 (Silent) is None" in notes
    assert "is a return missing" in notes
