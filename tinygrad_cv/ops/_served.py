"""Who serves an operator: the public face of the kernel table."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from tinygrad_cv.backend.kernels import TABLE, register, use
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.errors import ArgumentError

__all__ = ["kernels", "register_kernel", "use_kernels"]

use_kernels = use


def kernels(name: str | None = None) -> dict[str, list[str]]:
    """Who serves each operator, best first, as ``{operator: ["provider (device)", ...]}``.

    Each takes the cases that it supports; the last of a list takes every case. ``"<op>.vjp"`` are
    the kernels for all gradients of an operator at once; where there is none for a case, its rules
    run one by one ("rules").

    Args:
        name: an operator, as ``tinygrad-cv ops`` lists them; None for all that have more than
            their reference.

    Raises:
        ArgumentError: there is no operator of that name.

    >>> import tinygrad_cv as tg
    >>> tg.kernels("conv_matrix_of_nothing")
    Traceback (most recent call last):
    tinygrad_cv.errors.ArgumentError: kernels: there is no operator 'conv_matrix_of_nothing'
    >>> tg.kernels("floor_divide"), tg.kernels("batch_norm")["batch_norm.vjp"][-2:]
    ({'floor_divide': ['reference']}, ['fused_vjp', 'rules'])
    """
    if name is not None:
        _check_known("kernels", name)
    served = {}
    for op in sorted(REGISTRY) if name is None else (name,):
        run, vjp = op, f"{op}.vjp"
        of_run, of_vjp = (
            [f"{k.provider} ({k.device})" for k in TABLE.get(key, ())] for key in (run, vjp)
        )
        if REGISTRY[op].fused_vjp is not None:
            of_vjp.append("fused_vjp")
        if of_run or name is not None:
            served[run] = [*of_run, "reference"]
        if of_vjp:
            served[vjp] = [*of_vjp, "rules"]
    return served


def register_kernel(
    op: str | type[Op],
    *,
    provider: str,
    supports: Callable[[tuple[Any, ...], tuple[Any, ...]], bool] | None = None,
    device: str = "cpu",
    priority: int = 0,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function that computes an operator faster than its ``forward`` does.

    It takes and returns what ``forward`` takes and returns (outputs, then residuals), never writes
    into its inputs, and returns None for a case that it leaves to others. For the gradients of all
    inputs at once, ``"<op>.vjp"`` takes ``(xp, g, needs, ...)``, where the further parameters name
    what it reads of the saved values and attributes, and returns one gradient, or None, for each
    input. ``testing.check_case`` and ``autograd.verify`` compare both with the reference, and
    ``use_kernels("reference")`` takes them out of the way.

    Args:
        op: an operator, by its class or name, or ``"<name>.vjp"``.
        provider: what it is called. The same provider and device once more replaces it.
        supports: ``supports(specs, attributes)``: does it take this case? ``specs`` have shape,
            dtype and layout of the inputs. None: every case.
        device: "cpu" or "cuda".
        priority: of those that take a case the highest serves; of equal ones the first entered.

    Raises:
        ArgumentError: there is no such operator, no such device, or the provider is called as the
            operator's own ``forward`` is.

    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.backend.kernels import unregister
    >>> @register_kernel("expm1", provider="mine", supports=lambda specs, attributes: True)
    ... def expm1(xp, input):
    ...     return xp.exp(input) - 1
    >>> tg.kernels("expm1")["expm1"][0]
    'mine (cpu)'
    >>> unregister("expm1", "mine")
    """
    name = op if isinstance(op, str) else getattr(op, "name", repr(op))
    _check_known("register_kernel", name.removesuffix(".vjp"))
    if provider == "reference":
        raise ArgumentError(
            "register_kernel",
            "'reference' is what the forward of every operator is called",
            repair="Give the provider another name.",
        )
    if device not in ("cpu", "cuda"):
        raise ArgumentError("register_kernel", f'device is "cpu" or "cuda", not {device!r}')
    takes = (lambda specs, attributes: True) if supports is None else supports
    return register(name, provider=provider, supports=takes, device=device, priority=priority)


def _check_known(what: str, name: str) -> None:
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=5)
        raise ArgumentError(
            what,
            f"there is no operator {name!r}",
            repair=f"Near it: {', '.join(near)}." if near else None,
        )
