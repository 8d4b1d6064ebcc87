"""The shape to which operands broadcast, or the error that shows ways out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_cv.errors import ShapeError

__all__ = ["common_shape"]

Shape = tuple[int, ...]


def common_shape(op: str, /, **operands: Any) -> Shape:
    """The shape to which all operands broadcast: tensors, arrays, specs, shapes; numbers and None
    have no axes. One that was computed, not given, has a name of several words.

    Raises:
        ShapeError: two sizes of one axis differ and none of them is 1; it names ``op`` and the
            operands.

    >>> common_shape("add", input=(2, 1, 4), other=(3, 1))
    (2, 3, 4)
    """
    shapes = {name: _shape_of(x) for name, x in operands.items()}
    common = _broadcast(list(shapes.values()))
    if isinstance(common, tuple):
        return common
    sizes = [shape[common] if len(shape) >= -common else 1 for shape in shapes.values()]
    repair, repairs = _ways_out(shapes)
    raise ShapeError(
        op,
        f"the shapes do not broadcast: axis {common} has sizes " + " and ".join(map(str, sizes)),
        law=["sizes, aligned at the last axis, must be equal or 1"],
        values=list(shapes.items()),
        repair=repair,
        repairs=repairs,
    )


def _shape_of(operand: Any) -> Shape:
    shape = getattr(operand, "shape", operand)
    return tuple(shape) if isinstance(shape, (tuple, list)) else ()


def _broadcast(shapes: Sequence[Shape]) -> Shape | int:
    """The common shape, or the axis, counted from the last, along which there is none."""
    if len(set(shapes)) == 1:
        return shapes[0]
    common = []
    for axis in range(-max(map(len, shapes), default=0), 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            return axis
        common.append(sizes.pop() if sizes else 1)
    return tuple(common)


def _ways_out(shapes: dict[str, Shape]) -> tuple[str | None, list[dict[str, Shape]]]:
    """A view of one operand that fits the others, or the shapes that would: what to write, and the
    shapes by name."""
    rest = {
        name: _broadcast([other for key, other in shapes.items() if key != name])
        for name, shape in reversed(shapes.items())  # the first is mostly the data, and stays
        if shape and " " not in name
    }
    fitting = {name: common for name, common in rest.items() if isinstance(common, tuple)}
    for name, common in fitting.items():
        for text, shape in _views(shapes[name], common):
            return f"It would fit as {name}.{text}.", [{name: shape}]
    found = {}
    for name, common in fitting.items():
        missing = max(0, len(shapes[name]) - len(common))
        found[name] = shapes[name][:missing] + common[len(common) + missing - len(shapes[name]) :]
    if not found:
        return None, []
    texts = ", ".join(f"{name} {shape}" for name, shape in found.items())
    text = f"Any of these fits: {texts}." + _of_branches(list(shapes.values()))
    return text, [{name: shape} for name, shape in found.items()]


def _of_branches(shapes: list[Shape]) -> str:
    """Maps [N, C, H, W] or [N, C, D, H, W] of two branches that differ in their sizes."""
    if {len(shape) for shape in shapes} not in ({4}, {5}) or len({s[:2] for s in shapes}) > 1:
        return ""
    return (
        " Branches of a network give maps of one size if stride and padding agree; else crop the "
        f"larger, or F.interpolate(x, size={shapes[0][2:]})."
    )


def _views(shape: Shape, common: Shape) -> Iterator[tuple[str, Shape]]:
    """How to reach a view that broadcasts to the common shape, and its shape: with axes of size 1
    behind, as a bias of channels needs, with the last two axes swapped, or with the channels, which
    are the last axis, behind the first."""
    # A vector is most often one of channels, which are axis 1.
    for first in sorted(range(len(common) - len(shape)), key=lambda axis: axis != 1):
        if _fits(shape, common[first : first + len(shape)]):
            moved = (*shape, *(1,) * (len(common) - first - len(shape)))
            yield f"reshape{moved}", moved
    if len(shape) > 1:
        swapped = (*shape[:-2], shape[-1], shape[-2])
        if _fits(swapped, common[-len(shape) :]):
            yield "mT", swapped
    if len(shape) > 3:
        moved = (shape[0], shape[-1], *shape[1:-1])
        if _fits(moved, common[-len(shape) :]):
            yield "movedim(-1, 1)", moved


def _fits(shape: Shape, common: Shape) -> bool:
    return len(shape) == len(common) and all(
        n in (1, m) for n, m in zip(shape, common, strict=True)
    )
