"""Every operator, on inputs of 2 MB: its outputs and gradients stand on recycled memory."""

import importlib
import pkgutil

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import ops
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.memory import Block
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.nn import functional as F

for found in pkgutil.iter_modules(ops.__path__):
    importlib.import_module(f"{ops.__name__}.{found.name}")

SHAPE = (8, 64, 32, 32)  # 2 MB of float32

ATTRIBUTES = {
    "clamp": (0.2, 0.8),
    "elu": (1.0,),
    "hardtanh": (0.2, 0.8),
    "leaky_relu": (0.1,),
    "softplus": (1.0, 20.0),
}
ABOVE_ONE = ("acosh",)

# Operators on arrays of one shape that are tried as they are; the others by the calls below.
ELEMENTWISE = [
    op
    for name, op in sorted(REGISTRY.items())
    if op.elementwise and op.rules and (not op.attributes or name in ATTRIBUTES)
    and name not in ("masked", "where")
]  # fmt: skip

CALLS = {
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 24),
    "amax": lambda x: x.amax(1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "cat": lambda x: tg.cat([x, x]),
    "conv2d": lambda x: F.conv2d(x, tg.ones(64, 64, 3, 3), padding=1),
    "dropout": lambda x: F.dropout(x, 0.5),
    "linear": lambda x: F.linear(x, tg.ones(32, 32)),
    "log_softmax": lambda x: tg.log_softmax(x, 1),
    "logsumexp": lambda x: tg.logsumexp(x, 1),
    "masked": lambda x: tg.masked_fill(x, x > 0.5, 0.0),
    "matmul": lambda x: x @ x,
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 1, 1),
    "mean": lambda x: x.mean(1),
    "pow_2": lambda x: x**2,
    "pow_3": lambda x: x**3,
    "pow_half": lambda x: x**0.5,
    "pow_inverse": lambda x: x**-1,
    "reverse_pow": lambda x: 2.0**x,
    "scaled": lambda x: 3 - 2 * x / 5,
    "softmax": lambda x: tg.softmax(x, 1),
    "inverse": lambda x: 1 / x,
    "sum": lambda x: x.sum(1),
    "var": lambda x: x.var(1),
    "where": lambda x: tg.where(x > 0.5, x, 2 * x),
}

# name: what stands on fresh memory, and why that is no loss.
EXCEPTIONS = {
    "trunc_divide": ("output",),  # four passes over temporaries; no network divides so
}


def inputs(op):
    rng = np.random.default_rng(0)
    low = 1.1 if op.name in ABOVE_ONE else 0.1
    return [low + 0.8 * rng.random(SHAPE, np.float32) for _ in op.inputs]


def is_pooled(array):
    """True of small arrays, of those that repeat a few numbers, and of what stands on a block."""
    if array.nbytes < memory.POOLED_BYTES or 0 in array.strides:
        return True
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, Block)


def fresh(call, arrays):
    """Which of the outputs and gradients are not on recycled memory."""
    tensors = [tg.Tensor(x).requires_grad_() for x in arrays]
    output = call(*tensors)
    gradient = memory.empty_like(output.array)
    gradient[...] = 0.5
    output.backward(tg.Tensor(gradient))
    found = ["output"] * (not is_pooled(output.array))
    found += [
        f"gradient {n}"
        for n, x in enumerate(tensors)
        if x.grad is not None and not is_pooled(x.grad.array)
    ]
    return tuple(found)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_elementwise(op):
    attrs = ATTRIBUTES.get(op.name, ())
    assert fresh(lambda *x: op.call(*x, *attrs), inputs(op)) == EXCEPTIONS.get(op.name, ())


@pytest.mark.parametrize("name", CALLS)
def test_others(name):
    x = 0.1 + 0.8 * np.random.default_rng(0).random(SHAPE, np.float32)
    assert fresh(CALLS[name], [x]) == EXCEPTIONS.get(name, ())


@pytest.mark.parametrize("name", ["conv2d", "batch_norm", "avg_pool2d", "softmax", "gelu"])
def test_in_channels_last_memory(name):
    x = 0.1 + 0.8 * np.random.default_rng(0).random((8, 32, 32, 64), np.float32)
    call = CALLS.get(name) or getattr(F, name)
    assert fresh(call, [x.transpose(0, 3, 1, 2)]) == ()
