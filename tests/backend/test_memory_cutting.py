"""The block pool cuts memory to size and joins it again."""

import numpy as np
import pytest

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.memory import empty, stats

pytestmark = pytest.mark.usefixtures("in_use")

LARGE = (256, 1024)  # 1 MB of float32


def address(array):
    return array.__array_interface__["data"][0]


def test_one_large_array_makes_room_for_small_ones_and_they_for_it(in_use):
    size = 16 * memory.POOLED_BYTES
    large = empty((size,), np.uint8)
    where = address(large)
    del large
    misses = stats().misses
    small = [empty((size // 4,), np.uint8) for _ in range(4)]
    assert sorted(map(address, small)) == [where + n * size // 4 for n in range(4)]
    assert (in_use(), stats().cached) == (size, 0)
    for n in (1, 3, 0, 2):  # with a free neighbour before, behind, on both sides and without
        small[n] = None
    assert stats().cached == size
    assert address(empty((size,), np.uint8)) == where
    assert stats().misses == misses


def test_the_smallest_piece_that_fits_is_taken():
    sizes = [n * memory.POOLED_BYTES for n in (8, 1, 3, 1, 2, 1)]
    arrays = [empty((size,), np.uint8) for size in sizes]
    places = [address(array) for array in arrays]
    for n in (0, 2, 4):
        arrays[n] = None
    assert address(empty((sizes[4],), np.uint8)) == places[4]
    assert address(empty((sizes[2],), np.uint8)) == places[2]


def test_of_equal_pieces_the_last_one_freed_is_taken_because_caches_still_hold_it():
    arrays = [empty((memory.POOLED_BYTES,), np.uint8) for _ in range(9)]
    places = [address(array) for array in arrays]
    for n in (2, 7, 5):
        arrays[n] = None
    taken = [empty((memory.POOLED_BYTES,), np.uint8) for _ in range(3)]
    assert [address(array) for array in taken] == [places[n] for n in (5, 7, 2)]


def test_what_is_left_over_is_not_lost(in_use):
    large = empty((3 * memory.POOLED_BYTES + 64,), np.uint8)
    start = stats().in_use + stats().cached
    del large
    for _ in range(50):
        a, b = (empty((memory.POOLED_BYTES,), np.uint8) for _ in range(2))
        assert stats().in_use + stats().cached == start
        del a, b


def test_of_a_shrinking_network_little_more_is_held_than_used():
    """The second pass of layers of 8, 4, 2, 1 MB and back takes no fresh memory."""
    sizes = [n * 2**20 for n in (8, 8, 4, 4, 2, 2, 1, 1)]

    def step():
        saved = [empty((size,), np.uint8) for size in sizes]
        gradient = None
        while saved:
            following = empty((saved.pop().size,), np.uint8)
            del gradient
            gradient = following

    memory.reset_peak()
    step()
    held = stats().in_use + stats().cached
    assert held <= 1.05 * stats().peak
    misses = stats().misses
    for _ in range(10):
        step()
    assert stats().misses == misses
    assert stats().in_use + stats().cached == held


def test_batches_of_any_size_hold_little_more_than_their_peak():
    rng = np.random.default_rng(0)
    kept: list[np.ndarray] = []
    memory.reset_peak()
    for _ in range(1000):
        batch, saved = int(rng.integers(1, 33)), []
        for size in (262144, 393216, 131072, 70000):
            saved += [empty((batch * size,), np.uint8) for _ in range(2)]
        while saved:
            gradient = empty((saved.pop().size,), np.uint8)
        if rng.random() < 0.05:  # what lives longer than a step
            kept = [*kept[-20:], empty((int(rng.integers(2**18, 2**21)),), np.uint8)]
    del gradient
    assert stats().in_use + stats().cached <= 1.5 * stats().peak


def test_memory_beside_an_array_in_use_stays_until_that_dies():
    memory.set_limit(0)
    arrays = [empty(LARGE, np.float32) for _ in range(4)]  # segments of 1, 1 and 2 MB
    cached = [stats().cached]
    while arrays:
        arrays.pop()
        cached.append(stats().cached)
    assert cached == [0, 2**20, 0, 0, 0]


def test_segments_grow_with_what_is_held_and_no_further():
    arrays = [empty(LARGE, np.float32) for _ in range(300)]
    segments = {array.base._piece.segment for array in arrays}
    sizes = sorted(segment.size for segment in segments)
    assert sizes[:5] == [2**20, 2**20, 2**21, 2**22, 2**23]
    assert sizes[-1] == memory.SEGMENT_BYTES
    assert len(sizes) < 15
