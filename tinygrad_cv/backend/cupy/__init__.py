"""Kernels for the GPU, one file per operator family, written for CuPy's kernel compiler.

Entering them into the table needs no CuPy: a kernel is compiled when it is first used.
"""

from tinygrad_cv.backend.cupy import pool

pool.register_kernels()
