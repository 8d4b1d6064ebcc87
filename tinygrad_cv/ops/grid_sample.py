"""Spatial transformers: images read at the points of a grid, and grids of affine maps."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cells import TAPS
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._spatial import Sizes, letters, no_pixels
from tinygrad_cv.ops.sample import sample

__all__ = ["AffineGrid", "AffineGridGrad", "affine_grid", "grid_sample"]

NN_FUNCTIONS = ("affine_grid", "grid_sample")
TENSOR_ARGUMENTS = ("grid", "theta")

PADDING_MODES = ("zeros", "border", "reflection")


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The image read at the points of a grid, between its pixels too.

    A point (x, y) runs from -1 to 1 over the image, x along W and y along H, and is at the pixel
    ``((x + 1)*W - 1) / 2``; with ``align_corners`` at ``(x + 1) * (W - 1) / 2``. In three
    dimensions points are (x, y, z).

    Args:
        input: [N, C, H, W] or [N, C, D, H, W], float.
        grid: [N, H_out, W_out, 2] or [N, D_out, H_out, W_out, 3], of the dtype of the input.
        mode: "bilinear" (trilinear in three dimensions), "nearest" (a half goes to the even
            pixel), or "bicubic" (a = -0.75; two dimensions only).
        padding_mode: what lies outside: "zeros", "border" (the nearest pixel of the border), or
            "reflection" (mirrored at the edges; with ``align_corners`` at the centres of the outer
            pixels).
        align_corners: -1 and 1 are the centres of the outer pixels, not their edges. None is
            False.

    Returns:
        [N, C, H_out, W_out] or [N, C, D_out, H_out, W_out], channels-last in memory.

    Raises:
        ShapeError: other ranks, batches that differ, points with other than 2 or 3 coordinates, an
            image without pixels.
        DTypeError: not floating, or different dtypes.
        ArgumentError: an unknown mode.

    Edge rules: on a pixel the gradient of the grid is that of the cell behind it; where a
    coordinate is clipped it is 0, at the bounds too; "nearest" has none. A point that is not a
    number gives NaN, except with "nearest".

    Source: M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, Spatial Transformer Networks,
    2015; names and rules as ``torch.nn.functional.grid_sample``.

    >>> import tinygrad_cv as tg
    >>> image = tg.tensor([[[[1.0, 3.0]]]])
    >>> tg.nn.functional.grid_sample(image, tg.tensor([[[[0.0, 0.0], [0.5, 0.0]]]])).tolist()
    [[[[2.0, 3.0]]]]
    """
    n = input.ndim - 2
    rows: list[tuple[Any, ...]] = [("input", input.shape), ("grid", grid.shape)]
    for name, value, known in (
        ("mode", mode, tuple(TAPS)),
        ("padding_mode", padding_mode, PADDING_MODES),
    ):
        if value not in known:
            raise ArgumentError(
                "grid_sample",
                f"unknown {name} {value!r}",
                repair="Use one of " + ", ".join(known) + ".",
                repairs=[{name: known[-1] if name == "padding_mode" else "bilinear"}],
            )
    if n not in (2, 3):
        raise ShapeError(
            "grid_sample",
            f"the input must be [N, C, H, W] or [N, C, D, H, W]; it has {input.ndim} axes",
            values=rows,
            repair="input.unsqueeze(0) adds the batch axis." if n == 1 else None,
        )
    rows = [("input", input.shape, letters(n)), ("grid", grid.shape, f"[N, ..., {n}]")]
    if mode == "bicubic" and n == 3:
        raise ShapeError(
            "grid_sample",
            "mode 'bicubic' is for images [N, C, H, W] only",
            values=rows,
            repair="Use mode='bilinear'.",
            repairs=[{"mode": "bilinear"}],
        )
    if grid.ndim != n + 2 or grid.shape[-1] != n:
        fitting = (*input.shape[:1], *(grid.shape[1:-1] + (1,) * n)[:n], n)
        raise ShapeError(
            "grid_sample",
            f"the grid must have {n + 2} axes, the last of which holds {n} coordinates",
            law=["y[n,c,p] = x(n, c, at the point grid[n,p,:])"],
            values=rows,
            repair=_grid_repair(input.shape[0], grid.shape, n),
            repairs=[{"grid": fitting}],
        )
    if grid.shape[0] != input.shape[0]:
        raise ShapeError(
            "grid_sample",
            f"{input.shape[0]} images and {grid.shape[0]} grids",
            law=["y[n,c,p] = x(n, c, at the point grid[n,p,:])"],
            values=rows,
            repair="Give one grid per image."
            if grid.shape[0] != 1
            else f"{_shared('grid', input.shape[0], n + 1)}.",
            repairs=[{"grid": (input.shape[0], *grid.shape[1:])}],
        )
    if 0 in input.shape[2:]:
        raise no_pixels("grid_sample", n, input.shape, rows)
    if input.dtype.kind != "f" or input.dtype != grid.dtype:
        raise DTypeError(
            "grid_sample",
            f"input and grid must be of one floating dtype, they are {input.dtype} and "
            f"{grid.dtype}",
            values=rows,
            repair="Convert one of them with .to(dtype).",
        )
    return sample(input, grid, mode, padding_mode, bool(align_corners), True)


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The grid of an affine map, for :func:`grid_sample`: ``(x', y') = theta @ (x, y, 1)``.

    Args:
        theta: [N, 2, 3], or [N, 3, 4] for (x, y, z); float.
        size: the size of the result of the sampling, (N, C, H, W) or (N, C, D, H, W).
        align_corners: -1 and 1 are the centres of the outer pixels, not the edges of the image;
            as for :func:`grid_sample`. None is False.

    Returns:
        [N, H, W, 2] or [N, D, H, W, 3].

    Raises:
        ShapeError: ``theta`` does not fit the size.
        ArgumentError: another number of sizes, or one below 1.
        DTypeError: ``theta`` is not floating.

    Edge rule: along an axis of one position the coordinate is 0.

    >>> import tinygrad_cv as tg
    >>> turn = tg.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    >>> tg.nn.functional.affine_grid(turn, (1, 1, 1, 2)).tolist()
    [[[[0.0, -0.5], [0.0, 0.5]]]]
    """
    sizes = as_ints("affine_grid", "size", size)
    if len(sizes) not in (4, 5):
        raise ArgumentError(
            "affine_grid",
            f"size must be (N, C, H, W) or (N, C, D, H, W), it has {len(sizes)} numbers",
            values=[("size", sizes)],
        )
    n = len(sizes) - 2
    if min(sizes) < 1:
        raise ArgumentError(
            "affine_grid",
            f"every size must be at least 1, got {sizes}",
            repairs=[{"size": tuple(max(s, 1) for s in sizes)}],
            repair="Use sizes of 1 or more.",
        )
    if theta.dtype.kind != "f":
        raise DTypeError(
            "affine_grid",
            f"theta must be floating, it is {theta.dtype}",
            values=[("theta", theta.shape)],
            repair="Convert it with .float().",
        )
    wanted = (sizes[0], n, n + 1)
    if theta.shape != wanted:
        raise ShapeError(
            "affine_grid",
            f"theta must be {wanted} for this size",
            law=[AffineGrid.equation],
            values=[("theta", theta.shape, f"[N, {n}, {n + 1}]"), ("size", sizes, letters(n))],
            repair=f"{_theta_repair(theta.shape, wanted)}.",
            repairs=[{"theta": wanted}],
        )
    return _affine_grid(theta, sizes[2:], bool(align_corners))


def _grid_repair(images: int, grid: Sizes, n: int) -> str | None:
    """For the coordinates in axis 1, where the channels of an image are, and for a grid alone."""
    if len(grid) == n + 2 and grid[1] == n:
        return "The coordinates seem to be in axis 1: grid.movedim(1, -1)."
    if len(grid) == n + 1 and grid[-1] == n:
        return f"{_shared('grid', images, n + 1)}."
    return None


def _theta_repair(theta: Sizes, wanted: Sizes) -> str:
    """For the numbers of a linear layer, a whole matrix, and a matrix alone."""
    images, rows, columns = wanted
    if theta == (images, rows * columns):
        return f"Its numbers as matrices: theta.reshape(-1, {rows}, {columns})"
    if theta == (images, columns, columns):
        return f"The last row (0, ..., 0, 1) is not wanted: theta[:, :{rows}]"
    if theta in ((rows, columns), (1, rows, columns)):
        return _shared("theta", images, 2)
    return f"Give {images} matrices of {rows} x {columns}"


def _shared(name: str, images: int, axes: int) -> str:
    """How one grid, or one map, is given for several images."""
    return f"One for all images: {name}.expand({', '.join(map(str, (images, *(-1,) * axes)))})"


class AffineGrid(Op):
    """The points of a regular grid, mapped by one affine map per image."""

    name = "affine_grid"
    equation = "y[n,p,a] = sum_b theta[n,a,b] * base[p,b], base[p] = (x, y, 1) at position p"
    gradients = {"theta": "dtheta[n,a,b] = sum_p g[n,p,a] * base[p,b]"}
    edges = "linear in theta"
    cost = "2 per number of the grid and column of theta"
    inputs = ("theta",)

    @staticmethod
    def infer(theta: Spec, sizes: Sizes, align_corners: bool) -> Spec:
        n = len(sizes)
        if theta.shape[1:] != (n, n + 1):
            raise ShapeError(
                "affine_grid",
                f"theta must be [N, {n}, {n + 1}] for this size",
                law=[AffineGrid.equation],
                values=[("theta", theta.shape), ("size", sizes)],
            )
        return Spec((theta.shape[0], *sizes, theta.shape[1]), theta.dtype)

    @staticmethod
    def forward(xp: Any, theta: Any, sizes: Sizes, align_corners: bool) -> Any:
        spec = AffineGrid.infer(theta, sizes, align_corners)
        grid = memory.empty(*spec[:2], xp=xp)
        base = _base(xp, sizes, align_corners, theta.dtype)
        points = grid.reshape(spec.shape[0], math.prod(sizes), spec.shape[-1])
        xp.matmul(base, theta.swapaxes(1, 2), out=points)
        return grid

    @staticmethod
    def vjp_theta(g: Any, sizes: Any, align_corners: Any) -> Any:
        return _affine_grid_grad(g, sizes, align_corners)

    @staticmethod
    def flops(theta: Spec, sizes: Sizes, align_corners: bool) -> int:
        return 2 * theta.size * math.prod(sizes)


class AffineGridGrad(Op):
    """Adjoint of ``AffineGrid``: the gradient of the matrices."""

    name = "affine_grid_grad"
    equation = "dtheta[n,a,b] = sum_p g[n,p,a] * base[p,b], base[p] = (x, y, 1) at position p"
    gradients = {"grad": "dg[n,p,a] = sum_b G[n,a,b] * base[p,b]"}
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "2 per number of the grid and column of theta"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, sizes: Sizes, align_corners: bool) -> Spec:
        if grad.shape[1:] != (*sizes, len(sizes)):
            raise ShapeError(
                "affine_grid_grad",
                f"the points of {sizes} are {(*sizes, len(sizes))}",
                values=[("grad", grad.shape)],
            )
        return Spec((grad.shape[0], len(sizes), len(sizes) + 1), grad.dtype)

    @staticmethod
    def forward(xp: Any, grad: Any, sizes: Sizes, align_corners: bool) -> Any:
        base = _base(xp, sizes, align_corners, grad.dtype)
        points = grad.reshape(grad.shape[0], math.prod(sizes), len(sizes))
        return xp.ascontiguousarray(xp.matmul(points.swapaxes(1, 2), base))

    @staticmethod
    def vjp_grad(g: Any, sizes: Any, align_corners: Any) -> Any:
        return _affine_grid(g, sizes, align_corners)

    @staticmethod
    def flops(grad: Spec, sizes: Sizes, align_corners: bool) -> int:
        return 2 * grad.size * (len(sizes) + 1)


_affine_grid = AffineGrid.call
_affine_grid_grad = AffineGridGrad.call


def _base(xp: Any, sizes: Sizes, align_corners: bool, dtype: Any) -> Any:
    """(x, y, 1) of every position [positions, n + 1]."""
    n = len(sizes)
    base = xp.ones((*sizes, n + 1), dtype)
    for axis, size in enumerate(sizes):
        edge = 1.0 if align_corners else (size - 1) / size
        line = xp.linspace(-edge, edge, size) if size > 1 else xp.zeros(1)
        base[..., n - 1 - axis] = line.reshape(-1, *(1,) * (n - 1 - axis))
    return base.reshape(math.prod(sizes), n + 1)
