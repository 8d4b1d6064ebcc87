"""The median filter: every window by a loop, SciPy's filter, ties, NaN, memory, refusals."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.backend import memory
from tinygrad_cv.backend.spec import spec_of
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.median_filter import RankFilter, RankPairFilter
from tinygrad_cv.testing import Bad, Case, check_bad, check_case, parametrize_cases

F = tg.nn.functional
rng = np.random.default_rng(11)

SCIPY_MODES = {
    "zeros": "constant",
    "reflect": "mirror",
    "symmetric": "reflect",
    "replicate": "nearest",
    "circular": "wrap",
}


def distinct(*shape):
    """Values without ties, far enough apart for differences."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 0.37 - 2.0


def source(i, n, mode):
    """The pixel that stands at position i of a line of n pixels and its border; None for a zero."""
    if 0 <= i < n:
        return i
    if mode == "zeros":
        return None
    if mode == "replicate":
        return 0 if i < 0 else n - 1
    if mode == "circular":
        return i % n
    if mode == "reflect":
        return -i if i < 0 else 2 * (n - 1) - i
    return -i - 1 if i < 0 else 2 * n - 1 - i


def naive(kernel, stride=(1, 1), padding=((0, 0), (0, 0)), mode="zeros", even="mean"):
    """(values, where the one or two elements of every value come from)."""

    def run(x):
        h, w = x.shape[-2:]
        count = [
            (n + sum(pad) - k) // s + 1
            for n, k, s, pad in zip((h, w), kernel, stride, padding, strict=True)
        ]
        lead = x.shape[:-2]
        values, places = np.zeros((*lead, *count), x.dtype), {}
        for place in np.ndindex(*values.shape):
            *channel, p, q = place
            window = []
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    a = source(p * stride[0] + i - padding[0][0], h, mode)
                    b = source(q * stride[1] + j - padding[1][0], w, mode)
                    inside = None not in (a, b)
                    window.append((x[(*channel, a, b)], (a, b)) if inside else (0.0, None))
            order = sorted(window, key=lambda item: item[0])  # stable: the first of equals
            low, high = (len(order) - 1) // 2, len(order) // 2
            chosen = {"mean": (low, high), "lower": (low,), "upper": (high,)}[even]
            numbers = [order[k][0] for k in chosen]
            nans = [item for item in window if item[0] != item[0]]
            picked = nans[:1] * len(chosen) if nans else [
                next(item for item in window if item[0] == number) for number in numbers
            ]  # fmt: skip
            values[place] = sum(item[0] for item in picked) / len(picked)
            places[place] = [item[1] for item in picked]
        return values, places

    return run


def spread(run):
    """The gradient: a value goes back to the pixels it came from, in equal parts."""

    def gradient(g, x):
        dx = np.zeros(x.shape)
        for place, chosen in run(x)[1].items():
            for pixel in chosen:
                if pixel is not None:
                    dx[(*place[:-2], *pixel)] += g[place] / len(chosen)
        return (dx,)

    return gradient


def ranked(kernel, stride, *ranks):
    """The values of these ranks, and their taps."""

    def run(x):
        shape = tuple((n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True))
        values = [np.zeros((*x.shape[:2], *shape)) for _ in ranks]
        for *nc, p, q in np.ndindex(*values[0].shape):
            rows, columns = (slice(a * s, a * s + k) for a, s, k in zip((p, q), stride, kernel,
                                                                       strict=True))  # fmt: skip
            window = sorted(x[(*nc, rows, columns)].ravel().tolist())
            for rank, value in zip(ranks, values, strict=True):
                value[(*nc, p, q)] = window[rank]
        return tuple(values) if len(ranks) > 1 else values[0]

    return run


