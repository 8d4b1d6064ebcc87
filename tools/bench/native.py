"""The engines that share PyTorch's names: ours and PyTorch, eager or compiled by Inductor.

An engine offers what the worker asks for: ``network_step``, ``chain_step``, ``operator_steps``,
``wait``, ``kernels`` and ``versions``. The engines with names of their own are in ``peers``.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import chains
import models
import numpy as np
import operators

__all__ = ["Engine", "loaded_versions"]

Step = Callable[[], Any]


class Engine:
    """What differs between ours and PyTorch: how arrays enter and leave, and how memory is laid
    out."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name, self.device = name, device
        self.is_torch = name.startswith("torch")
        self.channels_last = name.endswith("channels_last")
        self.compiles = name.startswith("torch_compile")
        if self.compiles and not any(shutil.which(c) for c in ("g++", "clang++", "cl")):
            raise RuntimeError("torch.compile needs a C++ compiler: install g++")
        started = time.perf_counter()
        if self.is_torch:
            import torch as ns
        else:
            import tinygrad_cv as ns
        self.import_s = time.perf_counter() - started
        self.ns: Any = ns
        if self.is_torch:  # float32 products are exact on both sides
            ns.backends.cudnn.allow_tf32 = ns.backends.cuda.matmul.allow_tf32 = False

    def network_step(self, network: models.Network, mode: str) -> Step:
        """A training step, giving its loss, or an inference, giving the output of a network."""
        model = self.model(network)
        images, labels = models.batch(network)
        x, target = self.tensor(images), self.tensor(labels)
        if mode == "infer":
            model.eval()

            def infer() -> Any:
                with self.ns.no_grad():
                    return model(x)

            return infer
        if self.is_torch:
            from torch import optim
        else:
            from tinygrad_cv import optim
        cross_entropy = self.ns.nn.functional.cross_entropy
        optimiser = optim.SGD(model.parameters(), lr=models.RATE, momentum=models.MOMENTUM)

        def train() -> Any:
            optimiser.zero_grad()
            loss = cross_entropy(model(x), target)
            loss.backward()
            optimiser.step()
            return loss

        return train

    def chain_step(self, variant: str) -> Step:
        """A chain of small operators, forward and (unless ``forward``) backward."""
        a, b, ones = (self.placed(self.ns.tensor(array)) for array in chains.inputs(variant))
        row = b[0].clone()
        run = self._compiled(chains.run)
        if variant != "no_grad":
            a.requires_grad_()
            b.requires_grad_()

        def forward() -> Any:
            return run(self.ns, variant, a, b, row)

        def backward() -> Any:
            a.grad = b.grad = None
            z = forward()
            z.backward(ones)
            return (z, a.grad, b.grad) if variant in chains.READS_B else (z, a.grad)

        return forward if variant in chains.FORWARD else backward

    def operator_steps(self, operator: operators.Operator) -> dict[str, Step]:
        """One operator forward, its graph recorded, and backward through a graph that is kept."""
        ns = self.ns
        inputs = [self.tensor(array) for array in operators.arrays(operator)]
        wanted = [
            x.requires_grad_() for x, i in zip(inputs, operator.inputs, strict=True) if i.learns
        ]
        call = self._compiled(operator.call)

        def forward() -> Any:
            return call(ns, *inputs)

        y = forward()
        slope = self.tensor(operators.slope(tuple(y.shape)))

        def backward() -> Any:
            return ns.autograd.grad(y, wanted, slope, retain_graph=True)

        return {"forward": forward, "backward": backward}

    def wait(self) -> None:
        """Until the device has done everything that it was asked to do."""
        if self.device == "cpu":
            return
        if self.is_torch:
            self.ns.cuda.synchronize()
        else:
            import cupy

            cupy.cuda.Device().synchronize()

    def kernels(self) -> int | None:
        """How many kernels were compiled, or loaded compiled, in this process."""
        if self.compiles:
            from torch._inductor import metrics

            return int(metrics.generated_kernel_count)
        if self.is_torch:
            return None
        from tinygrad_cv.backend.cpu import compiling

        return sum(kernel.made is not None for kernel in compiling.kernels())

    def versions(self) -> dict[str, str]:
        """Versions of what is loaded in this process."""
        return loaded_versions("numpy", "scipy", "numba", "torch", "tinygrad_cv")

    def placed(self, thing: Any) -> Any:
        """A tensor or a module on the device that is measured."""
        return thing if self.device == "cpu" else thing.to(self.device)

    def tensor(self, array: np.ndarray) -> Any:
        """A constant tensor; images take the engine's memory layout."""
        if not self.is_torch:
            tensor = self.placed(self.ns.tensor(array))
            if self.channels_last and array.ndim > 3:  # memory is in the order of the last copy
                tensor = tensor.movedim(1, -1).contiguous().movedim(-1, 1).detach()
            return tensor
        tensor = self.placed(self.ns.from_numpy(array))
        return tensor.to(memory_format=self._format(tensor)) if tensor.ndim > 3 else tensor

    def model(self, network: models.Network) -> Any:
        """The network with weights that every engine shares."""
        model = network.build(self.ns)
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        state = models.initial_state(shapes)
        model.load_state_dict({name: self.ns.tensor(value) for name, value in state.items()})
        model = self.placed(model)
        if self.channels_last and self.is_torch:
            for parameter in model.parameters():
                if parameter.ndim > 3:
                    parameter.data = parameter.data.to(memory_format=self._format(parameter))
        return self._compiled(model)

    def _compiled(self, thing: Any) -> Any:
        return self.ns.compile(thing) if self.compiles else thing

    def _format(self, tensor: Any) -> Any:
        if not self.channels_last:
            return self.ns.contiguous_format
        return self.ns.channels_last if tensor.ndim == 4 else self.ns.channels_last_3d


def loaded_versions(*names: str) -> dict[str, str]:
    """The versions of those packages that this process has imported."""
    loaded = [name for name in names if name in sys.modules]
    return {name: importlib.metadata.version(name.replace("_", "-")) for name in loaded}
