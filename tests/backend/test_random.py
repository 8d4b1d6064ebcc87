"""The random stream: values against NumPy's Philox, states, distributions, threads."""

import copy
import itertools
import math
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tinygrad_cv.backend import random
from tinygrad_cv.backend.random import (
    Generator,
    integers,
    keep_mask,
    normal,
    permutation,
    uniform,
)
from tinygrad_cv.errors import ArgumentError, DTypeError

KEY = (1234567890123, 42)


def philox(key=KEY):
    return np.random.Philox(key=np.array(key, np.uint64))


class TestGenerator:
    def test_counts_its_draws(self):
        generator = Generator(3)
        assert [generator.next_key() for _ in range(3)] == [(3, 0), (3, 1), (3, 2)]
        assert generator.manual_seed(9) is generator
        assert generator.next_key() == (9, 0)
        assert generator.initial_seed() == 9

    def test_without_a_seed_two_generators_differ(self):
        assert Generator().next_key() != Generator().next_key()

    @pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, np.int32(5), np.uint64(2**64 - 1)])
    def test_seeds_from_the_whole_range(self, seed):
        generator = Generator(seed)
        assert generator.initial_seed() == int(seed)
        assert type(generator.initial_seed()) is int
        uniform(generator.next_key(), (3,))

    @pytest.mark.parametrize("seed", [-1, 2**64, -(2**70)])
    def test_seeds_outside_are_refused(self, seed):
        generator = Generator(5)
        with pytest.raises(ArgumentError, match=r"manual_seed: the seed -?\d+ is outside 0 "):
            generator.manual_seed(seed)
        with pytest.raises(ArgumentError):
            Generator(seed)
        assert generator.next_key() == (5, 0)

    @pytest.mark.parametrize("seed", [1.0, "7", np.float32(1), [1]])
    def test_seeds_that_are_no_integers_are_refused(self, seed):
        with pytest.raises(DTypeError, match="manual_seed: a seed is an integer"):
            Generator(seed)

    def test_state_resumes_bit_by_bit(self):
        generator = Generator(2**64 - 1)
        for _ in range(5):
            generator.next_key()
        state = generator.get_state()
        assert state.dtype == np.uint64
        expected = [uniform(generator.next_key(), (100,)) for _ in range(4)]
        other = Generator(0)
        other.set_state(state)
        np.testing.assert_array_equal(
            [uniform(other.next_key(), (100,)) for _ in range(4)], expected
        )
        other.set_state(state.tolist())
        np.testing.assert_array_equal(uniform(other.next_key(), (100,)), expected[0])

    @pytest.mark.parametrize("state", [[], [1], [1, 2, 3], 5, [[1, 2]], [-1, 0], [0, 2**64]])
    def test_bad_states_are_refused_and_change_nothing(self, state):
        generator = Generator(5)
        with pytest.raises(ArgumentError, match="set_state"):
            generator.set_state(state)
        assert generator.next_key() == (5, 0)

    @pytest.mark.parametrize("state", [[0.5, 1.0], ["a", "b"]])
    def test_states_that_are_no_integers_are_refused(self, state):
        with pytest.raises(DTypeError, match="set_state"):
            Generator(5).set_state(state)

    def test_copies_and_pickles_go_on_alone(self):
        generator = Generator(4)
        generator.next_key()
        others = [
            copy.copy(generator),
            copy.deepcopy(generator),
            pickle.loads(pickle.dumps(generator)),
        ]
        generator.next_key()
        assert [other.next_key() for other in others] == [(4, 1)] * 3
        assert repr(generator) == "Generator(seed=4, draw=2)"

    def test_threads_never_get_the_same_key(self):
        generator = Generator(1)
        with ThreadPoolExecutor(8) as pool:
            keys = list(pool.map(lambda _: [generator.next_key() for _ in range(500)], range(16)))
        assert sorted(key for part in keys for key in part) == [(1, n) for n in range(8000)]

    def test_default_generator(self):
        state = random.default_generator.get_state()
        try:
            assert random.manual_seed(11) is random.default_generator
            assert random.default_generator.next_key() == (11, 0)
        finally:
            random.default_generator.set_state(state)