# name, input, kernel, stride, padding, mode, even
CALLS = [
    ("3x3", (2, 3, 5, 6), (3, 3), (1, 1), ((0, 0), (0, 0)), "zeros", "mean"),
    ("zeros", (1, 2, 5, 4), (3, 3), (1, 1), ((1, 1), (1, 1)), "zeros", "mean"),
    ("reflect", (1, 2, 5, 4), (3, 5), (1, 2), ((1, 1), (2, 2)), "reflect", "mean"),
    ("symmetric", (1, 1, 4, 5), (5, 3), (2, 1), ((2, 2), (1, 1)), "symmetric", "mean"),
    ("replicate", (2, 1, 4, 5), (3, 3), (2, 2), ((3, 0), (1, 5)), "replicate", "mean"),
    ("circular", (1, 2, 4, 5), (3, 4), (1, 3), ((1, 2), (4, 0)), "circular", "lower"),
    ("even", (2, 2, 4, 5), (2, 2), (1, 1), ((0, 0), (0, 0)), "zeros", "mean"),
    ("even, lower", (1, 2, 4, 5), (2, 3), (1, 1), ((0, 0), (0, 0)), "zeros", "lower"),
    ("even, upper", (1, 2, 4, 5), (4, 1), (1, 2), ((1, 0), (0, 0)), "replicate", "upper"),
    ("one tap", (1, 2, 3, 4), (1, 1), (2, 1), ((0, 0), (0, 0)), "zeros", "mean"),
    ("no batch", (2, 4, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), "reflect", "mean"),
    ("one plane", (4, 5), (3, 2), (1, 1), ((1, 1), (1, 0)), "circular", "mean"),
]


def cases():
    for name, shape, kernel, stride, padding, mode, even in CALLS:
        run = naive(kernel, stride, padding, mode, even)
        yield Case(
            F.median_filter,
            (distinct(*shape),),
            (kernel, stride, padding, mode, even),
            reference=lambda x, run=run: run(x)[0],
            gradient=spread(run),
            name=name,
            kinks=mode == "zeros" and padding != ((0, 0), (0, 0)),  # several zeros in one window
            batch=[0] if len(shape) == 4 else None,
        )
    for name, kernel, even in (("odd", (3, 3), "mean"), ("even", (2, 3), "mean")):
        run = naive(kernel, padding=((1, 1), (1, 1)), mode="replicate", even=even)
        x = rng.integers(0, 3, (1, 2, 4, 5)).astype(float)
        yield Case(
            F.median_filter,
            (x,),
            (kernel, 1, 1, "replicate", even),
            reference=lambda x, run=run: run(x)[0],
            gradient=spread(run),
            kinks=True,
            order=0,  # shifted pixels of the border stay equal to each other
            name=f"ties, {name}",
        )
    for kernel, stride in (((3, 2), (1, 1)), ((2, 2), (2, 3)), ((17, 16), (1, 1))):
        middle = math.prod(kernel) // 2
        x = distinct(1, 2, kernel[0] + 2, kernel[1] + 1)
        shared = {"batch": [0]}
        yield Case(RankFilter, (x,), (kernel, stride, middle),
                   reference=ranked(kernel, stride, middle), **shared)  # fmt: skip
        yield Case(RankPairFilter, (x,), (kernel, stride, middle - 1),
                   reference=ranked(kernel, stride, middle - 1, middle), **shared)  # fmt: skip


CASES = list(cases())


@parametrize_cases(CASES)
def test_case(case):
    check_case(case)


@pytest.mark.parametrize("mode", sorted(SCIPY_MODES))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_it_equals_scipys(mode, data):
    kernel = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    shape = data.draw(st.tuples(st.integers(4, 9), st.integers(4, 9)))
    dtype = data.draw(st.sampled_from(["float32", "float64", "int64", "uint8"]))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 200, shape).astype(dtype)
    padding = tuple((k // 2, (k - 1) // 2) for k in kernel)
    found = F.median_filter(x, kernel, padding=padding, padding_mode=mode, even="upper").numpy()
    expected = scipy.ndimage.median_filter(x, kernel, mode=SCIPY_MODES[mode])
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, expected)
    if math.prod(kernel) % 2:
        same = F.median_filter(x, kernel, padding="same", padding_mode=mode).numpy()
        np.testing.assert_array_equal(same, expected)


@pytest.mark.parametrize("even", ["mean", "lower", "upper"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 2), (2, 5)])
def test_nan_and_infinity(kernel, even):
    x = rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], (1, 2, 6, 7), p=[0.1, 0.2, 0.2, 0.3, 0.2])
    run = naive(kernel, even=even)
    leaf = tg.tensor(x, requires_grad=True)
    y = F.median_filter(leaf, kernel, even=even)
    with np.errstate(invalid="ignore"):
        expected = run(x)[0]
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    g = rng.normal(size=y.shape)
    y.backward(tg.tensor(g))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(leaf.grad.numpy(), spread(run)(g, x)[0], atol=1e-12)


