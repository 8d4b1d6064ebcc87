"""Every operator comes with cases that must hold and calls that must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_cv.core import mode
from tinygrad_cv.core.op import REGISTRY, Op
from tinygrad_cv.errors import TinygradError
from tinygrad_cv.testing import Bad, Case, recorded_calls
from tinygrad_cv.testing.case import callable_of
from tools.gpu_check import collect


def operators() -> list[type[Op]]:
    """The operators of the package, without those that tests register."""
    return [op for op in REGISTRY.values() if op.__module__.startswith("tinygrad_cv.")]


def test_every_operator_has_cases() -> None:
    cases = [case for case in collect("CASES") if isinstance(case, Case)]
    covered = {op.name for case in cases for op, _, _ in recorded_calls(case)}
    assert sorted({op.name for op in operators()} - covered) == []


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


def test_every_bad_says_what_it_expects() -> None:
    """A text and an error of ours, else any failure would do."""
    vague = [b.id for b in collect("BAD") if not b.match or b.error is Exception]
    assert vague == []


def test_an_operator_without_a_bad_is_seen() -> None:
    bads = [bad for bad in collect("BAD") if bad.operator in ("exp", "conv2d")]
    assert refusers(bads) == {"exp", "conv2d", "conv"}
