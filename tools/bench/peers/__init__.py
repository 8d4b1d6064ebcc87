"""Engines beside PyTorch that have names of their own: JAX, tinygrad and HIPS autograd.

Each file makes one with the layers of ``layers.py``. All are optional: ``engine`` says which
package is missing.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["NAMES", "engine"]

NAMES = ("jax", "tinygrad", "autograd")


def engine(name: str, device: str = "cpu") -> Any:
    """The engine of that name.

    Raises:
        ImportError: its package is not installed.
        ValueError: it is asked for on another device than the CPU.
    """
    if device != "cpu":
        raise ValueError(f"{name} is compared on the CPU only; leave it out with --device {device}")
    try:
        module = importlib.import_module(f"peers.{name}_peer")
    except ImportError as error:
        raise ImportError(f"{error}; pip install -e '.[bench]'") from None
    return module.Engine()
