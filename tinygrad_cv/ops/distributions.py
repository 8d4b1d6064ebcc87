"""Draws whose distribution comes from tensors: normal, multinomial, Gumbel-softmax; and tensors
filled with draws in place.

No gradient flows through a draw, but through what it is added to: that is the trick of
Gumbel-softmax.
"""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_cv.backend import random
from tinygrad_cv.backend.array import as_device, is_array, on_device_of, to_device
from tinygrad_cv.backend.dtypes import int64, is_float
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, BackendError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_int
from tinygrad_cv.ops._broadcast import common_shape
from tinygrad_cv.ops.argmax import argmax
from tinygrad_cv.ops.creation import zeros_like
from tinygrad_cv.ops.expand import expand
from tinygrad_cv.ops.sampling import bernoulli, check_generator, draw_key, drawn
from tinygrad_cv.ops.scatter import scatter
from tinygrad_cv.ops.softmax import softmax
from tinygrad_cv.ops.writing import inplace

__all__ = ["METHODS", "gumbel_softmax", "multinomial", "normal"]

CREATION = ("normal",)
TG_FUNCTIONS = (*CREATION, "multinomial")
NN_FUNCTIONS = ("gumbel_softmax",)
TENSOR_ARGUMENTS = ("logits",)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values of normal distributions: ``y = mean + std * z``, z with mean 0 and variance 1.

    Args:
        mean, std: numbers, or floating tensors with one value for each element, which broadcast.
        size: the shape of the result, if neither is a tensor.
        generator: the stream to draw from; default: the one that ``manual_seed`` seeds.
        dtype, device: default: of the tensor, of ``mean`` if both are.

    Returns:
        A tensor without history: no gradient flows to ``mean`` or ``std``. Where it shall, write
        ``mean + std * tg.randn_like(mean)``.

    Raises:
        ArgumentError: a standard deviation is negative; a size is missing, or given beside tensors.
        ShapeError: the shapes do not broadcast.
        DTypeError: a tensor is not floating.
        BackendError: the tensors are on different devices.

    >>> import tinygrad_cv as tg
    >>> tg.normal(tg.tensor([1.0, 2.0]), 0.0).tolist()
    [1.0, 2.0]
    >>> tg.normal(0.0, 1.0, (2, 3)).shape
    (2, 3)
    """
    mean, std = _parameter("mean", mean), _parameter("std", std)
    _check_std("normal", std)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if (size is None) == (not tensors):
        raise ArgumentError(
            "normal",
            "the size is the tensors', do not give it" if tensors else "the size is missing",
            repair="Use normal(tensor, std) or normal(mean, std, size).",
            repairs=[{"size": None}] if tensors else [{"size": (1,)}],
        )
    if tensors:
        size = common_shape("normal", mean=mean, std=std)
        dtype = tensors[0].dtype if dtype is None else dtype
        z = drawn("normal", random.normal, (size,), generator, dtype, tensors[0].device, False)
    else:
        z = drawn("normal", random.normal, (size,), generator, dtype, device, False)
    y = (_cast(mean, z) + _cast(std, z) * z).to(z.device if device is None else device)
    return Tensor(y.array, requires_grad=requires_grad)


def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """Random positions, each drawn with a probability in proportion to its weight.

    Args:
        input: weights [N] or [M, N], floating; each row is a distribution of its own.
        num_samples: the number of draws S from each row.
        replacement: put a position back after its draw. Without, none is drawn twice.
        generator: the stream to draw from; default: the one that ``manual_seed`` seeds.

    Returns:
        int64 [S] or [M, S], in the order of the draws.

    Raises:
        ShapeError: the input has other axes.
        DTypeError: the weights are not floating.
        ArgumentError: a weight is negative, infinite or NaN, a row adds up to 0, fewer than one
            draw, or more draws without replacement than a row has weights above 0.

    Source: without replacement, Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir" (2006): the S smallest of -ln(u) / weight.

    >>> import tinygrad_cv as tg
    >>> sorted(tg.multinomial(tg.tensor([0.0, 1.0, 3.0]), 2).tolist())
    [1, 2]
    >>> tg.multinomial(tg.tensor([[0.0, 1.0], [2.0, 0.0]]), 3, replacement=True).tolist()
    [[1, 1, 1], [0, 0, 0]]
    """
    if not is_float(input.dtype):
        raise DTypeError("multinomial", f"weights are floating, these are {input.dtype.name}")
    if input.ndim not in (1, 2):
        raise ShapeError(
            "multinomial",
            f"the input must have 1 or 2 axes, it has {input.ndim}",
            values=[("input", input.shape, "[N] or [M, N]")],
        )
    count = as_int("multinomial", "num_samples", num_samples)
    if count < 1:
        raise ArgumentError(
            "multinomial",
            f"num_samples must be at least 1, it is {count}",
            repairs=[{"num_samples": 1}],
        )
    shape = (*input.shape[:-1], count)
    if isinstance(input.array, Spec):
        check_generator("multinomial", generator)
        return Tensor(Spec(shape, int64))
    rows = input.array.reshape(input.shape[0] if input.ndim == 2 else 1, input.shape[-1])
    weights = to_device(rows, as_device("cpu")).astype(np.float64)
    _check_weights(weights, count, bool(replacement))
    key = draw_key("multinomial", generator)
    picked = (_with_replacement if replacement else _without_replacement)(key, weights, count)
    return Tensor(to_device(picked.astype(int64).reshape(shape), input.device))


def gumbel_softmax(
    logits: Any,
    tau: Any = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: random.Generator | None = None,
) -> Any:
    """A draw from a categorical distribution that gradients flow through:
    ``y = softmax((logits + G) / tau)`` with ``G = -ln(-ln u)``, u uniform in (0, 1).

    The largest element of ``logits + G`` stands at i with probability softmax(logits)[i]; the
    smaller ``tau``, the closer y is to 1 there and to 0 elsewhere.

    Args:
        logits: any shape, floating; unnormalised logarithms of probabilities.
        tau: the temperature, a number above 0 or a tensor.
        hard: give exactly 1 for the largest element and 0 for the others, with the gradient of the
            soft y ("straight through").
        eps: without effect, as in PyTorch.
        dim: the axis of the distribution.
        generator: the stream to draw from; default: the one that ``manual_seed`` seeds.

    Returns:
        The shape and dtype of ``logits``.

    Raises:
        DTypeError: the logits are not floating.
        ArgumentError: ``tau`` is not above 0.
        RangeError: there is no such axis.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax" (ICLR 2017).

    >>> import tinygrad_cv as tg
    >>> logits = tg.tensor([[0.0, 100.0], [100.0, 0.0]])
    >>> tg.nn.functional.gumbel_softmax(logits, hard=True).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if not is_float(logits.dtype):
        raise DTypeError("gumbel_softmax", f"logits are floating, these are {logits.dtype.name}")
    if eps != 1e-10:
        warnings.warn("gumbel_softmax: eps has no effect", stacklevel=3)
    if not isinstance(tau, Tensor) and not _number("gumbel_softmax", "tau", tau) > 0:
        raise ArgumentError(
            "gumbel_softmax", f"tau must be above 0, it is {tau}", repairs=[{"tau": 1}]
        )
    options = (generator, logits.dtype, logits.device, False)
    noise = drawn("gumbel_softmax", _gumbel, (logits.shape,), *options)
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    fixed = soft.detach()
    chosen = scatter(zeros_like(fixed), dim, argmax(fixed, dim, keepdim=True), 1.0)
    return chosen + (soft - fixed)  # soft - fixed is exactly 0


