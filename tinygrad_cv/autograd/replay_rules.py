"""Each gradient rule of one recorded node, against differences of its forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.autograd.differences import numpy_of
from tinygrad_cv.autograd.probe import BrokenRule, Outcome, Probe, size_of
from tinygrad_cv.autograd.replay import Replay, Verdict
from tinygrad_cv.backend import kernels
from tinygrad_cv.errors import TinygradError

__all__ = ["check_rule"]

# To leave a kink, each element moves by 2 to 10 % of its own size: by more than the first step of
# the differences (0.1 %, times 1.5) takes it back, and not so far that it would be another input.
SHIFT = (0.02, 0.1)
# An element near 0 moves as one of this part of the typical size: 2 % of that is 4 steps away.
NEAR_ZERO = 0.3
# Away from 0 and towards it, since one of them may leave the domain; then with other amounts.
TRIES = (1.0, -1.0, 1.0, -1.0)


def check_rule(replay: Replay, k: int) -> tuple[Verdict, Any]:
    """The rule of one input, in float64 by the reference, along random directions; and the
    gradient that it gives."""
    part = f"vjp_{replay.name_of(k)}"
    if not replay.in_float64:
        return Verdict("open", part, "the operator does not compute in float64"), None
    try:
        with kernels.use("reference"):
            probe = Probe(replay, replay.exact, k)
            kind, text, _ = _judged(replay, k, probe.outcome())
            return Verdict(kind, part, text), probe.gradient
    except BrokenRule as problem:
        return Verdict("fault", part, str(problem)), None


def _judged(replay: Replay, k: int, here: Outcome) -> Outcome:
    """At a kink, or where rounding drowns the slope, the differences say nothing of the rule: look
    at inputs beside these."""
    if here.kind not in ("open", "weak"):
        return here
    for moved, where in _beside(replay, k, here):
        try:
            run = replay.at(k, moved)
        except (TinygradError, ValueError):  # outside the domain
            continue
        found = Probe(replay, run, k).outcome()
        if found.kind == "fault":
            return Outcome("fault", f"{found.text}, at inputs {where}")
        if found.kind in ("right", "kink"):
            kind = "right" if here.kind == "weak" else "kink" if here.bends else "open"
            return Outcome(kind, f"{here.text}; it is right at inputs {where}")
    if here.kind == "weak":
        return Outcome("right", here.text)
    return Outcome("open", f"the differences do not settle ({here.text})")


def _beside(replay: Replay, k: int, here: Outcome) -> Iterator[tuple[np.ndarray, str]]:
    values = numpy_of(replay.exact.inputs[k])
    size = size_of(values)
    for sign in TRIES:
        amount = replay.rng.uniform(*SHIFT, values.shape)
        away = np.where(values != 0, np.sign(values), replay.rng.choice([-1.0, 1.0], values.shape))
        moved = values + sign * amount * away * np.maximum(np.abs(values), NEAR_ZERO * size)
        yield moved, "shifted off a kink" if here.bends else "beside them"
    yield values / size_of(values, np.max), "of size 1"
