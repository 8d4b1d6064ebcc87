"""The line on a terminal while kernels are compiled."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from tinygrad_cv.backend.cpu import compiling


class Terminal(io.StringIO):
    """Standard error; ``lines`` is what could be read, one after the other, on its last line."""

    def __init__(self, terminal=True):
        super().__init__()
        self.terminal, self.lines = terminal, [""]

    def isatty(self):
        return self.terminal

    def write(self, text):
        for part in text.split("\r")[1:]:  # a carriage return leaves the rest of the line there
            self.lines.append(part + self.lines[-1][len(part) :])
        return super().write(text)

    def read_lines(self):
        seen = [line.rstrip() for line in self.lines]
        return [line for k, line in enumerate(seen) if k == 0 or line != seen[k - 1]]


def _double(x):
    x[0] = 2 * x[0]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Compile a kernel, and run it; the lines that a terminal of some width shows."""
    monkeypatch.setattr(compiling, "_made", 0)
    monkeypatch.setattr(compiling, "_spent", 0.0)
    monkeypatch.setattr(compiling, "_told", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(terminal, columns=100):
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("COLUMNS", str(columns))
        x = np.ones(1)
        compiling.compiled("void(float64[::1])")(_double)(x)
        assert x[0] == 2

    return run


def test_a_line_says_what_is_compiled_and_leaves_nothing(run, monkeypatch):
    monkeypatch.setattr(compiling, "_made", 7)
    terminal = Terminal()
    terminal.write(f"\r  0%|{' ' * 70}| 0/10 [00:00<?, ?it/s]")
    run(terminal)
    bar, *lines = terminal.read_lines()[1:]
    what = "tinygrad_cv: compiling test_cpu_progress._double (the first time only; kernels done: 7)"
    assert bar.endswith("it/s]")
    assert len(bar) > len(what)
    assert lines == [what, ""]
    assert compiling._made == 8


def test_what_is_found_on_disk_is_not_shown(run):
    run(Terminal())
    terminal = Terminal()
    run(terminal)
    assert terminal.getvalue() == ""
    assert compiling._made == 1


def test_a_narrow_terminal_keeps_to_its_line(run):
    terminal = Terminal()
    run(terminal, columns=30)
    assert max(map(len, terminal.lines)) == 29


def test_what_is_no_terminal_is_shown_nothing(run, tmp_path):
    terminal = Terminal(terminal=False)
    run(terminal)
    assert terminal.getvalue() == ""
    compiling.cache.clear(tmp_path)
    run(None)


def test_a_long_pause_is_told_of_once_where_no_terminal_shows_it(
    run, monkeypatch, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "tinygrad_cv")

    def logged(terminal):
        caplog.clear()
        run(terminal)
        compiling.cache.clear(tmp_path)
        return [(r.levelname, r.getMessage()) for r in caplog.records]

    info = ("INFO", "compiling test_cpu_progress._double")
    assert logged(Terminal(terminal=False)) == [info]  # so far it was short
    assert compiling._spent > 0
    monkeypatch.setattr(compiling, "_spent", 61.2)
    assert logged(Terminal()) == [info]
    first, (level, text) = logged(Terminal(terminal=False))
    assert (first, level) == (info, "WARNING")
    assert text.startswith("tinygrad_cv: compiling kernels for the CPU, for 61 s so far; later")
    assert text.endswith(str(compiling.cache.place("x").parent))
    assert logged(Terminal(terminal=False)) == [info]
    monkeypatch.setattr(compiling, "_told", False)
    monkeypatch.setattr(compiling.cache, "place", lambda name: None)
    assert "cannot be kept" in logged(None)[1][1]


def test_a_program_without_logging_prints_that_line_and_one_with_it_decides():
    program = """if True:
        import logging, sys
        from tinygrad_cv.backend.cpu import compiling
        compiling._spent = 5.0
        if len(sys.argv) > 1:
            logging.getLogger("tinygrad_cv").setLevel(logging.ERROR)
        compiling._log("a", None)
        compiling._log("b", None)
    """

    def printed(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (0, "")
        return done.stderr

    line = "tinygrad_cv: compiling kernels for the CPU, for 5 s so far; they cannot be kept, "
    assert printed() == line + "`tinygrad-cv doctor` says why\n"
    assert printed("quiet") == ""
