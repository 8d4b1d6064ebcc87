"""Padding in n dimensions: constant, reflect, symmetric, replicate, circular; and cropping.

``Pad`` adds a constant border, or takes positions away where a width is negative: it is its own
adjoint with the widths negated. ``PadBorder`` copies the border from the inside; its adjoint,
``PadBorderGrad``, adds the border back onto the places it came from.
"""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import Spec, layout_of
from tinygrad_cv.core.op import Op
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops._axes import as_ints
from tinygrad_cv.ops._strides import settled_layout

__all__ = ["Pad", "PadBorder", "PadBorderGrad", "pad", "pad_axes"]

NN_FUNCTIONS = ("pad",)

Shape = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]  # (before, after) for each axis

# The widest border that each mode can copy from n positions.
_WIDEST = {"reflect": "n - 1", "symmetric": "n", "replicate": "any, if n > 0", "circular": "n"}


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """A border around the last axes; negative widths take positions away.

    Args:
        input: any number of axes, for images [N, C, H, W].
        pad: widths in positions, two for each axis, the *last axis first*: (left, right),
            (left, right, top, bottom), ... as in PyTorch.
        mode: what stands in the border of a line ``a b c d``, padded by 2::

                constant     v v a b c d v v      any width
                reflect      c b a b c d c b      width <= n - 1 (SciPy's "mirror")
                symmetric    b a a b c d d c      width <= n     (SciPy's "reflect")
                replicate    a a a b c d d d      any width, n > 0
                circular     c d a b c d a b      width <= n
        value: the constant v, default 0; for mode "constant" only.

    Returns:
        The sizes grow by the two widths of their axis. The memory layout stays.

    Raises:
        ShapeError: the widths are odd in number or more than two for each axis, wider than the
            mode allows, or take away more than there is.
        ArgumentError: an unknown mode, or a value beside another mode.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([[1, 2, 3]])
    >>> tg.nn.functional.pad(x, (2, 1)).tolist()
    [[0, 0, 1, 2, 3, 0]]
    >>> tg.nn.functional.pad(x, (2, 1), mode="reflect").tolist()
    [[3, 2, 1, 2, 3, 2]]
    """
    shape = input.shape
    if isinstance(pad, (tuple, list)) and len(pad) > 1 and isinstance(pad[0], (tuple, list)):
        flat = tuple(width for pair in reversed(pad) for width in pair)
        raise DTypeError(
            "pad",
            f"pad must be whole numbers, not pairs of them: {pad!r:.60}",
            repair=f"The widths are flat and begin with the last axis: pad={flat}.",
            repairs=[{"pad": flat}],
        )
    flat = as_ints("pad", "pad", pad)
    values = [("input", shape), ("pad", flat)]
    if len(flat) % 2 or len(flat) > 2 * len(shape):
        raise ShapeError(
            "pad",
            f"{len(flat)} widths for {len(shape)} axes: each padded axis, from the last, takes two",
            values=values,
            repair="Use (left, right) or (left, right, top, bottom).",
            repairs=[{"pad": (0,) * min(len(flat) // 2 * 2, 2 * len(shape))}],
        )
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))[::-1]
    return pad_axes(input, ((0, 0),) * (len(shape) - len(pairs)) + pairs, mode, value)


def pad_axes(input: Any, widths: Widths, mode: str = "constant", value: Any = None) -> Any:
    """:func:`pad` with (before, after) for every axis, first axis first, as NumPy writes it."""
    if mode == "constant":
        return _pad(input, widths, _as_value(input, value))
    if mode not in _WIDEST:
        raise ArgumentError(
            "pad",
            f"unknown mode {mode!r}",
            repair="Use one of constant, " + ", ".join(_WIDEST) + ".",
            repairs=[{"mode": "constant"}],
        )
    if value not in (None, 0):
        raise ArgumentError(
            "pad",
            f"mode {mode!r} takes no value, it copies the border from the input",
            repair='Leave value out, or use mode="constant".',
            repairs=[{"value": None}, {"mode": "constant"}],
        )
    border = tuple((max(a, 0), max(b, 0)) for a, b in widths)
    crop = tuple((min(a, 0), min(b, 0)) for a, b in widths)
    cropped = any(pair != (0, 0) for pair in crop)
    # A circular line closes where it was cut, as in PyTorch; the others reflect the whole line.
    if cropped and mode == "circular":
        input = _pad(input, crop, 0)
    y = (
        _pad_border(input, border, mode)
        if any(max(pair) for pair in border) or not cropped
        else input
    )
    return _pad(y, crop, 0) if cropped and mode != "circular" else y


class Pad(Op):
    """A constant border; negative widths crop."""

    name = "pad"
    equation = "y[i] = x[i - before] inside, v outside"
    gradients = {"input": "dx[i] = g[i + before], 0 where x was cropped"}
    edges = "the value fills; negative widths cut"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, widths: Widths, value: float) -> Spec:
        return _padded(input, widths)

    @staticmethod
    def forward(xp: Any, input: Any, widths: Widths, value: float) -> Any:
        out = _empty(xp, input, widths)
        inside, source = [], []
        for axis, (before, after) in enumerate(widths):
            n = out.shape[axis]
            if before > 0:
                out[_along(axis, slice(0, before))] = value
            if after > 0:
                out[_along(axis, slice(max(n - after, 0), n))] = value
            inside.append(slice(max(before, 0), n - max(after, 0)))
            source.append(slice(max(-before, 0), input.shape[axis] - max(-after, 0)))
        if all(part.stop > part.start for part in source):
            out[tuple(inside)] = input[tuple(source)]
        return out

    @staticmethod
    def vjp_input(g: Any, widths: Widths) -> Any:
        return _pad(g, tuple((-before, -after) for before, after in widths), 0)


