"""``tinygrad-cv doctor``: what the speed depends on here, and what to do to be faster."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinygrad_cv._version import __version__
from tinygrad_cv.backend.cpu import checking, threads
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.cli import machine

__all__ = ["advice", "examine", "text"]

COLUMN = 14  # where values start
TRIES = 3  # at a measurement
SLOWER = 0.9  # of the speed without a setting; above, the difference may be chance

Facts = dict[str, Any]


def examine() -> Facts:
    """Everything that ``doctor`` reports, as plain values; what is missing is None.

    >>> facts = examine()
    >>> facts["threads"]["count"] >= 1, facts["kernels"]["max_pool"][-1]
    (True, 'reference')
    """
    import numpy as np

    import tinygrad_cv as tg

    facts: Facts = {
        "tinygrad_cv": __version__,
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
        },
        "cpu": {"name": machine.cpu(), "processors": threads.processors(), "vector_bits": None},
        "numpy": {"version": np.__version__, "blas": machine.blas()},
        "pins": _pins(),
        "numba": _numba(),
        "threads": {
            "count": threads.get_num_threads(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
            "NUMBA_THREADING_LAYER": os.environ.get("NUMBA_THREADING_LAYER"),
            "layer": None,
            "tbb": machine.version("tbb"),
        },
        "cache": None,
        "check_bounds": checking.ON,
        "graphviz": machine.graphviz(),
        "cupy": _cupy(),
        "nvidia": machine.has_nvidia(),
        "safetensors": machine.version("safetensors"),
        "kernels": tg.kernels(),
    }
    if not facts["numba"]["usable"]:  # then what is entered for it declines every case
        for row in facts["kernels"].values():
            row[:] = [name for name in row if not name.startswith("numba")]
    if facts["numba"]["usable"]:
        facts["threads"]["layer"] = _or_none(threads.layer)
        facts["cpu"]["vector_bits"] = _or_none(_vector_bits)
        facts["cache"] = _or_none(_cache)
    facts["advice"] = advice(facts)
    return facts


def _or_none(question: Any) -> Any:
    """The answer, or None where a library is broken in a way that nobody foresaw."""
    try:
        return question()
    except Exception:
        return None


def _vector_bits() -> int:
    from tinygrad_cv.backend.cpu.compiled.vector import WIDTH

    return 32 * WIDTH


def _pins() -> Facts:
    """Variables that tie OpenBLAS down, and the speed of a product with and without them: by turns,
    and the best of each, since another program that takes a processor can cost a factor of 20."""
    variables = {k: v for k, v in sorted(os.environ.items()) if k.startswith("OPENBLAS_")}
    now, free = [], []
    for _ in range(TRIES):
        now.append(machine.product_speed())
        if variables:
            free.append(machine.product_speed(without="OPENBLAS_"))
    return {"variables": variables, "now": _best(now), "without": _best(free)}


def _best(speeds: list[Facts | None]) -> Facts | None:
    return max((s for s in speeds if s), key=lambda s: s["gflops"], default=None)


def _numba() -> Facts:
    found: Facts = {"version": machine.version("numba"), "usable": False, "problem": None}
    if importlib.util.find_spec("numba") is None:
        found["problem"] = "not installed"
        return found
    try:
        import numba
    except Exception as error:  # too old for this NumPy, or for this Python
        found["problem"] = f"cannot be imported: {error}"
        return found
    found["version"] = numba.__version__
    if numba.config.DISABLE_JIT:
        found["problem"] = "switched off by NUMBA_DISABLE_JIT"
    else:
        found["usable"] = True
    return found


def _cache() -> Facts:
    from tinygrad_cv.backend.cpu import cache, compiling

    kernels = compiling.kernels()
    found: Facts = {"path": None, "bytes": 0, "kept": 0, "kernels": len(kernels)}
    found |= {"writable": False, "older": 0, "older_bytes": 0}
    path = cache.path()
    if path is None:
        return found
    older = cache.of_other_versions()
    return found | {
        "path": str(path),
        "bytes": _size(path),
        "kept": sum(kernel.is_kept() for kernel in kernels),
        "writable": cache.could_be_written(path),
        "older": len(older),
        "older_bytes": sum(map(_size, older)),
    }


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _cupy() -> Facts:
    from tinygrad_cv.backend.array import cuda_is_available

    found: Facts = {"version": None, "usable": False, "device": None}
    if importlib.util.find_spec("cupy") is None:
        return found
    found["usable"] = cuda_is_available()
    cupy = sys.modules.get("cupy")
    found["version"] = getattr(cupy, "__version__", None) or "unknown version"
    if found["usable"]:
        found["device"] = _or_none(
            lambda: cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()  # type: ignore[union-attr]
        )
    return found


# What to do ---------------------------------------------------------------------------------------


def advice(facts: Facts) -> list[str]:
    """What would make this machine faster, the most important first.

    Args:
        facts: of ``examine``.

    >>> facts = examine()
    >>> facts["check_bounds"] = True
    >>> [line for line in advice(facts) if "TINYGRAD_CV" in line]
    ['Unset TINYGRAD_CV_CHECK_BOUNDS: it is for tests, and slow.']
    """
    return [*_advice_on_numba(facts), *_advice_on_pins(facts), *_advice_on_threads(facts),
            *_advice_on_cache(facts), *_advice_on_gpu(facts)]  # fmt: skip


def _advice_on_numba(facts: Facts) -> Iterator[str]:
    numba = facts["numba"]
    if numba["problem"] == "not installed":
        yield "Install the compiled kernels: pip install 'tinygrad-cv[fast]'."
    elif numba["problem"] and "NUMBA_DISABLE_JIT" in numba["problem"]:
        yield "Unset NUMBA_DISABLE_JIT: with it no kernel is compiled."
    elif numba["problem"]:
        yield f"Renew Numba: pip install -U 'tinygrad-cv[fast]'. It {numba['problem']}."
    if facts["check_bounds"]:
        yield "Unset TINYGRAD_CV_CHECK_BOUNDS: it is for tests, and slow."


def _advice_on_pins(facts: Facts) -> Iterator[str]:
    pins = facts["pins"]
    names = list(pins["variables"])
    if not names:
        return
    verb = f"Unset {' and '.join(names)}"
    if not pins["now"] or not pins["without"]:
        if "OPENBLAS_CORETYPE" in names:
            yield f"{verb}: OpenBLAS then chooses the kernels for this CPU itself."
        return
    now, free = pins["now"]["gflops"], pins["without"]["gflops"]
    if now < SLOWER * free:
        yield f"{verb}: NumPy's matrix products run at {now:g} GFLOP/s with, {free:g} without."


def _advice_on_threads(facts: Facts) -> Iterator[str]:
    found, processors = facts["threads"], facts["cpu"]["processors"]
    if found["count"] != processors:
        few = found["count"] < processors
        how = f"Set OMP_NUM_THREADS to {processors}"
        how += ", or unset it" if found["OMP_NUM_THREADS"] else ""
        why = "some processors are idle" if few else "threads wait for each other"
        yield f"{how}: now {found['count']} on {processors} processors, so {why}."
    if found["layer"] == "workqueue":
        yield from _advice_on_tbb(found)


def _advice_on_tbb(found: Facts) -> Iterator[str]:
    why = "It starts threads about 30 times sooner"
    if found["NUMBA_THREADING_LAYER"] == "workqueue":
        yield f"Unset NUMBA_THREADING_LAYER, so that TBB can be used. {why}."
    elif found["tbb"]:
        yield f"Renew TBB: pip install -U tbb. {why}, but Numba cannot load {found['tbb']}."
    elif sys.platform != "darwin" and platform.machine() in ("x86_64", "AMD64"):  # it has wheels
        yield f"Install TBB: pip install tbb. {why}."


def _advice_on_cache(facts: Facts) -> Iterator[str]:
    cache = facts["cache"]
    if cache is None:
        return
    if cache["path"] is None:
        yield "Set XDG_CACHE_HOME or HOME to a folder, where compiled kernels can be kept."
    elif cache["kept"] < cache["kernels"]:
        if not cache["writable"]:
            name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
            place = cache["path"] if sys.platform == "darwin" else f"{cache['path']}, or set {name}"
            yield f"Make it possible to write to {place}: kernels are compiled in every process."
        else:
            left = cache["kernels"] - cache["kept"]
            yield f"Run `tinygrad-cv warmup`: {left} kernels will be compiled at their first use."


def _advice_on_gpu(facts: Facts) -> Iterator[str]:
    cupy = facts["cupy"]
    if not facts["nvidia"] or cupy["usable"]:
        return
    if cupy["version"] is None:
        yield "Use the GPU: pip install 'tinygrad-cv[cuda12]' (or [cuda13])."
    else:
        yield "Use the GPU: CuPy is installed, but finds no device; is its CUDA version right?"


# The report ---------------------------------------------------------------------------------------


def text(facts: Facts) -> str:
    """The facts of ``examine`` for people.

    >>> print(text(examine()))  # doctest: +ELLIPSIS
    tinygrad_cv ...
    What to do to be faster
      ...
    """
    lines = [f"{name:<{COLUMN}}{value}" for name, value in _rows(facts)]
    served = facts["kernels"]
    column = max(map(len, served), default=0) + 2
    lines += ["", "What serves each operator, best first (all others: reference)"]
    lines += [f"  {op:<{column}}{', '.join(served[op])}" for op in sorted(served)]
    lines += ["", "What to do to be faster"]
    lines += [f"  {n}. {line}" for n, line in enumerate(facts["advice"], 1)] or ["  nothing"]
    return "\n".join(lines)


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    python, cpu, numpy = facts["python"], facts["cpu"], facts["numpy"]
    yield "tinygrad_cv", facts["tinygrad_cv"]
    yield "Python", f"{python['version']} ({python['implementation']}, {python['platform']})"
    bits = cpu["vector_bits"]
    wide = f", kernels use vectors of {bits} bits" if bits else ""
    yield "CPU", f"{cpu['name']}, {cpu['processors']} processors{wide}"
    yield "NumPy", numpy["version"]
    yield from _blas_rows(numpy["blas"], facts["pins"])
    numba, found = facts["numba"], facts["threads"]
    omp = found["OMP_NUM_THREADS"]
    layer = f", run by {found['layer']}" if found["layer"] else ""
    yield "Threads", f"{found['count']}{layer} (OMP_NUM_THREADS {'= ' + omp if omp else 'not set'})"
    yield "Numba", "; ".join(filter(None, (numba["version"], numba["problem"])))
    yield from _cache_rows(facts["cache"])
    if facts["check_bounds"]:
        yield "Bounds", "checked (TINYGRAD_CV_CHECK_BOUNDS is set)"
    graphviz = facts["graphviz"]
    names = [f"pygraphviz {graphviz['pygraphviz']}" if graphviz["pygraphviz"] else None]
    engines = [name for name in (graphviz["dot"], *names) if name]
    yield "Graphviz", ", ".join(engines) or "none; for pictures: pip install 'tinygrad-cv[graph]'"
    cupy = facts["cupy"]
    device = cupy["device"] or ("a device" if cupy["usable"] else "no usable device")
    yield "CuPy", f"{cupy['version']}, {device}" if cupy["version"] else "not installed"
    yield "safetensors", facts["safetensors"] or "not installed"


def _blas_rows(blas: Facts, pins: Facts) -> Iterator[tuple[str, str]]:
    name = " ".join(filter(None, (blas["name"], blas["version"]))) or "unknown"
    if blas["core"]:
        instructions = f" ({blas['instructions']})" if blas["instructions"] else ""
        name += f", works for {blas['core']}{instructions}, threads: {blas['threads']}"
    yield "  BLAS", name
    now, free = pins["now"], pins["without"]
    if now:
        yield "  product", f"{now['gflops']:g} GFLOP/s (512 x 512, float32)"
    for number, (variable, value) in enumerate(pins["variables"].items()):
        without = f"; without: {free['core']}, {free['gflops']:g} GFLOP/s" if free else ""
        yield "  pinned by", f"{variable}={value}" + (without if number == 0 else "")


def _cache_rows(cache: Facts | None) -> Iterator[tuple[str, str]]:
    if cache is None:
        return
    writable = "writable" if cache["writable"] else "not writable"
    place = f"{cache['path']}, {writable}" if cache["path"] else "none: there is no home folder"
    yield "  cache", place
    size = quantity(cache["bytes"], "B")
    yield "  kept there", f"{cache['kept']} of {cache['kernels']} kernels, {size}"
    if cache["older"]:
        size = quantity(cache["older_bytes"], "B")
        yield "  beside it", f"{cache['older']} folders of other versions, {size}; `warmup --clean`"
