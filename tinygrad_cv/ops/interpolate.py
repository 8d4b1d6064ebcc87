"""Resizing of images: nearest, linear, cubic, area, with and without antialias.

Each axis is resized by a sparse linear map of its own (``backend/resizing.py``). ``Resize`` applies
those of all axes, ``ResizeGrad`` is its adjoint: the family is closed under differentiation.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from tinygrad_cv.backend.resizing import Axis, resize_axes, table_of
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops import adaptive_pool
from tinygrad_cv.ops._spatial import AXES, Sizes, letters, no_pixels, per_axis
from tinygrad_cv.ops._strides import settled_layout
from tinygrad_cv.ops.convert import cast
from tinygrad_cv.ops.rounding import floor
from tinygrad_cv.ops.select import clamp

__all__ = ["Resize", "ResizeGrad", "interpolate", "upsample"]

NN_FUNCTIONS = ("interpolate", "upsample")

# The number of spatial axes that a mode is for (0: any), and what it does along each of them.
MODES = {
    "nearest": (0, "nearest"),
    "nearest-exact": (0, "nearest-exact"),
    "area": (0, "area"),
    "linear": (1, "linear"),
    "bilinear": (2, "linear"),
    "trilinear": (3, "linear"),
    "bicubic": (2, "cubic"),
    "lanczos": (2, "lanczos"),
}
ANTIALIASED = ("bilinear", "bicubic", "lanczos")


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """The image resized, each axis by a linear map of its own.

    Position p of the result reads the source at ``s = (p + 0.5) * H_in/H_out - 0.5``, and a given
    ``scale_factor`` stands for H_out/H_in there; with ``align_corners`` at
    ``s = p * (H_in - 1)/(H_out - 1)``. Per axis:

    * "nearest": the pixel floor(p * H_in/H_out); "nearest-exact": the pixel floor(s + 0.5);
    * "linear", "bilinear", "trilinear" (3, 4, 5 axes): the two pixels around s;
    * "bicubic" (4 axes): the four pixels around s, cubic convolution with a = -0.75;
    * "area": the mean of the pixels from floor(p*H_in/H_out) to ceil((p + 1)*H_in/H_out), which is
      adaptive average pooling.

    Pixels outside repeat the border.

    Args:
        input: [N, C, L], [N, C, H, W] or [N, C, D, H, W]; float. "nearest" takes any dtype, the
            linear and cubic modes also uint8 (rounded to the nearest whole number).
        size: the spatial size of the result, an int or one per axis.
        scale_factor: a number or one per axis, instead of ``size``:
            ``H_out = floor(H_in * scale_factor)``.
        align_corners: the centres of the corner pixels stay in place; for the linear and cubic
            modes. None is False.
        recompute_scale_factor: True: use H_out/H_in in place of the given factor.
        antialias: where an axis shrinks, widen the filter by the same factor ("bilinear" and
            "bicubic", with a = -0.5, and "lanczos", a = 3, which needs it).

    Returns:
        [N, C, size...], in the memory layout of the input.

    Raises:
        ShapeError: the input has other axes than the mode is for, or it or the result has no
            pixels.
        ArgumentError: an unknown mode, size and scale_factor both or neither, an option that the
            mode does not take.
        DTypeError: an integer or bool input to a mode that needs floats.

    Source: names and rules as ``torch.nn.functional.interpolate``; R. Keys, Cubic convolution
    interpolation, 1981.

    >>> import tinygrad_cv as tg
    >>> row = tg.tensor([[[[0.0, 4.0]]]])
    >>> tg.nn.functional.interpolate(row, size=(1, 4)).tolist()
    [[[[0.0, 0.0, 4.0, 4.0]]]]
    >>> tg.nn.functional.interpolate(row, size=(1, 4), mode="bilinear").tolist()
    [[[[0.0, 1.0, 3.0, 4.0]]]]
    """
    n = _check_mode(input, mode, align_corners, antialias)
    sizes, scales = _sizes(input, n, size, scale_factor, mode, recompute_scale_factor)
    kind = MODES[mode][1]
    if kind == "area":
        _check_float(input, mode)
        return getattr(adaptive_pool, f"adaptive_avg_pool{n}d")(input, sizes)
    single = n == 2 and kind.startswith("nearest")
    axes = tuple(
        Axis(old, new, kind, bool(align_corners), scale, bool(antialias), single)
        for old, new, scale in zip(input.shape[2:], sizes, scales, strict=True)
    )
    if input.dtype == "uint8" and not kind.startswith("nearest"):
        return _bytes(input, axes)
    if not kind.startswith("nearest"):
        _check_float(input, mode)
    return _resize(input, axes)


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """:func:`interpolate` under its old name.

    >>> import tinygrad_cv as tg
    >>> tg.nn.functional.upsample(tg.zeros(1, 3, 4, 5), scale_factor=2).shape
    (1, 3, 8, 10)
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


