"""One recorded node once more: its forward kernel, each of its gradient rules, and what serves
them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.differences import Line, Slope, numpy_of, random_like, slope
from tinygrad_cv.autograd.retain import Kept
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import device_of, is_array, on_device_of, xp_of
from tinygrad_cv.backend.dispatch import rule_reads, run_kernel
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.core.mode import Recorder, grad_mode, recording
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import TinygradError

__all__ = ["Verdict", "replayed"]

Arrays = Sequence[Any]

# How far a kernel may be from the reference in float64, relative to the largest element; what the
# reference itself loses in the kernel's dtype comes on top.
_CLOSE = {"float64": 1e-9, "float32": 1e-4}


class Verdict(NamedTuple):
    """What one check of a node found: ``kind`` is "right", "fault", "kink" or "open"."""

    kind: str
    part: str
    text: str = ""


class _Replay:
    """A node's operator on its kept arrays, by the reference."""

    def __init__(self, node: Node, kept: Kept, rng: np.random.Generator) -> None:
        self.node, self.op, self.plan, self.rng = node, node.op, node.plan, rng
        self.kept = kept
        self.attrs = tuple(_double_dtype(a) for a in node.attrs)
        self.inputs = [_double(x) for x in kept.inputs]
        self.used, self.results = self.run(self.inputs)
        own = run_kernel(self.op, tuple(kept.inputs), node.attrs)
        self.own_used, self.own_results = own
        count = len(self.op.outputs)
        self.floats = [i for i, y in enumerate(kept.outputs) if y.dtype.kind == "f"]
        self.weights = {i: self._weight(self.results[i]) for i in self.floats}
        self.outputs = self.results[:count]
        self.needs = tuple(k in self.plan.needed for k in range(len(kept.inputs)))

    def _weight(self, output: Any) -> Any:
        """A random cotangent; zero where the output is infinite, since nothing moves there."""
        weight = random_like(Tensor(output), self.rng).array
        return xp_of(output).where(xp_of(output).isfinite(output), weight, 0.0)

    def run(self, inputs: Arrays) -> tuple[Any, Any]:
        return run_kernel(self.op, tuple(inputs), self.attrs)

    def saved(self, own: bool = False) -> tuple[Any, ...]:
        used, results = (self.own_used, self.own_results) if own else (self.used, self.results)
        kept = results[0] if len(results) == 1 else results
        save = self.plan.save
        saved: tuple[Any, ...] = save(used, kept) if self.op.variadic else save(*used, kept)
        return saved

    def gradient(self, own: bool = False) -> Any:
        """What the rules call ``g``."""
        dtypes = [self.kept.outputs[i].dtype if own else np.dtype(float) for i in self.floats]
        found = [self.weights[i].astype(d) for i, d in zip(self.floats, dtypes, strict=True)]
        return tuple(found) if len(found) > 1 else found[0]

    def along(self, k: int, base: Arrays, direction: np.ndarray) -> Line:
        """t -> <weights, outputs> with input ``k`` moved, and the sum of the absolute terms."""
        like = Tensor(base[k])
        arrow = _placed(direction, like)
        weights = {i: numpy_of(w) for i, w in self.weights.items()}

        def value(t: float) -> tuple[float, float]:
            moved, there = list(base), base[k] + t * arrow
            moved[k] = np.asarray(there) if isinstance(there, np.generic) else there  # of 0-d
            _, results = self.run(moved)
            terms = [np.where(w, numpy_of(results[i]), 0.0) * w for i, w in weights.items()]
            return float(sum(x.sum() for x in terms)), float(sum(np.abs(x).sum() for x in terms))

        return value


def replayed(node: Node, kept: Kept, rng: np.random.Generator) -> list[Verdict]:
    """Every check of one node, on the arrays that were kept."""
    first = next(x for x in (*kept.inputs, *kept.outputs) if is_array(x))
    with on_device_of(first), np.errstate(all="ignore"), grad_mode(False), recording():
        try:
            with kernels.use("reference"):
                replay = _Replay(node, kept, rng)
        except (TinygradError, ValueError, TypeError) as problem:
            text = f"it cannot be replayed: {str(problem).splitlines()[0]}"
            return [Verdict("open", "forward", text)]
        verdicts = [_forward(replay)]
        known: dict[int, Any] = {}  # right gradients, by input
        for k in node.plan.needed:
            verdict, gradient = _rule(replay, k)
            verdicts.append(verdict)
            if verdict.kind in ("right", "kink"):
                known[k] = gradient
        return [*verdicts, *_served(replay, known)] if known else verdicts


