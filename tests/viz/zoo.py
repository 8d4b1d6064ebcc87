"""Models for the captures: each function returns one that computes a scalar, and its inputs."""

from __future__ import annotations

import numpy as np

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F
from tinygrad_cv import nn
from tinygrad_cv.core.op import Op, unregister


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()
        )
        self.classifier = nn.Sequential(nn.Linear(96, 12), nn.ReLU(), nn.Linear(12, 10))

    def forward(self, image):
        return self.classifier(self.features(image).flatten(1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + x).relu()


class Shared(nn.Module):
    """One layer that is called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(3):
            x = self.step(x).tanh()
        return x


def randn(*shape):
    """Different numbers of both signs, the same in every run."""
    count = int(np.prod(shape))
    return tg.Tensor(((np.arange(count) * 37 % 101 - 50) / 50).reshape(shape).astype("float32"))


def mlp():
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    x, label = randn(4, 5), tg.tensor([0, 2, 1, 1])
    return lambda x, label: F.cross_entropy(net(x), label), {"x": x, "label": label}


def lenet():
    net = LeNet()
    x, label = randn(2, 1, 12, 12), tg.tensor([3, 7])
    return lambda image, label: F.cross_entropy(net(image), label), {"image": x, "label": label}


def residual():
    net = Residual()
    return lambda x: (net(x) ** 2).mean(), {"x": randn(2, 3, 6, 6)}


def shared():
    net = Shared()
    return lambda x: net(x).sum(), {"x": randn(2, 4)}


def several_outputs():
    """max gives values and indices; both batch_norm outputs and the value are used."""
    x = randn(3, 5).requires_grad_()

    def loss(x):
        values, indices = x.max(dim=1)
        return (values * indices.to("float32")).sum() + x.mean()

    return loss, {"x": x}


class SinCos(Op):
    """Two results that both have gradients."""

    name, inputs, outputs = "zoo_sincos", ("input",), ("sine", "cosine")

    @staticmethod
    def infer(input):
        return input, input

    @staticmethod
    def forward(xp, input):
        return xp.sin(input), xp.cos(input)

    @staticmethod
    def vjp_input(g, sine, cosine):
        return g[0] * cosine - g[1] * sine


unregister(SinCos.name)  # it is not for others to see


def two_graded_outputs():
    """The second result goes on before the first."""

    def loss(x):
        sine, cosine = SinCos.call(x)
        return (cosine.exp() - sine * cosine).sum()

    return loss, {"x": randn(4).requires_grad_()}


def list_of_tensors():
    """Operators with any number of inputs, one of them twice, one without gradient."""
    a, b, c = randn(2, 3).requires_grad_(), randn(2, 3), randn(2, 3).requires_grad_()
    return lambda a, b, c: (tg.cat([a, b, a, c], dim=1) * 2.0).sum(), {"a": a, "b": b, "c": c}


def same_argument_twice():
    return lambda x: (x * x - x).sum(), {"x": randn(3).requires_grad_()}


def scalars_and_constants():
    constant = randn(3)
    return lambda x: (3.0 - x * constant + 1.0 / (x + 4.0)).sum(), {"x": randn(3).requires_grad_()}


def double_backward():
    """A gradient penalty: the loss contains a gradient, so the graph has the backward of a
    convolution in it."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))

    def loss(x):
        out = net(x).sum()
        (gradient,) = tg.autograd.grad(out, x, create_graph=True)
        return out + ((gradient**2).sum() - 1.0) ** 2

    return loss, {"x": randn(1, 1, 4, 4).requires_grad_()}


def writing():
    """In-place writes: the tensor stands for another result afterwards."""

    def loss(x):
        y = x * 2.0
        y += x
        y[0] = x[1] * 3.0
        return y.sum()

    return loss, {"x": randn(3, 2).requires_grad_()}


def views():
    return (
        lambda x: (x.reshape(2, 6).T[1:3] @ x.reshape(2, 6)[:, :2].sum(dim=1)).exp().mean(),
        {"x": randn(3, 4).requires_grad_()},
    )


ZOO = {
    function.__name__: function
    for function in (
        mlp,
        lenet,
        residual,
        shared,
        several_outputs,
        two_graded_outputs,
        list_of_tensors,
        same_argument_twice,
        scalars_and_constants,
        double_backward,
        writing,
        views,
    )
}
