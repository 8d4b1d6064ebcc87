"""The generic checks that every case of every operator passes."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import Device, as_device
from tinygrad_cv.backend.spec import Spec, layout_of, spec_of
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError
from tinygrad_cv.testing.case import Case, CheckFailure, flatten, layouts, to_tensors
from tinygrad_cv.testing.compare import assert_close, check_derivatives, numpy_of, random_like, vjp
from tinygrad_cv.testing.runs import (
    as_tuple,
    backward,
    cast,
    computed,
    double,
    flatten_arrays,
    floating,
    forward,
    generic_rules,
    map_arrays,
    met_operators,
    recorded_calls,
    run,
    same_count,
    share_memory,
)

__all__ = ["CHECKS", "check_case"]


def check_case(case: Case, device: str = "cpu", only: Sequence[str] | None = None) -> None:
    """Runs every generic check on one case; raises CheckFailure at the first fault.

    Args:
        case: what to check.
        device: where the arrays lie, among the arguments too: "cpu", "cuda", "cuda:1".
        only: names of checks to run; default all of ``testing.CHECKS`` but those the case skips.

    Example:
        >>> import numpy as np, tinygrad_cv as tg
        >>> from tinygrad_cv.testing import Case, check_case
        >>> x = np.array([[1.0, -2.0], [0.5, 3.0]])
        >>> check_case(Case(tg.tanh, (x,), reference=np.tanh))
    """
    unknown = set(case.skip) - set(CHECKS)
    if unknown:
        raise CheckFailure(f"{case.id}: skip names no check: {sorted(unknown)}")
    case = case.moved(device)
    for name, check in CHECKS.items():
        if name in case.skip or (only is not None and name not in only):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # IEEE values come without a warning
                check(case, device)
        except CheckFailure as failure:
            raise CheckFailure(f"{case.id}: check '{name}': {failure}") from None
        except Exception as error:
            message = f"{case.id}: check '{name}': {type(error).__name__}: {error}"
            raise CheckFailure(message) from error
    if "meta" in case.skip and (only is None or "meta" in only):
        _check_meta_refused(case)


def check_value(case: Case, device: str) -> None:
    """The result equals the reference, shape for shape; the inputs are as they were."""
    leaves = double(case.leaves())
    outputs = run(case, leaves, device)
    if case.reference is not None:
        expected = list(flatten_arrays(case.reference(*case.arguments(leaves))))
        same_count(outputs, expected)
        for k, (actual, wanted) in enumerate(zip(outputs, expected, strict=True)):
            assert_close(actual, wanted, case.rtol, what=f"output {k}")


def check_infer(case: Case, device: str) -> None:
    """``infer`` of every operator that ran promises the shape, dtype and layout that came out."""
    leaves = double(case.leaves())
    calls = recorded_calls(case, device, leaves)
    if any(leaf.ndim > 2 for leaf in leaves):
        calls += recorded_calls(case, device, leaves, "channels_last")
    for op, inputs, attrs in (c for c in calls if hasattr(c[0], "infer")):  # a Function has none
        promised = as_tuple(op.infer(*map_arrays(spec_of, inputs), *attrs))
        real = as_tuple(forward(op, inputs, attrs))
        labels = [*op.outputs, *op.residuals]
        _check_aliases(op, inputs, real)
        same_count(promised, real, f"{op.name}: infer against forward: ")
        for label, spec, array in zip(labels, promised, real, strict=True):
            _compare_spec(f"{op.name}: infer of {label}", spec, array)


def _check_aliases(op: Any, inputs: Any, results: Sequence[Any]) -> None:
    """Outputs have memory of their own, unless the operator says that it is a view."""
    arrays: list[Any] = []
    map_arrays(arrays.append, inputs)
    for label, result in zip(op.outputs, results, strict=False):
        for array in arrays[1:] if op.view else arrays:
            if share_memory(array, result):
                raise CheckFailure(
                    f"{op.name}: {label} shares memory with input, view is {op.view}"
                )


def check_meta(case: Case, device: str) -> None:
    """On the meta device the same shapes, dtypes and layouts come out, without data."""
    leaves = case.leaves()
    real = run(case, leaves, device)
    specs = run(case, leaves, "meta")
    same_count(specs, real)
    for k, (spec, tensor) in enumerate(zip(specs, real, strict=True)):
        _compare_spec(f"output {k} on meta", spec.array, tensor.array)


def _check_meta_refused(case: Case) -> None:
    """A case that cannot run on meta says so with a GraphError."""
    try:
        run(case, case.leaves(), "meta")
    except GraphError:
        return
    except Exception as error:
        message = f"{type(error).__name__} instead of a GraphError: {error}"
        raise CheckFailure(f"{case.id}: on meta: {message}") from error
    raise CheckFailure(f"{case.id}: skips 'meta' but runs there")


def check_device(case: Case, device: str) -> None:
    """Results and gradients lie where the inputs lie, whichever device is the current one."""
    if device == "cpu":
        return  # there is no other place
    here, leaves = as_device(device), double(case.leaves())
    found = [(f"output {k}", y) for k, y in enumerate(run(case, leaves, device))]
    _expect_device(found, here)
    names = [f"the gradient of {case.names()[i]}" for i in case.differentiable()]
    for create_graph in (False, True):
        _, grads, _ = backward(case, leaves, device, create_graph)
        _expect_device(list(zip(names, grads, strict=True)), here)


def _expect_device(found: Sequence[tuple[str, Tensor]], device: Device) -> None:
    for what, tensor in found:
        if tensor.device != device:
            raise CheckFailure(f"{what} lies on {tensor.device}, the inputs on {device}")


def check_derivative(case: Case, device: str) -> None:
    """The vjp, and the vjp of the vjp, equal differences along random directions in float64."""
    wanted = case.differentiable()
    if not wanted or case.order == 0:
        return
    leaves = double(case.leaves())
    rng = case.rng(1)
    if case.kinks:
        for i in wanted:
            shift = rng.uniform(0.02, 0.1, leaves[i].shape) * rng.choice([-1, 1], leaves[i].shape)
            leaves[i] = np.asarray(leaves[i] + shift)
    fixed = to_tensors(leaves, device)

    def function(points: list[Tensor]) -> list[Tensor]:
        tensors = list(fixed)
        for i, point in zip(wanted, points, strict=True):
            tensors[i] = point
        return floating(case.call(tensors))

    names = case.names()
    labels = [f"{names[i]} (input {i})" for i in wanted]
    check_derivatives(function, [fixed[i] for i in wanted], case.order, rng, labels)


def check_gradient(case: Case, device: str) -> None:
    """The gradient equals the case's own formula for it (kinks and ties)."""
    if case.gradient is None:
        return
    leaves = double(case.leaves())
    _, grads, cotangents = backward(case, leaves, device)
    weights = tuple(numpy_of(g) for g in cotangents)
    given = case.gradient(weights[0] if len(weights) == 1 else weights, *case.arguments(leaves))
    expected = list(flatten_arrays(given))
    same_count(grads, expected)
    for i, actual, wanted in zip(case.differentiable(), grads, expected, strict=True):
        assert_close(actual, wanted, 1e-9, what=f"the gradient of {case.names()[i]}")


