"""A batch made of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_cv.ops.join import stack

__all__ = ["default_collate"]

_VALUES = (Tensor, np.ndarray, np.generic, int, float)


def default_collate(samples: Sequence[Any]) -> Any:
    """Stack samples along a new first axis; tuples and dictionaries are stacked entry by entry.

    Tensors and arrays become a Tensor, numbers a Tensor of one axis, strings stay a list. Tensors
    are stacked by an operator, so gradients flow through the batch to the samples. A named tuple
    keeps its type.

    Raises:
        ShapeError: samples of different shapes, or tuples of different lengths.
        DTypeError: samples of a type that cannot be stacked, or of types that do not go together.
        ArgumentError: no samples, or dictionaries with different keys.

    >>> images, labels = default_collate([(np.zeros((1, 8, 8)), 3), (np.ones((1, 8, 8)), 5)])
    >>> images.shape, labels.tolist()
    ((2, 1, 8, 8), [3, 5])
    """
    samples = list(samples)
    if not samples:
        raise ArgumentError("DataLoader", "a batch cannot be made of no samples")
    first = samples[0]
    if isinstance(first, str | bytes):
        return samples
    if isinstance(first, Mapping):
        _check_kinds(samples, Mapping)
        _check_keys(samples)
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        _check_kinds(samples, (tuple, list))
        lengths = sorted({len(sample) for sample in samples})
        if len(lengths) > 1:
            raise ShapeError("DataLoader", f"samples of one batch have {lengths} entries")
        columns = tuple(default_collate(column) for column in zip(*samples, strict=True))
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    if isinstance(first, _VALUES):
        _check_kinds(samples, _VALUES)
        return _stack(samples)
    raise DTypeError(
        "DataLoader",
        f"samples of type {type(first).__name__} cannot be made into a batch",
        repair="Give a collate_fn, or return tensors, arrays, numbers, tuples or dictionaries.",
    )


def _stack(samples: list[Any]) -> Tensor:
    some_tensor = any(isinstance(sample, Tensor) for sample in samples)
    values = [as_tensor(s) if some_tensor else np.asarray(s) for s in samples]
    shapes = sorted({value.shape for value in values})
    if len(shapes) > 1:
        raise ShapeError(
            "DataLoader",
            "samples of one batch have different shapes",
            values=[("one sample", shapes[0]), ("another", shapes[1])],
            repair="Resize or crop them, or give a collate_fn. Arrays whose entries belong "
            "together go in as TensorDataset(images, labels).",
        )
    if some_tensor:
        result: Tensor = stack(values)
        return result
    return Tensor(np.stack(values))


def _check_kinds(samples: list[Any], kinds: Any) -> None:
    for sample in samples:
        if not isinstance(sample, kinds):
            raise DTypeError(
                "DataLoader",
                f"samples of one batch are of types {type(samples[0]).__name__} and "
                f"{type(sample).__name__}, which do not go together",
                repair="Return the same type for every sample, or give a collate_fn.",
            )


def _check_keys(samples: list[Any]) -> None:
    """A key that only some samples have would make a batch of fewer entries than samples."""
    for number, sample in enumerate(samples):
        odd = samples[0].keys() ^ sample.keys()
        if odd:
            raise ArgumentError(
                "DataLoader",
                f"samples of one batch have different keys: samples 0 and {number} of the batch "
                f"do not both have {', '.join(sorted(map(repr, odd)))}",
                repair="Return the same keys for every sample, or give a collate_fn.",
            )
