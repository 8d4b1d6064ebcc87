"""One engine in a process of its own: builds a workload, then runs it when told to.

Reads one JSON request per line and answers with one JSON line. Started by ``__main__``; never
imports two engines.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import models
import numpy as np


class Engine:
    """What differs between the engines: how arrays enter and leave, and how memory is laid out."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name, self.device = name, device
        started = time.perf_counter()
        if name.startswith("torch"):
            import torch as ns
        else:
            import tinygrad_cv as ns
        self.import_s = time.perf_counter() - started
        self.ns: Any = ns
        if name.startswith("torch"):  # float32 products are exact on both sides
            ns.backends.cudnn.allow_tf32 = ns.backends.cuda.matmul.allow_tf32 = False

    def placed(self, thing: Any) -> Any:
        """A tensor or a module on the device that is measured."""
        return thing if self.device == "cpu" else thing.to(self.device)

    def wait(self) -> None:
        """Until the device has done everything that it was asked to do."""
        if self.device == "cpu":
            return
        if self.name.startswith("torch"):
            self.ns.cuda.synchronize()
        else:
            import cupy

            cupy.cuda.Device().synchronize()

    def versions(self) -> dict[str, str]:
        """Versions of what is loaded in this process."""
        names = ("numpy", "scipy", "numba", "torch", "tinygrad_cv")
        loaded = {n: sys.modules[n] for n in names if n in sys.modules}
        return {n: str(getattr(m, "__version__", "?")) for n, m in loaded.items()}

    def tensor(self, array: np.ndarray) -> Any:
        """A constant tensor; images take the engine's memory layout."""
        if not self.name.startswith("torch"):
            return self.placed(self.ns.tensor(array))
        tensor = self.placed(self.ns.from_numpy(array))
        return tensor.to(memory_format=self._format(tensor)) if tensor.ndim > 3 else tensor

    def model(self, network: models.Network) -> Any:
        """The network with weights that every engine shares."""
        model = network.build(self.ns)
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        state = models.initial_state(shapes)
        model.load_state_dict({name: self.ns.tensor(value) for name, value in state.items()})
        model = self.placed(model)
        if self.name == "torch_channels_last":
            for parameter in model.parameters():
                if parameter.ndim > 3:
                    parameter.data = parameter.data.to(memory_format=self._format(parameter))
        return model

    def _format(self, tensor: Any) -> Any:
        if self.name != "torch_channels_last":
            return self.ns.contiguous_format
        return self.ns.channels_last if tensor.ndim == 4 else self.ns.channels_last_3d


def network_step(engine: Engine, name: str, mode: str, size: int | None) -> Callable[[], float]:
    """A training step or an inference of one network, giving its loss or mean output."""
    network = models.NETWORKS[name]
    model = engine.model(network)
    images, labels = models.batch(network, size)
    x, target = engine.tensor(images), engine.tensor(labels)
    if mode == "infer":
        model.eval()

        def infer() -> float:
            with engine.ns.no_grad():
                return model(x)

        return infer
    functional = engine.ns.nn.functional
    if engine.name.startswith("torch"):
        optimiser = engine.ns.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    else:
        from tinygrad_cv import optim

        optimiser = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train() -> Any:
        optimiser.zero_grad()
        loss = functional.cross_entropy(model(x), target)
        loss.backward()
        optimiser.step()
        return loss

    return train


def chain_step(engine: Engine, variant: str) -> Callable[[], Any]:
    """100 small operators in a row, forward and (unless ``forward``) backward."""
    size = 64 if variant == "64x64" else 4
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((size, size)).astype(np.float32) * 0.5 for _ in range(2))
    ns = engine.ns
    a, b = engine.placed(ns.tensor(first)), engine.placed(ns.tensor(second))
    if variant != "no_grad":
        a.requires_grad_()
        b.requires_grad_()
    ones = engine.placed(ns.tensor(np.ones((size, size), np.float32)))

    def forward() -> Any:
        z = a
        if variant == "scalar":
            for _ in range(50):
                z = z * 0.9 + 0.1
        elif variant == "unary":
            for _ in range(50):
                z = ns.relu(ns.tanh(z))
        elif variant == "row":
            for _ in range(50):
                z = z * row + row
        else:
            for _ in range(50):
                z = z * b + b
        return z

    row = b[0].detach() if variant == "row" else None

    def backward() -> Any:
        z = forward()
        z.backward(ones)
        a.grad = None
        b.grad = None
        return z

    return forward if variant in ("no_grad", "forward") else backward


CHAINS = ("add_mul", "forward", "no_grad", "scalar", "unary", "row", "64x64")


def number(result: Any) -> float:
    """One number that identifies a result."""
    values = np.asarray(result.detach().cpu().numpy(), dtype=np.float64)
    return float(values) if values.ndim == 0 else float(np.abs(values).mean())


def memory_kb(field: str) -> int:
    """A field of /proc/self/status such as VmRSS or VmHWM, in KB; 0 where there is none."""
    try:
        with open("/proc/self/status") as status:
            rows = dict(line.split(":", 1) for line in status)
        return int(rows[field].split()[0])
    except (OSError, KeyError):
        return 0


def reset_peak() -> bool:
    """Makes VmHWM start again at the present size (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return True
    except OSError:
        return False


class Worker:
    """Answers the requests of the benchmark program."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.step: Callable[[], Any] = lambda: None

    def setup(self, workload: str, mode: str, size: int | None = None) -> dict[str, Any]:
        """Builds the workload and runs it three times; the results are compared by the caller."""
        if workload == "small_ops":
            self.step = chain_step(self.engine, mode)
        else:
            self.step = network_step(self.engine, workload, mode, size)
        started = time.perf_counter()
        first = number(self.step())
        first_s = time.perf_counter() - started
        results = [first, number(self.step()), number(self.step())]
        return {"results": results, "first_s": first_s, "import_s": self.engine.import_s}

    def run(self, at_least_s: float) -> dict[str, float]:
        """The step repeated for a while: milliseconds per step, by the clock and of processors."""
        step, count = self.step, 0
        started, busy = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < at_least_s:
            step()
            count += 1
        self.engine.wait()
        elapsed, busy = time.perf_counter() - started, time.process_time() - busy
        return {"ms": elapsed / count * 1e3, "cpu_ms": busy / count * 1e3, "steps": count}

    def memory(self, workload: str) -> dict[str, Any]:
        """Peak resident memory of training steps, above this process after a step of one sample."""
        network_step(self.engine, workload, "train", 1)()
        base = memory_kb("VmRSS")
        exact = reset_peak()
        step = network_step(self.engine, workload, "train", None)
        for _ in range(3):
            step()
        return {"mb": (memory_kb("VmHWM") - base) / 1024, "base_mb": base / 1024, "exact": exact}

    def versions(self) -> dict[str, str]:
        """What this process has loaded."""
        return self.engine.versions()


def main() -> None:
    """Serves requests until standard input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # nothing that a library prints may mix with the answers
    provider = "reference" if sys.argv[1] == "ours_numpy" else None
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(Engine(*sys.argv[1:3]))
                if provider:
                    from tinygrad_cv.backend import kernels

                    forced = kernels.use(provider)  # named: it ends when nothing holds it
                    forced.__enter__()
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            answer = {"error": reason, "where": f"{where.filename}:{where.lineno}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