def check_modes(case: Case, device: str) -> None:
    """Raw arrays, Tensors (``create_graph``) and fused rules give the same gradients."""
    if not case.differentiable():
        return
    leaves = double(case.leaves())
    _, traced, _ = backward(case, leaves, device, create_graph=True)
    _, served, _ = backward(case, leaves, device)
    with kernels.use("reference"), generic_rules(case, device):
        _, raw, _ = backward(case, leaves, device)
    for i, a, b, c in zip(case.differentiable(), served, raw, traced, strict=True):
        name = case.names()[i]
        assert_close(b, c, 1e-12, what=f"the gradient of {name}, raw against Tensors")
        assert_close(a, b, 1e-9, what=f"the gradient of {name}, fused against generic rules")


def check_kernels(case: Case, device: str) -> None:
    """Every kernel in the table that takes the case gives what the reference gives."""
    for dtype, rtol in ((np.float64, 1e-10), (np.float32, 2e-5)):
        leaves = cast(case.leaves(), dtype)
        for layout in layouts(leaves, "contiguous", "channels_last"):
            for op, inputs, attrs in recorded_calls(case, device, leaves, layout):
                _compare_kernels(op, inputs, attrs, device, rtol)
            if case.differentiable():
                _compare_kernel_gradients(case, leaves, device, layout, rtol)


