"""Elementwise operators and their gradients: the formulas of one number, as the kernels run them.

Gradients take g, then what their rule reads: x, an input, or y, the output.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_cv.backend.cpu.compiled import functions
from tinygrad_cv.backend.cpu.compiled.each import FLOATS, TRUTHS, each
from tinygrad_cv.backend.cpu.compiled.functions import exact, expm1, log1p, tail

__all__ = ["celu", "celu_gradient", "divide", "elu", "elu_gradient", "exp", "gelu"]
__all__ += ["gelu_gradient", "gelu_tanh", "gelu_tanh_gradient", "hardshrink", "hardsigmoid"]
__all__ += ["hardsigmoid_gradient", "hardswish", "hardswish_gradient", "hardtanh"]
__all__ += ["hardtanh_gradient", "leaky_relu", "log", "logsigmoid", "logsigmoid_gradient"]
__all__ += ["masked_scale", "mish", "mish_gradient", "negative", "relu", "relu_gradient", "selu"]
__all__ += ["selu_gradient", "sigmoid", "sigmoid_gradient", "silu", "silu_gradient", "softplus"]
__all__ += ["softplus_gradient", "softshrink", "softsign", "softsign_gradient", "sqrt"]
__all__ += ["sqrt_gradient", "tanh", "tanh_gradient"]

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_HALF, _THREE, _FOUR, _SIX = np.float32(0.5), np.float32(3), np.float32(4), np.float32(6)
_DENSITY = np.float32(1 / math.sqrt(2 * math.pi))
_LINEAR = np.float32(2 * math.sqrt(2 / math.pi))  # 2 u = LINEAR x + CUBIC x^3 in GeluTanh
_SCALE = np.float32(1.0507009873554805)  # of Selu
_DEEP = np.float32(1.0507009873554805 * 1.6732632423543772)
_FLAT = np.float32(20)  # beyond, tanh(softplus(x)) is 1
_CUBIC, _SLOPE = np.float32(0.044715) * _LINEAR, np.float32(3 * 0.044715) * _LINEAR


@each(FLOATS)
def negative(x):
    """-x."""
    return -x


@each(FLOATS, FLOATS)
def divide(a, b):
    """a / b."""
    return a / b


@each(FLOATS, TRUTHS)
def masked_scale(x, mask, scale):
    """x mask scale, the mask being 0 or 1; so NaN and infinity stay NaN where it is 0."""
    return x * np.float32(mask) * scale


@each(FLOATS)
def relu(x):
    """max(x, 0), NaN where x is."""
    return _ZERO if x <= _ZERO else x


@each(FLOATS, FLOATS)
def relu_gradient(g, y):
    """g where y is not 0."""
    return g if y != _ZERO else _ZERO


@each(FLOATS, FLOATS)
def leaky_relu(s, x, slope):
    """s if x > 0 else slope s: with s = x the function, with s = g its gradient."""
    return s if x > _ZERO else slope * s


@each(FLOATS)
def hardtanh(x, low, high):
    """min(max(x, low), high), NaN where x is."""
    above = low if x <= low else x
    return high if above >= high else above


@each(FLOATS, FLOATS)
def hardtanh_gradient(g, x, low, high):
    """g where x is neither at a bound nor beyond."""
    return _ZERO if (x <= low) | (x >= high) else g


@each(FLOATS)
def elu(x, alpha):
    """x if x > 0 else alpha (e^x - 1)."""
    return x if x > _ZERO else alpha * expm1(_ZERO if x > _ZERO else x)


@each(FLOATS, FLOATS)
def elu_gradient(g, x, alpha):
    """g alpha e^x if x <= 0 else g."""
    return g * (alpha * functions.exp(x)) if x <= _ZERO else g


@each(FLOATS)
def selu(x):
    """1.0507 (x if x > 0 else 1.6733 (e^x - 1))."""
    return x * _SCALE if x > _ZERO else _DEEP * expm1(_ZERO if x > _ZERO else x)


@each(FLOATS, FLOATS)
def selu_gradient(g, x):
    """1.0507 g (1.6733 e^x if x <= 0 else 1)."""
    return g * (_DEEP * functions.exp(x)) if x <= _ZERO else g * _SCALE


@each(FLOATS)
def celu(x, alpha):
    """x if x > 0 else alpha (e^(x / alpha) - 1), for alpha > 0."""
    return x if x > _ZERO else alpha * expm1((_ZERO if x > _ZERO else x) / alpha)


@each(FLOATS, FLOATS)
def celu_gradient(g, x, alpha):
    """g e^(x / alpha) if x <= 0 else g, for alpha > 0."""
    return g * functions.exp(x / alpha) if x <= _ZERO else g


@each(FLOATS)
def exp(x):
    """e^x."""
    return functions.exp(x)


@each(FLOATS)
def log(x):
    """ln x."""
    return functions.log(x)


@each(FLOATS)
def sqrt(x):
    """The square root."""
    return np.sqrt(x)


@each(FLOATS, FLOATS)
def sqrt_gradient(g, y):
    """g / (2 y)."""
    return g / (_TWO * y)


@each(FLOATS)
def sigmoid(x):
    """s(x) = 1 / (1 + e^-x)."""
    return functions.sigmoid(x)


@each(FLOATS, FLOATS)
def sigmoid_gradient(g, y):
    """g y (1 - y)."""
    return g * (y * (_ONE - y))


@each(FLOATS, FLOATS)
def tanh_gradient(g, y):
    """g (1 - y^2)."""
    return g * (_ONE - y * y)


@each(FLOATS)
def silu(x):
    """x s(x)."""
    return x * functions.sigmoid(x)


@each(FLOATS, FLOATS)
def silu_gradient(g, x):
    """g s (1 + x (1 - s)) with s = s(x)."""
    s = functions.sigmoid(x)
    return g * (s * (_ONE + x * (_ONE - s)))


@each(FLOATS)
def softplus(x, beta, threshold):
    """ln(1 + e^(beta x)) / beta, x where beta x > threshold."""
    scaled = x * beta
    smooth = (scaled if scaled > _ZERO else _ZERO) + log1p(functions.exp(-abs(scaled)))
    return x if scaled > threshold else smooth / beta


@each(FLOATS, FLOATS)
def softplus_gradient(g, x, beta, threshold):
    """g s(beta x), g where beta x > threshold."""
    scaled = x * beta
    return g if scaled > threshold else g * functions.sigmoid(scaled)


@each(FLOATS)
def gelu(x):
    """x Phi(x), Phi being 1 - tail for positive x: so it keeps its digits for negative ones."""
    beyond, _ = tail(x)
    return x * (_ONE - beyond if x > _ZERO else beyond)


@each(FLOATS, FLOATS)
def gelu_gradient(g, x):
    """g (Phi(x) + x phi(x))."""
    beyond, density = tail(x)
    return g * ((_ONE - beyond if x > _ZERO else beyond) + x * (_DENSITY * density))


@each(FLOATS)
def gelu_tanh(x):
    """x s(2 u), which is x/2 (1 + tanh u)."""
    return x * functions.sigmoid(x * (_LINEAR + _CUBIC * (x * x)))


@each(FLOATS, FLOATS)
def gelu_tanh_gradient(g, x):
    """g (s + x s (1 - s) 2 u') with s = s(2 u)."""
    square = x * x
    s = functions.sigmoid(x * (_LINEAR + _CUBIC * square))
    return g * (s + x * ((s * (_ONE - s)) * (_LINEAR + _SLOPE * square)))


@each(FLOATS)
def tanh(x):
    """The hyperbolic tangent."""
    return functions.tanh(x)


@exact
def _hinged(x):
    """min(max(x + 3, 0), 6), NaN where x is."""
    moved = x + _THREE
    above = _ZERO if moved <= _ZERO else moved
    return _SIX if above >= _SIX else above


@each(FLOATS)
def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6."""
    return _hinged(x) / _SIX


@each(FLOATS, FLOATS)
def hardsigmoid_gradient(g, x):
    """g / 6 where -3 < x < 3."""
    return g / _SIX if (x > -_THREE) & (x < _THREE) else _ZERO


@each(FLOATS)
def hardswish(x):
    """x min(max(x + 3, 0), 6) / 6."""
    return x * _hinged(x) / _SIX


@each(FLOATS, FLOATS)
def hardswish_gradient(g, x):
    """0 if x <= -3, g (x/3 + 1/2) if x < 3, else g."""
    inside = g * (x / _THREE + _HALF) if x < _THREE else g
    return _ZERO if x <= -_THREE else inside


@each(FLOATS)
def mish(x):
    """x n / (n + 2) with n = e^x (e^x + 2), which is x tanh(ln(1 + e^x))."""
    power = functions.exp(_FLAT if x > _FLAT else x)
    n = power * (power + _TWO)
    return x * (n / (n + _TWO))


@each(FLOATS, FLOATS)
def mish_gradient(g, x):
    """g (t + x s (1 - t^2)), in which s (1 - t^2) = 4 e^x (e^x + 1) / (n + 2)^2."""
    power = functions.exp(_FLAT if x > _FLAT else x)
    n = power * (power + _TWO)
    below = _ONE / (n + _TWO)
    slope = _FOUR * ((power * below) * ((power + _ONE) * below))
    return g * (n * below + x * (_ZERO if x > _FLAT else slope))


@each(FLOATS)
def softsign(x):
    """x / (1 + |x|)."""
    return x / (_ONE + abs(x))


@each(FLOATS, FLOATS)
def softsign_gradient(g, x):
    """g / (1 + |x|)^2."""
    size = _ONE + abs(x)
    return g / (size * size)


@each(FLOATS)
def logsigmoid(x):
    """min(x, 0) - ln(1 + e^-|x|)."""
    return (x if x < _ZERO else _ZERO) - log1p(functions.exp(-abs(x)))


@each(FLOATS, FLOATS)
def logsigmoid_gradient(g, x):
    """g s(-x)."""
    return g * functions.sigmoid(-x)


@each(FLOATS, FLOATS)
def hardshrink(s, x, bound):
    """0 if -bound <= x <= bound else s: with s = x the function, with s = g its gradient, and that
    of softshrink."""
    return _ZERO if (x >= -bound) & (x <= bound) else s


@each(FLOATS)
def softshrink(x, bound):
    """x - min(max(x, -bound), bound)."""
    taken = -bound if x < -bound else x
    return x - (bound if taken > bound else taken)
