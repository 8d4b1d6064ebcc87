"""tinygrad_cv: an autograd computational-graph engine for computer vision, on NumPy and CuPy.

>>> import tinygrad_cv as tg
>>> x = tg.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
>>> loss = (x.relu() ** 2).mean()
>>> loss.backward()
>>> x.grad
tensor([[0.5, 0. ],
        [1.5, 2. ]])
"""

from __future__ import annotations

import importlib
from typing import Any

from tinygrad_cv import autograd
from tinygrad_cv import ops as _ops
from tinygrad_cv._version import __version__
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.backend import cpu as _cpu  # noqa: F401  (enters its kernels into the table)
from tinygrad_cv.backend import cupy as _cupy  # noqa: F401  (the same, without importing CuPy)
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.array import Device as device  # noqa: N813  (PyTorch's name)
from tinygrad_cv.backend.array import cuda_is_available, default_device, set_default_device
from tinygrad_cv.backend.cpu.threads import get_num_threads, set_num_threads
from tinygrad_cv.backend.dtypes import (
    bool_,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from tinygrad_cv.backend.precision import get_convolution_precision, set_convolution_precision
from tinygrad_cv.backend.random import Generator, default_generator, manual_seed
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import (
    ArgumentError,
    BackendError,
    DataError,
    DTypeError,
    GraphError,
    RangeError,
    ShapeError,
    TinygradError,
)
from tinygrad_cv.ops._served import kernels, register_kernel, use_kernels
from tinygrad_cv.profiler import profile

# Every public function of ops/, under its own name. Some are builtins' names (sum, abs ...), as in
# NumPy.
globals().update(_ops.TG_FUNCTIONS)

# Floors above ops/ are loaded when first used, so that importing the package stays quick.
_LAZY = (
    "cli",
    "data",
    "func",
    "io",
    "models",
    "nn",
    "optim",
    "profiler",
    "testing",
    "utils",
    "viz",
)

__all__ = [
    "ArgumentError",
    "BackendError",
    "DTypeError",
    "DataError",
    "Generator",
    "GraphError",
    "RangeError",
    "ShapeError",
    "Tensor",
    "TinygradError",
    "__version__",
    "autograd",
    "bool_",
    "cuda_is_available",
    "default_device",
    "default_generator",
    "device",
    "enable_grad",
    "float32",
    "float64",
    "get_convolution_precision",
    "get_default_dtype",
    "get_num_threads",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "kernels",
    "manual_seed",
    "memory",
    "no_grad",
    "profile",
    "register_kernel",
    "set_convolution_precision",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "uint8",
    "use_kernels",
    *_LAZY,
    *_ops.TG_FUNCTIONS,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | {name for name in globals() if name.startswith("__")})


def _graph(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    """A picture of the graph that made this tensor; see :func:`tinygrad_cv.viz.trace`."""
    importlib.import_module(f"{__name__}.viz")  # puts the real method in this one's place
    return Tensor.graph(self, *args, **kwargs)  # type: ignore[attr-defined]


if not hasattr(Tensor, "graph"):
    Tensor.graph = _graph  # type: ignore[attr-defined]
