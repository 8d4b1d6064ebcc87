"""state_dict and load_state_dict: PyTorch's keys, shapes and strictness."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.nn.networks import Net, TorchNet
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError


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
        "size mismatch for heads.1.weight: copying a param with shape (3, 5) from checkpoint",
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
    with pytest.raises(ArgumentError, match=r'Missing.*"running_var"'):
        layer.load_state_dict(state)


def test_assign_takes_dtype_and_memory():
    net = nn.Linear(2, 2)
    weight = tg.ones(2, 2, dtype="float64")
    net.load_state_dict({"weight": weight, "bias": tg.zeros(2)}, assign=True)
    assert net.weight.dtype == tg.float64
    assert np.shares_memory(net.weight.array, weight.array)
    assert isinstance(net.weight, nn.Parameter)
    assert net.weight.requires_grad


@pytest.mark.parametrize("how", ["read-only", "expanded"])
def test_memory_that_cannot_be_written_is_found_before_anything_changes(how):
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    bias = net[1].bias
    bias.array = np.broadcast_to(np.zeros(1 if how == "expanded" else 2, np.float32), 2)
    before = {key: tensor.numpy().copy() for key, tensor in net.state_dict().items()}
    state = {key: np.full(value.shape, 9.0, np.float32) for key, value in before.items()}
    with pytest.raises(ArgumentError, match=r"1\.bias: the memory[^$]*Nothing was.*assign=True"):
        net.load_state_dict(state)
    for key, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[key])
    net.load_state_dict(state, assign=True)  # the repair
    assert bias.tolist() == [9, 9]


def test_assign_does_not_turn_parameters_into_integers():
    net = nn.BatchNorm1d(2)
    state = net.state_dict() | {"weight": np.array([1, 2]), "running_mean": tg.tensor([0, 1])}
    with pytest.raises(ArgumentError) as caught:
        net.load_state_dict(state, assign=True)
    assert "weight: int64 values cannot stand for float32 ones" in str(caught.value)
    assert "running_mean: int64 values" in str(caught.value)
    assert net.weight.dtype == tg.float32
    net.load_state_dict(state)  # copied, they are converted
    assert net.weight.tolist() == [1, 2]


def test_loading_between_forward_and_backward_is_noticed():
    net = nn.Linear(2, 2)
    loss = net(tg.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(GraphError, match="overwritten"):
        loss.backward()


def test_what_is_no_mapping_is_told_how_to_become_one():
    net = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"load_safetensors\(path\)"):
        net.load_state_dict("weights.safetensors")
    with pytest.raises(DTypeError, match=r"model\.state_dict\(\)"):
        net.load_state_dict(nn.Linear(2, 2))
