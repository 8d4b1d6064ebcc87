"""A check that cannot fail is a defect: each generic check must see a fault planted for it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.scratch import W, X, assert_caught, case, scratch
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import unregister
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.testing import CHECKS, Case, CheckFailure, check_case


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    yield
    unregister("scratch")
    kernels.unregister("scratch", "planted")


def test_a_right_operator_passes() -> None:
    check_case(case(scratch(), order=3, torch=lambda x, w: w * x**2 + x, batch=(0, 1)))


def test_a_right_operator_with_fused_rule_and_kernel_passes() -> None:
    def fused(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
        return (
            g * (2 * weight * input + 1) if needs[0] else None,
            g * input**2 if needs[1] else None,
        )

    @kernels.register("scratch", provider="planted", supports=lambda specs, attrs: True)
    def kernel(xp: Any, input: Any, weight: Any) -> Any:
        return input * (1 + weight * input)

    check_case(case(scratch(fused_vjp=fused)))


def test_wrong_value() -> None:
    op = scratch(forward=lambda xp, input, weight: weight * input * input + 1.000001 * input)
    message = assert_caught(case(op), "value", "derivative")
    assert "scratch-2x3x4,2x3x4" in message


def test_wrong_value_against_torch_only() -> None:
    pytest.importorskip("torch")
    assert_caught(case(scratch(), torch=lambda x, w: w * x**2 - x), "torch")


def test_wrong_gradient_against_torch_only() -> None:
    pytest.importorskip("torch")
    assert_caught(case(scratch(), torch=lambda x, w: w * x**2 + x.detach()), "torch")


def test_wrong_number_of_results() -> None:
    assert_caught(case(scratch(), reference=lambda x, w: (x, w)), "value")


@pytest.mark.parametrize(
    "infer",
    [
        lambda input, weight: Spec((*input.shape[:-1], 5), input.dtype, input.layout),
        lambda input, weight: Spec(input.shape, np.dtype("float32"), input.layout),
        lambda input, weight: Spec(input.shape, input.dtype, "channels_last"),
    ],
    ids=["shape", "dtype", "layout"],
)
def test_wrong_infer(infer: Any) -> None:
    assert_caught(case(scratch(infer=infer)), "infer", "meta")


def test_undeclared_residual() -> None:
    def infer(input: Spec, weight: Spec) -> Any:
        return Spec(input.shape, input.dtype), Spec(input.shape, input.dtype)

    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return weight * input * input + input, input > 0

    assert_caught(case(scratch(("mask",), infer=infer, forward=forward)), "infer")


def test_function_that_needs_data_on_meta() -> None:
    def peek(x: Any) -> Any:
        return x * float(x.numpy().sum())

    assert_caught(Case(peek, (X,), reference=lambda x: x * x.sum(), order=0), "meta")


def test_skipping_meta_demands_a_refusal() -> None:
    with pytest.raises(CheckFailure, match="skips 'meta' but runs there"):
        check_case(case(scratch(), skip={"meta": "says so"}), only=["meta"])


def test_wrong_rule_names_the_input() -> None:
    op = scratch(vjp_weight=lambda g, input: g * input * input * 1.0001)
    assert "along weight (input 1)" in assert_caught(case(op), "derivative")


def test_wrong_rule_at_one_element() -> None:
    spot = np.zeros(X.shape)
    spot[1, 2, 3] = 1e-3
    op = scratch(vjp_weight=lambda g, input: g * input * input + g * tg.tensor(spot))
    assert_caught(case(op), "derivative")


def test_rule_that_gives_nan() -> None:
    op = scratch(vjp_weight=lambda g, input: g * input * input * float("nan"))
    assert_caught(case(op), "derivative")


def test_gradient_of_wrong_shape() -> None:
    op = scratch(vjp_weight=lambda g, input: (g * input * input).sum(0))
    assert_caught(case(op), "derivative", "modes")


def test_detached_residual_fails_at_the_second_order_only() -> None:
    """The classic silent fault: a saved raw value that depends on the input."""
    op = scratch(
        ("slope",),
        constants=("slope",),  # which is not so
        forward=lambda xp, input, weight: (
            weight * input * input + input,
            2 * weight * input + 1,
        ),
        vjp_input=lambda g, slope: g * slope,
    )
    check_case(case(op, order=1), only=["derivative"])
    assert "order 2" in assert_caught(case(op, order=2), "derivative")


def test_fault_of_the_third_order_only() -> None:
    """The second derivative is right in value, but its own rule is made of a detached residual."""
    slope = scratch(
        ("twice",),
        constants=("twice",),  # which is not so
        forward=lambda xp, input, weight: (2 * input * weight, 2 * weight + 0 * input),
        vjp_input=lambda g, twice: g * twice,
        vjp_weight=lambda g, input: g * 2 * input,
    )
    unregister("scratch")
    op = scratch(vjp_input=lambda g, input, weight: g * (slope.call(input, weight) + 1))
    check_case(case(op, order=2), only=["derivative"])
    assert "order 3" in assert_caught(case(op, order=3), "derivative")


def test_kink_is_reported_or_avoided() -> None:
    x = np.array([0.0, 1.0, -2.0])
    kink = Case(tg.abs, (x,), reference=np.abs)
    assert_caught(kink, "derivative")
    check_case(
        Case(tg.abs, (x,), reference=np.abs, kinks=True, gradient=lambda g, x: g * np.sign(x))
    )


def test_wrong_rule_at_a_kink() -> None:
    x = np.array([0.0, 1.0, -2.0])
    wrong = Case(
        tg.abs, (x,), reference=np.abs, kinks=True, gradient=lambda g, x: g * np.where(x < 0, -1, 1)
    )
    assert_caught(wrong, "gradient")


def test_raw_and_tensor_mode_differ() -> None:
    def vjp_weight(g: Any, input: Any) -> Any:
        return g * input * input * (1 if isinstance(g, np.ndarray) else 1.001)

    assert_caught(case(scratch(vjp_weight=vjp_weight)), "modes")


def test_wrong_fused_rule() -> None:
    op = scratch(
        fused_vjp=lambda xp, g, needs, input, weight: (
            g * (2 * weight * input + 1),
            g * input * input * 1.001,
        )
    )
    assert "fused against generic" in assert_caught(case(op), "modes")


@pytest.mark.parametrize(
    "kernel",
    [
        lambda xp, input, weight: weight * input * input + 1.001 * input,
        lambda xp, input, weight: (weight * input * input + input).astype(np.float64),
        lambda xp, input, weight: (weight * input * input + input)[..., :2],
        lambda xp, input, weight: (input, weight),
    ],
    ids=["value", "dtype", "shape", "count"],
)
def test_wrong_kernel(kernel: Any) -> None:
    op = scratch()
    kernels.register("scratch", provider="planted", supports=lambda specs, attrs: True)(kernel)
    assert_caught(case(op), "kernels")


def test_wrong_residual_of_a_kernel() -> None:
    op = scratch(
        ("mask",),
        infer=lambda input, weight: (
            Spec(input.shape, input.dtype, input.layout),
            Spec(input.shape, np.dtype(bool), input.layout),
        ),
        forward=lambda xp, input, weight: (weight * input * input + input, input > 0),
    )

    @kernels.register("scratch", provider="planted", supports=lambda specs, attrs: True)
    def kernel(xp: Any, input: Any, weight: Any) -> Any:
        return weight * input * input + input, input >= -1

    assert "mask of scratch by planted" in assert_caught(case(op), "kernels")


def test_wrong_fused_kernel() -> None:
    def fused(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
        return g * (2 * weight * input + 1), g * input * input

    op = scratch(fused_vjp=fused)

    @kernels.register("scratch.vjp", provider="planted", supports=lambda specs, attrs: True)
    def kernel(xp: Any, g: Any, needs: Any, input: Any, weight: Any) -> Any:
        return g * (2 * weight * input + 1), g * input

    try:
        assert_caught(case(op), "modes", "kernels")
    finally:
        kernels.unregister("scratch.vjp", "planted")


def test_kernel_that_serves_float32_only_is_checked_there() -> None:
    op = scratch()

    @kernels.register(
        "scratch", provider="planted", supports=lambda specs, attrs: specs[0].dtype == np.float32
    )
    def kernel(xp: Any, input: Any, weight: Any) -> Any:
        return weight * input * input + 1.01 * input

    check_case(case(op), only=["value", "derivative"])
    assert_caught(case(op), "kernels")


def test_forward_that_assumes_contiguous_memory() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        flat = np.lib.stride_tricks.as_strided(input, (input.size,), (input.itemsize,))
        return weight * input * input + flat.reshape(input.shape)

    assert_caught(case(scratch(forward=forward)), "memory")


def test_forward_that_writes_its_input() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        y = weight * input * input + input
        input *= 2
        return y

    assert "read-only" in assert_caught(case(scratch(forward=forward)), "value")


def test_forward_that_writes_its_input_by_another_way() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        y = weight * input * input + input
        (input if input.base is None else input.base)[...] = 0
        return y

    message = assert_caught(case(scratch(forward=forward)), "value", "modes")
    assert "input was changed" in message


@pytest.mark.parametrize("written", ["g", "input"])
def test_rule_that_writes_its_arguments(written: str) -> None:
    def vjp_weight(g: Any, input: Any) -> Any:
        target = g if written == "g" else input
        target *= input
        return g * input

    assert_caught(case(scratch(vjp_weight=vjp_weight)), "float32", "memory")


def test_output_that_is_the_input() -> None:
    op = scratch(
        forward=lambda xp, input, weight: input,
        vjp_input=lambda g: g * 1,
        vjp_weight=lambda g: g * 0,
    )
    wrong = case(op, reference=lambda x, w: x)
    assert "shares memory with input" in assert_caught(wrong, "infer")
    op.view = True
    check_case(wrong, only=["infer"])


def test_gradient_that_shares_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    op = scratch(
        forward=lambda xp, input, weight: input + weight,
        vjp_input=lambda g: g,
        vjp_weight=lambda g: g,
    )
    right = case(op, reference=np.add)
    check_case(right, only=["modes"])
    module = importlib.import_module("tinygrad_cv.autograd.backward")
    monkeypatch.setattr(module, "owned", lambda box: box[0])
    assert "shares memory" in assert_caught(right, "modes")


def test_bare_error_for_an_empty_batch() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return weight * input * input + input + 0 * input.max()

    assert "ValueError" in assert_caught(case(scratch(forward=forward)), "empty")


def test_declared_error_for_an_empty_batch_unless_the_case_has_one() -> None:
    def infer(input: Spec, weight: Spec) -> Spec:
        if 0 in input.shape:
            raise ShapeError("scratch", "empty")
        return Spec(input.shape, input.dtype, input.layout)

    op = scratch(infer=infer)
    check_case(case(op), only=["empty"])
    assert_caught(case(op, batch=(0, 1)), "empty")


def test_float32_that_becomes_float64() -> None:
    def forward(xp: Any, input: Any, weight: Any) -> Any:
        return (weight * input * input + input).astype(np.float64)

    assert "float64" in assert_caught(case(scratch(forward=forward)), "float32")


def test_float32_that_loses_precision() -> None:
    def narrow(xp: Any, input: Any, weight: Any) -> Any:
        shift = input.dtype.type(1e6)
        return ((weight * input * input + input) + shift) - shift

    assert_caught(case(scratch(forward=narrow)), "float32")


def test_gradient_that_nobody_asked_for() -> None:
    def greedy(x: Any, w: Any) -> Any:
        return x * w.requires_grad_()

    assert "nobody asked" in assert_caught(Case(greedy, (X, W), reference=np.multiply), "needs")


def test_result_without_a_gradient() -> None:
    def cut(x: Any, w: Any) -> Any:
        return x.detach() * w

    assert_caught(Case(cut, (X, W), reference=np.multiply), "needs", "derivative")


def test_input_kept_alive_behind_a_residual() -> None:
    op = scratch(
        ("kept",),
        forward=lambda xp, input, weight: (weight * input * input + input, weight),
        vjp_weight=lambda g, input, kept: g * input * input,
    )
    message = assert_caught(case(op, diff=["weight"]), "needs")
    assert "weight is kept alive" in message


def test_warning_instead_of_an_ieee_value() -> None:
    def face(x: Any) -> Any:
        return x * float(1 + 0 * np.exp(np.log(np.zeros(1)))[0])

    wrong = Case(face, (X,), reference=lambda x: x)
    assert "RuntimeWarning" in assert_caught(wrong, "value")


def test_a_case_needs_an_expected_value() -> None:
    with pytest.raises(ArgumentError, match="reference"):
        Case(tg.exp, (X,))


def test_a_case_with_unknown_names_is_refused() -> None:
    with pytest.raises(CheckFailure, match="skip names no check"):
        check_case(case(scratch(), skip={"derivatives": "misspelt"}))
    with pytest.raises(ArgumentError, match="diff names no input"):
        case(scratch(), diff=["bias"]).differentiable()


def test_every_check_is_planted_here() -> None:
    """The names of the checks, so that a new one is not added without its fault."""
    assert set(CHECKS) == {
        "value", "infer", "meta", "device", "derivative", "gradient", "modes",
        "kernels", "memory", "empty", "float32", "needs", "torch",
    }  # fmt: skip
