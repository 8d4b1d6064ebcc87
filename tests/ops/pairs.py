"""What the tests of losses of two tensors share: naive references, and cases against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch

import tinygrad_cv as tg
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.testing import Bad, Case

__all__ = ["REDUCTIONS", "both", "each", "like_torch", "refusals", "scalars"]

REDUCTIONS = ("mean", "sum", "none")


def each(formula, reduction="mean", weight=None, over=None):
    """The formula of a loss, element by element, then the reduction."""

    def reference(*arrays):
        arrays = [a for a in arrays if a is not None]
        out = np.zeros(np.broadcast_shapes(*(a.shape for a in arrays)))
        wide = [np.broadcast_to(a, out.shape) for a in arrays]
        for place in np.ndindex(out.shape):
            out[place] = formula(*(float(a[place]) for a in wide))
        if reduction == "none":
            return out
        total = math.fsum(out.ravel())
        return np.array(total if reduction == "sum" else total / (over or out.size))

    return reference


def like_torch(function, inputs, formula, reductions=REDUCTIONS, **options):
    """A case for each reduction; the oracle is PyTorch's function of the same name."""
    oracle = getattr(torch.nn.functional, function.__name__)
    extra = {k: options.pop(k) for k in ("diff", "kinks", "skip", "name") if k in options}
    name = extra.pop("name", ",".join(f"{k}={v}" for k, v in options.items()))
    return [
        Case(
            function,
            inputs,
            kwargs={**options, "reduction": reduction},
            reference=each(formula, reduction),
            torch=lambda *a, r=reduction: oracle(*a, **options, reduction=r),
            name=f"{name} {reduction}",
            batch=[k for k, x in enumerate(inputs) if x is not None and x.ndim == 3],
            **extra,
        )
        for reduction in reductions
    ]


def both(name, inputs, wanted=(0,), **options):
    """Values and gradients of ours and PyTorch's function."""
    found = []
    for module, make in ((tg.nn.functional, tg.tensor), (torch.nn.functional, torch.tensor)):
        leaves = [make(x) for x in inputs]
        for k in wanted:
            leaves[k].requires_grad_()
        loss = getattr(module, name)(*leaves, **options)
        loss.sum().backward()
        found.append([loss.detach().numpy(), *(leaves[k].grad.numpy() for k in wanted)])
    return found


def scalars(function, **options):
    """Cases of two numbers, a case for each reduction."""
    oracle = getattr(torch.nn.functional, function.__name__)
    return [
        Case(
            function,
            (np.array(0.4), np.array(0.7)),
            kwargs={**options, "reduction": reduction},
            torch=lambda *a, r=reduction: oracle(*a, **options, reduction=r),
            name=f"0-d {reduction} {options or ''}",
        )
        for reduction in REDUCTIONS
    ]


def refusals(function, old=True, shapes="same shape", integers=False, **skip):
    """What every loss refuses: reductions unknown or of old, other shapes, and
    integers unless PyTorch takes them."""
    x, wrong = np.full((3, 4, 2), 0.5), np.full((3, 3, 2), 0.5)
    return [
        Bad(
            function,
            (x, x),
            {"reduction": "median"},
            error=ArgumentError,
            match="median",
            skip=skip,
        ),
        *(
            Bad(function, (x, x), {word: True}, error=ArgumentError, match="of old", name=word)
            for word in ("size_average", "reduce")
            if old
        ),
        *(
            Bad(function, (n, n), {"reduction": "sum"}, error=DTypeError, match="must be float")
            for n in [np.ones((2, 2), int)][integers:]
        ),
        Bad(function, (x, wrong), {"reduction": "sum"}, error=ShapeError, match=shapes),
    ]
