"""``tg.func``: PyTorch's numbers, any nesting, no variable taken for another."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import func, nn
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.core.node import Node
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError

torch = pytest.importorskip("torch")

# PyTorch's jacfwd and jvp compile something when they are first used.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

RNG = np.random.default_rng(0)
A, B, C = RNG.standard_normal((3, 2)), RNG.standard_normal(2), np.array(0.3)


def tree(wrap):
    return {"w": wrap(A), "rest": [wrap(B), (wrap(C),)]}


def number(p, x, scale=1.0):
    return ((p["w"] @ p["rest"][0] * x).sin() * p["rest"][1][0]).sum() * scale


def tensors(p, x):
    y = p["w"] * x.reshape(3, 1)
    return {"a": y.exp(), "b": (y @ p["rest"][0], p["rest"][1][0] * x.sum())}


X = RNG.standard_normal(3)


def same(ours, theirs):
    ours, structure = flatten(ours)
    theirs, other = flatten(theirs)
    assert structure == other
    for a, b in zip(ours, theirs, strict=True):
        assert not a.requires_grad
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


def of_both(make):
    """What ``make(library of transforms, tensor function)`` gives with either library."""
    return make(func, tg.tensor), make(torch.func, torch.tensor)


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1,)])
def test_gradients_are_pytorchs(argnums):
    same(*of_both(lambda f, t: f.grad(number, argnums)(tree(t), t(X), scale=2.0)))
    same(*of_both(lambda f, t: f.grad_and_value(number, argnums)(tree(t), t(X))))
    value, slopes = func.value_and_grad(number, argnums)(tree(tg.tensor), tg.tensor(X))
    same(
        (slopes, value),
        torch.func.grad_and_value(number, argnums)(tree(torch.tensor), torch.tensor(X)),
    )


def with_aux(p, x):
    return number(p, x), {"twice": p["w"] * 2}


def test_what_comes_along():
    same(*of_both(lambda f, t: f.grad(with_aux, has_aux=True)(tree(t), t(X))))
    same(*of_both(lambda f, t: f.grad_and_value(with_aux, has_aux=True)(tree(t), t(X))))
    same(*of_both(lambda f, t: f.jacrev(with_aux, has_aux=True)(tree(t), t(X))))
    same(*of_both(lambda f, t: f.jacfwd(with_aux, has_aux=True)(tree(t), t(X))))
    same(*of_both(lambda f, t: f.vjp(with_aux, tree(t), t(X), has_aux=True)[::2]))
    same(*of_both(lambda f, t: f.jvp(with_aux, (tree(t), t(X)), (tree(t), t(X)), has_aux=True)))
    (value, aux), _ = func.value_and_grad(lambda x: (x * x, "text"), has_aux=True)(tg.tensor(3.0))
    assert (value.item(), aux) == (9.0, "text")


def test_products_are_pytorchs():
    def pulled(f, t):
        y, pull = f.vjp(tensors, tree(t), t(X))
        return y, pull(y), pull(y)  # twice from one forward

    same(*of_both(pulled))
    same(*of_both(lambda f, t: f.jvp(tensors, (tree(t), t(X)), (tree(t), t(2 * X)))))
    primals, v = (tg.tensor(A), tg.tensor(B)), (tg.tensor(A * A), tg.tensor(B * B))
    value, found = func.hvp(lambda a, b: (a @ b).sin().sum(), primals, v)
    theirs = torch.autograd.functional.hvp(
        lambda a, b: (a @ b).sin().sum(),
        (torch.tensor(A), torch.tensor(B)),
        (torch.tensor(A * A), torch.tensor(B * B)),
    )
    same((value, found), theirs)


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
@pytest.mark.parametrize("argnums", [0, 1, (1, 0)])
def test_jacobians_are_pytorchs(name, argnums):
    same(*of_both(lambda f, t: getattr(f, name)(tensors, argnums)(tree(t), t(X))))


@pytest.mark.parametrize("argnums", [0, (0, 1)])
def test_hessians_are_pytorchs(argnums):
    same(*of_both(lambda f, t: f.hessian(number, argnums)(tree(t), t(X))))


def test_empty_and_scalar_outputs():
    x = tg.ones(2)
    for make in (func.jacrev, func.jacfwd):
        assert make(lambda x: x[:0])(x).shape == (0, 2)
        assert make(tg.sin)(tg.ones(0)).shape == (0, 0)
        assert make(lambda x: tg.ones(3))(x).tolist() == [[0.0, 0.0]] * 3
        assert make(lambda x: x.sum())(x).tolist() == [1.0, 1.0]


# Nested


def test_any_order():
    f, x = (lambda x: x**6), tg.tensor(1.0, dtype="float64")
    for k, expected in enumerate((6.0, 30.0, 120.0, 360.0, 720.0, 720.0, 0.0)):
        f = func.grad(f) if k % 2 else func.jacfwd(f)
        assert f(x).item() == expected
        assert f(x).node is None


def test_derivatives_of_derivatives_in_every_order_of_transforms():
    """d3/dx3 of sin(x)^2 is -4 sin(2x)."""
    x = tg.tensor(0.4, dtype="float64")
    one = tg.tensor(1.0, dtype="float64")

    def forward(f):
        return lambda x: func.jvp(f, (x,), (one,))[1]

    def back(f):
        return lambda x: func.vjp(f, x)[1](one)[0]

    ways = [func.grad, func.jacrev, func.jacfwd, forward, back]
    for first in ways:
        for second in ways:
            for third in ways:
                found = third(second(first(lambda x: tg.sin(x) ** 2)))(x)
                assert found.item() == pytest.approx(-4 * np.sin(0.8), abs=1e-12)
                assert found.node is None


def test_no_perturbation_is_taken_for_another():
    """Siskind and Pearlmutter's example, d/dx (x * d/dy (x + y)) = 1, and relatives of it."""
    grad, one = func.grad, tg.tensor(1.0)
    found = grad(lambda x: x * grad(lambda y: x + y)(one))(one)
    assert found.item() == 1
    assert found.node is None
    found = grad(lambda x: grad(lambda y: x * y * y * x)(one))(one)
    assert found.item() == 4
    assert found.node is None, "the inner variable, which is gone, counts as somebody's"
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(tg.tensor(3.0)).item() == 6
    assert grad(lambda x: x * grad(lambda y: x * y * y)(x))(tg.tensor(3.0)).item() == 6 * 9

    def forward(f, x):
        return func.jvp(f, (x,), (one,))[1]

    assert forward(lambda x: x * forward(lambda y: x + y, one), one).item() == 1
    assert forward(lambda x: x * forward(lambda y: x * y * y, x), tg.tensor(3.0)).item() == 6 * 9
    assert grad(lambda x: forward(lambda y: x * y * y, x))(tg.tensor(3.0)).item() == 4 * 3


