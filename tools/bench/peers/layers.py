"""The layers of the benchmark's networks over a handful of functions, for engines without any.

They have PyTorch's names and arguments, as far as ``models.py`` uses them, and number their
arrays as PyTorch does. ``Namespace`` stands for ``torch`` there. What an engine gives it are the
functions of ``Functions``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import models
import numpy as np

__all__ = ["Functions", "Module", "Namespace", "initial"]

BUFFERS = ("running_mean", "running_var")


class Functions(Protocol):
    """What an engine has to offer; images are N C H W or N C D H W."""

    def relu(self, x: Any) -> Any: ...
    def tanh(self, x: Any) -> Any: ...
    def rsqrt(self, x: Any) -> Any: ...
    def mean(self, x: Any, axes: tuple[int, ...]) -> Any: ...  # the axes stay, with length 1
    def cat(self, parts: Sequence[Any], axis: int) -> Any: ...
    def constant(self, x: Any) -> Any: ...  # no gradient flows through it
    def convolution(self, x: Any, weight: Any, stride: int, padding: int, groups: int) -> Any: ...
    def transposed_convolution(self, x: Any, weight: Any, stride: int) -> Any: ...
    def max_pool(self, x: Any, window: tuple[int, ...]) -> Any: ...
    def cross_entropy(self, scores: Any, labels: Any) -> Any: ...


class Module:
    """Arrays and modules by the names of attributes."""

    training = True

    def __call__(self, x: Any) -> Any:
        return self.forward(x)

    def forward(self, x: Any) -> Any:
        """What the module makes of its input."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules in this one."""
        return ((n, v) for n, v in vars(self).items() if isinstance(v, Module))

    def places(self, prefix: str = "") -> dict[str, tuple[Module, str]]:
        """Full name of every array, and where it stands."""
        own = (n for n, v in vars(self).items() if n == "weight" or n == "bias" or n in BUFFERS)
        found = {prefix + n: (self, n) for n in own if getattr(self, n) is not None}
        for name, child in self.children():
            found |= child.places(f"{prefix}{name}.")
        return found

    def load(self, state: dict[str, Any]) -> None:
        """Puts every array of the state into its place."""
        places = self.places()
        for name, value in state.items():
            owner, attribute = places[name]
            setattr(owner, attribute, value)

    def buffers(self) -> dict[str, Any]:
        """The running statistics by name."""
        places = self.places().items()
        return {n: getattr(owner, a) for n, (owner, a) in places if a in BUFFERS}

    def eval(self) -> None:
        """From now on inference."""
        self.training = False
        for _, child in self.children():
            child.eval()


class Sequential(Module):
    """One after the other."""

    def __init__(self, *modules: Module) -> None:
        self.__dict__ |= {str(number): module for number, module in enumerate(modules)}

    def forward(self, x: Any) -> Any:
        for _, module in self.children():
            x = module(x)
        return x


class Function(Module):
    """A layer without arrays."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Weighted(Module):
    """``function(x, weight)`` plus a bias per channel."""

    def __init__(self, function: Any, shape: tuple[int, ...], outputs: int, bias: bool) -> None:
        self.function = function
        self.weight: Any = np.empty(shape, np.float32)
        self.bias: Any = np.empty(outputs, np.float32) if bias else None

    def forward(self, x: Any) -> Any:
        y = self.function(x, self.weight)
        return y if self.bias is None else y + self.bias.reshape(1, -1, *(1,) * (y.ndim - 2))


class BatchNorm(Module):
    """Batch norm with running statistics (Ioffe and Szegedy, 2015)."""

    def __init__(self, F: Functions, channels: int) -> None:
        self.F = F
        self.weight: Any = np.empty(channels, np.float32)
        self.bias: Any = np.empty(channels, np.float32)
        self.running_mean: Any = np.empty(channels, np.float32)
        self.running_var: Any = np.empty(channels, np.float32)

    def forward(self, x: Any) -> Any:
        axes = (0, *range(2, x.ndim))
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        if self.training:
            mean = self.F.mean(x, axes)
            var = self.F.mean((x - mean) * (x - mean), axes)
            count = math.prod(x.shape[axis] for axis in axes)
            self._follow("running_mean", mean)
            self._follow("running_var", var * (count / (count - 1)))
        else:
            mean, var = self.running_mean.reshape(*shape), self.running_var.reshape(*shape)
        scale = self.F.rsqrt(var + 1e-5) * self.weight.reshape(*shape)
        return (x - mean) * scale + self.bias.reshape(*shape)

    def _follow(self, name: str, value: Any) -> None:
        old = getattr(self, name)
        setattr(self, name, old * 0.9 + self.F.constant(value).reshape(*old.shape) * 0.1)


class Layers:
    """Stands for ``torch.nn``: makers of layers by PyTorch's names."""

    Module, Sequential = Module, Sequential

    def __init__(self, F: Functions) -> None:
        self.functional = F
        self.Conv2d, self.Conv3d = partial(self._conv, 2), partial(self._conv, 3)
        self.MaxPool2d, self.MaxPool3d = partial(self._pool, 2), partial(self._pool, 3)
        self.AdaptiveAvgPool2d, self.AdaptiveAvgPool3d = self._average, self._average

    def ReLU(self) -> Module:
        return Function(self.functional.relu)

    def Flatten(self) -> Module:
        return Function(lambda x: x.reshape(x.shape[0], -1))

    def Linear(self, inputs: int, outputs: int) -> Module:
        return Weighted(lambda x, w: x @ w.T, (outputs, inputs), outputs, True)

    def BatchNorm2d(self, channels: int) -> Module:
        return BatchNorm(self.functional, channels)

    def ConvTranspose2d(self, inputs: int, outputs: int, kernel: int, stride: int) -> Module:
        function = partial(self.functional.transposed_convolution, stride=stride)
        return Weighted(function, (inputs, outputs, kernel, kernel), outputs, True)

    def _conv(
        self,
        dims: int,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> Module:
        shape = (outputs, inputs // groups, *(kernel,) * dims)
        given = {"stride": stride, "padding": padding, "groups": groups}
        return Weighted(partial(self.functional.convolution, **given), shape, outputs, bias)

    def _pool(self, dims: int, window: int | tuple[int, ...]) -> Module:
        window = window if isinstance(window, tuple) else (window,) * dims
        return Function(partial(self.functional.max_pool, window=window))

    def _average(self, size: int) -> Module:
        if size != 1:
            raise NotImplementedError(f"adaptive pooling to size {size}: the networks use only 1")
        return Function(lambda x: self.functional.mean(x, tuple(range(2, x.ndim))))


class Namespace:
    """Stands for ``torch`` where the networks and the chains are written."""

    def __init__(self, F: Functions) -> None:
        self.nn = Layers(F)
        self.relu, self.tanh, self.cat = F.relu, F.tanh, F.cat


def initial(network: models.Network, F: Functions) -> tuple[Module, dict[str, np.ndarray]]:
    """The network, and the weights that every engine shares."""
    model = network.build(Namespace(F))
    places = model.places().items()
    shapes = {name: getattr(owner, a).shape for name, (owner, a) in places}
    return model, models.initial_state(shapes)
