"""Features of inner layers by name: values, gradients, order, what runs, what is refused."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.nn.networks import Net
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn import create_feature_extractor


class Twice(nn.Module):
    """Calls one ReLU two times, and has a list that is not called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.layers[1](self.relu(self.layers[0](x))) - 0.1)


def image():
    return tg.tensor(np.random.default_rng(0).normal(size=(2, 1, 6, 6)).astype("f4"))


def test_outputs_are_those_of_the_modules():
    net, x = Net().eval(), image()
    found = create_feature_extractor(net, ["features.2.conv", "features.0", "heads.0"])(x)
    assert list(found) == ["features.0", "features.2.conv", "heads.0"]  # as they ran
    first = net.features[0](x)
    assert found["features.0"].tolist() == first.tolist()
    assert found["features.2.conv"].tolist() == net.features[2].conv(first.relu()).tolist()
    pooled = net.features(x).mean((2, 3))
    assert found["heads.0"].tolist() == net.heads[0](pooled).tolist()


def test_new_names_and_a_single_one():
    net, x = Net(), image()
    assert list(create_feature_extractor(net, {"features.1": "relu"})(x)) == ["relu"]
    assert list(create_feature_extractor(net, "features.1")(x)) == ["features.1"]


def test_gradients_pass_and_parameters_are_the_models():
    net = Net()
    extractor = create_feature_extractor(net, ["features.0", "features.2"])
    assert [id(p) for p in extractor.parameters()] == [id(p) for p in net.parameters()]
    found = extractor(image())
    (found["features.0"].sum() + found["features.2"].sum()).backward()
    assert net.features[0].weight.grad is not None
    assert net.features[2].conv.weight.grad is not None
    assert net.heads[0].weight.grad is None
    with tg.no_grad():
        assert not extractor(image())["features.2"].requires_grad


def test_the_model_runs_no_further_than_needed():
    ran = []

    class Loud(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            ran.append(self.name)
            return x

    net = nn.Sequential(*map(Loud, "abc"))
    create_feature_extractor(net, ["1", "0"])(tg.ones(1))
    assert ran == ["a", "b"]
    net(tg.ones(1))
    assert ran == ["a", "b", *"abc"]


def test_no_hook_is_left_behind():
    net = Net()
    extractor = create_feature_extractor(net, ["features.0"])
    extractor(image())
    with pytest.raises(ShapeError, match=r"in model\.model\.features\.0 \(Conv2d\)"):
        extractor(tg.zeros(1, 2, 6, 6))
    assert not any(module._forward_hooks for module in net.modules())


def test_calls_of_one_module_are_numbered():
    net, x = Twice(), tg.tensor(np.random.default_rng(1).normal(size=(4, 3)).astype("f4"))
    found = create_feature_extractor(net, ["relu", "relu_1"])(x)
    assert found["relu"].tolist() == net.layers[0](x).relu().tolist()
    assert found["relu_1"].tolist() == net(x).tolist()
    with pytest.raises(ArgumentError, match=r"did not run .*: relu_2"):
        create_feature_extractor(net, ["relu_2"])(x)


def test_modes_may_want_different_outputs():
    extractor = create_feature_extractor(
        Net(), train_return_nodes=["features.0"], eval_return_nodes={"features.1": "out"}
    )
    assert list(extractor(image())) == ["features.0"]
    assert list(extractor.eval()(image())) == ["out"]
    assert not extractor.model.features.training
    assert not create_feature_extractor(Net().eval(), ["features.0"]).training


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((["feature.0"],), ArgumentError, "no module 'feature.0'\n  Near it: features.0"),
        (([""],), ArgumentError, "no module ''"),
        (([],), ArgumentError, "at least one"),
        (({"features.0": "a", "features.1": "a"},), ArgumentError, "the name a"),
        (([3],), DTypeError, "must be strings"),
        (({"features.0": 1},), DTypeError, "must be strings"),
        ((), ArgumentError, "give return_nodes"),
        ((None, ["features.0"]), ArgumentError, "both"),
        ((["features.0"], ["features.0"]), ArgumentError, "both modes"),
    ],
)
def test_refusals(arguments, error, match):
    with pytest.raises(error, match=match):
        create_feature_extractor(Net(), *arguments)


def test_other_refusals():
    with pytest.raises(DTypeError, match="must be a Module, not function"):
        create_feature_extractor(lambda x: x, ["a"])
    with pytest.raises(ArgumentError, match=r"did not run .*: layers"):
        create_feature_extractor(Twice(), ["layers"])(tg.ones(1, 3))
    with pytest.raises(ArgumentError, match="no inner modules"):
        create_feature_extractor(nn.ReLU(), ["relu"])


def test_copies_and_pickles():
    extractor = create_feature_extractor(Net().eval(), {"features.1": "maps"})
    expected = extractor(image())["maps"].tolist()
    for other in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert other(image())["maps"].tolist() == expected
        assert other.model is not extractor.model


def test_a_call_in_another_thread_is_none_of_the_features():
    class Meanwhile(nn.Module):
        """In its first call, another thread runs the whole model."""

        def forward(self, x):
            if not results:
                results.append(None)
                thread = threading.Thread(target=lambda: results.append(extractor(x + 5)["1"]))
                thread.start()
                thread.join()
            return x

    results = []
    extractor = create_feature_extractor(nn.Sequential(Meanwhile(), nn.ReLU()), ["1"])
    assert extractor(tg.ones(1))["1"].tolist() == [1]
    assert results[1].tolist() == [6]
