"""Elementwise operators: broadcasting, promotion, and the short path for small arrays.

A subclass of :class:`Unary` or :class:`Binary` names a NumPy ufunc or writes ``forward``; the rest
is derived. For small float arrays the derived function computes and records in one step, without
tables or loops: a 4x4 addition is then bound by NumPy, not by the graph.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv.backend.blame import passed_on
from tinygrad_cv.backend.dtypes import bool_, get_default_dtype, promote
from tinygrad_cv.backend.elementwise import SMALL, quietly, run_ufunc
from tinygrad_cv.backend.spec import Spec, broadcast_layout
from tinygrad_cv.backend.writes import clock
from tinygrad_cv.core.mode import state
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.op import Op, apply, general_call
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import USER_FILES, user_frame
from tinygrad_cv.ops._broadcast import common_shape

__all__ = ["Binary", "Elementwise", "Unary"]

_F32, _F64 = np.dtype("float32"), np.dtype("float64")


class Elementwise(Op, abstract=True):
    """An operator that works element by element on broadcast inputs.

    Class attributes:
        ufunc: name of the NumPy function behind ``forward``; empty if ``forward`` is written out.
        result: "promote" (PyTorch's common dtype), "float" (integers become the default float dtype
            first) or "bool" (compares after promotion).
    """

    elementwise = True
    shaped = False
    edges = "NaN and infinity as in IEEE 754"
    cost = "1 per element"
    ufunc: ClassVar[str] = ""
    result: ClassVar[str] = "promote"

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        if not abstract and cls.ufunc and "forward" not in cls.__dict__:

            def forward(xp: Any, *arrays: Any) -> Any:
                return run_ufunc(xp, cls.ufunc, arrays, cls.infer)

            cls.forward = staticmethod(forward)
            cls.forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [
                    inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                    for n in ("xp", *cls.inputs)
                ]
            )
        super().__init_subclass__(abstract=abstract, **kwargs)

    @classmethod
    def _is_short(cls) -> bool:
        """True if the hot path below can serve small arrays: no attributes, one result."""
        return not cls.attributes and not cls.residuals and len(cls.outputs) == 1

    @classmethod
    def _on_numpy(cls) -> Callable[..., Any]:
        """``forward`` for small NumPy arrays."""
        derived = cls.ufunc and cls.forward.__qualname__.startswith("Elementwise.")
        return getattr(np, cls.ufunc) if derived else functools.partial(cls.forward, np)

    @classmethod
    def promoted(cls, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs in their common dtype; Python numbers stay Python numbers where they are
        weak."""
        dtype = cls._common_dtype(arrays)
        return tuple(_cast(x, dtype) for x in arrays)

    @classmethod
    def _common_dtype(cls, operands: tuple[Any, ...]) -> np.dtype[Any]:
        dtype = promote(*(x for x in operands if x is not None))
        return get_default_dtype() if cls.result == "float" and dtype.kind != "f" else dtype

    @classmethod
    def infer(cls, *args: Any) -> Spec:
        operands = args[: len(cls.inputs)]
        specs = tuple(s for s in operands if isinstance(s, Spec))
        shape = common_shape(cls.name, **dict(zip(cls.inputs, operands, strict=True)))
        dtype = bool_ if cls.result == "bool" else cls._common_dtype(operands)
        return Spec(shape, dtype, broadcast_layout(shape, specs))

    @classmethod
    def flops(cls, *args: Any) -> int:
        return cls.infer(*args).size


def _cast(value: Any, dtype: np.dtype[Any]) -> Any:
    kind = type(value)
    if kind in (float, int, bool):
        return value if dtype.kind == "f" or kind is not float else dtype.type(value).item()
    if value is None or value.dtype == dtype:
        return value
    return value._replace(dtype=dtype) if isinstance(value, Spec) else value.astype(dtype)


class Unary(Elementwise, abstract=True):
    """y = f(x), element by element."""

    inputs = ("input",)

    @classmethod
    def _make_call(cls) -> Callable[..., Any]:
        return _short_unary(cls) if cls._is_short() else super()._make_call()


class Binary(Elementwise, abstract=True):
    """y = f(a, b), element by element, with broadcasting; either may be a Python number."""

    inputs = ("input", "other")

    @classmethod
    def _make_call(cls) -> Callable[..., Any]:
        return _short_binary(cls) if cls._is_short() else super()._make_call()


# The two functions below are the hot path. They repeat in one body what `apply` does in steps, for
# the case that is most frequent and cheapest: small float32 or float64 NumPy arrays of one dtype,
# for which no kernel of the table would be quicker than NumPy. Everything else goes to `apply`, and
# so do operands that may have made NumPy put the result in an order of its own, which
# `in_promised_order` mends: those that neither lie row by row nor as the result does.


