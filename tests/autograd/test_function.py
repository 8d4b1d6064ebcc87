"""autograd.Function: what it computes, against PyTorch's on the same classes."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.functions import Engine, both, close, cube_of, exp_of, linear_of, sinh_of
from tinygrad_cv.autograd import Function, grad
from tinygrad_cv.autograd.function import once_differentiable

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((2, 3)), RNG.standard_normal(2)


def test_exp_of_the_documentation_to_the_third_order():
    found = []
    for e in both():
        x = e.leaf(X)
        y = exp_of(e).apply(x)
        orders = [y]
        for _ in range(3):
            (y,) = e.grad((y * y).sum(), x, create_graph=True)
            orders.append(y)
        found.append(orders)
    close(*found)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("frozen", [(), (0,), (1,), (0, 1)])
def test_linear_of_the_tutorial(with_bias, frozen):
    found = []
    for e in both():
        leaves = [e.leaf(v) for v in (X, W, B)[: 3 if with_bias else 2]]
        for k in frozen:
            leaves[k].requires_grad_(False)
        wanted = [t for t in leaves if t.requires_grad]
        if not wanted:
            return
        given = leaves if with_bias else [*leaves, None]
        y = linear_of(e).apply(*given)
        first = e.grad((y**2).sum(), wanted, create_graph=True)
        second = e.grad(sum((g**2).sum() for g in first), wanted)
        found.append([y, *first, *second])
    close(*found)


def test_several_outputs_saved_as_outputs():
    found = []
    for e in both():
        x = e.leaf(X)
        y, p, _ = sinh_of(e).apply(x)
        (first,) = e.grad((y * p).sum(), x, create_graph=True)
        (second,) = e.grad((first**2).sum(), x)
        found.append([y, p, first, second])
    close(*found)


def test_a_backward_that_calls_another_function():
    found = []
    for e in both():
        x = e.leaf(X)
        (first,) = e.grad(cube_of(e).apply(x, 2.0).sum(), x, create_graph=True)
        (second,) = e.grad((first**2).sum(), x, create_graph=True)
        found.append([first, second])
    close(*found)


def test_what_ctx_says():
    """The arguments of forward and backward, in every combination, are those of PyTorch."""
    seen: list[list[Any]] = []
    for e in both():
        notes: list[Any] = []

        class Told(e.Function):
            @staticmethod
            def forward(ctx, a, k, b, m, materialize):
                ctx.set_materialize_grads(materialize)
                constant = b * 3
                ctx.mark_non_differentiable(constant)
                ctx.save_for_backward(a, None, b)
                ctx.k = k
                notes.append(("forward", ctx.needs_input_grad))  # noqa: B023
                return a * k, a + b, constant, a > 0, None, 7

            @staticmethod
            def backward(ctx, *grads):
                kinds = [None if g is None else (g.tolist(), str(g.dtype)) for g in grads]
                saved = [None if t is None else t.tolist() for t in ctx.saved_tensors]
                notes.append(("backward", kinds, ctx.needs_input_grad, saved, ctx.k))  # noqa: B023
                return grads[0], None, None, None, None, None

        for materialize in (True, False):
            for needs in (True, False):
                a, b = e.leaf([1.0, -2.0]), e.leaf([3.0, 4.0]).requires_grad_(needs)
                out = Told.apply(a, 2, b, None, materialize)
                notes.append([type(x).__name__ for x in out[4:]])
                notes.append([x.requires_grad for x in out[:4]])
                out[0].sum().backward()
                notes.append((a.grad.tolist(), b.grad))
            with e.lib.no_grad():
                notes.append([x.requires_grad for x in Told.apply(a, 2, b, None, True)[:4]])
        seen.append(notes)
    ours, theirs = (str(notes).replace("torch.", "") for notes in seen)
    assert ours == theirs


def test_gradients_are_summed_and_cast_as_in_pytorch():
    found = []
    for e in both():

        class Times(e.Function):
            @staticmethod
            def forward(ctx, x, w):
                ctx.save_for_backward(x, w)
                return x * w

            @staticmethod
            def backward(ctx, g):
                x, w = ctx.saved_tensors
                return g * w, (g * x), None, None  # of the shape of x; further Nones are allowed

        x, w = e.leaf(X), e.leaf(X[0])
        first = e.grad((Times.apply(x, w) ** 2).sum(), (x, w), create_graph=True)
        second = e.grad((first[1] ** 2).sum(), (x, w))
        found.append([*first, *second])
    close(*found)
    x = tg.ones(2, requires_grad=True)  # float32

    class Wide(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.double()

    Wide.apply(x).sum().backward()
    assert x.grad.dtype == tg.float32


@pytest.mark.parametrize("wide", [False, True])
def test_numpy_inside_and_large_arrays(wide):
    """Beyond 2 MB the engine hands rules Tensors instead of arrays; the result is the same."""

    class Sigmoid(Function):
        @staticmethod
        def forward(ctx, x):
            y = tg.from_numpy(1 / (1 + np.exp(-x.numpy())))
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            y = ctx.saved_tensors[0].numpy()
            return tg.from_numpy(g.numpy() * y * (1 - y))

    values = RNG.standard_normal((600, 700) if wide else (2, 3))
    x = tg.tensor(values, requires_grad=True)
    Sigmoid.apply(x).sum().backward()
    s = 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(x.grad.numpy(), s * (1 - s), rtol=1e-12)


def test_attributes_of_ctx_stand_in_the_graph_too():
    """PyTorch differentiates through an input that is kept as an attribute; so must we."""
    found = []
    for e in both():

        class Product(e.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.both = {"pair": [x, (y, "text")]}
                return x * y

            @staticmethod
            def backward(ctx, g):
                x, (y, text) = ctx.both["pair"]
                assert text == "text"
                return g * y, g * x

        x, y = e.leaf(X), e.leaf(X**2)
        first = e.grad((Product.apply(x, y) ** 2).sum(), (x, y), create_graph=True)
        second = e.grad(sum((g**2).sum() for g in first), (x, y))
        found.append([*first, *second])
    close(*found)


def test_dirty_arguments_are_those_of_pytorch():
    found = []
    for e in both():

        class AddOne(e.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.mark_dirty(x)
                x += y
                return x, y * 2

            @staticmethod
            def backward(ctx, g, h):
                return g, g + 2 * h

        leaf, y = e.leaf(X), e.leaf(X + 1)
        x = leaf * 3
        before = x * 2  # saves nothing of x
        out, other = AddOne.apply(x, y)
        assert out is x
        grads = e.grad((x**2).sum() + before.sum() + other.sum(), (leaf, y))
        found.append([x, *grads])
    close(*found)


def test_vjp_is_another_name_of_backward():
    class Triple(Function):
        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def vjp(ctx, g):
            return 3 * g

    x = tg.ones(2, requires_grad=True)
    Triple.apply(x).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_the_result_may_be_the_argument():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = tg.ones(2, requires_grad=True)
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [5, 5]
    with pytest.raises(tg.GraphError, match="view"):
        y += 1


def test_a_tensor_from_outside_keeps_its_graph():
    """A weight that is saved, but is no argument: second derivatives reach it."""
    w = tg.tensor(3.0, dtype="float64", requires_grad=True)

    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, g):
            (w,) = ctx.saved_tensors
            return g * w

    x = tg.tensor(2.0, dtype="float64", requires_grad=True)
    (first,) = grad(Scaled.apply(x), x, create_graph=True)
    (second,) = grad(first**2, w)
    assert second.item() == 6.0


def test_a_backward_that_runs_the_forward_again():
    class Again(Function):
        @staticmethod
        def forward(ctx, function, x):
            ctx.function = function
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with tg.enable_grad():
                y = ctx.function(x)
            return None, grad(y, x, g)[0]

    x = tg.tensor(X, requires_grad=True)
    (found,) = grad(Again.apply(lambda x: x.sin() * x, x).sum(), x)
    np.testing.assert_allclose(found.numpy(), np.cos(X) * X + np.sin(X), rtol=1e-12)


def test_transforms():
    exp, x = exp_of(Engine(tg)), tg.tensor(X[0])

    def function(x):
        return (exp.apply(x) * x).sum()

    ours = tg.func.grad(function)(x).numpy()
    np.testing.assert_allclose(ours, np.exp(X[0]) * (X[0] + 1), rtol=1e-12)
    hessian = np.diag(np.exp(X[0]) * (X[0] + 2))
    np.testing.assert_allclose(tg.func.hessian(function)(x).numpy(), hessian, rtol=1e-12)
    _, slope = tg.func.jvp(exp.apply, (x,), (tg.ones(3, dtype="float64"),))
    np.testing.assert_allclose(slope.numpy(), np.exp(X[0]), rtol=1e-12)
    leaf = tg.tensor(X, requires_grad=True)
    assert tg.autograd.gradcheck(exp.apply, leaf)
    assert tg.autograd.gradgradcheck(exp.apply, leaf)


def test_nothing_is_recorded_without_need():
    exp = exp_of(Engine(tg))
    assert exp.apply(tg.ones(2)).grad_fn is None
    x = tg.ones(2, requires_grad=True)
    with tg.no_grad():
        y = exp.apply(x)
    assert y.grad_fn is None
    assert "made under no_grad, which begins at" in tg.autograd.why_no_grad(y)


def test_why_a_marked_output_has_no_gradient():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            whole = x.floor()
            ctx.mark_non_differentiable(whole)
            return x - whole, whole

        @staticmethod
        def backward(ctx, g, _):
            return g

    rest, whole = Split.apply(tg.ones(2, requires_grad=True))
    here = f"{__file__}:{rest.grad_fn.site.line} in test_why_a_marked_output_has_no_gradient"
    expected = f"it was marked as non-differentiable by Split at {here}"
    assert tg.autograd.why_no_grad(whole) == expected


def test_no_reference_cycle():
    """With the collector off everything dies with the last result, create_graph too."""
    sinh, cube = sinh_of(Engine(tg)), cube_of(Engine(tg))
    x = tg.tensor(X, requires_grad=True)

    def once() -> list[weakref.ref[Any]]:
        y, p, q = sinh.apply(cube.apply(x, 2.0))
        (g,) = grad((y * p * q).sum(), x, create_graph=True)
        (h,) = grad((g**2).sum(), x, retain_graph=True)
        nodes = tg.autograd.graph.nodes(g)
        return [weakref.ref(t) for t in (y, p, q, g, h, *nodes)]

    once()
    gc.collect()
    gc.disable()
    try:
        references = once()
        assert [r for r in references if r() is not None] == []
    finally:
        gc.enable()


def test_threads_on_one_graph_and_on_their_own():
    linear = linear_of(Engine(tg))
    x, w = tg.tensor(X, requires_grad=True), tg.tensor(W, requires_grad=True)
    shared = linear.apply(x, w, None)
    problems: list[Any] = []

    def work() -> None:
        try:
            for _ in range(50):
                (g,) = grad((shared * 1).sum(), x, retain_graph=True)
                own = tg.tensor(X, requires_grad=True)
                (h,) = grad(linear.apply(own, w, None).sum(), own)
                assert (g.numpy() == W.sum(0)).all()
                assert (h.numpy() == W.sum(0)).all()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_once_differentiable_at_first_order():
    for e in both():

        class Sin(e.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x.sin()

            @staticmethod
            @once_differentiable if e.lib is tg else e.once
            def backward(ctx, g):
                return g * ctx.saved_tensors[0].cos()

        x = e.leaf(X)
        for create_graph in (False, True):
            (g,) = e.grad(Sin.apply(x).sum(), x, create_graph=create_graph)
            np.testing.assert_allclose(g.detach().numpy(), np.cos(X), rtol=1e-12)


def test_an_implicit_layer():
    """z = tanh(W z + c): dL/dc = (1 - z^2) u with (I - W^T diag(1 - z^2)) u = dL/dz."""

    class FixedPoint(Function):
        @staticmethod
        def forward(ctx, f, start, *parameters):
            z = start
            for _ in range(100):
                z = f(z, *parameters)
            ctx.f = f
            ctx.save_for_backward(z, *parameters)
            return z

        @staticmethod
        def backward(ctx, g):
            z, *parameters = ctx.saved_tensors

            def back(u, g, z, *parameters):
                return g + tg.func.vjp(lambda z: ctx.f(z, *parameters), z)[1](u)[0]

            u = FixedPoint.apply(back, tg.zeros_like(g), g, z, *parameters)
            return None, None, *tg.func.vjp(lambda *p: ctx.f(z, *p), *parameters)[1](u)

    def layer(w, c):
        return FixedPoint.apply(lambda z, w, c: (w @ z + c).tanh(), tg.zeros_like(c), w, c)

    w = tg.tensor(RNG.standard_normal((3, 3)) / 5, requires_grad=True)
    c, g = tg.tensor(X[0], requires_grad=True), X[1]
    z = layer(w, c)
    found = grad(z, (w, c), tg.tensor(g))
    slope = 1 - z.detach().numpy() ** 2
    u = np.linalg.solve(np.eye(3) - w.detach().numpy().T * slope, g)
    np.testing.assert_allclose(found[1].numpy(), slope * u, rtol=1e-12)
    np.testing.assert_allclose(
        found[0].numpy(), np.outer(slope * u, z.detach().numpy()), rtol=1e-12
    )
    assert tg.autograd.gradgradcheck(layer, (w, c))
