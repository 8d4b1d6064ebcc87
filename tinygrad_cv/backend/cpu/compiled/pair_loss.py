"""Losses of two tensors, element by element: the formulas of one number, as the kernels run them.

Of each loss there are three kernels: its values, their sum, and its slope, which is the derivative
with respect to x times ``scale``. The letters are x, an input, t, its target, v, a variance. What a
condition chooses is computed before it: LLVM then chooses without a branch, in vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.cpu.compiled.each import FLOATS, each, summed
from tinygrad_cv.backend.cpu.compiled.functions import exact, log1p

__all__ = ["SLOPES", "SUMS", "VALUES"]

_F = np.float32
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)
_LEAST, _TINY, _NAN = _F(-100), _F(1e-12), _F(np.nan)


@exact
def _less(a, b):
    """The lesser of two; a if it is NaN."""
    return b if a > b else a


@exact
def _within(x, bound):
    """x cut off at -bound and bound."""
    return -bound if x < -bound else _less(x, bound)


@exact
def _log_rest(x):
    """ln(1 - x) for 0 <= x <= 1: what rounding takes from 1 - x is given back."""
    rest = _ONE - x
    taken = rest - _ONE
    found = functions.log(rest) * (-x / taken)
    return found if taken != _ZERO else -x


@exact
def _soft(x):
    """ln(1 + e^x)."""
    return (x if x > _ZERO else _ZERO) + log1p(functions.exp(-abs(x)))


def mse_loss(x, t):
    """(x - t)^2."""
    d = x - t
    return d * d


def mse_loss_slope(x, t, scale):
    """2 (x - t)."""
    return scale * (_TWO * (x - t))


def l1_loss(x, t):
    """|x - t|."""
    return abs(x - t)


def l1_loss_slope(x, t, scale):
    """The sign of x - t."""
    return scale * (_F(x > t) - _F(x < t))


def smooth_l1_loss(x, t, beta):
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2."""
    size = abs(x - t)
    near = _less(size, beta)
    return (size - _HALF * near) * (near / beta)


def smooth_l1_loss_slope(x, t, beta, scale):
    """d / beta cut off at -1 and 1."""
    return scale * (_within(x - t, beta) / beta)


def huber_loss(x, t, delta):
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)."""
    size = abs(x - t)
    near = _less(size, delta)
    return (size - _HALF * near) * near


def huber_loss_slope(x, t, delta, scale):
    """d cut off at -delta and delta."""
    return scale * _within(x - t, delta)


def binary_cross_entropy(x, t):
    """-(t ln x + (1 - t) ln(1 - x)), logarithms not below -100; NaN outside [0, 1]."""
    one, other = functions.log(x), _log_rest(x)
    one = one if one > _LEAST else _LEAST
    other = other if other > _LEAST else _LEAST
    found = (t - _ONE) * other - t * one
    return found if (x >= _ZERO) & (x <= _ONE) else _NAN


def binary_cross_entropy_slope(x, t, scale):
    """(x - t) / (x (1 - x))."""
    spread = (_ONE - x) * x
    return scale * ((x - t) / (spread if spread > _TINY else _TINY))


def bce_with_logits(x, t):
    """(1 - t) x + ln(1 + e^-x)."""
    return (_ONE - t) * x + _soft(-x)


def bce_with_logits_slope(x, t, scale):
    """s(x) - t."""
    return scale * (functions.sigmoid(x) - t)


def kl_div(x, t):
    """t (ln t - x), t ln t being 0 at 0."""
    entropy = t * functions.log(t)
    return (entropy if t != _ZERO else _ZERO) - t * x


def kl_div_slope(x, t, scale):
    """-t."""
    return -scale * t


def kl_div_log(x, t):
    """e^t (t - x)."""
    return functions.exp(t) * (t - x)


def kl_div_log_slope(x, t, scale):
    """-e^t."""
    return -scale * functions.exp(t)


def poisson_nll_loss(x, t):
    """e^x - t x."""
    return functions.exp(x) - t * x


def poisson_nll_loss_slope(x, t, scale):
    """e^x - t."""
    return scale * (functions.exp(x) - t)


def gaussian_nll_loss(x, t, v, eps):
    """(ln w + (x - t)^2 / w) / 2 with w = v, at least eps; NaN if v is negative."""
    w = v if v > eps else eps
    d = x - t
    found = _HALF * (functions.log(w) + d * d / w)
    return found if v >= _ZERO else _NAN


def gaussian_nll_loss_slope(x, t, v, eps, scale):
    """(x - t) / w."""
    return scale * ((x - t) / (v if v > eps else eps))


def gaussian_nll_loss_spread(x, t, v, eps, scale):
    """The derivative with respect to v: (1 - (x - t)^2 / w) / (2 w)."""
    w = v if v > eps else eps
    d = x - t
    return scale * (_HALF * (_ONE - d * d / w) / w)


def focal_loss(x, t, positive, negative):
    """a q^2 c with c the cross-entropy, q = 1 - p_t and a the weight of the class."""
    s = functions.sigmoid(x)
    q = s * (_ONE - t) + (_ONE - s) * t
    weight = positive * t + negative * (_ONE - t)
    return weight * (q * q) * ((_ONE - t) * x + _soft(-x))


def focal_loss_slope(x, t, positive, negative, scale):
    """a q ((s - t) q + 2 c q') with q' = s (1 - s) (1 - 2 t)."""
    s = functions.sigmoid(x)
    r = _ONE - s
    q = s * (_ONE - t) + r * t
    weight = positive * t + negative * (_ONE - t)
    cross = (_ONE - t) * x + _soft(-x)
    return scale * (weight * q * ((s - t) * q + _TWO * cross * (s * r * (_ONE - _TWO * t))))


_PAIRS: list[Any] = [mse_loss, l1_loss, smooth_l1_loss, huber_loss, binary_cross_entropy]
_PAIRS += [bce_with_logits, kl_div, kl_div_log, poisson_nll_loss, focal_loss]
_PAIR_SLOPES: list[Any] = [mse_loss_slope, l1_loss_slope, smooth_l1_loss_slope, huber_loss_slope]
_PAIR_SLOPES += [binary_cross_entropy_slope, bce_with_logits_slope, kl_div_slope]
_PAIR_SLOPES += [kl_div_log_slope, poisson_nll_loss_slope, focal_loss_slope]
_TRIPLE_SLOPES = (gaussian_nll_loss_slope, gaussian_nll_loss_spread)

VALUES = {f.__name__: each(FLOATS, FLOATS)(f) for f in _PAIRS}
VALUES["gaussian_nll_loss"] = each(FLOATS, FLOATS, FLOATS)(gaussian_nll_loss)
SUMS = {f.__name__: summed(FLOATS, FLOATS)(f) for f in _PAIRS}
SUMS["gaussian_nll_loss"] = summed(FLOATS, FLOATS, FLOATS)(gaussian_nll_loss)
SLOPES = {f.__name__: each(FLOATS, FLOATS)(f) for f in _PAIR_SLOPES}
SLOPES |= {f.__name__: each(FLOATS, FLOATS, FLOATS)(f) for f in _TRIPLE_SLOPES}
