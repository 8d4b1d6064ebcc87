"""Work along one axis: running sums, products, extrema and recurrences, gather and scatter, with
sums or extrema of what comes to one place.

Arrays are [L, N, I]: the axis, what stands before it, and what stands behind it side by side in
memory. Scans are kept in float64, so that the error does not grow with N; where nothing stands
behind the axis, some lines run at once, because each sum waits for the one before.
"""

from __future__ import annotations

import numpy as np

from tinygrad_cv.backend.cpu.compiled.tasks import shared
from tinygrad_cv.backend.cpu.compiling import compiled

__all__ = [
    "add_at",
    "add_few",
    "add_rows",
    "extremum",
    "extremum_at",
    "extremum_at_gradient",
    "gather",
]
__all__ += ["recurrence", "running"]

_R3, _W3 = "Array(float32, 3, 'C', readonly=True)", "float32[:, :, ::1]"
_I3, _P3 = "Array(int64, 3, 'C', readonly=True)", "int64[:, :, ::1]"
_R1 = "Array(float32, 1, 'C', readonly=True)"
_I1, _FAR = "Array(int64, 1, 'C', readonly=True)", "float64[:, ::1]"


@compiled(f"void({_R3}, {_W3}, {_FAR}, int64, int64)", parallel=True)
def running(x, out, far, times, reverse, task):
    """Sums, or with ``times`` products, of all up to each place, or with ``reverse`` from there on;
    ``far`` holds those of each thread, for some places side by side."""
    lines, n, inner = x.shape
    workers, width = far.shape
    blocks = (inner + width - 1) // width
    pieces = lines * blocks
    neutral = 1.0 if times else 0.0
    for worker in shared(0, workers, task):
        held = far[worker]
        start, stop = pieces * worker // workers, pieces * (worker + 1) // workers
        if inner == 1:
            while start + 4 <= stop:
                a, b, c, d = neutral, neutral, neutral, neutral
                for i in range(n):
                    k = n - 1 - i if reverse else i
                    if times:
                        a *= x[start, k, 0]
                        b *= x[start + 1, k, 0]
                        c *= x[start + 2, k, 0]
                        d *= x[start + 3, k, 0]
                    else:
                        a += x[start, k, 0]
                        b += x[start + 1, k, 0]
                        c += x[start + 2, k, 0]
                        d += x[start + 3, k, 0]
                    out[start, k, 0], out[start + 1, k, 0] = np.float32(a), np.float32(b)
                    out[start + 2, k, 0], out[start + 3, k, 0] = np.float32(c), np.float32(d)
                start += 4
        for piece in range(start, stop):
            line, first = piece // blocks, piece % blocks * width
            last = min(first + width, inner)
            for c in range(last - first):
                held[c] = neutral
            for i in range(n):
                k = n - 1 - i if reverse else i
                row, result = x[line, k, first:last], out[line, k, first:last]
                if times:
                    for c in range(row.size):
                        held[c] *= row[c]
                        result[c] = np.float32(held[c])
                else:
                    for c in range(row.size):
                        held[c] += row[c]
                        result[c] = np.float32(held[c])


@compiled(f"void({_R3}, {_R3}, {_W3}, {_FAR}, int64)", parallel=True)
def recurrence(x, factor, out, far, reverse, task):
    """y[k] = x[k] + factor[k] y[k-1], reverse: y[k] = x[k] + factor[k+1] y[k+1]."""
    lines, n, inner = x.shape
    workers, width = far.shape
    blocks = (inner + width - 1) // width
    pieces = lines * blocks
    for worker in shared(0, workers, task):
        held = far[worker]
        start, stop = pieces * worker // workers, pieces * (worker + 1) // workers
        if inner == 1:
            while start + 2 <= stop:
                a, b = 0.0, 0.0
                for i in range(n):
                    k = n - 1 - i if reverse else i
                    j = min(k + reverse, n - 1)
                    a = x[start, k, 0] + factor[start, j, 0] * a
                    b = x[start + 1, k, 0] + factor[start + 1, j, 0] * b
                    if i == 0:  # nothing comes before, whatever the factor
                        a, b = np.float64(x[start, k, 0]), np.float64(x[start + 1, k, 0])
                    out[start, k, 0], out[start + 1, k, 0] = np.float32(a), np.float32(b)
                start += 2
        for piece in range(start, stop):
            line, first = piece // blocks, piece % blocks * width
            last = min(first + width, inner)
            for i in range(n):
                k = n - 1 - i if reverse else i
                row, result = x[line, k, first:last], out[line, k, first:last]
                links = factor[line, min(k + reverse, n - 1), first:last]
                if i == 0:
                    for c in range(row.size):
                        held[c] = row[c]
                        result[c] = row[c]
                else:
                    for c in range(row.size):
                        held[c] = row[c] + links[c] * held[c]
                        result[c] = np.float32(held[c])


