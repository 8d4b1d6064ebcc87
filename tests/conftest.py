"""What all tests share: known random numbers, untouched defaults, GPU tests that skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinygrad_cv as tg
from tinygrad_cv.backend.array import cuda_is_available


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` run only where a CUDA device answers."""
    if any(item.get_closest_marker("gpu") for item in items) and not cuda_is_available():
        skip = pytest.mark.skip(reason="no usable CUDA device")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _known_state() -> Iterator[None]:
    """Every test starts from seed 0 and leaves dtype, device and the grad mode as they were."""
    dtype, device = tg.get_default_dtype(), tg.default_device()
    tg.manual_seed(0)
    yield
    tg.set_default_dtype(dtype)
    tg.set_default_device(device)
    assert tg.is_grad_enabled(), "the test left gradients switched off"
