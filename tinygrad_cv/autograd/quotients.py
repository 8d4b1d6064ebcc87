"""Difference quotients of every output of an operator by itself, with what each is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_cv.autograd.differences import EXACT, FLAT, MARGIN, ROUNDING, SETTLED, TINY

__all__ = ["Curve", "Quotients", "quotients"]

Curve = Callable[[float], np.ndarray]

# The first as in ``differences``; the others for kinks, the last for what is 1e-9 away from one.
STEPS = (1e-3, 1e-5, 1e-7, 1e-9)
# Of the second difference at the smallest step: what rounding makes of it, in units of ROUNDING.
NOISE = 64


class Quotients(NamedTuple):
    """The derivative of each output along one direction.

    Attributes:
        here: the outputs themselves.
        slope, bound: the derivative, and how far it may be off: what the last halving of the step
            changed in the slope and in the bend, and rounding.
        central: by the smallest step alone.
        rounding: what rounding leaves of it.
        bend: the second difference at the smallest step, which at a kink is as large as it.
        flat: nothing moved at the step that was kept.
    """

    here: np.ndarray
    slope: np.ndarray
    bound: np.ndarray
    central: np.ndarray
    rounding: np.ndarray
    bend: np.ndarray
    flat: np.ndarray

    def settled(self, wanted: np.ndarray | None = None) -> np.ndarray:
        """Where the derivative is known: not at a kink, at a jump or outside the domain, and not
        where rounding drowns it; of ``wanted`` outputs, if only they count.

        >>> found = quotients(lambda t: np.array([t * t + t, abs(t)]))
        >>> found.settled(), round(float(found.slope[0]), 9)
        (array([ True, False]), 1.0)
        """
        wanted = np.ones(self.here.shape, bool) if wanted is None else wanted
        size = np.abs(self.slope)
        sure = (self.bound <= SETTLED * size) & wanted
        typical = float(size[sure].mean()) if sure.any() else 0.0
        allowed = SETTLED * np.maximum(size, typical) + FLAT * np.maximum(np.abs(self.here), TINY)
        found: np.ndarray = ((self.bound <= allowed) | self.flat) & wanted
        return found

    def noisy(self, size: float) -> np.ndarray:
        """Where no more bend is seen than rounding makes of numbers of this size.

        >>> quotients(lambda t: np.array([t * t + t, abs(t)])).noisy(1.0)
        array([ True, False])
        """
        allowed = NOISE * ROUNDING * np.maximum(np.abs(self.here), size)
        found: np.ndarray = np.abs(self.bend) <= allowed
        return found

    def sums(self, one: Quotients, two: Quotients) -> np.ndarray:
        """Where the derivative along the sum of two directions is the sum of both, as it must be.
        The median of equal numbers has a derivative along every direction, and is not linear.

        >>> def along(v):
        ...     return quotients(lambda t: np.array([np.median(t * np.array(v))]))
        >>> along([1.0, 1.0, 2.0]).sums(along([1.0, 0.0, 0.0]), along([0.0, 1.0, 2.0]))
        array([ True])
        >>> along([1.0, 3.0, 2.0]).sums(along([1.0, 0.0, 0.0]), along([0.0, 3.0, 2.0]))
        array([ True])
        >>> along([4.0, 3.0, 2.0]).sums(along([4.0, 0.0, 0.0]), along([0.0, 3.0, 2.0]))
        array([False])
        """
        size = np.abs(self.slope) + np.abs(one.slope) + np.abs(two.slope)
        allowed = MARGIN * (self.bound + one.bound + two.bound) + EXACT * size
        found: np.ndarray = np.abs(self.slope - one.slope - two.slope) <= allowed
        return found


def quotients(
    function: Curve,
    largest: float = 0.0,
    wanted: np.ndarray | None = None,
    careful: bool = False,
) -> Quotients:
    """The derivative of every element of ``function`` at 0, by differences extrapolated once, as
    :func:`~tinygrad_cv.autograd.differences.directional_derivative` has them::

        d(h) = (f(h) - f(-h)) / (2h),   s(h) = (f(h) - 2f(0) + f(-h)) / h
        derivative = (4 d(h/2) - d(h)) / 3
        bound = |d(h/2) - d(h)| / 3 + |s(h) - 2 s(h/2)| / 2 + rounding

    For a smooth function both changes are of order h^2 and h^3. At one kink inside the step, three
    times the bound is never less than the error, wherever it lies: s is the gap between the slopes
    to both sides, which a kink does not let shrink. Each element keeps the best of ``STEPS``.

    Args:
        largest: how large numbers inside the function may be. Where nothing moves, a change may
            have been lost beside them: of log(1 + exp(-40)) nothing is left.
        wanted: the elements that count; default: all.
        careful: take all steps, beginning with the smallest, and carry what smaller ones show of
            the noise of the function to the larger ones. Else end with the first step that is right
            for all elements.

    >>> found = quotients(lambda t: np.exp([t, 2 * t]))
    >>> bool((np.abs(found.slope - [1, 2]) <= found.bound).all())
    True
    """
    here = function(0.0)
    slope, bound = np.full(here.shape, np.nan), np.full(here.shape, np.inf)
    flat, noise = np.zeros(here.shape, bool), np.zeros(here.shape)
    last = None
    for step in sorted(STEPS, reverse=not careful):
        values = [function(t) for t in (step, -step, step / 2, -step / 2)]
        high, low, mid_high, mid_low = values
        wide, narrow = (high - low) / (2 * step), (mid_high - mid_low) / step
        bend, mid_bend = high - 2 * here + low, mid_high - 2 * here + mid_low
        unmoved = np.logical_and.reduce([v == here for v in values])
        lost = np.where(unmoved, largest, 0.0)
        rounding = ROUNDING * np.maximum(np.maximum(np.abs(high), np.abs(low)), lost) / step
        change = np.abs(narrow - wide) / 3 + np.abs(bend - 4 * mid_bend) / (2 * step)
        if careful:
            noise = np.fmax(noise, np.where(unmoved, rounding, change) * step)
            change = np.maximum(change, noise / step)
        better = change + rounding < bound
        slope = np.where(better, (4 * narrow - wide) / 3, slope)
        bound = np.where(better, change + rounding, bound)
        flat = np.where(better, unmoved, flat)
        if last is None or not careful:  # that of the smallest step
            last = narrow, rounding, mid_bend
        found = Quotients(here, slope, bound, *last, flat)
        if careful:
            continue
        counts = np.ones(here.shape, bool) if wanted is None else wanted
        if found.settled(counts)[counts].all():
            left = np.where(counts & (change > 4 * rounding), bound, 0.0)
            if left.sum() <= EXACT * np.abs(slope[counts]).sum():
                break
    return found
