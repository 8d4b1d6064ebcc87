"""Exit code 1: the picture has what ran."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tinygrad_cv import cli

MODEL = """
import tinygrad_cv as tg
from tinygrad_cv import nn

net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())

def difference(a, b):
    return a - b

def loss():
    return net(tg.zeros(1, 1, 5, 5)).mean()

def broken():
    raise RuntimeError("boom")

def half():
    net(tg.zeros(1, 1, 5, 5))
    raise RuntimeError("half")

def picky(image):
    hidden = image.exp()
    raise ValueError(f"not {hidden.shape}")

def valued(image):
    return image * image.sum().item()  # which a plan of the memory, without data, cannot have

def plain():
    with tg.no_grad():
        return loss()

def refused():
    return net(tg.zeros(1, 2, 5, 5))
"""


@pytest.fixture
def model(write_models):
    """The path of a file with models that fail, in the working directory."""
    return write_models("failing_models", MODEL)


@pytest.mark.parametrize(
    ("target", "more", "message", "drawn"),
    [
        ("picky", ["--input", "3"], "ValueError: not (3,)\n  at ", "exp ValueError"),
        ("picky", ["--input", "3", "--backward"], "ValueError: not (3,)\n  at ", "exp ValueError"),
        ("picky", ["--input", "3", "--overlay", "time"], "not (3,)\n  at ", "exp ValueError"),
        ("picky", ["--input", "3", "--overlay", "mean"], "not (3,)\n  at ", "exp ValueError"),
        ("net", ["--input", "1,2,5,5"], "ShapeError: conv2d: ", "conv"),
        ("half", [], "RuntimeError: half\n  at ", "conv relu RuntimeError"),
        ("refused", ["--backward"], "ShapeError: conv2d: ", "conv"),
        ("plain", [], "GraphError: graph: this tensor has no graph", "conv relu mean"),
        ("plain", ["--backward"], "this tensor has no graph", "conv relu mean"),
        (
            "difference",
            ["--input", "3", "--input", "3", "--backward"],
            "there is no backward",
            "sub",
        ),
        ("valued", ["--input", "3", "--overlay", "peak_bytes"], "GraphError: item: ", "sum mul"),
    ],
)
def test_code_1_has_drawn_what_ran(target, more, message, drawn, model, tmp_path, capsys):
    arguments = ["graph", f"{model}:{target}", *more, "-o", "a.json"]
    assert cli.main(arguments) == cli.WRONG_MODEL
    assert message in capsys.readouterr().err
    graph = tg.viz.Graph.from_json((tmp_path / "a.json").read_text())
    operators = [node for node in graph.model.nodes if node.kind == "op"]
    assert " ".join(node.name for node in operators) == drawn
    assert {node.phase for node in operators} == {"forward"}
    red = [bool(node.error) for node in operators]
    assert red == [False] * (len(red) - 1) + [bool(graph.error)]
    with pytest.raises(cli._Refused) as caught:
        cli.main(["--traceback", *arguments])
    assert type(caught.value.__cause__).__name__ in str(caught.value)
    assert caught.value.__cause__.__traceback__ is not None


def test_code_1_without_any_operator_has_drawn_nothing(model, tmp_path, capsys):
    assert cli.main(["graph", f"{model}:broken", "-o", "a.json"]) == cli.WRONG_MODEL
    arguments = ["graph", f"{model}:difference", "--input", "3", "-o", "a.json"]
    assert cli.main(arguments) == cli.WRONG_MODEL
    assert "missing" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
