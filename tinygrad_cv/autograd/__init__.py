"""Differentiation as functions: ``grad`` and ``backward`` on whole graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_cv.core import engine
from tinygrad_cv.core.engine import grad
from tinygrad_cv.core.mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tinygrad_cv.core.tensor import Tensor

__all__ = ["backward", "enable_grad", "grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of the sum of ``tensors`` to ``.grad`` of every leaf, or of ``inputs`` only.

    Args:
        tensors: one Tensor or several.
        grad_tensors: the gradient of each; None stands for 1 where a tensor has one element.
        retain_graph, create_graph: as in :meth:`Tensor.backward`.

    >>> import tinygrad_cv as tg
    >>> w = tg.tensor(2.0, requires_grad=True)
    >>> backward([w * 3, w * w])
    >>> w.grad
    tensor(7.)
    """
    group = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    if grad_tensors is None:
        given: tuple[Any, ...] = (None,) * len(group)
    else:
        given = (grad_tensors,) if isinstance(grad_tensors, Tensor) else tuple(grad_tensors)
    engine.backward(group, given, retain_graph, create_graph, inputs)
