from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_cv as tg
from tests.viz.viewing import told
from tinygrad_cv import cli
from tinygrad_cv.cli.operators import described
from tinygrad_cv.cli.operators import names as described_names
from tinygrad_cv.cli.overlaid import overlaid
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.viz.table import TABLE

MODEL = """
import tinygrad_cv as tg
from tinygrad_cv import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    def forward(self, image):
        return self.body(image).mean()

class Sized(nn.Module):
    def __init__(self, size):
        super().__init__()

net = Net()
number = 3

def make():
    return Net()

def loss():
    return Net()(tg.zeros(1, 1, 5, 5))

def difference(a, b):
    return a - b

def broken():
    raise RuntimeError("boom")
"""


@pytest.fixture
def model(write_models):
    """The path of a file with models, in the working directory."""
    return write_models("some_models", MODEL)


@pytest.mark.parametrize("name", ["net", "Net", "make"])
def test_a_module_a_class_and_a_factory(name, model, capsys):
    assert cli.main(["graph", f"{model}:{name}", "--input", "1,1,5,5"]) == cli.DONE
    out = capsys.readouterr().out
    assert out.startswith("Net: 3 operators, 20 parameters\n")
    assert "input image   1×1×5×5 float32" in out


def test_a_module_by_its_dotted_name(model, capsys):
    assert cli.main(["graph", "some_models:net", "--input", "1,1,5,5"]) == cli.DONE
    assert "body.0 : Conv2d" in capsys.readouterr().out


def test_a_function_that_makes_a_loss(model, capsys):
    assert cli.main(["graph", f"{model}:loss", "--backward", "--title", "mine"]) == cli.DONE
    out = capsys.readouterr().out
    assert out.startswith("mine: 3 operators, 3 backward")
    assert "mean backward" in out


def test_inputs_of_any_dtype_and_shape(model, capsys):
    arguments = ["graph", f"{model}:difference", "--input", "2,3:int64", "--input", "()"]
    assert cli.main(arguments) == cli.DONE
    out = capsys.readouterr().out
    assert "input a   2×3 int64" in out
    assert "input b   scalar float32" in out


@pytest.mark.parametrize("ending", ["svg", "html", "png", "pdf", "dot", "json", "txt"])
def test_every_format(ending, model, tmp_path, capsys):
    if ending in ("svg", "html", "png", "pdf"):
        pytest.importorskip("pygraphviz")
    arguments = ["graph", f"{model}:net", "--input", "1,1,5,5", "-o", f"a.{ending}"]
    assert cli.main(arguments) == cli.DONE
    assert capsys.readouterr().out == f"a.{ending}\n"
    assert (tmp_path / f"a.{ending}").stat().st_size > 100


