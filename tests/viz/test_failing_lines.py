"""A forward that fails with an error of its own: the line is red, and nothing of it is lost."""

from __future__ import annotations

import gc
import inspect
import re
import weakref

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.viz.failing import Net, box, red, refuse, zeros
from tests.viz.invariants import sums
from tinygrad_cv import nn
from tinygrad_cv.viz import draw, trace


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if text in line)


def test_an_error_of_the_users_ends_in_a_red_node_with_its_line():
    graph = trace(Net(refuse), zeros(2, 4))
    node, _ = red(graph)
    place = f"failing.py:{line_of(refuse, 'raise')}"
    assert node.error == f"{place}: four is too many"
    assert node.site == place
    assert [n.name for n in graph.model.nodes if n.kind == "op"] == ["relu", "linear", "ValueError"]
    assert graph.model.totals["operators"] == sums(graph.model)["operators"] == 2
    assert "3 operators" in trace(Net(lambda x: x[7]), zeros(2, 4)).to_text()
    head, where = graph.error.splitlines()
    assert head == "ValueError: four is too many"
    assert re.fullmatch(rf"  at .*{place} in refuse", where)
    text = draw(Net(refuse), zeros(2, 4)).to_text().replace(";", "")
    assert f"failed: {place}: four is too many" in text
    assert "failed: ValueError: four is too many" in text


def test_nothing_of_the_error_is_lost():
    def broken(x):
        y = x.exp()
        try:
            {}["key"]
        except KeyError as problem:
            error = RuntimeError("first line\nsecond line")
            error.add_note("a note")
            raise error from problem
        return y

    graph = trace(broken, zeros(3))
    node, _ = red(graph)
    assert node.error.endswith(": first line")
    lines = [line.strip() for line in graph.error.splitlines()]
    assert lines[:3] == ["RuntimeError: first line", "second line", "a note"]
    assert re.fullmatch(rf"at .*:{line_of(broken, 'raise error')} in broken", lines[3])
    assert lines[4:] == ["caused by KeyError: 'key'"]


def no_message(x):
    x = x.exp()
    raise RuntimeError


def names_its_tensors(x, y):
    a, b = x.exp(), y.sin()
    b.cos()
    raise ValueError(f"{a.shape} and {b.shape}")


def of_a_temporary(x):
    return np.array(int("x" + str(x.exp().shape)))


def inner(x):
    return x.exp()


def no_attribute_of_a_temporary(x):
    return (inner(x), x)[0].nothing


def no_attribute(x):
    y = x.exp()
    y.cos()
    return y.nothing


def of_numpy(x):
    y = x.exp()
    return np.reshape(np.zeros(3), (*y.shape, 7))


def recursive(x):
    return recursive(x.exp())


@pytest.mark.parametrize(
    ("program", "inputs", "name", "sources"),
    [
        (no_message, 1, "RuntimeError", [("x", "exp")]),
        (names_its_tensors, 2, "ValueError", [("a", "exp"), ("b", "sin")]),
        (of_a_temporary, 1, "ValueError", [("", "exp")]),
        (no_attribute_of_a_temporary, 1, "AttributeError", [("", "exp")]),
        (no_attribute, 1, "AttributeError", [("y", "exp")]),
        (of_numpy, 1, "ValueError", [("y", "exp")]),
    ],
)
def test_the_line_of_the_users_is_joined_to_what_it_had(program, inputs, name, sources):
    graph = trace(program, *[zeros(3)] * inputs)
    node, found = red(graph)
    assert (node.name, found) == (name, sources)
    with pytest.raises((RuntimeError, ValueError, AttributeError)) as caught:
        program(*[zeros(3)] * inputs)
    line = caught.traceback[1].lineno + 1
    assert node.error.split(": ")[0] == node.site == f"test_failing_lines.py:{line}"


def test_an_error_that_cannot_say_itself():
    class Mute(Exception):
        def __str__(self):
            raise KeyError("no")

    def broken(x):
        x.exp()
        raise Mute

    graph = trace(broken, zeros(3))
    node, _ = red(graph)
    assert node.name == "Mute"
    assert graph.error.startswith("Mute: <its message cannot be had: KeyError>\n  at ")


