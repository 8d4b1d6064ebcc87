"""The Jacobian of a function by its rules, compared with the one by its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_cv.autograd.differences import (
    Line,
    along,
    directional_derivative,
    moved,
    numpy_of,
    one_sided,
    products,
    random_like,
    sides,
    variable,
)
from tinygrad_cv.autograd.trace import Trace
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, GradcheckError

__all__ = ["EPS", "Check", "Flat"]

EPS = 1e-6  # the step of the defaults

Flat = Callable[[Sequence[Tensor]], list[Tensor]]

KINK = "the function has a kink at this input: its one-sided slopes differ"
NEAR = "the function has a kink or a sharp bend within eps of this input"
OUTSIDE = "the function or its gradient is not finite around this input"
FAULT = "the gradient is wrong"
REPAIRS = {
    KINK: "Check elsewhere, away from ties and from the kinks of relu, abs, max and the like; "
    "here no gradient equals the differences.",
    NEAR: "Differences with a smaller step agree with the gradient: use a smaller eps, or check "
    "elsewhere.",
    OUTSIDE: "Check at inputs that stay inside the domain when they move by eps.",
    FAULT: "The slopes to both sides agree, so this is no kink: look at the rules of the operators "
    "between this input and this output.",
}


class Check:
    """One function at one point: what its trace says, and what its values say."""

    def __init__(
        self,
        what: str,
        function: Flat,
        points: Sequence[Tensor],
        names: Sequence[str],
        eps: float,
        atol: float,
        rtol: float,
        nondet_tol: float,
        places: Sequence[str] | None = None,
    ) -> None:
        for name, number in (("eps", eps), ("atol", atol), ("rtol", rtol)):
            if not number >= 0 or (name == "eps" and not 0 < number < np.inf):
                raise ArgumentError(what, f"{name} must be positive, it is {number}")
        self.what, self.function, self.points = what, function, list(points)
        self.names, self.nondet_tol = list(names), nondet_tol
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self.trace = self._traced()
        self.outputs: list[Tensor] = self.trace.outputs
        if not self.outputs:
            raise ArgumentError(what, "the function returns no floating tensor to differentiate")
        one = ["output"] if len(self.outputs) == 1 else []
        self.places = places or one or [f"output[{k}]" for k in range(len(self.outputs))]
        rng = np.random.default_rng(1)
        self.weights = [_unit(y, rng) for y in self.outputs]
        self.directions = [_unit(x, rng) for x in self.points]

    def _traced(self) -> Trace:
        return Trace(self.what, lambda *xs: self.function(xs), tuple(self.points), record=False)

    def run(self, backward: bool, forward: bool, fast: bool, raise_exception: bool) -> bool:
        try:
            with np.errstate(all="ignore"):  # values that are not finite are told below
                self._run(backward, forward, fast)
        except GradcheckError:
            if raise_exception:
                raise
            return False
        return True

    def _run(self, backward: bool, forward: bool, fast: bool) -> None:
        self._check_repeats()
        self._check_resolution()
        for mode in [False] * backward + [True] * forward:
            failed = self._fails_along_a_direction(mode)
            if failed is not None and fast:
                self._report(mode, failed, *self._hunted(mode, failed), "for example in")
            if not fast:
                self._compare_elements(mode, failed)

    # Can the check be made at all?

    def _check_repeats(self) -> None:
        again = self._traced()
        pulls = [
            t.pull(self._tensors(self.weights, t.outputs), retain=True) for t in (self.trace, again)
        ]
        for name, first, second in (
            *zip(self.places, self.outputs, again.outputs, strict=True),
            *zip((f"the gradient of {n}" for n in self.names), *pulls, strict=True),
        ):
            a, b = numpy_of(first), numpy_of(second)
            off = _distance(a, b)
            if not off <= self.nondet_tol:
                raise GradcheckError(
                    self.what,
                    f"two runs differ by {off:.3g} in {name}; nondet_tol is {self.nondet_tol:g}",
                    repair="Make the function give the same every time: switch dropout off "
                    "(module.eval()), or seed inside the function.",
                )
        self.slopes = pulls[0]

    def _check_resolution(self) -> None:
        """Are differences of this step exact enough for the tolerances?"""
        slope = max((_largest(g) for g in self.slopes), default=0.0)
        allowed = self.atol + self.rtol * slope
        known = [(n, x, slope) for n, x in zip(self.names, self.points, strict=True)]
        known += [(n, y, 1.0) for n, y in zip(self.places, self.outputs, strict=True)]
        for name, t, factor in known:
            # What rounding leaves of a difference, for a step of 1.
            error = _resolution(t) * _largest(t) * factor / 2
            if error / self.eps > allowed:
                raise GradcheckError(
                    self.what,
                    f"{name} is {t.dtype.name}, too coarse for eps={self.eps:g}: rounding alone "
                    f"changes differences by {error / self.eps:.2g}, and atol + rtol*|slope| is "
                    f"{allowed:.2g}",
                    repair=self._finer(t, error, allowed),
                )

    def _finer(self, t: Tensor, error: float, allowed: float) -> str:
        """How differences of this size become exact enough."""
        double = error * float(np.finfo(np.float64).eps) / _resolution(t)
        single = t.dtype != np.float64
        if single and double / self.eps <= allowed:
            return "Use float64 (t.double()) for the inputs and inside the function."
        if double / EPS > allowed:
            return "The values are large: use a larger eps, wider tolerances, or scale them."
        enough = 10 * double / allowed  # rounding inside the function is not counted
        also = "float64 and " if single else ""
        return f"The step is too small for these values: use {also}eps={enough:.2g} or more."

    # Random directions

    def _fails_along_a_direction(self, forward: bool) -> int | None:
        """An input along which the two derivatives differ."""
        for k in range(len(self.points)):
            exact = self._product(forward, k, self.directions[k], self.weights)
            numeric = self._quotient(k, self.directions[k], self.weights)
            total = sum(float(np.abs(w).sum()) for w in self.weights)
            atol = self.atol * total * float(np.abs(self.directions[k]).sum())
            if not abs(exact - numeric) <= atol + self.rtol * abs(numeric):
                return k
        return None

    def _product(
        self, forward: bool, k: int, v: np.ndarray, weights: Sequence[np.ndarray]
    ) -> float:
        """<weights, J v> with v a direction of input k, by the rules."""
        if forward:
            tangents: list[Tensor | None] = [None] * len(self.points)
            (tangents[k],) = self._tensors([v], [self.points[k]])
            terms = zip(self.trace.push(tangents, retain=True), weights, strict=True)
            return float(sum(products(t, w).sum() for t, w in terms))
        pulled = self.trace.pull(self._tensors(weights, self.outputs), retain=True)
        return float(products(pulled[k], v).sum())

    def _quotient(self, k: int, v: np.ndarray, weights: Sequence[np.ndarray]) -> float:
        return directional_derivative(self._line(k, v, weights), (self.eps,))[0]

    def _line(self, k: int, v: np.ndarray, weights: Sequence[np.ndarray]) -> Line:
        direction = [v if j == k else None for j in range(len(self.points))]
        return along(self.function, self.points, direction, weights)

    def _tensors(self, arrays: Sequence[np.ndarray], like: Sequence[Tensor]) -> list[Tensor]:
        return [variable(t, a.astype(t.dtype)).detach() for a, t in zip(arrays, like, strict=True)]

    def _hunted(self, forward: bool, k: int) -> tuple[int, int, int]:
        """(element of input k, output, element of it) that is off, by halving first the direction
        and then the weights while the difference is there."""

        def off(v: np.ndarray, weights: Sequence[np.ndarray]) -> float:
            difference = self._product(forward, k, v, weights) - self._quotient(k, v, weights)
            return abs(difference) if np.isfinite(difference) else np.inf

        v, flat = self.directions[k], np.concatenate([w.ravel() for w in self.weights])
        j = _halved(v.ravel(), lambda part: off(part.reshape(v.shape), self.weights))
        e = _unit_vector(v, j)
        i = _halved(flat, lambda part: off(e, self._parts(part)))
        return (j, *self._place(i))

    def _place(self, i: int) -> tuple[int, int]:
        """(output, element of it) of position ``i`` in all outputs, flat."""
        ends = np.cumsum([t.numel() for t in self.outputs])
        y = int(np.searchsorted(ends, i, side="right"))
        return y, i - int(ends[y] - self.outputs[y].numel())

    def _parts(self, flat: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([w.size for w in self.weights])[:-1]
        parts = np.split(flat, ends)
        return [p.reshape(w.shape) for p, w in zip(parts, self.weights, strict=True)]

    # Every element

    def _compare_elements(self, forward: bool, first: int | None) -> None:
        """Input by input, beginning with one of which it is known that it differs."""
        blocks = self.trace.jacobian(forward)
        order = sorted(range(len(self.points)), key=lambda k: k != first)
        for k in order:
            x = self.points[k]
            exact = np.concatenate(
                [numpy_of(row[k]).reshape(y.numel(), x.numel()) for row, y in self._rows(blocks)]
            )
            numeric = self._columns(k)
            excess = np.abs(exact - numeric) - (self.atol + self.rtol * np.abs(numeric))
            excess[~np.isfinite(excess)] = np.inf
            if (excess > 0).any():
                i, j = np.unravel_index(np.argmax(excess), excess.shape)
                amount = f"{int((excess > 0).sum())} of {excess.size} elements differ, most"
                self._report(forward, k, int(j), *self._place(int(i)), amount)

    def _rows(self, blocks: Any) -> Iterator[tuple[Any, Tensor]]:
        return zip(blocks, self.outputs, strict=True)

    def _columns(self, k: int) -> np.ndarray:
        """Central differences along every element of input k: [elements of outputs, of input]."""
        columns = []
        for j in range(self.points[k].numel()):
            e = [_unit_vector(x, j) if x is self.points[k] else None for x in self.points]
            high, low = (
                np.concatenate([numpy_of(y).astype(np.float64).ravel() for y in self.function(at)])
                for at in (moved(self.points, e, self.eps), moved(self.points, e, -self.eps))
            )
            columns.append((high - low) / (2 * self.eps))
        if not columns:
            return np.zeros((sum(y.numel() for y in self.outputs), 0))
        return np.stack(columns, 1)

    # What is said

    def _report(self, forward: bool, k: int, j: int, y: int, i: int, amount: str) -> None:
        """Raise the error about d output y [i] / d input k [j]."""
        e = _unit_vector(self.points[k], j)
        weights = [np.zeros(t.shape) for t in self.outputs]
        weights[y] = _unit_vector(self.outputs[y], i)
        exact = self._product(forward, k, e, weights)
        line = self._line(k, e, weights)
        numeric = (line(self.eps)[0] - line(-self.eps)[0]) / (2 * self.eps)
        left, right = one_sided(line, self.eps)
        verdict = self._verdict(line, exact)
        which = f"d {self.places[y]}{_index(self.outputs[y], i)} / d "
        which += f"{self.names[k]}{_index(self.points[k], j)}"
        raise GradcheckError(
            self.what,
            f"{verdict}; {amount} {which}",
            values=[
                ("by jvp" if forward else "by backward", f"{exact:.6g}"),
                ("by differences", f"{numeric:.6g}"),
                ("slope to the left", f"{left:.6g}"),
                ("slope to the right", f"{right:.6g}"),
            ],
            repair=REPAIRS[verdict],
        )

    def _verdict(self, line: Line, exact: float) -> str:
        """Kink or fault?"""
        resolution = max(_resolution(t) for t in (*self.points, *self.outputs))
        steps = [self.eps / 4**n for n in range(5)]  # to 1/256: as far as `NEAR` promises
        left, right, kink = sides(line, steps, self.atol, self.rtol, 8 * resolution)
        if not np.isfinite(left + right + exact):
            return OUTSIDE
        if kink:
            return KINK
        allowed = self.atol + self.rtol * max(abs(left), abs(right))
        return NEAR if abs(exact - (left + right) / 2) <= allowed else FAULT


def _resolution(tensor: Tensor) -> float:
    return float(np.finfo(tensor.dtype).eps)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference; equal infinities and two NaN do not differ."""
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    known = ~np.isnan(a)
    return float(np.abs(np.where(a == b, 0.0, a - b))[known].max(initial=0.0))


def _unit(like: Tensor, rng: np.random.Generator) -> np.ndarray:
    """A random direction of length 1."""
    values = numpy_of(random_like(like, rng)).astype(np.float64)
    return values / max(float(np.sqrt((values * values).sum())), 1e-300)


def _unit_vector(like: Any, k: int) -> np.ndarray:
    vector = np.zeros(like.shape)
    vector.reshape(-1)[k] = 1.0
    return vector


def _halved(vector: np.ndarray, off: Callable[[np.ndarray], float]) -> int:
    """A position in ``vector`` at which ``off`` is large, going into the worse half each time."""
    places = np.arange(vector.size)
    while len(places) > 1:
        halves = np.array_split(places, 2)
        places = max(
            halves,
            key=lambda half: off(np.where(np.isin(np.arange(vector.size), half), vector, 0.0)),
        )
    return int(places[0])


def _index(like: Tensor, k: int) -> str:
    """[1, 2] for element k; nothing for a tensor of no axes."""
    return str([int(n) for n in np.unravel_index(k, like.shape)]) if like.ndim else ""


def _largest(tensor: Tensor) -> float:
    values = numpy_of(tensor)
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max(initial=0.0))
