"""What tests of memory have in common."""

import gc

import pytest

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.memory import stats


@pytest.fixture
def in_use():
    """Bytes in use beyond those that other tests hold; the test starts with an empty cache."""
    gc.collect()
    limit, start = stats().limit, stats().in_use
    memory.empty_cache()
    yield lambda: stats().in_use - start
    memory.set_limit(limit)
    memory.empty_cache()
