"""Which arguments must be tensors follows from the operators, so numbers are never asked to be."""

import pytest

import tinygrad_cv as tg
from tinygrad_cv.errors import DTypeError, TinygradError
from tinygrad_cv.ops._refusal import tensor_arguments

F = tg.nn.functional


def test_inputs_of_operators_in_sight_and_declared_names_are_tensors():
    assert {"input", "weight", "bias"} <= tensor_arguments("tinygrad_cv.ops.conv")
    assert {"running_mean", "running_var"} <= tensor_arguments("tinygrad_cv.ops.norm")
    assert "end" not in tensor_arguments("tinygrad_cv.ops.creation")


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (F.conv2d, (tg.ones(1, 1, 3, 3), 3), "weight"),
        (F.conv_transpose2d, (tg.ones(1, 1, 3, 3), tg.ones(1, 1, 2, 2), 1.5), "bias"),
        (tg.mm, (tg.ones(2, 2), "b"), "mat2"),
        (tg.lerp, (tg.ones(2), tg.ones(2), "b"), "weight"),
    ],
)
def test_what_must_be_a_tensor_is_said(function, args, name):
    with pytest.raises(DTypeError, match=rf"{name} must be a tensor, not"):
        function(*args)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (tg.arange, (0, "b")),
        (tg.linspace, (0, "b", 3)),
        (tg.movedim, (tg.ones(2, 2), "b", 0)),
        (tg.select, (tg.ones(2), 0, "b")),
    ],
)
def test_what_must_be_a_number_is_never_asked_to_be_a_tensor(function, args):
    with pytest.raises(TinygradError) as caught:
        function(*args)
    assert "must be a tensor" not in str(caught.value)
