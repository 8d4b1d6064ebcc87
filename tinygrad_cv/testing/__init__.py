"""Checks for operators, shipped: what the project's own operators pass, yours get for free.

Write a :class:`Case` with its inputs and an independent reference, and :func:`check_case` looks at
everything the engine promises: values, shapes, derivatives at several orders, memory layouts,
precision, and that nothing is kept or computed that was not asked for. :func:`check_bad` looks at
a call that must be refused. :data:`CHECKS` names the checks.

Example:
    >>> import numpy as np, tinygrad_cv as tg
    >>> from tinygrad_cv.testing import Case, check_case
    >>> def softsign(x):
    ...     return x / (1 + tg.abs(x))
    >>> x = np.array([-2.0, 0.5, 3.0])
    >>> check_case(Case(softsign, (x,), reference=lambda x: x / (1 + np.abs(x))))
"""

from tinygrad_cv.testing.bad import check_bad
from tinygrad_cv.testing.case import Bad, Case, CheckFailure, parametrize_cases
from tinygrad_cv.testing.checks import CHECKS, check_case
from tinygrad_cv.testing.compare import (
    assert_close,
    check_derivatives,
    directional_derivative,
    vjp,
)
from tinygrad_cv.testing.runs import recorded_calls

__all__ = [
    "CHECKS",
    "Bad",
    "Case",
    "CheckFailure",
    "assert_close",
    "check_bad",
    "check_case",
    "check_derivatives",
    "directional_derivative",
    "parametrize_cases",
    "recorded_calls",
    "vjp",
]
