"""New tensors: from data, filled with one value, and counted.

Without ``dtype`` floats are float32 (see ``set_default_dtype``) and integers int64; without
``device`` the tensor lies on the default device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.array import as_device, asarray, copy_of
from tinygrad_cv.backend.blame import Detached
from tinygrad_cv.backend.dtypes import as_dtype, bool_, get_default_dtype, int64
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.mode import state
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.core.tensor import as_tensor as _as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, user_frame
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._new import checked_shape, made

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "is_tensor",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]

CREATION = (
    "arange",
    "as_tensor",
    "empty",
    "eye",
    "from_numpy",
    "full",
    "is_tensor",
    "linspace",
    "ones",
    "tensor",
    "zeros",
)
TG_FUNCTIONS = (
    *CREATION,
    "empty_like",
    "full_like",
    "ones_like",
    "zeros_like",
)

Shape = tuple[int, ...]


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``.

    Args:
        data: a number, nested lists, a NumPy or CuPy array, or a tensor, whose gradient is cut.
        dtype: default: that of an array or tensor; of Python numbers bool, int64 or the default
            float dtype.
        device: default: that of a tensor, else the default device.
        requires_grad: ask for a gradient.

    Raises:
        ArgumentError: nested lists of different lengths.
        GraphError: tensors in lists that require a gradient, which ``stack`` keeps.
        DTypeError: a dtype that is not supported; a gradient for integers.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    cut = None
    if isinstance(data, Tensor):
        array = asarray(data.array, dtype, data.device if device is None else device)
        given, cut = data.array, data.cut
        if data.node is not None:
            cut = Detached(user_frame(), state().scope, "tg.tensor(), which copies,")
    else:
        try:
            array = asarray(data, dtype, as_device(device))
        except GraphError as error:
            error.op, error.repair = "tensor", "Use tg.stack([...]), which keeps it, or t.detach()."
            raise
        given = data
    if not isinstance(array, Spec) and (array is given or _share(array, given)):
        array = copy_of(array)
    made = Tensor(array, requires_grad=requires_grad)
    made.cut = cut
    return made


def _share(array: Any, given: Any) -> bool:
    return (
        isinstance(array, np.ndarray)
        and isinstance(given, np.ndarray)
        and np.shares_memory(array, given)
    )


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor: itself if it is one that fits, else a tensor that shares memory where
    it can.

    >>> import numpy as np, tinygrad_cv as tg
    >>> array = np.zeros(2)
    >>> tg.as_tensor(array).array is array
    True
    """
    return _as_tensor(data, dtype, device)


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor.

    >>> import tinygrad_cv as tg
    >>> tg.is_tensor(tg.zeros(2)), tg.is_tensor([0.0, 0.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor that shares memory with a NumPy array.

    Raises:
        DTypeError: it is no NumPy array, or its dtype is not supported.

    >>> import numpy as np, tinygrad_cv as tg
    >>> tg.from_numpy(np.arange(3)).tolist()
    [0, 1, 2]
    """
    if not isinstance(ndarray, np.ndarray):
        raise DTypeError(
            "from_numpy",
            f"expected a NumPy array, not {type(ndarray).__name__}",
            repair="Use tg.tensor for lists and numbers.",
        )
    return Tensor(asarray(ndarray))


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros, of the given sizes (or one tuple of them).

    Raises:
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _new("zeros", size, 0, dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones, of the given sizes (or one tuple of them).

    Raises:
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> tg.ones((2,), dtype="int64").tolist()
    [1, 1]
    """
    return _new("ones", size, 1, dtype, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given sizes whose values are undefined.

    Raises:
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> tg.empty(2, 3).shape
    (2, 3)
    """
    return _new("empty", size, None, dtype, device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with the same value everywhere; its dtype follows the value.

    Raises:
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> tg.full((2,), 7).tolist()
    [7, 7]
    """
    value, dtype = _number("full", fill_value, dtype)
    return _new("full", (size,), value, dtype, device, requires_grad)


def zeros_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape, dtype, device and memory order of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.zeros_like(tg.tensor([1, 2])).tolist()
    [0, 0]
    """
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the shape, dtype, device and memory order of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.ones_like(tg.tensor([1.0, 2.0])).tolist()
    [1.0, 1.0]
    """
    return _like(input, 1, dtype, device, requires_grad)


def empty_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Undefined values, of the shape, dtype, device and memory order of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.empty_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    return _like(input, None, dtype, device, requires_grad)


def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value everywhere, of the shape, dtype, device and memory order of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.full_like(tg.tensor([1.0, 2.0]), 3).tolist()
    [3.0, 3.0]
    """
    value, _ = _number("full_like", fill_value, None)
    return _like(input, value, dtype, device, requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``start, start + step, ...`` up to, not including, ``end``; ``arange(n)`` counts from 0.

    The number of elements is ``ceil((end - start) / step)``. Integers give int64, else the default
    float dtype.

    Raises:
        ArgumentError: the step is 0 or leads away from the end.

    >>> import tinygrad_cv as tg
    >>> tg.arange(3).tolist(), tg.arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    first, last = (0, start) if end is None else (start, end)
    first, last, step = (_item("arange", value) for value in (first, last, step))
    if not all(map(math.isfinite, (first, last, step))):
        raise ArgumentError("arange", f"start={first}, end={last}, step={step} must be finite")
    if step == 0 or (last - first) * step < 0:
        raise ArgumentError(
            "arange",
            f"a step of {step} does not lead from {first} to {last}",
            law=["(end - start) / step >= 0"],
            repair="Change the sign of the step." if step else "Use a step other than 0.",
            repairs=[{"step": -step if step else 1}],
        )
    whole = all(isinstance(value, int) for value in (first, last, step))
    if dtype is not None and as_dtype(dtype) == int64:  # cut off before, as in PyTorch
        whole, (first, last, step) = True, map(int, (first, last, step))
        if not step:
            raise ArgumentError("arange", "a step of less than 1 is 0 in int64")
    count = -((first - last) // step) if whole else math.ceil((last - first) / step)
    wanted = as_dtype(dtype) if dtype is not None else int64 if whole else get_default_dtype()

    def make(
        xp: Any,
    ) -> Any:  # in float64 or int64 first, so that the last element is as exact as the first
        return (xp.arange(count) * step + first).astype(wanted)

    return made(make, (count,), wanted, device, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` values at equal distances from ``start`` to ``end``, both included.

    For an integer ``dtype`` both ends are cut to integers first, and then every value, as in
    PyTorch.

    Raises:
        ArgumentError: ``steps`` is negative, or an end is not finite for an integer ``dtype``.

    >>> import tinygrad_cv as tg
    >>> tg.linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    count = as_int("linspace", "steps", steps)
    if count < 0:
        raise ArgumentError("linspace", f"steps={count} is negative", repairs=[{"steps": 2}])
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    first, last = (ending("linspace", value, wanted) for value in (start, end))

    def make(xp: Any) -> Any:
        return evenly(xp, first, last, count).astype(wanted)

    return made(make, (count,), wanted, device, requires_grad)


def ending(op: str, value: Any, dtype: Any) -> Any:
    """An end of a range as a Python number, a whole one for an integer dtype."""
    number = _item(op, value)
    if dtype.kind == "f":
        return number
    if not math.isfinite(number):
        raise ArgumentError(op, f"{number} does not fit into {dtype.name}")
    return int(number)


def evenly(xp: Any, first: Any, last: Any, count: int) -> Any:
    """``count`` numbers at equal distances, counted from either end up to the middle, as PyTorch
    does: so that the steps add up to both ends."""
    if count < 2 or not math.isfinite(first - last):
        ends = xp.asarray([first] if count else [], dtype="float64")
        return ends if count < 2 else xp.full(count, math.nan)
    step, k = (last - first) / (count - 1), xp.arange(count)
    return xp.where(k < count / 2, first + step * k, last - step * (count - 1 - k))


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The matrix [n, m] (m is n by default) with ones on the main diagonal and zeros elsewhere.

    Raises:
        ShapeError: a size is negative.

    >>> import tinygrad_cv as tg
    >>> tg.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    shape = checked_shape("eye", (n, n if m is None else m))
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    return made(lambda xp: xp.eye(*shape, dtype=wanted), shape, wanted, device, requires_grad)


def _new(op: str, size: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    shape = checked_shape(op, size)
    return made(lambda xp: _filled(xp, shape, wanted, value), shape, wanted, device, requires_grad)


def _like(input: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = input.dtype if dtype is None else as_dtype(dtype)
    target = input.device if device is None else device
    shape, layout = input.shape, layout_of(input.array)

    def make(xp: Any) -> Any:
        return _filled(xp, shape, wanted, value, layout)

    return made(make, shape, wanted, target, requires_grad, layout)


def _filled(xp: Any, shape: Shape, dtype: Any, value: Any, layout: str = "contiguous") -> Any:
    array = memory.empty(shape, dtype, layout, xp)
    if value is not None:
        array[...] = value
    return array


def _number(op: str, value: Any, dtype: Any) -> tuple[Any, Any]:
    """A fill value as a Python number, and the dtype that it asks for."""
    number = _item(op, value)
    if dtype is not None:
        return number, dtype
    if hasattr(value, "dtype") and not isinstance(value, float):
        return number, value.dtype
    return number, bool_ if isinstance(number, bool) else int64 if isinstance(number, int) else None


def _item(op: str, value: Any) -> Any:
    """A Python number from a number or from a tensor or array of one element."""
    if isinstance(value, (bool, int, float)) and not hasattr(value, "dtype"):
        return value
    try:
        return value.item()
    except AttributeError:
        raise DTypeError(op, f"expected a number, not {type(value).__name__} {value!r}") from None