def _compare_kernels(op: Any, inputs: Any, attrs: Any, device: str, rtol: float) -> None:
    rows = [k for k in kernels.candidates(op.name) or () if k.device == device.partition(":")[0]]
    specs = map_arrays(spec_of, inputs)
    rows = [k for k in rows if k.supports(specs, attrs)]
    if not rows:
        return
    expected = as_tuple(forward(op, inputs, attrs))
    for kernel in rows:
        found = computed(kernel.function, inputs, attrs)
        real = expected if found is None else as_tuple(found)  # None: it leaves these arrays alone
        same_count(real, expected, f"{op.name} by {kernel.provider}: ")
        for label, a, b in zip([*op.outputs, *op.residuals], real, expected, strict=True):
            what = f"{label} of {op.name} by {kernel.provider}"
            assert_close(a, b, rtol, what=what, dtype=True)
            if a.flags.c_contiguous is False and layout_of(a) != layout_of(b):
                raise CheckFailure(f"{what} has layout {layout_of(a)}, reference {layout_of(b)}")


def _compare_kernel_gradients(
    case: Case, leaves: Any, device: str, layout: str, rtol: float
) -> None:
    """The same for gradients: with every provider, against the reference (fused rules included)."""
    with kernels.use("reference"), met_operators() as met:
        _, expected, _ = backward(case, leaves, device, True, layout)
    for provider in _providers(met, device):
        with kernels.use(provider):
            _, real, _ = backward(case, leaves, device, layout=layout)
        for i, a, b in zip(case.differentiable(), real, expected, strict=True):
            what = f"the gradient of {case.names()[i]} by {provider}"
            assert_close(a, b, max(rtol, 1e-9), what=what, dtype=True)


def _providers(ops: set[Any], device: str) -> list[str]:
    """Who can serve these operators or their gradients on a device; the reference stands for fused
    rules, which may in turn call what no recording shows."""
    rows = [row for rows in kernels.TABLE.values() for row in rows]
    here = [row for row in rows if row.device == device.partition(":")[0]]
    if any(op.fused_vjp is not None for op in ops):
        return sorted({row.provider for row in here} or {"reference"})
    names = {op.name for op in ops}
    return sorted({row.provider for row in here if row.op.removesuffix(".vjp") in names})


def check_memory(case: Case, device: str) -> None:
    """Strided, reversed, transposed and channels-last inputs give the same numbers."""
    leaves = double(case.leaves())
    expected, wanted, _ = backward(case, leaves, device)
    for layout in layouts(leaves, "strided", "reversed", "transposed", "channels_last"):
        outputs, grads, _ = backward(case, leaves, device, layout=layout)
        for k, (a, b) in enumerate(zip(outputs, expected, strict=True)):
            assert_close(a, b, 1e-11, what=f"output {k} of {layout} inputs", dtype=True)
        for i, a, b in zip(case.differentiable(), grads, wanted, strict=True):
            what = f"the gradient of {case.names()[i]} for {layout} inputs"
            assert_close(a, b, 1e-9, what=what, dtype=True)