class Resize(Op):
    """The spatial axes of [N, C, ...] resized, each as its ``Axis`` says."""

    name = "resize"
    equation = "y[n,c,p] = sum_i w[p,i] * x[n,c,i], w a product over the axes"
    gradients = {"input": "dx[n,c,i] = sum_p w[p,i] * g[n,c,p]"}
    edges = (
        "positions outside the image read its border; NaN and infinity spread to what reads them"
    )
    cost = "2 per weight, axis by axis"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, axes: tuple[Axis, ...]) -> Spec:
        return _result(
            Resize.name, input, [axis.size for axis in axes], [axis.out for axis in axes]
        )

    @staticmethod
    def forward(xp: Any, input: Any, axes: tuple[Axis, ...]) -> Any:
        return resize_axes(xp, input, Resize.infer(input, axes), axes, False)

    @staticmethod
    def vjp_input(g: Any, axes: Any) -> Any:
        return _resize_grad(g, axes)

    @staticmethod
    def flops(input: Spec, axes: tuple[Axis, ...]) -> int:
        return _flops(input, axes)


class ResizeGrad(Op):
    """Input gradient of ``Resize``: its adjoint, every weight the other way round."""

    name = "resize_grad"
    equation = "dx[n,c,i] = sum_p w[p,i] * g[n,c,p], w a product over the axes"
    gradients = {"grad": "dg[n,c,p] = sum_i w[p,i] * G[n,c,i]"}
    edges = "linear: NaN and infinity of g spread as in the sum"
    cost = "2 per weight, axis by axis"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, axes: tuple[Axis, ...]) -> Spec:
        return _result(
            ResizeGrad.name, grad, [axis.out for axis in axes], [axis.size for axis in axes]
        )

    @staticmethod
    def forward(xp: Any, grad: Any, axes: tuple[Axis, ...]) -> Any:
        return resize_axes(xp, grad, ResizeGrad.infer(grad, axes), axes, True)

    @staticmethod
    def vjp_grad(g: Any, axes: Any) -> Any:
        return _resize(g, axes)

    @staticmethod
    def flops(grad: Spec, axes: tuple[Axis, ...]) -> int:
        return _flops(grad, axes)


_resize = Resize.call
_resize_grad = ResizeGrad.call


def _result(op: str, array: Any, old: list[int], new: list[int]) -> Spec:
    if list(array.shape[2:]) != old:
        raise ShapeError(
            op,
            f"the spatial axes must have the sizes {tuple(old)}",
            values=[("input", array.shape)],
        )
    shape = (*array.shape[:2], *new)
    return Spec(shape, array.dtype, settled_layout(shape, layout_of(array)))


def _bytes(input: Any, axes: tuple[Axis, ...]) -> Any:
    """Resizing of uint8, the last axis first and rounded after each, as PyTorch: what overshoots
    is cut off before the next axis sees it."""
    same = [Axis(axis.size, axis.size, "nearest") for axis in axes]
    for k in range(len(axes) - 1, -1, -1):
        y = _resize(cast(input, "float32"), (*same[:k], axes[k], *same[k + 1 :]))
        input = cast(clamp(floor(y + 0.5), 0, 255), "uint8")
        same[k] = Axis(axes[k].out, axes[k].out, "nearest")
    return input


def _flops(array: Spec, axes: tuple[Axis, ...]) -> int:
    """One axis after the other, the last first; a multiplication and an addition for each link."""
    count, total = math.prod(array.shape[:2]), 0
    for k, axis in enumerate(axes):
        links = len(table_of(axis, "float64").index)
        others = [a.size for a in axes[:k]] + [a.out for a in axes[k + 1 :]]
        total += 2 * links * count * math.prod(others)
    return total


