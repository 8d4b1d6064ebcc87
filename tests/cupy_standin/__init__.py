"""A strict stand-in for CuPy, so that the CUDA path runs on machines without a GPU.

    with installed() as cupy:
        x = tg.tensor([1.0, 2.0], device="cuda")     # runs on NumPy, under CuPy's rules
        cupy.counts                                  # launches and transfers

Its arrays hold NumPy arrays, but behave as CuPy's where the two differ, and are stricter where CuPy
lets a mistake pass:

- no implicit conversion to NumPy, and no mixing with NumPy arrays, as index, value or operand;
- every name, argument and dtype loop is looked up in the real package `cupy`, which imports without
  a GPU: what CuPy does not have, the stand-in does not have;
- reductions give 0-d arrays, never NumPy scalars; results of arithmetic are C-contiguous; fresh
  memory is filled with NaN;
- what CuPy does silently is refused with a `StandInError`: indices out of range (which CuPy wraps),
  integers to a negative power, overlapping assignment, arithmetic on an array of another device
  than the current one.

It proves the path: every name and argument exists, nothing crosses between host and device unseen.
It proves neither the numerics nor the speed of a GPU.
"""

from tests.cupy_standin.arrays import StandInError, ndarray
from tests.cupy_standin.modules import installed
from tests.cupy_standin.state import Counts

__all__ = ["Counts", "StandInError", "installed", "ndarray"]
