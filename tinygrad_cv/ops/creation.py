"""New tensors: from data, filled, counted, and random.

Without ``dtype`` floats are float32 (see ``set_default_dtype``) and integers int64; without ``device`` the tensor lies
on the default device. Random values come from one counter-based stream on the host, so they are the same on every
device; on the meta device nothing is drawn.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory, random
from tinygrad_cv.backend.array import Device, as_device, asarray, device_of, to_device, xp_of
from tinygrad_cv.backend.dtypes import as_dtype, bool_, get_default_dtype, int64
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.core.tensor import as_tensor as _as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_int, as_ints

__all__ = [
    "arange",
    "as_tensor",
    "bernoulli",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
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
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
)
TG_FUNCTIONS = (
    *CREATION,
    "bernoulli",
    "empty_like",
    "full_like",
    "ones_like",
    "rand_like",
    "randn_like",
    "zeros_like",
)

Shape = tuple[int, ...]


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``.

    Args:
        data: a number, nested lists, a NumPy or CuPy array, or a tensor.
        dtype: default: that of an array or tensor; of Python numbers bool, int64 or the default float dtype.
        device: default: that of a tensor, else the default device.
        requires_grad: ask for a gradient.

    Raises:
        ArgumentError: nested lists of different lengths.
        DTypeError: a dtype that is not supported; a gradient for integers.

    >>> import tinygrad_cv as tg
    >>> tg.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Tensor):
        array = asarray(data.array, dtype, data.device if device is None else device)
        given = data.array
    else:
        array = asarray(data, dtype, as_device(device))
        given = data
    if not isinstance(array, Spec) and (array is given or _share(array, given)):
        array = array.copy(order="K")
    return Tensor(array, requires_grad)


def _share(array: Any, given: Any) -> bool:
    return (
        isinstance(array, np.ndarray)
        and isinstance(given, np.ndarray)
        and np.shares_memory(array, given)
    )


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor: itself if it is one that fits, else a tensor that shares memory where it can.

    >>> import numpy as np, tinygrad_cv as tg
    >>> array = np.zeros(2)
    >>> tg.as_tensor(array).array is array
    True
    """
    return _as_tensor(data, dtype, device)


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

    The number of elements is ``ceil((end - start) / step)``. Integers give int64, else the default float dtype.

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
    count = -((first - last) // step) if whole else math.ceil((last - first) / step)
    wanted = as_dtype(dtype) if dtype is not None else int64 if whole else get_default_dtype()

    def make(
        xp: Any,
    ) -> Any:  # in float64 or int64 first, so that the last element is as exact as the first
        return (xp.arange(count) * step + first).astype(wanted)

    return _made(make, (count,), wanted, device, requires_grad)


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

    Raises:
        ArgumentError: ``steps`` is negative.

    >>> import tinygrad_cv as tg
    >>> tg.linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    count = as_int("linspace", "steps", steps)
    if count < 0:
        raise ArgumentError("linspace", f"steps={count} is negative", repairs=[{"steps": 2}])
    first, last = _item("linspace", start), _item("linspace", end)
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)

    def make(xp: Any) -> Any:
        return xp.linspace(first, last, count).astype(wanted)

    return _made(make, (count,), wanted, device, requires_grad)


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
    shape = _shape("eye", (n, n if m is None else m))
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    return _made(lambda xp: xp.eye(*shape, dtype=wanted), shape, wanted, device, requires_grad)


