"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_cv.backend.array import xp_of
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.optim.optimizer import Group, Optimizer, State

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al., ICML 2013).

    With gradient g, parameter p and velocity v (v = g at the first step)::

        g <- g + weight_decay * p
        v <- momentum * v + (1 - dampening) * g
        p <- p - lr * v                              nesterov: p - lr * (g + momentum * v)

    Without momentum, p <- p - lr * g.

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        momentum: how much of the velocity stays from one step to the next.
        dampening: how much of the gradient is kept out of the velocity.
        weight_decay: strength of the L2 penalty.
        nesterov: look one step ahead; needs momentum and no dampening.
        maximize: climb instead of descend.

    >>> import tinygrad_cv as tg
    >>> p = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([0.8, 1.6], requires_grad=True)
    """

    _needed_state = ("momentum_buffer",)
    _kernel = "optim.sgd"

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            self._check_range(group, name, 0)
        self._check_range(group, "dampening", float("-inf"))
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ArgumentError(
                self._name,
                "nesterov needs a momentum above 0 and dampening 0; they are "
                f"{group['momentum']} and {group['dampening']}",
            )

    def _arrays(self, group: Group) -> tuple[str, ...]:
        return self._needed_state if group["momentum"] else ()

    def _update(self, param: Any, grad: Any, group: Group, state: State) -> None:
        xp = xp_of(param)
        work = empty_like(param)
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * param
        if group["momentum"]:
            momentum = group["momentum"]
            if state.get("momentum_buffer") is None:
                velocity = empty_like(param)
                velocity[...] = grad
                state["momentum_buffer"] = Tensor(velocity)
            else:
                velocity = state["momentum_buffer"].array
                velocity *= momentum
                velocity += xp.multiply(grad, 1 - group["dampening"], out=work)
            if group["nesterov"]:
                xp.multiply(velocity, momentum, out=work)
                work += grad
                grad = work
            else:
                grad = velocity
        param -= xp.multiply(grad, group["lr"], out=work)
