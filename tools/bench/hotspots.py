"""Where a training step spends its time: by operator, forward and backward, and by function.

    python tools/bench/hotspots.py lenet [--steps 20] [--functions 25] [--cpu]

The table by operator wraps every kernel with a clock, so it counts the kernel and not the
bookkeeping. ``--cpu`` uses one BLAS thread and counts its processor time, which other work on the
machine disturbs least. Run without OPENBLAS_* variables.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

CPU_TIME = "--cpu" in sys.argv
PINNED = [name for name in os.environ if name.startswith("OPENBLAS_")]
if CPU_TIME:  # before NumPy starts its threads
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
now: Callable[[], float] = time.thread_time if CPU_TIME else time.perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import models  # noqa: E402
from native import Engine  # noqa: E402

from tinygrad_cv.backend import dispatch  # noqa: E402
from tinygrad_cv.core import engine  # noqa: E402


class Clock:
    """Time and calls by name; nested calls are taken out of the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def wrap(self, function: Any, name_of: Any) -> Any:
        """The function, timed under ``name_of(*args)``."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            started = now()
            try:
                return function(*args, **kwargs)
            finally:
                elapsed = now() - started
                inner = self._inner.pop()
                self._inner[-1] += elapsed
                name = name_of(*args)
                self.seconds[name] += elapsed - inner
                self.calls[name] += 1

        return timed


def by_operator(step: Any, steps: int) -> None:
    """A table of the kernels that ran, by operator and by shape."""
    clock = Clock()
    original = dispatch._run

    def name_of(operator: Any, arrays: Any, *_: Any) -> str:
        shapes = " ".join("x".join(map(str, getattr(a, "shape", ()))) for a in arrays[:2])
        return f"{operator.name:24s} {shapes}"

    rules = engine.run_rules
    dispatch._run = clock.wrap(original, name_of)
    engine.run_rules = clock.wrap(rules, lambda plan, *_: f"{plan.op.name + '.vjp':24s}")
    started = now()
    try:
        for _ in range(steps):
            step()
    finally:
        dispatch._run, engine.run_rules = original, rules
    total = (now() - started) / steps * 1e3
    rows = sorted(clock.seconds.items(), key=lambda item: -item[1])
    kernels = sum(clock.seconds.values()) / steps * 1e3
    print(f"{total:.2f} ms per step, {kernels:.2f} ms of it in kernels (clock included)")
    for name, seconds in rows[:40]:
        ms = seconds / steps * 1e3
        print(f"{ms:9.3f} ms {ms / total:6.1%} {clock.calls[name] / steps:6.1f} x  {name}")


def main() -> None:
    """Builds the network, profiles some training steps twice and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network")
    parser.add_argument("--mode", default="train", choices=["train", "infer"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--functions", type=int, default=30)
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread")
    options = parser.parse_args()
    if PINNED:
        print(f"NOTE: {', '.join(PINNED)} set: BLAS is slower than on a user's machine")
    step = Engine("ours").network_step(models.chosen(options.network), options.mode)
    for _ in range(3):
        step()
    by_operator(step, options.steps)
    profile = cProfile.Profile(now)
    profile.enable()
    for _ in range(options.steps):
        step()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(options.functions)


if __name__ == "__main__":
    main()
