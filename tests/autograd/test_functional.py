"""Derivatives of functions: PyTorch's numbers, graphs only where asked for, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.autograd import functional
from tinygrad_cv.autograd.trace import Trace
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 2)), RNG.standard_normal(2)


def several(x, y):
    return (x @ y).sin(), (x * y).exp().sum()


def one(x, y):
    return ((x @ y).sin() * (x @ (y * y))).sum()


def both(name, ours, theirs=None, **options):
    """The same call of both libraries, as flat lists of arrays."""
    inputs, v = ours
    results = []
    for library, wrap in ((functional, tg.tensor), (torch.autograd.functional, torch.tensor)):
        tensors = tuple(wrap(a) for a in inputs)
        vectors = [] if v is None else [tuple(wrap(a) for a in v)]
        function = several if theirs is None else theirs
        found = getattr(library, name)(function, tensors, *vectors, **options)
        leaves = flatten(found)[0]
        assert not any(t.requires_grad for t in leaves)
        results.append(leaves)
    return results


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_vjp_and_jvp_are_pytorchs():
    weights = (RNG.standard_normal(3), np.array(0.7))
    same(*both("vjp", ((A, B), weights)))
    same(*both("jvp", ((A, B), (RNG.standard_normal((3, 2)), RNG.standard_normal(2)))))


@pytest.mark.parametrize("name", ["hvp", "vhp"])
def test_hessian_products_are_pytorchs(name):
    v = (RNG.standard_normal((3, 2)), RNG.standard_normal(2))
    same(*both(name, ((A, B), v), one))


@pytest.mark.parametrize("strategy", functional.STRATEGIES)
def test_matrices_are_pytorchs(strategy):
    inputs = (tg.tensor(A), tg.tensor(B))
    theirs = (torch.tensor(A), torch.tensor(B))
    found = functional.jacobian(several, inputs, strategy=strategy)
    assert [[type(x) for x in row] for row in found] == [[tg.Tensor] * 2] * 2
    same(flatten(found)[0], flatten(torch.autograd.functional.jacobian(several, theirs))[0])
    found = functional.hessian(one, inputs, outer_jacobian_strategy=strategy)
    same(flatten(found)[0], flatten(torch.autograd.functional.hessian(one, theirs))[0])


def test_one_input_is_no_tuple():
    x = tg.tensor(B)
    assert functional.jacobian(tg.sin, x).shape == (2, 2)
    assert functional.hessian(lambda x: tg.sin(x).sum(), x).shape == (2, 2)
    value, slope = functional.vjp(lambda x: (x**3).sum(), x)
    assert value.shape == ()
    np.testing.assert_allclose(slope.numpy(), 3 * B**2, rtol=1e-12)
    _, along = functional.jvp(lambda t: t * x, tg.tensor(1.0, dtype="float64"))
    np.testing.assert_array_equal(along.numpy(), B)


def test_nested_inputs_and_outputs():
    def function(state):
        return {"y": state["w"] * state["b"][0], "z": [state["b"][0].sum()]}

    state = {"w": tg.tensor(A), "b": (tg.tensor(B),)}
    found = functional.jacobian(function, state)
    assert found["y"]["w"].shape == (3, 2, 3, 2)
    assert found["z"][0]["b"][0].tolist() == [1.0, 1.0]
    assert found["z"][0]["w"].abs().sum().item() == 0
    _, slopes = functional.vjp(function, state, {"y": tg.tensor(A), "z": [tg.tensor(2.0)]})
    np.testing.assert_allclose(slopes["b"][0].numpy(), (A * A).sum(0) + 2, rtol=1e-12)


@pytest.mark.parametrize("name", ["vjp", "jvp", "hvp", "vhp", "jacobian", "hessian"])
def test_a_graph_only_where_asked_for(name):
    """With it, another differentiation gives 12x^2 or 24x of x^4."""
    x = tg.tensor([3.0], dtype="float64", requires_grad=True)
    call = getattr(functional, name)
    v = [] if name in ("jacobian", "hessian") else [tg.ones(1, dtype="float64")]

    def function(x):
        return (x**4).sum()

    v = [tg.tensor(1.0, dtype="float64")] if name == "vjp" else v
    result = call(function, x, *v)
    assert not any(t.requires_grad for t in flatten(result)[0])
    result = call(function, x, *v, create_graph=True, strict=True)
    derivative = flatten(result)[0][-1]
    (more,) = tg.autograd.grad(derivative.sum(), x)
    assert more.item() == pytest.approx(108 if name in ("vjp", "jvp", "jacobian") else 72)
    with tg.no_grad():
        assert not flatten(call(function, x, *v, create_graph=True))[0][-1].requires_grad
    assert x.grad is None


def test_a_derivative_does_not_free_a_graph_that_it_uses():
    w = tg.tensor(3.0, requires_grad=True)
    h = w * w
    assert functional.vjp(lambda x: x * h * x, tg.tensor(2.0))[1].item() == 36
    h.backward()
    assert w.grad.item() == 6


def test_saved_values_go_as_they_are_used():
    trace = Trace("test", tg.exp, (tg.ones(2),))
    trace.pull([tg.ones(2)])
    with pytest.raises(GraphError, match="used by an earlier backward"):
        trace.pull([tg.ones(2)])


X = tg.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: functional.vjp(tg.sin, X), GraphError, "vjp: v is missing"),
        (
            lambda: functional.vjp(tg.sin, X, tg.ones(3)),
            ShapeError,
            r"v must have the shape .*output",
        ),
        (
            lambda: functional.jvp(tg.sin, X, tg.ones(3)),
            ShapeError,
            r"v must have the shape .*input",
        ),
        (lambda: functional.jvp(tg.sin, X, (X,)), ArgumentError, "nested as the input"),
        (lambda: functional.jvp(tg.sin, X, tg.arange(2)), DTypeError, "floating, not int64"),
        (lambda: functional.jvp(tg.sin, X), GraphError, "jvp: v is missing"),
        (lambda: functional.jacobian(tg.sin, tg.arange(2)), DTypeError, "input is int64"),
        (lambda: functional.jacobian(tg.sin, (X, [1.0])), DTypeError, r"input\[1\]\[0\] is to be"),
        (lambda: functional.jacobian(tg.sin, X.to("meta")), GraphError, "meta device"),
        (lambda: functional.jacobian(None, X), DTypeError, "a function, not a NoneType"),
        (lambda: functional.jacobian(lambda x: None, X), DTypeError, "is a return missing"),
        (lambda: functional.jacobian(lambda x: (x, 3), X), DTypeError, r"the output\[1\] is 3"),
        (lambda: functional.jacobian(tg.sin, X, strategy="x"), ArgumentError, "strategy must be"),
        (lambda: functional.hessian(tg.sin, X), ShapeError, r"one number\n  the output \(2,\)"),
        (lambda: functional.hvp(lambda x: (x, x), X, X), ShapeError, r"the output \(\*, \*\)"),
        (lambda: functional.hvp(lambda x: x.sum() > 0, X, X), DTypeError, "not bool"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("vjp", lambda x, y: x.sum()),
        ("jvp", lambda x, y: x.sum()),
        ("jacobian", lambda x, y: x.sum()),
        ("hessian", lambda x, y: x.sum()),
        ("hvp", lambda x, y: (x * x).sum() + y.sum()),
        ("vhp", lambda x, y: (x * x).sum() + y.sum()),
        ("hessian", lambda x, y: (x * x).sum() + y.sum()),
        ("jacobian", lambda x, y: tg.ones(2)),
    ],
)
def test_strict_refuses_what_does_not_depend(name, function):
    v = {"vjp": [tg.tensor(1.0)], "jacobian": [], "hessian": []}.get(name, [(X, X)])
    call = getattr(functional, name)
    assert flatten(call(function, (X, X), *v))[0]
    which = r"input\[0\]" if function(X, X).tolist() == [1, 1] else r"input\[1\]"
    with pytest.raises(GraphError, match=f"does not depend on {which}, which strict=True"):
        call(function, (X, X), *v, strict=True)


def test_strict_with_a_graph_needs_one():
    with pytest.raises(GraphError, match="nothing that asks for a gradient"):
        functional.jacobian(tg.sin, X, create_graph=True, strict=True)
