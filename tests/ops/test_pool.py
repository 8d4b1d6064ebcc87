"""Pooling: values and winners by the letter of the equations, ties, NaN, refusals with repairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

import tinygrad_cv as tg
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.adaptive_pool import (
    AdaptiveAvgPool,
    AdaptiveAvgPoolInputGrad,
    AdaptiveMaxPool,
)
from tinygrad_cv.ops.avg_pool import AvgPool, AvgPoolInputGrad
from tinygrad_cv.ops.pool import MaxPool, MaxPoolGather, MaxPoolScatter, MaxPoolWithIndices
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
TF = torch.nn.functional
rng = np.random.default_rng(3)


def distinct(*shape):
    """Values without ties, far enough apart for differences."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.37 - 2.0


def normal(*shape):
    return rng.normal(size=shape)


def regular(shape, kernel, stride, padding, dilation=None, ceil_mode=False):
    """For every output position the taps of its window: {p: [(tap, pixel), ...]}."""
    n = len(kernel)
    dilation = dilation or (1,) * n
    counts = []
    for a in range(n):
        room = shape[2 + a] + sum(padding[a]) - dilation[a] * (kernel[a] - 1) - 1
        count = (math.ceil if ceil_mode else math.floor)(room / stride[a]) + 1
        if ceil_mode and (count - 1) * stride[a] >= shape[2 + a] + padding[a][0]:
            count -= 1
        counts.append(count)
    windows = {}
    for p in np.ndindex(*counts):
        windows[p] = []
        for tap, k in enumerate(np.ndindex(*kernel)):
            i = tuple(p[a] * stride[a] + k[a] * dilation[a] - padding[a][0] for a in range(n))
            if all(0 <= i[a] < shape[2 + a] for a in range(n)):
                windows[p].append((tap, i))
    return windows


