"""What autograd.Function refuses, and with which words and lines."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import Function, grad
from tinygrad_cv.autograd.function import FunctionCtx, once_differentiable


def line(text: str) -> str:
    """Where in the calling test ``text`` stands, as errors say it."""
    frame = inspect.currentframe().f_back
    lines, first = inspect.getsourcelines(frame.f_code)
    (found,) = [n for n, row in enumerate(lines, first) if f"# {text}" in row]
    return f"{__file__}:{found} in {frame.f_code.co_name}"


def returning(*results: Any) -> Any:
    """A Function of (x, k) whose backward gives ``results``."""

    class Returning(Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return results[0] if len(results) == 1 else results

    return Returning


def leaf() -> tg.Tensor:
    return tg.tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize(
    ("results", "error", "text"),
    [
        (
            (tg.ones(2),),
            tg.ArgumentError,
            "backward returned 1 gradient, forward got 2 arguments\n  forward got x, k",
        ),
        ((tg.ones(2), None, tg.ones(2)), tg.ArgumentError, "backward returned 3 gradients"),
        (
            (tg.ones(2), tg.ones(2)),
            tg.ArgumentError,
            "backward returned a gradient for 'k', which is no tensor",
        ),
        (
            (tg.ones(3), None),
            tg.ShapeError,
            "backward returned a gradient of the wrong shape for 'x'\n  returned (3,)\n  x    ",
        ),
        ((tg.ones(1), None), tg.ShapeError, "backward returned a gradient of the wrong shape"),
        (
            (np.ones(2), None),
            tg.DTypeError,
            "backward returned array([1., 1.]) as the gradient of 'x', a ndarray",
        ),
        ((3.0, None), tg.DTypeError, "backward returned 3.0 as the gradient of 'x', a float"),
        (
            (tg.ones(2, device="meta"), None),
            tg.BackendError,
            "backward returned a gradient on meta for 'x', which is on cpu",
        ),
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_what_backward_returns(results, error, text, create_graph):
    x = leaf()
    y = returning(*results).apply(x, 2)  # here
    with pytest.raises(error) as caught:
        y.sum().backward(create_graph=create_graph)
    assert f"Returning: {text}" in str(caught.value)
    assert f"in the gradient of Returning, which ran at {line('here')}" in str(caught.value)


def test_other_errors_in_backward_name_the_line_of_forward():
    class Failing(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("of the user's")

    y = Failing.apply(leaf())  # here
    with pytest.raises(KeyError) as caught:
        y.sum().backward()
    assert caught.value.__notes__ == [f"in the gradient of Failing, which ran at {line('here')}"]


def test_no_backward():
    class Half(Function):
        @staticmethod
        def forward(ctx, x):
            return x / 2

    y = Half.apply(leaf())  # here
    with pytest.raises(tg.GraphError) as caught:
        y.sum().backward()
    assert str(caught.value).startswith(
        "Half: it has no backward\n  Write a static method backward"
    )
    assert f"which ran at {line('here')}" in str(caught.value)


def test_no_forward_two_backwards_and_instances():
    class Empty(Function):
        pass

    with pytest.raises(tg.GraphError, match=r"Empty: it has no forward\n  Write a static method"):
        Empty.apply(leaf())

    class Two(returning()):
        @staticmethod
        def vjp(ctx, g):
            return g

    with pytest.raises(tg.GraphError, match="Two: it has a backward and a vjp"):
        Two.apply(leaf(), 1)
    with pytest.raises(tg.GraphError, match=r"Two: .* never instantiated\n  Call Two.apply"):
        Two().apply(leaf(), 1)


def test_arguments_that_forward_does_not_take():
    function = returning()
    with pytest.raises(tg.ArgumentError, match="Returning: forward takes other arguments") as found:
        function.apply(leaf())
    assert "missing a required argument: 'k'" in str(found.value)
    assert "forward(ctx, x, k)" in str(found.value)
    with pytest.raises(tg.ArgumentError, match="too many positional arguments"):
        function.apply(leaf(), 1, 2)
    with pytest.raises(tg.ArgumentError, match=r"by position, not by the name 'k'\n  Pass them in"):
        function.apply(leaf(), k=1)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (3.0, "forward returned no tensor, but float 3.0"),
        (None, "forward returned no tensor, but NoneType None"),
        ([tg.ones(1)], "forward returned no tensor, but list [tensor([1.])]"),
        ((tg.ones(1), np.ones(1)), "element 1 of what forward returned is no tensor, but ndarray"),
        ((None, 1), "forward returned no tensor"),
        ((), "forward returned no tensor"),
    ],
)
def test_what_forward_returns(result, text):
    class Odd(Function):
        @staticmethod
        def forward(ctx, x):
            return result

    with pytest.raises(tg.DTypeError) as caught:
        Odd.apply(leaf())  # here
    assert str(caught.value).startswith(f"Odd: {text}")
    assert f"in the forward of Odd, which was called at {line('here')}" in str(caught.value)


def test_errors_in_forward_name_the_call_and_the_module():
    class Failing(Function):
        @staticmethod
        def forward(ctx, x, own):
            if own:
                raise KeyError("of the user's")
            return x + tg.ones(3)

    class Layer(nn.Module):
        def forward(self, x):
            return Failing.apply(x, False)

    with pytest.raises(KeyError) as caught:
        Failing.apply(leaf(), True)  # here
    note = f"in the forward of Failing, which was called at {line('here')}"
    assert caught.value.__notes__ == [note]
    with pytest.raises(tg.ShapeError, match="in the forward of Failing, which was called") as found:
        nn.Sequential(nn.Tanh(), Layer())(leaf())
    assert found.value.module_path == "model.1 (Layer)"
    graph = tg.viz.trace(nn.Sequential(Layer()), leaf())
    assert "do not broadcast" in graph.error
    assert [n.name for n in graph.model.nodes if n.error] == ["Failing"]


def test_what_may_be_saved_and_marked():
    with pytest.raises(tg.DTypeError, match="argument 1 must be a Tensor or None, not int"):
        FunctionCtx(()).save_for_backward(None, 5)

    class Marking(Function):
        @staticmethod
        def forward(ctx, x, how, returned):
            getattr(ctx, how)(x)
            return x if returned else x * 2

        @staticmethod
        def backward(ctx, g):
            return g, None, None

    with pytest.raises(tg.ArgumentError, match=r"Marking: mark_non_diff.* did not return"):
        Marking.apply(leaf() * 1, "mark_non_differentiable", False)
    with pytest.raises(
        tg.ArgumentError, match="mark_dirty was given a tensor that forward did not"
    ):
        Marking.apply(leaf() * 1, "mark_dirty", False)
    with pytest.raises(tg.GraphError, match="Marking: a leaf that requires a gradient cannot be"):
        Marking.apply(leaf(), "mark_dirty", True)
    view = (leaf() * 1).reshape(1, 2)
    with pytest.raises(tg.GraphError, match="Marking: this tensor is a view of another one"):
        Marking.apply(view, "mark_dirty", True)
    with tg.no_grad():  # a write to memory, and no more
        assert Marking.apply(x := leaf(), "mark_dirty", True) is x
    assert x.is_leaf


def test_a_write_that_nobody_marked():
    class Sly(Function):
        @staticmethod
        def forward(ctx, x, y):
            y += 1
            x += 1
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g, None

    x, y = leaf() * 1, tg.ones(2)
    Sly.apply(x.detach(), y)  # running statistics and the like
    with pytest.raises(tg.GraphError) as caught:
        Sly.apply(x, y)
    text = str(caught.value)
    assert "Sly: forward wrote into an argument that requires a gradient" in text
    first = Sly.forward.__code__.co_firstlineno
    assert f"it was written at {__file__}:{first + 3} in forward" in text


def test_overwritten_values_are_blamed_with_both_lines():
    class Keeping(Function):
        @staticmethod
        def forward(ctx, x, k):
            half = (x / 2).floor()
            ctx.save_for_backward(x, half)
            ctx.more = {"k": half * k}
            return x * x, half

        @staticmethod
        def backward(ctx, g, h):
            return 2 * ctx.saved_tensors[0] * g, None

    x = leaf() * 1
    y, half = Keeping.apply(x, 2)  # here
    x += 1  # there
    with pytest.raises(tg.GraphError) as caught:
        y.sum().backward()
    text = str(caught.value)
    assert "'x', which Keeping saved for its gradient, was overwritten before backward" in text
    assert f"Keeping ran at {line('here')}\n" in text
    assert f"it was overwritten at {line('there')}" in text
    y, half = Keeping.apply(leaf(), 2)
    assert y.grad_fn.plan.names == ("x", "output[1]", "ctx.more[0]", "ctx")
    half.mul_(2)
    with pytest.raises(tg.GraphError, match=r"'output\[1\]', which Keeping saved"):
        y.sum().backward()


def test_a_graph_that_was_used_before():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    x = leaf()
    y = Square.apply(x)  # here
    y.sum().backward(retain_graph=True)
    y.sum().backward()  # first
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(tg.GraphError) as caught:
        y.backward(tg.ones(2))
    assert f"the node is Square, which ran at {line('here')}" in str(caught.value)
    assert f"the earlier backward ran at {line('first')}" in str(caught.value)


# Derivatives that do not exist --------------------------------------------------------------------


def test_once_differentiable_is_refused_at_the_second():
    class Sin(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x.numpy()
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return g * tg.from_numpy(np.cos(ctx.x))

    x = leaf()
    y = Sin.apply(x)  # here
    (g,) = grad(y.sum(), x, create_graph=True)  # there
    assert g.requires_grad
    for second in (lambda: grad((g * x).sum(), x), lambda: g.sum().backward()):
        with pytest.raises(tg.GraphError) as caught:
            second()
        text = str(caught.value)
        assert text.startswith("Sin: its backward is once_differentiable: what it gave cannot be")
        assert f"Sin ran at {line('here')}" in text
        assert f"which ran at {line('there')}" in text
    with pytest.raises(tg.GraphError, match="once_differentiable"):
        tg.func.hessian(lambda x: Sin.apply(x).sum())(tg.ones(2))


@pytest.mark.parametrize("how", ["save_for_backward", "attribute", "view"])
def test_a_value_computed_on_the_way_is_refused_at_the_second(how):
    """PyTorch gives a detached number here."""

    class Sigmoid(Function):
        @staticmethod
        def forward(ctx, x):
            e = (-x).exp()
            e = e[:] if how == "view" else e
            if how == "attribute":
                ctx.e = e
            else:
                ctx.save_for_backward(e)
            return 1 / (1 + e)

        @staticmethod
        def backward(ctx, g):
            e = ctx.e if how == "attribute" else ctx.saved_tensors[0]
            return g * e / (1 + e) ** 2

    x = leaf()
    y = Sigmoid.apply(x)  # here
    (g,) = grad(y.sum(), x, create_graph=True)  # there
    s = 1 / (1 + np.exp(-x.detach().numpy()))
    np.testing.assert_allclose(g.detach().numpy(), s * (1 - s), rtol=1e-6)
    with pytest.raises(tg.GraphError) as caught:
        grad(g.sum(), x)
    text, name = str(caught.value), "ctx.e" if how == "attribute" else "saved_tensors[0]"
    assert text.startswith(f"Sigmoid: {name!r} was computed in forward and saved, and its deriv")
    assert "Return it from forward as a further output, or compute it again in backward" in text
    assert f"Sigmoid ran at {line('here')}" in text
    assert f"which ran at {line('there')}" in text


def test_a_constant_that_is_saved_is_none_of_these():
    """A mask, a random draw: the gradient is linear in g, and that derivative exists."""

    class Dropped(Function):
        @staticmethod
        def forward(ctx, x):
            mask = (tg.rand(*x.shape) > 0.5).to(x.dtype)
            index = x.argmax()
            ctx.save_for_backward(mask, index, (x > 0).to(x.dtype))
            return x * mask

        @staticmethod
        def backward(ctx, g):
            mask, _, positive = ctx.saved_tensors
            return g * mask * positive

    x, c = leaf(), tg.ones(2, requires_grad=True)
    (g,) = grad((Dropped.apply(x) * c).sum(), x, create_graph=True)
    (mask,) = grad(g.sum(), c)
    assert set(mask.tolist()) <= {0.0, 1.0}
