"""Functions of PyTorch's documentation, as one text that serves both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg

__all__ = ["Engine", "both", "close", "cube_of", "exp_of", "linear_of", "sinh_of"]


class Engine:
    """The same names in both libraries, so that one class text serves both."""

    def __init__(self, lib: Any) -> None:
        self.lib, self.Function = lib, lib.autograd.Function
        self.once = lib.autograd.function.once_differentiable

    def leaf(self, values: Any) -> Any:
        return self.lib.tensor(np.array(values)).requires_grad_()

    def grad(self, *args: Any, **kwargs: Any) -> Any:
        return self.lib.autograd.grad(*args, **kwargs)


def both() -> list[Engine]:
    return [Engine(tg), Engine(pytest.importorskip("torch"))]


def close(a: Any, b: Any) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(
            x.detach().numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-12, strict=True
        )


def exp_of(e: Engine) -> Any:
    class Exp(e.Function):
        @staticmethod
        def forward(ctx, i):
            result = i.exp()
            ctx.save_for_backward(result)
            return result

        @staticmethod
        def backward(ctx, grad_output):
            (result,) = ctx.saved_tensors
            return grad_output * result

    return Exp


def linear_of(e: Engine) -> Any:
    class LinearFunction(e.Function):
        @staticmethod
        def forward(input, weight, bias=None):
            output = input @ weight.T
            return output if bias is None else output + bias

        @staticmethod
        def setup_context(ctx, inputs, output):
            input, weight, bias = inputs
            ctx.save_for_backward(input, weight, bias)

        @staticmethod
        def backward(ctx, grad_output):
            input, weight, bias = ctx.saved_tensors
            grad_input = grad_weight = grad_bias = None
            if ctx.needs_input_grad[0]:
                grad_input = grad_output @ weight
            if ctx.needs_input_grad[1]:
                grad_weight = grad_output.T @ input
            if bias is not None and ctx.needs_input_grad[2]:
                grad_bias = grad_output.sum(0)
            return grad_input, grad_weight, grad_bias

    return LinearFunction


def sinh_of(e: Engine) -> Any:
    """Intermediate values as further outputs, as the tutorial on double backward has it."""

    class Sinh(e.Function):
        @staticmethod
        def forward(ctx, x):
            expx, expnegx = x.exp(), (-x).exp()
            ctx.save_for_backward(expx, expnegx)
            return (expx - expnegx) / 2, expx, expnegx

        @staticmethod
        def backward(ctx, grad_out, _grad_out_exp, _grad_out_negexp):
            expx, expnegx = ctx.saved_tensors
            grad_input = grad_out * (expx + expnegx) / 2
            grad_input = grad_input + _grad_out_exp * expx
            return grad_input - _grad_out_negexp * expnegx

    return Sinh


def cube_of(e: Engine) -> Any:
    """A backward that calls another Function, and an argument that is no tensor."""

    class CubeBackward(e.Function):
        @staticmethod
        def forward(ctx, grad_out, x, k):
            ctx.save_for_backward(x, grad_out)
            ctx.k = k
            return grad_out * k * 3 * x**2

        @staticmethod
        def backward(ctx, grad_out):
            x, g = ctx.saved_tensors
            return grad_out * ctx.k * 3 * x**2, grad_out * g * ctx.k * 6 * x, None

    class Cube(e.Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_backward(x)
            ctx.k = k
            return k * x**3

        @staticmethod
        def backward(ctx, grad_out):
            (x,) = ctx.saved_tensors
            return CubeBackward.apply(grad_out, x, ctx.k), None

    return Cube
