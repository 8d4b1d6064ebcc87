"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from tinygrad_cv.backend.array import xp_of
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError
from tinygrad_cv.optim.optimizer import Group, Optimizer, State

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015): steps scaled by running moments of the gradient.

    With gradient g, parameter p and step number t::

        g <- g + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g^2
        p <- p - lr * m_hat / (sqrt(v_hat) + eps),   m_hat = m / (1 - beta1^t), v_hat likewise

    ``amsgrad`` divides by the largest v so far (Reddi et al., ICLR 2018).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two moments.
        eps: keeps the division away from zero.
        weight_decay: strength of the L2 penalty.
        amsgrad: never let the divisor shrink.
        maximize: climb instead of descend.

    >>> import tinygrad_cv as tg
    >>> p = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = Adam([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()          # the first step has the length lr in every coordinate
    >>> [round(value, 6) for value in p.tolist()]
    [0.5, -1.5]
    """

    _decoupled = False  # weight decay as part of the gradient
    _needed_state = ("step", "exp_avg", "exp_avg_sq")
    _kernel = "optim.adam"

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            self._check_range(group, name, 0)
        self._check_range(group, "betas", 0, 1)
        if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
            raise ArgumentError(self._name, f"betas must be two numbers; it is {group['betas']!r}")

    def _update(self, param: Any, grad: Any, group: Group, state: State) -> None:
        xp = xp_of(param)
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"]:
            if self._decoupled:
                param *= 1 - lr * group["weight_decay"]
            else:
                grad = grad + group["weight_decay"] * param
        if not state:
            state["step"] = 0
            state["exp_avg"] = Tensor(xp.zeros_like(param))
            state["exp_avg_sq"] = Tensor(xp.zeros_like(param))
        if group["amsgrad"] and "max_exp_avg_sq" not in state:  # may be asked for on the way
            state["max_exp_avg_sq"] = Tensor(xp.zeros_like(param))
        state["step"] += 1
        mean, square = state["exp_avg"].array, state["exp_avg_sq"].array

        work = xp.subtract(grad, mean, out=empty_like(param))
        work *= 1 - beta1
        mean += work

        xp.multiply(grad, grad, out=work)
        work *= 1 - beta2
        square *= beta2
        square += work

        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"].array
            square = xp.maximum(largest, square, out=largest)
        xp.sqrt(square, out=work)
        work /= sqrt(1 - beta2 ** state["step"])
        work += eps
        xp.divide(mean, work, out=work)
        work *= lr / (1 - beta1 ** state["step"])
        param -= work


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    The decay acts on the parameter itself, p <- (1 - lr * weight_decay) * p before the step of
    :class:`Adam``, so the moments do not see it. Arguments and errors as for ``Adam`.

    Without a gradient from the loss, Adam scales the decay to a step of length lr, whatever its
    strength; AdamW shrinks the parameter by the factor 1 - lr * weight_decay:

    >>> import tinygrad_cv as tg
    >>> for kind in Adam, AdamW:
    ...     p = tg.tensor([10.0], requires_grad=True)
    ...     p.grad = tg.zeros(1)
    ...     kind([p], lr=0.1, weight_decay=0.5).step()
    ...     print(kind.__name__, round(p.item(), 4))
    Adam 9.9
    AdamW 9.5
    """

    _decoupled = True
    _kernel = "optim.adamw"

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
