"""Initial values of parameters, under the names of ``torch.nn.init``.

Every function fills the tensor in place, records nothing, and returns it. Values come from the
counter-based stream, so the same seed gives the same values on every backend. A tensor on the meta
device is left as it is and draws nothing.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from tinygrad_cv.backend import random
from tinygrad_cv.backend.random import Generator
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.nn._init_fill import draw, fill, on_meta
from tinygrad_cv.nn._init_matrices import dirac_, eye_, orthogonal_, sparse_

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
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that keeps it through a nonlinearity.

    1 for linear, convolutions and sigmoid; 5/3 tanh; sqrt(2) relu; sqrt(2 / (1 + slope^2))
    leaky_relu; 3/4 selu. Half of the inputs of a ReLU become 0, which halves their mean square;
    sqrt(2) on the weights gives it back (He et al., ICCV 2015).

    Args:
        nonlinearity: "linear", "conv1d" ... "conv_transpose3d", "sigmoid", "tanh", "relu",
            "leaky_relu" or "selu".
        param: the negative slope of leaky_relu, 0.01 if None; the others ignore it.

    Raises:
        ArgumentError: an unknown nonlinearity, or a slope that is no number.

    >>> round(calculate_gain("relu"), 4), calculate_gain("leaky_relu", 1.0)  # slope 1 is linear
    (1.4142, 1.0)
    """
    linear = ["linear", "sigmoid"] + [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, Real):
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
    """Values from the uniform distribution on [a, b): mean (a + b)/2, variance (b - a)^2/12.

    Args:
        tensor: any shape, float32 or float64.
        a, b: the ends; where a value is rounded to the tensor's dtype, b itself may occur.
        generator: source of randomness; the default generator if None.

    Raises:
        DTypeError: the tensor has no floating dtype.
        ArgumentError: a is above b.

    >>> import tinygrad_cv as tg
    >>> w = uniform_(tg.zeros(100, 100), -0.5, 0.5, tg.Generator(0))
    >>> -0.5 <= w.min().item() and w.max().item() <= 0.5, round(w.var().item(), 3)  # 1/12 = 0.083
    (True, 0.083)
    """
    if not a <= b:
        raise ArgumentError("uniform_", f"a must not be above b: a = {a}, b = {b}")
    drawn = draw(tensor, random.uniform, generator)
    return tensor if drawn is None else fill(tensor, drawn * (b - a) + a)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Values from the normal distribution with the given mean and standard deviation.

    Args:
        tensor: any shape, float32 or float64.
        mean, std: of the distribution; std = 0 gives the mean everywhere.
        generator: source of randomness; the default generator if None.

    Raises:
        DTypeError: the tensor has no floating dtype.
        ArgumentError: std is below 0.

    The stream depends on the seed alone, not on the device:

    >>> import tinygrad_cv as tg
    >>> w = normal_(tg.zeros(100, 100), mean=1.0, std=0.1, generator=tg.Generator(3))
    >>> round(w.mean().item(), 2), round(w.std().item(), 2)
    (1.0, 0.1)
    >>> (normal_(tg.zeros(100, 100), 1.0, 0.1, tg.Generator(3)) == w).all().item()
    True
    """
    if not std >= 0:
        raise ArgumentError("normal_", f"std must be at least 0, it is {std}")
    drawn = draw(tensor, random.normal, generator)
    return tensor if drawn is None else fill(tensor, drawn * std + mean)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Values from the normal distribution, restricted to [a, b] (by inverting its distribution
    function): x = mean + std * Phi^-1(u), u uniform between Phi((a - mean)/std) and
    Phi((b - mean)/std).

    The bounds are values, not multiples of ``std``: with std = 0.02, the usual one of vision
    transformers, the default bounds lie 100 standard deviations away and cut nothing.

    Args:
        tensor: any shape, float32 or float64.
        mean, std: of the normal distribution before it is cut.
        a, b: the bounds.
        generator: source of randomness; the default generator if None.

    Raises:
        DTypeError: the tensor has no floating dtype.
        ArgumentError: a is not below b, or std is not above 0.

    >>> import tinygrad_cv as tg
    >>> w = trunc_normal_(tg.zeros(100, 100), std=0.02, a=-0.04, b=0.04, generator=tg.Generator(0))
    >>> round(w.abs().max().item(), 3), round(w.std().item(), 4)  # 0.88 of std is left
    (0.04, 0.0176)
    """
    if not a < b:
        raise ArgumentError("trunc_normal_", f"a must be below b: a = {a}, b = {b}")
    if not std > 0:
        raise ArgumentError("trunc_normal_", f"std must be above 0, it is {std}")
    if tensor.dtype.kind != "f":
        raise DTypeError("trunc_normal_", f"{tensor.dtype.name} is not a floating dtype")
    drawn = draw(tensor, lambda key, shape, _: random.uniform(key, shape, np.float64), generator)
    if drawn is None:
        return tensor
    from scipy.special import ndtr, ndtri

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    return fill(tensor, np.clip(ndtri(low + drawn * (high - low)) * std + mean, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The value ``val`` everywhere, in any shape and dtype.

    >>> from tinygrad_cv import nn
    >>> layer = nn.Linear(4, 2)
    >>> constant_(layer.bias, 0.1)  # the parameter itself, still a leaf
    Parameter containing:
    tensor([0.1, 0.1], requires_grad=True)
    """
    return tensor if on_meta(tensor) else fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere: the usual start of a normalisation's weight.

    >>> import tinygrad_cv as tg
    >>> ones_(tg.zeros(2, 2))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere: the usual start of a bias.

    >>> from tinygrad_cv import nn
    >>> zeros_(nn.Linear(4, 3).bias).tolist()
    [0.0, 0.0, 0.0]
    """
    return constant_(tensor, 0.0)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform on [-a, a], a = gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS
    2010).

    The variance 2 / (fan_in + fan_out) is the compromise between 1/fan_in, which keeps the variance
    of activations, and 1/fan_out, which keeps that of gradients, where units are linear around 0.

    Args:
        tensor: a weight [O, I, k...]; fan_in = I * prod(k), fan_out = O * prod(k).
        gain: of the nonlinearity, see :func:`calculate_gain`.
        generator: source of randomness; the default generator if None.

    Raises:
        ShapeError: fewer than 2 axes.
        DTypeError: the tensor has no floating dtype.

    >>> import tinygrad_cv as tg
    >>> w = xavier_uniform_(tg.zeros(200, 400), generator=tg.Generator(0))
    >>> round(w.abs().max().item(), 4)  # sqrt(6 / (400 + 200)) = 0.1
    0.1
    """
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010).

    The same variance as :func:`xavier_uniform_`, which has the arguments and the errors.

    >>> import tinygrad_cv as tg
    >>> w = xavier_normal_(tg.zeros(64, 64, 3, 3), generator=tg.Generator(0))
    >>> round(w.std().item(), 3)  # sqrt(2 / (64*9 + 64*9)) = 0.0417
    0.042
    """
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on [-b, b], b = gain * sqrt(3 / fan), gain = sqrt(2 / (1 + a^2)) for leaky_relu, so
    the standard deviation is gain / sqrt(fan) (He et al., ICCV 2015).

    Args:
        tensor: a weight [O, I, k...]; fan_in = I * prod(k), fan_out = O * prod(k).
        a: the negative slope of leaky_relu; 0 is a ReLU, sqrt(5) gives b = 1 / sqrt(fan), the start
            of this package's layers.
        mode: "fan_in" keeps the size of activations, "fan_out" that of gradients.
        nonlinearity: what follows the layer, see :func:`calculate_gain`.
        generator: source of randomness; the default generator if None.

    Raises:
        ShapeError: fewer than 2 axes.
        ArgumentError: another mode, or an unknown nonlinearity.
        DTypeError: the tensor has no floating dtype.

    >>> import tinygrad_cv as tg
    >>> kernel = tg.zeros(16, 6, 5, 5)  # the second convolution of LeNet-5: fan_in = 6*5*5 = 150
    >>> w = kaiming_uniform_(kernel, generator=tg.Generator(0))
    >>> round(w.abs().max().item(), 2)  # sqrt(2) * sqrt(3 / 150)
    0.2
    """
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
    """Normal with std = gain / sqrt(fan), gain = sqrt(2 / (1 + a^2)) for leaky_relu (He et al.,
    ICCV 2015). Arguments and errors as for :func:`kaiming_uniform_`.

    Twenty ReLU layers keep the size of what goes through them:

    >>> import tinygrad_cv as tg
    >>> generator = tg.Generator(0)
    >>> x = normal_(tg.zeros(64, 256), generator=generator)
    >>> for _ in range(20):
    ...     x = (x @ kaiming_normal_(tg.zeros(256, 256), generator=generator)).relu()
    >>> 0.5 < (x * x).mean().item() < 2  # with std = 0.01 it would be below 1e-35
    True
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


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
