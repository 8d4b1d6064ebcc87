"""Module: attributes, walking, state dict, hooks, copies, looks."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.bn(self.conv(x)).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Block(4))
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])
        self.scale = nn.Parameter(tg.ones(1))
        self.register_buffer("offset", tg.zeros(2))
        self.register_buffer("scratch", tg.zeros(5), persistent=False)

    def forward(self, x):
        x = self.features(x).mean((2, 3))
        return self.heads[0](x) * self.scale + self.offset


class TorchBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = torch.nn.BatchNorm2d(channels)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), TorchBlock(4))
        self.heads = torch.nn.ModuleList([torch.nn.Linear(4, 2), torch.nn.Linear(4, 3)])
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("offset", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(5), persistent=False)


# ---- the tree


def test_walks_as_torch():
    ours, theirs = Net(), TorchNet()
    for walk in ("named_parameters", "named_buffers"):
        mine = [(name, tuple(t.shape)) for name, t in getattr(ours, walk)()]
        assert mine == [(name, tuple(t.shape)) for name, t in getattr(theirs, walk)()]
    names = [(name, type(m).__name__) for name, m in ours.named_modules()]
    expected = [(name, type(m).__name__.replace("Torch", "")) for name, m in theirs.named_modules()]
    assert names == expected
    assert [n for n, _ in ours.named_children()] == [n for n, _ in theirs.named_children()]


def test_repr_is_torchs():
    assert repr(Net()) == repr(TorchNet()).replace("TorchNet", "Net").replace("TorchBlock", "Block")
    ours = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    theirs = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    assert repr(ours) == repr(theirs)


def test_shared_parameters_count_once():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.weight = a.weight
    both = nn.Sequential(a, b, a)
    assert [n for n, _ in both.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert [n for n, _ in both.named_modules()] == ["", "0", "1"]
    assert sorted(both.state_dict()) == [f"{i}.{n}" for i in range(3) for n in ("bias", "weight")]


def test_assigning_and_deleting():
    net = Net()
    with pytest.raises(DTypeError, match="holds a Parameter"):
        net.scale = 3.0
    with pytest.raises(DTypeError, match="holds a Module"):
        net.features = tg.zeros(1)
    net.scale = None
    assert net.scale is None
    assert "scale" not in dict(net.named_parameters())
    net.offset = tg.ones(2)
    assert net.state_dict()["offset"].tolist() == [1, 1]
    del net.offset
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'offset'"):
        _ = net.offset
    net.features = nn.Identity()
    net.plain = 3
    net.plain = nn.Parameter(tg.zeros(1))
    assert "plain" not in net.__dict__
    assert "plain" in dict(net.named_parameters())


def test_bad_registrations():
    net = Net()
    with pytest.raises(ArgumentError, match="without dots"):
        net.register_buffer("a.b", tg.zeros(1))
    with pytest.raises(ArgumentError, match="exists already"):
        net.register_buffer("forward", tg.zeros(1))
    with pytest.raises(DTypeError, match=r"nn\.Parameter\(value\)"):
        net.register_parameter("p", tg.zeros(1))
    with pytest.raises(DTypeError, match="Module or None"):
        net.add_module("m", 3)
    with pytest.raises(GraphError, match="leaf"):
        result = nn.Parameter(tg.ones(1))
        result.node = (tg.ones(1, requires_grad=True) * 2).node
        net.register_parameter("q", result)


def test_super_init_forgotten():
    class Forgetful(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    with pytest.raises(GraphError, match=r"super\(\).__init__\(\)"):
        Forgetful()


def test_get_by_path():
    net = Net()
    assert net.get_submodule("features.2.bn") is net.features[2].bn
    assert net.get_submodule("") is net
    assert net.get_parameter("heads.1.bias") is net.heads[1].bias
    assert net.get_buffer("features.2.bn.running_var") is net.features[2].bn.running_var
    with pytest.raises(AttributeError, match="no child 'nothing'"):
        net.get_submodule("features.nothing")
    with pytest.raises(AttributeError, match="no parameter 'offset'"):
        net.get_parameter("offset")


def test_apply_runs_children_first():
    seen = []
    net = Net()
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen[-1] == "Net"
    assert seen.index("Conv2d") < seen.index("Sequential")


# ---- modes, gradients, moves


def test_train_and_eval_reach_everything():
    net = Net().eval()
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ArgumentError, match="bool"):
        net.train(1)


def test_freezing_and_zero_grad():
    net = Net().requires_grad_(False)
    assert not net(tg.zeros(2, 1, 8, 8)).requires_grad
    net.heads.requires_grad_()
    assert net.heads[0].weight.node.name == "weight"
    net(tg.zeros(2, 1, 8, 8)).sum().backward()
    assert net.heads[0].bias.grad.tolist() == [2, 2]
    net.zero_grad(set_to_none=False)
    assert net.heads[0].bias.grad.tolist() == [0, 0]
    net.zero_grad()
    assert net.heads[0].bias.grad is None


def test_to_converts_floats_only_and_keeps_the_objects():
    net = Net()
    weight = net.heads[0].weight
    net(tg.zeros(2, 1, 8, 8)).sum().backward()
    assert net.double() is net
    assert net.heads[0].weight is weight
    assert weight.dtype == weight.grad.dtype == tg.float64
    assert net.features[2].bn.num_batches_tracked.dtype == tg.int64
    assert net(tg.zeros(2, 1, 8, 8, dtype="float64")).dtype == tg.float64
    assert net.to("meta", "float32").heads[0].weight.device.type == "meta"
    assert net(tg.zeros(2, 1, 8, 8).to("meta")).shape == (2, 2)
    with pytest.raises(DTypeError, match="floating dtype"):
        net.to("int64")


def test_module_on_meta_is_filled_by_a_state_dict():
    source = nn.Linear(3, 2)
    target = nn.Linear(3, 2, device="meta")
    target.load_state_dict(source.state_dict())
    x = tg.randn(4, 3)
    assert (target(x).detach().numpy() == source(x).detach().numpy()).all()
    assert target.weight.node.name == "weight"


# ---- state dict


def test_state_dict_has_torchs_keys_and_loads_torchs_values():
    ours, theirs = Net(), TorchNet()
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert [t.shape for t in mine.values()] == [tuple(t.shape) for t in other.values()]
    assert repr(ours.load_state_dict(other)) == "<All keys matched successfully>"
    for key, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), other[key].numpy())


def test_state_dict_shares_memory_and_is_detached():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    assert not state["weight"].requires_grad
    state["weight"].fill_(7)
    assert net.weight.tolist() == [[7, 7], [7, 7]]
    assert net.state_dict(keep_vars=True)["weight"] is net.weight
    assert list(net.state_dict(prefix="fc.")) == ["fc.weight", "fc.bias"]


def test_a_failed_load_names_everything_and_changes_nothing():
    net = Net()
    before = {key: tensor.numpy().copy() for key, tensor in net.state_dict().items()}
    state = {key: np.full(value.shape, 9.0) for key, value in before.items()}
    del state["heads.0.bias"]
    state["heads.2.bias"] = np.zeros(3)
    state["heads.1.weight"] = np.zeros((3, 5))
    state["scale"] = "a text"
    with pytest.raises(ArgumentError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "Error(s) in loading state_dict for Net",
        'Missing key(s) in state_dict: "heads.0.bias".',
        'Unexpected key(s) in state_dict: "heads.2.bias".',
        "size mismatch for heads.1.weight: copying a param with shape (3, 5) from checkpoint, "
        "the shape in current model is (3, 4).",
        "scale:",
    ):
        assert part in text
    for key, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[key])


def test_not_strict_loads_what_is_there():
    net = nn.Linear(2, 2)
    result = net.load_state_dict({"weight": np.ones((2, 2)), "more": np.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["more"]
    assert net.weight.tolist() == [[1, 1], [1, 1]]
    assert net.weight.dtype == tg.float32
    with pytest.raises(ArgumentError, match="size mismatch"):
        net.load_state_dict({"weight": np.ones((3, 2))}, strict=False)
    with pytest.raises(DTypeError, match="mapping"):
        net.load_state_dict([1, 2])


def test_old_checkpoints_have_no_batch_count():
    layer = nn.BatchNorm1d(2)
    state = layer.state_dict()
    del state["num_batches_tracked"]
    layer.load_state_dict(state)
    del state["running_var"]
    with pytest.raises(ArgumentError, match='Missing.*"running_var"'):
        layer.load_state_dict(state)


def test_assign_takes_dtype_and_memory():
    net = nn.Linear(2, 2)
    weight = tg.ones(2, 2, dtype="float64")
    net.load_state_dict({"weight": weight, "bias": tg.zeros(2)}, assign=True)
    assert net.weight.dtype == tg.float64
    assert np.shares_memory(net.weight.array, weight.array)
    assert isinstance(net.weight, nn.Parameter)
    assert net.weight.requires_grad


def test_loading_between_forward_and_backward_is_noticed():
    net = nn.Linear(2, 2)
    loss = net(tg.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(GraphError, match="overwritten"):
        loss.backward()


# ---- names of calls


def test_errors_name_the_module():
    net = nn.Sequential(OrderedDict(body=nn.Sequential(nn.ReLU(), nn.Linear(3, 2))))
    with pytest.raises(ShapeError, match=r"in model\.body\.1 \(Linear\)"):
        net(tg.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"in model \(Linear\)"):
        net.body[1](tg.zeros(2, 4))


def test_scopes_count_calls_and_follow_the_structure():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer, nn.Tanh())
    out = net(tg.ones(1, 2))
    second = out.node.edges[0]
    first = second.edges[0]
    scopes = [node.scope for node in (first, second, out.node)]
    assert [(s.name, s.kind, s.call) for s in scopes] == [("0", "Linear", 1), ("0", "Linear", 2), ("2", "Tanh", 1)]
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
    assert [edge.name for edge in out.node.edges[1:]] == ["weight", "bias"]


# ---- hooks


def test_forward_hooks_see_and_replace():
    layer = nn.Linear(2, 2)
    seen = []
    before = layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    after = layer.register_forward_hook(lambda m, args, out: seen.append(args[0].tolist()) or out + 1)
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
    with pytest.raises(ArgumentError, match="always_call"):
        layer.register_forward_hook(print, always_call=True)


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


# ---- copies, containers


def test_deepcopy_and_pickle_are_independent():
    net = Net()
    net(tg.randn(2, 1, 8, 8))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(other) == repr(net)
        for (key, mine), theirs in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=key)
            assert not np.shares_memory(mine.array, theirs.array)
        assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in other.parameters())
        assert other.heads[0].weight.node.name == "weight"
        out = other(tg.randn(2, 1, 8, 8))
        assert out.node.scope.name == ""


def test_a_frozen_parameter_keeps_its_name_through_a_copy():
    layer = copy.deepcopy(nn.Linear(1, 1).requires_grad_(False))
    assert layer.requires_grad_().weight.node.name == "weight"


def test_sequential_like_a_list():
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Tanh()
    seq = nn.Sequential(a, b)
    assert seq.append(c) is seq
    assert list(seq) == [a, b, c]
    assert list(seq[1:]) == [b, c]
    assert seq[-1] is c
    seq[1] = nn.Sigmoid()
    assert repr(seq[1]) == "Sigmoid()"
    assert seq.pop(1).__class__ is nn.Sigmoid
    assert list(seq.state_dict()) == ["0.weight", "0.bias"]
    assert len(seq + nn.Sequential(b)) == 3
    del seq[0]
    assert list(dict(seq.named_children())) == ["0"]
    with pytest.raises(RangeError, match="out of range"):
        seq[5]
    with pytest.raises(ArgumentError, match="only a Sequential"):
        seq + [b]


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers += [nn.ReLU()]
    layers.extend([nn.Tanh()]).insert(0, nn.ELU())
    assert [type(m).__name__ for m in layers] == ["ELU", "Linear", "ReLU", "Tanh"]
    assert type(layers[:2]) is nn.ModuleList
    with pytest.raises(NotImplementedError, match="no forward"):
        layers(1)
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    assert list(table.items())[1][0] == "b"
    assert "a" in table
    assert table.pop("a").__class__ is nn.ReLU
    assert list(table.state_dict()) == ["b.weight", "b.bias"]