def check_empty(case: Case, device: str) -> None:
    """Batch 0 and a zero-size last axis work, or are refused by a declared error."""
    leaves = double(case.leaves())
    large = [i for i, leaf in enumerate(leaves) if leaf.ndim]
    if not large:
        return
    first = large[0]
    for axis in (0, -1):
        alike = [
            i
            for i in large
            if leaves[i].shape[axis] == leaves[first].shape[axis]
            and (leaves[i].ndim == leaves[first].ndim or axis == 0)
        ]
        must = axis == 0 and case.batch is not None
        for chosen in [list(case.batch or ())] if must else [alike, [first]]:
            try:
                _check_emptied(case, leaves, chosen, axis, device)
                break
            except TinygradError as error:
                if must:
                    raise CheckFailure(f"batch 0 is refused: {error}") from error


def _check_emptied(case: Case, leaves: Any, chosen: Any, axis: int, device: str) -> None:
    emptied = [
        np.take(leaf, [], axis=axis) if i in chosen else leaf for i, leaf in enumerate(leaves)
    ]
    outputs, grads, _ = backward(case, emptied, device)
    if "meta" not in case.skip:
        for spec, real in zip(run(case, emptied, "meta"), outputs, strict=True):
            _compare_spec("an empty output on meta", spec.array, real.array, layout=False)
    for i, grad in zip(case.differentiable(), grads, strict=True):
        if tuple(grad.shape) != emptied[i].shape:
            raise CheckFailure(
                f"empty input: the gradient of {case.names()[i]} has shape {tuple(grad.shape)}, "
                f"not {emptied[i].shape}"
            )


def check_float32(case: Case, device: str) -> None:
    """float32 in gives float32 out, float32 gradients, and numbers close to those of float64."""
    single = cast(case.leaves(), np.float32)
    exact, exact_grads, _ = backward(case, double(single), device)
    outputs, grads, _ = backward(case, single, device)
    for k, (a, b) in enumerate(zip(outputs, exact, strict=True)):
        _expect_float32(f"output {k}", a, b)
    for i, a, b in zip(case.differentiable(), grads, exact_grads, strict=True):
        _expect_float32(f"the gradient of {case.names()[i]}", a, b)


def _expect_float32(what: str, actual: Tensor, exact: Tensor) -> None:
    wanted = np.dtype(np.float32) if exact.dtype == np.float64 else exact.dtype
    if actual.dtype != wanted:
        raise CheckFailure(f"float32 inputs: {what} is {actual.dtype}, expected {wanted}")
    finite = np.abs(numpy_of(exact)[np.isfinite(numpy_of(exact))], dtype=np.float64)
    if exact.dtype.kind == "f" and finite.max(initial=0.0) < 1e30:
        assert_close(actual, exact, 1e-4, what=f"{what} in float32")


def check_needs(case: Case, device: str) -> None:
    """Only inputs that need a gradient get one, and only what their rules name is kept alive."""
    wanted = case.differentiable()
    leaves = double(case.leaves())
    for i in wanted:
        tensors = to_tensors(leaves, device, [i])
        outputs = floating(case.call(tensors))
        if not outputs:  # comparisons and the like: nothing to differentiate
            return
        outputs = [y for y in outputs if y.requires_grad]
        if not outputs:
            raise CheckFailure(f"no output requires a gradient, though {case.names()[i]} does")
        rng = case.rng(2)
        vjp(outputs, [tensors[i]], [random_like(y, rng) for y in outputs])
        for j, tensor in enumerate(tensors):
            if j != i and tensor.requires_grad:
                raise CheckFailure(f"{case.names()[j]} requires a gradient that nobody asked for")
    if case.op:
        for needs in [*([i] for i in wanted), wanted] if wanted else []:
            _check_saved(case, case.op, leaves, needs, device)


