"""Depthwise convolution: one kernel per channel, and its two gradients.

Channels lie next to each other, so a tap multiplies and adds whole runs of them. A row of outputs
stays in the level-1 cache while all taps pass over it. Arrays are [N, D, H, W, C] and weights
[taps, C]; ``geometry`` is as in ``convolution``.
"""

from __future__ import annotations

from numba import njit, prange

from tinygrad_cv.backend.cpu.compiled.vector import add_products, add_scaled, zero
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = ["depthwise", "input_gradient", "weight_gradient"]

_R5, _W5 = "Array(float32, 5, 'C', readonly=True)", "float32[:, :, :, :, ::1]"
_R2, _W2 = "Array(float32, 2, 'C', readonly=True)", "float32[:, ::1]"
_R1, _GEOMETRY = "Array(float32, 1, 'C', readonly=True)", "Array(int64, 1, 'C', readonly=True)"


@njit(inline="always")
def _reach(offset, stride, width, across):  # type: ignore[no-untyped-def]
    """The outputs [q0, q1) whose pixel q * stride + offset exists."""
    return max(0, (stride - 1 - offset) // stride), min(across, (width - 1 - offset) // stride + 1)


@compiled(f"void({_R5}, {_R2}, {_R1}, {_W5}, {_GEOMETRY}, int64)", parallel=True)
def depthwise(x, w, bias, y, geometry, workers):  # type: ignore[no-untyped-def]
    """y of x."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across = y.shape[:4]
    units = images * planes * rows
    for worker in prange(workers):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            line = y.ctypes.data + unit * across * c * 4
            if bias.size:
                for q in range(across):
                    for k in range(c):
                        y[image, d, p, q, k] = bias[k]
            else:
                zero(line, across * c * 4)
            for a in range(kd):
                z = d * sd - front + a * dd
                for i in range(kh):
                    h = p * sh - top + i * dh
                    if z < 0 or z >= depth or h < 0 or h >= height:
                        continue
                    source = x.ctypes.data + ((image * depth + z) * height + h) * width * c * 4
                    for j in range(kw):
                        offset = j * dw - left
                        q0, q1 = _reach(offset, sw, width, across)
                        if q0 < q1:
                            add_scaled(
                                line + q0 * c * 4, c * 4, source + (q0 * sw + offset) * c * 4,
                                sw * c * 4, w.ctypes.data + ((a * kh + i) * kw + j) * c * 4,
                                q1 - q0, c,
                            )  # fmt: skip


@compiled(f"void({_R5}, {_R2}, {_W5}, {_GEOMETRY}, int64)", parallel=True)
def input_gradient(dy, w, dx, geometry, workers):  # type: ignore[no-untyped-def]
    """dx of dy: every output sends its gradient back through every tap."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    images, depth, height, width, c = dx.shape
    planes, rows, across = dy.shape[1], dy.shape[2], dy.shape[3]
    units = images * depth * height
    for worker in prange(workers):
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, h = divmod(unit, height)
            image, z = divmod(plane, depth)
            line = dx.ctypes.data + unit * width * c * 4
            zero(line, width * c * 4)
            for a in range(kd):
                d = z + front - a * dd
                for i in range(kh):
                    p = h + top - i * dh
                    if d < 0 or d % sd or d // sd >= planes or p < 0 or p % sh or p // sh >= rows:
                        continue
                    place = ((image * planes + d // sd) * rows + p // sh) * across
                    source = dy.ctypes.data + place * c * 4
                    for j in range(kw):
                        offset = j * dw - left
                        q0, q1 = _reach(offset, sw, width, across)
                        if q0 < q1:
                            add_scaled(
                                line + (q0 * sw + offset) * c * 4, sw * c * 4,
                                source + q0 * c * 4, c * 4,
                                w.ctypes.data + ((a * kh + i) * kw + j) * c * 4, q1 - q0, c,
                            )  # fmt: skip


@compiled(f"void({_R5}, {_R5}, {_W2}, float32[:, :, ::1], {_GEOMETRY})", parallel=True)
def weight_gradient(x, dy, dw_, parts, geometry):  # type: ignore[no-untyped-def]
    """dw [taps, C] of x and dy: each thread has a part of its own, added up in order."""
    kd, kh, kw, sd, sh, sw, front, top, left, dd, dh, dw = geometry[:12]
    depth, height, width, c = x.shape[1], x.shape[2], x.shape[3], x.shape[4]
    images, planes, rows, across = dy.shape[:4]
    units, workers = images * planes * rows, parts.shape[0]
    for worker in prange(workers):
        part = parts[worker].ctypes.data
        zero(part, kd * kh * kw * c * 4)
        for unit in range(units * worker // workers, units * (worker + 1) // workers):
            plane, p = divmod(unit, rows)
            image, d = divmod(plane, planes)
            line = dy.ctypes.data + unit * across * c * 4
            for a in range(kd):
                z = d * sd - front + a * dd
                for i in range(kh):
                    h = p * sh - top + i * dh
                    if z < 0 or z >= depth or h < 0 or h >= height:
                        continue
                    source = x.ctypes.data + ((image * depth + z) * height + h) * width * c * 4
                    for j in range(kw):
                        offset = j * dw - left
                        q0, q1 = _reach(offset, sw, width, across)
                        if q0 < q1:
                            add_products(
                                part + ((a * kh + i) * kw + j) * c * 4,
                                source + (q0 * sw + offset) * c * 4, sw * c * 4,
                                line + q0 * c * 4, c * 4, q1 - q0, c,
                            )  # fmt: skip
    for k in range(dw_.shape[0]):
        for i in range(c):
            total = parts[0, k, i]
            for worker in range(1, workers):
                total += parts[worker, k, i]
            dw_[k, i] = total
