"""One Hessian in every way that there is: of every smooth operator, and of a small network."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import func, nn
from tinygrad_cv.autograd import functional
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.testing import Case, recorded_calls
from tinygrad_cv.testing.compare import random_like
from tinygrad_cv.testing.runs import double
from tools.gpu_check import collect

Function = Callable[[Tensor], Tensor]


def by_two_backwards(f: Function, x: Tensor) -> Tensor:
    """Without the transforms: a graph, its gradient's graph, and rows of that."""
    x = x.detach().requires_grad_()
    (slope,) = tg.autograd.grad(f(x), x, create_graph=True)
    rows = [
        tg.autograd.grad(slope[k], x, retain_graph=True, materialize_grads=True)[0]
        for k in range(len(x))
    ]
    return tg.stack(rows)


def by_differences(f: Function, x: Tensor) -> np.ndarray:
    """Of values only, extrapolated once."""
    point = x.numpy()

    def of(step: float) -> np.ndarray:
        def value(*moves: np.ndarray) -> float:
            return f(tg.tensor(point + sum(moves))).item()

        steps = step * np.eye(len(point))
        matrix = np.zeros((len(point), len(point)))
        for i, j in itertools.product(range(len(point)), repeat=2):
            a, b = steps[i], steps[j]
            matrix[i, j] = (value(a, b) - value(a, -b) - value(-a, b) + value(-a, -b)) / 4 / step**2
        return matrix

    return (4 * of(5e-4) - of(1e-3)) / 3


def each(
    product: Callable[[Function, Tensor, Tensor], Tensor],
) -> Callable[[Function, Tensor], Any]:
    """A Hessian from its products with the unit vectors."""
    return lambda f, x: tg.stack([product(f, x, tg.tensor(e)) for e in np.eye(len(x))])


def jacobian_twice(f: Function, x: Tensor) -> Any:
    return functional.jacobian(lambda x: functional.jacobian(f, x, create_graph=True), x)


def forward_hessian(f: Function, x: Tensor) -> Any:
    return functional.hessian(f, x, outer_jacobian_strategy="forward-mode")


def slope(f: Function, x: Tensor, v: Tensor) -> Tensor:
    return func.jvp(f, (x,), (v,))[1]


WAYS: dict[str, Callable[[Function, Tensor], Any]] = {
    "two backwards": by_two_backwards,
    "func.hessian": lambda f, x: func.hessian(f)(x),
    "jacrev of grad": lambda f, x: func.jacrev(func.grad(f))(x),
    "jacfwd of grad": lambda f, x: func.jacfwd(func.grad(f))(x),
    "jacrev of jacfwd": lambda f, x: func.jacrev(func.jacfwd(f))(x),
    "jacfwd of jacfwd": lambda f, x: func.jacfwd(func.jacfwd(f))(x),
    "grad of grad": each(lambda f, x, v: func.grad(lambda x: (func.grad(f)(x) * v).sum())(x)),
    "jvp of grad": each(lambda f, x, v: func.jvp(func.grad(f), (x,), (v,))[1]),
    "vjp of grad": each(lambda f, x, v: func.vjp(func.grad(f), x)[1](v)[0]),
    "grad of jvp": each(lambda f, x, v: func.grad(lambda x: slope(f, x, v))(x)),
    "func.hvp": each(lambda f, x, v: func.hvp(f, (x,), (v,))[1][0]),
    "autograd.hvp": each(lambda f, x, v: functional.hvp(f, x, v)[1]),
    "autograd.vhp": each(lambda f, x, v: functional.vhp(f, x, v)[1]),
    "autograd.hessian": functional.hessian,
    "autograd.hessian, forward": forward_hessian,
    "autograd.jacobian twice": jacobian_twice,
}


def agree(f: Function, x: Tensor) -> np.ndarray:
    """Every way gives the first one's matrix; so do differences, which know no rule."""
    found = {name: way(f, x).detach().numpy() for name, way in WAYS.items()}
    expected = found["two backwards"]
    scale = max(float(np.abs(expected).max()), 1e-3)
    for name, matrix in found.items():
        assert matrix.shape == expected.shape
        off = float(np.abs(matrix - expected).max())
        assert off <= 1e-9 * scale, f"{name} is off by {off:.3g} of {scale:.3g}"
    numeric = by_differences(f, x)
    tolerance = 2e-5 * scale + 1e-7 * max(abs(f(x).item()), 1.0)
    off = float(np.abs(numeric - expected).max())
    assert off <= tolerance, f"differences are off by {off:.3g} of {scale:.3g}"
    return expected


# Operators