@pytest.mark.parametrize(("format", "start"), [("dot", "digraph"), ("json", "{"), ("text", "Net:")])
def test_printed_formats(format, start, model, capsys):
    assert cli.main(["graph", f"{model}:net", "--input", "1,1,5,5", "--format", format]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_depth_and_full(model, capsys):
    base = ["graph", f"{model}:net", "--input", "1,1,5,5"]
    cli.main([*base, "--depth", "1"])
    assert "body : Sequential" in capsys.readouterr().out
    cli.main([*base, "--full"])
    assert "parameter body.0.weight" in capsys.readouterr().out


def test_meta_needs_no_memory(model, capsys):
    huge = ["graph", f"{model}:Net", "--input", "1000,1,9000,9000", "--device", "meta"]
    assert cli.main(huge) == cli.DONE
    assert "1000×2×8998×8998" in capsys.readouterr().out


def test_a_failing_model_is_drawn_as_far_as_it_ran(model, tmp_path, capsys):
    pytest.importorskip("pygraphviz")
    arguments = ["graph", f"{model}:net", "--input", "1,1,2,2", "-o", "a.svg"]
    assert cli.main(arguments) == cli.WRONG_MODEL
    message = capsys.readouterr().err
    assert "ShapeError" in message
    assert "Any of these fits" in message  # the way out
    assert "(Conv2d)" in message  # and the place
    assert "failed" in (tmp_path / "a.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("target", "more", "code", "message"),
    [
        ("net", [], cli.WRONG_COMMAND, "add --input"),
        ("number", [], cli.WRONG_COMMAND, "neither a model"),
        ("missing", [], cli.WRONG_COMMAND, "has no attribute 'missing'"),
        ("Nett", [], cli.WRONG_COMMAND, "near it: Net"),
        ("broken", [], cli.WRONG_MODEL, "RuntimeError: boom"),
        ("Sized", [], cli.WRONG_COMMAND, "def model(): return Sized(...)` in a file"),
        ("Sized", [], cli.WRONG_COMMAND, "missing a required argument: 'size'"),
        ("net", ["--input", "1", "--input", "1"], cli.WRONG_MODEL, "Give --input once for each"),
        ("net", ["--input", "1,1,5,5:banana"], cli.WRONG_COMMAND, "'banana'"),
        ("net", ["--input", "1,1,5,5", "--depth", "-1"], cli.WRONG_COMMAND, "0 or more"),
        ("net", ["--input", "1,1,5,5", "-o", "a.gif"], cli.WRONG_COMMAND, "Supported are"),
        ("net", ["--input", "1,1,5,5", "-o", "no/a.dot"], cli.NO_FILE, "cannot write"),
        ("net", ["--input", "1,1,5,5", "--device", "tpu"], cli.WRONG_COMMAND, "tpu"),
    ],
)
def test_errors_are_one_message_and_a_code(target, more, code, message, model, capsys):
    assert cli.main(["graph", f"{model}:{target}", *more]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("tinygrad-cv: ")
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("target", ["no_colon", "no_such_module:x", "no_such_file.py:x", ":x"])
def test_a_target_that_cannot_be_loaded(target, capsys):
    assert cli.main(["graph", target]) == cli.WRONG_COMMAND
    assert target.split(":")[0] in capsys.readouterr().err


def test_no_engine(model, tmp_path, monkeypatch, capsys):
    from tinygrad_cv.viz import render

    monkeypatch.setattr(render, "engines", list)
    arguments = ["graph", f"{model}:net", "--input", "1,1,5,5", "-o", "a.svg"]
    assert cli.main(arguments) == cli.NO_ENGINE
    assert "no Graphviz engine is installed" in capsys.readouterr().err
    assert (tmp_path / "a.dot").exists()


@pytest.mark.parametrize("shape", ["a,b", "1,-2", "1.5"])
def test_a_shape_that_is_none(shape, model, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["graph", f"{model}:net", "--input", shape])
    assert repr(shape)[1:-1] in capsys.readouterr().err


def test_the_traceback_can_be_seen(model):
    with pytest.raises(cli._Refused, match="boom"):
        cli.main(["--traceback", "graph", f"{model}:broken"])


def test_ops_lists_every_operator(capsys):
    assert cli.main(["ops"]) == cli.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(REGISTRY)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operator_can_be_explained(name, capsys):
    assert cli.main(["ops", name]) == cli.DONE
    out = capsys.readouterr().out
    assert out.startswith(f"{name}(")
    for given in REGISTRY[name].rules:
        assert f"gradient of {given}:" in out


def test_ops_of_one_operator(capsys):
    cli.main(["ops", "mul"])
    out = capsys.readouterr().out
    assert out.startswith("mul(input, other) -> output\n")
    assert "saves: other, input" in out


@pytest.mark.parametrize(
    ("name", "first", "more"),
    [
        ("conv2d", "F.conv2d(input, weight, bias=None, stride=1, ", "operators: conv, reshape"),
        ("F.dice_loss", "F.dice_loss(input, target, smooth=1.0, ", "the overlap of two masks"),
        ("tg.cat", "cat(*tensors; dim) -> output", "call: tg.cat(tensors, dim=0"),
        ("nn.BatchNorm3d", "nn.BatchNorm3d(num_features, eps=1e-05, ", "as `BatchNorm1d`."),
        # an operator's order of inputs may be another than that of its function
        (
            "deform_conv2d",
            "deform_conv2d(input, offset, mask, weight",
            "F.deform_conv2d(input, off",
        ),
    ],
)
def test_functions_and_layers_can_be_explained_too(name, first, more, capsys):
    assert cli.main(["ops", name]) == cli.DONE
    out = capsys.readouterr().out
    assert out.startswith(first)
    assert more in out


def test_whatever_is_public_can_be_explained():
    for name in described_names():
        assert described(name), name


def test_an_unknown_operator_gets_suggestions(capsys):
    assert cli.main(["ops", "conv2"]) == cli.WRONG_COMMAND
    assert "near it: conv" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"tinygrad-cv {tg.__version__}\n"


def test_a_closed_pipe_is_no_error():
    code = "from tinygrad_cv.cli import main; import sys; sys.exit(main(['ops']))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0


def test_the_tool_is_the_same_command(model):
    tool = Path(__file__).parents[2] / "tools" / "render_graph.py"
    done = subprocess.run(
        [sys.executable, tool, "some_models:net", "--input", "1,1,5,5"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert done.stdout.decode().startswith("Net: 3 operators")


@pytest.mark.parametrize(("name", "near"), [("convolution", "conv"), ("softmx", "softmax")])
def test_an_operator_by_a_longer_or_misspelt_name(name, near, capsys):
    assert cli.main(["ops", name]) == cli.WRONG_COMMAND
    assert f"near it: {near}" in capsys.readouterr().err


def test_two_models_and_what_differs(model, tmp_path, capsys):
    (tmp_path / "some_models.py").write_text(
        MODEL + "\nclass Wide(Net):\n    def __init__(self):\n        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh())\n"
    )
    arguments = ["graph", f"{model}:Net", "--diff", f"{model}:Wide", "--input", "1,1,5,5"]
    assert cli.main([*arguments, "--title", "wider"]) == cli.DONE
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "wider: 1 added, 1 removed, 1 changed, 3 the same"
    assert "~ body.0 : conv k3 s1: weight 2×1×3×3 → 4×1×3×3; bias 2 → 4" in out[1]
    assert "− body.1 : relu   → 1×2×3×3 float32" in out
    assert "+ body.1 : tanh   → 1×4×3×3 float32" in out
    assert cli.main([*arguments, "--format", "dot", "--full", "--explain"]) == cli.DONE
    out = capsys.readouterr().out
    assert "+ tanh" in out
    assert "g is 1×4×3×3" in out
    assert cli.main([*arguments, "--explain"]) == cli.DONE
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith(": 1 added, 1 removed, 1 changed, 3 the same")
    assert "− body.1 : relu   → 1×2×3×3 float32" in out
    assert cli.main([*arguments, "--depth", "1"]) == cli.DONE
    out = capsys.readouterr().out
    assert "1 changed" in out
    assert "body : Sequential" in out


def test_the_diff_of_a_model_with_itself_is_empty(model, capsys):
    arguments = ["graph", f"{model}:Net", "--diff", f"{model}:Net", "--input", "1,1,5,5"]
    assert cli.main(arguments) == cli.DONE
    assert capsys.readouterr().out == "Net: no difference, 5 nodes\n"


@pytest.mark.parametrize("target", ["net", "loss"])
def test_colours_by_time_run_a_profile(target, model, tmp_path, capsys):
    inputs = [] if target == "loss" else ["--input", "1,1,5,5"]
    arguments = ["graph", f"{model}:{target}", *inputs, "--overlay", "time", "--backward"]
    assert cli.main([*arguments, "-o", "a.json"]) == cli.DONE
    graph = tg.viz.Graph.from_json((tmp_path / "a.json").read_text())
    operators = [node for node in graph.model.nodes if node.kind == "op"]
    assert {node.phase for node in operators} == {"forward", "backward"}
    assert all(node.facts["overlay"]["value"] > 0 for node in operators)
    assert told(graph).startswith("colour: time, ")
    if target == "net":
        assert "image" in [node.name for node in graph.model.nodes]


def test_colours_by_what_is_known_without_a_profile(model, capsys):
    base = ["graph", f"{model}:net", "--input", "1,1,5,5", "--overlay"]
    assert cli.main([*base, "flops"]) == cli.DONE
    assert "colour: flops, " in capsys.readouterr().out
    assert cli.main([*base, "beauty"]) == cli.WRONG_COMMAND
    message = capsys.readouterr().err
    assert "there is no overlay 'beauty'" in message
    assert "'saved_bytes'" in message


def test_a_model_that_fails_under_its_profile_is_drawn_as_far_as_it_ran(model, capsys):
    arguments = ["graph", f"{model}:net", "--input", "1,1,2,2", "--overlay", "time"]
    assert cli.main(arguments) == cli.WRONG_MODEL
    captured = capsys.readouterr()
    assert "Any of these fits" in captured.err
    assert "failed: " in captured.out


def test_collapse_by_glob(model, capsys):
    base = ["graph", f"{model}:net", "--input", "1,1,5,5", "--collapse"]
    assert cli.main([*base, "b*y"]) == cli.DONE
    out = capsys.readouterr().out
    assert "#1 body : Sequential <- " in out
    assert "2 operators" in out
    assert " relu" not in out
    assert cli.main([*base, "layer*"]) == cli.WRONG_COMMAND
    message = capsys.readouterr().err
    assert "no module call matches 'layer*'" in message
    assert "Paths in this graph: body, body.0, body.1" in message


def test_explain(model, capsys):
    base = ["graph", f"{model}:net", "--input", "1,1,5,5", "--explain"]
    assert cli.main(base) == cli.DONE
    out = capsys.readouterr().out
    assert "db[o] = sum_{n,p} g[n,o,p]" in out
    assert "w = weight 2×1×3×3" in out
    assert cli.main([*base, "--depth", "0"]) == cli.WRONG_COMMAND
    assert "no operator of this graph has an equation" in capsys.readouterr().err


@pytest.mark.parametrize("name", TABLE)
def test_an_overlay_of_a_diff_colours_by_the_difference(name, model, tmp_path, capsys):
    base = ["graph", f"{model}:net", "--diff", f"{model}:net", "--input", "1,1,5,5"]
    code = cli.main([*base, "--overlay", name, "-o", "a.json"])
    assert code == cli.DONE, capsys.readouterr().err
    graph = tg.viz.Graph.from_json((tmp_path / "a.json").read_text())
    assert told(graph).startswith(f"colour: difference in {name.replace('_', ' ')}")
    facts = [n.facts["overlay"] for n in graph.model.nodes if "overlay" in n.facts]
    both = [fact for fact in facts if "before" in fact and "after" in fact]
    assert both
    for fact in both:
        if fact["before"] is not None and fact["after"] is not None:
            assert fact["value"] == fact["after"] - fact["before"]


def test_an_overlay_that_a_diff_cannot_have(model, capsys):
    base = ["graph", f"{model}:net", "--diff", f"{model}:net", "--input", "1,1,5,5"]
    assert cli.main([*base, "--overlay", "beauty"]) == cli.WRONG_COMMAND
    assert "there is no overlay 'beauty'" in capsys.readouterr().err


def test_exit_codes_are_documented(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["graph", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    codes = (cli.DONE, cli.WRONG_MODEL, cli.WRONG_COMMAND, cli.NO_ENGINE, cli.NO_FILE)
    assert codes == (0, 1, 2, 3, 4)
    words = ("done", "the model or its input is wrong (graph has drawn the operators that ran",
             "the command line is wrong",
             "no Graphviz engine could draw", "the file could not be written")  # fmt: skip
    for code, word in zip(codes, words, strict=True):
        assert f"{code} {word}" in text


def test_a_profiled_model_runs_once_before():
    calls = []

    def model(image):
        calls.append(image)
        return {"two": [image.exp(), image.sin()]}

    image = tg.ones(3, requires_grad=True)
    graph = overlaid(model, [image], "time", backward=True, title="mine")
    assert len(calls) == 2
    assert graph.model.title == "mine"
    kinds = [(n.name, n.kind) for n in graph.model.nodes if n.phase == "forward"]
    assert kinds[0] == ("image", "input")
    assert [name for name, kind in kinds if kind == "op"] == ["exp", "sin"]
    for node in graph.model.nodes:
        if node.kind == "op":
            assert node.facts["measured"]["time"][node.phase] > 0


@pytest.mark.parametrize("target", ["net", "loss"])
@pytest.mark.parametrize(
    "name",
    [
        "parameters",
        "output_bytes",
        "saved_bytes",
        "weight_norm",
        "grad_norm",
        "mean",
        "std",
        "zeros",
        "nonfinite",
        "peak_bytes",
    ],
)
def test_every_overlay_gets_the_numbers_that_it_needs(name, target, model, tmp_path, capsys):
    inputs = [] if target == "loss" else ["--input", "1,1,5,5"]
    arguments = ["graph", f"{model}:{target}", *inputs, "--overlay", name, "-o", "a.json"]
    assert cli.main(arguments) == cli.DONE, capsys.readouterr().err
    graph = tg.viz.Graph.from_json((tmp_path / "a.json").read_text())
    shown = [n.facts["overlay"]["value"] for n in graph.model.nodes if "overlay" in n.facts]
    assert any(value is not None for value in shown)
    assert told(graph).startswith(f"colour: {name.replace('_', ' ')}")


def test_an_overlay_that_a_model_cannot_have_says_why(model, tmp_path, capsys):
    arguments = ["graph", f"{model}:difference", "--input", "3", "--input", "3"]
    assert cli.main([*arguments, "--overlay", "grad_norm"]) == cli.WRONG_COMMAND
    assert "no operator of this graph has a value of grad_norm" in capsys.readouterr().err
    assert cli.main([*arguments, "--overlay", "time", "--backward"]) == cli.WRONG_MODEL
    assert "there is no backward: no output requires a gradient" in capsys.readouterr().err
    assert cli.main([*arguments, "--overlay", "weight_norm"]) == cli.WRONG_COMMAND
    assert "no operator of this graph has a value of weight_norm" in capsys.readouterr().err
