"""Every error a user can meet, the one formatter of their messages, and the line of the user's code
that they name.

A message says, in this order: the operator, what is wrong, the law with the numbers put in, the
shapes with axis letters, a repair that works, and the module path when there is one::

    ShapeError: conv2d: the kernel does not fit the input
      H_out = floor((H_in + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1
            = floor((3 + 2*0 - 1*(7 - 1) - 1) / 1) + 1 = -3
      input  (1, 3, 3, 32)  [N, C, H, W]
      weight (8, 3, 7, 3)   [O, C/groups, KH, KW]
      Any of these fits: H_in >= 7, padding >= 2, kernel <= 3.
      in model.features.0 (Conv2d)
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

__all__ = [
    "ArgumentError",
    "BackendError",
    "DTypeError",
    "DataError",
    "GradcheckError",
    "GraphError",
    "RangeError",
    "ShapeError",
    "Site",
    "TinygradError",
    "site_of",
    "user_frame",
]


# The repair where None stands for a tensor.
NO_VALUE = "A function without return gives None: is a return missing, as at the end of forward()?"


class TinygradError(Exception):
    """Base of all errors raised on purpose by tinygrad_cv.

    Args:
        op: the operator or function that refuses, as the user spells it (``"conv2d"``).
        problem: one line: what is wrong, with the numbers.
        law: lines of the rule that was broken, first with letters, then with numbers.
        values: rows ``(name, shape or value, axis letters)``.
        repair: one line: how to mend the call.
        repairs: the same in a form a program can apply, one ``{argument: value}`` per way out.
        notes: further lines, such as the places in the user's code that are involved.

    All of these are attributes, for programs; ``str(error)`` is the text for people.

    >>> print(TinygradError("sqrt", "-1 has no root", repair="Use abs()."))
    sqrt: -1 has no root
      Use abs().
    """

    def __init__(
        self,
        op: str,
        problem: str,
        *,
        law: Sequence[str] = (),
        values: Sequence[tuple[Any, ...]] = (),
        repair: str | None = None,
        repairs: Sequence[Mapping[str, Any]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(op, problem)
        self.op = op
        self.problem = problem
        self.law = tuple(law)
        self.values = tuple(values)
        self.repair = repair
        self.repairs = [dict(r) for r in repairs]
        self.notes = list(notes)
        self.module_path: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.problem}"]
        lines += [f"  {line}" for line in self.law]
        lines += [f"  {line}" for line in _table(self.values)]
        if self.repair:
            lines.append(f"  {self.repair}")
        lines += [f"  {note}" for note in self.notes]
        if self.module_path not in (None, self.op):
            lines.append(f"  in {self.module_path}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[TinygradError], state: dict[str, Any]) -> TinygradError:
    error = kind(state["op"], state["problem"])
    error.__dict__.update(state)
    return error


def _table(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Rows ``(name, value, letters)`` as aligned lines."""
    cells = [tuple(str(c) for c in row) for row in rows]
    name_width = max((len(row[0]) for row in cells), default=0)
    value_width = max((len(row[1]) for row in cells if len(row) > 1), default=0)
    lines = []
    for name, *rest in cells:
        value = rest[0] if rest else ""
        letters = rest[1] if len(rest) > 1 else ""
        lines.append(f"{name:<{name_width}} {value:<{value_width}}  {letters}".rstrip())
    return lines


class ShapeError(TinygradError, ValueError):
    """Shapes, or attributes that compute a shape, do not fit together.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.ones(2, 3) + tg.ones(2, 4)
    ... except tg.ShapeError as error:
    ...     print(error)
    add: the shapes do not broadcast: axis -1 has sizes 3 and 4
      sizes, aligned at the last axis, must be equal or 1
      input (2, 3)
      other (2, 4)
      Any of these fits: other (2, 3), input (2, 4).
    """


class DTypeError(TinygradError, TypeError):
    """A dtype that the operator does not take, or a value of the wrong Python type.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.arange(3).requires_grad_()
    ... except tg.DTypeError as error:
    ...     print(error.problem)
    only floating tensors have gradients, this one is int64
    """


class ArgumentError(TinygradError, ValueError):
    """An argument whose value is outside what the function accepts.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.nn.Dropout(80)
    ... except tg.ArgumentError as error:
    ...     print(error.problem)
    p is the probability to drop and must be in [0, 1], it is 80
    """


class RangeError(TinygradError, IndexError):
    """An index or a class label outside its range.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.arange(3)[5]
    ... except tg.RangeError as error:
    ...     print(error.op)
    getitem
    """


class GraphError(TinygradError, RuntimeError):
    """The graph cannot do what was asked: freed, cut, overwritten, or without data.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.ones(2).sum().backward()
    ... except tg.GraphError as error:
    ...     print(error.repair)
    Call requires_grad_() on the inputs or parameters before the forward pass. If it is itself a
    gradient, compute that with create_graph=True.
    """


class GradcheckError(TinygradError, RuntimeError):
    """A gradient is not the one that differences of values give, or cannot be compared with it.

    >>> import tinygrad_cv as tg
    >>> try:  # in float32
    ...     tg.autograd.gradcheck(lambda x: x * x, tg.ones(2, requires_grad=True))
    ... except GradcheckError as error:
    ...     print(error.repair)
    Use float64 (t.double()) for the inputs and inside the function.
    """


class BackendError(TinygradError, RuntimeError):
    """A device or an optional library is missing or cannot be used.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.ones(2).to("meta") + tg.ones(2)
    ... except tg.BackendError as error:
    ...     print(error.problem)
    the inputs are on different devices
    """


class DataError(TinygradError, ValueError):
    """A data file is missing, truncated or not what its name promises.

    >>> import tinygrad_cv as tg
    >>> try:
    ...     tg.data.read_idx("no-such-file")
    ... except tg.DataError as error:
    ...     print(error.problem)
    there is no file 'no-such-file'
    """


class Site(NamedTuple):
    """A place in the user's code.

    >>> print(Site("train.py", 12, "step"))
    train.py:12 in step
    """

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"


# The line that an error shows is the user's, not ours: frames inside the package are stepped over.
# Sets of file names, filled as files are met, because comparing path prefixes for every operator
# would be slow.
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_SHOWN = (_HERE + "testing",)
_INTERNAL_FILES: set[str] = {__file__}
USER_FILES: set[str] = set()


def is_internal(filename: str) -> bool:
    """True for a file of the package whose lines are none of the user's.

    >>> is_internal(__file__), is_internal("train.py")
    (True, False)
    """
    return filename.startswith(_HERE) and not filename.startswith(_SHOWN)


def user_frame(depth: int = 1) -> FrameType:
    """The nearest frame above ``depth`` that is not inside the package.

    >>> user_frame().f_code.co_name
    '<module>'
    """
    frame: FrameType = sys._getframe(depth)
    outermost = frame
    while True:
        name = frame.f_code.co_filename
        if name not in _INTERNAL_FILES:
            if name in USER_FILES:
                return frame
            inside = is_internal(name)
            (_INTERNAL_FILES if inside else USER_FILES).add(name)
            if not inside:
                return frame
        if frame.f_back is None:
            return outermost
        frame = frame.f_back


def site_of(code: CodeType, lasti: int) -> Site:
    """The line of an instruction; ``frame.f_code`` and ``frame.f_lasti`` are cheap to keep."""
    line = next(itertools.islice(code.co_positions(), lasti // 2, None), (None,))[0]
    return Site(code.co_filename, line or code.co_firstlineno, code.co_name)