@compiled(f"void({_R3}, {_W3}, {_P3}, float32, int64)", parallel=True)
def extremum(x, out, places, sign, workers, task):
    """The largest (sign 1) or smallest (sign -1) up to each place, and the last place where it
    stands; from a NaN on, NaN."""
    lines, n, inner = x.shape
    for worker in shared(0, workers, task):
        for line in range(lines * worker // workers, lines * (worker + 1) // workers):
            for c in range(inner):
                out[line, 0, c], places[line, 0, c] = x[line, 0, c], 0
            if inner == 1:
                best, place = x[line, 0, 0], 0
                for k in range(1, n):
                    value = x[line, k, 0]
                    if value != value or sign * value >= sign * best:
                        best, place = value, k
                    out[line, k, 0], places[line, k, 0] = best, place
                continue
            for k in range(1, n):
                row, before, held = x[line, k], out[line, k - 1], places[line, k - 1]
                result, found = out[line, k], places[line, k]
                for c in range(row.size):
                    better = row[c] != row[c] or sign * row[c] >= sign * before[c]
                    result[c] = row[c] if better else before[c]
                    found[c] = k if better else held[c]


@compiled(f"void({_R3}, {_I3}, {_W3}, int64)", parallel=True)
def gather(x, index, out, workers, task):
    """out[l, k, c] = x[l, index[l, k, c], c]; negative positions count from the end."""
    lines, n, inner = x.shape
    count = index.shape[1]
    rows = lines * count
    for worker in shared(0, workers, task):
        if inner == 1:
            for line in range(lines * worker // workers, lines * (worker + 1) // workers):
                for k in range(count):
                    place = index[line, k, 0]
                    out[line, k, 0] = x[line, place + n if place < 0 else place, 0]
            continue
        for row in range(rows * worker // workers, rows * (worker + 1) // workers):
            line, k = row // count, row % count
            wanted, result = index[line, k], out[line, k]
            for c in range(inner):
                place = wanted[c]
                result[c] = x[line, place + n if place < 0 else place, c]


@compiled(f"void({_R3}, {_I3}, {_W3}, {_FAR})", parallel=True)
def add_at(g, index, out, far, task):
    """out[l, p, c] = sum of g[l, k, c] over all k with index[l, k, c] = p; ``far`` holds the sums
    of each thread, N for each of some places side by side."""
    lines, count, inner = g.shape
    n, workers = out.shape[1], far.shape[0]
    width = far.shape[1] // n
    blocks = (inner + width - 1) // width
    pieces = lines * blocks
    for worker in shared(0, workers, task):
        sums = far[worker]
        for piece in range(pieces * worker // workers, pieces * (worker + 1) // workers):
            line, first = piece // blocks, piece % blocks * width
            last = min(first + width, inner)
            size = last - first
            for k in range(n * size):
                sums[k] = 0.0
            if inner == 1:
                for k in range(count):
                    place = index[line, k, 0]
                    sums[place + n if place < 0 else place] += g[line, k, 0]
                for k in range(n):
                    out[line, k, 0] = np.float32(sums[k])
                continue
            for k in range(count):
                row, wanted = g[line, k, first:last], index[line, k, first:last]
                for c in range(row.size):
                    place = wanted[c]
                    sums[(place + n if place < 0 else place) * size + c] += row[c]
            for k in range(n):
                result = out[line, k, first:last]
                for c in range(result.size):
                    result[c] = np.float32(sums[k * size + c])


@compiled(f"void({_R1}, {_I1}, float32[::1], int64, int64, int64)", parallel=True)
def add_few(g, index, out, n, count, workers, task):
    """The same with nothing behind the axis, of flat lines; sums of so few that float32 holds
    them."""
    lines = out.size // n
    for worker in shared(0, workers, task):
        for line in range(lines * worker // workers, lines * (worker + 1) // workers):
            result = out[line * n : (line + 1) * n]
            values, wanted = (
                g[line * count : (line + 1) * count], index[line * count : (line + 1) * count]
            )  # fmt: skip
            for k in range(result.size):
                result[k] = np.float32(0)
            for k in range(values.size):
                place = wanted[k]
                result[place + n if place < 0 else place] += values[k]


@compiled(f"void({_R3}, {_I1}, {_W3}, int64, int64)", parallel=True)
def add_rows(g, index, out, width, workers, task):
    """out[l, p] = sum of g[l, k] over all k with index[k] = p, ``width`` places side by side at
    once."""
    lines, count, inner = g.shape
    blocks = (inner + width - 1) // width
    pieces = lines * blocks
    for worker in shared(0, workers, task):
        for piece in range(pieces * worker // workers, pieces * (worker + 1) // workers):
            line, first = piece // blocks, piece % blocks * width
            last = min(first + width, inner)
            if inner == 1:
                for k in range(out.shape[1]):
                    out[line, k, 0] = np.float32(0)
                for k in range(count):
                    out[line, index[k], 0] += g[line, k, 0]
                continue
            for k in range(out.shape[1]):
                result = out[line, k, first:last]
                for c in range(result.size):
                    result[c] = np.float32(0)
            for k in range(count):
                row, result = g[line, k, first:last], out[line, index[k], first:last]
                for c in range(row.size):
                    result[c] += row[c]


@compiled(
    f"void({_R1}, {_I1}, {_R1}, float32[::1], int64, int64, int64, float32, boolean, int64)",
    parallel=True,
)
def extremum_at(x, index, s, out, n, count, inner, sign, own, workers, task):
    """Of flat lines: out[l, p, c] = the largest (sign 1) or smallest (sign -1) s[l, k, c] over all
    k with index[l, k, c] = p, with ``own`` of x[l, p, c] too; x where there is none. NaN wins."""
    lines, lowest = x.size // (n * inner), -sign * np.float32(np.inf)
    for worker in shared(0, workers, task):
        for line in range(lines * worker // workers, lines * (worker + 1) // workers):
            first, start, size = line * n * inner, line * count * inner, count * inner
            row, result = x[first : first + n * inner], out[first : first + n * inner]
            values, wanted = s[start : start + size], index[start : start + size]
            for k in range(row.size):
                result[k] = row[k]
            if not own:
                c = 0
                for k in range(size):
                    place = wanted[k]
                    result[(place + n if place < 0 else place) * inner + c] = lowest
                    c = c + 1 if c + 1 < inner else 0
            c = 0
            for k in range(size):
                place, value = wanted[k], values[k]
                at = (place + n if place < 0 else place) * inner + c
                held = result[at]
                better = (value != value) | (sign * value > sign * held)
                result[at] = value if better else held
                c = c + 1 if c + 1 < inner else 0


@compiled(
    f"void({_R1}, {_R1}, {_I1}, {_R1}, {_R1}, float32[::1], float32[::1], float32[:, ::1], int64, "
    "int64, int64, boolean)",
    parallel=True,
)
def extremum_at_gradient(g, x, index, s, y, dx, ds, counts, n, count, inner, own, task):
    """The gradients of x and s from that of ``extremum_at``, y: shared evenly by all that are equal
    to y. ``counts`` has room for a line for each thread: how many that are."""
    workers, zero, one = counts.shape[0], np.float32(0), np.float32(1)
    lines = x.size // (n * inner)
    for worker in shared(0, workers, task):
        ties = counts[worker]
        for line in range(lines * worker // workers, lines * (worker + 1) // workers):
            first, start, size = line * n * inner, line * count * inner, count * inner
            row, found, slopes, result = (
                x[first : first + n * inner], y[first : first + n * inner],
                g[first : first + n * inner], dx[first : first + n * inner],
            )  # fmt: skip
            values, wanted = s[start : start + size], index[start : start + size]
            shares = ds[start : start + size]
            for k in range(row.size):
                ties[k] = one if row[k] == found[k] else zero
            if not own:
                c = 0
                for k in range(size):
                    place = wanted[k]
                    ties[(place + n if place < 0 else place) * inner + c] = zero
                    c = c + 1 if c + 1 < inner else 0
            for k in range(row.size):  # who shares, for now
                result[k] = ties[k]
            c = 0
            for k in range(size):
                place = wanted[k]
                at = (place + n if place < 0 else place) * inner + c
                ties[at] += np.float32(values[k] == found[at])
                c = c + 1 if c + 1 < inner else 0
            for k in range(row.size):
                share = slopes[k] / (ties[k] if ties[k] != zero else one)
                result[k] = share if result[k] != zero else zero
                ties[k] = share
            c = 0
            for k in range(size):
                place = wanted[k]
                at = (place + n if place < 0 else place) * inner + c
                share = ties[at]  # read in any case: a branch would be a guess
                shares[k] = share if values[k] == found[at] else zero
                c = c + 1 if c + 1 < inner else 0
