"""In-place writes: recorded, seen by backward, or refused with both lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg


def leaf(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return tg.tensor(values, requires_grad=True)


def test_add_in_place_is_recorded():
    x, y = leaf(3), leaf(3, seed=1)
    h = x * 2.0
    before = h.array
    h += y
    assert h.array is before
    (h * h).sum().backward()
    expected = 2 * (2 * x.detach().numpy() + y.detach().numpy())
    np.testing.assert_allclose(y.grad.numpy(), expected)
    np.testing.assert_allclose(x.grad.numpy(), 2 * expected)


def test_setitem_is_recorded():
    x, v = leaf(4), leaf(2, seed=1)
    h = x * 1.0
    h[1:3] = v
    (h * tg.tensor([1.0, 2.0, 3.0, 4.0], dtype="float64")).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 0, 0, 4])
    np.testing.assert_array_equal(v.grad.numpy(), [2, 3])


def test_setitem_into_a_constant_makes_it_depend_on_the_value():
    v = leaf(2)
    h = tg.zeros(3, dtype="float64")
    h[:2] = v * 3.0
    h.sum().backward()
    np.testing.assert_array_equal(v.grad.numpy(), [3, 3])


def test_setitem_broadcasts_and_casts():
    h = tg.zeros(2, 3)
    h[:, 1] = 5
    h[0] = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(h.numpy(), [[1, 2, 3], [0, 5, 0]])
    assert h.dtype == "float32"


def test_a_saved_value_that_was_overwritten_is_refused_with_both_lines():
    x = leaf(3)
    h = x * 2.0
    y = h * h  # saved here
    h += 1.0  # overwritten here
    with pytest.raises(tg.GraphError, match="overwritten before backward") as caught:
        y.sum().backward()
    text = str(caught.value)
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    saved = 1 + next(i for i, line in enumerate(lines) if "saved here" in line)
    written = 1 + next(i for i, line in enumerate(lines) if "overwritten here" in line)
    assert f"test_writing.py:{saved} " in text
    assert f"test_writing.py:{written} " in text
    assert x.grad is None


def test_a_write_after_the_backward_is_fine_and_one_to_an_unsaved_value_too():
    x = leaf(3)
    h = x * 2.0
    y = h + 1.0  # saves nothing
    h += 1.0
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2, 2])


def test_a_write_through_detach_is_seen():
    x = leaf(3)
    h = x * 2.0
    y = h * h
    h.detach().fill_(0.0)
    with pytest.raises(tg.GraphError, match="overwritten"):
        y.sum().backward()


def test_a_write_to_a_base_is_seen_by_who_saved_a_view():
    h = leaf(4) * 1.0
    part = h[1:3]
    y = part * part
    h += 1.0
    with pytest.raises(tg.GraphError, match="overwritten"):
        y.sum().backward()


def test_an_optimiser_like_write_between_forward_and_backward_is_refused():
    w, x = leaf(3), tg.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    y = (w * x).sum()
    with tg.no_grad():
        w += 1.0
    with pytest.raises(tg.GraphError, match="overwritten"):
        y.backward()


@pytest.mark.parametrize("made", [leaf, lambda *shape: leaf(*shape) * 2.0])
@pytest.mark.parametrize("write", ["copy_", "fill_", "setitem"])
def test_a_written_tensor_has_a_place_of_its_own_in_the_graph(made, write):
    source = made() if write == "fill_" else made(3)
    x = tg.zeros(*source.shape, dtype="float64")
    if write == "setitem":
        x[...] = source
    else:
        getattr(x, write)(source)
    assert x.grad_fn is not None
    assert x.grad_fn is not source.grad_fn
    seen = []
    x.register_hook(lambda g: seen.append("x"))
    source.register_hook(lambda g: seen.append("source"))
    source.retain_grad()
    (source * 2.0).sum().backward(retain_graph=True)
    assert seen == ["source"]
    assert x.grad is None
    np.testing.assert_array_equal(source.grad.numpy(), np.full(source.shape, 2.0))
    before = source.detach().clone()
    x += 1.0  # x is no leaf, whatever the source is
    (x * 3.0).sum().backward()
    assert seen == ["source", "x", "source"]
    np.testing.assert_array_equal(source.detach().numpy(), before.numpy())


def test_a_tensor_can_be_copied_to_itself():
    x = leaf(3) * 2.0
    before = x.detach().clone()
    x.copy_(x)
    np.testing.assert_array_equal(x.detach().numpy(), before.numpy())
    assert x.requires_grad


def test_writes_under_no_grad_keep_the_leaf():
    w = leaf(3)
    with tg.no_grad():
        w -= 1.0
        w[0] = 7.0
        w.mul_(2.0)
    assert w.requires_grad
    assert w.is_leaf
    assert w.detach().numpy()[0] == 14.0
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.detach().numpy())


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.view(-1).__setitem__(0, 5.0),
        lambda x: x[0].add_(1.0),
        lambda x: x.transpose(0, 1).fill_(0.0),
    ],
)
def test_writing_through_a_view_is_refused(write):
    x = tg.zeros(2, 3)
    with pytest.raises(tg.GraphError, match="view of another one") as caught:
        write(x)
    assert "Write through the owner" in str(caught.value)
    np.testing.assert_array_equal(x.numpy(), np.zeros((2, 3)))


def test_augmented_assignment_on_a_view_is_refused_and_the_advice_works():
    x = tg.zeros(3)
    v = x[0]
    with pytest.raises(tg.GraphError, match="view"):
        v += 1
    x[0] = x[0] + 1
    np.testing.assert_array_equal(x.numpy(), [1, 0, 0])


def test_writing_to_a_leaf_is_refused_while_recording():
    w = leaf(3)
    before = w.detach().numpy().copy()
    with pytest.raises(tg.GraphError, match="leaf that requires a gradient") as caught:
        w += 1.0
    assert "no_grad" in str(caught.value)
    with pytest.raises(tg.GraphError, match="leaf"):
        w[0] = 1.0
    np.testing.assert_array_equal(w.detach().numpy(), before)


def test_shape_and_dtype_of_the_target_stay():
    x = tg.zeros(3)
    with pytest.raises(tg.ShapeError, match="cannot change the shape"):
        x += tg.zeros(2, 3)
    i = tg.tensor([1, 2, 3])
    with pytest.raises(tg.DTypeError, match="cannot be stored in a int64"):
        i += 0.5
    i += 1
    np.testing.assert_array_equal(i.numpy(), [2, 3, 4])
    x += tg.tensor([1.0, 2.0, 3.0], dtype="float64")
    assert x.dtype == "float32"


def test_multiplication_in_place_by_a_constant_has_its_gradient():
    x = leaf(3)
    h = x + 0.0
    h *= 3.0
    h -= 1.0
    h /= 2.0
    h.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1.5] * 3)


def test_fill_zero_copy():
    x = tg.zeros(2, 2)
    assert x.fill_(3) is x
    np.testing.assert_array_equal(x.numpy(), np.full((2, 2), 3))
    x.zero_()
    assert not x.numpy().any()
    source = leaf(2)
    x = tg.zeros(2, 2, dtype="float64")
    x.copy_(source)
    x.sum().backward()
    np.testing.assert_array_equal(source.grad.numpy(), [2, 2])


def test_a_write_keeps_what_its_own_gradient_needs():
    w = leaf(3)
    x = tg.ones(3, dtype="float64") * 2.0
    x *= w  # the gradient of w needs x from before the write
    x.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [2.0] * 3)
    y = leaf(3, seed=1)
    h = y * 1.0
    h *= h
    (gradient,) = tg.autograd.grad(h.sum(), [y], create_graph=True)
    np.testing.assert_allclose(gradient.detach().numpy(), 2 * y.detach().numpy())
    (second,) = tg.autograd.grad(gradient.sum(), [y])
    np.testing.assert_allclose(second.numpy(), [2.0] * 3)


def test_read_only_memory_is_refused_before_anything_is_computed():
    values = np.zeros(3)
    values.setflags(write=False)
    frozen = tg.Tensor(values)
    with pytest.raises(tg.GraphError, match=r"read-only.*\n.*\n.*clone"):
        frozen += 1
    with pytest.raises(tg.GraphError, match="read-only"):
        frozen[0] = 1.0
    with tg.no_grad(), pytest.raises(tg.GraphError, match="stands for many"):
        tg.ones(1).expand(3).add_(1)
