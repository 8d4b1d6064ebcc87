"""One gradient rule at one set of inputs, against the difference quotients of every output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.differences import (
    EXACT,
    MARGIN,
    ROUNDING,
    Slope,
    numpy_of,
    random_like,
)
from tinygrad_cv.autograd.quotients import Curve, Quotients, quotients
from tinygrad_cv.autograd.replay import Overwritten, Replay, Run
from tinygrad_cv.core.tensor import Tensor

__all__ = ["BrokenRule", "Outcome", "Probe", "size_of"]

# Where an element's own size is the measure, exact zeros move as one of this part of the whole.
LEAST = 1e-8
# Other directions, to see whether the derivative is linear.
DIRECTIONS = 12
# So much more moves along them that they break ties in another way.
MORE = 3
# So few elements seldom stand near a kink, where a sum of all does.
FEW = 16
# A bound that is a larger part of the slope than this lets faults pass.
TELLING = 1e-4
# How many elements without a finite gradient are looked at.
LOST = 4


class BrokenRule(Exception):
    """A rule that writes, raises, or gives another shape."""


class Outcome(NamedTuple):
    """What was seen: ``kind`` is "right", "fault", "kink" (right but for some outputs that have no
    derivative), "open": no output has one that can be measured, or "weak": it agrees, but rounding
    would hide a fault. ``bends`` tells of what is open whether a kink or noise is in the way."""

    kind: str
    text: str
    bends: bool = True


class Probe:
    """The rule of input ``k`` at the inputs of ``run``."""

    def __init__(self, replay: Replay, run: Run, k: int) -> None:
        self.replay, self.run, self.k, self.rng = replay, run, k, replay.rng
        self.values = numpy_of(run.inputs[k])
        self.size = size_of(self.values)
        self.weights = np.concatenate([numpy_of(w).ravel() for w in replay.weights.values()])
        self.live, self.size_of_outputs = np.flatnonzero(self.weights), self.weights.size
        self.weights = self.weights[self.live]
        self.gradient = self._rule()
        self.usable = np.isfinite(self.gradient)
        floats = [x for x in run.inputs if getattr(x, "dtype", None) == np.float64]
        self.largest = max(size_of(numpy_of(x), np.max) for x in floats)

    def outcome(self) -> Outcome:
        if not self.usable.all():
            lost = self._lost()
            if lost is not None:
                return lost
            if not self.usable.any():
                return Outcome("open", f"the rule gives {self.gradient.flat[0]:.12g} everywhere")
        left = np.ones(self.weights.shape, bool)  # outputs that no direction has measured
        found, weak, worst, bends = (
            False,
            False,
            "no output is finite",
            np.zeros(self.weights.shape, bool),
        )
        for number, (arrow, pattern) in enumerate(self._arrows()):
            if number == 2 and found:
                break
            if not left.any():
                break
            measured = self._measured(arrow, pattern, left)
            if measured.fault:
                return Outcome("fault", str(measured.slope))
            found |= bool(measured.known.any())
            weak |= measured.weak
            left &= ~measured.known
            if number == 0:
                worst = str(measured.slope)
                if not measured.known.any():
                    worst = str(self._slope(arrow, self.gradient, measured.quotients, left))
            if number == 0:
                bends = left & measured.bent
                mean = self._mean(arrow, measured.quotients, left)
                if mean is not None and mean.agrees and _tells(mean):
                    left[:] = False
                    found |= mean.scale > 0
        if not found and self.size_of_outputs:
            return Outcome("weak" if weak else "open", worst, bool(bends.any()))
        if (left & bends).any():
            which = (
                f"{int((left & bends).sum())} of {left.size} outputs are at a kink or next to one"
            )
            return Outcome("kink", f"{which}; at the others they agree")
        if not self.usable.all():
            which = f"{int((~self.usable).sum())} of {self.usable.size} elements"
            return Outcome(
                "kink", f"the rule gives no finite number at {which}, nor do differences"
            )
        return Outcome("right", worst)

    # Directions

    def _arrows(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Of the size of the whole input; of each element's own, which does not cross zero; of a
        few elements only; and how much each may move. The signs are those of the gradient, so that
        no term cancels another."""
        random = self._random()
        sign = np.where(self.usable & (self.gradient != 0), np.sign(self.gradient), np.sign(random))
        arrow = np.where(self.usable, np.abs(random) * sign, 0.0)
        yield arrow * self.size, self.size
        own = np.where(np.isfinite(self.values), np.abs(self.values), 0.0)
        own = np.maximum(own, LEAST * self.size)
        yield arrow * own, own
        few = self.rng.permutation(np.flatnonzero(arrow))[:FEW]
        yield self._only(arrow, few) * self.size, self.size

    def _random(self) -> np.ndarray:
        return numpy_of(random_like(Tensor(self.run.inputs[self.k]), self.rng))

    @staticmethod
    def _only(arrow: np.ndarray, places: Any) -> np.ndarray:
        only = np.zeros(arrow.shape)
        only.reshape(-1)[places] = arrow.reshape(-1)[places]
        return only

    def _curve(self, arrow: np.ndarray) -> Curve:
        curve = self.replay.curve(self.run, self.k, arrow)
        if len(self.live) == self.size_of_outputs:
            return curve
        return lambda t: curve(t)[self.live]

    # One direction

    def _measured(self, arrow: np.ndarray, pattern: Any, wanted: np.ndarray) -> _Measured:
        found = quotients(self._curve(arrow), self.largest, wanted)
        known = found.settled(wanted)
        _, slope = self._compared(arrow, found, known)
        bent = wanted & ~known & ~found.noisy(self.largest)
        if not (slope.agrees or not np.isfinite(slope.rule)):
            return self._doubted(arrow, pattern, known, bent)
        return self._agreed(found, known, bent, slope)

    def _doubted(
        self, arrow: np.ndarray, pattern: Any, known: np.ndarray, bent: np.ndarray
    ) -> _Measured:
        """Near many kinks or ties the differences may look smooth, and rounding may repeat itself:
        a fault is what is still there when less and less is left that may be doubted."""
        careful = self._carefully(arrow)
        known = careful.settled(known)
        gradient, slope = self._compared(arrow, careful, known)
        for _ in range(DIRECTIONS):
            if slope.agrees or not known.any():
                break
            other = MORE * self._random() * np.where(self.usable, pattern, 0.0)
            one, both = (
                quotients(self._curve(v), self.largest, known) for v in (other, other + arrow)
            )
            doubts = ~both.sums(one, careful)
            for some in (one, both):
                doubts |= ~some.settled(known) & ~some.noisy(self.largest)
            bent, known = bent | (known & doubts), known & ~doubts
            gradient, slope = self._compared(arrow, careful, known)
        if slope.agrees:
            return self._agreed(careful, known, bent, slope)
        off = abs(slope.rule - slope.differences)
        if known.any() and off <= self._rounding_of_rule(arrow, gradient, known):
            return _Measured(careful, known & False, bent, slope, weak=True)
        fault = bool(known.any()) and self._stays(arrow, gradient, known)
        return _Measured(careful, known & fault, bent, slope, fault)

    def _agreed(
        self, found: Quotients, known: np.ndarray, bent: np.ndarray, slope: Slope
    ) -> _Measured:
        tells = _tells(slope)
        return _Measured(found, known & tells, bent, slope, weak=bool(known.any()) and not tells)

    def _carefully(self, arrow: np.ndarray) -> Quotients:
        return quotients(self._curve(arrow), self.largest, careful=True)

    def _compared(
        self, arrow: np.ndarray, found: Quotients, known: np.ndarray
    ) -> tuple[np.ndarray, Slope]:
        """<rule(g), arrow> beside <g, differences>, with g zero where these are not known."""
        gradient = self.gradient if known.all() else self._gradient(known)
        return gradient, self._slope(arrow, gradient, found, known)

    def _slope(
        self, arrow: np.ndarray, gradient: np.ndarray, found: Quotients, known: np.ndarray
    ) -> Slope:
        if self.replay.op.elementwise:
            worst = self._worst(arrow, gradient, found, known)
            if worst is not None:
                return worst
        terms = gradient[arrow != 0] * arrow[arrow != 0]
        weights = self.weights[known]
        differences = float((weights * found.slope[known]).sum())
        bound = float((np.abs(weights) * found.bound[known]).sum())
        scale = max(float(np.abs(terms).sum()), abs(differences))
        size = float(np.abs(weights * found.here[known]).sum())
        return Slope(float(terms.sum()), differences, bound, scale, size)

    def _worst(
        self, arrow: np.ndarray, gradient: np.ndarray, found: Quotients, known: np.ndarray
    ) -> Slope | None:
        """Each element of the input moves elements of the output that no other moves: the one at
        which rule and differences are apart."""
        weights = np.where(known, self.weights, 0.0)
        slope, bound = (np.where(known, x, 0.0) for x in (found.slope, found.bound))
        rule, differences = gradient * arrow, self._fitted(weights * slope)
        bound = self._fitted(np.abs(weights) * bound)
        bound = bound + ROUNDING * self._fitted(np.abs(weights)) * np.abs(arrow)  # of the rule
        scale = np.maximum(np.abs(rule), np.abs(differences))
        excess = np.abs(rule - differences) - EXACT * scale - MARGIN * bound
        excess = np.where((arrow != 0) & np.isfinite(rule), excess, 0.0)
        if not (excess > 0).any():
            return None
        at = np.argmax(excess)
        size = self._fitted(np.abs(weights * found.here))
        parts = (float(x.reshape(-1)[at]) for x in (rule, differences, bound, scale, size))
        return Slope._make([*parts, False])

    def _fitted(self, values: np.ndarray) -> np.ndarray:
        """Values of the outputs that count, summed to the shape of the input."""
        (weight,) = self.replay.weights.values()
        whole = np.zeros(weight.size)
        whole[self.live] = values
        return self.replay.fitted(self.k, whole.reshape(weight.shape))

    def _gradient(self, known: np.ndarray) -> np.ndarray:
        """What the rule gives of the outputs that are known."""
        flat = np.zeros(self.size_of_outputs)
        flat[self.live] = self.weights * known
        given, start = {}, 0
        for i, w in self.replay.weights.items():
            given[i] = flat[start : start + w.size].reshape(w.shape)
            start += w.size
        return self._rule(self.run.cotangents(given))

    def _rule(self, g: Any = None) -> np.ndarray:
        try:
            return self.replay.fitted(self.k, self.run.rule(self.k, g))
        except Overwritten as problem:
            raise BrokenRule(str(problem)) from None
        except Exception as problem:
            text = f"the rule raised {type(problem).__name__}: {str(problem).splitlines()[0]}"
            raise BrokenRule(text) from problem

    # Is a difference a fault?

    def _rounding_of_rule(
        self, arrow: np.ndarray, gradient: np.ndarray, known: np.ndarray
    ) -> float:
        """How far rounding may take what the rule gives: sigmoid(x) - 1 is right to one part of
        1e16 of 1, and the inverse of a matrix that is nearly singular to a few digits."""
        least = ROUNDING * float(np.abs(arrow).sum()) * float(np.abs(self.weights[known]).max())
        moved = self.values * (1 + ROUNDING * self._random())
        near = Probe(self.replay, self.replay.at(self.k, moved), self.k)
        change = (near._gradient(known) - gradient)[arrow != 0] * arrow[arrow != 0]
        finite = np.abs(change[np.isfinite(change)])
        return max(least, MARGIN * float(finite.sum()))

    def _stays(self, arrow: np.ndarray, gradient: np.ndarray, known: np.ndarray) -> bool:
        """True if the difference is still there when fewer and fewer elements move: a sum over
        many kinks passes for a slope, a single one does not."""
        places = self.rng.permutation(np.flatnonzero(arrow))
        while len(places) > 1:
            for half in np.array_split(places, 2):
                only = self._only(arrow, half)
                found = self._carefully(only)
                slope = self._slope(only, gradient, found, known)
                if not slope.agrees:
                    places = half
                    break
                limit = float((np.abs(self.weights) * found.rounding)[known].sum())
                if MARGIN * slope.bound > EXACT * slope.scale and slope.bound <= 2 * limit:
                    return True  # a part is too small to be seen beside rounding
            else:
                return False
        return True

    # What the rule leaves open

    def _mean(self, arrow: np.ndarray, found: Quotients, left: np.ndarray) -> Slope | None:
        """Differences across a kink are the mean of the slopes to both sides, which is what the
        rule of abs gives, too."""
        if not left.any() or not np.isfinite(found.central[left]).all():
            return None
        central = found._replace(slope=found.central, bound=found.rounding)
        return self._compared(arrow, central, left)[1]

    def _lost(self) -> Outcome | None:
        """A rule that gives NaN or infinity where the function has a finite slope."""
        outputs = [numpy_of(self.run.results[i]) for i in self.replay.weights]
        wrong = [~np.isfinite(y) for y in outputs]
        excused = ~np.isfinite(self.values)
        if any(w.any() for w in wrong):
            if not self.replay.op.elementwise:
                return None
            excused |= self.replay.fitted(self.k, wrong[0].astype(np.float64)) != 0
        places = np.flatnonzero(~self.usable & ~excused)
        for j in self.rng.permutation(places)[:LOST]:
            for size in (self.size, abs(float(self.values.reshape(-1)[j]))):
                arrow = self._only(np.full(self.values.shape, size), j)
                found = quotients(self.replay.curve(self.run, self.k, arrow), self.largest)
                fine = found.settled() | ~np.isfinite(found.here)
                if size and fine.all() and not _jumps(found):
                    known = np.ones(self.weights.shape, bool)
                    live = Quotients(*(part[self.live] for part in found))
                    slope = self._slope(arrow, self.gradient, live, known)
                    at = [int(i) for i in np.unravel_index(j, self.values.shape)]
                    return Outcome("fault", f"{slope}, along element {at} alone")
        return None


class _Measured(NamedTuple):
    quotients: Quotients
    known: np.ndarray
    bent: np.ndarray
    slope: Slope
    fault: bool = False
    weak: bool = False


def _tells(slope: Slope) -> bool:
    """True if the differences are exact enough to say something, or both are zero."""
    tells = slope.bound <= TELLING * slope.scale or not slope.scale
    return tells and bool(np.isfinite(slope.rule))


def size_of(values: np.ndarray, mean: Any = None) -> float:
    """The size of typical elements: the root of their mean square, or what ``mean`` makes of the
    absolute ones; 1 if all are zero."""
    finite = np.abs(values[np.isfinite(values)])
    top = float(finite.max(initial=0.0))
    if not top:
        return 1.0
    return top if mean is np.max else top * float(np.sqrt(np.square(finite / top).mean()))


def _jumps(found: Quotients) -> bool:
    """True if an output that is not finite becomes so."""
    wrong = ~np.isfinite(found.here)
    return bool((np.isfinite(found.central) & wrong).any())