class TestValues:
    def test_uniform_is_philox(self):
        words = philox().random_raw(50)
        np.testing.assert_array_equal(
            uniform(KEY, (50,), np.float64), (words >> np.uint64(11)) * 2.0**-53
        )
        halves = words.astype("<u8").view("<u4")[:50]
        np.testing.assert_array_equal(
            uniform(KEY, (50,)), (halves >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
        )

    def test_normal_integers_and_permutation_are_numpys(self):
        def stream():
            return np.random.Generator(philox())

        np.testing.assert_array_equal(
            normal(KEY, (7, 9)), stream().standard_normal((7, 9), np.float32)
        )
        np.testing.assert_array_equal(
            normal(KEY, (7, 9), np.float64), stream().standard_normal((7, 9))
        )
        np.testing.assert_array_equal(
            integers(KEY, -5, 1000, (7, 9)), stream().integers(-5, 1000, (7, 9))
        )
        np.testing.assert_array_equal(permutation(KEY, 100), stream().permutation(100))

    def test_the_key_is_the_philox_key(self):
        """Known answer: Philox 4x64 of NumPy, key (0, 0), first word after counter 1."""
        assert uniform((0, 0), (), np.float64) == (int(philox((0, 0)).random_raw()) >> 11) / 2**53

    @pytest.mark.parametrize(
        "draw",
        [
            lambda key: uniform(key, (1000,)),
            lambda key: normal(key, (1000,)),
            lambda key: integers(key, 0, 2**62, (1000,)),
            lambda key: permutation(key, 1000),
            lambda key: keep_mask(key, (1000,), 0.5),
        ],
        ids=["uniform", "normal", "integers", "permutation", "keep_mask"],
    )
    def test_only_the_key_counts(self, draw):
        first = draw((7, 1))
        np.random.default_rng(0).random(10)
        np.testing.assert_array_equal(draw((7, 1)), first)
        assert (draw((7, 2)) != first).any()
        assert (draw((8, 1)) != first).any()

    def test_values_do_not_depend_on_the_shape(self):
        for draw in (uniform, normal):
            np.testing.assert_array_equal(draw(KEY, (400, 500)).ravel(), draw(KEY, (200_000,)))
        np.testing.assert_array_equal(
            keep_mask(KEY, (40, 5, 10), 0.3).ravel(), keep_mask(KEY, (2000,), 0.3)
        )

    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5, 3), (300, 400)])
    def test_shapes_and_dtypes(self, shape):
        for dtype in (np.float32, np.float64):
            for draw in (uniform, normal):
                array = draw(KEY, shape, dtype)
                assert type(array) is np.ndarray
                assert (array.shape, array.dtype) == (shape, dtype)
        for array, dtype in [(integers(KEY, 0, 9, shape), np.int64)] + [
            (keep_mask(KEY, shape, p), np.bool_) for p in (0, 0.5, 1)
        ]:
            assert type(array) is np.ndarray
            assert (array.shape, array.dtype) == (shape, dtype)

    def test_bad_arguments(self):
        for draw in (uniform, normal):
            with pytest.raises(DTypeError, match="int64 is not a floating dtype"):
                draw(KEY, (3,), np.int64)
        for low, high in [(3, 3), (4, 3), (-(2**64), 0), (0, 2**64)]:
            with pytest.raises(ArgumentError, match="randint: no int64 lies in"):
                integers(KEY, low, high, (3,))
        with pytest.raises(ArgumentError, match="randperm: a permutation of -1 elements"):
            permutation(KEY, -1)

    def test_the_ends_of_int64(self):
        array = integers(KEY, -(2**63), 2**63, (1000,))
        assert array.min() < -(2**62)
        assert array.max() > 2**62