# Graphs: only where they lead outside


def test_results_have_a_graph_where_something_asks_for_one():
    w = tg.tensor(2.0, requires_grad=True)
    x = tg.tensor(3.0)
    slope, value = func.grad_and_value(lambda x: w * x**2)(x)
    assert (slope.item(), value.item()) == (12.0, 18.0)
    assert tg.autograd.grad([slope, value], w)[0].item() == 6 + 9
    (through,) = tg.autograd.grad(func.grad(lambda x: x**3)(w), w)
    assert through.item() == 12
    y, pull = func.vjp(lambda x: x * 5, x)
    g = tg.tensor(1.0, requires_grad=True)
    assert tg.autograd.grad(pull(g)[0] * 2, g)[0].item() == 10
    v = tg.tensor(1.0, requires_grad=True)
    assert tg.autograd.grad(func.jvp(lambda x: x * x, (x,), (v,))[1], v)[0].item() == 6
    assert not y.requires_grad
    assert func.grad(lambda x: (x * x, w * x), has_aux=True)(x)[1].requires_grad
    assert not func.grad(lambda x: (x * x, w * x), has_aux=True)(x)[0].requires_grad


def test_what_comes_along_keeps_its_graph_usable():
    w = tg.tensor(2.0, requires_grad=True)

    def function(x):
        z = x.exp()
        return z * z, w * z

    _, aux = func.grad(function, has_aux=True)(tg.tensor(0.0))
    aux.backward()
    assert w.grad.item() == 1


