"""Blocks that die, or are asked for, while the pool is changing its lists: the garbage collector
may run at any allocation."""

import gc

import numpy as np
import pytest

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.memory import Block, empty, stats

pytestmark = pytest.mark.usefixtures("in_use")

SIZE = 4 * memory.POOLED_BYTES


def array():
    return empty((SIZE,), np.uint8)


def check_the_lists():
    """Every piece is listed once under all its keys, and none lies beside another."""
    pool = memory._POOL
    assert stats().cached == sum(piece.size for piece in pool.free)
    assert pool.free == sorted(pool.free)
    for piece in pool.free:
        assert piece.segment.begins[piece.start] is piece
        assert piece.segment.ends[piece.start + piece.size] is piece
        assert piece.start + piece.size not in piece.segment.begins


def neighbours(count):
    """Arrays that lie side by side, cut from one."""
    memory.empty_cache()
    empty((count * SIZE,), np.uint8)
    found = [array() for _ in range(count)]
    return sorted(found, key=lambda x: x.__array_interface__["data"][0])


@pytest.mark.parametrize("method", ["_remove", "_add", "_piece", "_fresh"])
def test_a_neighbour_that_dies_inside_is_taken_back_whole(method, monkeypatch, in_use):
    """By turns before and after every step of handing memory out and back."""
    inner = getattr(memory._Pool, method)
    alive = []

    def interrupted(self, *args):
        if alive:
            alive.pop()
        result = inner(self, *args)
        if alive:
            alive.pop()
        return result

    monkeypatch.setattr(memory._Pool, method, interrupted)
    for order in (slice(None), slice(None, None, -1)):
        alive += neighbours(8)[order]
        for _ in range(4):  # each time two neighbours die inside, if the method runs
            kept = [array(), array()]
            del kept
        alive.clear()
        assert in_use() == 0
        assert stats().cached >= 8 * SIZE
        check_the_lists()


def test_memory_that_died_inside_is_there_for_the_next(monkeypatch, in_use):
    first, second = array(), array()
    place = second.__array_interface__["data"][0]
    alive, inner = [second], memory._Pool._fresh
    del second

    def interrupted(self, *args):
        alive.clear()
        return inner(self, *args)

    monkeypatch.setattr(memory._Pool, "_fresh", interrupted)
    third = array()
    assert not alive
    assert array().__array_interface__["data"][0] == place
    assert in_use() == first.nbytes + third.nbytes


def test_memory_asked_for_inside_is_numpys_own(monkeypatch, in_use):
    """By a finaliser, or by a signal's handler."""
    inner, found = memory._Pool._add, []

    def interrupted(self, *args):
        found.append(empty((2, 64, 60, 40), np.float32, "channels_last"))
        memory.empty_cache()
        stats()
        return inner(self, *args)

    kept = array()
    monkeypatch.setattr(memory._Pool, "_add", interrupted)
    del kept
    stats()  # takes it back
    monkeypatch.undo()
    assert len(found) == 1
    assert not isinstance(found[0].base, Block)
    assert np.moveaxis(found[0], 1, -1).flags.c_contiguous
    found[0][...] = 1
    assert (in_use(), stats().cached) == (0, SIZE)
    check_the_lists()


def test_cycles_that_the_collector_finds_at_any_allocation(in_use):
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for count in range(300):
            cycle = [empty((memory.POOLED_BYTES * (1 + count % 5),), np.uint8) for _ in range(3)]
            cycle.append(cycle)
            del cycle
            array()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert in_use() == 0
    check_the_lists()


def test_memory_of_one_size_is_handed_on_without_the_lists(monkeypatch, in_use):
    kept = array()
    place = kept.__array_interface__["data"][0]

    def never(self, *args):
        raise AssertionError("the lists were changed")

    for name in ("_add", "_remove", "_join"):
        monkeypatch.setattr(memory._Pool, name, never)
    del kept
    again = array()
    assert again.__array_interface__["data"][0] == place
    monkeypatch.undo()
    assert in_use() == SIZE
    check_the_lists()


def test_few_pieces_wait_to_be_taken_back(in_use):
    alive = [array() for _ in range(4 * memory.NOTED)]
    alive.clear()
    assert len(memory._POOL.returned) < memory.NOTED
    assert in_use() == 0
    check_the_lists()


def test_what_exceeds_the_limit_does_not_wait(in_use):
    limit = stats().limit
    memory.set_limit(SIZE)
    try:
        kept = array(), array()
        del kept
        assert memory._POOL.cached + sum(p.size for p in memory._POOL.returned) <= SIZE
    finally:
        memory.set_limit(limit)