def smooth_cases() -> dict[type[Op], Case]:
    """For every operator that can be differentiated twice the smallest case that runs it at a
    smooth place, of six numbers or more if there is one."""
    found: dict[type[Op], Case] = {}
    costs: dict[type[Op], tuple[bool, int]] = {}
    for case in collect("CASES"):
        if not isinstance(case, Case) or case.order < 2 or case.kinks or not case.differentiable():
            continue
        size = sum(case.leaves()[k].size for k in case.differentiable())
        cost = (size < 6, size)
        for op in {op for op, _, _ in recorded_calls(case)}:
            if op.rules and size and (op not in costs or cost < costs[op]):
                found[op], costs[op] = case, cost
    return found


CASES = smooth_cases()
# Steps, whose derivatives are 0.
FLAT = {"ceil", "floor", "floor_divide", "heaviside", "round", "sign", "trunc", "trunc_divide"}
FLAT |= {"zero_map"}


def plane(case: Case) -> Function:
    """<w, y> + |y|^2 / 2 as a function of two numbers that move all inputs: its Hessian has a part
    of first and one of second derivatives."""
    rng, wanted = case.rng(5), case.differentiable()
    inputs = [tg.tensor(x) for x in double(case.leaves())]
    moves = {k: [random_like(inputs[k], rng) * 0.1 for _ in range(2)] for k in wanted}
    weights: list[Tensor] = []

    def function(t: Tensor) -> Tensor:
        points = list(inputs)
        for k, (a, b) in moves.items():
            points[k] = inputs[k] + a * t[0] + b * t[1]
        outputs = [y for y in case.call(points) if y.dtype.kind == "f"]
        if not weights:
            weights.extend(random_like(y, rng) for y in outputs)
        return sum((w * y + y * y / 2).sum() for w, y in zip(weights, outputs, strict=True))

    return function


def test_every_operator_with_a_rule_is_among_them() -> None:
    ours = {op for op in REGISTRY.values() if op.__module__.startswith("tinygrad_cv.")}
    assert {op.name for op in ours if op.rules} - {op.name for op in CASES} == set()


@pytest.mark.parametrize("op", sorted(CASES, key=lambda op: op.name), ids=lambda op: op.name)
def test_the_hessian_of_an_operator(op: type[Op]) -> None:
    found = agree(plane(CASES[op]), tg.zeros(2, dtype="float64"))
    assert found.any() == (op.name not in FLAT)


@pytest.mark.parametrize("way", ["two backwards", "func.hessian", "autograd.vhp"])
def test_a_wrong_second_derivative_is_seen(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one way, and of all where the rule itself hides it."""
    x = tg.tensor([0.3, 0.8], dtype="float64")
    agree(lambda x: (x**3).sum(), x)
    right = WAYS[way]
    with monkeypatch.context() as patched:
        patched.setitem(WAYS, way, lambda f, x: right(f, x) * 1.0001)
        with pytest.raises(AssertionError, match="is off by"):
            agree(lambda x: (x**3).sum(), x)
    with pytest.raises(AssertionError, match="differences are off by"):
        agree(lambda x: (x * x * x.detach()).sum(), x)


# A network


def network(library: Any, pool: str) -> Any:
    return library.Sequential(
        library.Conv2d(2, 2, 2, bias=False),
        library.BatchNorm2d(2),
        getattr(library, pool)(2),
        library.Flatten(),
        library.Linear(2, 2),
    )


@pytest.mark.parametrize("pool", ["AvgPool2d", "MaxPool2d"])
def test_the_hessian_of_a_network(pool: str) -> None:
    """Of all its weights together, in training, and as PyTorch has it."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    images, labels = rng.standard_normal((3, 2, 4, 4)), np.array([0, 1, 1])
    ours, theirs = network(nn, pool).double(), network(torch.nn, pool).double()
    sizes = {name: p.shape for name, p in ours.named_parameters()}
    point = rng.standard_normal(sum(p.numel() for p in ours.parameters()))

    def loss(library: Any, call: Any, model: Any, wrap: Any) -> Callable[[Any], Any]:
        def function(vector: Any) -> Any:
            weights, start = {}, 0
            for name, shape in sizes.items():
                end = start + int(np.prod(shape))
                weights[name] = vector[start:end].reshape(shape)
                start = end
            found = call(model, weights, (wrap(images),))
            return library.nn.functional.cross_entropy(found, wrap(labels))

        return function

    found = agree(loss(tg, func.functional_call, ours, tg.tensor), tg.tensor(point))
    assert np.linalg.matrix_rank(found) > 10
    function = loss(torch, torch.func.functional_call, theirs, torch.tensor)
    expected = torch.autograd.functional.hessian(function, torch.tensor(point)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
