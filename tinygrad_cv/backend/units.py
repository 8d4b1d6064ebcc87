"""Numbers with their units as people read them: the one formatter of the package.

Bytes and operations go up in powers of ten, as storage is sold and speeds are given; times go down
to nanoseconds.
"""

from __future__ import annotations

import math

__all__ = ["quantity", "scale"]

_COUNTED = ("", "k", "M", "G", "T", "P", "E")
_UNITS = {"B": _COUNTED, "FLOPs": _COUNTED, "FLOP/s": _COUNTED, "s": ("n", "µ", "m", "")}
_FIRST = {"s": -3}  # power of 1000 of the first prefix


def quantity(value: float, unit: str = "") -> str:
    """A number with its unit, to three digits, in the prefix that fits; numbers of another unit
    than "B", "FLOPs", "FLOP/s" and "s" have no prefix, and four digits.

    >>> quantity(448, "B"), quantity(999_999, "B"), quantity(3_200_000, "FLOPs")
    ('448 B', '1 MB', '3.2 MFLOPs')
    >>> quantity(0.00124, "s"), quantity(1.5e-5, "s"), quantity(0, "s"), quantity(7200, "s")
    ('1.24 ms', '15 µs', '0 s', '7,200 s')
    >>> quantity(0.25), quantity(3, "V")
    ('0.25', '3 V')
    """
    if isinstance(value, int):  # one that no float64 holds is infinite
        value = float(value) if abs(value) < 10**308 else math.inf if value > 0 else -math.inf
    if unit not in _UNITS or not value or not math.isfinite(value):
        return f"{'NaN' if math.isnan(value) else format(value, '.4g')} {unit}".rstrip()
    name, factor = scale(value, unit)
    if abs(value / factor) >= 999.5:  # three digits would be 1000: that is the next prefix
        name, factor = scale(math.copysign(1000 * factor, value), unit)
    number = value / factor
    digits = ",.0f" if 999.5 <= abs(number) < 1e18 else ".3g"
    return f"{number:{digits}} {name}"


def scale(value: float, unit: str) -> tuple[str, float]:
    """The unit with the prefix that fits a value, and how many of the plain unit it is.

    >>> scale(12_000, "B"), scale(0.002, "s")
    (('kB', 1000.0), ('ms', 0.001))
    """
    prefixes, first = _UNITS[unit], _FIRST.get(unit, 0)
    power = math.floor(math.log10(abs(value)) / 3 + 1e-12) if value else 0
    power = min(max(power, first), first + len(prefixes) - 1)
    return prefixes[power - first] + unit, 1000.0**power
