"""Data sets: anything with a length whose samples are found by number."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Any

import numpy as np

from tinygrad_cv.backend.random import Generator, default_generator, permutation
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.errors import ArgumentError, ShapeError

__all__ = ["Dataset", "Subset", "TensorDataset", "random_split"]


class Dataset:
    """Base of data sets: give `__len__` and `__getitem__`.

    A data set that can fetch many samples at once also gives `take(indices)`, which returns them
    as one batch; the DataLoader uses it instead of stacking samples one by one.

    >>> import numpy as np
    >>> from tinygrad_cv.data import DataLoader
    >>> class Stripes(Dataset):  # images [1, 4, 4] of one horizontal (0) or vertical (1) line
    ...     def __len__(self):
    ...         return 8
    ...     def __getitem__(self, index):
    ...         line, label = divmod(index, 2)
    ...         image = np.zeros((1, 4, 4), np.float32)
    ...         image[(0, line) if label == 0 else (0, slice(None), line)] = 1
    ...         return image, label
    >>> images, labels = next(iter(DataLoader(Stripes(), batch_size=3)))
    >>> images.shape, labels.tolist()
    ((3, 1, 4, 4), [0, 1, 0])
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError


class TensorDataset(Dataset):
    """Samples along the first axis of one or more tensors (or arrays) of equal length.

    Raises:
        ShapeError: no tensor, a tensor without axes, or different lengths.

    >>> import tinygrad_cv as tg
    >>> images, labels = tg.zeros(3, 1, 8, 8), tg.tensor([4, 0, 7])
    >>> image, label = TensorDataset(images, labels)[2]
    >>> image.shape, label.item()
    ((1, 8, 8), 7)
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors: tuple[Tensor, ...] = tuple(as_tensor(tensor) for tensor in tensors)
        lengths = {tensor.shape[:1] for tensor in self.tensors}
        if len(lengths) != 1 or () in lengths:
            raise ShapeError(
                "TensorDataset",
                "the tensors do not have one common length",
                values=[(f"tensors[{i}]", t.shape) for i, t in enumerate(self.tensors)],
            )

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def take(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        """The samples with these numbers as one batch per tensor, without stacking them one by one.

        >>> import numpy as np, tinygrad_cv as tg
        >>> data = TensorDataset(tg.zeros(5, 1, 8, 8), tg.arange(5))
        >>> images, labels = data.take(np.array([4, 0, 2]))
        >>> images.shape, labels.tolist()
        ((3, 1, 8, 8), [4, 0, 2])
        """
        return tuple(tensor[indices] for tensor in self.tensors)


class Subset(Dataset):
    """The samples of `dataset` with the given numbers, in that order.

    Nothing is copied. A `take` of the data set is used, if it has one.

    Args:
        dataset: anything whose samples are found by number.
        indices: numbers of samples; one may stand there twice.

    >>> letters = Subset("abcdef", [5, 0, 0])
    >>> len(letters), [letters[i] for i in range(3)]
    (3, ['f', 'a', 'a'])
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        if hasattr(dataset, "take"):
            self.take = lambda chosen: dataset.take(self.indices[chosen])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Split a data set into parts that do not overlap, at random.

    Args:
        dataset: anything with a length.
        lengths: sample counts whose sum is `len(dataset)`, or fractions whose sum is 1; what
            rounding leaves over goes one by one to the first parts.
        generator: source of randomness; the default generator if None.

    Raises:
        ArgumentError: the lengths do not add up.

    >>> import tinygrad_cv as tg
    >>> parts = random_split(range(10), [0.75, 0.25], tg.Generator(0))
    >>> [len(part) for part in parts], sorted(part[i] for part in parts for i in range(len(part)))
    ([8, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    total = len(dataset)
    counts = _counts(total, lengths)
    order = permutation((generator or default_generator).next_key(), total)
    ends = np.cumsum(counts)
    return [Subset(dataset, order[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def _counts(total: int, lengths: Sequence[int | float]) -> list[int]:
    if any(length < 0 for length in lengths):
        raise ArgumentError("random_split", f"a length is negative: {list(lengths)}")
    if any(isinstance(length, float) for length in lengths):
        if abs(fsum(lengths) - 1) > 1e-9:
            raise ArgumentError("random_split", f"the fractions {list(lengths)} do not add up to 1")
        counts = [int(total * fraction) for fraction in lengths]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
        return counts
    if sum(lengths) != total:
        raise ArgumentError(
            "random_split",
            f"the lengths {list(lengths)} add up to {sum(lengths)}; there are {total} samples",
        )
    return [int(length) for length in lengths]
