"""What hooks and ``.grad`` may hold, and what a backward refuses of them."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import autograd


def leaf(*shape: int) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize(
    ("returned", "error", "match"),
    [
        (lambda g: 3, tg.DTypeError, "must return a tensor or None, not int"),
        (lambda g: g.numpy(), tg.DTypeError, "not ndarray"),
        (lambda g: g.to("int64"), tg.DTypeError, "float64, not int64"),
        (lambda g: g.sum(), tg.ShapeError, "of the shape"),
    ],
)
def test_what_a_hook_may_return(returned, error, match):
    x = leaf(3)
    y = x * 2.0
    y.register_hook(returned)
    with pytest.raises(error, match=match):
        y.sum().backward()
    assert x.grad is None


def test_a_hook_must_be_callable():
    with pytest.raises(tg.DTypeError, match="callable, not int"):
        leaf(2).register_hook(3)


@pytest.mark.parametrize(
    ("grad", "error", "match"),
    [
        ("a", tg.DTypeError, r"\.grad must be a tensor or None, not str"),
        (0.0, tg.DTypeError, "not float"),
        (np.ones(3), tg.DTypeError, "not ndarray"),
        (
            tg.zeros(2, dtype="float64"),
            tg.ShapeError,
            r"tensor \(3,\)\n  \.grad  \(2,\)\n  Reshape",
        ),
        (tg.zeros(3), tg.DTypeError, r'float64, not float32\n  Convert it with \.to\("float64"\)'),
        (
            tg.zeros(3, dtype="float64", device="meta"),
            tg.BackendError,
            r'its tensor, cpu, not meta\n  Move it with \.to\("cpu"\)',
        ),
    ],
)
def test_a_grad_that_fits_nothing_is_refused(grad, error, match):
    x = leaf(3)
    with pytest.raises(error, match=match):
        x.grad = grad
    (x * x).sum().backward()
    x.grad = x.grad * 2
    assert x.grad.tolist() == (4 * x).tolist()
    x.grad = None
    assert x.grad is None


def test_a_grad_that_no_longer_fits_is_refused():
    x = leaf(3)
    x.grad = tg.zeros(3, dtype="float64")
    x.data = tg.ones(2, dtype="float64")
    with pytest.raises(tg.ShapeError, match=r"the \.grad of a leaf does not fit"):
        (x * x).sum().backward()


def test_a_read_only_grad_is_replaced():
    values = np.ones(3)
    values.setflags(write=False)
    x = leaf(3)
    x.grad = tg.Tensor(values)
    x.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("wrong", [3, [3], None, np.array(1.0), np.ones(2), "a"])
def test_what_is_no_tensor_is_refused_in_every_place(wrong):
    x = leaf(2)
    y = x.sum()
    for use in (
        lambda: autograd.backward(wrong),
        lambda: autograd.grad(wrong, x),
        lambda: autograd.grad(y, wrong),
        lambda: autograd.backward(y, inputs=[wrong]),
    ):
        with pytest.raises(tg.DTypeError, match=r"(backward|grad): Tensors are needed, not "):
            use()
    assert x.grad is None


def test_one_gradient_for_two_tensors_is_refused():
    x = leaf(2)
    with pytest.raises(tg.ShapeError, match=r"2 tensors, but 1 gradients"):
        autograd.backward([x.sum(), x.sum()], 1.0)
    with pytest.raises(tg.ShapeError, match="2 tensors, but 3 gradients"):
        autograd.backward([x.sum(), x.sum()], [None] * 3)


def test_no_outputs_have_no_gradients():
    assert autograd.grad([], []) == ()


@pytest.mark.parametrize("square", [lambda g: g.sum(), lambda g: (g**2).sum()])
def test_a_gradient_of_a_gradient_without_a_graph_names_the_way(square):
    x = leaf(3)
    (gradient,) = autograd.grad((x**3).sum(), x)
    for differentiate in (lambda t: t.backward(), lambda t: autograd.grad(t, x)):
        with pytest.raises(tg.GraphError, match="does not require a gradient") as caught:
            differentiate(square(gradient))
        assert "compute that with create_graph=True" in caught.value.repair
    (gradient,) = autograd.grad((x**3).sum(), x, create_graph=True)  # the repair
    square(gradient).backward()


def test_reading_the_grad_of_a_result_warns_unless_it_is_kept():
    x = leaf(3)
    y = x * 2.0
    y.sum().backward()
    with pytest.warns(
        UserWarning, match=r"(?s)made by mul.*retain_grad\(\) before backward"
    ) as seen:
        assert y.grad is None
    assert seen[0].filename == __file__
    y = x * 2.0
    y.retain_grad()  # the repair
    assert y.grad is None
    y.sum().backward()
    assert y.grad.tolist() == [1.0] * 3
    assert x.grad is not None
    assert x.detach().grad is None
    z = x * 2.0
    autograd.backward(z.sum(), inputs=[z])
    assert z.grad.tolist() == [1.0] * 3
