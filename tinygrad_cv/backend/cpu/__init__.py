"""Compiled kernels for the CPU, one file per operator family.

They need Numba (the extra ``fast``). Without it nothing is registered and the NumPy references
serve; with it, Numba is imported and a kernel compiled when the kernel is first used.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("numba") is not None:
    from tinygrad_cv.backend.cpu import convolution, elementwise, linear, norm, optim, pool, sums

    for family in (convolution, elementwise, linear, norm, optim, pool, sums):
        family.register_kernels()
