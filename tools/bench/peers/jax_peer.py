"""JAX on the CPU: the whole training step, inference and chain under ``jax.jit``."""

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
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

IMPORT_S = time.perf_counter() - started


class Functions:
    """The functions of the layers in JAX."""

    relu, tanh = staticmethod(jax.nn.relu), staticmethod(jnp.tanh)
    rsqrt, constant = staticmethod(jax.lax.rsqrt), staticmethod(jax.lax.stop_gradient)

    def mean(self, x: Any, axes: tuple[int, ...]) -> Any:
        return x.mean(axes, keepdims=True)

    def cat(self, parts: Sequence[Any], axis: int) -> Any:
        return jnp.concatenate(parts, axis)

    def convolution(self, x: Any, weight: Any, stride: int, padding: int, groups: int) -> Any:
        dims = x.ndim - 2
        return jax.lax.conv_general_dilated(
            x, weight, (stride,) * dims, [(padding, padding)] * dims, feature_group_count=groups
        )

    def transposed_convolution(self, x: Any, weight: Any, stride: int) -> Any:
        dims = x.ndim - 2
        return jax.lax.conv_transpose(
            x,
            weight.swapaxes(0, 1),
            (stride,) * dims,
            "VALID",
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
            transpose_kernel=False,
        )

    def max_pool(self, x: Any, window: tuple[int, ...]) -> Any:
        full = (1, 1, *window)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, full, full, "VALID")

    def cross_entropy(self, scores: Any, labels: Any) -> Any:
        chosen = jnp.take_along_axis(jax.nn.log_softmax(scores, 1), labels[:, None], 1)
        return -chosen.mean()


class Engine:
    """What the worker asks for."""

    import_s = IMPORT_S

    def __init__(self) -> None:
        self.F = Functions()
        self._jitted: list[Any] = []

    def network_step(self, network: models.Network, mode: str) -> Callable[[], Any]:
        """A training step or an inference."""
        model, state = layers.initial(network, self.F)
        images, labels = (jnp.asarray(array) for array in models.batch(network))
        buffers = {name: jnp.asarray(state.pop(name)) for name in model.buffers()}
        parameters = {name: jnp.asarray(value) for name, value in state.items()}
        if mode == "infer":
            model.eval()
            model.load(buffers)

            def output(parameters: Any, images: Any) -> Any:
                model.load(parameters)
                return model(images)

            run = self._jit(output)
            return lambda: run(parameters, images).block_until_ready()

        def loss(parameters: Any, buffers: Any, images: Any, labels: Any) -> Any:
            model.load(parameters | buffers)
            return self.F.cross_entropy(model(images), labels), model.buffers()

        def step(parameters: Any, buffers: Any, momenta: Any, images: Any, labels: Any) -> Any:
            slopes = jax.value_and_grad(loss, has_aux=True)
            (value, buffers), gradients = slopes(parameters, buffers, images, labels)
            momenta = {n: models.MOMENTUM * m + gradients[n] for n, m in momenta.items()}
            parameters = {n: p - models.RATE * momenta[n] for n, p in parameters.items()}
            return value, (parameters, buffers, momenta)

        update = self._jit(step, donate_argnums=(0, 1, 2))
        now = [(parameters, buffers, jax.tree.map(jnp.zeros_like, parameters))]

        def train() -> Any:
            value, now[0] = update(*now[0], images, labels)
            jax.block_until_ready(now[0])
            return value

        return train

    def chain_step(self, variant: str) -> Callable[[], Any]:
        """A chain of small operators; under ``jit`` it is one program."""
        a, b, ones = (jnp.asarray(array) for array in chains.inputs(variant))
        run = partial(chains.run, layers.Namespace(self.F), variant, row=b[0])
        if variant in chains.FORWARD:
            forward = self._jit(run)
            return lambda: forward(a, b).block_until_ready()

        def both(a: Any, b: Any, ones: Any) -> Any:
            z, pull = jax.vjp(run, a, b)
            gradients = pull(ones)
            return (z, *gradients) if variant in chains.READS_B else (z, gradients[0])

        step = self._jit(both)
        return lambda: jax.block_until_ready(step(a, b, ones))

    def operator_steps(self, operator: Any) -> Any:
        """Refused: the operators are written in PyTorch's names."""
        raise NotImplementedError(f"{operator.name} is written in names that JAX does not have")

    def wait(self) -> None:
        """Every step has waited for itself."""

    def kernels(self) -> int:
        """Programs that were compiled by ``jit``, one per step."""
        return sum(function._cache_size() for function in self._jitted)

    def versions(self) -> dict[str, str]:
        """Versions of what is loaded in this process."""
        return loaded_versions("numpy", "jax", "jaxlib")

    def _jit(self, function: Callable[..., Any], **options: Any) -> Any:
        self._jitted.append(jax.jit(function, **options))
        return self._jitted[-1]
