"""tinygrad on the CPU: training step, inference and chain under ``TinyJit``."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import chains
import models
from native import loaded_versions

from peers import layers

os.environ.setdefault("DEV", "CPU")
started = time.perf_counter()
from tinygrad import Device, Tensor, TinyJit  # noqa: E402

IMPORT_S = time.perf_counter() - started


class Functions:
    """The functions of the layers in tinygrad."""

    relu, tanh = staticmethod(Tensor.relu), staticmethod(Tensor.tanh)
    rsqrt, constant = staticmethod(Tensor.rsqrt), staticmethod(Tensor.detach)

    def mean(self, x: Any, axes: tuple[int, ...]) -> Any:
        return x.mean(axis=axes, keepdim=True)

    def cat(self, parts: Sequence[Any], axis: int) -> Any:
        return Tensor.cat(*parts, dim=axis)

    def convolution(self, x: Any, weight: Any, stride: int, padding: int, groups: int) -> Any:
        return x.conv2d(weight, stride=stride, padding=padding, groups=groups)

    def transposed_convolution(self, x: Any, weight: Any, stride: int) -> Any:
        return x.conv_transpose2d(weight, stride=stride)

    def max_pool(self, x: Any, window: tuple[int, ...]) -> Any:
        return x.max_pool2d(window)

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        return scores.cross_entropy(labels)


class Engine:
    """What the worker asks for."""

    import_s = IMPORT_S

    def __init__(self) -> None:
        compiler = os.environ.get("CC", "clang")
        if os.environ["DEV"] == "CPU" and not shutil.which(compiler):
            raise RuntimeError("tinygrad compiles for the CPU with clang, which is not installed")
        self.F = Functions()
        self._jitted: list[Any] = []

    def network_step(self, network: models.Network, mode: str) -> Callable[[], Any]:
        """A training step or an inference."""
        model, arrays = layers.initial(network, self.F)
        images, labels = (Tensor(array).realize() for array in models.batch(network))
        state = {name: Tensor(array).contiguous().realize() for name, array in arrays.items()}
        model.load(state)
        buffers = {name: state.pop(name) for name in model.buffers()}
        if mode == "infer":
            model.eval()
            return self._jit(lambda: model(images).realize())
        momenta = {name: Tensor.zeros(*p.shape).contiguous().realize() for name, p in state.items()}

        def train() -> Any:
            model.load(buffers)
            loss = self.F.cross_entropy(model(images), labels)
            gradients = loss.gradient(*state.values())
            changed = [buffers[name].assign(value) for name, value in model.buffers().items()]
            for (name, p), gradient in zip(state.items(), gradients, strict=True):
                momentum = momenta[name].assign(models.MOMENTUM * momenta[name] + gradient)
                changed += [momentum, p.assign(p - models.RATE * momentum)]
            return loss.realize(*changed)

        return self._jit(train)

    def chain_step(self, variant: str) -> Callable[[], Any]:
        """A chain of small operators; under ``TinyJit`` they are fused."""
        a, b, ones = (Tensor(array).realize() for array in chains.inputs(variant))
        run = partial(chains.run, layers.Namespace(self.F), variant, row=b[0].realize())
        if variant in chains.FORWARD:
            return self._jit(lambda: run(a, b).realize())
        wanted = (a, b) if variant in chains.READS_B else (a,)

        def both() -> Any:
            z = run(a, b)
            gradients = z.gradient(*wanted, gradient=ones)
            Tensor.realize(z, *gradients)
            return (z, *gradients)

        return self._jit(both)

    def operator_steps(self, operator: Any) -> Any:
        """Refused: the operators are written in PyTorch's names."""
        raise NotImplementedError(f"{operator.name} is not written for tinygrad")

    def wait(self) -> None:
        """Every step has waited for itself."""

    def kernels(self) -> int:
        """Kernels that ``TinyJit`` replays."""
        return sum(len(jitted.captured.jit_cache) for jitted in self._jitted if jitted.captured)

    def versions(self) -> dict[str, str]:
        """Versions of what is loaded in this process."""
        return loaded_versions("tinygrad")

    def _jit(self, function: Callable[[], Any]) -> Callable[[], Any]:
        jitted = TinyJit(function)
        self._jitted.append(jitted)

        def step() -> Any:
            result = jitted()
            Device[Device.DEFAULT].synchronize()
            return result

        return step
