from __future__ import annotations

import gc
import os
import re
import stat
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.handmade import chain, small_net
from tinygrad_cv import viz
from tinygrad_cv.errors import ArgumentError, BackendError, DataError
from tinygrad_cv.viz import render
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import Cluster
from tinygrad_cv.viz.svg import finish

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for dot is a shell script")

# What a stand-in for dot prints: a group for each id of the DOT source, and no layout.
PRINT_SVG = """
import re
ids = re.findall(r"\\bid=([necs][0-9]+)", source)
groups = "".join(f'<g id="{key}" class="node"/>' for key in ids)
print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">', groups, '</svg>')
"""


def svg(groups, box="0 0 9 9"):
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">'
    return f'{start}<g class="graph">{groups}</g></svg>'


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
        "assert sys.argv[1:] == ['-Tsvg'] and source.startswith('digraph')\n" + PRINT_SVG,
    )
    assert b"<svg" in Graph(small_net()).render(tmp_path / "a.svg").read_bytes()


@posix
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('syntax error in line 1')", "failed with status 1: syntax error in line 1"),
        ("print('hello')", "did not return SVG"),
        ("print('<svg unfinished')", "did not return an SVG"),
        ("print('<svg><g/></svg>')", "returned <svg>, not <svg>"),
        (
            f"print({svg('')!r})",
            r"lacks (\d+) of \1 nodes, edges and clusters: n0, n1, n2, n3, \.\.\.",
        ),
        (f"print({svg('', 'a b c d')!r})", "the viewBox 'a b c d'"),
        (f"print({svg('', '0 0')!r})", "the viewBox '0 0'"),
        (f"print({svg('', '0 0 nan 1')!r})", "the viewBox '0 0 nan 1'"),
        ("while True: sys.stdout.write('y' * 10**6)", "wrote more than 268 MB and was ended"),
        ("while True: sys.stderr.write('y' * 10**6)", "wrote more than 268 MB and was ended"),
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
        "source = sys.stdin.read()\nif source.count('relu') > 60: time.sleep(60)\n" + PRINT_SVG,
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


# Whole pictures only -----------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "html"])
def test_half_a_picture_is_none(ending, tmp_path, monkeypatch):
    """Cut anywhere, an engine's output is refused, and the next engine draws."""
    pytest.importorskip("pygraphviz")
    model = small_net()
    format = "svg" if ending == "html" else ending
    whole = render.draw_dot(render.to_dot(model), format)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    target = tmp_path / f"a.{ending}"
    expected = Graph(model).render(target).read_bytes()
    for share in (0.2, 0.5, 0.9, 0.999):
        part = tmp_path / "part"
        part.write_bytes(whole[: int(share * len(whole))])
        stand_in(folder, f"sys.stdout.buffer.write(open({str(part)!r}, 'rb').read())")
        target.write_text("before")
        again = Graph(model).render(target).read_bytes()
        assert again == expected or (ending == "pdf" and len(again) == len(expected))  # its date
        with monkeypatch.context() as alone:
            alone.setattr(render.importlib.util, "find_spec", lambda name: None)
            target.write_text("before")
            with pytest.raises(BackendError, match=r"incomplete|did not return an SVG"):
                Graph(model).render(target)
            assert target.read_text() == "before"
            assert (tmp_path / "a.dot").exists()


def test_a_damaged_chunk_of_a_png():
    pytest.importorskip("pygraphviz")
    whole = render.draw_dot("digraph { a -> b }", "png")
    assert render.problem(whole, "png") == ""
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    assert render.problem(damaged, "png") == "returned an incomplete PNG: its chunk IDAT is damaged"


def test_a_cluster_without_nodes_is_not_missed(tmp_path):
    pytest.importorskip("pygraphviz")
    model = small_net()
    empty = Cluster(len(model.clusters), "nothing", "Identity", 0)
    model = replace(model, clusters=(*model.clusters, empty))
    assert b"<svg" in Graph(model).render(tmp_path / "a.svg").read_bytes()


def test_every_edge_cluster_and_stub_is_looked_for():
    pytest.importorskip("pygraphviz")
    model = small_net()
    model = replace(model, edges=(replace(model.edges[0], stub=True), *model.edges[1:]))
    drawn = render.draw_dot(render.to_dot(model), "svg").decode()
    kept = re.findall(r'<g id="([nces]\d+)"', drawn)
    assert {key[0] for key in kept} == set("nces")
    for key in kept:
        with pytest.raises(BackendError, match=f"lacks 1 of {len(kept)} .*: {key}$"):
            finish(drawn.replace(f'<g id="{key}"', '<g id="other"').encode(), model)


