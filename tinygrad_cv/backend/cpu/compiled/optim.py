"""A step of an optimiser over all parameters at once: each number is read and written once.

A step does little arithmetic on much memory, and NumPy would pass over it once per operation. The
numbers of all parameters count as one long row, which the threads share evenly; a parameter is
given by the addresses of its arrays (``addresses[kind, i]``), which lie in the same order, and by
where its part of the row begins (``starts[i]``). The order inside an array does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["adam", "sgd"]

_ARGUMENTS = "int64[:, ::1], int64[::1], float32[::1]"


@compiled(f"void({_ARGUMENTS}, int64, int64)", parallel=True)
def sgd(addresses, starts, numbers, nesterov, workers, task):
    """Kinds: parameter, gradient, and with momentum the velocity. Numbers: lr, momentum, the share
    of the gradient in the velocity, weight decay, sign of the gradient."""
    total = starts[-1]
    for worker in shared(0, workers, task):
        low, high = total * worker // workers, total * (worker + 1) // workers
        for i in range(len(starts) - 1):
            first, last = max(low, starts[i]) - starts[i], min(high, starts[i + 1]) - starts[i]
            if first >= last:
                continue
            p = _floats(addresses[0, i], first, last)
            g = _floats(addresses[1, i], first, last)
            if len(addresses) == 2:
                _sgd_plain(p, g, numbers)
            else:
                _sgd_momentum(p, g, _floats(addresses[2, i], first, last), numbers, nesterov)


@compiled(f"void({_ARGUMENTS}, float32[:, ::1], int64, int64)", parallel=True)
def adam(addresses, starts, numbers, corrections, decoupled, workers, task):
    """Kinds: parameter, gradient and the two moments. Numbers: 1 - beta1, beta2, 1 - beta2, eps,
    weight decay, what a decoupled decay leaves, sign of the gradient. Corrections of a parameter:
    lr / (1 - beta1^t) and sqrt(1 - beta2^t)."""
    total = starts[-1]
    for worker in shared(0, workers, task):
        low, high = total * worker // workers, total * (worker + 1) // workers
        for i in range(len(starts) - 1):
            first, last = max(low, starts[i]) - starts[i], min(high, starts[i + 1]) - starts[i]
            if first >= last:
                continue
            _adam_run(
                _floats(addresses[0, i], first, last), _floats(addresses[1, i], first, last),
                _floats(addresses[2, i], first, last), _floats(addresses[3, i], first, last),
                numbers, corrections[i], decoupled,
            )  # fmt: skip


@njit
def _sgd_plain(p, g, numbers):
    lr, _, _, decay, sign = numbers
    for k in range(p.size):
        slope = sign * g[k]
        slope = slope + decay * p[k] if decay != 0 else slope
        p[k] -= lr * slope


@njit
def _sgd_momentum(p, g, v, numbers, nesterov):
    lr, momentum, share, decay, sign = numbers
    for k in range(p.size):
        slope = sign * g[k]
        slope = slope + decay * p[k] if decay != 0 else slope
        velocity = momentum * v[k] + share * slope
        v[k] = velocity
        p[k] -= lr * (slope + momentum * velocity if nesterov else velocity)


@njit
def _adam_run(p, g, m, v, numbers, correction, decoupled):
    fresh1, beta2, fresh2, eps, decay, left, sign = numbers
    rate, root = correction
    for k in range(p.size):
        value = p[k]
        slope = sign * g[k]
        slope = slope + decay * value if decay != 0 and not decoupled else slope
        value = left * value if decay != 0 and decoupled else value
        mean = m[k] + fresh1 * (slope - m[k])
        square = beta2 * v[k] + fresh2 * (slope * slope)
        m[k], v[k] = mean, square
        p[k] = value - rate * (mean / (np.sqrt(square) / root + eps))


@njit
def _floats(address, first, last):
    """The numbers from ``first`` to ``last`` of the array at an address."""
    return carray(_pointer(address + 4 * first), (last - first,), np.float32)


@intrinsic
def _pointer(typingctx: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.intp), emit
