"""Data sets, splits and batches."""

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError


class Squares(Dataset):
    """Samples are made one by one, so that the loader has to stack them."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {
            "x": np.full((2, 2), index, np.float32),
            "y": (index, index**2),
            "name": f"n{index}",
        }


def numbers(count):
    return TensorDataset(tg.arange(count), tg.arange(count) * 10)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16])
def test_every_sample_comes_once_in_batches(count, drop_last):
    loader = DataLoader(numbers(count), batch_size=8, drop_last=drop_last)
    batches = list(loader)
    expected = [range(i, min(i + 8, count)) for i in range(0, count, 8)]
    if drop_last:
        expected = [batch for batch in expected if len(batch) == 8]
    assert len(loader) == len(batches) == len(expected)
    assert [x.tolist() for x, _ in batches] == [list(batch) for batch in expected]
    assert [y.tolist() for _, y in batches] == [[10 * i for i in batch] for batch in expected]


def test_shuffling_keeps_pairs_and_differs_by_epoch():
    loader = DataLoader(numbers(50), batch_size=16, shuffle=True, generator=tg.Generator(3))
    epochs = []
    for _ in range(2):
        pairs = [pair for x, y in loader for pair in zip(x.tolist(), y.tolist(), strict=True)]
        assert sorted(pairs) == [(i, 10 * i) for i in range(50)]
        epochs.append(pairs)
    assert epochs[0] != epochs[1] != sorted(epochs[1])


def test_a_generators_state_repeats_the_order():
    generator = tg.Generator(3)
    loader = DataLoader(numbers(50), batch_size=16, shuffle=True, generator=generator)
    list(loader)
    state = generator.get_state()
    first = [x.tolist() for x, _ in loader]
    generator.set_state(state)
    assert [x.tolist() for x, _ in loader] == first


def test_the_default_generator_is_used_without_one():
    loader = DataLoader(numbers(50), batch_size=50, shuffle=True)
    orders = []
    for _ in range(2):
        tg.manual_seed(11)
        orders.append(next(iter(loader))[0].tolist())
    assert orders[0] == orders[1]


def test_samples_are_stacked_through_tuples_and_dictionaries():
    batch = next(iter(DataLoader(Squares(5), batch_size=3)))
    assert batch["x"].shape == (3, 2, 2)
    assert batch["x"].dtype == np.float32
    assert [entry.tolist() for entry in batch["y"]] == [[0, 1, 2], [0, 1, 4]]
    assert batch["name"] == ["n0", "n1", "n2"]


def test_own_collate_function_sees_the_samples():
    loader = DataLoader(numbers(5), batch_size=2, collate_fn=lambda samples: len(samples))
    assert list(loader) == [2, 2, 1]


def test_random_split_covers_everything_once():
    parts = random_split(numbers(103), [50, 30, 23], generator=tg.Generator(0))
    seen = [x.item() for part in parts for x, _ in (part[i] for i in range(len(part)))]
    assert [len(part) for part in parts] == [50, 30, 23]
    assert sorted(seen) == list(range(103))
    assert seen != sorted(seen)
    again = random_split(numbers(103), [50, 30, 23], generator=tg.Generator(0))
    assert [p.indices.tolist() for p in parts] == [p.indices.tolist() for p in again]


def test_random_split_by_fractions():
    assert [len(p) for p in random_split(range(10), [0.5, 0.25, 0.25])] == [6, 2, 2]


def test_subset_of_a_subset_in_batches():
    part = Subset(Subset(numbers(10), [9, 7, 5, 3]), [2, 0])
    assert [x.tolist() for x, _ in DataLoader(part, batch_size=2)] == [[5, 9]]
    plain = Subset(Subset(range(10), [9, 7, 5, 3]), [2, 0])
    assert [x.tolist() for x in DataLoader(plain, batch_size=2)] == [[5, 9]]


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "2"])
def test_bad_batch_size(size):
    with pytest.raises(ArgumentError, match="batch_size must be an integer of at least 1"):
        DataLoader(numbers(4), batch_size=size)


def test_bad_data_sets_and_splits():
    with pytest.raises(ShapeError, match=r"tensors\[1\] +\(2,\)"):
        TensorDataset(tg.ones(3), tg.ones(2))
    with pytest.raises(ShapeError):
        TensorDataset()
    with pytest.raises(ShapeError):
        TensorDataset(tg.tensor(1.0))
    with pytest.raises(ArgumentError, match="add up to 9; there are 10"):
        random_split(range(10), [4, 5])
    with pytest.raises(ArgumentError, match="do not add up to 1"):
        random_split(range(10), [0.4, 0.5])
    with pytest.raises(ArgumentError, match="negative"):
        random_split(range(10), [11, -1])


def test_samples_that_do_not_stack_are_explained():
    with pytest.raises(ShapeError, match="different shapes"):
        next(iter(DataLoader([np.ones(2), np.ones(3)], batch_size=2)))
    with pytest.raises(ShapeError, match=r"TensorDataset\(images, labels\)"):
        next(iter(DataLoader((np.ones((4, 2)), np.ones(4)), batch_size=2)))
    with pytest.raises(ShapeError, match=r"\[1, 2\] entries"):
        next(iter(DataLoader([(1,), (1, 2)], batch_size=2)))
    with pytest.raises(DTypeError, match="type object cannot be made into a batch"):
        next(iter(DataLoader([object()], batch_size=1)))


def test_pytorchs_options_are_accepted_where_they_change_nothing():
    assert len(DataLoader([1, 2], num_workers=0, pin_memory=False)) == 2
    with pytest.raises(ArgumentError, match=r"num_workers=2 is not supported"):
        DataLoader([1, 2], num_workers=2)
    with pytest.raises(ArgumentError, match=r"pin_memory=True is not supported"):
        DataLoader([1, 2], pin_memory=True)


def test_a_data_set_without_a_length_or_without_samples_says_so():
    class Endless(Dataset):
        def __getitem__(self, index):
            return index

    class Empty(Dataset):
        def __len__(self):
            return 2

    with pytest.raises(DTypeError, match=r"Endless has no length[^$]*def __len__"):
        DataLoader(Endless())
    with pytest.raises(NotImplementedError, match="Endless has no __len__"):
        len(Endless())
    with pytest.raises(NotImplementedError, match="Empty has no __getitem__"):
        next(iter(DataLoader(Empty())))
