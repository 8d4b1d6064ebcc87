"""Running an operator on raw arrays: one device, promotion, shape rule, best kernel.

An operator is known here by its declarations only: name, inputs, ``infer`` and ``forward``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import CPU, add, device_of, on_device_of, xp_of
from tinygrad_cv.backend.elementwise import in_promised_order
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.errors import NO_VALUE, ArgumentError, BackendError, DTypeError, TinygradError

__all__ = ["fused_rules", "run_kernel", "run_rules", "sum_of"]

Arrays = tuple[Any, ...]

LARGE_RULE = 2 << 20  # bytes of an array from which on fresh memory costs more than Tensors do


def run_kernel(op: Any, arrays: Arrays, attrs: tuple[Any, ...]) -> tuple[Arrays, Arrays]:
    """Run the best kernel of ``op``. Returns the inputs as they were used (promoted, for an
    elementwise operator) and the flat tuple of outputs and residuals.

    Raises:
        BackendError: the inputs are on different devices.
        TinygradError: what the operator's ``infer`` refuses.
    """
    if kernels.watchers:
        kernels.begins(op.name)
    device = _common_device(op, arrays, attrs)
    if device != "cuda":
        return _run(op, arrays, attrs, device, np)
    first = next(x for x in arrays if hasattr(x, "dtype"))
    with on_device_of(first):
        return _run(op, arrays, attrs, device, xp_of(first))


def _run(op: Any, arrays: Arrays, attrs: Arrays, device: str, xp: Any) -> tuple[Arrays, Arrays]:
    if op.elementwise:
        arrays = op.promoted(arrays)
    rows = kernels.candidates(op.name)
    meta = device == "meta"
    specs: Arrays = ()
    if op.shaped or meta or rows is not None:
        specs = _specs(arrays)
    if op.shaped or meta:
        inferred = _called(op, op.infer, specs, attrs)
        if meta:
            return arrays, (inferred,) if isinstance(inferred, Spec) else tuple(inferred)
    kernel = kernels.choose(rows, device, specs, attrs) if rows is not None else None
    given = (arrays, *attrs) if op.variadic else (*arrays, *attrs)
    try:
        result = None if kernel is None else kernel.function(xp, *given)
        if result is None:
            result = op.forward(xp, *given)
        elif kernels.watchers and kernel is not None:
            kernels.served(op.name, kernel.provider)
    except (ValueError, TypeError, OverflowError) as problem:
        if isinstance(problem, TinygradError):
            raise
        if not op.shaped:
            _called(op, op.infer, _specs(arrays), attrs)  # raises the error that explains
        if op.elementwise:
            raise _not_computable(op, arrays, problem) from problem
        raise
    if op.elementwise:
        result = in_promised_order(op, xp, arrays, attrs, result)
    if type(result) is tuple:
        return arrays, tuple([_whole(op, k, item) for k, item in enumerate(result)])
    return arrays, (_whole(op, 0, result),)


def sum_of(a: Any, b: Any, out: Any = None) -> Any:
    """``a + b`` of two arrays of one shape, by the best kernel of the operator "add"; into ``out``
    if it is given."""
    rows = kernels.candidates("add") if out is None and isinstance(a, np.ndarray) else None
    kernel = kernels.choose(rows, "cpu", (spec_of(a), spec_of(b)), ()) if rows is not None else None
    found = None if kernel is None else kernel.function(np, a, b)
    return add(a, b, out) if found is None else found


def run_rules(
    plan: Any,
    gradient: Any,
    needs: tuple[bool, ...],
    saved: Sequence[Any],
    attrs: Arrays,
    each: Callable[..., Sequence[Any]] | None = None,
) -> Sequence[Any]:
    """The first-order gradients of the inputs; None where ``needs`` does not ask for one.

    The best of a kernel of the table, the operator's own ``fused_vjp``, and its rules one by one,
    run by ``plan.each``, or for large arrays by ``each`` if it is given. A kernel reads saved
    values and attributes by name, and gets None for what this node had no reason to save.
    """
    several = gradient if isinstance(gradient, tuple) else (gradient,)
    first = next(x for x in several if x is not None)
    with on_device_of(first):
        fused = _fused(plan, gradient, needs, saved, attrs, xp_of(first))
        if fused is not None:
            return [x if need else None for x, need in zip(fused, needs, strict=True)]
        if (
            each is not None
            and type(first) is np.ndarray
            and any(getattr(x, "nbytes", 0) >= LARGE_RULE for x in (first, *saved))
        ):
            return each(plan, gradient, needs, saved, attrs)
        return plan.each(gradient, needs, saved, attrs)  # type: ignore[no-any-return]


def _fused(
    plan: Any, gradient: Any, needs: tuple[bool, ...], saved: Sequence[Any], attrs: Arrays, xp: Any
) -> Arrays | None:
    name = plan.op.name + ".vjp"
    if plan.fused is None and kernels.candidates(name) is None:
        return None
    for provider, run in fused_rules(plan, gradient, needs, saved, attrs, xp):
        found = run()
        if found is not None:
            if kernels.watchers:
                kernels.served(name, provider)
            return found
    return None


def fused_rules(
    plan: Any, gradient: Any, needs: tuple[bool, ...], saved: Sequence[Any], attrs: Arrays, xp: Any
) -> Iterator[tuple[str, Callable[[], Arrays | None]]]:
    """What can give all gradients of a node at once, the best first: who provides it, and its run,
    which gives None if these arrays are no case for it."""
    op = plan.op
    rows = kernels.candidates(op.name + ".vjp")
    if rows is not None:
        known = dict(zip(plan.names, saved, strict=True))
        arrays = tuple(known.get(name) for name in op.inputs)
        specs = _specs((arrays[0] or ()) if op.variadic else arrays)
        known |= zip(op.attributes, attrs, strict=True)
        while kernel := kernels.choose(rows, "cpu" if xp is np else "cuda", specs, attrs):
            reads = (known.get(name) for name in _reads(kernel.function))
            yield kernel.provider, partial(kernel.function, xp, gradient, needs, *reads)
            rows = rows[rows.index(kernel) + 1 :]
    if plan.fused is not None:
        yield "fused_vjp", partial(plan.fused, op.fused_vjp, xp, gradient, needs, saved, attrs)


@functools.cache
def _reads(kernel: Any) -> tuple[str, ...]:
    """What a fused kernel reads: its parameters after ``xp, g, needs``."""
    return tuple(inspect.signature(kernel).parameters)[3:]


def _called(op: Any, function: Any, arrays: Arrays, attrs: Arrays) -> Any:
    return function(arrays, *attrs) if op.variadic else function(*arrays, *attrs)


def _not_computable(op: Any, arrays: Arrays, problem: Exception) -> DTypeError:
    """What NumPy could not do with inputs whose shapes fit."""
    inputs = list(zip(op.inputs, arrays, strict=True))
    for name, value in inputs:
        if value is None:
            return DTypeError(op.name, f"{name} must be a tensor or a number, not None")
    return DTypeError(
        op.name,
        f"these inputs cannot be computed with ({problem})",
        values=[
            (n, str(x.dtype), str(x.shape)) if hasattr(x, "dtype") else (n, x) for n, x in inputs
        ],
        repair="Convert them first, for example with .float() or .long().",
    )


def _whole(op: Any, k: int, result: Any) -> Any:
    """Result ``k`` of ``op``. What NumPy makes of 0-d results is a scalar; here it is an array
    again."""
    if isinstance(result, np.ndarray):
        return result
    if k < len(op.outputs) and not hasattr(result, "dtype"):
        raise ArgumentError(
            op.name,
            f"forward must return an array, or a tuple of arrays, not {type(result).__name__}",
            repair=NO_VALUE if result is None else None,
        )
    return np.asarray(result) if isinstance(result, np.generic) else result


def _specs(arrays: Arrays) -> Arrays:
    return tuple(spec_of(x) if hasattr(x, "dtype") else x for x in arrays)


def _common_device(op: Any, arrays: Arrays, attrs: Arrays) -> str:
    """The type of the device on which all inputs lie."""
    found = None
    for array in arrays:
        if type(array) is np.ndarray:
            here = CPU
        elif array is None or isinstance(array, (bool, int, float)):
            continue
        else:
            try:
                here = device_of(array)
            except DTypeError:
                raise _no_array(op, arrays, array) from None
        if found is None:
            found = here
        elif here != found:
            raise _different_devices(op, arrays, attrs, found)
    if found is None and arrays and arrays[0] is None:
        raise _no_array(op, arrays, None)
    return found.type if found is not None else "cpu"


def _no_array(op: Any, arrays: Arrays, value: Any) -> DTypeError:
    """What is neither an array nor a number, by the name of its input."""
    place = 0 if op.variadic else [x is value for x in arrays].index(True)
    return DTypeError(
        op.name,
        f"{op.inputs[place]} must be a tensor or a number, not {type(value).__name__} "
        f"{value!r:.40}",
        repair="Convert it with tg.tensor(...) if it holds numbers.",
    )


def _different_devices(op: Any, arrays: Arrays, attrs: Arrays, first: Any) -> BackendError:
    names = [f"{op.inputs[0]}[{k}]" for k in range(len(arrays))] if op.variadic else op.inputs
    named = zip(names, arrays, strict=True)
    return BackendError(
        op.name if op.public_name is None else op.public_name(*attrs),
        "the inputs are on different devices",
        values=[(name, str(device_of(x))) for name, x in named if hasattr(x, "dtype")],
        repair=f'Move them to one device, for example with .to("{first}").',
    )
