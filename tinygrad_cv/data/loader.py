"""Batches of samples, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np

from tinygrad_cv.backend.random import Generator, default_generator, permutation
from tinygrad_cv.data.dataset import batch_of, check_sized
from tinygrad_cv.errors import ArgumentError

__all__ = ["DataLoader"]


class DataLoader:
    """Iterate over a data set in batches; every `for` loop is one epoch.

    With N samples and batches of B there are ceil(N / B) of them, the last with what is left;
    floor(N / B) with `drop_last`. Batches are made in this process, when they are asked for.

    Args:
        dataset: anything with `__len__` and `__getitem__` (see :class:`Dataset`).
        batch_size: samples per batch.
        shuffle: draw a new order for every epoch.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` if None, or the data
            set's own `__getbatch__`.
        drop_last: leave out the last batch if it is not full.
        generator: source of the order; the default generator if None. Saving its state and
            setting it again repeats the epochs exactly.
        num_workers, pin_memory: PyTorch's; anything but 0 and False raises.

    Raises:
        ArgumentError: batch_size below 1, or worker processes or pinned memory are asked for.
        DTypeError: the data set has no length, or its samples are not found by number.

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
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        for name, value in (("num_workers", num_workers), ("pin_memory", pin_memory)):
            if value:
                raise ArgumentError(
                    "DataLoader",
                    f"{name}={value!r} is not supported: batches are made in this process",
                    repair=f"Leave {name} out.",
                )
        check_sized("DataLoader", dataset)
        whole = isinstance(batch_size, Integral) and not isinstance(batch_size, bool)
        if not whole or batch_size < 1:
            raise ArgumentError(
                "DataLoader", f"batch_size must be an integer of at least 1; it is {batch_size!r}"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
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
        if self.collate_fn is None:
            return batch_of(self.dataset, indices)
        return self.collate_fn([self.dataset[int(i)] for i in indices])
