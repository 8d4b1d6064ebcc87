"""Running a function without leaving a trace in what it works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygrad_cv.autograd.outside import tensors_behind
from tinygrad_cv.autograd.tree import flatten, tensors_of
from tinygrad_cv.backend.array import copy_of, is_array, on_device_of
from tinygrad_cv.backend.random import Generator, default_generator
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor

__all__ = ["untouched"]


@contextmanager
def untouched(function: Any, given: Any) -> Iterator[None]:
    """Put back what the block changes of the Tensors that ``function`` refers to and of those in
    ``given``, its arguments: their values, their ``.grad`` and their graph; and the state of the
    random numbers.

    >>> import tinygrad_cv as tg
    >>> norm, x = tg.nn.BatchNorm1d(2), tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> with untouched(norm, (x,)):
    ...     _ = norm(x.mul_(2)), tg.rand(1)
    ...     norm.num_batches_tracked, x.sum()
    (tensor(1), tensor(20.))
    >>> norm.num_batches_tracked, x.sum()
    (tensor(0), tensor(10.))
    """
    tensors = [*tensors_behind(function, given), *tensors_of(given)]
    kept = [(t, _place(t), _copied(t.array), _copied_grad(t)) for t in tensors]
    generators = {id(g): g for g in flatten(given)[0] if isinstance(g, Generator)}
    generators[id(default_generator)] = default_generator
    states = [(g, g.get_state()) for g in generators.values()]
    try:
        yield
    finally:
        for tensor, place, copy, grad_copy in kept:
            tensor.array, tensor._grad, tensor.node, tensor.index, tensor.cut = place
            _put_back(tensor.array, copy)
            if tensor._grad is not None:
                _put_back(tensor._grad.array, grad_copy)
        for generator, state in states:
            generator.set_state(state)


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.array, tensor._grad, tensor.node, tensor.index, tensor.cut


def _copied(array: Any) -> Any:
    return copy_of(array) if is_array(array) and not isinstance(array, Spec) else None


def _copied_grad(tensor: Tensor) -> Any:
    return None if tensor._grad is None else _copied(tensor._grad.array)


def _put_back(array: Any, copy: Any) -> None:
    """Write only where something changed: an array may be read-only, or be seen by others."""
    if copy is None:
        return
    with on_device_of(array):
        if bool(((array == copy) | ((array != array) & (copy != copy))).all()):
            return
        array[...] = copy