# The forward kernel -------------------------------------------------------------------------------


def _forward(replay: _Replay) -> Verdict:
    """What was computed when the node was recorded, against the reference."""
    op, kept = replay.op, replay.kept
    part = f"forward by {_provider(op.name, kept.inputs, replay.node.attrs)}"
    for k, name in enumerate(op.outputs):
        problem = _far(kept.outputs[k], replay.outputs[k], replay.own_results[k])
        if problem:
            return Verdict("fault", part, f"{name} is not what the reference gives: {problem}")
    return Verdict("right", part)


def _provider(name: str, inputs: Arrays, attrs: tuple[Any, ...]) -> str:
    rows = kernels.candidates(name)
    device = device_of(next(x for x in inputs if is_array(x))).type if inputs else "cpu"
    specs = tuple(spec_of(x) if is_array(x) else x for x in inputs)
    kernel = kernels.choose(rows, device, specs, attrs) if rows is not None else None
    return "the reference" if kernel is None else kernel.provider


def _far(actual: Any, exact: Any, own: Any) -> str:
    """Where ``actual`` is neither the reference in float64 nor that in its own dtype; empty if it
    is close."""
    a, e, o = numpy_of(actual), numpy_of(exact), numpy_of(own)
    if a.shape != o.shape or a.dtype != o.dtype:
        return f"{a.dtype} {a.shape} instead of {o.dtype} {o.shape}"
    if a.dtype.kind != "f":
        wrong = np.asarray(a != o)
        error = wrong.astype(float)
    else:
        a, e, o = (x.astype(np.float64) for x in (a, e, o))
        finite = np.isfinite(e) & np.isfinite(o)
        noise = float(np.abs(o - e)[finite].max(initial=0.0))
        size = float(np.abs(e[finite]).max(initial=0.0))
        error = np.fmin(np.abs(a - e), np.abs(a - o))
        same = (a == e) | (a == o) | (np.isnan(a) & (np.isnan(e) | np.isnan(o)))
        error = np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf))
        limit = _CLOSE[numpy_of(actual).dtype.name] * size + min(8 * noise, 1e-3 * size)
        wrong = error > max(limit, 1e-300)
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.unravel_index(np.argmax(error), a.shape))
    places = f"at {int(wrong.sum())} of {a.size} places, worst at {list(at)}"
    return f"{a[at]:g} instead of {numpy_of(exact)[at]:g} {places}"


# The rules ----------------------------------------------------------------------------------------


def _rule(replay: _Replay, k: int) -> tuple[Verdict, Any]:
    """The rule of one input, in float64 by the reference, along random directions."""
    op = replay.op
    name = op.inputs[0 if op.variadic else k]
    part = f"vjp_{name}" + (f"[{k}]" if op.variadic else "")
    base = list(replay.inputs)
    if any(y.dtype != np.float64 for y in (replay.outputs[i] for i in replay.floats)):
        return Verdict("open", part, "the operator does not compute in float64"), None
    try:
        with kernels.use("reference"):
            gradient = _gradient(replay, k, base, replay.saved())
            arrows = _arrows(replay, k)
            here, smooth = _judged(replay, k, base, gradient, next(arrows))
            if here.settled and smooth:
                return Verdict("right" if here.agrees else "fault", part, str(here)), gradient
            own, smooth = _judged(replay, k, base, gradient, next(arrows))
            if own.settled and smooth:
                kind, text = (
                    ("kink", f"{here}; away from it: {own}") if own.agrees else ("fault", str(own))
                )
                return Verdict(kind, part, text), gradient
            return _beside(replay, k, part, here), gradient
    except TinygradError as problem:
        text = str(problem).splitlines()[0]
        return Verdict("fault", part, f"the rule raised {type(problem).__name__}: {text}"), None
    except (TypeError, ValueError, AttributeError, IndexError) as problem:
        return Verdict("fault", part, f"the rule raised {type(problem).__name__}: {problem}"), None


