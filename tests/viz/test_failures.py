"""A forward that fails: one red node, which says what failed, where, and with what."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F
from tests.viz.failing import Net, box, meta, red, refuse, zeros
from tinygrad_cv import nn
from tinygrad_cv.utils.checkpoint import checkpoint
from tinygrad_cv.viz import draw, trace

# (program, what it is called with, the operator in red, its sources; exp runs before)
PROGRAMS = [
    (lambda x: x.exp()[7], [zeros(3)], "getitem", [("input", "exp")]),
    (lambda x: x.exp()[[0, 9]], [zeros(3)], "getitem", [("input", "exp")]),
    (
        lambda x: x.exp().__setitem__(7, x.sum()),
        [zeros(3)],
        "index_put",
        [("input", "exp"), ("value", "sum")],
    ),
    (lambda x: x.exp().view(7), [zeros(3)], "view", [("input", "exp")]),
    (lambda x: x.exp().reshape(7), [zeros(3)], "reshape", [("input", "exp")]),
    (lambda x: x.exp().permute(0, 5), [zeros(3, 2)], "permute", [("input", "exp")]),
    (lambda x: x.exp().sum(dim=5), [zeros(3)], "sum", [("input", "exp")]),
    (lambda x: x.exp().argmax(4), [zeros(3)], "argmax", [("input", "exp")]),
    (lambda x: x.exp().cumsum(4), [zeros(3)], "cumsum", [("input", "exp")]),
    (lambda x: x.exp().softmax(5), [zeros(3)], "softmax", [("input", "exp")]),
    (lambda x: F.softmax(x.exp(), dim=5), [zeros(3)], "softmax", [("input", "exp")]),
    (lambda x: x.exp().squeeze(5), [zeros(3)], "squeeze", [("input", "exp")]),
    (lambda x: x.exp().unsqueeze(5), [zeros(3)], "unsqueeze", [("input", "exp")]),
    (lambda x: x.exp().split([1, 1]), [zeros(3)], "split", [("tensor", "exp")]),
    (lambda x: x.exp().chunk(0), [zeros(3)], "chunk", [("input", "exp")]),
    (lambda x: x.exp().flatten(5), [zeros(3)], "flatten", [("input", "exp")]),
    (lambda x: x.exp().transpose(0, 5), [zeros(3)], "transpose", [("input", "exp")]),
    (lambda x: x.exp().expand(4, 4), [zeros(3)], "expand", [("input", "exp")]),
    (
        lambda x, y: tg.einsum("ij,jk->ik", x.exp(), y),
        [zeros(3, 2), zeros(3, 2)],
        "einsum",
        [("operands[0]", "exp"), ("operands[1]", "y")],
    ),
    (
        lambda x, y: tg.cat([y, x.exp()], dim=4),
        [zeros(3), zeros(3)],
        "cat",
        [("tensors[0]", "y"), ("tensors[1]", "exp")],
    ),
    (
        lambda x, y: tg.stack([x.exp(), y]),
        [zeros(3), zeros(4)],
        "stack",
        [("tensors[0]", "exp"), ("tensors[1]", "y")],
    ),
    (
        lambda x, index: x.exp().gather(5, index),
        [zeros(3), zeros(3, dtype="int64")],
        "gather",
        [("input", "exp"), ("index", "index")],
    ),
    (
        lambda index, w: F.embedding(index, w.exp()),
        [tg.tensor([9]), zeros(3, 2)],
        "embedding",
        [("input", "index"), ("weight", "exp")],
    ),
    (lambda x: F.one_hot(x + 1, 2), [tg.tensor([3])], "one_hot", [("input", "add")]),
    (lambda x: F.pad(x.exp(), (1, 2, 3)), [zeros(3)], "pad", [("input", "exp")]),
    (
        lambda x: F.interpolate(x.exp(), scale_factor=2),
        [zeros(3)],
        "interpolate",
        [("input", "exp")],
    ),
    (
        lambda x, g: F.grid_sample(x.exp(), grid=g),
        [zeros(1, 1, 3, 3), zeros(1, 3, 3, 5)],
        "grid_sample",
        [("input", "exp"), ("grid", "g")],
    ),
    (
        lambda x, y: F.mse_loss(y, x.exp(), reduction="nope"),
        [zeros(3), zeros(3)],
        "mse_loss",
        [("input", "y"), ("target", "exp")],
    ),
    (
        lambda x, t: F.cross_entropy(x.exp(), t),
        [zeros(2, 2), tg.tensor([0, 7])],
        "cross_entropy",
        [("input", "exp"), ("target", "t")],
    ),
    (
        lambda x, m: F.batch_norm(x.exp(), m, None),
        [zeros(3, 2), zeros(2)],
        "batch_norm",
        [("input", "exp"), ("running_mean", "m")],
    ),
    (lambda x: F.dropout(x.exp(), 7.0), [zeros(3)], "dropout", [("input", "exp")]),
    (lambda x: x.exp().to("float16"), [zeros(3)], "dtype", [("input", "exp")]),
    (lambda x: x.exp().to("moon"), [zeros(3)], None, [("input", "exp")]),
    (lambda x: x.exp().item(), [meta(1)], "item", [("input", "exp")]),
    (lambda x: float(x.exp()), [zeros(3)], "item", [("input", "exp")]),
    (lambda x: x if x.exp() else 0, [meta(1)], "bool", [("input", "exp")]),
    (lambda x: list(x.exp().sum()), [zeros(3)], "iter", [("input", "sum")]),
    (lambda x: x.exp().numpy(), [meta(3)], "numpy", [("input", "exp")]),
    (lambda x: x.exp().masked_fill(x, 1.0), [zeros(3)], "masked_fill",
     [("input", "exp"), ("mask", "x")]),
    (lambda x, y: tg.where(x.exp(), x, y), [zeros(3), zeros(3)], "where",
     [("condition", "exp"), ("input", "x"), ("other", "y")]),
    (lambda x, y: y + x.exp(), [zeros(3), zeros(4)], "add", [("input", "y"), ("other", "exp")]),
    (lambda x: x.exp() + "a", [zeros(3)], "add", [("input", "exp"), ("other", "")]),
    (lambda x: x.exp().add_(x.sum(0, keepdim=True).expand(4)), [zeros(3)], "add",
     [("input", "exp"), ("other", "expand")]),
    (lambda x, y: x.exp() @ y, [zeros(3, 2), zeros(3, 2)], "matmul",
     [("input", "exp"), ("other", "y")]),
    (lambda q, k: F.scaled_dot_product_attention(q.exp(), k, value=k),
     [zeros(1, 2, 3), zeros(1, 2, 4)], "scaled_dot_product_attention",
     [("query", "exp"), ("key", "k"), ("value", "k")]),
    (lambda x: F.max_pool2d(x.exp(), 9), [zeros(1, 1, 8, 8)], "max_pool", [("input", "exp")]),
    (lambda x: F.unfold(x.exp(), (1, 2, 3)), [zeros(1, 1, 8, 8)], "unfold", [("input", "exp")]),
    (lambda x: tg.autograd.grad(x.exp(), x), [zeros(3)], "grad",
     [("outputs", "exp"), ("inputs", "x")]),
    (lambda x: np.concatenate([x.exp(), x], 3), [zeros(3)], "cat",
     [("tensors[0]", "exp"), ("tensors[1]", "x")]),
]  # fmt: skip


@pytest.mark.parametrize(("program", "inputs", "name", "sources"), PROGRAMS)
def test_every_failing_forward_ends_in_one_red_operator(program, inputs, name, sources):
    graph = trace(program, *inputs)
    node, found = red(graph)
    assert node.name == (name or node.name)
    assert node.kind == "op"
    assert found == sources
    assert node.error.startswith(f"{node.name}: ") or node.name in ("max_pool", "index_put")
    assert re.fullmatch(r"test_failures\.py:\d+", node.site)
    assert node.error in graph.error
    with pytest.raises(tg.errors.TinygradError) as caught:
        program(*inputs)
    assert graph.error == f"{type(caught.value).__name__}: {caught.value}"
    (line,) = [line for line in draw(program, *inputs).to_dot().splitlines() if "=error" in line]
    assert "failed: " in line


def test_what_was_given_besides_tensors_is_said():
    node, _ = red(trace(lambda x: F.pad(x.exp(), (1, 2, 3), mode="reflect"), zeros(3)))
    assert dict(node.attributes) == {"pad": "(1, 2, 3)", "mode": "reflect"}


def test_a_failing_forward_without_any_operator_has_its_red_one_too():
    node, found = red(trace(lambda x: x[7], zeros(3)))
    assert (node.name, found) == ("getitem", [("input", "x")])


@pytest.mark.parametrize(
    ("what", "where", "name", "sources"),
    [
        (lambda x: x[7], "body.1 : Inner", "getitem", [("input", "linear")]),
        (nn.BatchNorm2d(3), "body.1.what : BatchNorm2d", "BatchNorm2d", [("input", "linear")]),
        (nn.Dropout(0.5), None, None, None),
        (refuse, "body.1 : Inner", "ValueError", [("hidden", "linear")]),
        (nn.Sequential(nn.Tanh(), nn.Unflatten(1, (3, 3))), "body.1.what.1 : Unflatten",
         "unflatten", [("input", "tanh")]),
        (lambda x: checkpoint(refuse, x.sin()), "body.1 : Inner", "ValueError",
         [("hidden", "sin")]),
        (lambda x: checkpoint(nn.Sequential(nn.Tanh(), nn.Softmax(5)), x),
         "body.1.Sequential.Softmax : Softmax", "softmax", [("input", "tanh")]),
    ],
)  # fmt: skip
def test_it_stands_in_the_box_of_its_module(what, where, name, sources):
    graph = trace(Net(what), zeros(2, 4))
    if name is None:
        assert graph.error == ""
        return
    node, found = red(graph)
    assert (node.name, found) == (name, sources)
    assert box(graph, node) == where


def test_a_layer_whose_error_has_another_name_has_its_own_input():
    file = Path(tg.__file__).parent / "nn" / "odd.py"  # so it is the library that fails
    scope = {"error": tg.ShapeError("other", "no")}
    exec(compile("def forward(self, input): raise error", file, "exec"), scope)
    odd = type("Odd", (nn.Module,), {"forward": scope["forward"]})
    node, found = red(trace(nn.Sequential(nn.Tanh(), odd()), zeros(2)))
    assert (node.name, found) == ("other", [("input", "tanh")])


def test_what_a_layer_holds_goes_in_with_its_input():
    node, found = red(trace(nn.BatchNorm1d(3), zeros(2, 4)))
    assert node.name == "batch_norm"
    arguments = ["input", "running_mean", "running_var", "weight", "bias"]
    assert found == list(zip(arguments, ["input", *arguments[1:]], strict=True))
