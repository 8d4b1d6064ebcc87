"""The operator table: no field is empty, the page is fresh, and what it says is so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_cv import cli
from tinygrad_cv.backend import kernels
from tinygrad_cv.cli.operators import made_of, operators
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import TinygradError
from tinygrad_cv.ops import NN_FUNCTIONS, TG_FUNCTIONS
from tinygrad_cv.testing import Case, recorded_calls
from tinygrad_cv.viz.operators import fields
from tools import operators as tool
from tools.gpu_check import collect

CASES = [case for case in collect("CASES") if isinstance(case, Case)]
KINDS = {"b": "bool", "u": "integer", "i": "integer", "f": "floating"}
DTYPES = ("bool", "uint8", "int64", "float32", "float64")
# Nobody calls these but rules and functions that have looked at the dtypes before.
INSIDE = {"class_pick", "class_place", "deform_points", "factor_order", "index_mask"}
INSIDE |= {"max_pool_gather", "max_pool_scatter", "put_pixels", "recurrence", "sample_cells"}
INSIDE |= {"sum_to", "take_pixels", "zero_map"}


with_kernels = pytest.mark.skipif(
    "numba" not in kernels.providers(), reason="the page names the kernels, which need Numba"
)


@with_kernels
def test_the_page_is_fresh_and_no_field_is_empty(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["operators.py", "--check"])
    assert tool.main() == 0, capsys.readouterr().out


@with_kernels
def test_an_empty_field_or_a_stale_page_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["operators.py", "--check"])
    (tmp_path / "README.md").write_text("old")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "PAGE", tmp_path / "README.md")
    assert tool.main() == 1
    assert "README.md is stale" in capsys.readouterr().out
    monkeypatch.setattr(operators()[0], "edges", "")
    assert tool.main() == 1
    assert f"{operators()[0].name}: edges is empty" in capsys.readouterr().out
    assert (tmp_path / "README.md").read_text() == "old"


@pytest.fixture(scope="module")
def calls() -> dict[str, list[tuple[Any, Any]]]:
    """The calls of each operator in all cases."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for case in CASES:
        for op, inputs, attributes in recorded_calls(case):
            found.setdefault(op.name, []).append((inputs, attributes))
    return found


@pytest.fixture(scope="module")
def kinds() -> dict[str, set[str]]:
    """What kinds of dtypes the differentiable inputs of each operator have had, in the cases with
    every dtype that is not refused; in calls of public functions if there are any."""
    public: dict[str, set[str]] = {}
    direct: dict[str, set[str]] = {}
    for case in CASES:
        found = direct if isinstance(case.function, type) else public
        for dtype in DTYPES:
            try:
                with np.errstate(all="ignore"):
                    leaves = [x.astype(dtype) if x.dtype.kind == "f" else x for x in case.leaves()]
                    ran = recorded_calls(case, "cpu", leaves)
            except (TinygradError, TypeError, ValueError, OverflowError):  # some of a bare Op
                continue
            for op, inputs, _ in ran:
                found.setdefault(op.name, set()).update(
                    KINDS[x.dtype.kind] for x in own(op, inputs)
                )
    return direct | public


def own(op: type[Op], inputs: Any) -> list[np.ndarray]:
    """The arrays among the differentiable inputs, or all inputs where there is no rule."""
    if op.variadic:
        inputs = inputs[0] if isinstance(inputs[0], tuple) else inputs
    ruled = [x for k, x in enumerate(inputs) if op.differentiable >> k & 1]
    return [x for x in ruled or inputs if isinstance(x, np.ndarray)]


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_dtypes_are_those_that_are_taken(op, kinds):
    if op.name in INSIDE or op.name.endswith("_grad"):
        assert op.dtypes == "floating"
        return
    expected = [kind for kind in ("bool", "integer", "floating") if kind in kinds[op.name]]
    assert op.dtypes == ", ".join(expected)


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.name)
def test_costs_are_those_that_are_counted(op, calls):
    from tinygrad_cv.backend.spec import spec_of

    words = fields(op)["FLOPs"]
    simple = re.fullmatch(r"(\d+)( per element)?", words)
    if simple is None:
        return
    for inputs, attributes in calls[op.name]:
        specs = [spec_of(x) if isinstance(x, np.ndarray) else x for x in inputs]
        if op.variadic:
            specs = tuple(spec_of(x) for x in (inputs[0] if len(inputs) == 1 else inputs))
        found = op.count_flops(specs, attributes)
        if not simple[2]:
            assert found == int(words)
            continue
        made = op.infer(*specs, *attributes).size if op.elementwise else specs[0].size
        assert found == int(simple[1]) * made, (specs, attributes)


def test_every_function_says_what_it_is():
    for name, function in {**TG_FUNCTIONS, **NN_FUNCTIONS}.items():
        assert function.__doc__, name
    assert made_of(NN_FUNCTIONS["conv_transpose2d"]) == {"conv_input_grad", "reshape"}
    assert "max_pool" in made_of(NN_FUNCTIONS["max_pool3d"])


def test_the_command_line_prints_every_field(capsys):
    assert cli.main(["ops", "conv"]) == 0
    printed = capsys.readouterr().out
    conv = next(op for op in operators() if op.name == "conv")
    for key, value in fields(conv).items():
        assert value in printed, key