def _gradient(replay: _Replay, k: int, base: list[Any], saved: tuple[Any, ...]) -> np.ndarray:
    given = replay.plan.rules[k](replay.gradient(), saved, replay.attrs, k)
    return _fitted(replay, k, given)


def _fitted(replay: _Replay, k: int, gradient: Any) -> np.ndarray:
    """The gradient in the shape of its input, as the engine makes it."""
    shape = replay.inputs[k].shape
    if gradient is None:
        return np.zeros(shape)
    found = numpy_of(gradient)
    if found.shape != shape and replay.op.elementwise:
        lead = found.ndim - len(shape)
        axes = [*range(lead)]
        axes += [lead + i for i, n in enumerate(shape) if n == 1 and found.shape[lead + i] != 1]
        found = found.sum(tuple(axes)).reshape(shape)
    if found.shape != shape:
        raise ValueError(f"a gradient of shape {found.shape} for an input of shape {shape}")
    return found


def _arrows(replay: _Replay, k: int) -> Iterator[np.ndarray]:
    """Directions to look along: of the size of the whole input, then of each element's own, which
    leaves zeros alone and never crosses them."""
    values = numpy_of(replay.inputs[k])
    random = numpy_of(random_like(Tensor(replay.inputs[k]), replay.rng))
    yield random * _size(values)
    yield random * np.where(np.isfinite(values), np.abs(values), 0.0)


def _size(values: np.ndarray) -> float:
    """The size of typical elements: the root of their mean square, 1 if all are zero."""
    finite = values[np.isfinite(values)]
    top = float(np.abs(finite).max(initial=0.0))
    return top * float(np.sqrt(np.square(finite / top).mean())) if top else 1.0


def _judged(
    replay: _Replay, k: int, base: Arrays, gradient: np.ndarray, arrow: np.ndarray
) -> tuple[Slope, bool]:
    """The slope along ``arrow``, and whether the function is smooth there: the slopes of both
    sides meet."""
    along = replay.along(k, base, arrow)
    found = slope([gradient], [arrow], along)
    if not np.isfinite(found.rule):
        return found._replace(bound=np.inf), False
    return found, found.agrees or _is_smooth(along, found.scale)


def _is_smooth(along: Line, scale: float) -> bool:
    here, size = along(0.0)
    gaps = []
    for step in (1e-4, 1e-5):
        right, left = (along(step)[0] - here) / step, (here - along(-step)[0]) / step
        gaps.append(abs(right - left))
    noise = 3e-8 * scale + 16 * np.finfo(float).eps * size / 1e-5
    return bool(gaps[1] <= noise or gaps[1] < 0.5 * gaps[0])


def _beside(replay: _Replay, k: int, part: str, here: Slope) -> Verdict:
    """At a kink the differences say nothing of the rule: look at inputs shifted off it."""
    values = numpy_of(replay.inputs[k])
    size = _size(values)
    for sign in (1.0, -1.0, 1.0, -1.0):
        amount = replay.rng.uniform(0.02, 0.1, values.shape)
        away = np.where(values != 0, np.sign(values), replay.rng.choice([-1.0, 1.0], values.shape))
        moved = values + sign * amount * away * np.maximum(np.abs(values), 0.3 * size)
        base = list(replay.inputs)
        base[k] = _placed(moved, Tensor(base[k]))
        other = _Shifted(replay, base)
        gradient = _fitted(replay, k, other.rule(k))
        arrow = numpy_of(random_like(Tensor(base[k]), replay.rng)) * np.maximum(
            np.abs(moved), 0.1 * size
        )
        found, smooth = _judged(replay, k, base, gradient, arrow)
        if found.settled and found.agrees:
            text = f"{here}; beside it they agree"
            return Verdict("kink", part, text)
        if found.settled and smooth:
            return Verdict("fault", part, f"{found}, at inputs shifted off a kink")
    return Verdict("open", part, f"the differences do not settle ({here})")


class _Shifted:
    """The rules of a node at other inputs."""

    def __init__(self, replay: _Replay, base: list[Any]) -> None:
        self.replay = replay
        used, results = replay.run(base)
        kept = results[0] if len(results) == 1 else results
        save = replay.plan.save
        self.saved = save(used, kept) if replay.op.variadic else save(*used, kept)

    def rule(self, k: int) -> Any:
        return self.replay.plan.rules[k](self.replay.gradient(), self.saved, self.replay.attrs, k)


