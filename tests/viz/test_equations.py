from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.viz.zoo import ZOO
from tinygrad_cv import nn, viz
from tinygrad_cv.core.op import REGISTRY, Op, unregister
from tinygrad_cv.errors import GraphError
from tinygrad_cv.viz.equations import WIDTH, broken
from tinygrad_cv.viz.labels import node_lines
from tinygrad_cv.viz.letters import letters, names_result, uses

NO_BREAK = "\N{NO-BREAK SPACE}"


def explained(graph, name, phase="forward"):
    """The lines of the first operator of that name, each formula in one line again."""
    (node, *_) = [n for n in graph.explain().model.nodes if (n.name, n.phase) == (name, phase)]
    return joined(line.text for line in node_lines(node) if line.style == "equation")


def joined(lines):
    whole = []
    for line in lines:
        if line.startswith(NO_BREAK):
            whole[-1] += " " + line.lstrip(NO_BREAK)
        else:
            whole.append(line)
    return whole


def test_a_convolution_has_its_equations_and_its_shapes():
    graph = viz.draw(nn.Conv2d(3, 8, 5, padding=2), tg.zeros(4, 3, 16, 16))
    assert explained(graph, "conv") == [
        "y[n,o,p] = b[o] + sum_{c,k} x[n, c, p*stride + k*dilation - padding] * w[o,c,k]",
        "dx[n,c,i] = sum_{o,k,p: p*stride + k*dilation - padding = i} g[n,o,p] * w[o,c,k]",
        "dw[o,c,k] = sum_{n,p} g[n,o,p] * x[n, c, p*stride + k*dilation - padding]",
        "db[o] = sum_{n,p} g[n,o,p]",
        "where x = input 4×3×16×16, w = weight 8×3×5×5, b = bias 8, g is 4×8×16×16",
    ]


def test_an_argument_that_is_not_given_has_no_equation():
    graph = viz.draw(nn.Conv2d(3, 8, 5, bias=False), tg.zeros(4, 3, 16, 16))
    lines = explained(graph, "conv")
    assert not [line for line in lines if line.startswith("db")]
    assert lines[-1].startswith("where x = input 4×3×16×16, w = weight 8×3×5×5, g is")


def test_beside_a_drawn_backward_each_has_its_own():
    graph = viz.draw(nn.Linear(3, 2), tg.zeros(4, 3), backward=True)
    assert explained(graph, "linear") == [
        REGISTRY["linear"].equation,
        "where x = input 4×3, w = weight 2×3, b = bias 2",
    ]
    backward = explained(graph, "linear", "backward")
    rules = REGISTRY["linear"].gradients
    assert [line for line in backward if rules["weight"] in line]
    assert [line for line in backward if rules["bias"] in line]
    assert not [line for line in backward if rules["input"] in line]  # it needs none
    assert backward[-1] == "where x = input, w = weight, b = bias, g is 4×2"


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("backward", [False, True])
def test_every_operator_is_explained_from_the_registry(name, backward):
    function, inputs = ZOO[name]()
    graph = viz.trace(function, **inputs, backward=backward).explain()
    for node in graph.model.nodes:
        if node.kind != "op" or node.name not in REGISTRY:
            continue
        op, said = REGISTRY[node.name], " | ".join(joined(node.facts.get("explain", ())))
        if node.phase == "forward":
            assert op.equation in said
        else:
            assert any(rule in said for rule in op.gradients.values())
    assert graph.to_text().count("where ") >= 2


class Cube(Op):
    """A user's operator."""

    name, inputs, outputs = "equations_cube", ("input",), ("output",)
    equation = "y = x^3"
    gradients = {"input": "3 g x^2"}

    @staticmethod
    def infer(input):
        return input

    @staticmethod
    def forward(xp, input):
        return input * input * input

    @staticmethod
    def vjp_input(g, input):
        return 3.0 * g * input * input


unregister(Cube.name)


def test_an_operator_of_the_user_too():
    x = tg.ones(2, 5, requires_grad=True)
    graph = viz.trace(Cube.call(x), names={"x": x})
    assert explained(graph, Cube.name) == [
        "y = x^3",
        "dx = 3 g x^2",
        "where x = input 2×5, g is 2×5",
    ]


def test_an_argument_without_a_letter_has_its_name():
    graph = viz.trace(lambda c, x: tg.where(c, x, 0.0), tg.ones(3).bool(), tg.ones(3))
    assert (
        explained(graph, "where")[-1] == "where condition is 3, input is 3, other is scalar, g is 3"
    )
    graph = viz.trace(lambda x, i: x.gather(0, i), tg.ones(3, 2), tg.zeros(1, 2).long())
    assert explained(graph, "gather")[-1] == "where x = input 3×2, index is 1×2, g is 1×2"


