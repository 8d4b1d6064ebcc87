"""Facts about the machine and the libraries that decide the speed. Whatever cannot be found out is
None: nothing here raises."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tinygrad_cv.backend import openblas

__all__ = ["blas", "cpu", "graphviz", "has_nvidia", "product_speed", "version"]

# The instruction set of each kind of CPU that OpenBLAS has kernels for.
INSTRUCTIONS = {
    "AVX-512": ("skylakex", "cooperlake", "sapphirerapids"),
    "AVX2": ("haswell", "zen", "excavator"),
    "AVX": ("sandybridge", "bulldozer", "piledriver", "steamroller"),
    "SSE4": ("nehalem", "penryn", "dunnington"),
    "SSE3": ("prescott", "core2", "atom", "barcelona", "bobcat", "nano"),
    "SSE": ("katmai", "coppermine", "northwood", "banias", "athlon", "opteron"),
    "SVE": ("armv8sve", "neoversev1", "neoversev2", "neoversen2", "a64fx"),
    "NEON": ("armv8", "neoversen1", "vortex", "cortex", "thunderx", "tsv110", "emag", "falkor"),
}

# Prints the kind of CPU that the BLAS of NumPy works for, and the speed of the best of many
# products: others may be using the machine.
SPEED = """
import json, sys, time
import numpy as np
from tinygrad_cv.cli import machine
a = np.ones((512, 512), np.float32)
a @ a
best, end = float("inf"), time.perf_counter() + 0.3
while time.perf_counter() < end:
    start = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - start)
print(json.dumps({"core": machine.blas()["core"], "gflops": round(2 * 512**3 / best / 1e9, 1)}))
"""


def version(package: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(package)
    except Exception:  # its metadata may be broken in any way
        return None


def cpu() -> str:
    """The name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        name = _said(["sysctl", "-n", "machdep.cpu.brand_string"])
        if name:
            return name
    return platform.processor() or platform.machine()


def _said(command: list[str]) -> str | None:
    """What a program prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else None


def blas() -> dict[str, Any]:
    """The BLAS of NumPy: name, version, library, and for OpenBLAS the kind of CPU that it works
    for, its instruction set and threads."""
    built = _built_with()
    found: dict[str, Any] = {
        "name": built.get("name"),
        "version": built.get("version"),
        "library": None,
        "core": None,
        "instructions": None,
        "threads": None,
        "config": None,
    }
    opened = openblas.library()
    if opened is not None:
        found["library"], library = opened
        core = _asked(library, "get_corename", ctypes.c_char_p).decode()
        config = _asked(library, "get_config", ctypes.c_char_p)
        found["core"], found["instructions"] = core, _instructions(core)
        found["threads"] = _asked(library, "get_num_threads", ctypes.c_int)
        found["config"] = config.decode().strip() if config else None
    return found


def _asked(library: Any, question: str, answer: Any) -> Any:
    """The result of a function of OpenBLAS, or None if it has no such function."""
    function = openblas.function(library, question)
    if function is None:
        return None
    function.argtypes, function.restype = [], answer
    return function()


def _built_with() -> dict[str, Any]:
    import numpy as np

    try:
        config: Any = np.show_config(mode="dicts")
        found = config["Build Dependencies"]["blas"]
        return found if isinstance(found, dict) else {}
    except Exception:  # the form is not promised
        return {}


def _instructions(core: str) -> str | None:
    name = core.lower()
    for instructions, cores in INSTRUCTIONS.items():
        if any(name.startswith(start) for start in cores):
            return instructions
    return None


def product_speed(without: str | None = None) -> dict[str, Any] | None:
    """``core`` and ``gflops`` of a 512 x 512 float32 product in a process of its own.

    Args:
        without: variables that begin so are taken out of its environment.
    """
    kept = {k: v for k, v in os.environ.items() if not (without and k.startswith(without))}
    root = str(Path(__file__).parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", SPEED], capture_output=True, text=True, timeout=60, env=kept
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return found if isinstance(found, dict) else None


def graphviz() -> dict[str, str | None]:
    """The versions of ``dot`` on the path and of pygraphviz, which carries its own Graphviz."""
    dot = shutil.which("dot")
    said = _said([dot, "-V"]) if dot else None
    if said is not None:
        said = said.partition("version ")[2] or said
    usable = importlib.util.find_spec("pygraphviz") is not None
    return {
        "dot": f"{dot} {said}" if said else None,
        "pygraphviz": (version("pygraphviz") or "unknown version") if usable else None,
    }


def has_nvidia() -> bool:
    """True if the machine seems to have an NVIDIA GPU."""
    return Path("/proc/driver/nvidia/gpus").exists() or shutil.which("nvidia-smi") is not None
