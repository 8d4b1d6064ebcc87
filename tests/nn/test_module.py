"""Module: attributes, walking, moves, copies, containers, looks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tests.nn.networks import Net, TorchNet
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError

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
    with pytest.raises(DTypeError, match=r"nn\.Sequential\(\*modules\)"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(DTypeError, match=r"ReLU\(\.\.\.\)"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(DTypeError, match="whose forward calls the function"):
        nn.Sequential(tg.relu)
    result = nn.Parameter(tg.ones(1))
    result.node = (tg.ones(1, requires_grad=True) * 2).node
    with pytest.raises(GraphError, match="leaf"):
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
    assert net.heads[0].weight.node.label == "weight"
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
    assert target.weight.node.label == "weight"


# ---- copies, containers


def test_deepcopy_and_pickle_are_independent():
    net = Net()
    net(tg.randn(2, 1, 8, 8))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(other) == repr(net)
        for (key, mine), theirs in zip(
            net.state_dict().items(), other.state_dict().values(), strict=True
        ):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=key)
            assert not np.shares_memory(mine.array, theirs.array)
        assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in other.parameters())
        assert other.heads[0].weight.node.label == "weight"
        out = other(tg.randn(2, 1, 8, 8))
        assert out.node.scope.name == ""


def test_a_frozen_parameter_keeps_its_name_through_a_copy():
    layer = copy.deepcopy(nn.Linear(1, 1).requires_grad_(False))
    assert layer.requires_grad_().weight.node.label == "weight"


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
        seq.__add__([b])


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