def _check_saved(case: Case, op: Any, leaves: Any, needs: Sequence[int], device: str) -> None:
    """An input outlives the call only if a rule that will run names it."""
    if device != "cpu":
        return
    names = case.names()
    plan = op.plan(sum(1 << k for k in _slots(case, needs)))
    rules = [op.rules[names[i]] for i in needs]
    if op.fused_vjp is not None:
        rules.append(op.fused_vjp)
    named = {p for rule in rules for p in inspect.signature(rule).parameters}
    extra = set(plan.names) - named
    if extra:
        raise CheckFailure(f"{sorted(extra)} is saved, though no rule names it")
    copies = [np.array(leaf) for leaf in leaves]
    watched = [(name, weakref.ref(copy)) for name, copy in zip(names, copies, strict=True)]
    outputs = case.call(to_tensors(copies, device, needs))
    node = next((y.grad_fn for y in outputs if y.grad_fn is not None), None)
    if node is None or set(node.plan.needed) != set(_slots(case, needs)):
        raise CheckFailure(f"{[names[i] for i in needs]} need a gradient, the node says {node}")
    del node
    shared = [any(np.may_share_memory(copy, y.array) for y in outputs) for copy in copies]
    del copies  # without the garbage collector: a graph has no reference cycles
    for (name, reference), is_view in zip(watched, shared, strict=True):
        if reference() is not None and name not in named and not (is_view and op.view):
            asked = ", ".join(names[i] for i in needs)
            raise CheckFailure(f"{name} is kept alive, though no rule for {asked} names it")


def _slots(case: Case, positions: Sequence[int]) -> list[int]:
    """Flat positions of arrays as positions among the operator's inputs, where None counts."""
    slots, k = [], 0
    items = case.inputs[0] if case.op and case.op.variadic else case.inputs
    for slot, item in enumerate(items):
        if isinstance(item, np.ndarray):
            slots += [slot] if k in positions else []
            k += 1
    return slots


def check_torch(case: Case, device: str) -> None:
    """Values and gradients equal PyTorch's, where it is installed."""
    if case.torch is None or importlib.util.find_spec("torch") is None:
        return
    import torch

    leaves = double(case.leaves())
    wanted = case.differentiable()
    outputs, grads, cotangents = backward(case, leaves, device)
    theirs = [torch.from_numpy(np.array(leaf)) for leaf in leaves]
    for i in wanted:
        theirs[i].requires_grad_()
    results = list(flatten(case.torch(*case.arguments(theirs)), torch.Tensor))
    same_count(outputs, results, "PyTorch: ")
    for k, (a, b) in enumerate(zip(outputs, results, strict=True)):
        assert_close(a, b.detach().numpy(), 1e-9, what=f"output {k} (against PyTorch)")
    traced = [y for y in results if y.is_floating_point()]
    weights = [torch.from_numpy(np.array(numpy_of(g))) for g in cotangents]
    pairs = [(y, g) for y, g in zip(traced, weights, strict=True) if y.requires_grad]
    if not pairs:
        return
    total = sum((y * g).sum() for y, g in pairs)
    expected = torch.autograd.grad(total, [theirs[i] for i in wanted], allow_unused=True)
    for i, a, b in zip(wanted, grads, expected, strict=True):
        b = np.zeros(leaves[i].shape) if b is None else b.numpy()
        assert_close(a, b, 1e-9, what=f"the gradient of {case.names()[i]} (against PyTorch)")


CHECKS: dict[str, Callable[[Case, str], None]] = {
    "value": check_value,
    "infer": check_infer,
    "meta": check_meta,
    "device": check_device,
    "derivative": check_derivative,
    "gradient": check_gradient,
    "modes": check_modes,
    "kernels": check_kernels,
    "memory": check_memory,
    "empty": check_empty,
    "float32": check_float32,
    "needs": check_needs,
    "torch": check_torch,
}


def _compare_spec(what: str, spec: Any, array: Any, layout: bool = True) -> None:
    if not isinstance(spec, Spec):
        raise CheckFailure(f"{what} is a {type(spec).__name__}, not a Spec")
    if tuple(spec.shape) != tuple(array.shape):
        raise CheckFailure(f"{what} says shape {tuple(spec.shape)}, real {tuple(array.shape)}")
    if spec.dtype != array.dtype:
        raise CheckFailure(f"{what} says dtype {spec.dtype}, real {array.dtype}")
    if layout and spec.layout != layout_of(array):
        raise CheckFailure(f"{what} says layout {spec.layout}, real {layout_of(array)}")
