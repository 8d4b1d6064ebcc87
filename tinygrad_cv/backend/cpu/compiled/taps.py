"""Which taps of a kernel meet a pixel, along one axis."""

from numba import njit

__all__ = ["inside", "taps_met"]


@njit
def taps_met(index, before, kernel, stride, dilation, backward):
    """The taps that an output may meet along an axis: (first, step, count), and the positions where
    it meets them: (first, step). Backward, those of a pixel, from the last to the first."""
    if not backward:
        return 0, 1, kernel, index * stride - before, dilation
    period, tap = 1, 0
    while period * dilation % stride:
        period += 1
    while tap < min(kernel, period) and (index + before - tap * dilation) % stride:
        tap += 1
    if tap >= min(kernel, period):
        return 0, 0, 0, 0, 1
    count = (kernel - tap + period - 1) // period
    last = tap + (count - 1) * period
    position = (index + before - last * dilation) // stride
    return last, -period, count, position, period * dilation // stride


@njit
def inside(position, step, count, length):
    """Which of ``count`` positions lie in [0, length): from the first to before the last."""
    first = min(max(0, -(position // step)), count)
    return first, max(first, min(count, (length - 1 - position) // step + 1))
