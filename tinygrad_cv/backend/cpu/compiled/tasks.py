"""Loops that several threads share: ``for worker in shared(0, workers, task)``.

Numba has such loops (``prange``), but makes a function of each and passes it through LLVM four
times, with all that it calls, which would be most of the time that a first step takes. Here a
kernel stays one function. Called from Python, its last argument, ``task``, is negative: at a shared
loop it has all threads call the kernel again, with the same arguments and a task for each iteration
of the loop, and waits for them. Called with a task, the loop of that task does one iteration, and
all others do none.

So what stands between loops is done again by every task. What must be done once, such as adding
up what threads have left, stands behind ``if task < 0``, and what it leaves for the next loop lies
in arguments: variables are those of one call.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_cv.backend.cpu.compiled.vector import BYTE, WORD
from tinygrad_cv.backend.cpu.compiling import routine

__all__ = ["shared"]

_POINTER = BYTE.as_pointer()
_TASK = ir.FunctionType(ir.VoidType(), [_POINTER, WORD])
_COUNTER = re.compile(r"arg\.[^.]+\.[01]")  # in Numba's name of an argument: who counts an array
_LOOP = 32  # a task is the number of its loop times 2^32, and the iteration


@njit(inline="always")
def shared(loop, count, task):
    """Of the iterations 0 to ``count``, those that this call of the kernel does.

    Args:
        loop: numbers the loops of a kernel.
        count: the number of iterations; which thread does which is not said.
        task: the last argument of the kernel.
    """
    worker = -1
    if task < 0:
        place = _arguments()
        launch(_again(), place, loop << _LOOP, count)
        _leave_if_one_failed(place)
    elif task >> _LOOP == loop:
        worker = task & ((1 << _LOOP) - 1)
    return range(max(worker, 0), worker + 1)


@partial(routine, parallel=True)
def launch(function: int, place: int, first: int, count: int) -> None:
    """Call the function at an address with ``place`` and the tasks from ``first`` on."""
    for k in prange(count):
        _call(function, place, first + np.int64(k))


@intrinsic
def _call(typingctx: Any, function: Any, place: Any, task: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function, place, task = arguments
        function = builder.inttoptr(function, _TASK.as_pointer())
        builder.call(function, [builder.inttoptr(place, _POINTER), task])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit


def _record(function: Any) -> Any:
    """What is written down for the tasks: all arguments but the task, and a status that is not 0
    once one has failed."""
    return ir.LiteralStructType([a.type for a in function.args[:-1]] + [function.return_value.type])


@intrinsic
def _arguments(typingctx: Any) -> Any:
    """The address of the record of this call."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = builder.function
        kind = _record(function)
        record = cgutils.alloca_once(builder, kind)
        values = [*function.args[:-1], kind.elements[-1](0)]
        for k, value in enumerate(values):
            builder.store(value, cgutils.gep_inbounds(builder, record, 0, k))
        return builder.ptrtoint(record, WORD)

    return types.intp(), emit


@intrinsic
def _again(typingctx: Any) -> Any:
    """The address of a function of a record and a task that calls this kernel."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kernel, module = builder.function, builder.module
        name = f"{kernel.name}.task"
        if name not in module.globals:
            kernel.attributes.add("noinline")  # once is enough
            function = ir.Function(module, _TASK, name)
            function.linkage = "internal"
            inside = ir.IRBuilder(function.append_basic_block())
            kind = _record(kernel)
            record = inside.bitcast(function.args[0], kind.as_pointer())
            *places, status = (
                cgutils.gep_inbounds(inside, record, 0, k) for k in range(len(kind.elements))
            )
            # Numba counts who holds an array, also when it calls a function with a part of one. The
            # tasks leave it be: threads that take a counter away from each other lose more time
            # than a short row takes, and the first call holds the arrays.
            values = [
                a.type(None) if _COUNTER.fullmatch(a.name) else inside.load(place)
                for a, place in zip(kernel.args, places, strict=False)
            ]
            found = inside.call(kernel, [*values, function.args[1]])
            with inside.if_then(inside.icmp_signed("!=", found, found.type(0))):
                inside.store(found, status)
            inside.ret_void()
        return builder.ptrtoint(module.globals[name], WORD)

    return types.intp(), emit


@intrinsic
def _leave_if_one_failed(typingctx: Any, place: Any) -> Any:
    """Return from the kernel with the status of a task that failed, whose error is the kernel's."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _record(builder.function)
        record = builder.inttoptr(arguments[0], kind.as_pointer())
        status = cgutils.gep_inbounds(builder, record, 0, len(kind.elements) - 1)
        found = builder.load(status)
        with cgutils.if_unlikely(builder, builder.icmp_signed("!=", found, found.type(0))):
            builder.ret(found)
        return context.get_dummy_value()

    return types.void(types.intp), emit
