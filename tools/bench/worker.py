"""One engine in a process of its own: builds a workload, then runs it when told to.

Reads one JSON request per line and answers with one JSON line. Started by ``process.py``; never
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
import operators
import peers
from native import Engine


def engine_of(name: str, device: str) -> Any:
    """The engine of that name, imported only now."""
    if name in peers.NAMES:
        return peers.engine(name, device)
    try:
        return Engine(name, device)
    except ImportError as error:
        raise ImportError(f"{error}; pip install -e '.[test]'") from None


def numbers(result: Any) -> list[float]:
    """Numbers that identify a result: a scalar itself; of an array its mean size, the same with
    weights that tell places apart, the same after a shift that tells signs apart, and its maximum.
    """
    if isinstance(result, (tuple, list)):
        return [number for part in result for number in numbers(part)]
    for leave in ("detach", "cpu", "numpy"):
        if hasattr(result, leave):
            result = getattr(result, leave)()
    values = np.asarray(result, np.float64).ravel()
    if values.size == 1:
        return [float(values[0])]
    sizes = np.abs(values)
    mean = sizes.mean()
    placed = sizes @ (1 + np.cos(np.arange(values.size))) / values.size
    return [float(n) for n in (mean, placed, np.abs(values + mean).mean(), sizes.max())]


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

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.steps: dict[str, Callable[[], Any]] = {}

    def setup(
        self,
        workload: str,
        mode: str,
        batch: int | None = None,
        depth: int | None = None,
        size: int | None = None,
    ) -> dict[str, Any]:
        """Builds the workload and runs it three times; the results are compared by the caller."""
        if workload == "small_ops":
            step = self.engine.chain_step(mode)
        else:
            step = self.engine.network_step(models.chosen(workload, batch, depth, size), mode)
        self.steps = {mode: step}
        started = time.perf_counter()
        results = numbers(step())
        self.engine.wait()
        first_s = time.perf_counter() - started
        results += [*numbers(step()), *numbers(step())]
        return {"results": results, "first_s": first_s, "import_s": self.engine.import_s}

    def operator(self, name: str) -> dict[str, Any]:
        """Builds an operator, and gives what identifies its value and its gradients."""
        self.steps = self.engine.operator_steps(operators.OPERATORS[name])
        return {"results": [n for step in self.steps.values() for n in numbers(step())]}

    def run(self, mode: str, at_least_s: float) -> dict[str, float]:
        """A step repeated for a while: milliseconds per step, by the clock and of processors."""
        step, count = self.steps[mode], 0
        started, busy = time.perf_counter(), time.process_time()
        while time.perf_counter() - started < at_least_s:
            step()
            count += 1
        self.engine.wait()
        elapsed, busy = time.perf_counter() - started, time.process_time() - busy
        return {"ms": elapsed / count * 1e3, "cpu_ms": busy / count * 1e3, "steps": count}

    def memory(self, workload: str) -> dict[str, Any]:
        """Peak resident memory of training steps, above this process after a step of one sample."""
        self.engine.network_step(models.chosen(workload, batch=1), "train")()
        base = memory_kb("VmRSS")
        exact = reset_peak()
        step = self.engine.network_step(models.chosen(workload), "train")
        for _ in range(3):
            step()
        return {"mb": (memory_kb("VmHWM") - base) / 1024, "base_mb": base / 1024, "exact": exact}

    def kernels(self) -> dict[str, Any]:
        """How many kernels this process compiled or loaded."""
        return {"kernels": self.engine.kernels()}

    def versions(self) -> dict[str, Any]:
        """What this process has loaded."""
        return {"versions": self.engine.versions()}


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
                worker = Worker(engine_of(*sys.argv[1:3]))
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
