"""What NumPy computes block by block, in blocks of a few elements: with those of real work, small
inputs are one block, and the ways of large arrays are never taken."""

from __future__ import annotations

import pytest

from tinygrad_cv.backend import blocks, kernels, pooling, select, standardise
from tinygrad_cv.testing import Case, check_case
from tools.gpu_check import collect

CASES = [case for case in collect("CASES") if isinstance(case, Case)]
CHECKS = ("value", "infer", "gradient", "memory", "empty")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 8)
    monkeypatch.setattr(blocks, "LINES", 1)
    monkeypatch.setattr(select, "LARGE", 1)
    monkeypatch.setattr(select, "SMALL", 0)
    monkeypatch.setattr(standardise, "BLOCK", 8)
    monkeypatch.setattr(pooling, "BLOCK", 64)
    with kernels.use("reference"):
        yield


@pytest.mark.parametrize("start", range(40))
def test_every_case_in_small_blocks(start, small):
    for case in CASES[start::40]:
        check_case(case, only=[name for name in CHECKS if name not in case.skip])
