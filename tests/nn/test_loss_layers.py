"""Layers of losses and distances against PyTorch's: arguments, keys, looks, results."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:kl_div")

rng = np.random.default_rng(46)
X, Y, Z = rng.normal(size=(3, 4, 5))
P = rng.uniform(0.1, 0.9, size=(4, 5))
SIGNS, ROW_SIGNS = rng.choice([-1.0, 1.0], size=(4, 5)), np.array([1, -1, 1, -1])
LABELS, WEIGHT = np.array([0, 4, 2, 1]), rng.uniform(0.5, 2, size=5)
SEVERAL = np.array([[1, 3, -1, 0, 0], [0, -1, 1, 1, 1], [-1, 0, 0, 0, 0], [4, 2, 0, 1, 3]])

# (name, arguments, inputs, inputs that learn)
LAYERS = [
    ("SmoothL1Loss", {"beta": 0.5}, (X, Y), 2),
    ("HuberLoss", {"delta": 0.5}, (X, Y), 2),
    ("BCELoss", {}, (P, 1 - P), 2),
    ("BCELoss", {"weight": WEIGHT}, (P, 1 - P), 2),
    ("BCEWithLogitsLoss", {}, (X, P), 2),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT[::-1].copy()}, (X, P), 2),
    ("KLDivLoss", {}, (np.log(P), 1 - P), 2),
    ("KLDivLoss", {"log_target": True}, (X, Y), 2),
    ("PoissonNLLLoss", {}, (X, P), 2),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 1e-3}, (P, 5 * P), 2),
    ("GaussianNLLLoss", {"full": True, "eps": 0.3}, (X, Y, P), 3),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (X, SIGNS), 1),
    ("MarginRankingLoss", {"margin": 0.5}, (X, Y, SIGNS), 2),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (X, Y, ROW_SIGNS), 2),
    ("SoftMarginLoss", {}, (X, SIGNS), 1),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": WEIGHT}, (X, LABELS), 1),
    ("MultiLabelMarginLoss", {}, (X, SEVERAL), 1),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT}, (X, (SIGNS + 1) / 2), 1),
    ("TripletMarginLoss", {"margin": 0.5, "p": 3.0, "eps": 1e-3, "swap": True}, (X, Y, Z), 3),
    ("TripletMarginWithDistanceLoss", {"margin": 0.5, "swap": True}, (X, Y, Z), 3),
]
OTHERS = [
    ("CosineSimilarity", {"dim": 0, "eps": 1e-4}, (X, Y), 2),
    ("PairwiseDistance", {"p": 1.0, "eps": 1e-3, "keepdim": True}, (X, Y), 2),
]
LAYERS_ELSEWHERE = [name for name, *_ in OTHERS]


def made(library, make, name, options):
    return getattr(library, name)(
        **{k: make(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    )


@pytest.mark.parametrize(
    ("name", "options", "inputs", "count"),
    [
        (name, {**options, "reduction": reduction}, inputs, count)
        for name, options, inputs, count in LAYERS
        for reduction in ("mean", "sum", "none")
    ]
    + OTHERS,
)
def test_layer_is_torchs(name, options, inputs, count):
    ours, theirs = made(nn, tg.tensor, name, options), made(torch.nn, torch.tensor, name, options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    mine, other = [tg.tensor(x) for x in inputs], [torch.tensor(x) for x in inputs]
    for k in range(count):
        mine[k].requires_grad_()
        other[k].requires_grad_()
    out, expected = ours(*mine), theirs(*other)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    out.sum().backward()
    expected.sum().backward()
    for a, b in zip(mine[:count], other[:count], strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS + OTHERS}))
def test_constructors_have_torchs_arguments(name):
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(nn, name)).parameters
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS}))
def test_reductions_that_are_refused(name):
    with pytest.raises(ArgumentError, match="median") as caught:
        getattr(nn, name)(reduction="median")
    assert caught.value.op == name
    if "reduce" in inspect.signature(getattr(nn, name)).parameters:
        with pytest.raises(ArgumentError, match="of old"):
            getattr(nn, name)(reduce=True)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("HuberLoss", {"delta": 0.0}, ArgumentError),
        ("SmoothL1Loss", {"beta": "x"}, DTypeError),
        ("SmoothL1Loss", {"beta": -1.0}, ArgumentError),
        ("GaussianNLLLoss", {"eps": 0.0}, ArgumentError),
        ("MultiMarginLoss", {"p": 3}, ArgumentError),
        ("MultiMarginLoss", {"margin": None}, DTypeError),
        ("TripletMarginLoss", {"margin": 0.0}, ArgumentError),
        ("TripletMarginWithDistanceLoss", {"margin": -1.0}, ArgumentError),
        ("PairwiseDistance", {"p": "fro"}, DTypeError),
        ("CosineSimilarity", {"eps": None}, DTypeError),
    ],
)
def test_options_that_are_refused(name, options, error):
    with pytest.raises(error) as caught:
        getattr(nn, name)(**options)
    assert caught.value.op == name


def test_every_loss_is_compared():
    """Here, or with the older ones in test_layers.py."""
    losses = {name for name in vars(nn) if name.endswith("Loss")}
    older = {"CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss"}
    assert losses - older == {name for name, *_ in LAYERS}


def test_a_distance_of_your_own_may_be_a_layer():
    distance = nn.CosineSimilarity()
    loss = nn.TripletMarginWithDistanceLoss(distance_function=distance)
    assert list(dict(loss.named_modules())) == ["", "distance_function"]
