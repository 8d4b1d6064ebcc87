"""The cache of compiled kernels survives what happens to folders and files, and is never wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from tinygrad_cv.backend.cpu import cache, compiling

ROOT = Path(__file__).resolve().parents[2]

# A module with the cheapest kernel there is.
KERNEL = """
from tinygrad_cv.backend.cpu.compiling import compiled

@compiled("void(float64[::1])")
def double(x):
    x[0] = 2 * x[0]
"""

# Compiles it, uses it, and says where the machine code came from.
USE = """
import numpy as np, scratch_kernel
from tinygrad_cv.backend.cpu import cache, compiling
{before}
(kernel,) = (k for k in compiling._KERNELS if k.name == "scratch_kernel.double")
found = kernel.compile()
x = np.full(1, 21.0)
scratch_kernel.double(x)
assert x[0] == 42
print("found" if found else "made", "kept" if kernel.is_kept() else "lost")
"""


@pytest.fixture
def scratch(tmp_path):
    """A folder with the kernel; its cache lies in the folder ``cache`` there."""
    (tmp_path / "scratch_kernel.py").write_text(KERNEL)
    return tmp_path


def start(folder, before="", code=USE, **variables):
    """A process that uses the kernel."""
    variables = {"XDG_CACHE_HOME": str(folder / "cache"), **variables}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code.replace("{before}", before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **variables},
    )


def outcome(child):
    out, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    assert errors == ""
    return out.strip()


def use(folder, before="", **variables):
    return outcome(start(folder, before, **variables))


def files(scratch, ending):
    found = list((scratch / "cache").rglob(f"*{ending}"))
    assert found, ending
    return found


linux = pytest.mark.skipif(sys.platform != "linux", reason="the folder is named as on Linux")


@linux
@pytest.mark.parametrize("ending", [".nbi", ".nbc", "seal"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "one bit", "missing"])
def test_a_broken_file_is_made_again(scratch, monkeypatch, ending, damage):
    """All in one process: to the cache, a new kernel object is like a new process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(scratch / "cache"))
    monkeypatch.syspath_prepend(str(scratch))

    def fresh():
        source = compile(KERNEL, str(scratch / "scratch_kernel.py"), "exec")
        monkeypatch.setattr(compiling, "_KERNELS", [])
        names = {"__name__": "scratch_kernel"}
        exec(source, names)
        (kernel,) = compiling._KERNELS
        found, x = kernel.compile(), np.ones(1)
        names["double"](x)
        assert x[0] == 2
        return found

    assert not fresh()
    assert fresh()
    for file in files(scratch, ending):
        data = file.read_bytes()
        middle = len(data) // 2
        new = {
            "truncated": data[:middle],
            "garbage": os.urandom(len(data)),
            "empty": b"",
            "one bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "missing": None,
        }[damage]
        file.unlink() if new is None else file.write_bytes(new)
    assert not fresh()
    assert fresh()


@linux
def test_a_sealed_file_that_cannot_be_read_is_made_again(scratch):
    """As another version of a library could have left it."""
    assert use(scratch) == "made kept"
    for file in files(scratch, ".nbi"):
        file.write_bytes(b"\x80\x05nonsense")
    (place,) = (file.parent for file in files(scratch, "seal"))
    cache.seal(place)
    assert use(scratch) == "made lost"
    assert use(scratch) == "made kept"


@linux
def test_a_missing_folder_is_made_and_one_that_cannot_be_is_done_without(scratch):
    assert use(scratch, XDG_CACHE_HOME=str(scratch / "a" / "b")) == "made kept"
    (scratch / "file").write_text("in the way")
    assert use(scratch, XDG_CACHE_HOME=str(scratch / "file" / "below")) == "made lost"
    assert use(scratch, XDG_CACHE_HOME="/proc/nothing") == "made lost"
    assert not cache.is_writable(scratch / "file" / "below")
    assert cache.is_writable(scratch / "c" / "d")


# Root may write anywhere; without this capability (number 1) it obeys the permissions.
OBEDIENT = """
import ctypes
libc, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 6)()
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
libc.capget(header, sets)
sets[0] &= ~2
sets[1] &= ~2
assert libc.capset(header, sets) == 0
"""


@linux
def test_a_folder_that_is_only_readable(scratch):
    def only_readable(on):
        for path in (scratch / "cache", *(scratch / "cache").rglob("*")):
            if path.is_dir():
                path.chmod(0o555 if on else 0o755)

    (scratch / "cache").mkdir()
    only_readable(True)
    assert use(scratch, OBEDIENT) == "made lost"
    only_readable(False)
    assert use(scratch) == "made kept"
    only_readable(True)
    assert use(scratch, OBEDIENT) == "found kept"  # filled by an administrator
    only_readable(False)


