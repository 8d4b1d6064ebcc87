"""One recorded node once more: its operator on the arrays that were kept, by the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.differences import numpy_of, random_like
from tinygrad_cv.autograd.quotients import Curve
from tinygrad_cv.autograd.retain import Kept
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import copy_of, is_array, on_device_of, xp_of
from tinygrad_cv.backend.dispatch import run_kernel
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import TinygradError

__all__ = ["Overwritten", "Replay", "Run", "Verdict", "double", "double_dtype", "guarded"]


class Verdict(NamedTuple):
    """What one check of a node found: ``kind`` is "right", "fault", "kink" or "open"."""

    kind: str
    part: str
    text: str = ""


class Overwritten(ValueError):
    """A rule wrote into what it was given."""


class Run:
    """One run of a node's operator, and what its rules read of it.

    Attributes:
        inputs, attrs: what it is given.
        results: outputs and residuals.
        saved: as a node would have saved it.
        g: what the rules call so: the cotangents ``weights`` in the dtypes of the outputs.
    """

    def __init__(self, node: Node, inputs: Sequence[Any], attrs: tuple[Any, ...]) -> None:
        self.plan, self.inputs, self.attrs = node.plan, tuple(inputs), attrs
        op = node.op
        used, self.results = run_kernel(op, self.inputs, attrs)
        kept = self.results[0] if len(self.results) == 1 else self.results
        save = node.plan.save
        self.saved: tuple[Any, ...] = save(used, kept) if op.variadic else save(*used, kept)
        self.g: Any = None
        self.gradients: dict[int, Any] = {}  # of g, as far as they were asked for

    def weighted(self, weights: dict[int, Any]) -> Run:
        self.g = self.cotangents(weights)
        return self

    def cotangents(self, weights: dict[int, Any]) -> Any:
        """Weights by the place of the output, as rules are given them."""
        like = {i: self.results[i] for i in weights}
        found = [_placed(w, like[i]).astype(like[i].dtype) for i, w in weights.items()]
        return tuple(found) if len(found) > 1 else found[0]

    def rule(self, k: int, g: Any = None) -> Any:
        """What the rule of input ``k`` gives, on raw arrays; of other cotangents than its own if
        ``g`` are there."""
        if g is None and k in self.gradients:
            return self.gradients[k]
        given = self.g if g is None else g
        with guarded(g=given, **self.named):
            found = self.plan.rules[k](given, self.saved, self.attrs, k)
        if g is None:
            self.gradients[k] = found
        return found

    @property
    def named(self) -> dict[str, Any]:
        """What was saved, by the names that rules read."""
        return dict(zip(self.plan.names, self.saved, strict=True))


class Replay:
    """A node's operator on its kept arrays.

    Attributes:
        exact: in float64.
        own: in the dtypes that it had.
        weights: a random cotangent for each floating output, by its position.
        needs: for each input, whether it needs a gradient.
    """

    def __init__(self, node: Node, kept: Kept, rng: np.random.Generator) -> None:
        self.node, self.op, self.plan, self.kept, self.rng = node, node.op, node.plan, kept, rng
        self.exact = Run(node, [double(x) for x in kept.inputs], double_dtype(node.attrs))
        self.own = Run(node, kept.inputs, node.attrs)
        floats = [i for i, y in enumerate(kept.outputs) if y.dtype.kind == "f"]
        self.weights = {i: self._weight(self.exact.results[i]) for i in floats}
        self.exact.weighted(self.weights)
        self.own.weighted(self.weights)
        self.needs = tuple(k in self.plan.needed for k in range(len(kept.inputs)))

    def _weight(self, output: Any) -> Any:
        """A random cotangent; zero where the output is infinite, since nothing moves there."""
        weight = random_like(Tensor(output), self.rng).array
        return xp_of(output).where(xp_of(output).isfinite(output), weight, 0.0)

    @property
    def in_float64(self) -> bool:
        """False if the operator itself computes in another precision."""
        return all(self.exact.results[i].dtype == np.float64 for i in self.weights)

    def at(self, k: int, values: np.ndarray) -> Run:
        """The run in float64 with other values of input ``k``."""
        inputs = list(self.exact.inputs)
        inputs[k] = _placed(values, inputs[k])
        return Run(self.node, inputs, self.exact.attrs).weighted(self.weights)

    def scaled(self) -> Replay | None:
        """The same with the largest element of each floating input 1, where rounding inside the
        operator does not drown what it gives; None if it refuses such inputs."""
        inputs = [_to_size_one(x) for x in self.kept.inputs]
        try:
            with kernels.use("reference"):
                return Replay(self.node, self.kept._replace(inputs=tuple(inputs)), self.rng)
        except (TinygradError, ValueError, TypeError):
            return None

    def curve(self, run: Run, k: int, direction: np.ndarray) -> Curve:
        """t -> the floating outputs, flat, with input ``k`` moved."""
        base = run.inputs[k]
        arrow = _placed(direction, base)

        def outputs(t: float) -> np.ndarray:
            moved, there = list(run.inputs), base + t * arrow if t else base
            moved[k] = np.asarray(there) if isinstance(there, np.generic) else there  # of 0-d
            try:
                _, results = run_kernel(self.op, tuple(moved), run.attrs)
            except (TinygradError, ValueError):  # outside the domain
                return np.full(sum(w.size for w in self.weights.values()), np.nan)
            found = [numpy_of(results[i]).ravel() for i in self.weights]
            return found[0] if len(found) == 1 else np.concatenate(found)

        return outputs

    def fitted(self, k: int, gradient: Any) -> np.ndarray:
        """The gradient in the shape of its input, as the engine makes it."""
        shape = self.kept.inputs[k].shape
        if gradient is None:
            return np.zeros(shape)
        found = numpy_of(gradient)
        if found.shape != shape and self.op.elementwise:
            lead = found.ndim - len(shape)
            axes = [*range(lead)]
            axes += [lead + i for i, n in enumerate(shape) if n == 1 and found.shape[lead + i] != 1]
            found = found.sum(tuple(axes)).reshape(shape)
        if found.shape != shape:
            raise ValueError(f"a gradient of shape {found.shape} for an input of shape {shape}")
        return found

    def name_of(self, k: int) -> str:
        """What input ``k`` is called."""
        return f"{self.op.inputs[0]}[{k}]" if self.op.variadic else self.op.inputs[k]


@contextmanager
def guarded(**given: Any) -> Iterator[None]:
    """Put back what the block writes into the arrays that it was given, and raise Overwritten."""
    kept = []
    for name, value in given.items():
        kept += [(name, x, copy_of(x)) for x in flatten(value)[0] if is_array(x)]
    yield
    written = [(n, x, c) for n, x, c in kept if numpy_of(x).tobytes() != numpy_of(c).tobytes()]
    for _, array, copy in written:
        with on_device_of(array):
            array[...] = copy
    if written:
        names = ", ".join(dict.fromkeys(name for name, *_ in written))
        raise Overwritten(f"it writes into its argument {names}")


def double(value: Any) -> Any:
    """A floating array in float64; anything else as it is."""
    if is_array(value) and value.dtype.kind == "f":
        with on_device_of(value):
            return value.astype(np.float64)
    return value


def double_dtype(attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The attributes, with float64 for the dtype to compute in."""
    floating = [isinstance(a, np.dtype) and a.kind == "f" for a in attrs]
    return tuple(np.dtype(np.float64) if f else a for f, a in zip(floating, attrs, strict=True))


def _to_size_one(value: Any) -> Any:
    if not is_array(value) or value.dtype.kind != "f":
        return value
    with on_device_of(value):
        finite = abs(value[xp_of(value).isfinite(value)])
        top = float(finite.max()) if finite.size else 0.0
        return xp_of(value).asarray(value / value.dtype.type(top or 1.0))


def _placed(values: np.ndarray, like: Any) -> Any:
    with on_device_of(like):
        return xp_of(like).asarray(values)
