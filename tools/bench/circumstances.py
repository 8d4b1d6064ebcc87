"""The circumstances that figures were taken under."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.cli import machine

__all__ = ["circumstances"]


def circumstances(rows: Sequence[dict[str, Any]], command: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, date, commit and command."""
    versions: dict[str, str] = {"python": platform.python_version()}
    for row in rows:
        for entry in row["engines"].values():
            versions |= entry.get("versions", {})
    return {
        "machine": {
            "platform": platform.platform(),
            "cpu": machine.cpu(),
            "cores": threads.processors(),
            "memory_gb": _memory_gb(),
        },
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "command": ["python", *command],
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [0.0],
        "removed_variables": sorted(k for k in os.environ if k.startswith("OPENBLAS_")),
    }


def _memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return 0.0


def _commit() -> str:
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return commit + ("+changes" if git("status", "--porcelain") else "")
