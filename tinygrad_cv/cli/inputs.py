"""Inputs for a model that has none at hand: ``--input 1,3,32,32``; what a call takes."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

__all__ = ["HELP", "made", "makes", "misfit", "noted", "parsed"]

SEED = 0
HELP = (
    "an input such as 1,3,32,32 or 8:int64, once for each: floating-point inputs are drawn from "
    f"the standard normal distribution (seed {SEED}), others are zeros"
)
NOTE = f"inputs: standard normal draws, seed {SEED}"
FROM_INPUTS = ("grad_norm", "mean", "std", "zeros", "nonfinite")  # values that depend on them

Input = tuple[tuple[int, ...], str]


def parsed(text: str) -> Input:
    """``1,3,32,32:float32`` as shape and dtype; a scalar is ``()``.

    >>> parsed("1,3:int64"), parsed("()")
    (((1, 3), 'int64'), ((), 'float32'))
    """
    shape, _, dtype = text.partition(":")
    try:
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shape!r} is no shape such as 1,3,32,32") from None
    if any(size < 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"{shape!r} has a negative size")
    return sizes, dtype or "float32"


def made(inputs: Sequence[Input], device: str) -> list[Any]:
    """The Tensors. Zeros would be a special case: products and gradients that are zero in a healthy
    model too.

    Raises:
        TinygradError: an unknown dtype or device.
        MemoryError: they are too large.

    >>> [float(t.abs().sum()) > 0 for t in made([((3,), "float64"), ((3,), "int64")], "cpu")]
    [True, False]
    """
    import tinygrad_cv as tg

    generator = tg.Generator(SEED)
    tensors = []
    for shape, dtype in inputs:
        if _floating(dtype):
            drawn = tg.randn(*shape, dtype=dtype, device=device, generator=generator)
            tensors.append(drawn)
        else:
            tensors.append(tg.zeros(*shape, dtype=dtype, device=device))
    return tensors


def _floating(dtype: str) -> bool:
    return dtype.startswith("float")


def noted(graph: Any, inputs: Sequence[Input], overlay: str) -> Any:
    """The graph, with a note of what was put in if the overlay tells of values."""
    if overlay not in FROM_INPUTS or not any(_floating(dtype) for _, dtype in inputs):
        return graph
    return type(graph)(replace(graph.model, notes=(*graph.model.notes, NOTE)))


def makes(function: Any) -> bool:
    """True for a class, and for a function that needs no argument."""
    if isinstance(function, type):
        return True
    if not callable(function) or hasattr(function, "forward"):
        return False
    return not misfit(function, [], "unknown")


def misfit(target: Callable[..., Any], inputs: Sequence[Any], unknown: str = "") -> str:
    """Why a call does not fit; "" if it does, and ``unknown`` where nobody can say."""
    function = target if isinstance(target, type) else getattr(target, "forward", target)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return unknown
    try:
        signature.bind(*inputs)
    except TypeError as error:
        return str(error)
    return ""
