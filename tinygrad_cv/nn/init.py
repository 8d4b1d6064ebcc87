"""Initial values of parameters, under the names of ``torch.nn.init``.

Every function fills the tensor in place, records nothing, and returns it. Values come from the
counter-based stream, so the same seed gives the same values on every backend. A tensor on the meta
device is left as it is and draws nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_cv.backend import random
from tinygrad_cv.backend.array import device_of, on_device_of, to_device
from tinygrad_cv.backend.random import Generator, default_generator
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import note_write
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, ShapeError

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that keeps it through a nonlinearity.

    1 for linear, convolutions and sigmoid; 5/3 tanh; sqrt(2) relu; sqrt(2 / (1 + slope^2))
    leaky_relu (``param`` is the slope, 0.01 if None); 3/4 selu.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    linear = ["linear", "sigmoid"] + [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ArgumentError("calculate_gain", f"{slope!r} is not a valid negative slope")
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in gains:
        known = ", ".join([*linear, "leaky_relu", *gains])
        raise ArgumentError(
            "calculate_gain", f"unknown nonlinearity {nonlinearity!r}", repair=f"Known: {known}."
        )
    return gains[nonlinearity]


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Values from the uniform distribution on [a, b)."""
    drawn = _draw(tensor, random.uniform, generator)
    return tensor if drawn is None else _fill(tensor, drawn * (b - a) + a)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Values from the normal distribution with the given mean and standard deviation."""
    drawn = _draw(tensor, random.normal, generator)
    return tensor if drawn is None else _fill(tensor, drawn * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Values from the normal distribution, restricted to [a, b] (by inverting its distribution
    function).
    """
    if not a < b:
        raise ArgumentError("trunc_normal_", f"a must be below b: a = {a}, b = {b}")
    drawn = _draw(tensor, lambda key, shape, _: random.uniform(key, shape, np.float64), generator)
    if drawn is None:
        return tensor
    from scipy.special import ndtr, ndtri

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    return _fill(tensor, np.clip(ndtri(low + drawn * (high - low)) * std + mean, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    return tensor if _on_meta(tensor) else _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ShapeError(
            "eye_", f"only a matrix can be the identity, the tensor has {tensor.ndim} axes"
        )
    return tensor if _on_meta(tensor) else _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A kernel [O, C, k...] that passes its channels through: 1 in the middle of (o, o)."""
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError("dirac_", f"the tensor needs 3, 4 or 5 axes, it has {tensor.ndim}")
    if tensor.shape[0] % groups:
        raise ArgumentError(
            "dirac_", f"{tensor.shape[0]} output channels do not divide into {groups} groups"
        )
    if _on_meta(tensor):
        return tensor
    values = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    middle = tuple(k // 2 for k in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, tensor.shape[1])):
            values[(group * per_group + channel, channel, *middle)] = 1
    return _fill(tensor, values)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform on [-a, a], a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on [-b, b], b = gain * sqrt(3 / fan) (He et al., 2015); ``a``: leaky slope."""
    std = _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with std = gain / sqrt(fan) (He et al., 2015); ``a`` is the slope of leaky_relu."""
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix; axes behind the first are flattened (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ShapeError(
            "orthogonal_", "the tensor needs at least 2 axes", values=[("tensor", tensor.shape)]
        )
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    drawn = _draw(tensor, random.normal, generator)
    if drawn is None or not drawn.size:
        return tensor
    flat = drawn.reshape(rows, columns).astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Haar)
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of one unit of a weight [O, I, k...]: I * prod(k) and O * prod(k)."""
    return _fans("fan_in_and_fan_out", tensor)


def _fans(function: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ShapeError(
            function,
            "fan in and fan out need at least 2 axes",
            values=[("tensor", tensor.shape, "[O, I, k...]")],
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(function: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(function, f"mode must be fan_in or fan_out, it is {mode!r}")
    fan = _fans(function, tensor)[mode == "fan_out"]
    # A layer without inputs has no values to draw either.
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _on_meta(tensor: Tensor) -> bool:
    return isinstance(tensor.array, Spec)


def _draw(tensor: Tensor, draw: Any, generator: Generator | None) -> Any:
    """Values for the tensor as a NumPy array, or None on the meta device."""
    if _on_meta(tensor):
        return None
    return draw((generator or default_generator).next_key(), tensor.shape, tensor.dtype)


def _fill(tensor: Tensor, values: Any) -> Tensor:
    array = tensor.array
    if isinstance(values, np.ndarray):
        values = to_device(values.astype(array.dtype, copy=False), device_of(array))
    with on_device_of(array):
        array[...] = values
    note_write(array)
    return tensor