def adaptive(shape, output_size):
    sizes = shape[2:]
    windows = {}
    for p in np.ndindex(*output_size):
        ranges = [
            range(q * s // c, math.ceil((q + 1) * s / c))
            for q, s, c in zip(p, sizes, output_size, strict=True)
        ]
        windows[p] = list(enumerate(itertools.product(*ranges)))
    return windows


def naive_max(windows):
    """Values and flat positions: the first largest pixel of the window, or its last NaN."""

    def pool(x):
        out = tuple(max(p[a] for p in windows) + 1 for a in range(x.ndim - 2))
        values, flat = np.zeros((*x.shape[:2], *out)), np.zeros((*x.shape[:2], *out), np.int64)
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                best = taps[0][1]
                for _, i in taps:
                    if x[(*nc, *i)] > x[(*nc, *best)] or np.isnan(x[(*nc, *i)]):
                        best = i
                values[(*nc, *p)] = x[(*nc, *best)]
                flat[(*nc, *p)] = np.ravel_multi_index(best, x.shape[2:])
        return values, flat

    return pool


def naive_mean(windows, count):
    """``count(p, taps)`` is what window p divides by."""

    def pool(x):
        out = tuple(max(p[a] for p in windows) + 1 for a in range(x.ndim - 2))
        values = np.zeros((*x.shape[:2], *out))
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                values[(*nc, *p)] = sum(x[(*nc, *i)] for _, i in taps) / count(p, taps)
        return values

    return pool


def naive_spread(windows, shape, count):
    def spread(g):
        dx = np.zeros(shape)
        for nc in np.ndindex(*shape[:2]):
            for p, taps in windows.items():
                for _, i in taps:
                    dx[(*nc, *i)] += g[(*nc, *p)] / count(p, taps)
        return dx

    return spread


def naive_scatter(windows, shape):
    def scatter(g, argmax):
        dx = np.zeros(shape)
        for nc in np.ndindex(*shape[:2]):
            for p, taps in windows.items():
                dx[(*nc, *dict(taps)[argmax[(*nc, *p)]])] += g[(*nc, *p)]
        return dx

    return scatter


def naive_gather(windows):
    def gather(x, argmax):
        y = np.zeros(argmax.shape)
        for nc in np.ndindex(*x.shape[:2]):
            for p, taps in windows.items():
                y[(*nc, *p)] = x[(*nc, *dict(taps)[argmax[(*nc, *p)]])]
        return y

    return gather


def any_winners(shape, windows):
    """Some tap inside the input for every window."""
    out = tuple(max(p[a] for p in windows) + 1 for a in range(len(shape) - 2))
    argmax = np.zeros((*shape[:2], *out), np.uint8)
    for place in np.ndindex(*argmax.shape):
        taps = windows[place[2:]]
        argmax[place] = taps[rng.integers(len(taps))][0]
    return argmax


def included(shape, kernel, stride, padding):
    """The number of pixels of a window, padding included but not what ceil_mode reaches beyond."""

    def count(p, taps):
        size = 1
        for a, k in enumerate(kernel):
            start = p[a] * stride[a] - padding[a][0]
            size *= min(start + k, shape[2 + a] + padding[a][1]) - start
        return size

    return count


# name, input, kernel, stride, padding, dilation, ceil_mode
GEOMETRIES = [
    ("2x2", (2, 3, 4, 6), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False),
    ("uncovered rest", (1, 2, 5, 7), (2, 3), (2, 3), ((0, 0), (0, 0)), (1, 1), False),
    ("overlapping", (2, 2, 6, 5), (3, 3), (2, 1), ((1, 1), (1, 1)), (1, 1), False),
    ("gaps", (1, 2, 7, 7), (2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1), False),
    ("ceil", (1, 2, 6, 5), (3, 2), (2, 2), ((1, 1), (0, 0)), (1, 1), True),
    ("ceil, last window dropped", (1, 1, 3, 4), (2, 2), (2, 3), ((1, 1), (1, 1)), (1, 1), True),
    ("one sided", (1, 2, 5, 4), (3, 2), (2, 1), ((1, 0), (0, 1)), (1, 1), False),
    ("dilated", (1, 2, 7, 8), (2, 3), (2, 1), ((1, 1), (2, 2)), (2, 2), False),
    ("one tap", (1, 2, 4, 3), (1, 1), (2, 1), ((0, 0), (0, 0)), (1, 1), False),
    ("1d", (2, 3, 8), (3,), (2,), ((1, 1),), (1,), False),
    ("3d", (1, 2, 4, 5, 4), (2, 2, 2), (2, 1, 2), ((0, 0), (1, 1), (0, 0)), (1, 1, 1), False),
]

ADAPTIVE = [
    ("global", (2, 3, 4, 5), (1, 1)),
    ("regular", (1, 2, 6, 4), (3, 2)),
    ("irregular", (2, 2, 7, 5), (3, 4)),
    ("enlarging", (1, 2, 2, 3), (5, 4)),
    ("1d", (2, 3, 7), (4,)),
    ("3d", (1, 2, 3, 5, 4), (2, 3, 4)),
]


def operator_cases():
    for name, shape, kernel, stride, padding, dilation, ceil in GEOMETRIES:
        windows = regular(shape, kernel, stride, padding, dilation, ceil)
        shared = {"name": name, "batch": [0]}
        attrs = (kernel, stride, padding, dilation)
        pool = naive_max(windows)
        values = Case(
            MaxPool,
            (distinct(*shape),),
            (*attrs, ceil),
            reference=lambda x, f=pool: f(x)[0],
            **shared,
        )
        yield values
        yield Case(
            MaxPoolWithIndices, (distinct(*shape),), (*attrs, ceil), reference=pool, **shared
        )
        argmax = any_winners(shape, windows)
        g = normal(*argmax.shape)
        scatter = naive_scatter(windows, shape)
        yield Case(
            MaxPoolScatter, (g, argmax), (shape, *attrs), reference=scatter, name=name, batch=()
        )
        gather = naive_gather(windows)
        yield Case(
            MaxPoolGather,
            (normal(*shape), argmax),
            attrs,
            reference=gather,
            name=name,
            batch=[0, 1],
        )
        if set(dilation) == {1}:
            for include, divisor in [(True, None), (False, None), (True, 3)]:
                inside = included(shape, kernel, stride, padding) if include else _taps
                count = (lambda p, taps: 3) if divisor else inside
                attrs = (kernel, stride, padding, ceil, include, divisor)
                label = f"{name}, {'padding counts' if include else 'pixels count'}, by {divisor}"
                mean = naive_mean(windows, count)
                yield Case(AvgPool, (normal(*shape),), attrs, reference=mean, name=label, batch=[0])
                spread = naive_spread(windows, shape, count)
                yield Case(
                    AvgPoolInputGrad,
                    (g,),
                    (shape, *attrs),
                    reference=spread,
                    name=label,
                    batch=(),
                )
    for name, shape, size in ADAPTIVE:
        windows = adaptive(shape, size)
        shared = {"name": name, "batch": [0]}
        mean = naive_mean(windows, _taps)
        yield Case(AdaptiveAvgPool, (normal(*shape),), (size,), reference=mean, **shared)
        spread = naive_spread(windows, shape, _taps)
        g = normal(*shape[:2], *size)
        yield Case(AdaptiveAvgPoolInputGrad, (g,), (shape,), reference=spread, name=name, batch=())
        yield Case(
            AdaptiveMaxPool, (distinct(*shape),), (size,), reference=naive_max(windows), **shared
        )


def _taps(p, taps):
    return len(taps)


def face_cases():
    for n in (1, 2, 3):
        shape = (2, 3, *(7, 6, 5)[:n])
        for name, options in [
            ("max", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
            ("max", {"kernel_size": 2, "return_indices": True}),
            ("avg", {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
            ("adaptive_avg", {"output_size": (3, 2, 4)[:n]}),
            ("adaptive_max", {"output_size": (3, 2, 4)[:n]}),
        ]:
            face, theirs = (getattr(module, f"{name}_pool{n}d") for module in (F, TF))
            yield Case(
                face,
                (distinct(*shape),),
                kwargs=options,
                torch=lambda x, f=theirs, o=options: f(x, **o),
                batch=[0],
            )
    image = distinct(3, 6, 5)
    yield Case(
        F.max_pool2d,
        (image,),
        (2,),
        torch=lambda x: TF.max_pool2d(x, 2),
        name="one image",
        batch=(),
    )
    yield Case(
        F.avg_pool2d,
        (image,),
        (2,),
        torch=lambda x: TF.avg_pool2d(x, 2),
        name="one image",
        batch=(),
    )
    yield Case(
        F.adaptive_avg_pool2d,
        (image,),
        ((None, 2),),
        torch=lambda x: TF.adaptive_avg_pool2d(x, (None, 2)),
        name="one image",
        batch=(),
    )


CASES = [*operator_cases(), *face_cases()]


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


def test_flops():
    x = spec_of(np.zeros((2, 3, 8, 8)))
    pool = ((2, 2), (2, 2), ((0, 0), (0, 0)))
    assert MaxPool.flops(x, *pool, (1, 1), False) == 2 * 3 * 4 * 4 * 4
    assert MaxPoolWithIndices.flops(x, *pool, (1, 1), False) == 2 * 3 * 4 * 4 * 4
    assert AvgPool.flops(x, *pool, False, True, None) == 2 * 3 * 4 * 4 * 5
    assert AdaptiveAvgPool.flops(x, (1, 1)) == 2 * 3 * (64 + 1)


def zeros(*shape):
    return np.zeros(shape, np.float32)


BAD = [
    *[
        Bad(
            F.max_pool2d,
            (zeros(1, 3, *size), kernel, 1, padding, dilation, False, indices),
            error=ShapeError,
            match=match,
        )
        for indices in (False, True)
        for size, kernel, padding, dilation, match in (
            ((3, 4), 2, 1, 4, "along H, of size 3, it has taps at -1 and 3"),
            ((9, 2), (1, 2), (0, 1), (1, 3), "at most 2 along W"),
        )
    ],
    Bad(
        F.max_pool1d,
        (zeros(3, 3), 2, 3, 1, 4, True),
        error=ShapeError,
        match="see only padding",
    ),
    Bad(F.max_pool2d, (zeros(1, 3, 2, 2), 3), error=ShapeError, match="H_in >= 3 and W_in >= 3"),
    Bad(F.max_pool2d, (zeros(3, 4, 2), (2, 5)), error=ShapeError, match="kernel <= 2"),
    Bad(
        F.max_pool1d,
        (zeros(1, 3, 4), 3),
        {"dilation": 2, "ceil_mode": True, "stride": 1},
        error=ShapeError,
        match=r"ceil\(\(4 \+ 2\*0 - 2\*\(3 - 1\) - 1\) / 1\) \+ 1 = 0",
    ),
    Bad(F.avg_pool3d, (zeros(1, 1, 1, 4, 4), 2), error=ShapeError, match="D_in >= 2"),
    Bad(F.avg_pool2d, (zeros(1, 3, 2, 2), 3), error=ShapeError, match="padding >= 1"),
    Bad(F.max_pool2d, (zeros(4, 4), 2), error=ShapeError, match="input needs 4 axes"),
    Bad(F.adaptive_avg_pool2d, (zeros(4, 4), 2), error=ShapeError, match="input needs 4 axes"),
    Bad(F.adaptive_avg_pool2d, (zeros(1, 3, 0, 4), 2), error=ShapeError, match="no pixels"),
    Bad(F.adaptive_max_pool3d, (zeros(1, 3, 4, 0, 4), 2), error=ShapeError, match="4 \\* 0 \\* 4"),
    Bad(F.max_pool3d, (zeros(1, 1, 1, 4, 4), 2), error=ShapeError, match="D_in >= 2"),
    Bad(F.avg_pool1d, (zeros(1, 1, 2), 3), error=ShapeError, match="L_in >= 3"),
    Bad(F.max_pool2d, (zeros(1, 1, 4, 4).astype(bool), 2), error=DTypeError, match="bool"),
    Bad(F.avg_pool2d, (zeros(1, 1, 4, 4).astype(bool), 2), error=DTypeError, match="bool"),
    Bad(
        F.adaptive_max_pool1d,
        (zeros(2, 2, 2), 2**62),
        error=ArgumentError,
        match="beyond any memory",
    ),
    Bad(F.max_pool2d, (zeros(1, 1, 4, 4), 2, 10**30), error=ArgumentError, match="64 bits"),
    Bad(F.adaptive_avg_pool1d, (zeros(1, 1, 4).astype(int), 2), error=DTypeError, match="floating"),
    Bad(F.adaptive_max_pool1d, (zeros(1, 1, 4), 0), error=ArgumentError, match="at least 1"),
    Bad(F.adaptive_max_pool2d, (zeros(1, 1, 4, 4), (1, 2, 3)), error=ArgumentError, match="H, W"),
    Bad(
        F.avg_pool2d,
        (zeros(1, 1, 4, 4), 2),
        {"divisor_override": 0},
        error=ArgumentError,
        match="other than 0",
    ),
    *[
        Bad(F.max_pool2d, (zeros(1, 3, 8, 8), 3), kwargs, error=error, match=match)
        for kwargs, error, match in [
            ({"padding": 2}, ArgumentError, "at most half"),
            ({"padding": 2, "dilation": 2}, ArgumentError, "padding=1 or less"),
            ({"padding": ((0, 1), (0, 2)), "dilation": 3}, ArgumentError, "at most half"),
            ({"padding": -1}, ArgumentError, "padding must be at least 0"),
            ({"stride": 0}, ArgumentError, "stride must be at least 1"),
            ({"dilation": (1, 0)}, ArgumentError, "dilation must be at least 1"),
            ({"stride": "2"}, DTypeError, "whole numbers"),
        ]
    ],
    Bad(F.max_pool2d, (zeros(1, 3, 8, 8), 0), error=ArgumentError, match="kernel_size must be"),
    Bad(F.max_pool2d, (zeros(1, 3, 8, 8), (1, 2, 3)), error=ArgumentError, match="per axis H, W"),
]


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
