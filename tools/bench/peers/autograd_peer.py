"""HIPS autograd: NumPy with gradients. Its convolution has neither a stride nor groups."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import chains
import models
from native import loaded_versions

from peers import layers

started = time.perf_counter()
import autograd  # noqa: E402
import autograd.numpy as anp  # noqa: E402
from autograd.scipy.signal import convolve  # noqa: E402
from autograd.tracer import getval  # noqa: E402

IMPORT_S = time.perf_counter() - started


class Functions:
    """The functions of the layers in autograd."""

    tanh, constant = staticmethod(anp.tanh), staticmethod(getval)

    def relu(self, x: Any) -> Any:
        return anp.maximum(x, anp.float32(0))

    def rsqrt(self, x: Any) -> Any:
        return 1 / anp.sqrt(x)

    def mean(self, x: Any, axes: tuple[int, ...]) -> Any:
        return anp.mean(x, axis=axes, keepdims=True)

    def cat(self, parts: Sequence[Any], axis: int) -> Any:
        return anp.concatenate(parts, axis)

    def convolution(self, x: Any, weight: Any, stride: int, padding: int, groups: int) -> Any:
        if stride != 1 or groups != 1:
            raise NotImplementedError("HIPS autograd has no convolution with a stride or groups")
        dims = x.ndim - 2
        if padding:
            x = anp.pad(x, [(0, 0), (0, 0)] + [(padding, padding)] * dims, "constant")
        image_axes, flip = list(range(2, dims + 2)), (slice(None, None, -1),) * dims
        kernel = weight[(slice(None), slice(None), *flip)]  # it convolves, networks correlate
        return convolve(x, kernel, (image_axes, image_axes), ([1], [1]), "valid")

    def transposed_convolution(self, x: Any, weight: Any, stride: int) -> Any:
        raise NotImplementedError("HIPS autograd has no transposed convolution")

    def max_pool(self, x: Any, window: tuple[int, ...]) -> Any:
        split = [n for size, w in zip(x.shape[2:], window, strict=True) for n in (size // w, w)]
        return anp.max(x.reshape(*x.shape[:2], *split), axis=tuple(range(3, x.ndim * 2 - 2, 2)))

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        scores = scores - anp.max(scores, axis=1, keepdims=True)
        logs = scores - anp.log(anp.sum(anp.exp(scores), axis=1, keepdims=True))
        return -anp.mean(logs[anp.arange(len(labels)), labels])


class Engine:
    """What the worker asks for."""

    import_s = IMPORT_S

    def __init__(self) -> None:
        self.F = Functions()

    def network_step(self, network: models.Network, mode: str) -> Callable[[], Any]:
        """A training step or an inference."""
        if network.dense:
            raise NotImplementedError("the loss per pixel is not written for HIPS autograd")
        model, parameters = layers.initial(network, self.F)
        images, labels = models.batch(network)
        model.load(parameters)
        if mode == "infer":
            model.eval()
            return lambda: model(images)
        for name in model.buffers():
            del parameters[name]
        momenta = {name: anp.zeros_like(value) for name, value in parameters.items()}

        def loss(parameters: Any) -> Any:
            model.load(parameters)
            return self.F.cross_entropy(model(images), labels)

        slopes = autograd.value_and_grad(loss)

        def train() -> Any:
            value, gradients = slopes(parameters)
            for name, gradient in gradients.items():
                momenta[name] = models.MOMENTUM * momenta[name] + gradient
                parameters[name] = parameters[name] - models.RATE * momenta[name]
            return value

        return train

    def chain_step(self, variant: str) -> Callable[[], Any]:
        """A chain of small operators."""
        a, b, ones = chains.inputs(variant)
        run = partial(chains.run, layers.Namespace(self.F), variant, row=b[0])
        if variant in chains.FORWARD:
            return lambda: run(a, b)
        reads_b = variant in chains.READS_B

        def both() -> Any:
            if reads_b:
                pull, z = autograd.make_vjp(lambda two: run(*two))((a, b))
                return (z, *pull(ones))
            pull, z = autograd.make_vjp(lambda a: run(a, b))(a)
            return z, pull(ones)

        return both

    def operator_steps(self, operator: Any) -> Any:
        """Refused: the operators are written in PyTorch's names."""
        raise NotImplementedError(
            f"{operator.name} is written in names that HIPS autograd does not have"
        )

    def wait(self) -> None:
        """Every step has waited for itself."""

    def kernels(self) -> None:
        """Nothing is compiled."""

    def versions(self) -> dict[str, str]:
        """Versions of what is loaded in this process."""
        return loaded_versions("numpy", "scipy", "autograd")
