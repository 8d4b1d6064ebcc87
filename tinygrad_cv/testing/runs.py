"""Running a case: forward, backward, recorded, and on inputs in other precision or memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_cv.backend import array as backend_array
from tinygrad_cv.backend.elementwise import in_promised_order
from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.testing.case import Case, CheckFailure, to_tensors
from tinygrad_cv.testing.compare import numpy_of, random_like, vjp

__all__ = ["backward", "recorded_calls", "run"]


def run(case: Case, leaves: Sequence[np.ndarray], device: str) -> list[Tensor]:
    """The outputs for read-only copies of ``leaves``; fails if an input was changed."""
    tensors = to_tensors(leaves, device)
    before = [numpy_of(t).tobytes() for t in tensors] if device != "meta" else []
    outputs = case.call(tensors)
    if not outputs:
        raise CheckFailure("the function returned no Tensor")
    if device != "meta":
        _unchanged(case, before, tensors)
        for y in outputs:
            if not backend_array.is_array(y.array):
                raise CheckFailure(f"an output holds a {type(y.array).__name__}, not an array")
    return outputs


def backward(
    case: Case,
    leaves: Sequence[np.ndarray],
    device: str,
    create_graph: bool = False,
    layout: str = "contiguous",
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Outputs, gradients of the differentiable inputs, and the cotangents, always the same ones."""
    wanted = case.differentiable()
    tensors = to_tensors(leaves, device, wanted, layout)
    before = [numpy_of(t).tobytes() for t in tensors]
    outputs = case.call(tensors)
    rng = case.rng(2)
    cotangents = [random_like(y, rng) for y in floating(outputs)]
    copies = [np.array(numpy_of(g)) for g in cotangents]
    inputs = [tensors[i] for i in wanted]
    grads = vjp(floating(outputs), inputs, cotangents, create_graph)
    _unchanged(case, before, tensors)
    for g, copy in zip(cotangents, copies, strict=True):
        if numpy_of(g).tobytes() != copy.tobytes():
            raise CheckFailure("a rule changed the cotangent it was given")
    for i, grad in zip(wanted, grads, strict=True):
        if tuple(grad.shape) != leaves[i].shape:
            raise CheckFailure(
                f"the gradient of {case.names()[i]} has shape {tuple(grad.shape)}, "
                f"not {leaves[i].shape}"
            )
        for other in (*cotangents, *tensors, *outputs):
            if not create_graph and share_memory(grad.array, other.array):
                raise CheckFailure(f"the gradient of {case.names()[i]} shares memory")
    return outputs, grads, cotangents


def share_memory(a: Any, b: Any) -> bool:
    """True if two arrays may share memory; on different devices they do not, and a NumPy scalar
    has none."""
    if not (backend_array.is_array(a) and backend_array.is_array(b)):
        return False
    if backend_array.device_of(a) != backend_array.device_of(b):
        return False
    with backend_array.on_device_of(a):
        return bool(backend_array.xp_of(a).may_share_memory(a, b))


