"""The modules of the benchmark for its tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"
NAMES = ("chains", "growth", "measure", "models", "native", "operators", "peers", "peers.layers")
NAMES += ("plan", "plot", "process", "report", "targets", "worker")


@pytest.fixture(scope="module")
def bench():
    """The modules of the benchmark, imported as its program imports them."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCH))
    try:
        found = {name.replace(".", "_"): importlib.import_module(name) for name in NAMES}
        yield SimpleNamespace(**found)
    finally:
        sys.path.remove(str(BENCH))
        for name in set(sys.modules) - before:
            if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
