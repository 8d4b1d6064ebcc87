"""Difference quotients, and what they are compared with: the measure of every gradient check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.backward import grad
from tinygrad_cv.autograd.trace import zeros_like
from tinygrad_cv.backend import array as backend_array
from tinygrad_cv.core.tensor import Tensor

__all__ = ["Line", "Sides", "Slope", "along", "directional_derivative", "numpy_of", "on_device"]
__all__ += ["one_sided", "random_like", "sides", "slope", "variable", "vjp"]

Function = Callable[[list[Tensor]], Sequence[Tensor]]
Line = Callable[[float], tuple[float, float]]

# Rounding leaves u/h of a difference, and the extrapolation h^4: the two meet near h = u^(1/5),
# which is 7e-4. The smaller steps are for a kink or pole nearby.
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
# A value of a few operations is off by some units in the last place; 8 are seldom exceeded.
ROUNDING = 8 * float(np.finfo(np.float64).eps)
# At the first step a difference is right to 1e-11 or so; terms may be 1e4 times their sum.
EXACT = 1e-7
# The bound is the last correction of the extrapolation, which the true error may exceed somewhat.
MARGIN = 3
# A kink leaves a bound as large as the slope; a hundred times EXACT is far from both.
SETTLED = 1e-5
# Of the function's own size, what rounding leaves at the smallest step: ROUNDING / 1e-6, and more.
FLAT = 1e-8
# Where slopes of both sides are compared: the gap of a smooth function falls tenfold between these.
SIDE_STEPS = (1e-4, 1e-5)
# As the step shrinks by 4 or more, so does the gap of a smooth function; that of a kink stays.
SHRINKS = 0.5
TINY = 1e-300  # above 0 and below every number that arithmetic meets; its products stay above 0


def vjp(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    create_graph: bool = False,
) -> list[Tensor]:
    """Gradients of ``sum <cotangent, output>`` with respect to ``inputs``, zeros where nothing
    depends on an input: the vector-Jacobian product, dx[j] = sum_i g[i] * dy[i]/dx[j].

    Args:
        outputs, inputs: Tensors of one recorded graph.
        cotangents: one g for each output, of its shape.
        create_graph: record the gradients, to differentiate them again.

    >>> import tinygrad_cv as tg
    >>> x, unused = tg.tensor([1.0, 2.0], requires_grad=True), tg.ones(1, requires_grad=True)
    >>> vjp([x * x], [x, unused], [tg.tensor([1.0, 10.0])])  # g * 2x
    [tensor([ 2., 40.]), tensor([0.])]
    """
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
    grads: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        ys, gs = zip(*pairs, strict=True)
        grads = grad(ys, inputs, gs, create_graph=create_graph, allow_unused=True)
    return [zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]


def directional_derivative(function: Line, steps: Sequence[float] = STEPS) -> tuple[float, float]:
    """Derivative of ``function`` at 0 by central differences, and a bound on its error::

        d(h) = (f(h) - f(-h)) / (2h),   derivative = (4 d(h/2) - d(h)) / 3

    ``function(t)`` gives the value and its magnitude (what rounding errors are proportional to).
    The difference is extrapolated once (Richardson, 1911), which leaves an error of order h^4; the
    step h goes through ``steps`` while two steps disagree, as they do near a kink or a pole, and
    the best one is kept. Where the function is never finite, the result is (nan, inf).

    >>> import math
    >>> value, bound = directional_derivative(lambda t: (math.exp(t), math.exp(t)))
    >>> round(float(value), 9), bool(abs(value - 1) <= bound)
    (1.0, True)
    """
    best = (np.nan, np.inf)
    for step in steps:
        high, low, mid_high, mid_low = (function(t) for t in (step, -step, step / 2, -step / 2))
        wide = (high[0] - low[0]) / (2 * step)
        narrow = (mid_high[0] - mid_low[0]) / step
        estimate = (4 * narrow - wide) / 3
        rounding = ROUNDING * max(high[1], low[1]) / step
        bound = abs(narrow - wide) / 3 + rounding
        if not np.isfinite(bound):
            continue
        if bound < best[1]:
            best = (estimate, bound)
        if bound <= EXACT * abs(estimate) or abs(narrow - wide) <= MARGIN * rounding:
            break
    return best


class Slope(NamedTuple):
    """A derivative along one direction: what a rule gives, and what differences give.

    Attributes:
        rule: <gradient, direction>.
        differences, bound: the difference quotient, and how far it may be off.
        scale: how large the terms of both are.
        size: how large the terms of the function itself are.
        kink: the slopes to both sides differ; looked at only where ``rule`` and ``differences`` do.

    >>> Slope(rule=2.0, differences=2.0, bound=1e-12, scale=2.0, size=1.0).agrees
    True
    """

    rule: float
    differences: float
    bound: float
    scale: float
    size: float
    kink: bool = False

    @property
    def kind(self) -> str:
        """ "right"; "fault"; "kink", where no rule equals the differences; "open", where these do
        not settle or the rule gives no finite number.

        >>> Slope(rule=2.0, differences=1.9, bound=1e-12, scale=2.0, size=1.0).kind
        'fault'
        """
        if not (np.isfinite(self.rule) and self.settled):
            return "open"
        return "right" if self.agrees else "kink" if self.kink else "fault"

    @property
    def settled(self) -> bool:
        """False at a kink, or where the function leaves its domain: the differences say nothing.

        >>> Slope(rule=2.0, differences=1.0, bound=0.3, scale=2.0, size=1.0).settled
        False
        """
        return self.bound <= SETTLED * self.scale + FLAT * max(self.size, TINY)

    @property
    def agrees(self) -> bool:
        """True if rule and differences are equal up to what rounding leaves open.

        >>> Slope(rule=2.0, differences=1.9, bound=1e-12, scale=2.0, size=1.0).agrees
        False
        """
        off = abs(self.rule - self.differences)
        return off <= max(EXACT * self.scale, MARGIN * self.bound)

    def __str__(self) -> str:
        differences = f"{self.differences:.12g} +- {self.bound:.1g}"
        return f"the rule gives {self.rule:.12g}, differences {differences}"


def slope(
    gradients: Sequence[np.ndarray], direction: Sequence[np.ndarray | None], along: Line
) -> Slope:
    """The derivative of ``along`` at 0 beside <gradients, direction>; None stands for zeros.

    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    >>> def along(t):  # of the sum of squares
    ...     return float(((x + t * v) ** 2).sum()), float(((x + t * v) ** 2).sum())
    >>> slope([2 * x], [v], along).agrees, slope([3 * x], [v], along).agrees
    (True, False)
    """
    terms = [g * v for g, v in zip(gradients, direction, strict=True) if v is not None]
    rule = float(sum(t.sum() for t in terms))
    size = float(sum(np.abs(t).sum() for t in terms))
    differences, bound = directional_derivative(along)
    scale = max(size, abs(differences)) if np.isfinite(size) else abs(differences)
    found = Slope(rule, differences, bound, scale, along(0.0)[1])
    if found.kind != "fault":
        return found
    # A smaller gap cannot be why the two differ; twice what rounding leaves at the last step.
    atol = EXACT * scale + 2 * ROUNDING * found.size / SIDE_STEPS[-1]
    return found._replace(kink=sides(along, SIDE_STEPS, atol).kink)


class Sides(NamedTuple):
    """The slopes to the left and to the right of 0, and whether there is a kink between them."""

    left: float
    right: float
    kink: bool


def sides(
    function: Line,
    steps: Sequence[float],
    atol: float,
    rtol: float = 0.0,
    rounding: float = ROUNDING,
) -> Sides:
    """Kink or no kink? The one-sided slopes of a smooth function meet as the step shrinks, in
    proportion to it; at a kink their distance stays. Every check of gradients asks this.

    Args:
        steps: at least 4 times smaller each; they end where rounding would speak.
        atol, rtol: a gap up to ``atol + rtol*|slope|`` is none.
        rounding: how far a value is off, relative to its magnitude.

    Returns:
        The slopes at the last step; NaN where the function is not finite.

    >>> sides(lambda t: (abs(t), abs(t)), (1e-4, 1e-5), atol=1e-6)
    Sides(left=-1.0, right=1.0, kink=True)
    >>> sides(lambda t: (t * t, t * t), (1e-4, 1e-5), atol=1e-6).kink
    False
    """
    size = function(0.0)[1]
    gaps: list[float] = []
    for step in steps:
        low, high = one_sided(function, step)
        if not np.isfinite(low + high):
            return Sides(np.nan, np.nan, False)
        tolerance = atol + rtol * max(abs(low), abs(high))
        if gaps and rounding * size / step > tolerance / 2:
            break
        left, right, allowed = low, high, tolerance
        gaps.append(abs(right - left))
    return Sides(left, right, gaps[-1] > max(allowed, SHRINKS * gaps[0]))


def one_sided(function: Line, step: float) -> tuple[float, float]:
    """The slopes to the left and to the right of 0; they differ where there is a kink.

    >>> one_sided(lambda t: (abs(t), abs(t)), 0.5)
    (-1.0, 1.0)
    """
    low, middle, high = (function(t)[0] for t in (-step, 0.0, step))
    return (middle - low) / step, (high - middle) / step


def along(
    function: Function,
    points: Sequence[Tensor],
    direction: Sequence[np.ndarray | None],
    weights: Sequence[np.ndarray],
) -> Line:
    """t -> <weights, function(points + t*direction)> and the sum of the absolute terms."""

    def value(t: float) -> tuple[float, float]:
        outputs = function(moved(points, direction, t))
        terms = [products(y, w) for y, w in zip(outputs, weights, strict=True)]
        return float(sum(t.sum() for t in terms)), float(sum(np.abs(t).sum() for t in terms))

    return value


def products(values: Any, weights: np.ndarray) -> np.ndarray:
    """Values times weights, flat, where there is a weight: 0 times infinity does not count."""
    return (numpy_of(values) * weights)[weights != 0]


def moved(
    points: Sequence[Tensor], direction: Sequence[np.ndarray | None], t: float
) -> list[Tensor]:
    """points + t*direction; None is a direction of zeros."""
    return [
        x if v is None else variable(x, (numpy_of(x) + t * v).astype(x.dtype, copy=False))
        for x, v in zip(points, direction, strict=True)
    ]


def numpy_of(value: Any) -> np.ndarray:
    """The value as a NumPy array, from any device, without looking at gradients."""
    if isinstance(value, Tensor):
        value = value.array
    return np.asarray(backend_array.to_numpy(value) if backend_array.is_array(value) else value)


def variable(like: Tensor, values: np.ndarray | None = None) -> Tensor:
    """A fresh leaf with the values of ``like`` (or others), on its device, read-only."""
    return on_device(numpy_of(like) if values is None else values, like).requires_grad_()


def random_like(tensor: Tensor, rng: np.random.Generator) -> Tensor:
    """Random entries between 0.5 and 1.5 in size, of either sign: no entry hides a fault."""
    sign = rng.choice([-1.0, 1.0], tensor.shape)
    values = np.asarray(rng.uniform(0.5, 1.5, tensor.shape) * sign, dtype=np.float64)
    dtype = tensor.dtype if tensor.dtype.kind == "f" else np.dtype(np.float64)
    return on_device(values.astype(dtype), tensor)


def on_device(values: np.ndarray, like: Tensor) -> Tensor:
    """A read-only copy of ``values`` where ``like`` lies."""
    array = backend_array.to_device(np.array(values), backend_array.device_of(like.array))
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return Tensor(array)
