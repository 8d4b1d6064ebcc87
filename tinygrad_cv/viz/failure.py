"""Where a watched call failed, from the traceback of its error: the operator, the function of the
library or the line of the user's, the Tensors that it was given, and the module call around it.
"""

from __future__ import annotations

import dis
import inspect
import os
import sysconfig
import weakref
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.running import BackwardRun
from tinygrad_cv.core import mode
from tinygrad_cv.core.op import apply
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import TinygradError, is_internal, site_of
from tinygrad_cv.nn.module import Module
from tinygrad_cv.viz.arguments import bound, named

__all__ = ["Failure", "Refused", "Run", "failure_of", "states"]


class Run(NamedTuple):
    """An operator that ran, or (without outputs, and with a message) one that could not.
    ``states`` and ``made``: (node, index, array) of its inputs and outputs then; ``silent`` if it
    is a write that only its result tells of.
    """

    op: Any
    inputs: tuple[Any, ...]
    states: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    made: tuple[Any, ...]
    attrs: tuple[Any, ...]
    place: tuple[CodeType, int]
    scope: mode.Scope | None
    error: str = ""
    statistics: Any = None
    silent: bool = False


class Refused(NamedTuple):
    """An operator that refused its inputs, and the error, which the user may have caught."""

    error: weakref.ref[Exception]
    run: Run


class Failure(NamedTuple):
    """What a picture says of the end of a call.

    Attributes:
        text: type and message of the error, and what belongs to it: the whole of it.
        run: the operator that failed. None if it was another function or line: then ``name``,
            ``message``, ``given`` (Tensors by argument), ``attributes`` (other arguments),
            ``place`` and ``scope`` say what is known of it, and ``operators`` is 0 for a line.
    """

    text: str
    run: Run | None
    name: str = ""
    message: str = ""
    given: tuple[tuple[str, Tensor], ...] = ()
    attributes: tuple[tuple[str, Any], ...] = ()
    place: tuple[CodeType, int] | None = None
    scope: mode.Scope | None = None
    operators: int = 1


class _Step(NamedTuple):
    """A frame of the traceback; the instruction may be another than the frame's own by now."""

    frame: FrameType
    lasti: int

    @property
    def place(self) -> tuple[CodeType, int]:
        return self.frame.f_code, self.lasti


class _Call(NamedTuple):
    """A function that was called, and its arguments."""

    name: str
    arguments: list[tuple[str, Any]]

    @property
    def given(self) -> tuple[tuple[str, Tensor], ...]:
        return tuple(named(self.arguments))


def failure_of(
    error: Exception, runs: Sequence[Run], refused: Refused | None, caller: FrameType
) -> Failure:
    """What failed when ``error`` ended a call of which ``runs`` is what ran. ``refused`` is the
    last operator that refused its inputs, ``caller`` the frame that wanted the call.

    The innermost of these is taken: an operator, else the function of the library that the user's
    code (or a layer) called, else the line of the user's.
    """
    steps = list(_steps(error))
    users = [k for k, step in enumerate(steps) if _is_users(step.frame.f_code.co_filename)]
    last = max(users, default=-1)
    layer = max((k for k, s in enumerate(steps) if s.frame.f_code is _LAYER), default=-1)
    place = steps[last].place if users else (caller.f_code, caller.f_lasti)
    scope = mode.state().scope
    for frame, _ in steps:
        scope = frame.f_locals.get(_SCOPES.get(frame.f_code, ""), scope)
    text = _text(error, place)
    if refused is not None and refused.error() is error:
        return Failure(text, refused.run._replace(error=_short(error, place)))
    run = _operator(steps, runs)
    if run is not None:
        return Failure(text, run._replace(place=place, scope=scope, error=_short(error, place)))
    inside = steps[max(last + 1, layer) :]
    calls = [_call(s.frame) for s in inside if is_internal(s.frame.f_code.co_filename)]
    name = error.op if isinstance(error, TinygradError) else ""
    if calls:
        meant = [call for call in calls if call.name.strip("_") == name]
        call = next((call for call in (*meant, *calls) if call.given), calls[0])
        others = tuple((n, v) for n, v in call.arguments if _is_plain(v))
        message = _short(error, place)
        return Failure(text, None, name or call.name, message, call.given, others, place, scope)
    given = tuple(_at_hand(error, steps[last], runs)) if users else ()
    message = _short(error, place, typed=bool(name))
    kind = type(error).__name__
    return Failure(text, None, name or kind, message, given, (), place, scope, operators=0)


