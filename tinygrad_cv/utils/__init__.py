"""PyTorch's addresses of what lives elsewhere here."""

from tinygrad_cv.utils import checkpoint

__all__ = ["checkpoint"]
