from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.viz.handmade import Maker, chain, small_net, subtraction
from tinygrad_cv.viz import labels, transforms
from tinygrad_cv.viz.dot import to_dot
from tinygrad_cv.viz.graph import Graph
from tinygrad_cv.viz.model import TensorInfo
from tinygrad_cv.viz.palette import DARK, LIGHT, SURFACES, contrast

GOLDEN = Path(__file__).parent / "golden"
MODELS = {
    "subtraction": subtraction(),
    "small_net": small_net(),
    "small_net_simple": transforms.simplify(small_net()),
    "small_net_depth_1": transforms.depth(small_net(), 1),
    "chain_limited": transforms.limit(chain(100), 20),
}


@pytest.mark.parametrize("name", MODELS)
def test_dot_is_byte_for_byte_the_golden_file(name):
    """Set ``UPDATE_GOLDEN=1`` to write the files anew, then look at the pictures."""
    path = GOLDEN / f"{name}.dot"
    text = to_dot(MODELS[name])
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_dot_does_not_depend_on_hash_seeds():
    code = (
        "from tests.viz.handmade import small_net; from tinygrad_cv.viz import transforms;"
        "from tinygrad_cv.viz.dot import to_dot; import sys;"
        "sys.stdout.buffer.write(to_dot(transforms.simplify(small_net())).encode())"
    )
    texts = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env=env, check=True
        )
        texts.add(done.stdout)
    assert texts == {to_dot(MODELS["small_net_simple"]).encode()}


def test_the_order_of_arguments_can_be_read():
    text = to_dot(subtraction())
    assert 'n0 -> n2 [label="  input  "' in text
    assert 'n0 -> n3 [label="  other  "' in text


def test_edges_show_what_kind_they_are():
    text = to_dot(MODELS["small_net"])
    gradient = [line for line in text.splitlines() if "class=gradient" in line]
    saved = [line for line in text.splitlines() if "class=saved" in line and "->" in line]
    assert gradient
    assert all("style=dashed" in line and "dir=back" in line for line in gradient)
    assert saved
    assert all("style=dotted" in line for line in saved)


def test_the_shape_is_on_an_edge_only_where_it_changes():
    text = to_dot(MODELS["small_net_simple"])
    assert 'n3 -> n4 [label="  1×2×4×4  "' in text  # the convolution changes it
    assert "n4 -> n5 [id=e2 minlen=2 weight=12]" in text  # ReLU does not


def test_edges_that_leave_a_box_are_longer():
    lines = [line for line in to_dot(MODELS["small_net_simple"]).splitlines() if "->" in line]
    crossing = [line for line in lines if "n0 -> n3" in line or "n4 -> n5" in line]
    assert all("minlen=2" in line for line in crossing)
    assert not any("minlen" in line for line in lines if "n3 -> n4" in line)


def test_a_node_says_what_it_is():
    conv = next(n for n in MODELS["small_net_simple"].nodes if n.name == "conv")
    assert [line.text for line in labels.node_lines(conv)] == [
        "conv k3 s2 p1",
        "body.0 : Conv2d",
        "weight 2×1×3×3 = 18",
        "bias 2",
        "→ 1×2×4×4 float32",
    ]


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ((("kernel_size", "(3, 5)"), ("stride", "(2, 2)")), "pool k3×5 s2"),
        ((("padding", "((1, 1), (1, 1))"),), "pool p1"),
        ((("padding", "(0, 0)"), ("dilation", "(1, 1)"), ("groups", "1")), "pool"),
        ((("dim", "(1,)"), ("keepdim", "False"), ("ceil_mode", "True")), "pool dim=(1,) ceil_mode"),
        ((("draw", "(1, 2)"), ("eps", "1e-05"), ("reduction", "mean")), "pool"),
        ((("reduction", "sum"),), "pool reduction=sum"),
    ],
)
def test_short_attributes(attributes, text):
    m = Maker()
    m.op("pool", (1,), attributes=attributes)
    assert labels.node_lines(m.nodes[0])[0].text == text


def test_a_failed_operator_says_why():
    m = Maker()
    m.op("conv", None, m.node("input", "x", (3,)), error="conv: the kernel does not fit")
    assert "failed: conv: the kernel does not fit" in [
        line.text for line in labels.node_lines(m.nodes[1])
    ]
    assert "class=error" in to_dot(m.model())


def test_shapes_of_scalars_and_unknown_tensors():
    assert labels.shape_text(()) == "scalar"
    assert labels.tensor_text(TensorInfo("")) == "?"


def test_the_legend_has_the_totals():
    lines = [line.text for line in labels.legend_lines(MODELS["small_net"])]
    assert lines[:3] == [
        "a small net, forward and backward",
        "3 operators, 3 backward, 20 parameters",
        "600 FLOPs forward, 384 B saved for backward",
    ]
    assert "gradient" in lines[-1]
    short = [line.text for line in labels.legend_lines(transforms.limit(chain(100), 20))]
    assert "100 operators" in short
    assert "operators in the middle are drawn as one node" in " ".join(short)


def test_flops_that_are_not_known_make_the_total_a_lower_bound():
    model = replace(small_net(), totals={"operators": 3, "flops": 600, "flops_unknown": 1})
    assert any("at least 600 FLOPs" in line.text for line in labels.legend_lines(model))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_surface(colours):
    for ink, surfaces in SURFACES.items():
        for surface in surfaces:
            assert contrast(colours[ink], colours[surface]) >= 4.5, (ink, surface)
    for line in ("data", "gradient", "saved-edge", "op-line", "backward-line", "error-line"):
        assert contrast(colours[line], colours["page"]) >= 3, line


def test_light_and_dark_have_the_same_roles():
    assert LIGHT.keys() == DARK.keys()


def test_text_output():
    text = Graph(MODELS["small_net_simple"]).to_text()
    assert "  body : Sequential  (20 parameters)\n" in text
    assert "#3 conv k3 s2 p1 <- input #0   body.0 : Conv2d; weight 2×1×3×3 = 18" in text
    assert Graph(chain(3)).to_text().splitlines()[0] == "a chain: 3 operators"
