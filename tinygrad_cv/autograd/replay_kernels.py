"""What served one recorded node, forward and backward, against the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_cv.autograd.differences import TINY, numpy_of, random_like
from tinygrad_cv.autograd.function_node import Drawn
from tinygrad_cv.autograd.probe import size_of
from tinygrad_cv.autograd.replay import (
    Overwritten,
    Replay,
    Run,
    Verdict,
    double,
    double_dtype,
    guarded,
)
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import device_of, is_array, on_device_of, xp_of
from tinygrad_cv.backend.dispatch import fused_rules, run_kernel
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.core.mode import Recorder, recording
from tinygrad_cv.core.tensor import Tensor

__all__ = ["check_forward", "check_served"]

# How far a kernel may be from the reference in float64, relative to the largest element. A sum of n
# terms in another order differs by n*u at worst (1e-9: four million), by sqrt(n)*u as a rule (1e-4
# in float32: 700 thousand).
CLOSE = {"float64": 1e-9, "float32": 1e-4}
# A kernel with fewer or other steps (Winograd, one pass for a variance) may lose some times what
# the reference loses in this dtype ...
NOISE = 8
# ... but where cancellation makes that much, a fault of a thousandth is still seen.
NOISE_AT_MOST = 1e-3
# A sum of n terms one after the other is off by n/2 units at worst, by a part of it as a rule.
SUMS = 1 / 32
# Inputs nearby, to see how far rounding of them reaches.
NEARBY = 4


def check_forward(replay: Replay) -> Verdict:
    """What was computed when the node was recorded, outputs and residuals, against the
    reference; and the reference in the dtypes that the node had, against itself in float64."""
    kept = replay.kept
    part = f"forward by {_provider(replay.op.name, kept.inputs, replay.node.attrs)}"
    recorded = dict(enumerate(kept.outputs)) | kept.residuals
    problem, little = _far_forward(replay, recorded)
    if problem and not (little and _is_rounding(replay, "forward")):
        return Verdict("fault", part, problem)
    for i in replay.weights:
        problem = _wrong_in_own(replay, partial(_result, i))
        if problem:
            return Verdict("fault", "forward by the reference", problem)
    return Verdict("right", part)


def _far_forward(replay: Replay, recorded: dict[int, Any]) -> tuple[str, bool]:
    names = (*replay.op.outputs, *replay.op.residuals)
    floor = _largest(replay.own.inputs)
    for place, actual in recorded.items():
        exact, own = replay.exact.results[place], replay.own.results[place]
        problem, little = _far(actual, exact, own, floor)
        if problem:
            return f"{names[place]} is not what the reference gives: {problem}", little
    return "", False


def _is_rounding(replay: Replay, part: str) -> bool:
    """True if what is a difference here, of the size of rounding inside the operator, is none
    where inputs are of size 1. Of log(1 + exp(-30)) two right kernels share three digits."""
    other = replay.scaled()
    if other is None:
        return True
    if part == "forward":
        _, results = run_kernel(replay.op, other.own.inputs, replay.node.attrs)
        return not _far_forward(other, dict(enumerate(results)))[0]
    with kernels.use("reference"):
        known = {k: other.fitted(k, other.exact.rule(k)) for k in replay.plan.needed}
    return all(v.part != part or v.kind != "fault" for v, _ in _served(other, known))


def _wrong_in_own(replay: Replay, value: Callable[[Replay, Run], Any]) -> str:
    """Where something that the reference gives in float32 is farther from what it gives in float64
    than rounding of its inputs takes it, here and at inputs of size 1."""
    # Random draws in another dtype are other numbers.
    drawn = any(isinstance(value, Drawn) and value.keys for value in replay.node.attrs)
    if drawn or not replay.in_float64:
        return ""
    with kernels.use("reference"):
        problem = _far_in_own(replay, value)
        other = replay.scaled() if problem else None
        if other is None or not _far_in_own(other, value):
            return ""
    return f"in float32 it is not what it is in float64: {problem}"


def _result(i: int, replay: Replay, run: Run) -> Any:
    return run.results[i]


def _gradient(k: int, replay: Replay, run: Run) -> Any:
    return replay.fitted(k, run.rule(k))


def _far_in_own(replay: Replay, value: Callable[[Replay, Run], Any]) -> str:
    own, exact = (numpy_of(value(replay, run)) for run in (replay.own, replay.exact))
    if own.dtype == exact.dtype:
        return ""
    longest = max(numpy_of(x).size for x in replay.exact.inputs)
    close = max(CLOSE[own.dtype.name], SUMS * longest * float(np.finfo(own.dtype).eps))
    close *= float(np.abs(exact).max(initial=0.0))
    if (np.abs(own - exact) <= close).all():
        return ""
    there = exact.astype(own.dtype)
    problem, _ = _far(own, exact, there, reach=close)
    if not problem:
        return ""
    pairs = list(zip(replay.exact.inputs, replay.own.inputs, strict=True))
    reach = np.zeros(exact.shape)
    for _ in range(NEARBY):
        moved = [_rounded(x, y, replay.rng) for x, y in pairs]
        near = Run(replay.node, moved, replay.exact.attrs).weighted(replay.weights)
        reach = np.maximum(reach, np.abs(numpy_of(value(replay, near)) - exact))
    reach = np.where(np.isfinite(reach), reach, np.inf)
    return _far(own, exact, there, reach=close + reach)[0]


def check_served(replay: Replay, known: dict[int, Any]) -> Iterator[Verdict]:
    """The fused rule, the compiled kernels, and the rules with the kernels that their operators
    have, against the rules by the reference, of which ``known`` are right, by input."""
    for k in known:
        problem = _wrong_in_own(replay, partial(_gradient, k))
        if problem:
            yield Verdict("fault", f"vjp_{replay.name_of(k)}", problem)
            return
    for verdict, little in _served(replay, known):
        if verdict.kind == "fault" and little and _is_rounding(replay, verdict.part):
            verdict = Verdict("right", verdict.part)
        yield verdict


def _served(replay: Replay, known: dict[int, Any]) -> Iterator[tuple[Verdict, bool]]:
    """Each verdict, and whether a fault is so small that it may be rounding."""
    first = replay.own.g[0] if isinstance(replay.own.g, tuple) else replay.own.g
    xp = xp_of(first)
    with kernels.use("reference"):
        own = {k: replay.own.rule(k) for k in known}
        for part, verdict, little in _fused(replay, "exact", xp, known, known):
            yield verdict._replace(part=part), little
    for provider, verdict, little in _fused(replay, "own", xp, known, own):
        if provider != "fused_vjp":  # by the reference, above: its operators have kernels too
            yield verdict._replace(part=f"{replay.op.name}.vjp by {provider}"), little
    yield from _by_operators(replay, known, own)


def _fused(
    replay: Replay, which: str, xp: Any, known: dict[int, Any], own: dict[int, Any]
) -> Iterator[tuple[str, Verdict, bool]]:
    run = replay.exact if which == "exact" else replay.own
    given = (replay.plan, run.g, replay.needs, run.saved, run.attrs, xp)
    for provider, serve in fused_rules(*given):
        try:
            with guarded(g=run.g, **run.named):
                found = serve()
        except Overwritten as problem:
            yield provider, Verdict("fault", provider, str(problem)), False
        else:
            yield provider, *_compared(replay, provider, found, known, own, run.g)


def _by_operators(
    replay: Replay, known: dict[int, Any], own: dict[int, Any]
) -> Iterator[tuple[Verdict, bool]]:
    """The rules on Tensors, as a recorded backward runs them."""
    plan, run, met = replay.plan, replay.own, _Met()
    with recording(met):
        values = zip(plan.kinds, run.saved, strict=True)
        saved = [v if kind == "shape" else _tensors(v) for (kind, _), v in values]
        rules = {k: plan.rules[k](_tensors(run.g), saved, run.attrs, k) for k in known}
    found = [rules.get(k) for k in range(len(replay.needs))]
    verdict, little = _compared(replay, "the rules with kernels", found, known, own, run.g)
    if verdict.kind == "fault" and met.wrong():
        part = f"the kernel of {met.wrong()}, which its rules run"
        verdict = verdict._replace(part=part)
    if met.kernels or verdict.kind == "fault":
        yield verdict, little


def _compared(
    replay: Replay, part: str, found: Any, known: dict[int, Any], own: dict[int, Any], g: Any
) -> tuple[Verdict, bool]:
    if found is None:  # it declines this case
        return Verdict("right", part), False
    for k, exact in known.items():
        which = replay.name_of(k)
        if found[k] is None:
            if np.any(exact):
                return Verdict("fault", part, f"no gradient of {which}"), False
            continue
        try:
            actual, ours = replay.fitted(k, found[k]), replay.fitted(k, own[k])
        except ValueError as problem:
            return Verdict("fault", part, str(problem)), False
        far, little = _far(actual, exact, ours, _largest(g if isinstance(g, tuple) else (g,)))
        if far:
            return Verdict("fault", part, f"the gradient of {which}: {far}"), little
    return Verdict("right", part), False


def _far(
    actual: Any, exact: Any, own: Any, floor: float = 0.0, reach: Any = 0.0
) -> tuple[str, bool]:
    """Where ``actual`` is neither the reference in float64 nor that in its own dtype; empty if it
    is close. And whether it is no farther than rounding takes numbers as large as ``floor``; what
    inputs that are rounded change is ``reach``, at each place."""
    a, e, o = numpy_of(actual), numpy_of(exact), numpy_of(own)
    if a.shape != o.shape or a.dtype != o.dtype:
        return f"{a.dtype} {a.shape} instead of {o.dtype} {o.shape}", False
    if a.dtype.kind != "f":
        wrong = np.asarray(a != o)
        error = wrong.astype(float)
    else:
        close, unit = CLOSE[a.dtype.name], float(np.finfo(a.dtype).eps)
        a, e, o = (x.astype(np.float64) for x in (a, e, o))
        finite = np.isfinite(e) & np.isfinite(o)
        noise = float(np.abs(o - e)[finite].max(initial=0.0))
        size = float(np.abs(e[finite]).max(initial=0.0))
        error = np.fmin(np.abs(a - e), np.abs(a - o))
        same = (a == e) | (a == o) | (np.isnan(a) & (np.isnan(e) | np.isnan(o)))
        error = np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf))
        allowed = close * size + min(NOISE * noise, NOISE_AT_MOST * size)
        wrong = error > np.maximum(allowed + reach, TINY)
    if not wrong.any():
        return "", False
    at = tuple(int(i) for i in np.unravel_index(np.argmax(error), a.shape))
    places = f"at {int(wrong.sum())} of {a.size} places, worst at {list(at)}"
    shown = e if a.dtype.kind == "f" else o
    little = a.dtype.kind == "f" and bool(error.max() <= NOISE * unit * floor)
    return f"{a[at]:g} instead of {shown[at]:g} {places}", little


def _largest(arrays: Iterable[Any]) -> float:
    known = [numpy_of(x) for x in arrays if is_array(x) and x.dtype.kind == "f"]
    return max((float(np.abs(x[np.isfinite(x)]).max(initial=0.0)) for x in known), default=0.0)


def _rounded(exact: Any, own: Any, rng: np.random.Generator) -> Any:
    """An input in float64, moved by what some operations in its own dtype leave open."""
    if not is_array(own) or own.dtype.kind != "f":
        return exact
    with on_device_of(exact):
        size = np.maximum(np.abs(exact), size_of(numpy_of(exact)))
        moves = (
            random_like(Tensor(exact), rng).array * size * NOISE * float(np.finfo(own.dtype).eps)
        )
        return xp_of(exact).asarray(exact + moves)


def _provider(name: str, inputs: Sequence[Any], attrs: tuple[Any, ...]) -> str:
    """Who serves such a case."""
    rows = kernels.candidates(name)
    device = device_of(next(x for x in inputs if is_array(x))).type if inputs else "cpu"
    specs = tuple(spec_of(x) if is_array(x) else x for x in inputs)
    kernel = kernels.choose(rows, device, specs, attrs) if rows is not None else None
    return "the reference" if kernel is None else kernel.provider


class _Met(Recorder):
    """The operators that rules run, with what they were given and gave."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    @property
    def kernels(self) -> bool:
        return any(kernels.candidates(op.name) for op, *_ in self.calls)

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        given = tuple(t.array if isinstance(t, Tensor) else t for t in inputs)
        self.calls.append((op, given, tuple(t.array for t in outputs), attrs))

    def wrong(self) -> str:
        """The first operator whose kernel did not give what the reference gives."""
        for op, given, outputs, attrs in self.calls:
            with kernels.use("reference"):
                _, own = run_kernel(op, given, attrs)
                _, exact = run_kernel(op, tuple(double(x) for x in given), double_dtype(attrs))
            if any(_far(a, e, o)[0] for a, e, o in zip(outputs, exact, own, strict=False)):
                return f"{op.name} by {_provider(op.name, given, attrs)}"
        return ""


def _tensors(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_tensors, value))
    return Tensor(value) if is_array(value) else value
