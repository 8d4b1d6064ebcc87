"""A table of a network: for each module its output shape, parameters and floating-point operations.

Nothing is computed: the forward runs on the meta device, where tensors have shapes but no data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype
from tinygrad_cv.backend.spec import Spec, spec_of
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["Row", "Summary", "summary"]


@dataclass
class Row:
    """One module: what it is called, what it gives, and what is its own (not its children's).

    Attributes:
        path: as in ``named_modules``; "model" is the whole.
        kind: the class name.
        output: the shape of the last output as text, "(2, 3) x2" after two calls, or "not called".
        parameters: number of elements; a shared parameter counts where it is met first.
        flops: operations of its own forward.
        calls: how often it ran.

    >>> from tinygrad_cv import nn
    >>> row = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary((2, 4)).rows[1]
    >>> row.path, row.kind, row.output, row.parameters, row.calls
    ('0', 'Linear', '(2, 3)', 15, 1)
    """

    path: str
    kind: str
    output: str = "not called"
    parameters: int = 0
    flops: int = 0
    calls: int = 0


@dataclass
class Summary:
    """The table; ``str(summary)`` is its text. Parameters and FLOPs add up to the totals.

    Attributes:
        rows: one Row for each module, parents first.
        parameters, trainable: numbers of elements; a shared parameter counts once.
        parameter_bytes: memory of the parameters.
        flops: operations of one forward; a multiplication and an addition count as two.

    >>> from tinygrad_cv import nn
    >>> table = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary((2, 4))
    >>> table.parameters, table.parameter_bytes, table.flops == sum(row.flops for row in table.rows)
    (15, 60, True)
    """

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    parameter_bytes: int = 0
    flops: int = 0

    def __str__(self) -> str:
        header = ("module", "type", "output", "parameters", "FLOPs")
        body = [
            (r.path, r.kind, r.output, _number(r.parameters), _number(r.flops)) for r in self.rows
        ]
        total = ("total", "", "", f"{self.parameters:,}", f"{self.flops:,}")
        widths = [max(len(line[k]) for line in (header, *body, total)) for k in range(5)]
        rule = "-" * (sum(widths) + 2 * 4)
        lines = [_line(header, widths), rule, *(_line(row, widths) for row in body), rule]
        lines.append(_line(total, widths))
        frozen = self.parameters - self.trainable
        lines.append(
            f"{self.trainable:,} parameters are trained, {frozen:,} frozen; "
            f"{quantity(self.parameter_bytes, 'B')} of parameters"
        )
        return "\n".join(lines)

    __repr__ = __str__


def summary(module: Module, *inputs: Any, depth: int | None = None, dtype: Any = None) -> Summary:
    """The table of ``module`` for inputs of the given shapes. Evaluation mode; nothing is changed.

    Args:
        inputs: for each argument of ``forward`` a shape (tuple of ints) or a Tensor or array. A
            single shape may be given as separate ints: ``summary(net, 1, 3, 32, 32)``.
        depth: modules below this depth are counted with their parent; None shows all.
        dtype: of inputs given as shapes; default: that of the first floating parameter.

    FLOPs of a module are those of the operators of its own ``forward``, outside its children.

    >>> from tinygrad_cv import nn
    >>> print(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary((2, 4)))
    module  type        output  parameters  FLOPs
    ---------------------------------------------
    model   Sequential  (2, 3)
    0       Linear      (2, 3)          15     54
    1       ReLU        (2, 3)                  6
    ---------------------------------------------
    total                               15     60
    15 parameters are trained, 0 frozen; 60 B of parameters
    """
    if not inputs:
        raise ArgumentError(
            "summary", "give the shape of each input", repair="summary(net, (1, 3, 32, 32))"
        )
    if all(isinstance(n, int) for n in inputs):
        inputs = (inputs,)
    rows = _rows(module, depth)
    recorder = _Recorder(rows)
    arguments = [_meta_input(module, value, dtype) for value in inputs]
    handles = [
        child.register_forward_hook(_output_noter(rows[_shown(path, depth)], path, depth))
        for path, child in module.named_modules()
    ]
    try:
        with _on_meta(module), mode.grad_mode(False), mode.recording(recorder):
            module(*arguments)
    finally:
        for handle in handles:
            handle.remove()
    return _with_totals(module, rows, depth)


class _Recorder(mode.Recorder):
    """Adds the operations of each operator to the module in whose forward it ran."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self.rows = rows

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        specs = tuple(spec_of(x.array) if isinstance(x, Tensor) else x for x in inputs)
        count = op.count_flops(specs, attrs)
        name = scope.name if scope is not None else ""
        while name and name not in self.rows:
            name = name.rpartition(".")[0]
        self.rows[name].flops += count


def _rows(module: Module, depth: int | None) -> dict[str, Row]:
    return {
        path: Row(path or "model", type(child).__name__)
        for path, child in module.named_modules()
        if path == _shown(path, depth)
    }


def _shown(path: str, depth: int | None) -> str:
    """The path of the module that stands for this one in a table of limited depth."""
    return path if depth is None else ".".join(path.split(".")[:depth] if path else [])


def _output_noter(row: Row, path: str, depth: int | None) -> Any:
    def note(module: Module, args: Any, output: Any) -> None:
        if path == _shown(path, depth):
            row.calls += 1
            row.output = _shape_text(output) + (f" x{row.calls}" if row.calls > 1 else "")

    return note


def _shape_text(output: Any) -> str:
    if isinstance(output, Tensor):
        return str(output.shape)
    if isinstance(output, dict):
        return ", ".join(f"{name} {_shape_text(value)}" for name, value in output.items())
    if isinstance(output, (tuple, list)):
        return ", ".join(map(_shape_text, output))
    return type(output).__name__


def _meta_input(module: Module, value: Any, dtype: Any) -> Tensor:
    if isinstance(value, (tuple, list)) and all(isinstance(n, int) for n in value):
        floats = (p.dtype for p in module.parameters() if p.dtype.kind == "f")
        kind = next(floats, get_default_dtype()) if dtype is None else as_dtype(dtype)
        return Tensor(Spec(tuple(value), kind))
    return Tensor(spec_of(as_tensor(value).array))


@contextmanager
def _on_meta(module: Module) -> Iterator[None]:
    """Inside the block: no data in parameters and buffers, and evaluation mode."""
    tensors = list({id(t): t for t in (*module.parameters(), *module.buffers())}.values())
    arrays = [tensor.array for tensor in tensors]
    training = [(child, child.training) for child in module.modules()]
    try:
        for tensor in tensors:
            tensor.array = spec_of(tensor.array)
        module.eval()
        yield
    finally:
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.array = array
        for child, was in training:
            child.training = was


def _with_totals(module: Module, rows: dict[str, Row], depth: int | None) -> Summary:
    result = Summary(list(rows.values()), flops=sum(row.flops for row in rows.values()))
    for path, parameter in module.named_parameters():
        owner = path.rpartition(".")[0]
        size = parameter.numel()
        rows[_shown(owner, depth)].parameters += size
        result.parameters += size
        result.trainable += size if parameter.requires_grad else 0
        result.parameter_bytes += parameter.nbytes
    return result


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()


def _number(value: int) -> str:
    return f"{value:,}" if value else ""
