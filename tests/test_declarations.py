"""Every operator comes with cases that must hold and calls that must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_cv.cli.operators import made_of
from tinygrad_cv.core import mode
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.errors import ShapeError, TinygradError
from tinygrad_cv.testing import Bad, Case, recorded_calls
from tinygrad_cv.testing.case import callable_of
from tinygrad_cv.testing.runs import as_tuple, forward
from tools.gpu_check import collect


def operators() -> list[type[Op]]:
    """The operators of the package, without those that tests register."""
    return [op for op in REGISTRY.values() if op.__module__.startswith("tinygrad_cv.")]


def test_every_operator_has_cases() -> None:
    cases = [case for case in collect("CASES") if isinstance(case, Case)]
    covered = {op.name for case in cases for op, _, _ in recorded_calls(case)}
    assert sorted({op.name for op in operators()} - covered) == []


def test_every_operator_has_an_independent_reference() -> None:
    """A naive computation after the equation, beside PyTorch's; of few operators at once, so that
    it is theirs."""
    cases = [c for c in collect("CASES") if isinstance(c, Case) and c.reference is not None]
    runs = [{op.name for op, _, _ in recorded_calls(case)} for case in cases]
    of_few = {name for names in runs if len(names) < 4 for name in names}
    assert sorted({op.name for op in operators()} - of_few) == []


# Operators whose arguments are made by the package: {operator: whose refusals stand for it}. A rule
# calls them with the shapes of the call that was accepted, or a function has looked before.
BEHIND = {
    "adaptive_avg_pool_input_grad": "adaptive_avg_pool2d",
    "adaptive_max_pool": "adaptive_max_pool2d",
    "avg_pool_input_grad": "avg_pool2d",
    "cast": "_to",
    "class_pick": "nll_loss",
    "class_place": "nll_loss",
    "deform_points": "deform_conv2d",
    "diagonal_grad": "diagonal",
    "embedding_grad": "embedding",
    "factor_order": "scatter_reduce",
    "gather_grad": "gather",
    "gelu_tanh": "gelu",
    "i1": "i0",
    "index_mask": "max_dim",
    "layout": "contiguous",
    "max_pool_gather": "max_pool2d",
    "max_pool_scatter": "max_pool2d",
    "max_unpool": "max_unpool2d",
    "move": "_to",
    "pad_border_grad": "pad_border",
    "recurrence": "logcumsumexp",
    "scatter_fill": "scatter",
    "scatter_max": "scatter_reduce",
    "scatter_min": "scatter_reduce",
    "scatter_prod": "scatter_reduce",
    "setitem": "index_put",
    "setitem_fill": "index_put",
    "square_sum": "cosine_embedding_loss",
    "vecdot": "cosine_similarity",
    "windows": "unfold",
    "zero_map": "floor",
}


class Refusing:
    """Collects the operators that refused."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def add(self, *_: Any) -> None:
        """Of a call that is accepted nothing is to be told."""

    def failed(self, op: type[Op], *_: Any) -> None:
        self.names.add(op.name)


def refusers(bads: list[Bad]) -> set[str]:
    """The operators and functions that refuse in these calls, by name."""
    found = Refusing()
    for bad in bads:
        found.names.add(bad.operator)
        with mode.recording(found), pytest.raises(TinygradError):
            callable_of(bad.function)(*bad.args, **bad.kwargs)
    return found.names


def test_every_operator_refuses() -> None:
    """An operator has a Bad of its own, or stands behind something that has."""
    bads = collect("BAD")
    refused = refusers(bads)
    names = {op.name for op in operators()}
    assert sorted(names - refused - set(BEHIND)) == []
    assert sorted(set(BEHIND) - names) == [], "no such operators"
    assert sorted(set(BEHIND) & refused) == [], "they have a Bad of their own"
    assert sorted(set(BEHIND.values()) - refused) == [], "nothing refuses in their place"


# Operators that compute a shape from a number, which alone can be wrong: an error of that argument.
OF_A_NUMBER = {"histc": "bins", "kthvalue": "k", "topk": "k"}
# Adjoints and steps, called with the shapes of a function that has looked at them: {operator: its
# function}.
STEPS = {
    "affine_grid_grad": "affine_grid",
    "class_place": "nll_loss",
    "diagonal_grad": "diag_embed",
    "index_grad": "index_put",
    "max_pool_scatter": "max_pool2d",
    "put_pixels": "grid_sample",
    "resize_grad": "interpolate",
    "sample_cells": "deform_conv2d",
    "slice_grad": "index_put",
    "take_pixels": "grid_sample",
    "windows_grad": "unfold",
}


def computing_a_shape() -> set[str]:
    """The operators whose output has, in some case, another shape than every input; gradients of
    other operators are made by rules, which give them the shapes of calls that were accepted."""
    found = set()
    for case in collect("CASES"):
        for op, inputs, attrs in recorded_calls(case) if isinstance(case, Case) else ():
            if op.elementwise or not op.shaped or op.name in found:
                continue
            arrays = inputs[0] if op.variadic else inputs
            shapes = [x.shape for x in arrays if isinstance(x, np.ndarray)]
            if as_tuple(forward(op, inputs, attrs))[0].shape not in shapes:
                found.add(op.name)
    return {n for n in found if n not in BEHIND and not n.endswith(("_input_grad", "_weight_grad"))}


def lawful(bads: list[Bad]) -> set[str]:
    """The operators of which a Bad breaks a law of shapes, shows it, and tries out a repair."""
    found = set()
    for bad in bads:
        refusing = Refusing()
        with mode.recording(refusing), pytest.raises(TinygradError) as caught:
            callable_of(bad.function)(*bad.args, **bad.kwargs)
        error = caught.value
        applied = getattr(error, "repairs", []) if "repair" not in bad.skip else []
        if isinstance(error, ShapeError) and error.law and applied:
            found |= {bad.operator} | (refusing.names or made_of(bad.function))
    return found


def test_every_computed_shape_has_a_law_and_a_repair() -> None:
    """A Bad of every operator that computes a shape shows the law, and its repair is applied."""
    computing = computing_a_shape()
    assert {"conv", "max_pool", "resize", "reshape", "roi_align", "matmul", "cat"} <= computing
    behind = {*OF_A_NUMBER, *STEPS}
    known = lawful(collect("BAD"))
    assert sorted(computing - known - behind) == []
    assert sorted(set(STEPS.values()) - known) == [], "nothing shows a law in their place"
    outside = {name for name in behind if name not in computing and name not in BEHIND}
    assert sorted(outside) == [], "they compute no shape"


def test_a_law_without_a_repair_does_not_count() -> None:
    bads = [bad for bad in collect("BAD") if bad.operator in ("expand", "glu")]
    assert lawful(bads) == {"glu"}


def test_every_bad_says_what_it_expects() -> None:
    """A text and an error of ours, else any failure would do."""
    vague = [b.id for b in collect("BAD") if not b.match or b.error is Exception]
    assert vague == []


def test_an_operator_without_a_bad_is_seen() -> None:
    bads = [bad for bad in collect("BAD") if bad.operator in ("exp", "conv2d")]
    assert refusers(bads) == {"exp", "conv2d", "conv"}