def _check_mode(input: Any, mode: str, align_corners: Any, antialias: Any) -> int:
    """The number of spatial axes; raises what does not go with the mode."""
    if mode not in MODES:
        raise ArgumentError(
            "interpolate",
            f"unknown mode {mode!r}",
            repair="Use one of " + ", ".join(MODES) + ".",
            repairs=[{"mode": "nearest"}],
        )
    n, (wanted, kind) = input.ndim - 2, MODES[mode]
    if n not in AXES or wanted not in (0, n):
        axes = letters(wanted) if wanted else "[N, C, L], [N, C, H, W] or [N, C, D, H, W]"
        fitting = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(n)
        raise ShapeError(
            "interpolate",
            f"mode {mode!r} takes {axes}, the input has {input.ndim} axes",
            values=[("input", input.shape)],
            repair=_rank_repair(n, wanted, fitting),
            repairs=[{"mode": fitting, "antialias": False}] if fitting else [],
        )
    if align_corners is not None and kind in ("nearest", "nearest-exact", "area"):
        raise ArgumentError(
            "interpolate",
            f"align_corners is for the linear and cubic modes, not for {mode!r}",
            repair="Leave it out.",
            repairs=[{"align_corners": None}],
        )
    if antialias and mode not in ANTIALIASED:
        raise ArgumentError(
            "interpolate",
            f"antialias is for the modes {', '.join(ANTIALIASED)}, not for {mode!r}",
            repair="Leave it out.",
            repairs=[{"antialias": False}],
        )
    if mode == "lanczos" and (align_corners or not antialias):
        raise ArgumentError(
            "interpolate",
            "mode 'lanczos' needs antialias=True and knows no align_corners",
            repairs=[{"antialias": True, "align_corners": None}],
            repair="Use antialias=True.",
        )
    return n


def _sizes(
    input: Any, n: int, size: Any, scale_factor: Any, mode: str, recompute: Any
) -> tuple[Sizes, tuple[float | None, ...]]:
    """The size of the result per axis, and the factor to compute positions with, or None."""
    if (size is None) == (scale_factor is None):
        given = "both are" if size is not None else "neither is"
        raise ArgumentError(
            "interpolate", f"give size or scale_factor, and only one of them; {given} given"
        )
    old = input.shape[2:]
    rows = [("input", input.shape, letters(n))]
    if 0 in old:
        raise no_pixels("interpolate", n, input.shape, rows)
    if size is not None:
        if recompute:
            raise ArgumentError(
                "interpolate",
                "recompute_scale_factor goes with scale_factor, not with size",
                repair="Leave it out.",
                repairs=[{"recompute_scale_factor": None}],
            )
        return per_axis("interpolate", "size", size, n), (None,) * n
    scales = _factors(scale_factor, n)
    sizes = tuple(math.floor(length * scale) for length, scale in zip(old, scales, strict=True))
    if min(sizes) < 1:
        axis = next(k for k, length in enumerate(sizes) if length < 1)
        least = max(1 / length for length in old)
        raise ShapeError(
            "interpolate",
            "the result would have no pixels",
            law=[
                f"{AXES[n][axis]}_out = floor({AXES[n][axis]}_in * scale_factor)",
                f"      = floor({old[axis]} * {scales[axis]}) = {sizes[axis]}",
            ],
            values=rows,
            repair="Use a larger scale_factor.",
            repairs=[{"scale_factor": max(math.ceil(least * 100) / 100, least)}],
        )
    return sizes, (None,) * n if recompute or mode == "area" else scales


def _rank_repair(n: int, wanted: int, fitting: str | None) -> str | None:
    """The mode for these axes, and the axes that an image lacks."""
    ways = [f"For this input use mode={fitting!r}."] if fitting else []
    if n == wanted - 1:
        ways.append("If it has no batch axis: input.unsqueeze(0).")
    elif n == wanted - 2:
        ways.append("If it has neither batch nor channels: input[None, None].")
    return " ".join(ways) or None


def _factors(scale_factor: Any, n: int) -> tuple[float, ...]:
    several = isinstance(scale_factor, (tuple, list))
    items = tuple(scale_factor) if several else (scale_factor,) * n
    for item in items:
        if not isinstance(item, Real):
            raise DTypeError(
                "interpolate",
                f"scale_factor must be a number or one per axis, not {scale_factor!r:.60}",
            )
        if not math.isfinite(item):
            raise ArgumentError("interpolate", f"scale_factor must be finite, it is {item}")
    if len(items) != n:
        raise ArgumentError(
            "interpolate",
            f"scale_factor needs one number or {n}, one per axis {', '.join(AXES[n])}, "
            f"got {scale_factor!r}",
        )
    return tuple(map(float, items))


def _check_float(input: Any, mode: str) -> None:
    if input.dtype.kind != "f":
        raise DTypeError(
            "interpolate",
            f"mode {mode!r} needs a floating input, it is {input.dtype}",
            values=[("input", input.shape)],
            repair='Convert it with .float(), or use mode="nearest".',
            repairs=[{"mode": "nearest", "align_corners": None, "antialias": False}],
        )
