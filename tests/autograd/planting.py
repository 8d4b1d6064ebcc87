"""Planting faults into operators, rules and kernels, and the cases that run them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.autograd import graph, retain_all
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.contract import names_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.testing import Case
from tinygrad_cv.testing.case import to_tensors
from tinygrad_cv.testing.runs import cast
from tools.gpu_check import collect

CASES = [case for case in collect("CASES") if isinstance(case, Case) and case.order]


# Whatever factor stands before them, these gradients are zero.
FLAT = {"ceil.input", "copysign.other", "floor.input", "floor_divide.input", "floor_divide.other"}
FLAT |= {"heaviside.input", "heaviside.values", "round.input", "sign.input", "trunc.input"}
FLAT |= {"trunc_divide.input", "trunc_divide.other", "zero_map.input"}


def recorded(case: Case, dtype: Any = np.float64, layout: str = "contiguous") -> list[tg.Tensor]:
    """The graph of a case between other operators."""
    with retain_all():
        leaves = to_tensors(cast(case.leaves(), dtype), "cpu", case.differentiable(), layout)
        given = [x.clone() if x.requires_grad else x for x in leaves]
        outputs = [y for y in case.call(given) if y.requires_grad]
        return [y.reshape(-1) for y in outputs]


@functools.cache
def cases_of() -> dict[tuple[str, str], list[Case]]:
    """The cases that run a rule: (operator, input) -> cases, the smallest first."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in CASES:
        for node in graph.nodes(recorded(case)):
            for k in node.plan.needed:
                name = node.op.inputs[0 if node.op.variadic else k]
                found.setdefault((node.op.name, name), []).append(case)
    size = {case: sum(leaf.size for leaf in case.leaves()) for case in CASES}
    return {key: sorted(cases, key=size.__getitem__) for key, cases in found.items()}


@contextmanager
def planted(op: type[Op], name: str, wrong: Callable[..., Any]) -> Iterator[None]:
    """``wrong(right gradient)`` instead of the rule of one input."""
    rule = op.rules[name]

    def other(*args: Any) -> Any:
        return wrong(rule(*args))

    op.rules[name] = kernels.with_parameters(other, names_of(rule))
    plans = dict(op._plans)
    op._plans.clear()
    try:
        yield
    finally:
        op.rules[name] = rule
        op._plans.clear()
        op._plans.update(plans)


@contextmanager
def kernel(name: str, function: Callable[..., Any]) -> Iterator[None]:
    kernels.register(name, provider="planted", supports=lambda specs, attrs: True, priority=10**6)(
        function
    )
    try:
        yield
    finally:
        kernels.unregister(name, "planted")


def smallest_of() -> dict[str, Case]:
    """A case for each operator that has rules."""
    return {op: cases[-1] for (op, _), cases in cases_of().items()}
