"""The block pool: what is recycled, what keeps memory alive, and the account of it."""

import copy
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.memory import Block, empty, empty_like, scratch, stats
from tinygrad_cv.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("in_use")

LARGE = (256, 1024)  # 1 MB of float32


def address(array):
    return array.__array_interface__["data"][0]


class TestEmpty:
    def test_small_arrays_are_numpys_own(self):
        array = empty((100, 100), np.float32)
        assert array.base is None
        assert array.flags.owndata

    def test_large_arrays_stand_on_a_block(self):
        array = empty(LARGE, np.float32)
        assert type(array.base) is Block
        assert array.shape == LARGE
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable

    def test_the_bound_is_256_kilobytes(self):
        assert type(empty((256 * 1024,), np.uint8).base) is Block
        assert empty((256 * 1024 - 1,), np.uint8).base is None

    def test_channels_last_is_a_view_of_nhwc_memory(self):
        for shape in [(2, 3, 4, 5), (8, 64, 40, 30), (2, 3, 4), (2, 8, 3, 100, 100)]:
            array = empty(shape, np.float32, layout="channels_last")
            assert array.shape == shape
            assert np.moveaxis(array, 1, -1).flags.c_contiguous

    def test_a_large_channels_last_array_has_the_block_as_its_base(self):
        assert type(empty((8, 64, 40, 30), np.float32, "channels_last").base) is Block

    def test_channels_last_of_a_matrix_is_contiguous(self):
        assert empty((300, 400), np.float32, layout="channels_last").flags.c_contiguous

    @pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32, np.float64])
    def test_every_dtype_holds_its_values(self, dtype):
        array = empty((300, 1000), dtype)
        values = np.arange(300_000).reshape(300, 1000).astype(dtype)
        array[...] = values
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, values)

    def test_objects_never_stand_on_recycled_memory(self):
        empty(LARGE, np.float32)[...] = 1
        array = empty((1000, 200), object)
        assert array.base is None
        assert array[0, 0] is None

    def test_negative_sizes_are_refused(self):
        with pytest.raises(ValueError, match="negative"):
            empty((-1000, -1000), np.float32)

    @given(
        shape=st.lists(st.integers(0, 9), max_size=5).map(tuple),
        scale=st.sampled_from([1, 97]),
        layout=st.sampled_from(["contiguous", "channels_last"]),
    )
    @settings(max_examples=200, deadline=None)
    def test_any_shape(self, shape, scale, layout):
        shape = tuple(n * scale if i < 2 else n for i, n in enumerate(shape))
        array = empty(shape, np.float32, layout)
        assert array.shape == shape
        array[...] = 1
        order = array if layout == "contiguous" or len(shape) < 3 else np.moveaxis(array, 1, -1)
        assert order.flags.c_contiguous

    @given(nbytes=st.integers(memory.POOLED_BYTES, 1 << 22))
    @settings(max_examples=60, deadline=None)
    def test_blocks_are_aligned_and_waste_at_most_a_sixteenth(self, nbytes):
        before = stats().in_use
        array = empty((nbytes,), np.uint8)
        assert address(array) % 64 == 0
        assert 0 <= stats().in_use - before - nbytes <= nbytes / 16


class TestEmptyLike:
    @pytest.mark.parametrize("scale", [1, 20])
    @pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 3, 2)])
    def test_keeps_the_memory_order(self, scale, axes):
        source = np.zeros((2 * scale, 3, 4 * scale, 5 * scale), np.float64).transpose(axes)
        array = empty_like(source)
        assert array.shape == source.shape
        assert array.dtype == source.dtype
        assert array.strides == source.strides
        assert (type(array.base) is Block) == (source.nbytes >= memory.POOLED_BYTES)

    def test_of_a_broadcast_view_is_dense(self):
        array = empty_like(np.broadcast_to(np.float32(1), LARGE))
        assert array.flags.c_contiguous
        array[...] = 1

    def test_of_a_reversed_view_is_writable_memory_of_its_own(self):
        array = empty_like(np.zeros(LARGE, np.float32)[::-1, ::-1])
        array[...] = 1
        assert array.sum() == array.size