@linux
def test_two_processes_at_once(scratch):
    (scratch / "here").mkdir()
    wait = f"""
import numba, os, pathlib, time
here = pathlib.Path({str(scratch / "here")!r})
(here / str(os.getpid())).touch()
while len(list(here.iterdir())) < 2:
    time.sleep(0.001)
"""
    for child in [start(scratch, wait) for _ in range(2)]:
        outcome(child)  # right, wherever the code came from
    assert use(scratch).endswith("kept")


# What the name of the folder depends on -----------------------------------------------------------


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder with one source."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "kernel.py").write_text("a = 1")
    cache._machine.cache_clear()
    yield tmp_path / "kernels"
    cache._machine.cache_clear()


def test_the_cache_is_the_users_and_follows_the_source(sources):
    first = cache.path(sources)
    assert cache.is_writable(first)
    assert first.is_dir()
    assert first.parent == sources.parent / "tinygrad_cv"
    (sources / "kernel.py").write_text("a = 2")
    assert cache.path(sources) != first
    (sources / "kernel.py").write_text("a = 1")
    assert cache.path(sources) == first


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("llvmlite.binding.get_host_cpu_name", lambda: "i486"),
        ("numba.__version__", "99"),
        ("numba.config.CPU_NAME", "generic"),
        ("tinygrad_cv.backend.cpu.checking.ON", not compiling.checking.ON),
    ],
)
def test_the_cache_follows_the_machine(sources, monkeypatch, place, value):
    first = cache.path(sources)
    monkeypatch.setattr(place, value)
    cache._machine.cache_clear()
    assert cache.path(sources) != first


def test_other_features_of_the_cpu(sources, monkeypatch):
    import llvmlite.binding as llvm

    first, features = cache.path(sources), llvm.get_host_cpu_features()
    features["more"] = True
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: features)
    cache._machine.cache_clear()
    assert cache.path(sources) != first


def test_what_is_compiled_after_an_edit_is_not_kept(monkeypatch):
    assert cache.place("family.kernel") is not None
    monkeypatch.setattr(cache, "_AT_START", "what this process was started with")
    assert cache.place("family.kernel") is None


def test_no_home(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    assert cache.path() is None
    assert cache.place("family.kernel") is None


def test_a_folder_without_files_is_never_sealed(tmp_path):
    (tmp_path / "folder").mkdir()
    cache.seal(tmp_path)
    assert not cache.is_sealed(tmp_path)
    (tmp_path / "folder" / "code").write_text("a")
    cache.seal(tmp_path)
    assert cache.is_sealed(tmp_path)


def test_a_fault_of_the_kernel_is_not_blamed_on_the_cache(tmp_path, monkeypatch):
    from numba.core.errors import NumbaError

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def wrong(x):
        x[0] = "text" + 1

    tries = []
    with_numba = compiling._with_numba
    monkeypatch.setattr(compiling, "_with_numba", lambda *a: tries.append(a) or with_numba(*a))
    with pytest.raises(NumbaError):
        compiling.compiled("void(float64[::1])")(wrong)(np.ones(1))
    assert len(tries) == 1


# Two kernels that call the same routine, one of them through a function of Numba's.
ROUTINE = """
from numba import njit
from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiled.vector import zero
from tinygrad_cv.backend.cpu.compiling import compiled, routine

@routine
def clear(address, nbytes):
    zero(address, nbytes)

@njit
def clear_one(address):
    clear(address, 8)

@compiled("void(float64[::1])")
def first(x):
    clear_one(x.ctypes.data)

@compiled("void(float64[::1])", parallel=True)
def all(x, task):
    for i in shared(0, x.size, task):
        clear(x.ctypes.data + 8 * i, 8)
"""

USE_ROUTINE = """
import numpy as np, scratch_routine
from tinygrad_cv.backend.cpu import compiling

builds, build = [], compiling.Routine.build

def counted(routine, keep):
    made, found = build(routine, keep)
    builds.append(f"{routine.name} {'found' if found else 'made'}")
    return made, found

compiling.Routine.build = counted
x, y = np.ones(3), np.ones(3)
scratch_routine.first(x)
scratch_routine.all(y)
assert x.tolist() == [0, 1, 1] and y.tolist() == [0, 0, 0]
print(*builds)
"""


def test_a_routine_is_compiled_once_for_all_kernels_and_kept(tmp_path):
    (tmp_path / "scratch_routine.py").write_text(ROUTINE)
    outcomes = [outcome(start(tmp_path, code=USE_ROUTINE)) for _ in range(2)]
    names = "scratch_routine.clear", "tasks.launch"
    assert outcomes == [" ".join(f"{name} {how}" for name in names) for how in ("made", "found")]
