"""Random tensors.

All values come from one counter-based stream on the host (see ``Generator``), so they are the same
on every device. On the meta device nothing is drawn, and the stream does not advance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_cv.backend import random
from tinygrad_cv.backend.array import as_device, device_of, on_device_of, to_device, xp_of
from tinygrad_cv.backend.dtypes import as_dtype, get_default_dtype, int64
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._new import checked_shape

__all__ = ["bernoulli", "rand", "rand_like", "randint", "randn", "randn_like", "randperm"]
__all__ += ["check_generator", "draw_key", "drawn"]

CREATION = ("rand", "randint", "randn", "randperm")
TG_FUNCTIONS = (*CREATION, "bernoulli", "rand_like", "randn_like")

Shape = tuple[int, ...]


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
    return drawn("rand", random.uniform, size, generator, dtype, device, requires_grad)


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
    return drawn("randn", random.normal, size, generator, dtype, device, requires_grad)


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

    return drawn("randint", draw, (size,), generator, wanted, device, requires_grad)


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

    return drawn("randperm", draw, (n,), generator, wanted, device, requires_grad)


def bernoulli(input: Any, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` gives for each element, else 0; no gradient flows
    through the draw.

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
        check_generator("bernoulli", generator)
        return Tensor(p)
    with on_device_of(p):
        if not bool(((p >= 0) & (p <= 1)).all()):
            raise ArgumentError(
                "bernoulli", "a probability is outside [0, 1]", values=[("input", p.shape)]
            )
        values = random.uniform(draw_key("bernoulli", generator), p.shape, p.dtype)
        uniform = to_device(values, device_of(p))
        return Tensor(xp_of(p).asarray((uniform < p).astype(p.dtype)))


def drawn(
    op: str,
    draw: Callable[[Any, Shape, Any], Any],
    size: Any,
    generator: random.Generator | None,
    dtype: Any,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    """A tensor of ``draw(key, shape, dtype)``; on the meta device nothing is drawn."""
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    shape, target = checked_shape(op, size), as_device(device)
    if target.type == "meta":
        check_generator(op, generator)
        return Tensor(Spec(shape, wanted), requires_grad=requires_grad)
    return Tensor(
        to_device(np.asarray(draw(draw_key(op, generator), shape, wanted)), target),
        requires_grad=requires_grad,
    )


def draw_key(op: str, generator: random.Generator | None) -> tuple[int, int]:
    """The key of the next draw of a generator, the default one if it is None."""
    check_generator(op, generator)
    return (generator or random.default_generator).next_key()


def check_generator(op: str, generator: Any) -> None:
    """It must be one of ours, or None."""
    if generator is not None and not isinstance(generator, random.Generator):
        raise DTypeError(
            op, f"generator must be a tinygrad_cv.Generator, not {type(generator).__name__}"
        )