def rand(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values, uniform in [0, 1).

    Args:
        size: sizes, or one tuple of them.
        generator: the stream to draw from; default: the one that ``manual_seed`` seeds.

    >>> import tinygrad_cv as tg
    >>> x = tg.rand(2, 3, generator=tg.Generator(0))
    >>> x.shape, bool((x >= 0).all()), bool((x < 1).all())
    ((2, 3), True, True)
    """
    return _drawn("rand", random.uniform, size, generator, dtype, device, requires_grad)


def randn(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values of the normal distribution with mean 0 and variance 1; arguments as ``rand``.

    >>> import tinygrad_cv as tg
    >>> tg.randn(2, 3, generator=tg.Generator(0)).shape
    (2, 3)
    """
    return _drawn("randn", random.normal, size, generator, dtype, device, requires_grad)


def rand_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``rand`` with the shape, dtype and device of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.rand_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    dtype, device = (
        input.dtype if dtype is None else dtype,
        input.device if device is None else device,
    )
    return rand(
        input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )


def randn_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randn`` with the shape, dtype and device of ``input``.

    >>> import tinygrad_cv as tg
    >>> tg.randn_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    dtype, device = (
        input.dtype if dtype is None else dtype,
        input.device if device is None else device,
    )
    return randn(
        input.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )


def randint(
    low: Any,
    high: Any = None,
    size: Any = None,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from ``low`` to ``high - 1``; ``randint(high, size)`` starts at 0.

    Raises:
        ArgumentError: the range is empty, or no size is given.

    >>> import tinygrad_cv as tg
    >>> x = tg.randint(3, 5, (10,))
    >>> x.dtype.name, bool(((x >= 3) & (x < 5)).all())
    ('int64', True)
    """
    if size is None and isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise ArgumentError(
            "randint", "the size is missing", repair="Use randint(low, high, size)."
        )
    first, last = as_int("randint", "low", low), as_int("randint", "high", high)
    wanted = int64 if dtype is None else as_dtype(dtype)
    if not first < last:
        raise ArgumentError(
            "randint", f"there is no integer from {first} up to, not including, {last}"
        )

    def draw(key: Any, shape: Shape, _: Any) -> Any:
        return random.integers(key, first, last, shape).astype(wanted, copy=False)

    return _drawn("randint", draw, (size,), generator, wanted, device, requires_grad)


def randperm(
    n: int,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers 0 to ``n - 1`` in random order.

    Raises:
        ShapeError: ``n`` is negative.

    >>> import tinygrad_cv as tg
    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    wanted = int64 if dtype is None else as_dtype(dtype)

    def draw(key: Any, shape: Shape, _: Any) -> Any:
        return random.permutation(key, shape[0]).astype(wanted, copy=False)

    return _drawn("randperm", draw, (n,), generator, wanted, device, requires_grad)


def bernoulli(input: Any, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` gives for each element, else 0; no gradient flows through the draw.

    Raises:
        DTypeError: the probabilities are not floating.
        ArgumentError: a probability is outside [0, 1].

    >>> import tinygrad_cv as tg
    >>> tg.bernoulli(tg.tensor([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    p = input.array
    if p.dtype.kind != "f":
        raise DTypeError("bernoulli", f"probabilities are floating, these are {p.dtype.name}")
    if isinstance(p, Spec):
        return Tensor(p)
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise ArgumentError(
            "bernoulli", "a probability is outside [0, 1]", values=[("input", p.shape)]
        )
    uniform = to_device(
        random.uniform(_key("bernoulli", generator), p.shape, p.dtype), device_of(p)
    )
    return Tensor(xp_of(p).asarray((uniform < p).astype(p.dtype)))


def _new(op: str, size: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    shape = _shape(op, size)
    return _made(lambda xp: _filled(xp, shape, wanted, value), shape, wanted, device, requires_grad)


def _like(input: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = input.dtype if dtype is None else as_dtype(dtype)
    target = input.device if device is None else device
    shape, layout = input.shape, layout_of(input.array)

    def make(xp: Any) -> Any:
        return _filled(xp, shape, wanted, value, layout)

    return _made(make, shape, wanted, target, requires_grad, layout)


def _filled(xp: Any, shape: Shape, dtype: Any, value: Any, layout: str = "contiguous") -> Any:
    array = memory.empty(shape, dtype, layout, xp)
    if value is not None:
        array[...] = value
    return array


def _made(
    make: Callable[[Any], Any],
    shape: Shape,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    layout: str = "contiguous",
) -> Tensor:
    """A tensor around ``make(xp)``, on a device; on the meta device nothing is made."""
    target: Device = as_device(device)
    if target.type == "meta":
        return Tensor(Spec(shape, dtype, layout), requires_grad)
    if target.type == "cpu":
        return Tensor(make(np), requires_grad)
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(target.index):
        return Tensor(make(cupy), requires_grad)


def _drawn(
    op: str,
    draw: Callable[[Any, Shape, Any], Any],
    size: Any,
    generator: random.Generator | None,
    dtype: Any,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    shape, target = _shape(op, size), as_device(device)
    if target.type == "meta":
        return Tensor(Spec(shape, wanted), requires_grad)
    return Tensor(to_device(draw(_key(op, generator), shape, wanted), target), requires_grad)


def _key(op: str, generator: random.Generator | None) -> tuple[int, int]:
    if generator is None:
        return random.default_generator.next_key()
    if not isinstance(generator, random.Generator):
        raise DTypeError(
            op, f"generator must be a tinygrad_cv.Generator, not {type(generator).__name__}"
        )
    return generator.next_key()


def _shape(op: str, size: Any) -> Shape:
    shape = as_ints(op, "size", size)
    if min(shape, default=0) < 0:
        raise ShapeError(
            op,
            f"a size cannot be negative: {shape}",
            values=[("size", shape)],
            repair="Use sizes of 0 or more.",
        )
    return shape


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
