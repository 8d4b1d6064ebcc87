"""What the look at losses and gradients that are not finite costs in a training step.

    python tools/bench/finite_check.py [lenet,vgg8,...] [--steps 20]

The target is 1 % of a step. Both parts are timed inside the same steps: what backward does with the
loss, and what the optimiser does with the gradients. Run without OPENBLAS_* variables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import models
from native import Engine

from tinygrad_cv.autograd import finite

backward = sys.modules["tinygrad_cv.autograd.backward"]  # its function has the same name


class Clock:
    """Seconds inside the functions that it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            result = function(*args)
            self.seconds += time.perf_counter() - started
            return result

        return timed


def measured(network: str, steps: int) -> tuple[float, float]:
    """Milliseconds of a step and of the look in it, medians."""
    step = Engine("ours").network_step(models.chosen(network), "train")
    for _ in range(3):
        step()
    clock = Clock()
    look, note = finite.FiniteWatch.look, backward.note_loss
    finite.FiniteWatch.look = clock.wrap(look)
    backward.note_loss = clock.wrap(note)
    whole, part = [], []
    try:
        for _ in range(steps):
            clock.seconds, started = 0.0, time.perf_counter()
            step()
            whole.append(time.perf_counter() - started)
            part.append(clock.seconds)
    finally:
        finite.FiniteWatch.look = look
        backward.note_loss = note
    return statistics.median(whole) * 1e3, statistics.median(part) * 1e3


def main() -> None:
    """Prints a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="?", default=",".join(models.NETWORKS))
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    for network in options.networks.split(","):
        step, look = measured(network, options.steps)
        print(f"{network:12s} {step:8.2f} ms a step, {look:6.3f} ms of it {look / step:7.2%}")


if __name__ == "__main__":
    main()
