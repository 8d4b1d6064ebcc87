"""The random stream: every draw is a pure function of (seed, number of the draw).

A `Generator` holds two integers. Each random operation takes the next key (seed, draw), and the
key fixes all its values: NumPy's Philox 4x64 is started with this key and counter 0. So a draw can
be made again without anything saved, a run resumes bit by bit from two integers, and masks and
initial weights are the same on every backend, since they are made on the host.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_cv.backend import memory, replay
from tinygrad_cv.backend.dtypes import as_dtype, float32
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["Generator", "default_generator", "integers", "keep_mask", "manual_seed", "normal"]
__all__ += ["permutation", "uniform"]

Key = tuple[int, int]
Shape = tuple[int, ...]

LARGEST_SEED = 2**64 - 1


class Generator:
    """A seed and a counter of draws.

    Args:
        seed: an integer from 0 to 2**64 - 1; None takes one from the operating system.

    Safe to share between threads: no two of them get the same key. A forked process starts with a
    copy, and so repeats the draws of its parent unless it is seeded anew.

    >>> generator = Generator(7)
    >>> generator.next_key(), generator.next_key()
    ((7, 0), (7, 1))
    """

    __slots__ = ("_draw", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._seed = int.from_bytes(os.urandom(8), "little") if seed is None else _checked(seed)
        self._draw = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` at its first draw.

        Raises:
            DTypeError: the seed is not an integer.
            ArgumentError: the seed is negative or above 2**64 - 1.

        >>> generator = Generator(7)
        >>> _ = generator.next_key()
        >>> generator.manual_seed(5)
        Generator(seed=5, draw=0)
        """
        seed = _checked(seed)
        with _LOCK:
            self._seed, self._draw = seed, 0
        return self

    def initial_seed(self) -> int:
        """The seed of this stream; of a generator made without one, what the operating system gave.

        >>> Generator(7).initial_seed()
        7
        """
        return self._seed

    def next_key(self) -> Key:
        """The key of the next draw, (seed, number of the draw); the counter advances by one.

        The values of a draw depend on its key alone, so a mask can be made again and need not be
        kept:

        >>> key = Generator(7).next_key()
        >>> (keep_mask(key, (100,), 0.5) == keep_mask(key, (100,), 0.5)).all().item()
        True
        """
        tape = replay.tape()
        return self._draw_key() if tape is None else tape.take(self._draw_key)

    def _draw_key(self) -> Key:
        with _LOCK:
            draw = self._draw
            self._draw = draw + 1
            return self._seed, draw

    def get_state(self) -> np.ndarray:
        """Seed and draw counter as two uint64.

        >>> generator = Generator(7)
        >>> _ = generator.next_key()
        >>> generator.get_state()
        array([7, 1], dtype=uint64)
        """
        with _LOCK:
            return np.array([self._seed, self._draw], np.uint64)

    def set_state(self, state: np.ndarray | Sequence[int]) -> None:
        """Continue exactly where `get_state` was called.

        Raises:
            ArgumentError: the state is not two integers from 0 to 2**64 - 1.

        >>> generator = Generator(7)
        >>> state = generator.get_state()
        >>> before = generator.next_key()
        >>> generator.set_state(state)
        >>> generator.next_key() == before
        True
        """
        values = np.asarray(state, object)  # uint64 and int would meet in float64
        if values.shape != (2,):
            raise ArgumentError("set_state", "a generator's state is two integers: seed and draw")
        seed, draw = (_checked(value, "set_state") for value in values.tolist())
        with _LOCK:
            self._seed, self._draw = seed, draw

    def __getstate__(self) -> Key:
        with _LOCK:
            return self._seed, self._draw

    def __setstate__(self, state: Key) -> None:
        self._seed, self._draw = state

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, draw={self._draw})"


