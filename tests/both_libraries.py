"""One program, run with this library and with PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg

torch = pytest.importorskip("torch")

A, B = np.array([1.0, -2.0]), np.array([3.0, 4.0])


def plain(value: Any) -> Any:
    """Tensors as lists, in whatever holds them."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return np.round(value.detach().numpy(), 12).tolist() if hasattr(value, "detach") else value


def same(program: Any) -> Any:
    """What ``program(library, a, b, log)`` logs, which must be the same with both libraries."""
    logs = []
    for library in (tg, torch):
        log: list[Any] = []
        a, b = (library.tensor(v.copy(), requires_grad=True) for v in (A, B))
        program(library, a, b, log)
        logs.append(plain(log))
    assert logs[0] == logs[1]
    return logs[0]
