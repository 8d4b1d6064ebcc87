"""Which arguments must be tensors follows from the operators, so numbers are never asked to be."""

import pytest

import tinygrad_cv as tg
from tinygrad_cv.core import op
from tinygrad_cv.errors import ArgumentError, DTypeError, TinygradError
from tinygrad_cv.ops import norm
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


@pytest.mark.parametrize(
    "use",
    [
        lambda none: F.relu(none),
        lambda none: F.conv2d(none, tg.ones(1, 1, 2, 2)),
        lambda none: F.cross_entropy(none, tg.tensor([0])),
        lambda none: tg.ones(2) + none,
        lambda none: tg.ones(2, 2) @ none,
        lambda none: tg.matmul(none, tg.ones(2, 2)),
        lambda none: tg.cat([tg.ones(2), none]),
        lambda none: tg.nn.Linear(2, 2)(none),
    ],
)
def test_none_may_come_from_a_missing_return(use):
    with pytest.raises((DTypeError, TypeError), match="None") as caught:
        use(None)
    assert "is a return missing" in str(caught.value)


def test_a_failure_inside_the_engine_is_not_put_on_the_arguments(monkeypatch):
    defect = TypeError("a defect")

    def broken(*args):
        raise defect

    monkeypatch.setattr(op, "run_kernel", broken)
    with pytest.raises(TypeError) as caught:
        F.softmax(tg.ones(2, 3), 1)
    assert caught.value is defect
    with pytest.raises(DTypeError, match="dim must be"):  # what an argument explains still is
        F.softmax(tg.ones(2, 3), "b")


@pytest.mark.parametrize(
    "use",
    [
        lambda x, image: F.batch_norm(x, None, None, training=True),
        lambda x, image: F.conv2d(image, image, None, (1, 1), "same"),
        lambda x, image: F.max_pool2d(image, 2, padding=(0, 0)),
        lambda x, image: tg.where(x > 0, x, 0.0),
        lambda x, image: tg.scatter(x, 1, tg.zeros(2, 1, dtype="int64"), 1.0),
        lambda x, image: tg.tensordot(x, x, ([0, 1], [0, 1])),
    ],
)
@pytest.mark.parametrize("text", ["a defect", "'Plan' object has no attribute 'size'"])
def test_right_arguments_are_not_blamed_for_a_failure_inside_the_engine(monkeypatch, use, text):
    x, image = tg.ones(2, 3), tg.ones(1, 1, 4, 4)
    use(x, image)
    defect = TypeError(text)

    def broken(*args):
        raise defect

    monkeypatch.setattr(op, "run_kernel", broken)
    with pytest.raises(TypeError) as caught:
        use(x, image)
    assert caught.value is defect


@pytest.mark.parametrize("text", ["a defect", "'NoneType' object has no attribute 'size'"])
def test_a_failure_inside_an_operator_says_what_it_was(monkeypatch, text):
    def broken(*args):
        raise TypeError(text)

    monkeypatch.setattr(norm, "_batch_norm", broken)
    with pytest.raises(DTypeError) as caught:
        F.batch_norm(tg.ones(2, 3), None, None, training=True)
    assert text in str(caught.value)
    assert "must be a tensor" not in str(caught.value)


def test_what_batch_norm_lacks_is_said():
    x, c = tg.ones(2, 3), tg.ones(3)
    with pytest.raises(ArgumentError, match="no running statistics to evaluate with"):
        F.batch_norm(x, None, None)
    with pytest.raises(DTypeError, match="running_var must be a tensor, not int 3"):
        F.batch_norm(x, c, 3, training=True)
    for eps in (None, "b"):
        with pytest.raises(DTypeError, match="eps must be a number, not"):
            F.batch_norm(x, None, None, training=True, eps=eps)


@pytest.mark.parametrize(
    "use",
    [
        lambda **out: tg.add(tg.ones(2), tg.ones(2), **out),
        lambda **out: tg.sum(tg.ones(3, 2), 0, **out),
        lambda **out: tg.cat([tg.ones(2)], **out),
        lambda **out: tg.zeros(2, **out),
        lambda **out: tg.nn.functional.normalize(tg.ones(2, 1), **out),
    ],
)
def test_out_is_refused_with_the_way_to_write_it(use):
    y = tg.zeros(2)
    with pytest.raises(ArgumentError, match="out= is not supported") as caught:
        use(out=y)
    assert f"y = {caught.value.op}(...)" in caught.value.repair
    y.copy_(use().reshape(2))  # the other way out that it names


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(TypeError, match="pading") as caught:
        F.conv2d(tg.ones(1, 1, 3, 3), tg.ones(1, 1, 2, 2), pading=1)
    assert caught.value.__notes__ == ["conv2d: pading= is not known; did you mean padding=?"]
    with pytest.raises(TypeError) as caught:
        F.conv2d(tg.ones(1, 1, 3, 3), tg.ones(1, 1, 2, 2), xyz=1)
    assert not hasattr(caught.value, "__notes__")
