"""The Op contract: registration, what is saved, residuals, fused rules, variadic inputs, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import autograd
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.op import REGISTRY, Op, unregister


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before = dict(REGISTRY)
    yield
    for name in set(REGISTRY) - set(before):
        unregister(name)


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(values, dtype="float64", requires_grad=True)


def test_a_rule_that_reads_an_unknown_name_is_refused_at_once():
    with pytest.raises(tg.ArgumentError, match="vjp_input reads 'bogus'") as caught:
        declared("input", vjp_input=lambda g, bogus: g)
    assert "It can read g, input, output, input_shape." in str(caught.value)
    assert "scratch_declared" not in REGISTRY


def declared(parameters: str, **parts: Any) -> type[Op]:
    """An operator whose ``forward`` has these parameters after xp, and returns the first."""
    scope: dict[str, Any] = {}
    first = parameters.partition(",")[0]
    exec(f"def forward(xp, {parameters}): return {first}", scope)
    exec(f"def infer({parameters}): return {first}", scope)
    body = {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
    base = {"name": "scratch_declared", "forward": staticmethod(scope["forward"])}
    return type("Declared", (Op,), {**base, "infer": staticmethod(scope["infer"]), **body})


@pytest.mark.parametrize(
    ("parameters", "parts", "problem", "repair"),
    [
        (
            "a, b",
            {"inputs": ("a", "b"), "vjp_a": lambda g: g, "vjp_bb": lambda g: g},
            "vjp_bb is the rule of no input; the inputs are a, b",
            "Call it vjp_b, or name its input in inputs.",
        ),
        (
            "a, b",
            {"vjp_a": lambda g, b: g * b},
            r"inputs is \('input',\), but after xp forward takes \('a',\)",
            "inputs = ('a', 'b')",
        ),
        (
            "input",
            {"vjp_input": lambda g: None},
            "vjp_input returns nothing: is a return missing",
            "scratch_declared",
        ),
        (
            "input",
            {"vjp_input": lambda input: input},
            "vjp_input does not read g, the gradient of the output",
            "scratch_declared",
        ),
        (
            "input",
            {"vjp_input": lambda g, *rest: g},
            r"must name what it reads as plain parameters, not \* or",
            "scratch_declared",
        ),
        ("input, g", {}, "'g' cannot be the name of an input", "choose another name"),
        ("needs", {"inputs": ("needs",)}, "'needs' cannot be the name", "choose another name"),
        ("xs, k", {"inputs": ("xs",), "variadic": True}, "'k' cannot be", "choose another name"),
    ],
)
def test_a_slip_in_a_declaration_is_an_error_at_once(parameters, parts, problem, repair):
    with pytest.raises(tg.ArgumentError, match=problem) as caught:
        declared(parameters, **parts)
    assert repair in str(caught.value)
    assert "scratch_declared" not in REGISTRY


def test_an_input_or_attribute_may_be_called_k():
    q, k = leaf(1.0, 2.0), leaf(3.0, 4.0)
    op = declared(
        "q, k", inputs=("q", "k"), forward=lambda xp, q, k: q * k,
        vjp_q=lambda g, k: g * k, vjp_k=lambda g, q: g * q,
    )  # fmt: skip
    op.call(q, k).sum().backward()
    assert (q.grad.tolist(), k.grad.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    unregister("scratch_declared")
    op = declared("input, k", forward=lambda xp, input, k: input * k, vjp_input=lambda g, k: g * k)
    (slope,) = autograd.grad(op.call(q, 5.0).sum(), q, create_graph=True)
    assert slope.tolist() == [5.0, 5.0]


@pytest.mark.parametrize(("returned", "kind"), [(None, "NoneType"), ([1.0], "list"), ("x", "str")])
def test_forward_must_return_an_array(returned, kind):
    op = declared("input", forward=lambda xp, input: returned)
    with pytest.raises(tg.ArgumentError, match=f"a tuple of arrays, not {kind}") as caught:
        op.call(leaf(1.0))
    assert caught.value.op == "scratch_declared"


@pytest.mark.parametrize("forward", [lambda xp, input: input, lambda xp, input: input[::-1]])
def test_what_shares_memory_with_an_input_is_a_view(forward):
    op = declared("input", forward=forward, vjp_input=lambda g: -g)
    h = leaf(1.0, 2.0) * 3
    with pytest.raises(tg.GraphError, match="a view of another one"):
        op.call(h).mul_(5)
    assert h.tolist() == [3.0, 6.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_may_call_public_functions(create_graph):
    op = declared(
        "input",
        forward=lambda xp, input: xp.exp(input),
        vjp_input=lambda g, input: g * tg.exp(input),
    )
    x = leaf(0.5, -1.0)
    (slope,) = autograd.grad(op.call(x * 3).sum(), x, create_graph=create_graph)
    np.testing.assert_allclose(slope.detach().numpy(), 3 * np.exp(3 * x.detach().numpy()))


def test_a_name_is_taken_once():
    with pytest.raises(tg.ArgumentError, match="taken"):

        class Second(Op):
            name = "conv"

            @staticmethod
            def forward(xp: Any, input: Any) -> Any:
                return input


@pytest.mark.parametrize("missing", ["infer", "forward"])
def test_an_operator_without_one_of_its_methods(missing):
    parts = {"infer": staticmethod(lambda input: input)}
    parts["forward"] = staticmethod(lambda xp, input: input)
    del parts[missing]
    with pytest.raises(tg.ArgumentError, match=f"the static method {missing}"):
        type("Half", (Op,), {"name": "half", **parts})


def test_an_operator_without_a_name():
    with pytest.raises(tg.ArgumentError, match="needs a name"):

        class Nameless(Op):
            @staticmethod
            def forward(xp: Any, input: Any) -> Any:
                return input


class _Calls:
    """Counts which rule ran."""

    fused = 0
    generic = 0


def masked_square() -> type[Op]:
    """y = (x * mask)^2 with the mask as a residual, a fused first-order rule and a generic one."""

    class MaskedSquare(Op):
        name = "scratch_masked_square"
        equation = "y = (x * (x > limit))^2"
        residuals = ("mask",)
        shaped = False

        @staticmethod
        def forward(xp: Any, input: Any, limit: float = 0.0) -> Any:
            mask = input > limit
            return (input * mask) ** 2, mask

        @staticmethod
        def vjp_input(g: Any, input: Any, mask: Any) -> Any:
            _Calls.generic += 1
            return g * 2.0 * input * mask

        @staticmethod
        def fused_vjp(xp: Any, g: Any, needs: Any, input: Any, mask: Any) -> Any:
            _Calls.fused += 1
            return (xp.where(mask, 2.0 * g * input, 0.0),)

    return MaskedSquare


def test_residuals_and_the_fused_rule():
    op = masked_square()
    _Calls.fused = _Calls.generic = 0
    x = leaf(-1.0, 2.0, 3.0)
    y = op.call(x)
    assert y.node.plan.names == ("input", "mask")
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 4, 6])
    assert (_Calls.fused, _Calls.generic) == (1, 0)
    (g,) = autograd.grad(op.call(x).sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [0, 2, 2])
    assert (_Calls.fused, _Calls.generic) == (1, 1)


def test_attribute_defaults_are_filled_in():
    op = masked_square()
    x = leaf(-1.0, 2.0, 3.0)
    assert op.call(x).node.attrs == (0.0,)
    assert op.call(x, 2.5).tolist() == [0, 0, 9]


def test_a_fused_kernel_of_the_table_takes_over():
    op = masked_square()
    seen = []

    @kernels.register("scratch_masked_square.vjp", provider="scratch", supports=lambda s, a: True)
    def fused(xp: Any, g: Any, needs: Any, input: Any, mask: Any) -> Any:
        seen.append(needs)
        return (g * 0.0 + 7.0,)

    try:
        x = leaf(1.0, 2.0)
        op.call(x).sum().backward()
        assert seen == [(True,)]
        assert x.grad.tolist() == [7, 7]
        x.grad = None
        with kernels.use("reference"):
            op.call(x).sum().backward()
        assert x.grad.tolist() == [2, 4]
    finally:
        kernels.unregister("scratch_masked_square.vjp", "scratch")


def test_kernel_choice_by_priority_and_support():
    op = masked_square()
    only_small = {"supports": lambda specs, attrs: specs[0].shape[0] < 3}

    @kernels.register("scratch_masked_square", provider="low", priority=1, **only_small)
    def low(xp: Any, input: Any, limit: float) -> Any:
        return input * 0.0 + 1.0, input > limit

    @kernels.register("scratch_masked_square", provider="high", priority=2, **only_small)
    def high(xp: Any, input: Any, limit: float) -> Any:
        return input * 0.0 + 2.0, input > limit

    try:
        assert op.call(leaf(1.0, 1.0)).tolist() == [2, 2]
        assert op.call(leaf(1.0, 1.0, 3.0)).tolist() == [1, 1, 9]
        with kernels.use("low"):
            assert op.call(leaf(1.0, 1.0)).tolist() == [1, 1]
        with kernels.use("reference"):
            assert op.call(leaf(3.0, 1.0)).tolist() == [9, 1]
        served = tg.kernels("scratch_masked_square")["scratch_masked_square"]
        assert served == ["high (cpu)", "low (cpu)", "reference"]
        with (
            pytest.raises(tg.ArgumentError, match="no kernel comes from 'nobody'"),
            kernels.use("nobody"),
        ):
            pass
    finally:
        kernels.unregister("scratch_masked_square", "low")
        kernels.unregister("scratch_masked_square", "high")


def test_several_outputs_get_zeros_where_no_gradient_arrives():
    class Both(Op):
        name = "scratch_both"
        outputs = ("total", "difference")
        inputs = ("a", "b")
        shaped = False

        @staticmethod
        def forward(xp: Any, a: Any, b: Any) -> Any:
            return a + b, a - b

        @staticmethod
        def vjp_a(g: Any) -> Any:
            return g[0] + g[1]

        @staticmethod
        def vjp_b(g: Any) -> Any:
            return g[0] - g[1]

    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    total, difference = Both.call(a, b)
    (difference * 2.0).sum().backward(retain_graph=True)
    assert a.grad.tolist() == [2, 2]
    assert b.grad.tolist() == [-2, -2]
    (total * difference).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 + 2 * a.detach().numpy())
    (g,) = autograd.grad([(Both.call(a, b)[1] ** 2).sum()], a, create_graph=True)
    (h,) = autograd.grad(g.sum(), b)
    assert h.tolist() == [-2, -2]


def test_variadic_rules_get_their_position():
    class Weighted(Op):
        name = "scratch_weighted"
        inputs = ("xs",)
        variadic = True
        shaped = False

        @staticmethod
        def forward(xp: Any, xs: Any, scale: float) -> Any:
            return sum((k + 1) * scale * x for k, x in enumerate(xs))

        @staticmethod
        def vjp_xs(g: Any, k: int, scale: float) -> Any:
            return g * ((k + 1) * scale)

    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    y = Weighted.call((a, b.detach(), c), 10.0)
    assert y.tolist() == [10 + 40 + 90]
    y.sum().backward()
    assert a.grad.tolist() == [10]
    assert c.grad.tolist() == [30]
    assert b.grad is None
    assert y.node.saved is not None


def test_raw_arrays_in_raw_arrays_out():
    op = masked_square()
    out = op.call(np.array([1.0, -1.0]))
    assert isinstance(out, np.ndarray)


def test_a_rule_of_the_wrong_shape_is_named():
    class Wrong(Op):
        name = "scratch_wrong_shape"
        shaped = False

        @staticmethod
        def forward(xp: Any, input: Any) -> Any:
            return input.sum()

        @staticmethod
        def vjp_input(g: Any) -> Any:
            return g

    with pytest.raises(tg.ShapeError, match="vjp_input returned a gradient of the wrong shape"):
        Wrong.call(leaf(1.0, 2.0)).backward()


def test_public_functions_take_arrays_and_lists():
    assert isinstance(tg.exp(np.zeros(2)), tg.Tensor)
    assert isinstance(tg.cat([np.zeros(2), np.ones(1)]), tg.Tensor)
    assert isinstance(tg.nn.functional.relu(np.zeros(2)), tg.Tensor)


def test_a_fused_kernel_serves_an_operator_without_a_fused_rule():
    class Product(Op):
        name = "scratch_product"
        inputs = ("a", "b")
        shaped = False

        @staticmethod
        def forward(xp: Any, a: Any, b: Any, scale: float = 1.0) -> Any:
            return a * b * scale

        @staticmethod
        def vjp_a(g: Any, b: Any, scale: float) -> Any:
            return g * b * scale

        @staticmethod
        def vjp_b(g: Any, a: Any, scale: float) -> Any:
            return g * a * scale

    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Product.call(a, b).sum().backward()  # a plan without the kernel exists
    seen = []

    @kernels.register("scratch_product.vjp", provider="scratch", supports=lambda s, t: True)
    def fused(xp: Any, g: Any, needs: Any, b: Any, a: Any, scale: float) -> Any:
        seen.append((needs, a is None, b is None))
        return (g * b * scale if needs[0] else None, g * a * scale if needs[1] else None)

    try:
        a.grad = b.grad = None
        Product.call(a, b, 2.0).sum().backward()
        assert a.grad.tolist() == [6, 8]
        assert b.grad.tolist() == [2, 4]
        (ga,) = autograd.grad(Product.call(a, b).sum(), a)
        assert ga.tolist() == [3, 4]
        Product.call(a, b.detach()).sum().backward()
        assert seen == [
            ((True, True), False, False),
            ((True, False), False, False),  # only what is asked for
            ((True, False), True, False),  # a was not saved, since b needs no gradient
        ]
    finally:
        kernels.unregister("scratch_product.vjp", "scratch")
    Product.call(a, b).sum().backward()
    assert len(seen) == 3


def test_sums_of_gradients_are_served_by_the_kernel_table():
    seen = []

    @kernels.register("add", provider="probe", priority=99, supports=lambda specs, attrs: True)
    def probe(xp, input, other):
        seen.append(input.shape)
        return input + other

    try:
        x = tg.ones(2, 3, requires_grad=True)
        y = x * 2
        total = (y.exp() + y.tanh()).sum()
        seen.clear()
        total.backward()
    finally:
        kernels.unregister("add", "probe")
    assert seen == [(2, 3)]
    np.testing.assert_allclose(x.grad.numpy(), 2 * (np.exp(2) + 1 - np.tanh(2) ** 2), rtol=1e-6)