class TestKeepMask:
    def test_zero_and_one_are_exact(self):
        assert not keep_mask(KEY, (100_000,), 0.0).any()
        assert keep_mask(KEY, (100_000,), 1.0).all()

    @given(p=st.floats(0, 1), draw=st.integers(0, 2**64 - 1), count=st.integers(0, 300))
    @settings(max_examples=200, deadline=None)
    def test_is_the_comparison_of_48_bits(self, p, draw, count):
        """Against the definition, bit by bit: 16 bits each, 32 more for a tie, in order."""
        bits = philox((3, draw))
        words = [int(word) for word in np.atleast_1d(bits.random_raw(-(-count // 4)))]
        halves = [word >> 16 * part & 0xFFFF for word in words for part in range(4)][:count]
        threshold = round(p * 2**48)
        expected = []
        for half in halves:
            if half == threshold >> 32:
                expected.append(int(bits.random_raw()) >> 32 < threshold & 0xFFFFFFFF)
            else:
                expected.append(half < threshold >> 32)
        assert keep_mask((3, draw), (count,), p).tolist() == expected

    @pytest.mark.parametrize("p", [-1e-9, 1.0000001, math.nan, math.inf, -math.inf])
    def test_probabilities_outside_are_refused(self, p):
        with pytest.raises(ArgumentError, match=r"dropout: a probability of \S+ is not in"):
            keep_mask(KEY, (3,), p)

    @pytest.mark.parametrize("p", [0.9, 0.5, 0.1, 1 / 3, 1e-3, 1 - 1e-5, 2**-17])
    def test_the_frequency_is_p(self, p):
        n = 2_000_000
        kept = int(keep_mask((17, 0), (n,), p).sum())
        assert abs(kept - n * p) < 5 * math.sqrt(n * p * (1 - p))

    def test_probabilities_below_sixteen_bits_are_kept_apart(self):
        """Ties must be resolved: 2**-18 would otherwise be 0."""
        kept = sum(int(keep_mask((5, n), (2**21,), 2**-18).sum()) for n in range(16))
        assert abs(kept - 128) < 5 * math.sqrt(128)

    def test_larger_p_keeps_more(self):
        masks = [keep_mask(KEY, (50_000,), p) for p in (0.1, 0.3, 0.300001, 0.8)]
        for smaller, larger in itertools.pairwise(masks):
            assert not (smaller & ~larger).any()

    def test_neighbours_are_independent(self):
        mask = keep_mask((2, 3), (1_000_000,), 0.5).astype(np.float64) - 0.5
        for lag in (1, 2, 3, 4, 5, 8, 16, 64):
            assert abs((mask[:-lag] * mask[lag:]).mean() * 4) < 5 / math.sqrt(mask.size)


class TestDistributions:
    """Seeds are fixed, so these pass or fail for ever: the bounds are those of a fair draw."""

    def test_uniform(self):
        values = uniform((1, 0), (200_000,))
        assert values.min() >= 0
        assert values.max() < 1
        assert stats.kstest(values, "uniform").pvalue > 1e-3

    def test_normal(self):
        for dtype in (np.float32, np.float64):
            assert stats.kstest(normal((1, 1), (200_000,), dtype), "norm").pvalue > 1e-3

    def test_draws_with_neighbouring_keys_are_independent(self):
        table = np.stack([uniform((5, n), (2000,), np.float64) for n in range(50)])
        correlation = np.corrcoef(table)[np.triu_indices(50, 1)]
        assert np.abs(correlation).max() < 5 / math.sqrt(2000)

    def test_integers(self):
        counts = np.bincount(integers((1, 2), 0, 10, (100_000,)), minlength=10)
        assert stats.chisquare(counts).pvalue > 1e-3

    def test_permutations(self):
        counts: dict[tuple[int, ...], int] = {}
        for n in range(6000):
            order = tuple(permutation((9, n), 3).tolist())
            counts[order] = counts.get(order, 0) + 1
        assert len(counts) == 6
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_draw_though_another_thread_was_drawing():
    """In a process of its own: pytest's own threads would make the fork warn."""
    program = """
import os, signal, threading, time, warnings
from tinygrad_cv.backend import random
warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a running thread is the point
held = threading.Event()
def hold():
    with random._LOCK:
        held.set()
        time.sleep(0.3)
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    random.default_generator.next_key()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
