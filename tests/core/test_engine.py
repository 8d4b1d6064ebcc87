"""Backward: values, orders, pruning, hooks, freed graphs, threads, memory."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import autograd
from tinygrad_cv.backend.blame import Freed
from tinygrad_cv.core.node import Leaf, Node


def leaf(*shape: int, seed: int = 0, dtype: str = "float64") -> tg.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True)


def test_chain_rule_by_hand():
    x = tg.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    y = tg.tensor([4.0, 5.0, 6.0], dtype="float64", requires_grad=True)
    ((x * y + x) * y).sum().backward()  # d/dx = y*y + y, d/dy = 2xy + x
    np.testing.assert_array_equal(x.grad.numpy(), [20.0, 30.0, 42.0])
    np.testing.assert_array_equal(y.grad.numpy(), [9.0, 22.0, 39.0])


def test_a_diamond_waits_for_both_branches():
    x = leaf(3)
    a = x * 2.0
    b = a * a
    c = b * b + b * 3.0 + a
    c.sum().backward()
    v = 2 * x.detach().numpy()
    expected = 2 * (4 * v**3 + 6 * v + 1)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-13)


def test_one_root_feeding_another():
    x = leaf(2)
    a = x * 3.0
    b = a * a
    autograd.backward([a.sum(), b.sum(), a.sum()])
    np.testing.assert_allclose(x.grad.numpy(), 6.0 + 18.0 * x.detach().numpy(), rtol=1e-14)


def test_accumulates_over_calls_and_over_uses():
    x = leaf(4)
    (x * x).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-15)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_any_order(order):
    x = tg.tensor(0.7, dtype="float64", requires_grad=True)
    y = x**5
    for _ in range(order):
        (y,) = autograd.grad(y, x, create_graph=True)
    coefficient = {1: 5.0, 2: 20.0, 3: 60.0, 4: 120.0}[order]
    assert y.item() == pytest.approx(coefficient * 0.7 ** (5 - order), rel=1e-13)


def test_backward_with_create_graph_gives_gradients_with_a_graph():
    x = leaf(3)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.detach().numpy(), rtol=1e-13)


def test_grad_of_an_inner_tensor_and_of_a_leaf():
    x, w = leaf(3), leaf(3, seed=1)
    h = x * w
    loss = (h * h).sum()
    gh, gw = autograd.grad(loss, [h, w])
    np.testing.assert_allclose(gh.numpy(), 2 * h.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(gw.numpy(), 2 * (x * x * w).detach().numpy(), rtol=1e-14)
    assert x.grad is None
    assert w.grad is None


def test_grad_prunes_what_is_not_asked_for():
    x, w = leaf(3), leaf(3, seed=1)
    seen = []
    left = x * 2.0
    left.register_hook(lambda g: seen.append("left"))
    autograd.grad((left + w * w).sum(), w)
    assert seen == []


def test_unused_inputs():
    x, y = leaf(2), leaf(2)
    loss = (x * x).sum()
    with pytest.raises(tg.GraphError, match="do not depend on input 1"):
        autograd.grad(loss, [x, y])
    loss = (x * x).sum()
    gx, gy = autograd.grad(loss, [x, y], allow_unused=True)
    assert gx is not None
    assert gy is None
    loss = (x * x).sum()
    _, zeros = autograd.grad(loss, [x, y], materialize_grads=True)
    np.testing.assert_array_equal(zeros.numpy(), [0, 0])


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2), leaf(2, seed=1)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None
    np.testing.assert_array_equal(w.grad.numpy(), x.detach().numpy())


def test_broadcast_gradients_have_the_shape_of_the_input():
    x, b, s = leaf(4, 3), leaf(3), leaf()
    ((x + b) * s).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), np.full(3, 4 * s.item()), rtol=1e-14)
    assert s.grad.shape == ()
    assert x.grad.shape == (4, 3)


def test_mixed_dtypes_come_back_in_the_dtype_of_the_input():
    x, y = leaf(3, dtype="float32"), leaf(3)
    out = x * y
    assert out.dtype == "float64"
    out.sum().backward()
    assert x.grad.dtype == "float32"
    assert y.grad.dtype == "float64"


# What backward refuses ---------------------------------------------------------------------------


def test_non_scalar_needs_a_gradient():
    x = leaf(2, 3)
    with pytest.raises(tg.GraphError, match=r"6 elements needs the gradient= argument"):
        (x * 2.0).backward()


def test_gradient_of_the_wrong_shape():
    x = leaf(2, 3)
    with pytest.raises(tg.ShapeError, match=r"must have the shape of the tensor") as caught:
        (x * 2.0).backward(gradient=np.ones((3, 2)))
    assert "(2, 3)" in str(caught.value)
    assert "(3, 2)" in str(caught.value)


def test_second_backward_on_a_freed_graph_names_both_lines():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    before = x.grad.numpy().copy()
    with pytest.raises(tg.GraphError, match="retain_graph=True") as caught:
        y.backward()
    assert "test_engine.py" in str(caught.value)
    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_retain_graph_allows_a_second_backward():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy())


def test_backward_of_a_constant():
    with pytest.raises(tg.GraphError, match="does not require a gradient"):
        tg.tensor([1.0]).backward()


def test_a_wrong_rule_is_reported_with_the_line_that_ran_it():
    class Wrong(tg.core.op.Op):
        name = "wrong_rule"
        shaped = False

        @staticmethod
        def forward(xp, input):
            return input * 1.0

        @staticmethod
        def vjp_input(g):
            raise ZeroDivisionError("planted")

    try:
        y = Wrong.call(leaf(2))
        with pytest.raises(ZeroDivisionError) as caught:
            y.sum().backward()
        assert any("wrong_rule" in n and "test_engine.py" in n for n in caught.value.__notes__)
    finally:
        tg.core.op.unregister("wrong_rule")


# Saving ------------------------------------------------------------------------------------------


def test_only_what_a_needed_rule_reads_is_saved():
    x, w = leaf(2), leaf(2, seed=1)
    both, one = x * w, x * w.detach()
    assert len(both.node.saved) == 2
    assert len(one.node.saved) == 1
    assert one.node.saved[0] is w.array
    assert (x + w).node.saved == ()


def test_saved_values_are_released_as_they_are_used():
    x = leaf(100)
    h = x * 2.0
    y = (h * h).sum()
    node = h.node
    array = weakref.ref(h.array)
    del h
    gc.disable()
    try:
        assert array() is not None
        y.backward()
        assert isinstance(node.saved, Freed)
        assert array() is None
    finally:
        gc.enable()


def test_no_reference_cycle_with_create_graph():
    gc.collect()
    gc.disable()
    try:
        x = leaf(10)
        y = (x * x * x).sum()
        (g,) = autograd.grad(y, x, create_graph=True)
        (g2,) = autograd.grad(g.sum(), x, create_graph=True)
        g2.sum().backward()
        nodes = [weakref.ref(t.node) for t in (y, g, g2)]
        arrays = [weakref.ref(t.array) for t in (y, g, g2)]
        del y, g, g2
        assert all(n() is None for n in nodes)
        assert all(a() is None for a in arrays)
    finally:
        gc.enable()


def test_a_dead_leaf_gets_no_gradient():
    x, w = leaf(2), leaf(2, seed=1)
    y = (x * w).sum()
    del w
    y.backward()
    assert x.grad is not None


def test_grad_shares_no_memory():
    x, w = leaf(300, 300), leaf(300, 300, seed=1)
    given = tg.tensor(np.ones((300, 300)))
    y = x + w
    y.backward(gradient=given, retain_graph=True)
    arrays = [x.grad.array, w.grad.array, given.array, x.array, w.array]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)
    x.grad = w.grad = None
    (x * w).backward(gradient=given)
    assert not np.shares_memory(x.grad.array, w.array)
    (gx,) = autograd.grad(y, x, grad_outputs=given, retain_graph=True)
    assert not np.shares_memory(gx.array, given.array)


def test_a_fresh_gradient_becomes_grad_without_a_copy():
    x, seen = leaf(30, 30), []
    x.register_hook(lambda g: seen.append(g.array.ctypes.data))
    (x * 2.0).sum().backward()
    assert x.grad.array.ctypes.data == seen[0]


def test_a_gradient_kept_by_a_hook_is_copied():
    x, kept = leaf(30, 30), []
    x.register_hook(kept.append)
    (x * 2.0).sum().backward()
    assert not np.shares_memory(x.grad.array, kept[0].array)


# Hooks -------------------------------------------------------------------------------------------


def test_hooks_see_and_replace_gradients():
    x = leaf(3)
    h = x * 2.0
    h.register_hook(lambda g: g * 10.0)
    total = []
    x.register_hook(lambda g: total.append(g.numpy().copy()))
    (h + h).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [40.0] * 3)
    np.testing.assert_array_equal(total, [[40.0] * 3])  # once, with the sum


def test_a_removed_hook_is_silent():
    x = leaf(3)
    with x.register_hook(lambda g: g * 0.0):
        pass
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0] * 3)


def test_retain_grad():
    x = leaf(3)
    h = x * 2.0
    h.retain_grad()
    (h * h).sum().backward()
    np.testing.assert_allclose(h.grad.numpy(), 2 * h.detach().numpy())


def test_a_hook_may_run_another_backward():
    x, z = leaf(3), leaf(3, seed=2)
    h = x * 2.0

    def hook(gradient):
        with tg.enable_grad():  # hooks run as the backward does: without recording
            (z * z).sum().backward()

    h.register_hook(hook)
    h.sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), 2 * z.detach().numpy())
    np.testing.assert_array_equal(x.grad.numpy(), [2.0] * 3)


def test_a_hook_with_a_wrong_shape():
    x = leaf(3)
    x.register_hook(lambda g: tg.zeros(2))
    with pytest.raises(tg.ShapeError, match="hook"):
        x.sum().backward()


# Modes -------------------------------------------------------------------------------------------


def test_no_grad_records_nothing_and_enable_grad_records_again():
    x = leaf(2)
    with tg.no_grad():
        y = x * x
        with tg.enable_grad():
            z = x * x
    assert not y.requires_grad
    assert z.requires_grad
    assert isinstance((x * x).node, Node)
    assert isinstance(x.node, Leaf)


def test_no_grad_as_a_decorator_and_nested_use():
    x = leaf(2)

    @tg.no_grad()
    def square(t):
        return t * t

    assert not square(x).requires_grad
    manager = tg.no_grad()
    with manager, manager:
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_no_grad_belongs_to_its_thread():
    x, seen = leaf(2), []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


# Size and threads ---------------------------------------------------------------------------------


def test_a_chain_of_a_million_nodes():
    x = tg.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    assert sys.getrecursionlimit() < 100_000
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0])
    del y  # deleting it must not recurse either


def test_two_threads_on_one_retained_graph():
    x = leaf(50)
    y = (x * x * 3.0).sum()
    errors = []

    def work():
        try:
            for _ in range(50):
                y.backward(retain_graph=True)
        except Exception as problem:  # reported by the assertion below
            errors.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []
    np.testing.assert_allclose(x.grad.numpy(), 200 * 6 * x.detach().numpy(), rtol=1e-12)


def test_threads_on_shared_parameters():
    w = leaf(20, 20)

    def work(seed):
        for _ in range(25):
            (w * float(seed)).sum().backward()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3, 4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(w.grad.numpy(), np.full((20, 20), 250.0))


def test_overflow_and_division_are_ieee_values_without_a_warning():
    x = tg.tensor([3e38, 0.0], dtype="float32", requires_grad=True)
    y = x * x
    assert np.isinf(y.detach().numpy()[0])
    z = (1.0 / x).sum()
    z.backward()
    assert np.isneginf(x.grad.numpy()[1])


@pytest.mark.parametrize("call", [lambda x: tg.autograd.grad(x, "w"), tg.autograd.backward])
def test_only_tensors_can_be_differentiated(call):
    with pytest.raises(tg.DTypeError, match="Tensors are needed, not str 'w'"):
        call("w")
