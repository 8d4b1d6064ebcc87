"""Each gradient rule of one recorded node, against differences of its forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_cv.autograd.differences import Slope, numpy_of, random_like, slope
from tinygrad_cv.autograd.replay import Overwritten, Replay, Run, Verdict
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import TinygradError

__all__ = ["check_rule"]

# To leave a kink, each element moves by 2 to 10 % of its own size: by more than the first step of
# the differences (0.1 %, times 1.5) takes it back, and not so far that it would be another input.
SHIFT = (0.02, 0.1)
# An element near 0 moves as one of this part of the typical size: 2 % of that is 4 steps away.
NEAR_ZERO = 0.3
# The least step of an element there, so that an input of zeros moves at all.
LEAST_STEP = 0.1
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
            gradient = replay.fitted(k, replay.exact.rule(k))
            return _judged(replay, k, part, gradient), gradient
    except Overwritten as problem:
        return Verdict("fault", part, str(problem)), None
    except (TinygradError, TypeError, ValueError, AttributeError, IndexError) as problem:
        text = f"the rule raised {type(problem).__name__}: {str(problem).splitlines()[0]}"
        return Verdict("fault", part, text), None


def _judged(replay: Replay, k: int, part: str, gradient: np.ndarray) -> Verdict:
    arrows = _arrows(replay, k)
    here = _along(replay, replay.exact, k, gradient, next(arrows))
    if here.kind in ("right", "fault"):
        return Verdict(here.kind, part, str(here))
    own = _along(replay, replay.exact, k, gradient, next(arrows))
    if own.kind == "right":
        return Verdict("kink", part, f"{here}; away from it: {own}")
    if own.kind == "fault":
        return Verdict("fault", part, str(own))
    return _beside(replay, k, part, here)


def _along(replay: Replay, run: Run, k: int, gradient: np.ndarray, arrow: np.ndarray) -> Slope:
    return slope([gradient], [arrow], replay.along(run, k, arrow))


def _arrows(replay: Replay, k: int) -> Iterator[np.ndarray]:
    """Directions to look along: of the size of the whole input, then of each element's own, which
    leaves zeros alone and never crosses them."""
    values, random = _values(replay, k), _random(replay, k)
    yield random * _size(values)
    yield random * np.where(np.isfinite(values), np.abs(values), 0.0)


def _beside(replay: Replay, k: int, part: str, here: Slope) -> Verdict:
    """At a kink the differences say nothing of the rule: look at inputs shifted off it."""
    values = _values(replay, k)
    size = _size(values)
    for sign in TRIES:
        amount = replay.rng.uniform(*SHIFT, values.shape)
        away = np.where(values != 0, np.sign(values), replay.rng.choice([-1.0, 1.0], values.shape))
        moved = values + sign * amount * away * np.maximum(np.abs(values), NEAR_ZERO * size)
        run = replay.at(k, moved)
        arrow = _random(replay, k) * np.maximum(np.abs(moved), LEAST_STEP * size)
        found = _along(replay, run, k, replay.fitted(k, run.rule(k)), arrow)
        if found.kind == "right":
            return Verdict("kink", part, f"{here}; beside it they agree")
        if found.kind == "fault" or _is_lost(found, run):
            return Verdict("fault", part, f"{found}, at inputs shifted off a kink")
    return Verdict("open", part, f"the differences do not settle ({here})")


def _is_lost(found: Slope, run: Run) -> bool:
    """True if the rule gives no finite number where everything else is finite."""
    known = [x for x in (*run.inputs, *run.results) if getattr(x, "dtype", None) == np.float64]
    finite = all(np.isfinite(numpy_of(x)).all() for x in known)
    return finite and found.settled and not np.isfinite(found.rule)


def _values(replay: Replay, k: int) -> np.ndarray:
    return numpy_of(replay.exact.inputs[k])


def _random(replay: Replay, k: int) -> np.ndarray:
    return numpy_of(random_like(Tensor(replay.exact.inputs[k]), replay.rng))


def _size(values: np.ndarray) -> float:
    """The size of typical elements: the root of their mean square, 1 if all are zero."""
    finite = values[np.isfinite(values)]
    top = float(np.abs(finite).max(initial=0.0))
    return top * float(np.sqrt(np.square(finite / top).mean())) if top else 1.0
