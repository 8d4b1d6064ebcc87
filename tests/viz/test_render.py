from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from tests.viz.handmade import chain, small_net
from tinygrad_cv.errors import ArgumentError, BackendError, DataError
from tinygrad_cv.viz import render
from tinygrad_cv.viz.graph import Graph

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for dot is a shell script")

EMPTY_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><g class="graph"/></svg>'


@pytest.fixture
def path_only(monkeypatch, tmp_path):
    """A PATH with nothing but what the test puts there, and no pygraphviz."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(render.importlib.util, "find_spec", lambda name: None)
    return folder


def stand_in(folder: Path, body: str) -> None:
    """An executable named ``dot`` that runs ``body`` in Python."""
    dot = folder / "dot"
    dot.write_text(f"#!{sys.executable}\nimport sys, time, os\n{body}\n")
    dot.chmod(dot.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("ending", ["svg", "html", "png", "pdf"])
def test_pictures_without_dot_on_the_path(ending, tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [engine.name for engine in render.engines()] == ["pygraphviz"]
    written = Graph(small_net()).render(tmp_path / f"a.{ending}")
    content = written.read_bytes()
    assert content.startswith(
        {"svg": b"<?xml", "html": b"<!doctype html>", "png": b"\x89PNG", "pdf": b"%PDF-"}[ending]
    )
    assert [p.name for p in tmp_path.iterdir()] == [f"a.{ending}"]


@pytest.mark.parametrize("ending", ["dot", "json", "txt"])
def test_texts_need_no_engine(ending, tmp_path, path_only):
    graph = Graph(small_net())
    text = graph.render(tmp_path / f"a.{ending}").read_text(encoding="utf-8")
    assert text == {"dot": graph.to_dot, "json": graph.to_json, "txt": graph.to_text}[ending]()


def test_no_engine_names_both_ways_and_leaves_the_dot_file(tmp_path, path_only):
    target = tmp_path / "a.svg"
    target.write_text("before")
    with pytest.raises(BackendError) as caught:
        Graph(small_net()).render(target)
    text = str(caught.value)
    assert "no Graphviz engine is installed" in text
    assert "pip install 'pygraphviz>=2'" in text
    assert "apt install graphviz" in text
    assert str(tmp_path / "a.dot") in text
    assert (tmp_path / "a.dot").read_text(encoding="utf-8") == Graph(small_net()).to_dot()
    assert target.read_text() == "before"


@posix
def test_dot_on_the_path_comes_first(tmp_path, path_only):
    stand_in(
        path_only,
        "source = sys.stdin.read()\n"
        "assert sys.argv[1:] == ['-Tsvg'] and source.startswith('digraph')\n"
        f"print({EMPTY_SVG!r})",
    )
    assert b"<svg" in Graph(small_net()).render(tmp_path / "a.svg").read_bytes()


@posix
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('syntax error in line 1')", "failed with status 1: syntax error in line 1"),
        ("print('hello')", "did not return SVG"),
        ("print('<svg unfinished')", "did not return an SVG"),
        ("os.kill(os.getpid(), 9)", "failed with status -9"),
    ],
)
def test_a_broken_dot_gives_a_clear_error_and_changes_nothing(body, message, tmp_path, path_only):
    stand_in(path_only, "sys.stdin.read()\n" + body)
    target = tmp_path / "a.svg"
    target.write_text("before")
    with pytest.raises(BackendError, match=message):
        Graph(small_net()).render(target)
    assert target.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dot", "a.svg", "bin"]


def test_without_an_engine_and_without_a_place_for_the_dot_file_both_are_said(tmp_path, path_only):
    (tmp_path / "a.dot").mkdir()
    with pytest.raises(BackendError, match="no Graphviz engine is installed") as caught:
        Graph(small_net()).render(tmp_path / "a.svg")
    assert "The .dot file is not there either: cannot write" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dot", "bin"]


@posix
def test_a_dot_that_cannot_be_started(tmp_path, path_only):
    (path_only / "dot").write_bytes(b"\x7fELF, but not really")
    (path_only / "dot").chmod(0o755)
    with pytest.raises(BackendError, match="dot cannot be started: ") as caught:
        Graph(small_net()).render(tmp_path / "a.svg")
    assert f"The graph is in {tmp_path / 'a.dot'}." in str(caught.value)


@posix
@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_garbage_is_no_picture_of_any_format(ending, tmp_path, path_only):
    stand_in(path_only, "sys.stdin.read()\nprint('<svg/>')")
    target = tmp_path / f"a.{ending}"
    target.write_bytes(b"before")
    with pytest.raises(BackendError, match=f"dot did not return {ending.upper()}: no message"):
        Graph(small_net()).render(target)
    assert target.read_bytes() == b"before"


@posix
def test_the_second_engine_steps_in_for_a_broken_first(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    stand_in(tmp_path, "sys.exit('no plugins')")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [engine.name for engine in render.engines()] == ["dot", "pygraphviz"]
    assert b"<svg" in Graph(small_net()).render(tmp_path / "a.svg").read_bytes()


@posix
def test_a_hanging_engine_is_stopped_with_what_it_started(tmp_path, path_only):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    late = f"pipe = open({str(pipe)!r}, 'w'); time.sleep(5); pipe.write('alive')"
    stand_in(path_only, f"if os.fork() == 0:\n    {late}\nelse:\n    time.sleep(60)")
    with pytest.raises(BackendError, match=r"did not finish within 0\.3 s"):
        Graph(small_net()).render(tmp_path / "a.svg", time_limit=0.3)
    assert (tmp_path / "a.dot").exists()
    os.set_blocking(reader, True)
    with open(reader, encoding="utf-8") as end:  # which comes when nobody holds the other end
        assert end.read() == ""


@posix
def test_a_slow_layout_is_collapsed_further_and_says_so(tmp_path, path_only):
    stand_in(
        path_only,
        "source = sys.stdin.read()\n"
        "if source.count('relu') > 60: time.sleep(60)\n"
        f"print({EMPTY_SVG!r})",
    )
    written = Graph(chain(500)).render(tmp_path / "a.svg", time_limit=1.5)
    assert b"operators in the middle" in written.read_bytes()


@pytest.mark.parametrize("name", ["a.htm", "a.gif", "a", ".svg"])
def test_an_unknown_ending_lists_what_there_is(name, tmp_path):
    with pytest.raises(ArgumentError, match=r"Supported are \.svg, \.html, \.png, \.pdf"):
        Graph(small_net()).render(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot write .*No such file"):
        Graph(small_net()).render(tmp_path / "missing" / "a.dot")


def test_a_path_that_is_a_folder(tmp_path):
    (tmp_path / "a.dot").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        Graph(small_net()).render(tmp_path / "a.dot")
    assert [p.name for p in tmp_path.iterdir()] == ["a.dot"]


@posix
def test_an_existing_file_keeps_its_mode_and_a_link_its_target(tmp_path):
    real = tmp_path / "real.dot"
    real.write_text("before")
    real.chmod(0o640)
    link = tmp_path / "link.dot"
    link.symlink_to(real)
    Graph(small_net()).render(link)
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8").startswith("digraph")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.dot"
    target.write_text("before")

    def full(self, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match="No space left"):
        Graph(small_net()).render(target)
    assert target.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.dot"]


def test_a_stray_pygraphviz_in_the_working_directory_is_not_run(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    (tmp_path / "pygraphviz.py").write_text("raise SystemExit('wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert b"<svg" in render.draw_dot("digraph { a -> b }", "svg")


def test_a_graph_with_nothing_in_it(tmp_path):
    pytest.importorskip("pygraphviz")
    from tinygrad_cv.viz.model import GraphModel

    assert b"0 operators" in Graph(GraphModel()).render(tmp_path / "a.svg").read_bytes()