def _uniform(
    self: Tensor, low: float = 0.0, to: float = 1.0, *, generator: random.Generator | None = None
) -> Tensor:
    """Fill the tensor with values uniform in [low, to). The result has no history.

    Raises:
        ArgumentError: ``low`` is above ``to``.
        DTypeError: this tensor is not floating.
        GraphError: this tensor is a view, or a leaf that requires a gradient.

    >>> import tinygrad_cv as tg
    >>> x = tg.zeros(100).uniform_(2, 3)
    >>> 2 <= x.min().item() <= x.max().item() <= 3
    True
    """
    low, to = _number("uniform_", "low", low), _number("uniform_", "to", to)
    if not low <= to:
        raise ArgumentError("uniform_", f"low must not be above to: low = {low}, to = {to}")

    def draw(key: Any, shape: Any, dtype: Any) -> Any:
        return random.uniform(key, shape, dtype) * (to - low) + low

    return _filling("uniform_", draw, self, generator)


def _normal(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: random.Generator | None = None
) -> Tensor:
    """Fill the tensor with values of one normal distribution. The result has no history.

    Raises:
        ArgumentError: ``std`` is negative.
        DTypeError: this tensor is not floating.
        GraphError: this tensor is a view, or a leaf that requires a gradient.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2).normal_(5, std=0).tolist()
    [5.0, 5.0]
    """
    mean, std = _number("normal_", "mean", mean), _number("normal_", "std", std)
    _check_std("normal_", std)

    def draw(key: Any, shape: Any, dtype: Any) -> Any:
        return random.normal(key, shape, dtype) * std + mean

    return _filling("normal_", draw, self, generator)


def _bernoulli(self: Tensor, p: Any = 0.5, *, generator: random.Generator | None = None) -> Tensor:
    """Set each element to 1 with probability ``p``, else to 0. The result has no history.

    ``p`` is a number, or a floating tensor that broadcasts to this one, whose dtype may be any.

    Raises:
        ArgumentError: a probability is outside [0, 1].
        ShapeError: ``p`` does not broadcast to this shape.
        BackendError: ``p`` is on another device.
        GraphError: this tensor is a view, or a leaf that requires a gradient.

    >>> import tinygrad_cv as tg
    >>> tg.zeros(2, 2, dtype="int64").bernoulli_(tg.tensor([0.0, 1.0])).tolist()
    [[0, 1], [0, 1]]
    """
    if isinstance(p, Tensor) or is_array(p):
        p = as_tensor(p)
        if p.device != self.device:
            raise BackendError(
                "bernoulli_",
                "the inputs are on different devices",
                values=[("self", self.device), ("p", p.device)],
                repair=f'Move one of them: p.to("{self.device}").',
            )
        return bernoulli(expand(p, self.shape), generator=generator).to(self.dtype)
    if not 0 <= _number("bernoulli_", "p", p) <= 1:
        raise ArgumentError("bernoulli_", f"p must be in [0, 1], it is {p}")

    def draw(key: Any, shape: Any, dtype: Any) -> Any:
        return random.keep_mask(key, shape, p).astype(dtype)

    return drawn("bernoulli_", draw, (self.shape,), generator, self.dtype, self.device, False)


