"""The README says what is true: its Python runs, its pictures are there."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tinygrad_cv as tg
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.op import unregister

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", PYTHON, ids=[f"block{n}" for n in range(len(PYTHON))])
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    finally:
        unregister("swish")
        kernels.unregister("swish", "mine")


def test_the_first_block_is_the_example_of_that_name():
    source = (ROOT / "examples" / "first_graph.py").read_text()
    assert source.endswith(PYTHON[0])


def test_the_first_example_explains_itself_and_does_not_run(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "first_graph.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "picture" in done.stdout
    assert list(tmp_path.iterdir()) == []


def words(picture):
    """The texts that are drawn in an SVG; their places differ by the version of Graphviz."""
    root = ElementTree.parse(picture).getroot()
    texts = (t.text for t in root.iter("{http://www.w3.org/2000/svg}text"))
    return sorted(text.strip(" \N{NO-BREAK SPACE}") for text in texts if text)


def test_the_first_picture_is_what_its_block_draws(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.chdir(tmp_path)
    exec(compile(PYTHON[0], "README.md", "exec"), {"__name__": "readme"})
    drawn, kept = tmp_path / "first_graph.svg", ROOT / "examples" / "first_graph.svg"
    assert words(kept) == words(drawn), "run examples/first_graph.py in its folder"


def test_the_picture_of_the_digits_is_what_their_script_draws(tmp_path):
    pytest.importorskip("pygraphviz")
    spec = spec_from_file_location("train_digits", ROOT / "examples" / "train_digits.py")
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    model = script.DigitNet((8, 8))
    images, labels = tg.zeros(32, 1, 8, 8), tg.zeros(32, dtype="int64")
    drawn = tg.nn.functional.cross_entropy(model(images), labels).graph()
    kept = ROOT / "examples" / "digits_loss.svg"
    hint = "run examples/train_digits.py and keep its out/loss.svg"
    assert words(kept) == words(drawn.render(tmp_path / "loss.svg")), hint


def test_links_and_pictures_exist():
    places = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(places) >= 2
    for place in places:
        assert (ROOT / place).exists()
        if place.endswith(".svg"):
            assert ElementTree.parse(ROOT / place).getroot().tag.endswith("svg")


def test_the_first_two_commands_are_complete_by_themselves():
    first, second = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[:2]
    for block in (first, second):
        assert block.startswith("python3 -m venv .venv\n.venv/bin/pip install")
    assert first.endswith(".venv/bin/python examples/train_digits.py\n")
    assert second.endswith(".venv/bin/python -m pytest -n auto\n")


@pytest.fixture(scope="module")
def gallery():
    """examples/draw_graphs.py as a module."""
    spec = spec_from_file_location("draw_graphs", ROOT / "examples" / "draw_graphs.py")
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_gallery_is_what_its_script_draws(gallery):
    for draw in gallery.GRAPHS:
        tg.manual_seed(0)
        graph, hint = draw(), f"run examples/draw_graphs.py {draw.__name__}"
        kept = gallery.FOLDER / draw.__name__
        if isinstance(graph, str):
            assert kept.with_suffix(".svg").read_text(encoding="utf-8") == graph + "\n", hint
        else:
            assert kept.with_suffix(".dot").read_text(encoding="utf-8") == graph.to_dot(), hint
            svg = ElementTree.parse(kept.with_suffix(".svg")).getroot()
            drawn, groups = tg.viz.transforms.limit(graph.model), list(svg.iter())
            shown = [g.get("data-id") for g in groups if "data-id" in g.attrib]
            assert sorted(shown) == sorted(str(node.id) for node in drawn.nodes), hint
            stubs = [g.get("data-source") for g in groups if "stub" in g.get("class", "").split()]
            assert sorted(stubs) == sorted(str(e.source) for e in drawn.edges if e.stub), hint


def test_the_page_of_the_gallery_shows_all_of_it(gallery):
    text = (gallery.FOLDER / "README.md").read_text(encoding="utf-8")
    assert text == gallery.page()
    kept = {path.stem for path in gallery.FOLDER.glob("*.svg")}
    assert kept == {draw.__name__ for draw in gallery.GRAPHS}
    assert set(re.findall(r"\]\((\w+)\.svg\)", text)) == kept


def test_the_kept_times_are_of_the_graph_of_today(gallery):
    today, kept = gallery.measured().model, gallery.profile().model
    for node, old in zip(today.nodes, kept.nodes, strict=True):
        assert (node.name, node.attributes, node.outputs) == (old.name, old.attributes, old.outputs)
    assert today.edges == kept.edges
    assert sum(note.startswith("measured on ") for note in kept.notes) == 1


@pytest.mark.parametrize("word", ["--quick", "no_such_graph"])
def test_an_unknown_graph_is_refused_not_left_out(word):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "draw_graphs.py", word],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert word in done.stderr