def test_a_number_that_is_none_in_an_svg():
    pytest.importorskip("pygraphviz")
    drawn = render.draw_dot(render.to_dot(small_net()), "svg").decode()
    with pytest.raises(BackendError, match=r"an SVG with a wrong number: .*'abc'"):
        finish(re.sub(r' y="[^"]*"', ' y="abc"', drawn).encode(), small_net())


# Time and size ------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("first", ["time.sleep(60)", "pass"])
def test_what_leaves_the_session_does_not_hold_up_the_picture(first, tmp_path, path_only):
    away = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(8)\nelse:\n    " + first
    stand_in(path_only, away)
    begun = time.monotonic()
    with pytest.raises(BackendError, match=r"did not finish within 0\.5 s|did not return SVG"):
        Graph(small_net()).render(tmp_path / "a.svg", time_limit=0.5)
    assert time.monotonic() - begun < 6


@posix
def test_a_hanging_engine_is_not_followed_by_the_next_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    stand_in(tmp_path, "time.sleep(60)")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="pygraphviz was not tried: the time is spent"):
        Graph(small_net()).render(tmp_path / "a.svg", time_limit=0.2)


@pytest.mark.parametrize("seconds", [1e-9, 1e-3])
def test_a_very_short_time_limit_leaves_nothing_open(seconds, tmp_path):
    pytest.importorskip("pygraphviz")
    with pytest.raises(BackendError, match=r"did not finish within (1e-09|0\.001) s"):
        Graph(small_net()).render(tmp_path / "a.svg", time_limit=seconds)
    gc.collect()  # a file or a process that was left would warn now, and warnings are errors


@pytest.mark.parametrize(
    "seconds", [float("inf"), 3e6, 1e300, 10**400, Fraction(50), np.float32(50), np.int64(50)]
)
def test_any_number_of_seconds(seconds, tmp_path):
    pytest.importorskip("pygraphviz")
    Graph(small_net()).render(tmp_path / "a.svg", time_limit=seconds)
    assert "<svg" in Graph(small_net()).to_html(time_limit=seconds)
    with pytest.raises(ArgumentError, match="a number of seconds above 0"):
        Graph(small_net()).to_html(time_limit=-seconds)


@pytest.mark.parametrize("ending", ["svg", "dot", "txt"])
@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 300])
def test_a_name_that_no_file_can_have(name, ending, tmp_path):
    if ending == "svg":
        pytest.importorskip("pygraphviz")
    with pytest.raises(DataError, match="cannot write ") as caught:
        Graph(small_net()).render(tmp_path / f"{name}.{ending}")
    str(caught.value).encode()
    assert list(tmp_path.iterdir()) == []


# How many nodes -----------------------------------------------------------------------------------


def count(path):
    return len(re.findall('class="node', path.read_text(encoding="utf-8")))


def test_the_picture_has_as_many_nodes_as_were_asked_for(tmp_path):
    pytest.importorskip("pygraphviz")

    def deep(x):
        for _ in range(400):
            x = x.sin()
        return x

    x = tg.zeros(3)
    many, usual = viz.draw(deep, x, max_nodes=1000), viz.draw(deep, x)
    assert (len(many.model.nodes), len(usual.model.nodes)) == (402, 227)
    assert count(many.render(tmp_path / "a.svg")) == 402
    assert count(Graph.from_json(many.to_json()).render(tmp_path / "a.svg")) == 402
    assert count(many.render(tmp_path / "a.svg", max_nodes=20)) <= 20
    assert count(usual.render(tmp_path / "a.svg")) == 227
    assert many.to_html().count('class="node') == 402
    assert many._repr_mimebundle_()["text/plain"] == many.to_text()
    for graph in (many, usual, viz.trace(deep, x)):
        assert graph.render(tmp_path / "c.dot").read_text(encoding="utf-8") == graph.to_dot()
    whole = viz.trace(deep, x)
    assert "402 nodes: 176 operators in the middle" in whole.render(tmp_path / "a.svg").read_text()
    assert count(whole.render(tmp_path / "a.svg")) == 227
    assert count(whole.render(tmp_path / "a.svg", max_nodes=500)) == 402
    assert count(whole.limit(1000).limit(300).render(tmp_path / "a.svg")) == 227
    assert (
        count(viz.diff(whole, whole, max_nodes=500, fold=False).render(tmp_path / "a.svg")) == 402
    )


@pytest.mark.parametrize("most", [9, 0, -1, True, "20", 20.0, float("inf")])
def test_a_number_of_nodes_that_is_none(most, tmp_path):
    for take in (
        lambda: Graph(small_net()).render(tmp_path / "a.svg", max_nodes=most),
        lambda: Graph(small_net()).to_html(max_nodes=most),
        lambda: Graph(small_net()).limit(most),
    ):
        with pytest.raises(ArgumentError, match="max_nodes must be an integer, 10 or more, not"):
            take()
    assert list(tmp_path.iterdir()) == []