def test_an_endless_recursion_is_drawn():
    graph = trace(recursive, zeros(1))
    node, _ = red(graph)
    assert graph.error.startswith("RecursionError: maximum recursion depth")
    assert node.error


def test_an_operator_of_the_users_that_fails_in_its_own_way():
    from tinygrad_cv.core.op import Op, unregister

    class Odd(Op):
        name, equation = "users_odd", "y = x"

        @staticmethod
        def infer(input, factor):
            return input

        @staticmethod
        def forward(xp, input, factor):
            raise MemoryError("too large")

    try:
        graph = trace(lambda x: Odd.call(x.exp(), 3), zeros(3))
        node, found = red(graph)
    finally:
        unregister("users_odd")
    assert (node.name, found) == ("users_odd", [("input", "exp")])
    assert node.attributes == (("factor", "3"),)
    assert re.fullmatch(r"MemoryError at test_failing_lines\.py:\d+: too large", node.error)


def test_a_function_of_the_users_that_fails():
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x, how):
            if how == "ours":
                return x.reshape(7)
            raise ValueError("mine")

    node, found = red(trace(lambda x: Twice.apply(x.exp(), "ours"), zeros(3)))
    assert (node.name, found) == ("Twice", [("x", "exp")])
    assert node.error.startswith("reshape: ")
    node, found = red(trace(lambda x: Twice.apply(x.exp(), "own"), zeros(3)))
    assert (node.name, found) == ("ValueError", [("", "exp")])


@pytest.mark.parametrize("when", ["before", "after", "backward"])
def test_a_hook_that_fails(when):
    def hook(*_):
        raise ValueError(when)

    net = nn.Sequential(nn.Tanh(), nn.ReLU())
    if when == "before":
        net[1].register_forward_pre_hook(hook)
    elif when == "after":
        net[1].register_forward_hook(hook)

    def run(x):
        y = net(x.sin())
        if when == "backward":
            y.register_hook(hook)
            tg.autograd.grad(y.sum(), x, create_graph=True)
        return y

    graph = trace(run, zeros(3).requires_grad_())
    node, _ = red(graph)
    assert node.name == "ValueError"
    assert node.error.endswith(f": {when}")
    assert box(graph, node) == ("backward" if when == "backward" else "1 : ReLU")
    ran = [n.name for n in graph.model.nodes if n.kind == "op"][:-1]
    assert (
        ran
        == {
            "before": ["sin", "tanh"],
            "after": ["sin", "tanh", "relu"],
            "backward": ["sin", "tanh", "relu", "sum", "expand"],
        }[when]
    )


def test_an_error_that_the_user_caught_is_not_red():
    def careful(x):
        try:
            return x.exp() @ zeros(7)
        except tg.ShapeError:
            return x.sin()

    graph = trace(careful, zeros(3))
    assert graph.error == ""
    assert [n.name for n in graph.model.nodes if n.kind == "op"] == ["exp", "sin"]
    assert not any(n.error for n in graph.model.nodes)

    def other(x):
        try:
            return x.exp() @ zeros(7)
        except tg.ShapeError:
            raise KeyError("other") from None

    node, found = red(trace(other, zeros(3)))
    assert (node.name, found) == ("KeyError", [("", "exp")])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_always_comes_through(kind):
    def stopped(x):
        x.exp()
        raise kind

    with pytest.raises(kind):
        trace(stopped, zeros(3))


def test_an_error_before_any_operator_comes_through():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        trace(broken, zeros(3))
    with pytest.raises(tg.ArgumentError, match="missing a required argument: 'y'"):
        trace(lambda x, y: x.exp() + y, zeros(3))


def test_a_failed_call_keeps_nothing_alive():
    kept = []

    def broken(x):
        y = x.exp()
        kept.append(weakref.ref(y))
        raise ValueError("mine")

    gc.disable()
    try:
        trace(broken, zeros(3))
        assert kept[0]() is None
    finally:
        gc.enable()
