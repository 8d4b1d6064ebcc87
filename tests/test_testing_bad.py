"""A check that cannot fail is a defect: calls that are refused badly, and the comparing tools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_cv.errors import DTypeError, RangeError, ShapeError
from tinygrad_cv.testing import Bad, CheckFailure, assert_close, check_bad, directional_derivative

X = np.random.default_rng(0).standard_normal((2, 3, 4))


def bad(raises: Any, **changes: Any) -> Bad:
    """A call of a function ``scratch`` that raises what is given."""

    def scratch(input: Any, size: int = 1) -> Any:
        if size == 1 and raises is not None:
            raise raises(input) if callable(raises) and not isinstance(raises, type) else raises
        return input

    given: dict[str, Any] = {"args": (X,), "error": ShapeError, "match": "does not fit", **changes}
    return Bad(scratch, **given)


def shape_error(input: Any, **more: Any) -> ShapeError:
    return ShapeError("scratch", "it does not fit", values=[("input", input.shape)], **more)


def test_a_well_refused_call_passes() -> None:
    check_bad(bad(shape_error))
    check_bad(bad(lambda input: shape_error(input, repairs=[{"size": 2}])))


@pytest.mark.parametrize(
    ("raises", "message"),
    [
        (None, "is accepted"),
        (AssertionError(), "bare AssertionError"),
        (ValueError("operands could not be broadcast"), "bare ValueError"),
        (AttributeError("shape"), "bare AttributeError"),
        (DTypeError("scratch", "it does not fit"), "declared is ShapeError"),
        (lambda input: ShapeError("conv2d", "it does not fit"), "does not begin with"),
        (lambda input: ShapeError("scratch", "wrong"), "does not match"),
        (lambda input: ShapeError("scratch", "it does not fit"), "none of the shapes"),
        (lambda input: shape_error(input, repairs=[{"size": 1}]), "does not work"),
        (lambda input: shape_error(input, repairs=[{"length": 1}]), "names no argument"),
        (
            lambda input: shape_error(input, repair=str(type(input.array).__name__)),
            "on meta the text differs",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_badly_refused_call(raises: Any, message: str) -> None:
    with pytest.raises(CheckFailure, match=message):
        check_bad(bad(raises))


def test_refused_call_that_has_changed_its_argument() -> None:
    def scratch(input: Any) -> Any:
        input.array[0] = 7
        raise shape_error(input)

    with pytest.raises(CheckFailure, match="changed an argument"):
        check_bad(Bad(scratch, (X,), error=ShapeError, match="fit"))


def test_a_range_error_needs_no_shape_and_no_meta() -> None:
    check_bad(bad(RangeError("scratch", "label 7 does not fit"), error=RangeError))


# The tools ----------------------------------------------------------------------------------------


def test_assert_close_sees_shape_dtype_value_and_nan() -> None:
    assert_close(np.array([1.0, np.nan, np.inf]), np.array([1.0, np.nan, np.inf]))
    for wrong in (
        [1.0, 2.0],
        [1.0, np.nan, -np.inf],
        [1.0, 0.0, np.inf],
        [1 + 1e-5, np.nan, np.inf],
    ):
        with pytest.raises(CheckFailure):
            assert_close(np.array(wrong), np.array([1.0, np.nan, np.inf]))
    with pytest.raises(CheckFailure, match="dtype"):
        assert_close(np.float32([1]), np.float64([1]), dtype=True)
    with pytest.raises(CheckFailure):
        assert_close(np.array([True, False]), np.array([True, True]))


def test_directional_derivative_reaches_ten_digits() -> None:
    estimate, bound = directional_derivative(lambda t: (np.exp(1 + t), np.exp(1 + t)))
    assert abs(estimate - np.e) < 1e-10
    assert bound < 1e-6
