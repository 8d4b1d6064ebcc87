"""The part of ``nn.init`` with a structure: identities, orthogonal and sparse matrices."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_cv.backend import random
from tinygrad_cv.backend.random import Generator
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, ShapeError
from tinygrad_cv.nn._init_fill import draw, fill, on_meta

__all__ = ["dirac_", "eye_", "orthogonal_", "sparse_"]


def eye_(tensor: Tensor) -> Tensor:
    """The identity: 1 at [i, i], 0 elsewhere. The matrix may have any number of rows and columns.

    Raises:
        ShapeError: the tensor has not 2 axes.

    >>> import tinygrad_cv as tg
    >>> eye_(tg.zeros(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(
            "eye_", f"only a matrix can be the identity, the tensor has {tensor.ndim} axes"
        )
    return tensor if on_meta(tensor) else fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A kernel [O, C/groups, k...] that passes its channels through: w[o, c, middle] = 1 where o =
    c (counted within each group), 0 elsewhere, so a convolution starts as the identity (Zagoruyko
    and Komodakis, "DiracNets", 2017).

    The middle is k // 2 on each axis. With more output channels than input channels the rest give
    0.

    Args:
        tensor: 1, 2 or 3 spatial axes behind [O, C/groups].
        groups: of the convolution.

    Raises:
        ShapeError: the tensor has not 3, 4 or 5 axes.
        ArgumentError: O does not divide into the groups.

    >>> import tinygrad_cv as tg
    >>> kernel = dirac_(tg.zeros(2, 2, 3, 3))
    >>> image = tg.arange(32.0).reshape(1, 2, 4, 4)
    >>> (tg.nn.functional.conv2d(image, kernel, padding=1) == image).all().item()
    True
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError("dirac_", f"the tensor needs 3, 4 or 5 axes, it has {tensor.ndim}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ArgumentError(
            "dirac_", f"{tensor.shape[0]} output channels do not divide into {groups} groups"
        )
    if on_meta(tensor):
        return tensor
    values = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    middle = tuple(k // 2 for k in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(per_group, tensor.shape[1])):
            values[(group * per_group + channel, channel, *middle)] = 1
    return fill(tensor, values)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A matrix with orthonormal rows or columns (whichever are fewer), times ``gain``; the axes
    behind the first are flattened (Saxe et al., ICLR 2014).

    It is the Q of a QR decomposition of normal values, with the signs that make it uniform over all
    such matrices (Mezzadri, "How to generate random matrices from the classical compact groups",
    2007).

    Args:
        tensor: [O, I, k...], seen as [O, I * prod(k)]; float32 or float64.
        gain: of the nonlinearity, see :func:`calculate_gain`.
        generator: source of randomness; the default generator if None.

    Raises:
        ShapeError: fewer than 2 axes.
        DTypeError: the tensor has no floating dtype.

    >>> import tinygrad_cv as tg
    >>> w = orthogonal_(tg.zeros(4, 4), generator=tg.Generator(0))
    >>> x = tg.tensor([3.0, 0.0, 4.0, 0.0])
    >>> round((w @ x).norm().item(), 4)  # a rotation or reflection keeps lengths
    5.0
    """
    if tensor.ndim < 2:
        raise ShapeError(
            "orthogonal_", "the tensor needs at least 2 axes", values=[("tensor", tensor.shape)]
        )
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    drawn = draw(tensor, random.normal, generator)
    if drawn is None or not drawn.size:
        return tensor
    flat = drawn.reshape(rows, columns).astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform (Haar)
    return fill(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """A matrix with ``ceil(sparsity * rows)`` zeros in each column, at random places, and normal
    values elsewhere (Martens, "Deep learning via Hessian-free optimization", ICML 2010).

    Args:
        tensor: [rows, columns], float32 or float64.
        sparsity: the share of zeros in a column, from 0 to 1.
        std: the standard deviation of the other values.
        generator: source of randomness; the default generator if None.

    Raises:
        ShapeError: the tensor has not 2 axes.
        ArgumentError: the sparsity is outside [0, 1], or std is below 0.
        DTypeError: the tensor has no floating dtype.

    >>> import tinygrad_cv as tg
    >>> w = sparse_(tg.zeros(10, 3), 0.25, generator=tg.Generator(0))
    >>> (w == 0).sum(0).tolist()  # ceil(2.5)
    [3, 3, 3]
    """
    if tensor.ndim != 2:
        raise ShapeError(
            "sparse_", f"only a matrix is filled so, the tensor has {tensor.ndim} axes"
        )
    if not 0 <= sparsity <= 1:
        raise ArgumentError("sparse_", f"sparsity must be in [0, 1], it is {sparsity}")
    if not std >= 0:
        raise ArgumentError("sparse_", f"std must be at least 0, it is {std}")
    values = draw(tensor, random.normal, generator)
    order = draw(tensor, random.uniform, generator)
    if values is None:
        return tensor
    places = np.argsort(order, axis=0, kind="stable")[: math.ceil(sparsity * tensor.shape[0])]
    np.put_along_axis(values, places, 0, axis=0)
    return fill(tensor, values * std)
