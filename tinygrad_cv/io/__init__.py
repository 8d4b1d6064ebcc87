"""Files of weights."""

from tinygrad_cv.io.safetensors import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "save_safetensors"]
