"""``tinygrad-cv graph`` has an option for each view of a Graph, which does what its method does."""

from __future__ import annotations

import inspect
import json
import sys

import pytest

import tinygrad_cv as tg
from tinygrad_cv import cli
from tinygrad_cv.cli.views import VIEWS
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.views import Views

MODEL = """
import tinygrad_cv as tg
from tinygrad_cv import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(4)))
        self.pair = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)))
    def forward(self, image):
        y = self.pair(self.body(image))
        return (y * image + y.exp() * image).sum()
"""


@pytest.fixture
def graph(tmp_path, monkeypatch, capsys):
    """A function that runs the command and reads the graph that it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "view_models.py").write_text(MODEL)

    def run(*options: str, code: int = cli.DONE) -> Graph | str:
        arguments = ["graph", "view_models.py:Net", "--input", "1,4", "--backward", *options]
        assert cli.main([*arguments, "--format", "json"]) == code
        out, err = capsys.readouterr()
        return Graph.from_json(out) if code == cli.DONE else err

    yield run
    sys.modules.pop("view_models", None)


@pytest.fixture
def whole(graph) -> Graph:
    return graph("--full")


def test_every_view_has_an_option():
    """Each transform of a Graph, but for those that --full leaves out and --max-nodes sets."""
    methods = {
        name
        for face in (Graph, Views)
        for name, method in vars(face).items()
        if inspect.isfunction(method) and name[0] != "_" and not name.startswith(("to_", "render"))
    }
    simplified = {"simplify", "fold_parameters", "fold_constants", "fold_saved", "inline_calls"}
    flags = {view.flag.removeprefix("--") for view in VIEWS}
    assert flags - {"radius"} == methods - simplified - {"limit"}


def test_the_help_names_them(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["graph", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for view in VIEWS:
        assert view.flag in text
        assert view.parameters["help"] in text
    assert "--no-repeat" in text


def folded(graph: Graph) -> Graph:
    return graph.fold_parameters().fold_constants().fold_saved()


CASES = {
    "--color order": lambda g: g.simplify().color("order"),
    "--color operator": lambda g: g.simplify().color("operator"),
    "--focus pair.0 --radius 1": lambda g: folded(g).focus("pair.0", 1).simplify(),
    "--focus exp": lambda g: folded(g).focus("exp").simplify(),
    "--path exp output": lambda g: folded(g).path("exp", "output").simplify(),
    "--only backward": lambda g: g.only("backward").simplify(),
    "--depth 1": lambda g: g.depth(1).simplify(),
    "--depth 1 --expand pair": lambda g: g.depth(1).simplify().expand("pair"),
    "--depth 1 --expand pair --expand body.1": lambda g: (
        g.depth(1).simplify().expand("pair").expand("body.1")
    ),
    "--collapse body --collapse pair.1": lambda g: g.collapse("body").collapse("pair.1").simplify(),
    "--full --repeat": lambda g: g.repeat(),
    "--no-repeat": lambda g: g.simplify().repeat(False),
    "--stubs 1": lambda g: g.simplify().stubs(1),
    "--full --stubs 2": lambda g: g.stubs(2),
    "--explain": lambda g: g.simplify().explain(),
    "--overlay flops": lambda g: g.simplify().overlay("flops"),
}


@pytest.mark.parametrize("options", CASES)
def test_an_option_is_what_its_method_is(options, graph, whole):
    expected = CASES[options](whole).model
    found = graph(*options.split()).model
    assert json.loads(found.to_json()) == json.loads(expected.to_json())
    if options != "--no-repeat":  # each changes something
        assert found != graph().model


def test_repeats_can_be_folded_more_or_not_at_all(graph):
    def rows(*options):
        return [c.repeats for c in graph("--only", "forward", *options).model.clusters]

    assert sorted(rows())[-2:] == [2, 4]
    assert sorted(rows("--full", "--repeat"))[-2:] == [2, 4]
    assert set(rows("--full")) == {1}
    assert set(rows("--no-repeat")) == {1}


def test_a_node_by_its_number(graph, whole):
    number = next(n.id for n in whole.model.nodes if n.name == "exp")
    assert graph("--focus", str(number), "--radius", "0").model.nodes[0].name == "exp"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--color rainbow", "no colour scheme 'rainbow'"),
        ("--focus expp", "no node matches 'expp'"),
        ("--focus 99999", "no node 99999"),
        ("--focus exp --radius -1", "0 or more, not -1"),
        ("--path output exp", "exchange them"),
        ("--expand boody", "no module call matches 'boody'"),
        ("--stubs 0", "1 or more, not 0"),
        ("--max-nodes 3", "an integer, 10 or more"),
    ],
)
def test_what_does_not_fit_is_said(options, message, graph):
    assert message in graph(*options.split(), code=cli.WRONG_COMMAND)


@pytest.mark.parametrize(
    "options", ["--color dtype --overlay flops", "--color dtype --diff a.py:b", "--path exp"]
)
def test_what_does_not_go_together(options, graph, capsys):
    with pytest.raises(SystemExit, match="2"):
        graph(*options.split())
    assert "not allowed with" in (said := capsys.readouterr().err) or "expected 2" in said


def test_a_diff_can_be_seen_in_part(tmp_path, graph, capsys):
    more = MODEL.replace("nn.Tanh()", "nn.ReLU()")
    (tmp_path / "other_models.py").write_text(more)
    arguments = ["graph", "view_models.py:Net", "--diff", "other_models.py:Net", "--input", "1,4"]
    assert cli.main([*arguments, "--focus", "pair.1", "--radius", "0", "--format", "json"]) == 0
    shown = Graph.from_json(capsys.readouterr().out).model
    assert {n.name for n in shown.nodes} == {"linear", "tanh", "relu"}
    assert isinstance(tg.viz.trace(lambda x: x.exp(), tg.zeros(1)), Graph)
