"""``tinygrad-cv warmup``: every kernel, a line for each, and the code 1 if one fails."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

from tinygrad_cv import cli
from tinygrad_cv.backend.cpu import compiling


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Only the two cheapest kernels, not compiled yet, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def kernels():
        chosen = [k for k in every if k.name in ("elementwise.relu", "elementwise.relu_gradient")]
        for kernel in chosen:
            monkeypatch.setattr(kernel, "made", None)
        return chosen

    every = compiling.kernels()
    monkeypatch.setattr(compiling, "kernels", kernels)


def test_every_kernel_of_every_family_is_known():
    names = [kernel.name for kernel in compiling.kernels()]
    assert len(names) == len(set(names))
    families = {name.partition(".")[0] for name in names}
    assert {"convolution", "groups", "elementwise", "norm", "pool", "winograd"} <= families


def test_lines_and_the_second_time(few, capsys):
    assert cli.main(["warmup"]) == cli.DONE
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/2] elementwise.relu ")
    assert second.startswith("[2/2] elementwise.relu_gradient ")
    assert first.endswith(" s  compiled")
    assert second.endswith(" s  compiled")
    assert total.startswith("2 kernels in ")
    assert total.endswith(" s: 2 compiled, 0 from the cache, 0 failed")
    assert cli.main(["warmup"]) == cli.DONE
    first, _, total = capsys.readouterr().out.splitlines()
    assert first.endswith("from the cache")
    assert total.endswith(" s: 0 compiled, 2 from the cache, 0 failed")


def test_clean_deletes_what_other_versions_left(few, tmp_path, capsys):
    old, other = tmp_path / "tinygrad_cv" / "numba-0123456789abcdef", tmp_path / "another"
    for folder in (old / "kernel", other):
        folder.mkdir(parents=True)
        (folder / "code").write_bytes(b"x")
    assert cli.main(["warmup"]) == cli.DONE
    assert old.exists()
    capsys.readouterr()
    assert cli.main(["warmup", "--clean"]) == cli.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 folders of other versions deleted"
    assert lines[-1].endswith(" s: 0 compiled, 2 from the cache, 0 failed")
    assert not old.exists()
    assert other.exists()


def routine(x):
    pass


def caller(x):
    called(x)


called = None  # the routine, while the test runs


def test_a_routine_is_compiled_before_the_kernels_that_call_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiling, "_KERNELS", [])
    monkeypatch.setitem(caller.__globals__, "called", compiling.routine(routine))
    compiling.compiled("void(int64)")(caller)
    chosen = compiling._KERNELS[::-1]
    monkeypatch.setattr(compiling, "kernels", lambda: chosen)
    assert cli.main(["warmup"]) == cli.DONE
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("[1/2] test_warmup.routine ")
    assert first.endswith(" s  compiled")
    assert second.startswith("[2/2] test_warmup.caller ")
    assert second.endswith(" s  compiled")
    assert total.endswith(" s: 2 compiled, 0 from the cache, 0 failed")


def test_one_that_fails_is_named(few, monkeypatch, capsys):
    chosen = compiling.kernels()
    monkeypatch.setattr(chosen[0], "signature", "void(nonsense)")
    monkeypatch.setattr(compiling, "kernels", lambda: chosen)
    assert cli.main(["warmup"]) == cli.NO_KERNEL
    captured = capsys.readouterr()
    assert "[1/2] elementwise.relu " in captured.out
    assert "1 compiled, 0 from the cache, 1 failed" in captured.out
    assert "these kernels cannot be compiled: elementwise.relu" in captured.err
    assert "nonsense" in captured.err


def test_nothing_is_kept(few, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cli.main(["warmup"]) == cli.DONE
    assert "doctor` says why" in capsys.readouterr().err


def test_without_numba(monkeypatch, capsys):
    monkeypatch.setattr(compiling, "usable", lambda: False)
    assert cli.main(["warmup"]) == cli.NO_KERNEL
    message = capsys.readouterr().err
    assert "Numba is not installed" in message
    assert "pip install 'tinygrad-cv[fast]'" in message
