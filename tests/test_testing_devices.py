"""A check that cannot fail is a defect: faults that only show on a device, on the stand-in for it.

Every fault here passes the same checks on the CPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_cv.backend import kernels, memory
from tinygrad_cv.backend.array import as_device, to_device, to_numpy
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import unregister
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.testing import Case, check_case

pytest.importorskip("cupy")

from tests.cupy_standin import installed
from tests.scratch import X, assert_caught, case, scratch


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    with installed(devices=2):
        yield
    unregister("scratch")
    kernels.unregister("scratch", "planted")


def right(xp: Any, input: Any, weight: Any) -> Any:
    """y = w*x**2 + x in the memory order of the input, which CuPy by itself loses."""
    out = memory.empty(input.shape, input.dtype, layout_of(input), xp)
    xp.multiply(weight, input * input, out=out)
    return xp.add(out, input, out=out)


def on_device_only(op: Any, *checks: str, device: str = "cuda:1", **changes: Any) -> str:
    """The operator passes the checks on the CPU and fails each of them on the device."""
    given = case(op, **changes)
    check_case(given, only=checks)
    return assert_caught(given, *checks, device=device)


def elsewhere(array: Any, device: str) -> Any:
    """The raw array on another device, if it is not on the CPU."""
    return array if isinstance(array, np.ndarray) else to_device(array, as_device(device))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_a_right_operator_passes(device: str) -> None:
    @kernels.register(
        "scratch", provider="planted", device="cuda", supports=lambda specs, attrs: True
    )
    def kernel(xp: Any, input: Any, weight: Any) -> Any:
        return right(xp, input, weight)

    check_case(case(scratch(forward=right), order=3, batch=(0, 1)), device)


def test_arrays_among_the_arguments_are_moved() -> None:
    table = np.array([1.0, 2.0, 3.0, 4.0])

    def forward(xp: Any, input: Any, weight: Any, table: Any) -> Any:
        return right(xp, input, weight) + table

    def infer(input: Spec, weight: Spec, table: Any) -> Spec:
        return Spec(input.shape, input.dtype)

    op = scratch(forward=forward, infer=infer)
    given = case(op, attrs=(table,), reference=lambda x, w: w * x**2 + x + table)
    check_case(given, "cuda:1", only=["value", "derivative", "needs"])
    assert given.attrs[0] is table


def test_numpy_called_with_a_device_array() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return np.multiply(weight, input) * input + input

    message = on_device_only(scratch(forward=forward), "value", "infer", "derivative")
    assert "use xp" in message


def test_numpy_memory_for_a_result() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return to_numpy(right(xp, input, weight))

    message = on_device_only(scratch(forward=forward), "device")
    assert "output 0 lies on cpu, the inputs on cuda:1" in message


def test_a_forward_that_leaves_its_result_on_another_device() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return elsewhere(right(xp, input, weight), "cuda:0")

    message = on_device_only(scratch(forward=forward), "device")
    assert "output 0 lies on cuda:0, the inputs on cuda:1" in message


@pytest.mark.parametrize("place", ["cuda:0", "cpu"])
def test_a_rule_that_leaves_its_result_on_another_device(place: str) -> None:
    def vjp_weight(g: Any, input: Any) -> Any:
        result = g * input * input
        if isinstance(result, Tensor):
            return result.to("cpu" if str(result.device) == "cpu" else place)
        return elsewhere(result, place)

    message = on_device_only(scratch(forward=right, vjp_weight=vjp_weight), "device")
    assert f"the gradient of weight lies on {place}, the inputs on cuda:1" in message


def test_a_rule_that_calls_numpy() -> None:
    def vjp_weight(g: Any, input: Any) -> Any:
        return g * (np.square(input) if not isinstance(input, Tensor) else input * input)

    on_device_only(scratch(forward=right, vjp_weight=vjp_weight), "modes", "memory", "float32")


def test_a_forward_that_forgets_which_device_is_current() -> None:
    """It works where the inputs lie on the current device, and only there."""

    def face(x: Any) -> Any:
        return Tensor(x.array * 2)

    given = Case(face, (X,), reference=lambda x: x * 2, diff=())
    for device in ("cpu", "cuda"):
        check_case(given, device, only=["value"])
    assert "while device 0 is current" in assert_caught(given, "value", device="cuda:1")


def test_memory_order_that_cupy_loses() -> None:
    message = on_device_only(scratch(), "infer")
    assert "infer of output says layout channels_last, real contiguous" in message


def test_output_that_is_the_input() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return input if xp is not np else input.copy("K")

    op = scratch(forward=forward, vjp_input=lambda g: g * 1, vjp_weight=lambda g: g * 0)
    message = on_device_only(op, "infer", reference=lambda x, w: x)
    assert "shares memory with input" in message


def test_gradient_that_shares_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    op = scratch(
        forward=lambda xp, input, weight: input + weight,
        vjp_input=lambda g: g,
        vjp_weight=lambda g: g,
    )
    right_case = case(op, reference=np.add)
    check_case(right_case, "cuda:1", only=["modes"])
    module = importlib.import_module("tinygrad_cv.autograd.backward")
    monkeypatch.setattr(module, "owned", lambda box: box[0])
    assert "shares memory" in assert_caught(right_case, "modes", device="cuda:1")


@pytest.mark.parametrize(
    "kernel",
    [
        lambda xp, input, weight: right(xp, input, weight) * 1.001,
        lambda xp, input, weight: np.multiply(weight, input) * input + input,
    ],
    ids=["value", "numpy"],
)
def test_wrong_kernel_for_the_device(kernel: Any) -> None:
    op = scratch(forward=right)
    kernels.register(
        "scratch", provider="planted", device="cuda", supports=lambda specs, attrs: True
    )(kernel)
    on_device_only(op, "kernels", "value")


def test_wrong_gradient_kernel_for_the_device() -> None:
    op = scratch(forward=right)

    @kernels.register(
        "scratch.vjp", provider="planted", device="cuda", supports=lambda specs, attrs: True
    )
    def kernel(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
        slope = 2 * (input if weight is None else weight * input) + 1
        return g * slope, g * input

    try:
        on_device_only(op, "modes", "kernels")
    finally:
        kernels.unregister("scratch.vjp", "planted")


def test_a_rule_that_writes_what_no_flag_protects() -> None:
    """Arrays on a device cannot be read-only."""

    def vjp_weight(g: Any, input: Any) -> Any:
        if isinstance(g, (np.ndarray, Tensor)):
            return g * input * input
        g *= input
        return g * input

    message = on_device_only(scratch(forward=right, vjp_weight=vjp_weight), "modes", "memory")
    assert "changed the cotangent" in message


def test_a_forward_that_writes_its_input() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        result = right(xp, input, weight)
        if xp is not np:
            weight *= 2
        return result

    assert "input weight was changed" in on_device_only(scratch(forward=forward), "value", "modes")


def test_gradient_that_is_wrong_on_the_device() -> None:
    def vjp_weight(g: Any, input: Any) -> Any:
        on_cpu = isinstance(g, np.ndarray) or (isinstance(g, Tensor) and str(g.device) == "cpu")
        return g * input * input * (1 if on_cpu else 1.001)

    on_device_only(scratch(forward=right, vjp_weight=vjp_weight), "derivative")


def test_empty_arrays_that_only_the_device_refuses() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        if xp is not np:
            input.max()
        return right(xp, input, weight)

    on_device_only(scratch(forward=forward), "empty")
