"""The one formatter of numbers with units."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv
from tinygrad_cv.backend.units import quantity, scale

FACTORS = {"n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
FACTORS |= {"P": 1e15, "E": 1e18}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (1, "B", "1 B"),
        (999, "B", "999 B"),
        (1000, "B", "1 kB"),
        (999_499, "B", "999 kB"),
        (999_999, "B", "1 MB"),
        (12_345_678, "B", "12.3 MB"),
        (10**15, "B", "1 PB"),
        (10**22, "B", "10,000 EB"),
        (54, "FLOPs", "54 FLOPs"),
        (1_500_000, "FLOPs", "1.5 MFLOPs"),
        (2.5e9, "FLOP/s", "2.5 GFLOP/s"),
        (2.5e-9, "s", "2.5 ns"),
        (1.5e-5, "s", "15 µs"),
        (0.9996, "s", "1 s"),
        (9.996e-4, "s", "1 ms"),
        (75.0, "s", "75 s"),
        (7200, "s", "7,200 s"),
        (-0.002, "s", "-2 ms"),
        (-999_999, "B", "-1 MB"),
        (-0.5, "V", "-0.5 V"),
        (0.25, "", "0.25"),
        (math.nan, "s", "NaN s"),
        (-math.inf, "B", "-inf B"),
        (10**400, "B", "inf B"),
        (math.inf, "B", "inf B"),
    ],
)
def test_quantities(value, unit, text):
    assert quantity(value, unit) == text


@given(st.sampled_from(["B", "FLOPs", "s"]), st.floats(1e-9, 1e17), st.booleans())
def test_the_text_is_the_number_to_three_digits(unit, value, negative):
    value = -value if negative else value
    text = quantity(value, unit)
    found = re.fullmatch(rf"(-?[\d.,]+(?:e-\d\d)?) ([nµmkMGTPE]?){unit}", text)
    assert found, text
    number = float(found[1].replace(",", ""))
    assert number * FACTORS[found[2]] == pytest.approx(value, rel=5.1e-3)
    assert abs(number) < 1000 or unit == "s"
    name, factor = scale(value, unit)
    assert FACTORS[name.removesuffix(unit)] == pytest.approx(factor)


def other_formatters(text: str) -> list[str]:
    """Lines that put a prefix and a unit behind a number themselves."""
    written = re.compile(r"f[\"'].*\} ?(?:[kKMGTP]i?B|[kMGT]FLOPs|[nmµu]s)\b")
    return [line.strip() for line in text.splitlines() if written.search(line)]


def test_no_other_formatter_is_left():
    folder = Path(tinygrad_cv.__file__).parent
    found = {
        path.relative_to(folder).as_posix(): other_formatters(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.py")
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize("text", ['f"{1e3 * s:.3f} ms"', "f'{n / 1024:.1f} KiB of it'"])
def test_another_formatter_is_seen(text):
    assert other_formatters(f"x = 1\nreturn {text}\n") == [f"return {text}"]
    assert not other_formatters("return f\"{quantity(s, 's')} for compiling\"")
