"""Data sets, batches, and readers of data files."""

from tinygrad_cv.data.collate import default_collate
from tinygrad_cv.data.dataset import Dataset, Subset, TensorDataset, random_split
from tinygrad_cv.data.idx import read_idx, read_mnist
from tinygrad_cv.data.loader import DataLoader

__all__ = [
    "DataLoader",
    "Dataset",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
    "read_idx",
    "read_mnist",
]