def test_same_keeps_the_size_and_divides_it_by_the_stride():
    x = tg.tensor(distinct(2, 9, 10))
    for kernel in (1, 2, 3, (4, 7)):
        assert F.median_filter(x, kernel, padding="same").shape == (2, 9, 10)
        assert F.median_filter(x, kernel, 2, "same").shape == (2, 5, 5)
        assert F.median_filter(x, kernel, (3, 4), "same").shape == (2, 3, 3)
    assert F.median_filter(x, 3, padding="valid").shape == (2, 7, 8)


def test_channels_last_stays():
    x = tg.tensor(distinct(2, 3, 6, 7)).contiguous(memory_format="channels_last")
    for kernel in (3, 2):
        y = F.median_filter(x, kernel, padding="same", padding_mode="reflect")
        assert spec_of(y.array).layout == "channels_last"


def test_the_mean_of_two_large_numbers_is_finite():
    x = np.full((1, 2), 3e38, np.float32)
    assert F.median_filter(x, (1, 2)).item() == np.float32(3e38)


def test_the_reference_needs_little_memory_beside_its_results():
    x = np.zeros((1, 1, 700, 900), np.float32)
    x[...] = rng.normal(size=x.shape)
    tracemalloc.start()
    memory.reset_peak()
    before = memory.stats().in_use
    RankFilter.forward(np, x, (9, 9), (1, 1), 40)
    peak = tracemalloc.get_traced_memory()[1] + memory.stats().peak - before
    tracemalloc.stop()
    assert peak <= x.nbytes + x.size + (32 << 20)  # the windows side by side would take 204 MB


def test_flops():
    assert RankFilter.flops(spec_of(np.zeros((2, 3, 8, 8))), (3, 3), (1, 1), 4) == 2 * 3 * 36 * 9


def zeros(*shape):
    return np.zeros(shape, np.float32)


BAD = [
    *[
        Bad(op, (zeros(1, 1, 0, 5), (3, 3), (1, 1), 4), error=ShapeError, match="no pixels")
        for op in (RankFilter, RankPairFilter)
    ],
    Bad(F.median_filter, (zeros(5), 3), error=ShapeError, match="needs 4 axes"),
    Bad(F.median_filter, (zeros(1, 1, 1, 5, 5), 3), error=ShapeError, match="it has 5"),
    Bad(F.median_filter, (zeros(1, 3, 0, 5), 3), error=ShapeError, match="no pixels"),
    Bad(F.median_filter, (zeros(4, 2), (2, 5)), error=ShapeError, match="kernel <= 2"),
    Bad(F.median_filter, (zeros(2, 3, 2, 4), 3), error=ShapeError, match="H_in >= 3"),
    Bad(F.median_filter, (zeros(4, 4) > 0, 3), error=DTypeError, match="bool has no median"),
    Bad(F.median_filter, (zeros(4, 4).astype(int), 2), error=DTypeError, match="mean of two int64"),
    Bad(F.median_filter, (zeros(4, 4), 0), error=ArgumentError, match="kernel_size must be"),
    Bad(F.median_filter, (zeros(4, 4), (1, 2, 3)), error=ArgumentError, match="per axis H, W"),
    Bad(F.median_filter, (zeros(4, 4), 3, 0), error=ArgumentError, match="stride must be"),
    Bad(F.median_filter, (zeros(4, 4), 3, 1, -1), error=ArgumentError, match="padding must be"),
    Bad(F.median_filter, (zeros(4, 4), 3, 1, "most"), error=ArgumentError, match="unknown padding"),
    Bad(F.median_filter, (zeros(4, 4), "3"), error=DTypeError, match="whole numbers"),
    Bad(F.median_filter, (zeros(4, 4), 3.0), error=DTypeError, match="whole numbers"),
    *[
        Bad(F.median_filter, (zeros(4, 4), 3), kwargs, error=error, match=match)
        for kwargs, error, match in [
            ({"padding_mode": "constant"}, ArgumentError, "unknown padding_mode 'constant'"),
            ({"padding_mode": ["zeros"]}, ArgumentError, "unknown padding_mode"),
            ({"even": "middle"}, ArgumentError, "unknown even"),
            ({"padding": 4, "padding_mode": "reflect"}, ShapeError, "4 <= 3 is false"),
            ({"padding": 5, "padding_mode": "symmetric"}, ShapeError, "5 <= 4 is false"),
            ({"padding": ((0, 0), (5, 0)), "padding_mode": "circular"}, ShapeError, "along W"),
            ({"padding": ((0, 1),)}, ArgumentError, "padding needs"),
        ]
    ],
]


@parametrize_cases(BAD)
def test_bad_input_is_refused(bad):
    check_bad(bad)
