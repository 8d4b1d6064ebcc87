"""Compiled kernels for the CPU, one file per operator family, found by its ``register_kernels``.

They need Numba (the extra ``fast``). Without it nothing is registered and the NumPy references
serve; with it, Numba is imported and a kernel compiled when the kernel is first used.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

if importlib.util.find_spec("numba") is not None:
    for found in pkgutil.iter_modules(__path__):
        family = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(family, "register_kernels"):
            family.register_kernels()
