"""Attributes as texts that are the same in every process; faulty formulas of a user's operators."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import viz
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.viz.values_text import value_text


class Thing:
    def method(self):
        return self


@dataclass
class Holder:
    inner: Thing


class Spoken:
    def __str__(self):
        return f"spoken at {object()}"


class Rude:
    def __repr__(self):
        raise RuntimeError("no")


def inner_function():
    return lambda: 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("reflect", "reflect"),
        (("a", 1), "(a, 1)"),
        (["a", 1], "['a', 1]"),
        ((), "()"),
        ((3,), "(3,)"),
        (0.1 + 0.2, "0.3"),
        (float("inf"), "inf"),
        (inner_function, "inner_function"),
        (inner_function(), "inner_function.<locals>.<lambda>"),
        (len, "len"),
        (Thing, "Thing"),
        (Thing().method, "Thing.method"),
        (Thing(), "<Thing object>"),
        ([Thing(), (inner_function,)], "[<Thing object>, (inner_function,)]"),
        ({"b", "a", "c"}, "{'a', 'b', 'c'}"),
        (set(), "set()"),
        ({"f": len, 2: None}, "{'f': len, 2: None}"),
        (Holder(Thing()), "Holder(inner=<tests.viz.test_values_text.Thing object>)"),
        (Spoken(), "spoken at <object object>"),
        (Rude(), "<Rude object>"),
        (np.zeros((2, 3), np.int8), "array 2×3 int8"),
        (np.float32(2.5), "2.5"),
        (np.array(2.5), "array scalar float64"),
        (np.dtype("float32"), "float32"),
        (slice(1, None, 2), "1::2"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_the_text_of_a_value(value, text):
    assert value_text(value) == text


def test_what_is_long_deep_or_circular_ends():
    assert value_text(list(range(1000))).endswith("14, 15, ...]")
    circle: list = []
    circle.append(circle)
    assert value_text(circle) == "[[[[…]]]]"
    assert " at 0x" not in value_text(functools.partial(inner_function, Thing()))


class Applied(tg.autograd.Function):
    @staticmethod
    def forward(ctx, x, function, options):
        return function(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None


def call(x):
    return Applied.apply(x, lambda y: y * 2, {"keep": Thing(), "of": {"one", "two", "three"}})


def test_two_calls_with_functions_of_their_own_are_the_same():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    one, two = viz.draw(call, x), viz.draw(call, x)
    assert one.to_json() == two.to_json()
    assert "call.<locals>.<lambda>" in one.to_json()
    assert not viz.diff(call, call, x)
    keys = viz.trace(lambda x: {Thing(): x * 1, inner_function: x * 2}, x)
    names = [n.name for n in keys.model.nodes if n.kind == "output"]
    assert names == ["output[<Thing object>]", "output[inner_function]"]


def test_two_processes_write_the_same():
    code = (
        "import tinygrad_cv as tg; from tests.viz.test_values_text import call\n"
        "x = tg.tensor([1.0], requires_grad=True)\n"
        "print(ascii(tg.viz.draw(call, x, backward=True).to_json()))"
    )
    texts = set()
    for seed in ("1", "2"):
        root = str(Path(__file__).parents[2])
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env=env, check=True
        )
        texts.add(done.stdout)
    assert len(texts) == 1


def divided(input):
    return 1 // 0


@pytest.mark.parametrize(
    "formula", [divided, lambda input: float("nan"), lambda input: float("inf"), lambda: 3]
)
def test_a_formula_of_flops_that_fails_is_unknown(formula):
    class Faulty(Op):
        name = "faulty_flops"
        inputs = ("input",)

        @staticmethod
        def infer(input):
            return input

        @staticmethod
        def forward(xp, input):
            return xp.exp(input)

        @staticmethod
        def vjp_input(g, output):
            return g * output

        flops = staticmethod(formula)

    try:
        x = tg.tensor([1.0, 2.0], requires_grad=True)
        with tg.profile() as profile:
            y = Faulty.call(x)
        graph = viz.draw(lambda x: Faulty.call(x) * 2, x)
        assert "at least 2 FLOPs" in graph.to_text()
        assert graph.model.totals["flops_unknown"] == 1
        assert [n.name for n in viz.draw(y, profile=profile).model.nodes][1] == "faulty_flops"
    finally:
        REGISTRY.pop("faulty_flops", None)