def test_the_gradient_of_a_gradient_has_another_letter():
    x = tg.ones(2, 3, requires_grad=True)
    w = tg.ones(4, 3, requires_grad=True)
    (slope,) = tg.autograd.grad(nn.functional.linear(x, w).sum(), x, create_graph=True)
    lines = explained(viz.trace(slope.sum()), "linear_input_grad")
    assert lines[0] == "dx[n,i] = sum_o g[n,o] * w[o,i]"
    assert lines[-1] == "where g = grad 2×4, w = weight 4×3, G is 2×3"


def ours():
    return [op for op in REGISTRY.values() if op.__module__.startswith("tinygrad_cv.ops")]


def test_letters_are_those_of_the_equation_and_no_two_share_one():
    found = {op.name: letters(op) for op in ours()}
    for op in ours():
        known = found[op.name]
        assert set(known) <= set(op.inputs)
        assert len(set(known.values())) == len(known)
        for name, letter in known.items():
            assert uses(op.equation, letter), op.name
            assert letter not in op.inputs
            assert not re.search(rf"(^|[,;] ){letter}(_\w|\[[^]]*\])? = ", op.equation), op.name
            rule = op.gradients.get(name, "")
            if names_result(rule):
                assert re.match(rf"d{letter}\b|d{letter}_", rule), op.name
    assert sum(map(bool, found.values())) > 200


IN_PYTHON = {r"\^": "**", r"\|a\|": "abs(a)", " = b": " == b", r"\bmax\b": "np.maximum"}
IN_PYTHON |= {r"\bmin\b": "np.minimum", r"\bln\b": "np.log", r"\be\*\*": "np.e**"}
IN_PYTHON |= {rf"\b{name}\b": f"np.{name}" for name in ("floor", "trunc", "sqrt", "sign", "log2")}


def test_a_and_b_are_the_arguments_in_their_order():
    """The equations themselves are evaluated: another order gives other numbers."""
    checked = set()
    for op in ours():
        known = letters(op)
        if not op.elementwise or sorted(known.values()) != ["a", "b"]:
            continue
        bits = op.name.startswith("bitwise")
        a, b = ([13, 6, 9], [2, 1, 3]) if bits else ([1.5, 2.5, 7.25], [4.5, 0.5, 3.0])
        text = op.equation.removeprefix("y = ").partition(", ")[0]
        for word, python in IN_PYTHON.items():
            text = re.sub(word, python, text)
        order = [known[name] for name in op.inputs]
        try:
            rows = [dict(zip(order, row, strict=True)) for row in zip(a, b, strict=True)]
            wanted = [float(eval(text, {"np": np}, row)) for row in rows]
        except (SyntaxError, NameError, TypeError):
            continue  # words that are not Python's
        found = op.call(*(tg.tensor(x, dtype=tg.int64 if bits else tg.float64) for x in (a, b)))
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, err_msg=op.name)
        checked.add(op.name)
    assert {"sub", "div", "pow", "fmod", "remainder", "floor_divide", "trunc_divide"} <= checked
    assert {
        "bitwise_right_shift",
        "ge",
        "gt",
        "le",
        "lt",
        "copysign",
        "hypot",
        "logaddexp",
    } <= checked


def test_a_collapsed_graph_says_that_it_has_no_equations():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    graph = viz.trace(net, tg.zeros(1, 3)).depth(0)
    with pytest.raises(GraphError, match="no operator of this graph has an equation") as caught:
        graph.explain()
    assert "not collapsed" in str(caught.value)


def test_draw_and_graph_take_it_as_an_option():
    x = tg.ones(3, requires_grad=True)
    y = x.exp()
    wanted = viz.draw(y).explain().model
    assert viz.draw(y, explain=True).model == wanted
    assert y.graph(explain=True).model == wanted
    net = nn.ReLU()
    assert net.graph(x, explain=True).model == net.graph(x).explain().model


def test_it_can_be_kept_as_json():
    graph = viz.draw(nn.Linear(3, 2), tg.zeros(4, 3), explain=True)
    again = viz.Graph.from_json(graph.to_json())
    assert again.to_dot() == graph.to_dot()


WORDS = st.text("abxy()[]{}+-*=,;_", min_size=1, max_size=12)


@given(st.lists(WORDS, max_size=30), st.integers(20, 60))
def test_broken_lines_are_short_and_lose_nothing(words, width):
    text = " ".join(words)
    lines = broken(text, width)
    assert all(len(line) <= width for line in lines)
    assert " ".join(joined(lines)).split() == words


def test_a_word_without_a_space_is_cut():
    lines = broken("x" * 100, 40)
    assert [len(line.lstrip(NO_BREAK)) for line in lines] == [40, 37, 23]


def test_lines_break_where_few_brackets_are_open():
    for op in REGISTRY.values():
        for text in (op.equation, *op.gradients.values()):
            for line in broken(text)[:-1]:
                assert not line.endswith((" =", " +", " *"))
            assert all(len(line) <= WIDTH for line in broken(text))
    text = REGISTRY["conv"].equation
    assert [line.strip(NO_BREAK) for line in broken(text)] == [
        "y[n,o,p] = b[o]",
        "+ sum_{c,k} x[n, c, p*stride + k*dilation - padding]",
        "* w[o,c,k]",
    ]
