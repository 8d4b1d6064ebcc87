"""The command line where nothing can be printed, where a terminal lacks characters, where a module
ends the program; and the inputs that it makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import cli
from tinygrad_cv.cli.inputs import made
from tinygrad_cv.viz import render

posix = pytest.mark.skipif(os.name != "posix", reason="file descriptors of a shell")

MODELS = """
import sys
import tinygrad_cv as tg
from tinygrad_cv import nn

class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    def forward(self, x):
        return self.body(x)

def doubled(x):
    return x * 2

def many(x):
    for _ in range(350):
        x = x.sin()
    return x

def leaves():
    sys.exit("gone")

def stopped(x):
    raise KeyboardInterrupt

def on_meta():
    return (tg.ones(3, device="meta", requires_grad=True) * 2).sum()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(9)\n")
    yield tmp_path
    sys.modules.pop("my_models", None)


def shell(line, **environment):
    """A command of a shell, in which $TG is the command line."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "TG": f"{sys.executable} -m tinygrad_cv.cli"}
    done = subprocess.run(["sh", "-c", line], capture_output=True, env={**env, **environment})
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr.decode()


GRAPH = "$TG graph my_models.py:doubled --input 2,3"


@posix
def test_a_closed_standard_output(folder):
    code, _, said = shell(f"{GRAPH} >&-")
    assert (code, said) == (
        cli.NO_FILE,
        "tinygrad-cv: the standard output is closed; -o FILE writes to a file\n",
    )
    assert shell(f"{GRAPH} -o a.dot >&-") == (cli.DONE, b"", "")
    assert (folder / "a.dot").read_text(encoding="utf-8").startswith("digraph")
    assert shell("$TG graph nothing:x 2>&-") == (cli.WRONG_COMMAND, b"", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("command", [GRAPH, "$TG ops", f"{GRAPH} -o a.json"])
def test_a_full_disk_behind_the_standard_output(command, folder):
    code, _, said = shell(f"{command} > /dev/full")
    assert code == cli.NO_FILE
    assert said == ("tinygrad-cv: cannot write to the standard output: No space left on device\n")


@posix
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_that_lacks_characters(encoding, folder):
    code, out, said = shell(GRAPH, PYTHONIOENCODING=encoding)
    assert (code, said) == (cli.DONE, "")
    graph = tg.viz.draw(lambda x: x * 2, tg.zeros(2, 3), title="doubled")
    expected = graph.to_text().encode(encoding, "backslashreplace")
    assert out.splitlines() == expected.splitlines()
    code, out, _ = shell(f"{GRAPH} --format dot", PYTHONIOENCODING=encoding)
    assert code == cli.DONE
    if encoding == "ascii" and render.engines():
        assert b"&#215;" in out
        assert render.draw_dot(out.decode(), "svg") == render.draw_dot(graph.to_dot(), "svg")


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("exits.py:x", cli.WRONG_COMMAND, "cannot load exits.py:x: it called sys.exit(9)"),
        ("my_models.py:leaves", cli.WRONG_MODEL, "the model called sys.exit('gone')"),
    ],
)
def test_a_module_that_ends_the_program(target, code, message, folder, capsys):
    assert cli.main(["graph", target]) == code
    assert capsys.readouterr().err == f"tinygrad-cv: {message}\n"
    assert cli.main(["ops", "exits.py:x"]) == cli.WRONG_COMMAND


def test_an_interrupt(folder, capsys):
    assert cli.main(["graph", "my_models.py:stopped", "--input", "3"]) == cli.INTERRUPTED == 130
    assert capsys.readouterr().err == "tinygrad-cv: interrupted\n"


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_an_input_beyond_any_memory(dtype, folder, capsys):
    shape = f"1000000,1000000,1000000:{dtype}"
    assert cli.main(["graph", "my_models.py:doubled", "--input", shape]) == cli.WRONG_COMMAND
    assert "--input or --device: an array of" in capsys.readouterr().err


def test_codes_are_documented(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "4 the file could not be written, or the standard output; 130 interrupted" in text


# Inputs ------------------------------------------------------------------------------------------


def test_inputs_are_draws_of_a_normal_distribution(capsys):
    one, two, integers, truths = made(
        [((2000,), "float32"), ((2000,), "float64"), ((3,), "int64"), ((), "bool")], "cpu"
    )
    for values in (one, two):
        assert abs(values.numpy().mean()) < 0.1
        assert values.numpy().std() == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(one.numpy(), two.numpy())[0, 1]) < 0.1
    assert not integers.numpy().any()
    assert not truths.numpy()
    (again,) = made([((2000,), "float32")], "cpu")
    assert (again.numpy() == one.numpy()).all()
    with pytest.raises(SystemExit, match="0"):
        cli.main(["graph", "--help"])
    assert "standard normal distribution (seed 0)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["grad_norm", "std", "flops", "time"])
def test_a_healthy_model_has_no_dead_gradients(name, folder):
    arguments = ["graph", "my_models.py:MLP", "--input", "4,6", "--overlay", name]
    assert cli.main([*arguments, "-o", "a.json"]) == cli.DONE
    model = tg.viz.Graph.from_json((folder / "a.json").read_text()).model
    text = " ".join(model.notes)
    assert ("inputs: standard normal draws, seed 0" in text) == (name in ("grad_norm", "std"))
    assert "dead" not in text
    shown = [n.facts["overlay"] for n in model.nodes if n.name == "linear"]
    assert all(fact["value"] > 0 for fact in shown)


def test_the_meta_device_has_no_times(folder, capsys):
    arguments = ["graph", "my_models.py:MLP", "--input", "4,6", "--device", "meta", "--overlay"]
    assert cli.main([*arguments, "time"]) == cli.WRONG_COMMAND
    assert "on the meta device nothing is computed, so there is no time" in capsys.readouterr().err
    assert cli.main([*arguments, "saved_bytes"]) == cli.DONE
    assert "colour: saved bytes, " in capsys.readouterr().out
    assert cli.main(["graph", "my_models.py:on_meta", "--overlay", "time"]) == cli.WRONG_COMMAND
    assert "on the meta device no time, as nothing is computed" in capsys.readouterr().err
    with tg.profile() as profile:
        loss = (tg.ones(3, device="meta", requires_grad=True) * 2).sum()
    with pytest.raises(tg.ArgumentError, match=r"value of time\n.*on the meta device no time"):
        tg.viz.draw(loss, profile=profile)
    graph = tg.viz.trace(loss, profile=profile)
    assert "time" not in str([node.facts.get("measured") for node in graph.model.nodes])
    assert "colour: flops, 6 FLOPs in all" in graph.overlay("flops").to_text()


# How many nodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "count"),
    [([], 227), (["--full"], 352), (["--max-nodes", "400"], 352), (["--max-nodes", "20"], 17)],
)
def test_the_picture_has_the_nodes_that_were_asked_for(options, count, folder):
    pytest.importorskip("pygraphviz")
    arguments = ["graph", "my_models.py:many", "--input", "3", *options, "-o", "a.svg"]
    assert cli.main(arguments) == cli.DONE
    assert (folder / "a.svg").read_text(encoding="utf-8").count('class="node') == count


def test_full_with_a_limit_folds_nothing_and_keeps_to_it(folder, capsys):
    base = ["graph", "my_models.py:MLP", "--input", "4,6", "--full"]
    assert cli.main([*base, "--max-nodes", "30"]) == cli.DONE
    assert "parameter body.0.weight" in capsys.readouterr().out
    assert (
        cli.main([*base[:2], "--input", "4,6", "--full", "--max-nodes", "3"]) == cli.WRONG_COMMAND
    )
    arguments = ["graph", "my_models.py:many", "--input", "3", "--full", "--max-nodes", "20"]
    assert cli.main(arguments) == cli.DONE
    assert len(capsys.readouterr().out.splitlines()) < 30