class PadBorder(Op):
    """A border copied from the inside: reflect, symmetric, replicate or circular."""

    name = "pad_border"
    equation = "y[i] = x[m(i - before)], m maps the border into the input"
    gradients = {"input": "dx[j] = sum of g[i] over all i with m(i - before) = j"}
    edges = "reflect does not repeat the border pixel, symmetric does"
    dtypes = "bool, integer, floating"

    @staticmethod
    def infer(input: Spec, widths: Widths, mode: str) -> Spec:
        for axis, pair in enumerate(widths):
            _check_width(input.shape, axis, pair, mode)
        return _padded(input, widths)

    @staticmethod
    def forward(xp: Any, input: Any, widths: Widths, mode: str) -> Any:
        out = _empty(xp, input, widths)
        out[_inside(widths, input.shape)] = input
        for border, source in _borders(widths, input.shape, mode):
            out[border] = out[source]
        return out

    @staticmethod
    def vjp_input(g: Any, widths: Widths, mode: str) -> Any:
        return _pad_border_grad(g, widths, mode)


class PadBorderGrad(Op):
    """Adjoint of ``PadBorder``: the border added back onto the places it was copied from."""

    name = "pad_border_grad"
    equation = "y[j] = sum of g[i] over all i with m(i - before) = j"
    gradients = {"grad": "dg[i] = G[m(i - before)]"}
    edges = "what comes to one pixel is added"
    inputs = ("grad",)

    @staticmethod
    def infer(grad: Spec, widths: Widths, mode: str) -> Spec:
        return _padded(grad, tuple((-before, -after) for before, after in widths))

    @staticmethod
    def forward(xp: Any, grad: Any, widths: Widths, mode: str) -> Any:
        shape = tuple(n - a - b for n, (a, b) in zip(grad.shape, widths, strict=True))
        folded = memory.empty_like(grad)
        folded[...] = grad
        for border, source in reversed(list(_borders(widths, shape, mode))):
            axis = next(k for k, part in enumerate(source) if part != slice(None))
            part = folded[border]
            if mode == "replicate":
                part = part.sum(axis=axis, keepdims=True)
            folded[source] += part
        out = memory.empty(shape, grad.dtype, layout_of(grad), xp)
        out[...] = folded[_inside(widths, shape)]
        return out

    @staticmethod
    def vjp_grad(g: Any, widths: Widths, mode: str) -> Any:
        return _pad_border(g, widths, mode)


_pad = Pad.call
_pad_border = PadBorder.call
_pad_border_grad = PadBorderGrad.call


def _borders(widths: Widths, shape: Shape, mode: str) -> Any:
    """(where, from where) of each border, axis after axis.

    Borders run over the whole of the other axes; those of later axes are not valid yet when they
    are copied along, and are overwritten in their turn.
    """
    for axis, (before, after) in enumerate(widths):
        n, ndim = shape[axis], len(shape)
        end = before + n
        sources = {
            "reflect": ((2 * before, before, -1), (end - 2, end - 2 - after, -1)),
            "symmetric": ((2 * before - 1, before - 1, -1), (end - 1, end - 1 - after, -1)),
            "replicate": ((before, before + 1, 1), (end - 1, end, 1)),
            "circular": ((n, n + before, 1), (before, before + after, 1)),
        }[mode]
        places = ((0, before), (end, end + after))
        for width, place, source in zip((before, after), places, sources, strict=True):
            if width:
                yield _along(axis, slice(*place), ndim), _along(axis, _range(*source), ndim)


def _range(start: int, stop: int, step: int) -> slice:
    return slice(start, None if stop < 0 else stop, step)


def _along(axis: int, part: slice, ndim: int = 0) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part, *[slice(None)] * (ndim - axis - 1))


def _inside(widths: Widths, shape: Shape) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for (a, _), n in zip(widths, shape, strict=True))


def _empty(xp: Any, input: Any, widths: Widths) -> Any:
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, widths, strict=True))
    return memory.empty(shape, input.dtype, layout_of(input), xp)


def _padded(input: Spec, widths: Widths) -> Spec:
    shape = tuple(n + a + b for n, (a, b) in zip(input.shape, widths, strict=True))
    for axis, (size, (a, b)) in enumerate(zip(shape, widths, strict=True)):
        if size < 0 or min(a, b) < -input.shape[axis]:
            raise ShapeError(
                "pad",
                f"more is taken away from axis {axis} than there is",
                law=[
                    "size_out = size + before + after",
                    f"         = {size - a - b} + {a} + {b} = {size}",
                ],
                values=[("input", input.shape), ("widths", widths)],
                repair=f"Take away at most {input.shape[axis]} in all.",
            )
    return Spec(shape, input.dtype, settled_layout(shape, input.layout))


def _check_width(shape: Shape, axis: int, pair: tuple[int, int], mode: str) -> None:
    n, width = shape[axis], max(pair)
    widest = {"reflect": n - 1, "replicate": width if n else 0}.get(mode, n)
    if width > max(widest, 0):
        raise ShapeError(
            "pad",
            f"mode {mode!r} cannot fill a border of {width} from {n} positions along axis {axis}",
            law=[f"width <= {_WIDEST[mode]}", f"{width} <= {max(widest, 0)} is false"],
            values=[("input", shape), ("(before, after)", pair)],
            repair=f"Pad at most {max(widest, 0)}, or use mode='constant'.",
            repairs=[{"mode": "constant"}],
        )


def _as_value(input: Any, value: Any) -> Any:
    if value is None:
        return 0
    if isinstance(value, float) and input.dtype.kind != "f" and not value.is_integer():
        raise DTypeError(
            "pad",
            f"the value {value} does not fit into {input.dtype.name}",
            repair="Use x.float().",
        )
    return value