METHODS: dict[str, Any] = {
    "bernoulli_": inplace(_bernoulli, "bernoulli_"),
    "normal_": inplace(_normal, "normal_"),
    "uniform_": inplace(_uniform, "uniform_"),
}
for _name, _function in (("bernoulli_", _bernoulli), ("normal_", _normal), ("uniform_", _uniform)):
    METHODS[_name].__doc__ = _function.__doc__


def _filling(op: str, draw: Any, target: Tensor, generator: Any) -> Tensor:
    if not is_float(target.dtype):
        raise DTypeError(op, f"the tensor must be floating, it is {target.dtype.name}")
    return drawn(op, draw, (target.shape,), generator, target.dtype, target.device, False)


def _number(op: str, name: str, value: Any) -> Any:
    if isinstance(value, Real):
        return value
    raise DTypeError(op, f"{name} must be a number, not {value!r:.60}")


def _parameter(name: str, value: Any) -> Any:
    """A number, or a floating tensor cut from its graph."""
    if not (isinstance(value, Tensor) or is_array(value)):
        return _number("normal", name, value)
    tensor = as_tensor(value).detach()
    if not is_float(tensor.dtype):
        raise DTypeError(
            "normal",
            f"{name} must be floating, it is {tensor.dtype.name}",
            repair=f"Use {name}.float().",
        )
    return tensor


def _check_std(op: str, std: Any) -> None:
    array = getattr(std, "array", std)
    if isinstance(array, Spec):
        return
    if isinstance(std, Tensor):
        with on_device_of(array):
            negative = bool((array < 0).any())
    else:
        negative = std < 0
    if negative:
        value = [("std", std.shape)] if isinstance(std, Tensor) else [("std", std)]
        raise ArgumentError(op, "a standard deviation is negative", values=value)


def _cast(value: Any, z: Tensor) -> Any:
    """A mean or deviation in the dtype of the draws."""
    return value.to(z.dtype) if isinstance(value, Tensor) else value


def _exponential(key: Any, shape: Any) -> Any:
    """-ln u, drawn in float64 and never 0, so that it has a logarithm."""
    return np.maximum(-np.log1p(-random.uniform(key, shape, np.float64)), 2.0**-54)


def _gumbel(key: Any, shape: Any, dtype: Any) -> Any:
    return (-np.log(_exponential(key, shape))).astype(dtype)


def _check_weights(weights: np.ndarray, count: int, replacement: bool) -> None:
    values = [("input", weights.shape, "[M, N]")]
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ArgumentError("multinomial", "a weight is negative, infinite or NaN", values=values)
    positive = (weights > 0).sum(1)
    if not positive.all():
        raise ArgumentError("multinomial", "the weights of a row add up to 0", values=values)
    if not replacement and len(weights) and count > positive.min():
        raise ArgumentError(
            "multinomial",
            f"{count} different positions cannot be drawn: a row has {positive.min()} weights "
            "above 0",
            values=values,
            repair="Draw fewer, or use replacement=True.",
            repairs=[{"replacement": True}, {"num_samples": int(positive.min())}],
        )


def _with_replacement(key: Any, weights: np.ndarray, count: int) -> np.ndarray:
    """The first position whose cumulative weight is above u times the sum, by bisection in all
    rows at once."""
    rows, n = weights.shape
    if not rows:
        return np.zeros((0, count), int64)
    sums = np.cumsum(weights / weights.max(1, keepdims=True), 1)  # the sum does not overflow
    total = sums[:, -1:]
    target = random.uniform(key, (rows, count), np.float64) * total
    target = np.minimum(target, np.nextafter(total, 0))  # u * sum < sum, also when rounded
    low, high = np.zeros((rows, count), int64), np.full((rows, count), n - 1, int64)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        found = np.take_along_axis(sums, middle, 1) > target
        low = np.where(found, low, np.minimum(middle + 1, high))
        high = np.where(found, middle, high)
    return low


def _without_replacement(key: Any, weights: np.ndarray, count: int) -> np.ndarray:
    """By logarithms, so that no weight is too small to be told from 0."""
    with np.errstate(divide="ignore"):
        waits = np.log(_exponential(key, weights.shape)) - np.log(weights)  # inf for a weight of 0
    return np.argsort(waits, 1, kind="stable")[:, :count]
