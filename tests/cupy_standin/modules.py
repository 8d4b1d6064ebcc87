"""The modules `cupy` and `cupyx` of the stand-in, and `installed()`, which puts them in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import cupy as real
import cupyx as real_x
import cupyx.scipy.special as real_special
import numpy as np
import scipy.special

from tests.cupy_standin import state
from tests.cupy_standin.arrays import StandInError, ndarray
from tests.cupy_standin.functions import SPECIAL, Function, UFunc, to_device
from tests.cupy_standin.kernels import ElementwiseKernel

__all__ = ["function", "installed", "to_device"]


class Namespace(ModuleType):
    """A module that gives what is modelled, and knows what the real one has."""

    def __init__(self, name: str, original: Any, modelled: dict[str, Any], host: Any = None):
        super().__init__(name)
        self.__dict__.update(_original=original, _modelled=modelled, _host=host)
        for known in modelled:
            getattr(original, known)  # the stand-in itself must not invent names

    def __getattr__(self, name: str) -> Any:
        if name in self._modelled:
            return self._modelled[name]
        if name.startswith("__") or not hasattr(self._original, name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self._original, name)
        if found is None or isinstance(found, (bool, int, float, str)):
            return found
        if self._host is not None:
            equal = getattr(self._host, name, None)
            if equal is found:  # types and functions that CuPy takes over from NumPy
                return found
            if callable(equal):
                return _computed(self.__name__, name, found, equal)
        raise StandInError(f"the stand-in does not model {self.__name__}.{name}")


@cache
def _computed(module: str, name: str, found: Any, equal: Any) -> Any:
    if hasattr(found, "nin") and hasattr(found, "types"):
        return UFunc(name, found, equal)
    label = name if module == "cupy" else f"{module.removeprefix('cupy.')}.{name}"
    return Function(label, found, equal)


class _Pool:
    """The default memory pool, empty."""

    def used_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return 0

    def free_all_blocks(self) -> None:
        pass

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        pass


class _Stream:
    """A stream on which everything has happened already."""

    ptr = 0

    def synchronize(self) -> None:
        pass


_Stream.null = _Stream()


class _Event:
    """A point in time."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


def _cuda() -> Namespace:
    runtime = Namespace(
        "cupy.cuda.runtime",
        real.cuda.runtime,
        {
            "getDeviceCount": lambda: state.device_count,
            "getDevice": state.current_device,
            "getDeviceProperties": lambda device: {"name": b"stand-in on the CPU"},
            "runtimeGetVersion": lambda: 0,
            "driverGetVersion": lambda: 0,
            "deviceSynchronize": lambda: None,
        },
    )
    return Namespace(
        "cupy.cuda",
        real.cuda,
        {
            "runtime": runtime,
            "is_available": lambda: state.device_count > 0,
            "Device": state.Device,
            "Stream": _Stream,
            "Event": _Event,
            "get_current_stream": lambda: _Stream.null,
            "get_device_id": state.current_device,
            "get_elapsed_time": lambda start, end: (end.time - start.time) * 1e3,
        },
    )


def _scatter(name: str) -> Any:
    def scatter(a: ndarray, slices: Any, value: Any) -> None:
        getattr(a, name)(slices, value)

    return scatter


_CUDA = _cuda()
_TRICKS = Namespace("cupy.lib.stride_tricks", real.lib.stride_tricks, {}, np.lib.stride_tricks)
_POOL = _Pool()
_CUPY = Namespace(
    "cupy",
    real,
    {
        "ndarray": ndarray,
        "cuda": _CUDA,
        "linalg": Namespace("cupy.linalg", real.linalg, {}, np.linalg),
        "lib": Namespace("cupy.lib", real.lib, {"stride_tricks": _TRICKS}),
        "ElementwiseKernel": ElementwiseKernel,
        "get_default_memory_pool": lambda: _POOL,
        **SPECIAL,
    },
    np,
)
_CUPY.__dict__["__version__"] = real.__version__
_SPECIAL = Namespace("cupyx.scipy.special", real_special, {}, scipy.special)
_SCIPY = Namespace("cupyx.scipy", real_x.scipy, {"special": _SPECIAL})
_CUPYX = Namespace(
    "cupyx",
    real_x,
    {
        "scipy": _SCIPY,
        **{name: _scatter(name) for name in ("scatter_add", "scatter_max", "scatter_min")},
    },
)
_MODULES = {
    "cupy": _CUPY,
    "cupy.cuda": _CUDA,
    "cupyx": _CUPYX,
    "cupyx.scipy": _SCIPY,
    "cupyx.scipy.special": _SPECIAL,
}


def function(name: str) -> Any:
    """A function of the stand-in's module by name."""
    return getattr(_CUPY, name)


class Installed:
    """What `installed` gives: the module, and the counters."""

    def __init__(self) -> None:
        self.module = _CUPY
        self.counts = state.counts

    def __getattr__(self, name: str) -> Any:
        return getattr(_CUPY, name)


@contextmanager
def installed(devices: int = 1) -> Iterator[Installed]:
    """Inside the block `import cupy` gives the stand-in, with this many devices."""
    before = {name: sys.modules.get(name) for name in _MODULES}
    count, state.device_count = state.device_count, devices
    state.counts.reset()
    sys.modules.update(_MODULES)
    try:
        yield Installed()
    finally:
        state.device_count = count
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
