"""What Numba compiles: the loops of the kernels, on plain arrays.

A file of this folder is imported when its name is first asked for (``compiled.groups``): all need
Numba, which takes a while to load.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    place = f"{__name__}.{name}"
    if name.startswith("_") or importlib.util.find_spec(place) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(place)
