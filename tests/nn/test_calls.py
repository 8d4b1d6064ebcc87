"""What surrounds a forward: names of calls, and hooks."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError, TinygradError


def test_errors_name_the_module():
    net = nn.Sequential(OrderedDict(body=nn.Sequential(nn.ReLU(), nn.Linear(3, 2))))
    with pytest.raises(ShapeError, match=r"in model\.body\.1 \(Linear\)"):
        net(tg.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"in Linear$"):
        net.body[1](tg.zeros(2, 4))


def test_a_layer_called_alone_is_named_once():
    with pytest.raises(ShapeError) as caught:
        nn.BatchNorm2d(3)(tg.zeros(2, 3))
    assert str(caught.value).count("BatchNorm2d") == 1
    with pytest.raises(ShapeError) as caught:
        nn.Conv2d(3, 2, 1)(tg.zeros(2, 4, 5, 5))
    assert str(caught.value).endswith("\n  in Conv2d")


def test_errors_of_layers_and_functions_name_the_module_too():
    net = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3)), nn.CrossEntropyLoss())
    with pytest.raises(ShapeError, match=r"in model\.0\.0 \(BatchNorm2d\)"):
        net(tg.zeros(2, 3))
    net[0][0].eps = -1.0
    with pytest.raises(ArgumentError, match=r"in model\.0\.0 \(BatchNorm2d\)"):
        net(tg.zeros(2, 3, 1, 1))


def test_scopes_count_calls_and_follow_the_structure():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer, nn.Tanh())
    out = net(tg.ones(1, 2))
    second = out.node.edges[0]
    first = second.edges[0]
    scopes = [node.scope for node in (first, second, out.node)]
    assert [(s.name, s.kind, s.call) for s in scopes] == [
        ("0", "Linear", 1),
        ("0", "Linear", 2),
        ("2", "Tanh", 1),
    ]
    assert scopes[0].parent.name == ""
    assert scopes[0].parent.kind == "Sequential"
    net.insert(0, nn.Tanh())
    assert net(tg.ones(1, 2)).node.scope.name == "3"


def test_a_module_outside_the_tree_still_has_a_name():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]  # a plain list is not registered

        def forward(self, x):
            return self.layers[0](x)

    outer = nn.Sequential(Hidden())
    assert outer(tg.ones(1, 2)).node.scope.path == "model.0.Linear (Linear)"
    assert list(outer.parameters()) == []


def test_parameters_are_named_in_the_graph():
    out = nn.Linear(2, 2)(tg.ones(1, 2))
    assert [edge.label for edge in out.node.edges[1:]] == ["weight", "bias"]


# ---- hooks


def test_forward_hooks_see_and_replace():
    layer = nn.Linear(2, 2)
    seen = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    after = layer.register_forward_hook(
        lambda m, args, out: seen.append(args[0].tolist()) or out + 1
    )
    x = tg.ones(1, 2)
    with_hooks = layer(x)
    before.remove()
    after.remove()
    assert seen == [[[2, 2]]]
    expected = layer(x * 2) + 1
    assert with_hooks.tolist() == expected.tolist()
    with layer.register_forward_hook(lambda m, args, out: 5):
        assert layer(x) == 5
    assert layer(x).shape == (1, 2)


def test_hooks_with_keyword_arguments():
    class Scale(nn.Module):
        def forward(self, x, by=1):
            return x * by

    layer = Scale()
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"by": k["by"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: (out, k["by"]), with_kwargs=True)
    out, by = layer(tg.ones(1), by=2)
    assert (out.item(), by) == (3, 3)


def test_full_backward_hook_as_torch():
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    seen = {}

    def hook_for(name):
        def hook(module, grad_input, grad_output):
            seen[name] = [g.detach().numpy().copy() for g in (*grad_input, *grad_output)]
            return (grad_input[0] * 2,)

        return hook

    x = np.arange(6.0, dtype="f4").reshape(2, 3)
    grads = []
    for name, layer, tensor in (
        ("ours", ours, tg.tensor(x, requires_grad=True)),
        ("theirs", theirs, torch.tensor(x, requires_grad=True)),
    ):
        layer.register_full_backward_hook(hook_for(name))
        (layer(tensor) ** 2).sum().backward()
        grads.append(tensor.grad.numpy())
    for mine, other in zip(seen["ours"] + [grads[0]], seen["theirs"] + [grads[1]], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


def test_full_backward_hook_without_input_gradient():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].shape)))
    layer(tg.ones(1, 3)).sum().backward()
    assert seen == [((None,), (1, 2))]


@pytest.mark.parametrize(
    ("use", "error", "match"),
    [
        (
            lambda: nn.BatchNorm2d(3)(7),
            DTypeError,
            "^BatchNorm2d: input must be a tensor, not int",
        ),
        (lambda: nn.Softmax2d()((0, 0)), DTypeError, "^Softmax2d: input must be a tensor"),
        (lambda: nn.ReflectionPad1d(1)(2.0), DTypeError, "^ReflectionPad1d: input must be a t"),
        (lambda: nn.Linear(2), DTypeError, "^Linear: missing a required argument: 'out_features'"),
        (lambda: nn.Conv2d(1, 2, 3, foo=1), DTypeError, "^Conv2d: got an unexpected keyword"),
        (
            lambda: nn.MSELoss(reduction=np.array([1, 2])),
            ArgumentError,
            "^MSELoss: reduction must be one of",
        ),
        (lambda: nn.GELU(np.array([1, 2])), ArgumentError, "^GELU: these arguments cannot be used"),
        (lambda: nn.Linear(10**19, 8), ArgumentError, "64 bits"),
        (lambda: nn.ModuleList(-2), DTypeError, "^ModuleList: these arguments cannot be used"),
    ],
)
def test_a_layer_used_wrongly_says_what_is_wrong(use, error, match):
    with pytest.raises(error, match=match) as caught:
        use()
    assert isinstance(caught.value, TinygradError)


def test_failures_of_the_users_own_code_pass_a_layer_as_they_are():
    class Mine(nn.Module):
        def forward(self, x):
            return 1 + "a"

    with pytest.raises(TypeError) as caught:
        nn.Sequential(nn.ReLU(), Mine())(tg.ones(2))
    assert not isinstance(caught.value, TinygradError)

    def distance(a, b):
        raise ValueError("mine")

    layer = nn.TripletMarginWithDistanceLoss(distance_function=distance)
    x = tg.ones(2, 3)
    with pytest.raises(ValueError, match="mine"):
        layer(x, x, x)