def states(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Where the inputs stand in the graph now: a later in-place write moves a Tensor on."""
    return tuple((t.node, t.index, t.array) if isinstance(t, Tensor) else None for t in inputs)


_LAYER = Module.__call__.__code__
# What opens a scope, and the variable that holds it; it is closed when the error arrives here.
_SCOPES = {_LAYER: "call", BackwardRun.__call__.__code__: "whole"}
_NUMPY = os.path.dirname(np.__file__) + os.sep
_PYTHON = (sysconfig.get_path("stdlib") + os.sep, "<frozen ")
_SITES = ("site-packages", "dist-packages")


def _steps(error: Exception) -> Iterator[_Step]:
    """From the function that was called to the line that raised."""
    trace = error.__traceback__
    trace = None if trace is None else trace.tb_next  # the first frame is the capture itself
    while trace is not None:
        yield _Step(trace.tb_frame, trace.tb_lasti)
        trace = trace.tb_next


def _is_users(filename: str) -> bool:
    """True for code that is neither ours nor Python's or NumPy's."""
    if is_internal(filename) or filename.startswith(_NUMPY):
        return False
    return not filename.startswith(_PYTHON) or any(part in filename for part in _SITES)


def _operator(steps: Sequence[_Step], runs: Sequence[Run]) -> Run | None:
    """The operator that was running, if one was."""
    step = next((s for s in reversed(steps) if s.frame.f_code is apply.__code__), None)
    if step is None:
        return None
    found = step.frame.f_locals
    if runs and runs[-1].outputs is found.get("outputs", ()):
        return None  # it did run; somebody who watched it raised
    inputs = tuple(found["inputs"])
    inputs = (*found["tensors"], *inputs[len(found["tensors"]) :]) if "tensors" in found else inputs
    return Run(found["op"], inputs, states(inputs), (), (), found["attrs"], step.place, None)


def _call(frame: FrameType) -> _Call:
    """The function of a frame; where it only passes on what it is given, the one that gets it."""
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount
    names = list(code.co_varnames[:count])
    starred: dict[int, Any] = {}
    for flag in (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS):
        if code.co_flags & flag:
            starred[flag] = values.get(code.co_varnames[count + len(starred)])
    if len(starred) == 2:
        own = [values[name] for name in names[: code.co_argcount] if name in values]
        held = [values[name] for name in code.co_freevars if name in values]
        inner = next((value for value in (*held, *own) if callable(value)), None)
        if inner is not None:
            args, kwargs = starred.values()
            given = (*(value for value in own if value is not inner), *(args or ()))
            name = getattr(inner, "__name__", type(inner).__name__)
            return _Call(name, _renamed(bound(inner, given, kwargs or {})))
    names += code.co_varnames[count : count + len(starred)]
    return _Call(code.co_name, _renamed([(n, values[n]) for n in names if n in values]))


def _renamed(arguments: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [("input" if name == "self" else name, value) for name, value in arguments]


def _is_plain(value: Any) -> bool:
    """True for what a picture can show of an argument that is no Tensor."""
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return isinstance(value, (bool, int, float, str, slice, np.dtype)) or value is Ellipsis


def _at_hand(error: Exception, step: _Step, runs: Sequence[Run]) -> Iterator[tuple[str, Tensor]]:
    """What a line of the user's that raised had before it: the Tensor that the error is about,
    else what the line has just computed, else the Tensors that it names, else the last result.
    """
    code, frame = step.frame.f_code, step.frame
    names = {id(tensor): name for name, tensor in named(frame.f_locals.items())}
    spans = list(code.co_positions())
    line = spans[step.lasti // 2]
    inside = {2 * k for k, span in enumerate(spans) if _holds(line, span)}
    about = getattr(error, "obj", None)  # of an AttributeError
    last = runs[-1] if runs else None
    if isinstance(about, Tensor):
        found = [about]
    elif last is not None and last.place[0] is code and last.place[1] in inside:
        found = list(last.outputs)
    else:
        scope = {**frame.f_globals, **frame.f_locals}
        read = (i.argval for i in dis.get_instructions(code) if i.offset in inside and _loads(i))
        held = {name: scope[name] for name in read if name in scope}
        names |= {id(tensor): name for name, tensor in named(held.items())}
        found = [tensor for _, tensor in named(held.items())]
        found = found or list(last.outputs if last is not None else ())
    yield from ((names.get(id(tensor), ""), tensor) for tensor in found)


def _holds(line: Sequence[int | None], span: Sequence[int | None]) -> bool:
    """True if the lines of ``span`` lie in those of ``line``."""
    begin, end = line[0], line[1]
    if begin is None or end is None or span[0] is None or span[1] is None:
        return False
    return begin <= span[0] and span[1] <= end


def _loads(instruction: dis.Instruction) -> bool:
    return instruction.opname.startswith("LOAD_") and isinstance(instruction.argval, str)


def _short(error: Exception, place: tuple[CodeType, int], typed: bool = True) -> str:
    """One line for the box; for what is no error of ours with the line of the user's, and with
    its type unless the box has that for a name.
    """
    lines = _message(error).splitlines() or [""]
    if isinstance(error, TinygradError):
        return lines[0]
    site = site_of(*place)
    where = f"{os.path.basename(site.filename)}:{site.line}"
    where = f"{type(error).__name__} at {where}" if typed else where
    return f"{where}: {lines[0]}".removesuffix(": ")


def _text(error: Exception, place: tuple[CodeType, int]) -> str:
    """Type and message; for what is no error of ours also its notes, the line of the user's, and
    what caused it.
    """
    if isinstance(error, TinygradError):
        return _headed(error)
    notes = [line for note in getattr(error, "__notes__", ()) for line in note.splitlines()]
    lines = [_headed(error), *notes, f"at {site_of(*place)}"]
    causes: list[BaseException] = [error]
    while (cause := _cause(causes[-1])) is not None and cause not in causes:
        causes.append(cause)
        lines += f"caused by {_headed(cause)}".splitlines()
    return "\n  ".join(lines)


def _headed(error: BaseException) -> str:
    return f"{type(error).__name__}: {_message(error)}".removesuffix(": ")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # of a class of the user's
        return f"<its message cannot be had: {type(problem).__name__}>"


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
