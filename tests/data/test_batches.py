"""What the loader makes of any data set, and of samples that do or do not go together."""

import gc
import pickle
import weakref
from collections import namedtuple

import numpy as np
import pytest
import torch

import tinygrad_cv as tg
from tinygrad_cv.data import DataLoader, Dataset, Subset, TensorDataset, default_collate
from tinygrad_cv.data import random_split as split
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

ROWS = np.arange(12.0).reshape(4, 3)
Sample = namedtuple("Sample", ["image", "label"])


class Negated(TensorDataset):
    """An augmentation: it says itself what a sample is."""

    def __getitem__(self, index):
        return tuple(-tensor for tensor in super().__getitem__(index))


class Twice(Negated):
    """Fetches batches, and knows what its base does to a sample."""

    def __getbatch__(self, indices):
        return tuple(-2 * tensor for tensor in super().__getbatch__(indices))


class Mirrored(Subset):
    def __getitem__(self, index):
        return super().__getitem__(index)[::-1]


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: Subset(rows, range(4))])
@pytest.mark.parametrize("kind", [np.asarray, tg.tensor])
def test_rows_of_an_array_are_samples(kind, wrap):
    batches = list(DataLoader(wrap(kind(ROWS)), batch_size=2))
    expected = list(torch.utils.data.DataLoader(torch.tensor(ROWS), batch_size=2))
    assert all(isinstance(batch, tg.Tensor) for batch in batches)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in expected]


def test_a_new_getitem_is_never_passed_over():
    numbers = tg.arange(4)
    for data in (Negated(numbers), Subset(Negated(numbers), [0, 1, 2, 3])):
        assert [x.tolist() for (x,) in DataLoader(data, batch_size=2)] == [[0, -1], [-2, -3]]
    assert [x.tolist() for (x,) in DataLoader(Twice(numbers), batch_size=4)] == [[0, -2, -4, -6]]
    pairs = Mirrored(TensorDataset(numbers, numbers * 10), [3, 1])
    assert [x.tolist() for x in next(iter(DataLoader(pairs, batch_size=2)))] == [[30, 10], [3, 1]]


def test_a_data_set_fetches_its_batches():
    class Counted(TensorDataset):
        calls = 0

        def __getbatch__(self, indices):
            type(self).calls += 1
            return super().__getbatch__(indices)

    data = Subset(Subset(Counted(tg.arange(6)), [5, 4, 3, 2]), [3, 0])
    assert [x.tolist() for (x,) in DataLoader(data, batch_size=2)] == [[2, 5]]
    assert Counted.calls == 1


def test_a_subset_is_pickled_and_freed_without_the_collector():
    part = Subset(TensorDataset(tg.arange(5)), [4, 2])
    again = pickle.loads(pickle.dumps(part))
    assert next(iter(DataLoader(again, batch_size=2)))[0].tolist() == [4, 2]
    gc.disable()
    try:
        alive = weakref.ref(part)
        del part
        assert alive() is None
    finally:
        gc.enable()


def test_named_tuples_keep_their_type():
    batch = default_collate([Sample(np.zeros(2), 3), Sample(np.ones(2), 5)])
    assert type(batch) is Sample
    assert batch.image.tolist() == [[0, 0], [1, 1]]
    assert batch.label.tolist() == [3, 5]


def test_gradients_flow_through_a_batch():
    samples = [tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    (default_collate(samples) * tg.tensor([[1.0], [10.0]])).sum().backward()
    assert [sample.grad.tolist() for sample in samples] == [[1, 1], [10, 10]]


def test_tensors_arrays_and_numbers_may_be_mixed():
    batch = default_collate([np.zeros(2), tg.ones(2, dtype="float64")])
    assert batch.tolist() == [[0, 0], [1, 1]]
    assert batch.dtype == np.float64
    assert default_collate([tg.ones(2), np.zeros(2, np.float32)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([1.5, np.array(2.0)]).tolist() == [1.5, 2]


def test_numpys_integers_are_batch_sizes():
    loader = DataLoader(ROWS, batch_size=np.int64(3))
    assert [len(batch) for batch in loader] == [3, 1]
    assert type(loader.batch_size) is int


BAD = {
    "shapes": ([tg.zeros(2), tg.zeros(3)], ShapeError, r"different shapes\n.*\(2,\)\n.*\(3,\)"),
    "mixed": ([tg.zeros(2), np.zeros(3)], ShapeError, "different shapes"),
    "keys": ([{"a": 1, "b": 2}, {"a": 1}], ArgumentError, "samples 0 and 1 .* both have 'b'"),
    "more keys": ([{"a": 1}, {"a": 1}, {"a": 1, 2: 2}], ArgumentError, "0 and 2 .* both have 2"),
    "kinds": ([1, "a"], DTypeError, "types int and str"),
    "tuple": ([(1,), 3], DTypeError, "types tuple and int"),
    "mapping": ([{"a": 1}, [1]], DTypeError, "types dict and list"),
    "none": ([], ArgumentError, "no samples"),
}


@pytest.mark.parametrize(("samples", "error", "match"), BAD.values(), ids=BAD)
def test_samples_that_do_not_go_together(samples, error, match):
    with pytest.raises(error, match=match) as caught:
        default_collate(samples)
    assert str(caught.value).startswith("DataLoader: ")


@pytest.mark.parametrize(
    "data", [(x for x in ROWS), iter(ROWS), {1, 2}, None, tg.tensor(1.0), np.array(1.0)]
)
def test_what_has_no_length_is_no_data_set(data):
    with pytest.raises(DTypeError, match=r"DataLoader: [^$]*list\(samples\)"):
        DataLoader(data)
    with pytest.raises(DTypeError, match=r"random_split: [^$]*list\(samples\)"):
        split(data, [1.0])


def test_a_data_set_needs_no_base_class():
    class Plain:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return index * index

        def take(self, indices):  # of another meaning
            raise AssertionError

    assert next(iter(DataLoader(Plain(), batch_size=3))).tolist() == [0, 1, 4]
    assert not issubclass(Plain, Dataset)