# What serves the rules ----------------------------------------------------------------------------


def _served(replay: _Replay, known: dict[int, Any]) -> Iterator[Verdict]:
    """The fused rule, the compiled kernels, and the rules with the kernels that their operators
    have, against the rules by the reference."""
    op, plan = replay.op, replay.plan
    own_g, own_saved, attrs = replay.gradient(True), replay.saved(True), replay.node.attrs
    xp = xp_of(own_g[0] if isinstance(own_g, tuple) else own_g)
    with kernels.use("reference"):
        own = {k: plan.rules[k](own_g, own_saved, attrs, k) for k in known}
    if plan.fused is not None:
        with kernels.use("reference"):
            found = plan.fused(
                op.fused_vjp, xp, replay.gradient(), replay.needs, replay.saved(), replay.attrs
            )
        yield _compared(replay, "fused_vjp", found, known, known)
    names = dict(zip(plan.names, own_saved, strict=True))
    for row in kernels.candidates(op.name + ".vjp") or ():
        arrays = tuple(names.get(name) for name in op.inputs)
        arrays = (arrays[0] or ()) if op.variadic else arrays
        specs = tuple(spec_of(x) if is_array(x) else x for x in arrays)
        first = next(x for x in replay.kept.inputs if is_array(x))
        if row.device == device_of(first).type and row.supports(specs, attrs):
            reads = names | dict(zip(op.attributes, attrs, strict=True))
            given = [reads.get(name) for name in rule_reads(row.function)]
            found = row.function(xp, own_g, replay.needs, *given)
            part = f"{op.name}.vjp by {row.provider}"
            yield _compared(replay, part, found, known, own)
    met = _Met()
    with recording(met):
        values = zip(plan.kinds, own_saved, strict=True)
        saved = [v if kind == "shape" else _tensors(v) for (kind, _), v in values]
        rules = {k: plan.rules[k](_tensors(own_g), saved, attrs, k) for k in known}
    found = [rules.get(k) for k in range(len(replay.needs))]
    verdict = _compared(replay, "the rules with kernels", found, known, own)
    if verdict.kind == "fault" and met.wrong():
        part = f"the kernel of {met.wrong()}, which its rules run"
        verdict = Verdict("fault", part, verdict.text)
    if met.kernels or verdict.kind == "fault":
        yield verdict


def _compared(
    replay: _Replay, part: str, found: Any, known: dict[int, Any], own: dict[int, Any]
) -> Verdict:
    if found is None:  # it declines this case
        return Verdict("right", part)
    for k, exact in known.items():
        if found[k] is None:
            if np.any(exact):
                return Verdict("fault", part, f"no gradient of {_input(replay, k)}")
            continue
        try:
            actual, ours = _fitted(replay, k, found[k]), _fitted(replay, k, own[k])
        except ValueError as problem:
            return Verdict("fault", part, str(problem))
        problem_text = _far(actual.astype(ours.dtype), exact, ours)
        if problem_text:
            return Verdict("fault", part, f"the gradient of {_input(replay, k)}: {problem_text}")
    return Verdict("right", part)


def _input(replay: _Replay, k: int) -> str:
    op = replay.op
    return f"{op.inputs[0]}[{k}]" if op.variadic else op.inputs[k]


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
                double = tuple(_double(x) for x in given)
                _, exact = run_kernel(op, double, tuple(_double_dtype(a) for a in attrs))
            if any(_far(a, e, o) for a, e, o in zip(outputs, exact, own, strict=False)):
                return f"{op.name} by {_provider(op.name, given, attrs)}"
        return ""


# Small things -------------------------------------------------------------------------------------


def _double(value: Any) -> Any:
    if is_array(value) and value.dtype.kind == "f":
        return value.astype(np.float64)
    return value


def _double_dtype(value: Any) -> Any:
    return np.dtype(np.float64) if isinstance(value, np.dtype) and value.kind == "f" else value


def _placed(values: np.ndarray, like: Tensor) -> Any:
    with on_device_of(like.array):
        return xp_of(like.array).asarray(values)


def _tensors(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_tensors, value))
    return Tensor(value) if is_array(value) else value
