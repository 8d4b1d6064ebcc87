"""ParameterList and ParameterDict against PyTorch's."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, RangeError


def keys(module):
    return list(module.state_dict())


def build(nn, tensor):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.list = nn.ParameterList([tensor([1.0, 2.0]), nn.Parameter(tensor([[3.0]]))])
            self.dict = nn.ParameterDict([("b", tensor([4.0])), ("a", tensor([5.0, 6.0]))])

        def forward(self, x):
            return (x * self.list[0]).sum() * self.list[-1] + self.dict["a"].sum() * self.dict["b"]

    return Net()


def test_keys_and_walks_are_torchs():
    ours, theirs = build(nn, tg.tensor), build(torch.nn, torch.tensor)
    assert keys(ours) == keys(theirs) == ["list.0", "list.1", "dict.b", "dict.a"]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    x = [2.0, 3.0]
    ours(tg.tensor(x)).sum().backward()
    theirs(torch.tensor(x)).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.grad.tolist() == q.grad.tolist()
    ours.load_state_dict({k: v * 2 for k, v in theirs.state_dict().items()})
    assert ours.list[0].tolist() == [2, 4]


def test_looks_are_torchs():
    ours, theirs = build(nn, tg.tensor), build(torch.nn, torch.tensor)
    ours.list.append("text")
    theirs.list.append("text")
    expected = repr(theirs).replace("torch.float32", "float32")
    # Of a dictionary's values PyTorch shows the old name of their type.
    expected = expected.replace("torch.FloatTensor", "float32")
    assert repr(ours) == expected


def test_a_list():
    params = nn.ParameterList([tg.ones(1), tg.ones(2), tg.ones(3)])
    assert [p.shape for p in params[1:]] == [(2,), (3,)]
    assert isinstance(params[:2], nn.ParameterList)
    params[-1] = tg.zeros(4)
    assert params[2].shape == (4,)
    assert isinstance(params[2], nn.Parameter)
    params += [tg.ones(5)]
    params.extend(iter([nn.Parameter(tg.ones(6))]))
    assert (len(params), keys(params)) == (5, ["0", "1", "2", "3", "4"])
    params[0] = 3.0  # no Tensor
    assert (params[0], keys(params)) == (3.0, ["1", "2", "3", "4"])
    params[0] = tg.ones(1)
    assert len(list(params.parameters())) == 5
    params.extend(params)  # its own values once more
    assert len(params) == 10


def test_a_dictionary():
    heads = nn.ParameterDict({"b": tg.ones(1), "a": tg.ones(2)})
    assert list(heads) == ["b", "a"] == list(reversed(heads))[::-1]
    assert "a" in heads
    assert "weight" not in heads
    assert heads.get("c") is None
    first = heads["b"]
    assert heads.setdefault("b", tg.zeros(9)) is first
    heads["b"] = 7
    assert keys(heads) == ["a"]
    assert dict(heads.items())["b"] == 7
    heads |= {"c": tg.ones(3)}
    assert len(heads | {"d": tg.ones(1)}) == 4
    assert list({"z": tg.ones(1)} | heads) == ["z", "b", "a", "c"]
    assert heads.popitem()[0] == "c"
    del heads["a"]
    with pytest.raises(KeyError):
        heads.pop("a")
    heads.clear()
    assert (len(heads), keys(heads)) == (0, [])
    with pytest.raises(KeyError):
        heads.popitem()


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(make):
    for held in (nn.ParameterList([tg.ones(2), 3]), nn.ParameterDict({"0": tg.ones(2), "1": 3})):
        other = make(held)
        key = 0 if isinstance(held, nn.ParameterList) else "0"
        assert keys(other) == keys(held) == ["0"]
        assert other[key] is not held[key]
        assert other[key].tolist() == [1, 1]
        assert len(other) == 2


@pytest.mark.parametrize(
    ("use", "error", "match"),
    [
        (lambda: nn.ParameterList(tg.ones(3)), DTypeError, "Put it into a list"),
        (lambda: nn.ParameterList(3), DTypeError, "not int"),
        (lambda: nn.ParameterList([tg.ones(1)])[1], RangeError, "there are 1 values"),
        (lambda: nn.ParameterList([tg.ones(1)])["a"], DTypeError, "whole number"),
        (lambda: nn.ParameterDict(tg.ones(3)), DTypeError, "pairs, not Tensor"),
        (lambda: nn.ParameterDict([("a",)]), DTypeError, "entry 0 is no"),
        (lambda: nn.ParameterDict({1: tg.ones(1)}), DTypeError, "must be a string"),
        (lambda: nn.ParameterDict({"keys": tg.ones(1)}), ArgumentError, "taken"),
        (lambda: nn.ParameterDict({"a.b": tg.ones(1)}), ArgumentError, "dots"),
        (lambda: nn.ParameterDict()(tg.ones(1)), GraphError, "no forward"),
        (lambda: nn.ParameterList()(), GraphError, "computes nothing"),
    ],
)
def test_refusals(use, error, match):
    with pytest.raises(error, match=match):
        use()