def _short_unary(op: type[Unary]) -> Callable[..., Any]:
    compute, raw = op._on_numpy(), general_call(op)
    has_rule = "input" in op.rules
    plan: Any = None  # made when first met
    isinstance_, new, getframe, ndarray = isinstance, object.__new__, sys._getframe, np.ndarray
    tick, users, f32, f64 = clock.tick, USER_FILES, _F32, _F64

    def call(input: Any) -> Any:
        nonlocal plan
        if not isinstance_(input, Tensor):
            return raw(input)
        x = input.array
        mode = state()
        if type(x) is not ndarray or x.size > SMALL or mode.record:
            return apply(op, (input,), ())
        d = x.dtype
        if d is not f32 and d is not f64:
            return apply(op, (input,), ())
        try:
            out = quietly(compute, x)
        except (TypeError, RuntimeError):
            # A dtype that `apply` explains; or another thread is in the quiet context.
            return apply(op, (input,), ())
        if type(out) is not ndarray:
            out = np.asarray(out)
        gaps = x.base is not None and x.strides != out.strides  # what owns its memory has none
        if gaps and not x.flags.c_contiguous and out.ndim > 2:
            return apply(op, (input,), ())
        result = new(Tensor)
        result.array = out
        result.index = 0
        result._grad = result.cut = None
        result.is_view = False
        source = input.node
        if source is None or not has_rule or not mode.grad:
            result.node = None
            if source is not None:
                result.cut = mode.place if has_rule else op
            elif input.cut is not None:
                result.cut = passed_on(input.cut, mode.scope)
            return result
        if plan is None:
            plan = op.plan(1)
        node = new(Node)
        node.plan = plan
        node.attrs = ()
        node.edges = (source,)
        node.indices = (input.index,) if input.index else None
        node.saved = plan.save(x, out)
        node.shape = out.shape
        node.dtype = d
        node.rest = ()
        node.scope = mode.scope
        node.stamp = tick()
        node.hooks = None
        node.fits = not input.index and source.shape == node.shape
        frame = getframe(1)
        node.code = code = frame.f_code
        if code.co_filename not in users:
            frame = user_frame(1)
            node.code = frame.f_code
        node.lasti = frame.f_lasti
        result.node = node
        return result

    return call


def _short_binary(op: type[Binary]) -> Callable[..., Any]:
    compute, raw = op._on_numpy(), general_call(op)
    plans: list[Any] = [None] * 4  # by which of the two need a gradient; made when first met
    isinstance_, new, getframe, ndarray = isinstance, object.__new__, sys._getframe, np.ndarray
    tick, users, f32, f64 = clock.tick, USER_FILES, _F32, _F64

    def call(input: Any, other: Any) -> Any:
        if isinstance_(input, Tensor):
            x = input.array
            if isinstance_(other, Tensor):
                y = other.array
                right = other.node
                right_index = other.index
            elif type(other) is float or type(other) is int:
                y = other
                right = None
                right_index = 0
            else:
                return apply(op, (input, other), ())
        elif isinstance_(other, Tensor):
            return apply(op, (input, other), ())
        else:
            return raw(input, other)
        mode = state()
        if type(x) is not ndarray or x.size > SMALL or mode.record:
            return apply(op, (input, other), ())
        d = x.dtype
        if d is not f32 and d is not f64:
            return apply(op, (input, other), ())
        if type(y) is ndarray:
            if d is not y.dtype:
                return apply(op, (input, other), ())
        elif y is not other:  # an array of another device, or no array at all
            return apply(op, (input, other), ())
        try:
            out = quietly(compute, x, y)
        except (ValueError, TypeError, OverflowError, RuntimeError):
            # Arguments that `apply` explains; or another thread is there.
            return apply(op, (input, other), ())
        if type(out) is not ndarray:
            out = np.asarray(out)
        shape = out.shape
        number = y is other
        if len(shape) > 2 and not (x.flags.c_contiguous and (number or y.flags.c_contiguous)):
            alike = x.shape == shape and x.strides == out.strides
            if not alike or not (number or y.shape != shape or y.strides == out.strides):
                return apply(op, (input, other), ())
        result = new(Tensor)
        result.array = out
        result.index = 0
        result._grad = result.cut = None
        result.is_view = False
        left = input.node
        if left is None and right is None:
            result.node = None
            if input.cut is not None:
                result.cut = passed_on(input.cut, mode.scope)
            elif not number and other.cut is not None:
                result.cut = passed_on(other.cut, mode.scope)
            return result
        if not mode.grad:
            result.node = None
            result.cut = mode.place
            return result
        needs = (left is not None) + 2 * (right is not None)
        plan = plans[needs]
        if plan is None:
            if not op.rules:
                result.node = None
                result.cut = op
                return result
            if needs & ~op.differentiable:
                return apply(op, (input, other), ())
            plan = plans[needs] = op.plan(needs)
        node = new(Node)
        node.plan = plan
        node.attrs = ()
        node.edges = (left, right)
        if input.index or right_index:
            node.indices = (input.index, right_index)
            node.fits = False
        else:
            node.indices = None
            node.fits = (left is None or left.shape == shape) and (
                right is None or right.shape == shape
            )
        node.saved = plan.save(x, y, out)
        node.shape = shape
        node.dtype = d
        node.rest = ()
        node.scope = mode.scope
        node.stamp = tick()
        node.hooks = None
        frame = getframe(1)
        node.code = code = frame.f_code
        if code.co_filename not in users:
            frame = user_frame(1)
            node.code = frame.f_code
        node.lasti = frame.f_lasti
        result.node = node
        return result

    return call
