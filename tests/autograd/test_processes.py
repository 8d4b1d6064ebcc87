"""Training in forked and spawned children; in processes of their own, since pytest has threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("way", ["fork", "locked", "spawn"])
def test_a_child_computes_what_its_parent_does(way: str) -> None:
    if way != "spawn" and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    done = subprocess.run(
        [sys.executable, "-m", "tests.autograd.processes", way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