class TestRecycling:
    def test_memory_comes_back_when_the_array_dies(self):
        array = empty(LARGE, np.float32)
        where = address(array)
        del array
        assert address(empty(LARGE, np.float32)) == where

    def test_another_shape_of_the_same_size_takes_it(self):
        array = empty(LARGE, np.float32)
        where = address(array)
        del array
        assert address(empty((8, 32, 32, 32), np.float32, "channels_last")) == where

    @pytest.mark.parametrize(
        "view_of",
        [
            lambda a: a[10:20].reshape(2, -1).T,
            lambda a: a.view(np.int32),
            lambda a: np.broadcast_to(a[0], (3, 1024)),
            lambda a: memoryview(a),
            lambda a: np.lib.stride_tricks.as_strided(a, (2,), (8,)),
            lambda a: np.from_dlpack(a),
            lambda a: a[..., 0].flat,
        ],
        ids=["reshape", "dtype", "broadcast", "memoryview", "as_strided", "dlpack", "flat"],
    )
    def test_a_view_keeps_the_memory(self, view_of, in_use):
        array = empty(LARGE, np.float32)
        array[...] = 7
        base = weakref.ref(array.base)
        view = view_of(array)
        del array
        others = [empty(LARGE, np.float32) for _ in range(3)]
        for other in others:
            other[...] = -1
        assert base() is not None
        assert in_use() == 4 * 2**20
        del view
        assert base() is None
        assert in_use() == 3 * 2**20

    def test_values_survive_in_views(self):
        array = empty(LARGE, np.float32)
        array[...] = np.arange(array.size).reshape(LARGE)
        view = array[3, ::7]
        expected = view.copy()
        del array
        for _ in range(5):
            empty(LARGE, np.float32)[...] = -1
        np.testing.assert_array_equal(view, expected)

    def test_copies_and_pickles_own_their_memory(self):
        array = empty(LARGE, np.float32)
        array[...] = 3
        for other in (copy.deepcopy(array), copy.copy(array), pickle.loads(pickle.dumps(array))):
            assert type(other.base) is not Block
            assert not np.shares_memory(other, array)
            np.testing.assert_array_equal(other, array)

    def test_in_a_reference_cycle_the_collector_returns_it(self, in_use):
        cycle = [empty(LARGE, np.float32)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert in_use() == 0


class TestAccount:
    def test_of_a_chain(self, in_use):
        start = stats()
        a, b = empty(LARGE, np.float32), empty(LARGE, np.float32)
        memory.reset_peak()
        assert in_use() == 2 * 2**20
        assert stats().in_use == stats().peak
        assert stats().cached == 0
        del a
        assert (in_use(), stats().cached) == (2**20, 2**20)
        c = empty(LARGE, np.float32)
        assert stats().hits - start.hits == 1
        assert stats().misses - start.misses == 2
        del b, c
        assert (in_use(), stats().cached) == (0, 2 * 2**20)
        assert stats().peak == start.in_use + 2 * 2**20
        memory.empty_cache()
        assert stats().cached == 0

    def test_the_limit_bounds_what_is_cached(self):
        memory.set_limit(3 * 2**20)
        arrays = [empty(LARGE, np.float32) for _ in range(8)]  # segments of 1, 1, 2 and 4 MB
        del arrays
        assert 0 < stats().cached <= 3 * 2**20
        memory.set_limit(2**20)
        assert stats().cached <= 2**20

    def test_a_limit_of_zero_switches_recycling_off(self):
        memory.set_limit(0)
        empty(LARGE, np.float32)
        assert stats().cached == 0

    def test_the_memory_used_longest_ago_goes_first(self):
        memory.set_limit(3 * 2**20)
        arrays = [empty(LARGE, np.float32) for _ in range(3)]
        del arrays
        large = empty((2**21,), np.uint8)
        del large
        assert stats().cached == 3 * 2**20
        hits = stats().hits
        empty((2**21,), np.uint8)
        assert stats().hits == hits + 1

    def test_a_negative_limit_is_refused(self):
        with pytest.raises(ArgumentError, match="set_limit: a limit of -1 bytes is negative"):
            memory.set_limit(-1)

    @given(
        steps=st.lists(
            st.tuples(st.sampled_from(["take", "drop", "limit"]), st.integers(0, 7)), max_size=60
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_against_a_model(self, steps):
        """Live arrays never overlap; in_use and cached are what the live and dead arrays say."""
        memory.empty_cache()
        start = stats().in_use
        alive: list[np.ndarray] = []
        for step, n in steps:
            if step == "take":
                alive.append(empty(((n + 1) * memory.POOLED_BYTES,), np.uint8))
                alive[-1][:] = len(alive)
                alive[-1][::4096] = len(alive)
            elif step == "drop" and alive:
                alive.pop(n % len(alive))
            elif step == "limit":
                memory.set_limit(n * memory.POOLED_BYTES)
            assert stats().in_use - start == sum(array.nbytes for array in alive)
            pieces = memory._POOL.free
            assert pieces == sorted(pieces)
            assert stats().cached == sum(piece.size for piece in pieces)
            if stats().cached > stats().limit:  # only what is tied to memory in use
                assert all(piece.size < piece.segment.used for piece in pieces)
            for piece in pieces:  # no two free pieces lie side by side
                assert piece.start + piece.size not in piece.segment.begins
        spans = sorted((address(array), array.nbytes) for array in alive)
        for (start, size), (following, _) in itertools.pairwise(spans):
            assert start + size <= following


class TestScratch:
    def test_is_reused_and_grows(self):
        first = scratch((100,), np.float32, "test.x")
        assert address(first) % 64 == 0
        assert address(scratch((5, 5), np.float64, "test.x")) == address(first)
        assert scratch((1000, 10), np.float32, "test.x").shape == (1000, 10)
        assert address(scratch((100,), np.float32, "test.x")) == address(
            scratch((1000, 10), np.float32, "test.x")
        )

    def test_slots_are_apart(self):
        assert not np.shares_memory(
            scratch((64,), np.float32, "test.x"), scratch((64,), np.float32, "test.y")
        )

    def test_zero_size(self):
        assert scratch((0, 3), np.float32, "test.x").shape == (0, 3)

    def test_threads_are_apart(self):
        barrier = threading.Barrier(2)

        def work(value):
            buffer = scratch((4096,), np.int64, "test.x")
            buffer[:] = value
            barrier.wait()
            return buffer.copy()

        with ThreadPoolExecutor(2) as pool:
            for value, result in zip((1, 2), pool.map(work, (1, 2)), strict=True):
                assert (result == value).all()


class TestThreads:
    def test_no_two_threads_share_memory_and_the_account_holds(self, in_use):
        def work(seed):
            rng = np.random.default_rng(seed)
            alive = []
            for step in range(300):
                n = int(rng.integers(1, 4))
                array = empty((n * 65536,), np.float32)
                array[::1024] = seed * 1000 + step
                alive.append((array, seed * 1000 + step))
                if len(alive) > 5:
                    array, value = alive.pop(int(rng.integers(len(alive))))
                    assert (array[::1024] == value).all()
            return True

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(8)))
        gc.collect()
        assert in_use() == 0

    def test_a_block_that_dies_inside_the_lock_does_not_hang(self, in_use):
        array = empty(LARGE, np.float32)
        with memory._POOL.lock:
            del array
        assert in_use() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_use_the_pool_though_another_thread_held_it():
    """In a process of its own: pytest's own threads would make the fork warn."""
    program = """
import os, signal, threading, time, warnings
import numpy as np
from tinygrad_cv.backend import memory
warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a running thread is the point
kept = memory.empty((1 << 20,), np.uint8)
kept[:] = 5
held = threading.Event()
def hold():
    with memory._POOL.lock:
        held.set()
        time.sleep(0.3)
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    mine = memory.empty((1 << 20,), np.uint8)
    mine[:] = 9
    os._exit(0 if (kept == 5).all() and not np.shares_memory(mine, kept) else 1)
assert os.waitpid(child, 0)[1] == 0
assert (kept == 5).all()
thread.join()
memory.empty((1 << 20,), np.uint8)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_arrays_may_outlive_the_module():
    program = (
        "import numpy as np, builtins; from tinygrad_cv.backend import memory;"
        "builtins.kept = memory.empty((1 << 20,), np.uint8)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
