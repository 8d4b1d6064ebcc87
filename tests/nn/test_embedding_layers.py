"""Embedding, bilinear layer and attention of several heads against PyTorch's."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, RangeError, ShapeError

rng = np.random.default_rng(49)
INDEX = np.array([[1, 5, 1], [2, 0, 4]])


def normal(*shape):
    return rng.normal(size=shape)


TOKENS = normal(4, 2, 6)

# (name, arguments, options, inputs)
LAYERS = [
    ("Embedding", (6, 3), {}, (INDEX,)),
    ("Embedding", (6, 3), {"padding_idx": -5}, (INDEX,)),
    ("Embedding", (6, 3), {"scale_grad_by_freq": True, "norm_type": 1.0}, (INDEX,)),
    ("Bilinear", (3, 2, 4), {}, (normal(5, 3), normal(5, 2))),
    ("Bilinear", (3, 2, 4), {"bias": False}, (normal(5, 2, 3), normal(5, 2, 2))),
    ("MultiheadAttention", (6, 2), {}, (TOKENS, TOKENS, TOKENS)),
    ("MultiheadAttention", (6, 3), {"bias": False}, (TOKENS, normal(5, 2, 6), normal(5, 2, 6))),
    ("MultiheadAttention", (6, 1), {"kdim": 4, "vdim": 3},
     (TOKENS, normal(5, 2, 4), normal(5, 2, 3))),
    ("MultiheadAttention", (6, 2), {"add_bias_kv": True, "add_zero_attn": True},
     (TOKENS, normal(5, 2, 6), normal(5, 2, 6))),
    ("MultiheadAttention", (6, 2), {"batch_first": True},
     (TOKENS, normal(4, 5, 6), normal(4, 5, 6))),
    ("MultiheadAttention", (6, 2), {"batch_first": True}, (TOKENS[0], TOKENS[1], TOKENS[2])),
]  # fmt: skip


def pair(name, args, options):
    ours = getattr(nn, name)(*args, **options).double()
    theirs = getattr(torch.nn, name)(*args, **options).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours, theirs, inputs, **options):
    """Results, and gradients of inputs and parameters."""
    mine = [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    other = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    made = {k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    out, expected = ours(*mine, **made), theirs(*other, **given)
    pairs = zip(out, expected, strict=True) if isinstance(out, tuple) else [(out, expected)]
    total = other_total = 0
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-12)
            total, other_total = total + (a * a).sum(), other_total + (b * b).sum()
    ours.zero_grad()
    theirs.zero_grad()
    total.backward()
    other_total.backward()
    for a, b in zip(mine, other, strict=True):
        if b.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)
    for (key, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10, err_msg=key)


@pytest.mark.parametrize(("name", "args", "options", "inputs"), LAYERS)
def test_layer_is_torchs(name, args, options, inputs):
    ours, theirs = pair(name, args, options)
    assert repr(ours) == repr(theirs)
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert [t.shape for t in mine.values()] == [tuple(t.shape) for t in other.values()]
    compare(ours, theirs, inputs)


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS}))
def test_constructors_have_torchs_arguments(name):
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(nn, name)).parameters
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


HIDDEN = np.triu(np.ones((4, 5), bool), 1)
PADDED = np.array([[False, False, True, False, True], [False, True, False, False, False]])


@pytest.mark.parametrize(
    "options",
    [
        {"attn_mask": HIDDEN},
        {"attn_mask": normal(4, 5)},
        {"attn_mask": np.repeat(HIDDEN[None], 4, 0)},
        {"key_padding_mask": PADDED},
        {"key_padding_mask": PADDED, "attn_mask": HIDDEN},
        {"key_padding_mask": normal(2, 5), "attn_mask": normal(4, 4, 5)},
    ],
)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("more", [{}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_masks(options, need_weights, more):
    ours, theirs = pair("MultiheadAttention", (6, 2), more)
    inputs = TOKENS, normal(5, 2, 6), normal(5, 2, 6)
    compare(ours, theirs, inputs, need_weights=need_weights, **options)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_mask_that_is_said_to_be_causal(need_weights):
    ours, theirs = pair("MultiheadAttention", (6, 2), {})
    inputs = TOKENS, normal(5, 2, 6), normal(5, 2, 6)
    compare(ours, theirs, inputs, need_weights=need_weights, attn_mask=HIDDEN, is_causal=True)


def test_weights_of_each_head_and_no_batch():
    ours, theirs = pair("MultiheadAttention", (6, 2), {})
    compare(ours, theirs, (TOKENS, TOKENS, TOKENS), average_attn_weights=False)
    compare(ours, theirs, (TOKENS[:, 0],) * 3, average_attn_weights=False)
    compare(
        ours, theirs, (TOKENS[:, 0],) * 3, key_padding_mask=np.array([False, True, False, True])
    )


def test_weights_are_dropped_in_training_only():
    x = tg.tensor(TOKENS)
    layer = nn.MultiheadAttention(6, 2, dropout=0.5).double()
    _, weights = layer(x, x, x)
    assert (weights.detach().numpy() == 0).any()
    assert (layer(x, x, x, need_weights=False)[0] != layer(x, x, x)[0]).any()
    layer.eval()
    np.testing.assert_allclose(layer(x, x, x)[1].sum(-1).detach().numpy(), 1)


def test_a_table_that_is_there_already():
    table = normal(6, 3)
    layer = nn.Embedding.from_pretrained(tg.tensor(table), padding_idx=1)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer(tg.tensor(INDEX)).numpy(), table[INDEX])
    learning = nn.Embedding.from_pretrained(tg.tensor(table), freeze=False)
    assert learning.weight.requires_grad


def test_the_row_of_the_padding_starts_as_zeros_and_stays():
    layer = nn.Embedding(6, 3, padding_idx=1)
    assert not layer.weight[1].detach().numpy().any()
    assert layer.weight[0].detach().numpy().any()
    layer(tg.tensor(INDEX)).sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [1, 0, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: nn.Embedding(0, 3), ArgumentError, "num_embeddings"),
        (lambda: nn.Embedding(6, 3, padding_idx=6), RangeError, "padding_idx 6"),
        (lambda: nn.Embedding(6, 3, max_norm=1.0), ArgumentError, "max_norm"),
        (lambda: nn.Embedding(6, 3, sparse=True), ArgumentError, "sparse"),
        (lambda: nn.Embedding(6, 3, _weight=tg.ones(3, 6)), ShapeError, r"\(6, 3\)"),
        (lambda: nn.Embedding.from_pretrained(tg.ones(3)), ShapeError, "two axes"),
        (lambda: nn.Bilinear(3, 0, 2), ArgumentError, "in2_features"),
        (lambda: nn.MultiheadAttention(6, 4), ArgumentError, "4 heads"),
        (lambda: nn.MultiheadAttention(6, 0), ArgumentError, "num_heads"),
        (lambda: nn.MultiheadAttention(6, 2, dropout=2.0), ArgumentError, "dropout"),
    ],
)
def test_layers_that_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("inputs", "options", "error", "match"),
    [
        ((TOKENS[..., :5], TOKENS, TOKENS), {}, ShapeError, "features"),
        ((TOKENS[0], TOKENS, TOKENS), {}, ShapeError, "3 axes"),
        ((TOKENS, TOKENS[:3], TOKENS), {}, ShapeError, "as many keys"),
        ((TOKENS[:, :1], TOKENS, TOKENS), {}, ShapeError, "batches"),
        ((TOKENS,) * 3, {"attn_mask": HIDDEN}, ShapeError, r"attn_mask must be \(4, 4\)"),
        ((TOKENS,) * 3, {"key_padding_mask": PADDED}, ShapeError, "key_padding_mask"),
        ((TOKENS,) * 3, {"attn_mask": np.zeros((4, 4), int)}, DTypeError, "attn_mask != 0"),
        ((TOKENS,) * 3, {"is_causal": True}, ArgumentError, "attn_mask"),
    ],
)
def test_inputs_that_are_refused(inputs, options, error, match):
    layer = nn.MultiheadAttention(6, 2).double()
    options = {k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with pytest.raises(error, match=match) as caught:
        layer(*map(tg.tensor, inputs), **options)
    assert caught.value.op == "MultiheadAttention"
