"""Runs every compiled kernel, at sizes that leave rests everywhere, and prints which stay unused.

A program for the mode that checks bounds. With three workers the kernels share their work; with
one, the guard lies right behind its row of working memory.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import numpy as np

from tinygrad_cv.backend import cpu
from tinygrad_cv.backend.cpu import checking, compiling, threads
from tinygrad_cv.testing import CHECKS

HERE = Path(__file__).resolve().parent


def convolutions():
    from test_cpu_convolution import WIDTH, arrays, compare, lanes

    near, one = ((1, 1), (1, 1)), (1, 1)
    compare(*arrays((2, 16, 9, 11), (3, 3), 33), one, near, one, 1)
    compare(*arrays((3, 20, 3, 2), (3, 3), 17), one, near, one, 1)
    compare(*arrays((2, 150, 2, 2), (3, 3), 150), one, near, one, 1)
    compare(*arrays((1, 450, 2, 2), (3, 3), 450), one, near, one, 1)
    compare(*arrays((1, 130, 5, 6), (3, 3), 140), one, near, one, 1)
    compare(*arrays((1, 260, 5, 6), (3, 3), 390), one, near, one, 1)
    compare(*arrays((1, 20, 3, 5, 6), (2, 3, 3), 24), (1, 1, 1), ((1, 0), *near), (1, 1, 1), 1)
    compare(*arrays((2, 34, 13, 16), (3, 3), 33), (2, 2), near, one, 1)
    compare(*arrays((2, 50, 17, 15), (3, 3), 65), (2, 2), ((0, 1), (2, 1)), one, 1)
    compare(*arrays((1, 140, 7, 8), (3, 3), 130), (2, 2), near, one, 1)
    compare(*arrays((1, 300, 8, 7), (3, 3), 390), (2, 2), ((2, 0), (1, 1)), one, 1)
    compare(*arrays((1, 36, 3, 7, 8), (2, 3, 3), 40), (1, 2, 2), ((1, 0), *near), (1, 1, 1), 1)
    compare(*arrays((2, 33, 7, 9), (3, 3), 17), (2, 3), near, (2, 1), 1)
    compare(*arrays((2, 24, 7, 5), (1, 1), 40), one, ((0, 0), (0, 0)), one, 1)
    compare(*arrays((2, 32, 7, 5), (3, 2), 48, 2), (1, 2), near, one, 2)
    compare(*arrays((2, 21, 7, 5), (3, 3), 21, 21), (2, 1), near, (1, 2), 21)
    compare(*arrays((1, 21, 5, 16), (5, 5), 21, 21), one, ((2, 2), (2, 2)), one, 21)
    compare(*arrays((2, 42, 7, 14), (3, 4), 84, 21), (2, 1), near, (1, 1), 21)
    compare(*arrays((1, 44, 5, 16), (3, 3), 11, 11), one, near, one, 11)
    compare(*arrays((2, 200, 4, 5), (3, 3), 240, 2), one, near, one, 2)
    compare(*arrays((1, 270, 3, 5), (1, 1), 300), one, ((0, 0), (0, 0)), one, 1)
    compare(*arrays((2, 3, 11, 13), (5, 3), 9), (2, 1), near, one, 1)
    filled, lanes.FILLED, n = lanes.FILLED, 0, WIDTH + 1
    compare(*arrays((n, 3, 11, 13), (5, 3), 5), (2, 1), near, one, 1)
    compare(*arrays((n, 1, 7, 7), (5, 5), 6), one, near, one, 1)
    compare(*arrays((n, 2, 3, 7, 5), (2, 3, 3), 3), (1, 1, 2), ((1, 0), *near), (2, 1, 2), 1)
    lanes.FILLED = filled


def pooling():
    import test_cpu_pool as tests

    pads = ((1, 1), (1, 0))
    for channels in (1, 17, 70):
        for case in (
            ((2, channels, 7, 9), (3, 2), (2, 1), pads, (2, 1), False),
            ((3, channels, 9, 7), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), True),
            ((1, channels, 3, 5, 6), (2, 2, 3), (1, 2, 3), (*pads, (0, 1)), (1, 1, 1), True),
        ):
            for order in (tests.channels_last, np.ascontiguousarray):
                tests.test_max_pooling.hypothesis.inner_test("few", case, order)
        case = ((2, channels, 7, 9), (3, 2), (2, 1), pads, (1, 1), True)
        tests.test_average_pooling.hypothesis.inner_test(
            "many", None, False, case, tests.channels_last
        )


def medians():
    import test_cpu_median as tests

    for shape in ((2, 17, 9, 11), (1, 1, 7, 75)):
        for kernel, stride in (((3, 3), (1, 1)), ((5, 5), (2, 2)), ((4, 3), (1, 2))):
            for memory in ("contiguous", "channels_last"):
                tests.compare(tests.image(shape, "not finite", memory), kernel, stride)


def regions():
    import test_cpu_roi as tests

    for memory in ("contiguous", "channels_last"):
        tests.test_pooling_is_the_reference("not finite", memory)
        tests.test_means_are_those_of_the_reference((0.8, -1, False), memory)
    tests.test_suppression_is_the_reference(True)


def elementwise():
    import test_cpu_elementwise as tests

    for name in tests.FUNCTIONS:
        for shape in ((1, 3, 5, 1), (3, 17, 11, 7), (2, 33, 9, 40)):
            x, y = tests.image(shape), tests.image(shape, 1)
            tests.compare(name, x, y, ("channels_last", "channels_last"))


def arithmetic():
    import test_cpu_arithmetic as tests

    for memory in tests.MEMORIES:
        for shape in tests.BROADCAST:
            tests.compare(tests.numbers((2, 3, 17, 9), memory), tests.numbers(shape))
    tests.test_what_is_served(tests.numbers((3000, 3)), tests.numbers((3,)))
    tests.test_copies()


def borders():
    import test_cpu_padding as tests

    for shape, widths in tests.CASES:
        for memory in tests.MEMORIES:
            tests.compare(shape, widths, memory)
    for shape, key in tests.KEYS:
        tests.compare_slice(shape, key, "contiguous")


def norms():
    import test_cpu_norm as tests

    for shape in [*tests.SHAPES, (3, 37, 5, 7), (2, 300, 3, 3)]:
        tests.test_relu_and_addition(shape, "channels_last")
        for training in (True, False):
            tests.test_batch_norm(shape, training)


def linear_layers():
    import test_cpu_linear as tests

    workers = threads.get_num_threads()
    for n, i, o in ((1, 600, 150), (37, 41, 130), (60, 7, 9), (75, 530, 33), (24, 64, 800)):
        tests.test_any_shape.hypothesis.inner_test(n, i, o, False, True, workers)


def sums():
    import test_cpu_sums as tests

    for shape in ((64, 6, 28, 28), (2, 3, 5), (3, 7, 11, 13), (1, 700, 2, 3)):
        tests.test_it_equals_a_sum_in_float64(shape, threads.get_num_threads())
    for shape, kept in tests.ROWS:
        tests.compare_rows(shape, kept)
    for shape, dims in tests.MIXED:
        tests.compare_sums(shape, dims)


def pair_losses():
    import test_cpu_pair_loss as tests

    for name, _, options, _ in tests.LOSSES:
        for shape in ((1, 3, 5, 1), (3, 17, 11, 7)):
            tests.compare(name, options, shape, ("contiguous",) * 3, "mean")


def along_an_axis():
    import test_cpu_lines as tests

    lines = tests.lines
    width, held = lines.WIDTH, lines.HELD
    lines.WIDTH, lines.HELD = 16, 64
    for shape, dim in tests.SHAPES:
        tests.compare_scans(shape, dim)
        tests.compare_gather(shape, dim)
        tests.compare_gather(shape, dim, 70)
        tests.compare_extrema(shape, dim)
    lines.WIDTH, lines.HELD = width, held


def resampling():
    import test_cpu_resampling as tests

    for channels in (1, 17, 70):
        tests.test_resizing(channels, "channels_last", None)
    workers = threads.get_num_threads()
    for images in (1, 3):
        tests.test_sampling_with_any_number_of_threads(images, workers)


def softmaxes():
    import test_cpu_softmax as tests

    short, tests.softmax.SHORT = tests.softmax.SHORT, 1
    for name in tests.OPS:
        for shape, dim in tests.SHAPES:
            tests.compare(name, shape, dim, "contiguous")
    tests.softmax.SHORT = short


def optimizers():
    import test_cpu_optim as tests

    for name, options in tests.RULES:
        params, gradients = tests.arrays(), tests.arrays(seed=1)
        params[2], gradients[2] = (tests.lying(a[2], (2, 3, 1, 0)) for a in (params, gradients))
        found = tests.run("numba", name, options, params, gradients)
        params, gradients = tests.arrays(), tests.arrays(seed=1)
        tests.compare(found, tests.run("reference", name, options, params, gradients))


def operators():
    """The cases of all operators, by every kernel that takes them."""
    for file in sorted((HERE.parent / "ops").glob("test_*.py")):
        for case in getattr(importlib.import_module(file.stem), "CASES", ()):
            CHECKS["kernels"](case, "cpu")


FAMILIES = (
    operators,
    convolutions,
    pooling,
    medians,
    elementwise,
    arithmetic,
    borders,
    norms,
    linear_layers,
    sums,
    pair_losses,
    along_an_axis,
    resampling,
    softmaxes,
    optimizers,
)


def take_any_size():
    """Let every family take what is too small for it to pay."""
    for found in pkgutil.iter_modules(cpu.__path__, f"{cpu.__name__}."):
        module = importlib.import_module(found.name)
        for name in ("SMALLEST", "SHORTEST", "FEWEST"):
            if hasattr(module, name):
                setattr(module, name, 0)


def main() -> None:
    assert checking.ON
    sys.path[:0] = [str(HERE), str(HERE.parent / "ops")]
    take_any_size()
    np.seterr(all="ignore")
    for count in (3, 1):
        threads.set_num_threads(count)
        for family in FAMILIES:
            family()
    print([kernel.name for kernel in compiling.kernels() if kernel.made is None])


if __name__ == "__main__":
    main()
