"""Second names that PyTorch has for elementwise operators, so that code written with them runs."""

from __future__ import annotations

from tinygrad_cv.ops.compare import ge, gt, le, lt, ne
from tinygrad_cv.ops.rounding import trunc
from tinygrad_cv.ops.select import abs
from tinygrad_cv.ops.trig import acos, acosh, asin, asinh, atan, atan2, atanh

__all__ = [
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "fix",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
]

TENSOR_FUNCTIONS = tuple(__all__)

absolute, fix = abs, trunc
arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
arccosh, arcsinh, arctanh = acosh, asinh, atanh
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