def test_grad_mode_inside_and_outside():
    w = tg.tensor(2.0, requires_grad=True)
    with tg.no_grad():
        slope = func.grad(lambda x: w * x * x)(w)
    assert slope.item() == 8
    assert slope.node is None

    def with_constant(x):
        with tg.no_grad():
            y = x * x
        return x - y

    assert func.grad(with_constant)(w).item() == 1
    assert w.grad is None


def test_nothing_is_left_behind():
    """No node outlives a call, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        x = tg.tensor(A)
        before = sum(type(o) is Node for o in gc.get_objects())
        kept = [func.hessian(lambda x: x.sin().sum())(x), func.jvp(tg.exp, (x,), (x,))]
        after = sum(type(o) is Node for o in gc.get_objects())
    finally:
        gc.enable()
    assert len(kept) == 2
    assert after == before


def test_the_argument_is_not_touched():
    x = tg.tensor(3.0, requires_grad=True)
    func.grad(lambda x: x * x)(x)
    func.hessian(lambda x: x * x)(x)
    assert x.grad is None
    assert x.is_leaf
    assert func.grad(lambda x: x * x).__name__ == "grad(<lambda>)"


ONE = tg.tensor(1.0)


def strictly(function, primals):
    return func.jvp(function, primals, primals, strict=True)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: func.grad(tg.sin)(tg.ones(2)), ShapeError, r"func.grad: .*\n  the output \(2,\)"),
        (lambda: func.grad(tg.sin)(tg.ones(1)), ShapeError, "one number"),
        (lambda: func.grad(tg.sin)(2.0), DTypeError, "input is to be differentiated.*2.0, a float"),
        (lambda: func.grad(tg.sin, 1)(ONE), ArgumentError, "argument 1, but .* with 1 by position"),
        (lambda: func.grad(tg.sin, (0, 0))(ONE), ArgumentError, "twice"),
        (lambda: func.grad(tg.sin, "x")(ONE), DTypeError, "argnums must be an int"),
        (lambda: func.grad(tg.sin, ())(ONE), DTypeError, "argnums must be an int"),
        (lambda: func.grad(tg.sin, has_aux=True)(ONE), ArgumentError, "returns .output, aux."),
        (lambda: func.grad(lambda x: x > 0)(ONE), DTypeError, "not bool"),
        (lambda: func.grad(None)(ONE), DTypeError, "a function, not a NoneType"),
        (lambda: func.vjp(tg.sin, ONE)[1](tg.ones(2)), ShapeError, "shape of the output"),
        (lambda: func.vjp(tg.sin, ONE)[1]((ONE,)), ArgumentError, "nested as the output"),
        (lambda: func.jvp(tg.sin, ONE, ONE), DTypeError, r"Write \(x,\)"),
        (lambda: func.jvp(tg.sin, (ONE,), (ONE, ONE)), ArgumentError, "nested as the input"),
        (lambda: strictly(lambda x, y: x, (ONE, ONE)), GraphError, r"depend on input\[1\]"),
        (lambda: func.hvp(tg.sin, (tg.ones(2),), (tg.ones(2),)), ShapeError, "func.hvp"),
    ],
)  # fmt: skip
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


# Modules


def network(library):
    return library.Sequential(
        library.Conv2d(1, 3, 3), library.BatchNorm2d(3), library.Tanh(), library.AvgPool2d(2),
        library.Flatten(), library.Linear(12, 2),
    )  # fmt: skip


def test_a_module_as_a_function_of_its_parameters():
    """Gradients and running statistics as in PyTorch; the module is as it was."""
    theirs = network(torch.nn).double()
    ours = network(nn).double()
    state = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
    images = RNG.standard_normal((4, 1, 6, 6))

    buffers = {k: tg.tensor(state[k]) for k, _ in ours.named_buffers()}
    params = {k: tg.tensor(state[k] * 1.5) for k, _ in ours.named_parameters()}

    def loss(params, x):
        return (func.functional_call(ours, (params, buffers), (x,)) ** 2).mean()

    before = {k: v.numpy().copy() for k, v in ours.state_dict().items()}
    slopes = func.grad(loss)(params, tg.tensor(images))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter *= 1.5
    (theirs(torch.tensor(images)) ** 2).mean().backward()
    same(slopes, {k: p.grad for k, p in theirs.named_parameters()})
    same(buffers, dict(theirs.named_buffers()))
    for name, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    assert all(p.grad is None for p in ours.parameters())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(tg.tensor(1.0))
        self.b = self.a
        self.register_buffer("count", tg.tensor(0.0))

    def forward(self, x, factor=1.0):
        self.count = self.count + 1
        return (x + self.a + self.b) * factor


def test_tied_parameters_keywords_and_replaced_buffers():
    module, x = Tied(), tg.tensor(1.0)
    call = func.functional_call
    given = {"a": tg.tensor(5.0), "count": tg.tensor(3.0)}
    assert call(module, given, x, {"factor": 2.0}).item() == 22
    assert given["count"].item() == 4
    assert module.count.item() == 0
    assert call(module, {"a": tg.tensor(5.0)}, x, tie_weights=False).item() == 7
    two = {"a": tg.tensor(5.0), "b": tg.tensor(6.0)}
    assert call(module, two, x, tie_weights=False).item() == 12
    with pytest.raises(ArgumentError, match="'a', 'b' are one parameter, but"):
        call(module, two, x)
    assert module.a.item() == module.b.item() == 1
    assert module.a is module.b


def test_a_failed_call_leaves_the_module_as_it_was():
    layer = nn.Linear(2, 1)
    weight = layer.weight
    with pytest.raises(ShapeError):
        func.functional_call(layer, {"weight": tg.ones(1, 2)}, tg.ones(3))
    assert layer.weight is weight


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"wait": ONE}, ArgumentError, "no parameter or buffer 'wait'\n.*'weight', 'bias'"),
        ({"weight": tg.ones(2, 2)}, ShapeError, r"given +\(2, 2\)\n +the module's \(1, 2\)"),
        ({"weight": 3}, DTypeError, "'weight' must be a tensor, not a int"),
        (({"bias": tg.ones(1)}, {"bias": tg.ones(1)}), ArgumentError, "more than one"),
        ([1], DTypeError, r"dict\(module.named_parameters"),
        ({"bias": tg.ones(1)}, ArgumentError, "strict=True, and 'weight' is missing"),
    ],
)
def test_refused_parameters(given, error, text):
    with pytest.raises(error, match=text):
        func.functional_call(nn.Linear(2, 1), given, tg.ones(2), strict=True)


def test_only_a_module_is_called():
    with pytest.raises(DTypeError, match="a Module is called, not a function"):
        func.functional_call(lambda x: x, {}, ONE)


def test_a_result_keeps_its_way_to_what_was_computed_from_a_dead_leaf():
    h = tg.tensor([1.0, 2.0, 3.0], requires_grad=True) * 2
    v, x = tg.ones(3, requires_grad=True), tg.tensor([1.0, 1.0, 1.0])

    def f(x, y):
        return (x**2 * h * v).sum() + (y**2 * h).sum()

    gx, gy = tg.func.grad(f, argnums=(0, 1))(x, x)
    (slope,) = tg.autograd.grad((gx + gy).sum(), h)
    assert slope.tolist() == [4.0] * 3
    value, pull = tg.func.vjp(lambda x: (x * h).sum(), x)
    assert tg.autograd.grad(value + pull(tg.tensor(1.0))[0].sum(), h)[0].tolist() == [2.0] * 3


@pytest.mark.parametrize(
    "name", ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "value_and_grad"]
)
def test_swapped_arguments(name):
    x = tg.ones(2)
    with pytest.raises(DTypeError, match=r"differentiates a function, not a Tensor") as caught:
        getattr(func, name)(x, tg.exp)
    first = "grad_and_value" if name == "value_and_grad" else name
    assert caught.value.repair == f"The function comes first, as in {first}(function, ...)."


@pytest.mark.parametrize("name", tg.autograd.functional.__all__)
def test_swapped_arguments_of_the_other_face(name):
    with pytest.raises(
        DTypeError, match=rf"not a Tensor\n  The function comes first, as in {name}"
    ):
        getattr(tg.autograd.functional, name)(tg.ones(2), tg.exp)
    with pytest.raises(DTypeError, match="The function comes first"):
        func.hvp(tg.ones(2), (tg.exp,), (tg.ones(2),))
