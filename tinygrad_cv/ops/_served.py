"""Who serves an operator: the public face of the kernel table."""

from __future__ import annotations

import difflib

from tinygrad_cv.backend.kernels import TABLE, use
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.errors import ArgumentError

__all__ = ["kernels", "use_kernels"]

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
    if name is not None and name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=5)
        raise ArgumentError(
            "kernels",
            f"there is no operator {name!r}",
            repair=f"Near it: {', '.join(near)}." if near else None,
        )
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
