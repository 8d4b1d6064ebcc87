"""Optimisers and learning-rate schedules, with PyTorch's names, defaults and results."""

from tinygrad_cv.optim import lr_scheduler
from tinygrad_cv.optim.adam import Adam, AdamW
from tinygrad_cv.optim.optimizer import Optimizer
from tinygrad_cv.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
