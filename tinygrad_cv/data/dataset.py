"""Data sets: anything with a length whose samples are found by number."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Any

import numpy as np

from tinygrad_cv.backend.random import Generator, default_generator, permutation
from tinygrad_cv.core.tensor import Tensor, as_tensor
from tinygrad_cv.data.collate import default_collate
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["Dataset", "Subset", "TensorDataset", "random_split"]


class Dataset:
    """Base of data sets: give `__len__` and `__getitem__`.

    A data set that can fetch many samples at once also gives `__getbatch__(indices)`, which returns
    them as one batch; the DataLoader uses it instead of stacking samples one by one. A subclass
    that writes a new `__getitem__`, such as an augmentation, switches the inherited `__getbatch__`
    off, because that does not know of it.

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
        raise NotImplementedError(f"{type(self).__name__} has no __len__: the number of samples")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} has no __getitem__: the sample of a number"
        )


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

    def __getbatch__(self, indices: np.ndarray) -> tuple[Tensor, ...]:
        """The samples with these numbers as one batch per tensor, without stacking them one by one.

        >>> import numpy as np, tinygrad_cv as tg
        >>> data = TensorDataset(tg.zeros(5, 1, 8, 8), tg.arange(5))
        >>> images, labels = data.__getbatch__(np.array([4, 0, 2]))
        >>> images.shape, labels.tolist()
        ((3, 1, 8, 8), [4, 0, 2])
        """
        return tuple(tensor[indices] for tensor in self.tensors)


class Subset(Dataset):
    """The samples of `dataset` with the given numbers, in that order.

    Nothing is copied. A `__getbatch__` of the data set is used, if it has one.

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

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def __getbatch__(self, indices: np.ndarray) -> Any:
        """The samples at these places of the subset as one batch.

        >>> import numpy as np, tinygrad_cv as tg
        >>> part = Subset(TensorDataset(tg.arange(5)), [4, 3, 2])
        >>> part.__getbatch__(np.array([0, 2]))[0].tolist()
        [4, 2]
        """
        return batch_of(self.dataset, self.indices[indices])


def batch_of(dataset: Any, indices: np.ndarray) -> Any:
    """The samples with these numbers as one batch, by the data set's `__getbatch__` or one by one.

    >>> import numpy as np
    >>> batch_of([5.0, 6.0, 7.0], np.array([2, 0])).tolist()
    [7.0, 5.0]
    """
    if _fetches_batches(type(dataset)):
        return dataset.__getbatch__(indices)
    return default_collate([dataset[int(i)] for i in indices])


def _fetches_batches(kind: type) -> bool:
    """False if a class nearer than the one with `__getbatch__` says what a sample is."""
    for base in kind.__mro__:
        if "__getbatch__" in vars(base):
            return True
        if "__getitem__" in vars(base):
            return False
    return False


def check_sized(function: str, dataset: Any) -> None:
    """Raise a DTypeError unless the data set has a length and samples that are found by number."""
    kind = type(dataset)
    if getattr(kind, "__len__", None) is Dataset.__len__:
        raise DTypeError(
            function,
            f"the data set {kind.__name__} has no length",
            repair="Write def __len__(self): it returns the number of samples.",
        )
    # A tensor or array without axes has both methods, and both would fail.
    single = getattr(dataset, "shape", None) == ()
    if single or not (hasattr(kind, "__len__") and hasattr(kind, "__getitem__")):
        raise DTypeError(
            function,
            f"a data set needs a length and samples that are found by number; this {kind.__name__} "
            "has none",
            repair="Give a Dataset, or a list: list(samples).",
        )


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
        DTypeError: the data set has no length.

    >>> import tinygrad_cv as tg
    >>> parts = random_split(range(10), [0.75, 0.25], tg.Generator(0))
    >>> [len(part) for part in parts], sorted(part[i] for part in parts for i in range(len(part)))
    ([8, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    check_sized("random_split", dataset)
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
