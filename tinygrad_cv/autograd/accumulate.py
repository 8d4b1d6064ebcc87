"""``tensor.grad += gradient``, for tensors that several threads may share."""

from __future__ import annotations

import os
import threading
from sys import getrefcount
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import add, copy_of
from tinygrad_cv.backend.memory import Block
from tinygrad_cv.backend.replay import OwnGrad, tape
from tinygrad_cv.backend.writes import note_write
from tinygrad_cv.core.mode import grad_mode
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ShapeError

__all__ = ["add_to_grad", "grad_of", "owned", "put_grad"]

LARGE = 512 << 10  # bytes from which on a copy is worth more than a call

_lock = threading.Lock()


def _fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it at the fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def add_to_grad(tensor: Tensor, box: list[Any], create_graph: bool) -> None:
    """Add the only item of ``box`` to ``tensor.grad``, which never shares memory with anything
    else. The gradient comes in a box so that nobody but the box refers to it."""
    with _lock, grad_mode(create_graph):
        known: Any = grad_of(tensor)
        if known is not None:
            _check_grad(known, box[0])
        if create_graph:
            put_grad(tensor, box[0].clone() if known is None else known + box[0])
        elif known is None:
            put_grad(tensor, Tensor(owned(box)))
        elif (
            known.node is not None
            or not getattr(known.array.flags, "writeable", True)
            or not _may_write(tensor)
        ):
            put_grad(tensor, known + Tensor(box[0]))
        else:
            add(known.array, box[0], out=known.array)
            note_write(known.array, "backward, which adds to .grad")


def grad_of(tensor: Tensor) -> Any:
    """What ``.grad`` is; a run that has run before may have its own."""
    now = tape()
    known = now.grads.get(id(tensor)) if now is not None and now.again else None
    return tensor._grad if known is None else known.grad


def put_grad(tensor: Tensor, gradient: Any) -> None:
    """Set ``.grad``; a run that has run before sets its own, which is gone at its end."""
    now = tape()
    if now is not None:
        now.note_grad(tensor, grad_of(tensor))
        if now.again:
            now.grads[id(tensor)] = OwnGrad(tensor, gradient, True)
            return
    tensor._grad = gradient


def _may_write(tensor: Tensor) -> bool:
    """False in a run that has run before, for a gradient that it has not made."""
    now = tape()
    if now is None or not now.again:
        return True
    known = now.grads.get(id(tensor))
    return known is not None and known.mine


def owned(box: list[Any]) -> Any:
    """The only item of the box, as memory that nobody else has: copied if need be."""
    if _is_free(box):
        return box[0]
    if type(box[0]) is np.ndarray and box[0].nbytes >= LARGE:
        return REGISTRY["clone"].call(box[0])  # has a kernel
    return copy_of(box[0])


def _is_free(box: list[Any]) -> bool:
    """True if the array in the box owns its memory and nobody else refers to it: no copy is
    needed then."""
    array = box[0]
    owns = type(array) is np.ndarray and (array.base is None or isinstance(array.base, Block))
    del array
    return owns and _references(box) == _ALONE


def _references(box: list[Any]) -> int:
    return getrefcount(box[0])


_ALONE = _references([object()])


def _check_grad(known: Any, gradient: Any) -> None:
    """What is in ``.grad`` must be able to take a gradient: the tensor may have got other data."""
    if known.shape != gradient.shape or known.dtype != gradient.dtype:
        raise ShapeError(
            "backward",
            "the .grad of a leaf does not fit the gradient that is to be added to it",
            values=[
                (".grad", known.shape, known.dtype.name),
                ("gradient", gradient.shape, gradient.dtype.name),
            ],
            repair="Set .grad to None, or to a tensor of the leaf's shape and dtype.",
        )
