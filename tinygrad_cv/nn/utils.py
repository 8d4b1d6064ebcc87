"""Gradients of a model clipped before a step, and its parameters as one vector, under the names of
``torch.nn.utils``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from tinygrad_cv.autograd.modes import no_grad
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import DTypeError, GraphError, ShapeError
from tinygrad_cv.ops.creation import zeros
from tinygrad_cv.ops.join import cat, stack
from tinygrad_cv.ops.vector_norm import norm

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "parameters_to_vector",
    "vector_to_parameters",
]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by ``min(1, max_norm / (norm + 1e-6))``, the norm that of the vector of
    all their numbers. They are changed in place, and keep their direction.

    Args:
        parameters: tensors, such as ``model.parameters()``; those without a gradient do not count.
        max_norm: what the norm is at most afterwards.
        norm_type: p of the norm; inf is the largest absolute value.
        error_if_nonfinite: refuse a norm that is inf or NaN, which would make every gradient NaN
            or 0.

    Returns:
        The norm before, 0-d; 0 if there is no gradient.

    Raises:
        DTypeError: ``parameters`` are no tensors, or the others no numbers.
        GraphError: a norm that is not finite, with ``error_if_nonfinite``.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks"
    (ICML 2013).

    >>> import tinygrad_cv as tg
    >>> p = tg.zeros(2, requires_grad=True)
    >>> (p * tg.tensor([3.0, 4.0])).sum().backward()
    >>> clip_grad_norm_([p], max_norm=1.0)
    tensor(5.)
    >>> [round(g, 4) for g in p.grad.tolist()]
    [0.6, 0.8]
    """
    op = "clip_grad_norm_"
    _check_number(op, "max_norm", max_norm)
    _check_number(op, "norm_type", norm_type)
    gradients = _gradients(op, parameters)
    if not gradients:
        return zeros(())
    total = norm(stack([norm(g, norm_type) for g in gradients]), norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise GraphError(
            op,
            f"the norm of the gradients is {total.item()}",
            repair="Find where it begins: with tg.autograd.detect_anomaly().",
        )
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.to(gradient.dtype))
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Put every number of the gradients into [-clip_value, clip_value], in place.

    Args:
        parameters: tensors, such as ``model.parameters()``; those without a gradient do not count.
        clip_value: the largest absolute value that stays.

    Raises:
        DTypeError: ``parameters`` are no tensors, or ``clip_value`` is no number.

    >>> import tinygrad_cv as tg
    >>> p = tg.zeros(2, requires_grad=True)
    >>> (p * tg.tensor([3.0, -0.5])).sum().backward()
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1. , -0.5])
    """
    op = "clip_grad_value_"
    _check_number(op, "clip_value", clip_value)
    for gradient in _gradients(op, parameters):
        gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All numbers of the parameters one after the other, as one tensor [n]. Gradients flow through.

    Raises:
        DTypeError: something that is no Tensor.
        ShapeError: there is none.

    >>> import tinygrad_cv as tg
    >>> parameters_to_vector(tg.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    several = _tensors("parameters_to_vector", parameters)
    if not several:
        raise ShapeError("parameters_to_vector", "there are no parameters to put into a vector")
    return cat([tensor.reshape(-1) for tensor in several])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the numbers of ``vec`` [n] into the parameters, in their order.

    Raises:
        DTypeError: something that is no Tensor.
        ShapeError: ``vec`` has not as many numbers as the parameters.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Linear(1, 2)
    >>> vector_to_parameters(tg.tensor([1.0, 2.0, 3.0, 4.0]), net.parameters())
    >>> net.weight.tolist(), net.bias.tolist()
    ([[1.0], [2.0]], [3.0, 4.0])
    """
    op = "vector_to_parameters"
    (vector,), several = _tensors(op, vec), _tensors(op, parameters)
    needed = sum(tensor.numel() for tensor in several)
    if vector.shape != (needed,):
        rows = [("vec", vector.shape), ("parameters", (needed,))]
        raise ShapeError(
            op, "the vector must have one number for each of the parameters", values=rows
        )
    start = 0
    for tensor in several:
        tensor.copy_(vector[start : start + tensor.numel()].reshape(tensor.shape))
        start += tensor.numel()


def _gradients(op: str, parameters: Any) -> list[Tensor]:
    """The gradients of one or several tensors, those that there are."""
    return [p.grad for p in _tensors(op, parameters) if p.grad is not None]


def _tensors(op: str, parameters: Any) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    if not isinstance(several, Iterable):
        raise DTypeError(
            op,
            f"parameters must be tensors, not one {type(parameters).__name__}",
            repair="Call it: model.parameters()."
            if callable(parameters)
            else "Give a list: [parameter], or model.parameters().",
        )
    found = list(several)
    for number, parameter in enumerate(found):
        if not isinstance(parameter, Tensor):
            raise DTypeError(
                op,
                f"parameters[{number}] is not a tensor but of type {type(parameter).__name__}",
                repair="Give model.parameters(), or a list of tensors.",
            )
    return found


def _check_number(op: str, name: str, value: object) -> None:
    if not isinstance(value, Real):
        raise DTypeError(op, f"{name} must be a number, not {value!r:.60}")
