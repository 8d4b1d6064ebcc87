"""Looking for the operator that went wrong: non-finite values, and writes that nobody recorded."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_cv.backend.array import is_array, on_device_of, to_numpy, xp_of
from tinygrad_cv.backend.blame import with_origins
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.mode import Recorder, Scope, watching
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import GraphError, TinygradError, site_of, user_frame

__all__ = ["detect_anomaly"]


@contextmanager
def detect_anomaly(check_nan: bool = True) -> Iterator[None]:
    """Find the first operator that goes wrong inside the block, forward or backward. Slow: every
    value is read once more, and what is saved for backward is read twice.

    * An operator that makes a NaN or an infinity out of finite inputs, or a NaN out of infinities,
      raises, with the shapes and ranges of its inputs and the line that ran it.
    * A gradient rule that does so raises, with the operator, its line and the range of what it was
      given.
    * A saved value that was changed behind the engine's back, through ``t.numpy()`` or another
      alias, raises when backward is about to use it. (Writes through Tensors are always found.)

    Forward and backward must both run inside the block. An operator that was told a non-finite
    number, such as ``masked_fill(mask, -inf)``, may return it. NaN that were in the data before
    make a warning, once, at the first operator that passes them on. Saved values that are packed
    away (``saved_tensors_hooks``) or computed again (``checkpoint``) are not looked at for writes.

    Args:
        check_nan: False looks for unrecorded writes only.

    Raises:
        GraphError: as above.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 0.0], requires_grad=True)
    >>> try:
    ...     with detect_anomaly():
    ...         y = x.log()
    ... except tg.GraphError as error:
    ...     print(error.problem)
    the first value that is not finite (-inf) appeared here
    """
    with watching(_Detector(check_nan)):
        yield


class _Detector(Recorder):
    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan
        self.came_in = ""  # how NaN came in, once it is known
        self.given: Any = None  # the gradient that the rules are reading
        self.sums: WeakKeyDictionary[Node, list[int]] = WeakKeyDictionary()

    def add(self, op: Any, inputs: Any, outputs: Any, attrs: Any, frame: Any, scope: Any) -> None:
        if self.check_nan:
            found = _worst(t.array for t in outputs)
            given = [t.array if isinstance(t, Tensor) else t for t in inputs]
            before = _worst((*given, *attrs))
            if found and before != "nan" and (found == "nan" or not before):
                error = GraphError(
                    op.name,
                    f"the first value that is not finite ({found}) appeared here",
                    values=[_range(n, x) for n, x in _named(op, given)],
                    repair="Keep the inputs away from where the function has no finite value.",
                )
                with_origins(error, op, inputs, frame)
                raise _placed(error, scope)
            if found == "nan" and not self.came_in:
                self._note(op, given, frame, scope)
        node = outputs[0].node
        if isinstance(node, Node) and node.op is op and type(node.saved) is tuple:
            self.sums[node] = _checksums(node)

    def _note(self, op: Any, given: list[Any], frame: Any, scope: Scope | None) -> None:
        """Warn that an input held NaN before: no operator in the block made it."""
        for name, value in _named(op, given):
            if _not_finite(value) == "nan":
                count = int((value != value).sum())
                inside = "" if scope is None else f" in {scope.path}"
                self.came_in = (
                    f"{op.name}{inside} was given {count} NaN, of {np.size(value)} values, as "
                    f"{name!r}, and no operator inside the block made them: they were in the data, "
                    "the parameters or the buffers before"
                )
                warnings.warn_explicit(
                    f"detect_anomaly: {self.came_in}. This warning comes once.",
                    UserWarning,
                    frame.f_code.co_filename,
                    frame.f_lineno,
                )
                self.came_in += f"; it ran at {site_of(frame.f_code, frame.f_lasti)}"
                return

    def arrived(self, node: Node, gradient: Any) -> None:
        self.given = gradient
        known = self.sums.get(node)
        if known is None or type(node.saved) is not tuple:  # it ran before the block, or is packed
            return
        for name, before, now in zip(node.plan.names, known, _checksums(node), strict=True):
            if before != now:
                raise node.blame(
                    GraphError(
                        "backward",
                        f"{name!r}, which {node.op.name} saved for its gradient, was changed by a "
                        "write that was not recorded",
                        repair="Do not write into t.numpy(), or into an array that a tensor was "
                        "made from; write to a copy.",
                        notes=_lines(node),
                    )
                )

    def differentiated(self, node: Node, gradients: Any) -> None:
        found = [(k, _not_finite(_raw(g))) for k, g in enumerate(gradients) if g is not None]
        bad = next(((k, value) for k, value in found if value), None)
        given = self.given if isinstance(self.given, tuple) else (self.given,)
        self.given = None
        if not self.check_nan or bad is None or any(_not_finite(_raw(g)) for g in given):
            return
        k, value = bad
        name = node.op.inputs[0 if node.op.variadic else k]
        raise node.blame(
            GraphError(
                "backward",
                f"the first gradient that is not finite ({value}) is that of {name!r} in "
                f"{node.op.name}",
                law=[f"d{name}: {node.op.gradients[name]}"] if name in node.op.gradients else [],
                values=[_range("g", _raw(g)) for g in given],
                repair=_way_out(node),
                notes=[*_lines(node), *filter(None, [self.came_in])],
            )
        )


def _way_out(node: Node) -> str:
    for name, value in zip(node.plan.names, node.saved, strict=True):
        found = next(filter(None, map(_not_finite, value if type(value) is tuple else [value])), "")
        if found:
            return f"Mend where {name!r} comes from: it held {found} when {node.op.name} ran."
    return "The gradient has no finite value at these inputs: keep away from them."


def _lines(node: Node) -> list[str]:
    """Where the operator ran, and the backward that is going on."""
    frame = user_frame(2)
    now = site_of(frame.f_code, frame.f_lasti)
    return [f"{node.op.name} ran at {node.site}", f"backward ran at {now}"]


def _placed(error: TinygradError, scope: Scope | None) -> TinygradError:
    if scope is not None:
        error.module_path = scope.path
    return error


def _raw(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _named(op: Any, given: list[Any]) -> list[tuple[str, Any]]:
    if op.variadic:
        return [(f"{op.inputs[0]}[{k}]", x) for k, x in enumerate(given)]
    return [(name, x) for name, x in zip(op.inputs, given, strict=True) if x is not None]


def _not_finite(value: Any) -> str:
    """ "nan" if there is one, else the first infinity as text; empty if all values are finite."""
    if isinstance(value, (float, np.floating)):
        return "" if np.isfinite(value) else str(value)
    if not is_array(value) or isinstance(value, Spec) or value.dtype.kind != "f":
        return ""
    with on_device_of(value):
        bad = value[~xp_of(value).isfinite(value)]
        return "" if not bad.size else "nan" if bool((bad != bad).any()) else str(bad[0])


def _worst(values: Iterable[Any]) -> str:
    """The same of several values: NaN counts more than an infinity."""
    found = set(map(_not_finite, values)) - {""}
    return "nan" if "nan" in found else next(iter(found), "")


def _range(name: str, value: Any) -> tuple[Any, ...]:
    """A row of an error: shape and range of the values."""
    if not is_array(value) or value.size == 0:
        return (name, getattr(value, "shape", value))
    values = to_numpy(value)
    low, high = f"{values.min():g}", f"{values.max():g}"
    return (name, value.shape, f"from {low} to {high}" if low != high else f"all {low}")


def _checksums(node: Node) -> list[int]:
    """One number for each value that ``node`` saved."""
    sums = []
    for value in node.saved:
        total = 0
        for item in value if isinstance(value, tuple) else (value,):
            if is_array(item) and not isinstance(item, Spec):
                total = zlib.crc32(np.ascontiguousarray(to_numpy(item)).data, total)
        sums.append(total)
    return sums
