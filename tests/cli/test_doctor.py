"""``tinygrad-cv doctor``: right facts, advice that follows from them, no crash without parts."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import cli
from tinygrad_cv.backend import openblas
from tinygrad_cv.cli import doctor, machine

with_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed"
)
SPEED = {"core": "Haswell", "gflops": 100.0}


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """No measurements, no variables from outside, and a cache of its own."""
    for name in [n for n in os.environ if n.startswith("OPENBLAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "product_speed", lambda without=None: dict(SPEED))


@pytest.fixture
def no_package(monkeypatch):
    """Hide packages from every way to ask for them."""
    hidden = set()
    find, version = importlib.util.find_spec, importlib.metadata.version

    def found(name, package=None):
        return None if name.partition(".")[0] in hidden else find(name, package)

    def version_of(name):
        if name in hidden:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    monkeypatch.setattr(importlib.metadata, "version", version_of)
    return hidden.update


def report(capsys, *more):
    assert cli.main(["doctor", *more]) == 0
    return capsys.readouterr().out


def test_the_report(quick, capsys):
    out = report(capsys)
    for start in ("tinygrad_cv ", "Python ", "CPU ", "NumPy ", "  BLAS ", "Threads ", "Numba "):
        assert f"\n{start}" in f"\n{out}", start
    for start in ("Graphviz ", "CuPy ", "safetensors ", "What to do to be faster"):
        assert f"\n{start}" in out, start
    assert np.__version__ in out
    head, column = out.split("\n\n")[0].splitlines(), doctor.COLUMN  # values are aligned
    assert {line[column - 1] for line in head} == {" "}
    assert " " not in {line[column] for line in head}


def test_json_has_the_same_facts(quick, capsys):
    facts = json.loads(report(capsys, "--json"))
    assert facts["tinygrad_cv"] == tg.__version__
    assert facts["kernels"] == tg.kernels()
    assert facts["threads"]["count"] == tg.get_num_threads()
    assert facts["pins"] == {"variables": {}, "now": SPEED, "without": None}
    assert doctor.text(facts) == report(capsys).rstrip("\n")


@with_numba
def test_kernels_that_lie_on_disk_are_counted(quick, capsys):
    from tinygrad_cv.backend.cpu import cache, compiling

    facts = doctor.examine()
    assert facts["cache"]["kept"] == 0
    assert facts["cache"]["writable"]
    assert facts["cpu"]["vector_bits"] in (128, 256, 512)
    assert f"{len(compiling.kernels())} kernels will be" in facts["advice"][-1]
    for kernel in compiling.kernels():
        place = cache.place(kernel.name)
        place.mkdir(parents=True)
        (place / "code").write_text("12345")
        cache.seal(place)
    (cache.path().parent / "numba-old").mkdir()
    (cache.path().parent / "numba-old" / "code").write_text("123")
    found = doctor.examine()["cache"]
    assert found["kept"] == found["kernels"] == len(compiling.kernels())
    assert (found["older"], found["older_bytes"]) == (1, 3)
    assert "1 folders of other versions" in report(capsys)


@with_numba
def test_looking_at_the_cache_does_not_make_it(quick, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none" / "yet"))
    assert doctor.examine()["cache"]["writable"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    assert not doctor.examine()["cache"]["writable"]


# What may be missing ------------------------------------------------------------------------------


def test_without_any_optional_package(quick, no_package, monkeypatch, capsys):
    no_package(["numba", "tbb", "cupy", "pygraphviz", "safetensors"])
    monkeypatch.setenv("PATH", "")
    out = report(capsys)
    assert "Numba         not installed" in out
    assert "pip install 'tinygrad-cv[fast]'" in out
    assert "CuPy          not installed" in out
    assert "Graphviz      none" in out
    assert "safetensors   not installed" in out
    assert "cache" not in out.split("\n\n")[0]
    assert "numba (cpu)" not in out
    json.loads(report(capsys, "--json"))


def test_a_numba_that_cannot_be_imported(quick, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, p=None: n == "numba" or find(n, p))
    monkeypatch.setitem(sys.modules, "numba", None)
    out = report(capsys)
    assert "cannot be imported: import of numba halted" in out
    assert "Renew Numba" in out
    assert "numba (cpu)" not in out


@with_numba
def test_a_numba_that_is_switched_off(quick, monkeypatch, capsys):
    import numba

    from tinygrad_cv.backend.cpu import compiling

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    compiling.usable.cache_clear()
    try:
        assert not compiling.usable()
        assert "Unset NUMBA_DISABLE_JIT" in report(capsys)
    finally:
        compiling.usable.cache_clear()


@with_numba
def test_parts_that_break(quick, monkeypatch, capsys):
    from tinygrad_cv.backend.cpu import cache, threads

    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(cache, "path", broken)
    monkeypatch.setattr(threads, "layer", broken)
    monkeypatch.setattr(importlib.metadata, "version", broken)
    monkeypatch.setattr(np, "show_config", broken)
    out = report(capsys)
    assert "run by" not in out


@with_numba
def test_no_place_for_a_cache(quick, monkeypatch, capsys):
    from tinygrad_cv.backend.cpu import cache

    monkeypatch.setattr(cache, "path", lambda: None)
    out = report(capsys)
    assert "none: there is no home folder" in out
    assert "Set XDG_CACHE_HOME or HOME" in out


def test_a_blas_that_cannot_be_asked(monkeypatch, capsys, quick):
    monkeypatch.setattr(openblas, "_paths", lambda: iter(["no such library", "/dev/null"]))
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": "changed"})
    assert set(machine.blas().values()) == {None}
    assert "  BLAS        unknown\n" in report(capsys)


def test_a_machine_without_its_usual_files(monkeypatch, capsys, quick):
    def missing(self, *args, **kwargs):
        raise OSError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(sys, "platform", "darwin")
    report(capsys)


def test_a_python_that_cannot_be_started(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/dev/null/python")
    assert machine.product_speed() is None


# Facts --------------------------------------------------------------------------------------------


def test_the_speed_of_a_product_with_a_pin():
    blas = machine.blas()
    if (
        blas["core"] is None
        or "DYNAMIC_ARCH" not in blas["config"]
        or os.uname().machine != "x86_64"
    ):
        pytest.skip("this BLAS cannot be pinned")
    code = "from tinygrad_cv.cli import doctor; import json; print(json.dumps(doctor._pins()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ, "OPENBLAS_CORETYPE": "Nehalem"},
        cwd=Path(__file__).parents[2],
    )
    pins = json.loads(done.stdout)
    assert pins["variables"]["OPENBLAS_CORETYPE"] == "Nehalem"
    assert pins["now"]["core"] == "Nehalem"
    assert pins["without"]["core"] != "Nehalem"
    assert min(pins["now"]["gflops"], pins["without"]["gflops"]) > 0


def test_a_disturbed_measurement_does_not_count(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    speeds = iter([40, 100, None, 5, 41, None])  # with and without, by turns

    def speed(without=None):
        value = next(speeds)
        return value and {"core": "free" if without else "pinned", "gflops": value}

    monkeypatch.setattr(machine, "product_speed", speed)
    pins = doctor._pins()
    assert pins["now"] == {"core": "pinned", "gflops": 41}
    assert pins["without"] == {"core": "free", "gflops": 100}


@pytest.mark.parametrize(
    ("core", "instructions"),
    [("SkylakeX", "AVX-512"), ("Zen", "AVX2"), ("Haswell", "AVX2"), ("Prescott", "SSE3"),
     ("ARMV8SVE", "SVE"), ("neoversen1", "NEON"), ("Katmai", "SSE"), ("something", None)],
)  # fmt: skip
def test_instruction_sets(core, instructions):
    assert machine._instructions(core) == instructions


@pytest.mark.skipif(os.name != "posix", reason="a script stands for dot")
def test_dot_on_the_path(tmp_path, monkeypatch):
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho 'dot - graphviz version 9.9.9 (now)' >&2\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert machine.graphviz()["dot"] == f"{dot} 9.9.9 (now)"
    dot.write_text("#!/bin/sh\nexit 1\n")
    assert machine.graphviz()["dot"] is None


# Advice -------------------------------------------------------------------------------------------

GOOD = {
    "cpu": {"processors": 4},
    "pins": {"variables": {}, "now": SPEED, "without": None},
    "numba": {"usable": True, "problem": None},
    "threads": {
        "count": 4,
        "OMP_NUM_THREADS": None,
        "layer": "tbb",
        "tbb": "2022.1",
        "NUMBA_THREADING_LAYER": None,
    },
    "cache": {"path": "cache", "kept": 9, "kernels": 9, "writable": True},
    "check_bounds": False,
    "cupy": {"version": None, "usable": False},
    "nvidia": False,
}
PINNED = {"variables": {"OPENBLAS_CORETYPE": "Nehalem"}, "now": {"core": "Nehalem", "gflops": 40.0}}


def test_nothing_to_do():
    assert doctor.advice(GOOD) == []
    facts = {**doctor.examine(), "advice": []}
    assert doctor.text(facts).endswith("What to do to be faster\n  nothing")


@pytest.mark.parametrize(
    ("part", "change", "expected"),
    [
        ("numba", {"problem": "not installed"}, "Install .*fast"),
        ("numba", {"problem": "cannot be imported: old"}, "Renew Numba"),
        ("numba", {"problem": "switched off by NUMBA_DISABLE_JIT"}, "Unset NUMBA_DISABLE_JIT"),
        ("check_bounds", True, "Unset TINYGRAD_CV_CHECK_BOUNDS"),
        ("pins", {**PINNED, "without": SPEED}, "OPENBLAS_CORETYPE: NumPy's .* at 40 .*, 100 with"),
        ("pins", {**PINNED, "without": None}, "Unset OPENBLAS_CORETYPE: OpenBLAS then chooses"),
        ("threads", {"count": 1, "OMP_NUM_THREADS": "1"}, "OMP_NUM_THREADS to 4, or unset .* idle"),
        ("threads", {"count": 9, "OMP_NUM_THREADS": "9"}, "now 9 on 4 processors, .* wait"),
        ("threads", {"layer": "workqueue", "tbb": None}, "Install TBB: pip install tbb"),
        ("threads", {"layer": "workqueue"}, "Renew TBB: .* cannot load 2022.1"),
        ("threads", {"layer": "workqueue", "NUMBA_THREADING_LAYER": "workqueue"}, "Unset NUMBA_TH"),
        ("cache", {"path": None}, "XDG_CACHE_HOME"),
        ("cache", {"kept": 2}, "tinygrad-cv warmup`: 7 kernels"),
        ("cache", {"kept": 2, "writable": False}, "possible to write to cache"),
        ("nvidia", True, "cuda12"),
    ],
)
def test_one_thing_to_do(monkeypatch, part, change, expected):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    facts = copy.deepcopy(GOOD)
    facts[part] = {**facts[part], **change} if isinstance(change, dict) else change
    (line,) = doctor.advice(facts)
    assert re.search(expected, line), line


def test_tbb_is_not_advised_where_it_has_no_wheel(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    facts = copy.deepcopy(GOOD)
    facts["threads"] |= {"layer": "workqueue", "tbb": None}
    assert doctor.advice(facts) == []


def test_a_pin_that_costs_nothing_and_a_full_read_only_cache_are_no_faults():
    facts = copy.deepcopy(GOOD)
    facts["pins"] = {**PINNED, "now": {"core": "Nehalem", "gflops": 95.0}, "without": SPEED}
    facts["cache"]["writable"] = False
    assert doctor.advice(facts) == []
    facts |= {"nvidia": True, "cupy": {"version": "14", "usable": True}}
    assert doctor.advice(facts) == []