class _Recorder(mode.Recorder):
    """Collects the operators that run, with the raw inputs they saw."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = []

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        arrays = map_arrays(lambda array: array, inputs)
        if op.elementwise:
            with backend_array.on_device_of(first_array(arrays)):
                arrays = op.promoted(arrays)
        self.calls.append((op, (arrays,) if op.variadic else arrays, tuple(attrs)))


class _Met(mode.Recorder):
    """Collects the operators that run, also for a gradient that is itself recorded."""

    def __init__(self) -> None:
        self.ops: set[Any] = set()

    def add(self, op: Any, *_: Any) -> None:
        self.ops.add(op)


@contextmanager
def met_operators() -> Iterator[set[Any]]:
    """The operators that run inside the block, as a set that fills."""
    met = _Met()
    with mode.recording(met):
        yield met.ops


def recorded_calls(
    case: Case,
    device: str = "cpu",
    leaves: Sequence[np.ndarray] | None = None,
    layout: str = "contiguous",
) -> list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]]:
    """The operators that a case runs forward: (operator, raw inputs, attributes).

    Args:
        case: what to run.
        device: where the arrays lie.
        leaves: other arrays for those of the case; default: the case's own in float64.
        layout: their memory order.

    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.testing import Case
    >>> def softsign(x):
    ...     return x / (1 + abs(x))
    >>> case = Case(softsign, (np.array([1.0, -3.0]),), reference=lambda x: x / (1 + np.abs(x)))
    >>> [operator.name for operator, inputs, attributes in recorded_calls(case)]
    ['abs', 'add', 'div']
    """
    recorder = _Recorder()
    arrays = double(case.leaves()) if leaves is None else leaves
    tensors = to_tensors(arrays, device, layout=layout)
    with mode.recording(recorder):
        case.call(tensors)
    return recorder.calls


def forward(op: Any, inputs: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """The reference kernel of an operator on raw inputs, its result lying as the engine lays it."""
    result = computed(op.forward, inputs, attrs)
    if not op.elementwise:
        return result
    with backend_array.on_device_of(first_array(inputs)):
        xp = backend_array.xp_of(first_array(inputs))
        return in_promised_order(op, xp, inputs, attrs, result)


def computed(function: Any, inputs: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """What a kernel makes of raw inputs, on their device and in silence, as the engine calls it."""
    first = first_array(inputs)
    with np.errstate(all="ignore"), backend_array.on_device_of(first):
        return function(backend_array.xp_of(first), *inputs, *attrs)


def map_arrays(function: Callable[[Any], Any], item: Any) -> Any:
    """``function`` of every array in nested tuples; Tensors give their array, the rest passes."""
    if isinstance(item, Tensor):
        return function(item.array)
    if backend_array.is_array(item):
        return function(item)
    if isinstance(item, (tuple, list)):
        return tuple(map_arrays(function, part) for part in item)
    return item


def first_array(inputs: Any) -> Any:
    """The first array among the inputs, which says where to compute; without one the host does."""
    found: list[Any] = []
    map_arrays(found.append, inputs)
    return found[0] if found else np.zeros(())


def flatten_arrays(result: Any) -> list[np.ndarray]:
    """What a reference returned, as a flat list of arrays."""
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in flatten_arrays(part)]
    return [np.asarray(result)]


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One output as a tuple of one. A Spec is a tuple, too, and must stay whole."""
    return (result,) if backend_array.is_array(result) or not isinstance(result, tuple) else result


def floating(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs that can have a gradient."""
    return [y for y in outputs if y.dtype.kind == "f"]


def cast(leaves: Sequence[np.ndarray], dtype: Any) -> list[np.ndarray]:
    """The floating leaves in another precision."""
    return [leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf for leaf in leaves]


def double(leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The floating leaves in float64."""
    return cast(leaves, np.float64)


def same_count(actual: Sequence[Any], expected: Sequence[Any], what: str = "") -> None:
    if len(actual) != len(expected):
        raise CheckFailure(f"{what}{len(actual)} results, expected {len(expected)}")


def _unchanged(case: Case, before: Sequence[bytes], tensors: Sequence[Tensor]) -> None:
    for name, old, tensor in zip(case.names(), before, tensors, strict=True):
        if numpy_of(tensor).tobytes() != old:
            raise CheckFailure(f"the input {name} was changed")


@contextmanager
def generic_rules(case: Case, device: str) -> Iterator[None]:
    """Takes the fused rules of the operators of this case out of the way."""
    ops = {op for op, _, _ in recorded_calls(case, device) if op.fused_vjp is not None}
    taken = [(plan, plan.fused) for op in ops for plan in op._plans.values()]
    for plan, _ in taken:
        plan.fused = None
    try:
        yield
    finally:
        for plan, fused in taken:
            plan.fused = fused