def uniform(key: Key, shape: Shape, dtype: Any = float32) -> np.ndarray:
    """Values from [0, 1), multiples of 2**-24 in float32 and of 2**-53 in float64.

    >>> [round(value, 4) for value in uniform((0, 0), (2,)).tolist()]
    [0.0347, 0.0115]
    """
    out: np.ndarray = memory.empty(shape, _float(dtype))
    _stream(key).random(dtype=out.dtype, out=out)
    return out


def normal(key: Key, shape: Shape, dtype: Any = float32) -> np.ndarray:
    """Values of the normal distribution with mean 0 and variance 1."""
    out: np.ndarray = memory.empty(shape, _float(dtype))
    _stream(key).standard_normal(dtype=out.dtype, out=out)
    return out


def integers(key: Key, low: int, high: int, shape: Shape) -> np.ndarray:
    """int64 values, each of low, ..., high - 1 with the same probability.

    Raises:
        ArgumentError: the range is empty or leaves int64.
    """
    if not -(2**63) <= low < high <= 2**63:
        raise ArgumentError("randint", f"no int64 lies in [{low}, {high})")
    return np.asarray(_stream(key).integers(low, high, shape, np.int64))


def permutation(key: Key, n: int) -> np.ndarray:
    """The integers 0, ..., n - 1 in random order, int64.

    Raises:
        ArgumentError: n is negative.
    """
    if n < 0:
        raise ArgumentError("randperm", f"a permutation of {n} elements does not exist")
    return np.asarray(_stream(key).permutation(n), np.int64)


def keep_mask(key: Key, shape: Shape, p_keep: float) -> np.ndarray:
    """A mask of independent bool values, True with probability `p_keep`.

    The probability is `p_keep` rounded to a multiple of 2**-48; 0 and 1 are exact. Each element
    takes 16 bits of the stream, w, and is compared with the upper 16 bits of the threshold
    T = p_keep * 2**48; only where they are equal, once in 65,536, do 32 further bits decide.

    Raises:
        ArgumentError: `p_keep` is not in [0, 1].
    """
    if not 0 <= p_keep <= 1:
        raise ArgumentError("dropout", f"a probability of {p_keep} is not in [0, 1]")
    threshold = round(p_keep * 2**48)
    if threshold in (0, 2**48):
        return np.full(shape, threshold > 0)
    high, low = divmod(threshold, 2**32)
    count = math.prod(shape)
    bits = np.random.Philox(key=np.array(key, np.uint64))
    words = bits.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")[:count]
    mask: np.ndarray = memory.empty((count,), np.bool_)
    np.less(words, np.uint16(high), out=mask)
    ties = np.flatnonzero(words == high)
    mask[ties] = bits.random_raw(len(ties)) >> np.uint64(32) < low
    return mask.reshape(shape)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, from which all draws come that name no generator.

    Raises:
        DTypeError: the seed is not an integer.
        ArgumentError: the seed is negative or above 2**64 - 1.

    >>> import tinygrad_cv as tg
    >>> first = [tg.manual_seed(0), tg.rand(3)][1]
    >>> second = [tg.manual_seed(0), tg.rand(3)][1]
    >>> first.tolist() == second.tolist(), first.tolist() == tg.rand(3).tolist()
    (True, False)
    """
    return default_generator.manual_seed(seed)


def _stream(key: Key) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


def _checked(seed: Any, function: str = "manual_seed") -> int:
    try:
        value = operator.index(seed)
    except TypeError:
        kind = type(seed).__name__
        raise DTypeError(function, f"a seed is an integer, not {kind}") from None
    if not 0 <= value <= LARGEST_SEED:
        raise ArgumentError(function, f"the seed {value} is outside 0 ... 2**64 - 1")
    return value


def _float(dtype: Any) -> np.dtype[Any]:
    found = as_dtype(dtype)
    if found.kind != "f":
        raise DTypeError("random", f"{found.name} is not a floating dtype")
    return found


_LOCK = threading.Lock()

if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
    )

default_generator = Generator()
