"""Batches of samples, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import to_numpy
from tinygrad_cv.backend.random import Generator, default_generator, permutation
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["DataLoader", "default_collate"]


class DataLoader:
    """Iterate over a data set in batches; every `for` loop is one epoch.

    With N samples and batches of B there are ceil(N / B) of them, the last with what is left;
    floor(N / B) with `drop_last`. Batches are made in this process, when they are asked for.

    Args:
        dataset: anything with `__len__` and `__getitem__` (see :class:`Dataset`).
        batch_size: samples per batch.
        shuffle: draw a new order for every epoch.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` if None.
        drop_last: leave out the last batch if it is not full.
        generator: source of the order; the default generator if None. Saving its state and
            setting it again repeats the epochs exactly.

    Raises:
        ArgumentError: batch_size below 1.

    >>> import tinygrad_cv as tg
    >>> data = tg.data.TensorDataset(tg.zeros(7, 1, 28, 28), tg.arange(7))
    >>> loader = DataLoader(data, batch_size=3, shuffle=True, generator=tg.Generator(0))
    >>> for images, labels in loader:
    ...     print(images.shape, labels.shape)
    (3, 1, 28, 28) (3,)
    (3, 1, 28, 28) (3,)
    (1, 1, 28, 28) (1,)
    >>> sorted(label for _, labels in loader for label in labels.tolist())  # another order, whole
    [0, 1, 2, 3, 4, 5, 6]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(
                "DataLoader", f"batch_size must be an integer of at least 1; it is {batch_size!r}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        order = self._order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self._batch(order[start : start + self.batch_size])

    def _order(self) -> np.ndarray:
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        return permutation((self.generator or default_generator).next_key(), count)

    def _batch(self, indices: np.ndarray) -> Any:
        if self.collate_fn is None and hasattr(self.dataset, "take"):
            return self.dataset.take(indices)
        collate = self.collate_fn or default_collate
        return collate([self.dataset[int(i)] for i in indices])


def default_collate(samples: Sequence[Any]) -> Any:
    """Stack samples along a new first axis; tuples and dictionaries are stacked entry by entry.

    Tensors and arrays become a Tensor, numbers a Tensor of one axis, strings stay a list.

    Raises:
        ShapeError: samples of different shapes, or tuples of different lengths.
        DTypeError: samples of a type that cannot be stacked.

    >>> images, labels = default_collate([(np.zeros((1, 8, 8)), 3), (np.ones((1, 8, 8)), 5)])
    >>> images.shape, labels.tolist()
    ((2, 1, 8, 8), [3, 5])
    """
    first = samples[0]
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        lengths = sorted({len(sample) for sample in samples})
        if len(lengths) > 1:
            raise ShapeError("DataLoader", f"samples of one batch have {lengths} entries")
        return tuple(default_collate(column) for column in zip(*samples, strict=True))
    if isinstance(first, Tensor):
        return Tensor(np.stack([to_numpy(sample.array) for sample in samples])).to(first.device)
    if isinstance(first, np.ndarray | np.generic | int | float | bool):
        return Tensor(_stack(samples))
    raise DTypeError(
        "DataLoader",
        f"samples of type {type(first).__name__} cannot be made into a batch",
        repair="Give a collate_fn, or return tensors, arrays, numbers, tuples or dictionaries.",
    )


def _stack(samples: Sequence[Any]) -> np.ndarray:
    arrays = [np.asarray(sample) for sample in samples]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ShapeError(
            "DataLoader",
            "samples of one batch have different shapes",
            values=[("one sample", shapes[0]), ("another", shapes[1])],
            repair="Resize or crop them, or give a collate_fn. Arrays whose entries belong "
            "together go in as TensorDataset(images, labels).",
        )
    return np.stack(arrays)
