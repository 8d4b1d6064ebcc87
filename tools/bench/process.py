"""An engine in a process of its own, and the environment it gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["Process", "environment"]

HERE = Path(__file__).resolve().parent


def environment(cache: Path | None = None) -> dict[str, str]:
    """The variables of an engine's process: no pin of OpenBLAS, which a user does not have, and
    with ``cache`` a folder of its own for everything that any engine compiles."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    paths = [str(HERE.parent.parent), clean.get("PYTHONPATH", "")]
    clean["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    if cache is not None:
        clean |= {"XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache)}  # ours and tinygrad
        if sys.platform == "darwin":
            clean["HOME"] = str(cache)
        clean["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
        clean["JAX_COMPILATION_CACHE_DIR"] = str(cache / "jax")
        clean["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        clean["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return clean


class Process:
    """An engine in a process of its own."""

    def __init__(self, engine: str, device: str = "cpu", cache: Path | None = None) -> None:
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), engine, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(cache),
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request and its answer; a dead process answers with an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"the process ended with status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process and waits for it."""
        self._process.communicate()
