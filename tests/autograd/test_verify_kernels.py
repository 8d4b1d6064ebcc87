"""verify and the compiled kernels: right ones are not blamed, and a fault in any one is named."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.autograd.planting import CASES, cases_of, recorded
from tinygrad_cv import nn
from tinygrad_cv.autograd import retain_all, verify
from tinygrad_cv.backend import cpu, kernels
from tinygrad_cv.backend.contract import names_of
from tinygrad_cv.core.op import REGISTRY
from tinygrad_cv.testing import Case
from tinygrad_cv.testing.case import relayout

pytest.importorskip("numba")

# No node of a graph runs these.
NOT_RECORDED = {"nms", "optim.adam", "optim.adamw", "optim.sgd"}


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels take small arrays too."""
    for module in pkgutil.iter_modules(cpu.__path__):
        if module.name not in ("compiled", "checking"):
            part = importlib.import_module(f"{cpu.__name__}.{module.name}")
            if hasattr(part, "SMALLEST"):
                monkeypatch.setattr(part, "SMALLEST", 0)


@functools.cache
def cases_by_operator() -> dict[str, list[Case]]:
    found: dict[str, dict[Case, None]] = {}
    for (op, _), cases in cases_of().items():
        found.setdefault(op, {}).update(dict.fromkeys(cases))
    return {op: list(cases) for op, cases in found.items()}


def rows() -> tg.Tensor:
    return tg.rand(16, 4096, requires_grad=True)


def channels_last() -> tg.Tensor:
    x = tg.Tensor(relayout(tg.rand(2, 32, 12, 12).array, "channels_last"))
    return x.requires_grad_()


F = nn.functional
# Kernels for which the cases are too short, or ask for a gradient that they do not give.
LARGER: dict[str, Callable[[], tg.Tensor]] = {
    "avg_pool_input_grad": lambda: F.avg_pool2d(channels_last(), 2),
    "binary_cross_entropy.vjp": lambda: F.binary_cross_entropy(rows().sigmoid(), rows().detach()),
    "layout": lambda: REGISTRY["layout"].call(channels_last() * 1, "contiguous"),
    "nansum": lambda: rows().nansum(dim=1),
    "nansum.vjp": lambda: rows().nansum(dim=1),
    "norm": lambda: rows().norm(dim=1),
    "poisson_nll_loss.vjp": lambda: F.poisson_nll_loss(rows(), rows().detach()),
    "sigmoid_focal_loss.vjp": lambda: F.sigmoid_focal_loss(rows(), rows().detach().round()),
    "std": lambda: rows().std(dim=1),
    "std.vjp": lambda: rows().std(dim=1),
    "var": lambda: rows().var(dim=1),
    "var.vjp": lambda: rows().var(dim=1),
}


def graphs(name: str) -> Iterator[Any]:
    """Recorded graphs with the operator of a kernel, small ones first."""
    for case in cases_by_operator()[name.removesuffix(".vjp")]:
        for layout in ("contiguous", "channels_last"):
            yield recorded(case, np.float32, layout)
    if name in LARGER:
        with retain_all():
            yield LARGER[name]()


class Wrong:
    """A kernel of which the first result, or every gradient, is 1 % too large and shifted."""

    def __init__(self, row: kernels.Kernel) -> None:
        self.row = row
        self.is_rule = row.op.endswith(".vjp")

    def __call__(self, *given: Any) -> Any:
        found = self.row.function(*given)
        if found is None:
            return None
        if self.is_rule:
            return tuple(None if x is None else x * x.dtype.type(1.01) for x in found)
        first, *rest = found if type(found) is tuple else (found,)
        wrong = first * first.dtype.type(1.01) + first.dtype.type(1)
        return (wrong, *rest) if rest else wrong


def planted_rows(row: kernels.Kernel) -> tuple[Wrong, list[kernels.Kernel]]:
    wrong = Wrong(row)
    other = kernels.with_parameters(lambda *given: wrong(*given), names_of(row.function))
    rows = [r._replace(function=other) if r is row else r for r in kernels.TABLE[row.op]]
    return wrong, rows


def test_right_kernels_are_not_blamed() -> None:
    for case in CASES:
        outputs = recorded(case, np.float32)
        if outputs:
            report = verify(outputs)
            assert report.ok, f"{case.id}: {report}"


def test_a_fault_in_any_kernel_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = set()
    for row in [row for rows in kernels.TABLE.values() for row in rows if row.device == "cpu"]:
        op = row.op.removesuffix(".vjp")
        if op in NOT_RECORDED:
            continue
        wrong, rows = planted_rows(row)
        part = f"{row.op} by numba" if wrong.is_rule else "forward by numba"
        whose = f"the kernel of {op} by numba, which its rules run"
        found: set[str] = set()
        with monkeypatch.context() as patch:
            patch.setitem(kernels.TABLE, row.op, rows)
            for outputs in graphs(row.op):
                report = verify(outputs)
                own = {f.node.op.name for f in report.faults if f.part == part}
                found = {f.part for f in report.faults}
                assert own <= {op}, f"{row.op}: {report}"
                assert found <= {part, whose}, f"{row.op}: {report}"
                if found:
                    break
        if not found:
            unseen.add(row.op)
    assert unseen == set()
