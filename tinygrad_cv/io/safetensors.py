"""Weights in the safetensors format, which every framework reads and which runs no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import asarray, is_array, to_numpy
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, BackendError, DataError, DTypeError

__all__ = ["load_safetensors", "save_safetensors"]


def save_safetensors(
    tensors: Mapping[str, Any], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, such as a module's `state_dict()`, to a file.

    The file appears complete or not at all: it is written beside its place and then moved there,
    so a crash never leaves half a file or destroys the one before.

    Args:
        tensors: name -> Tensor or array, on any device.
        path: the file; its directory must exist.
        metadata: texts to keep beside the tensors.

    Raises:
        BackendError: the library `safetensors` is not installed.
        DTypeError: not a mapping, the state of an optimiser, an entry that is not a tensor or of a
            dtype that the format lacks, or a name or an entry of the metadata is not a string.
        ArgumentError: a tensor has the name "__metadata__", which the format reserves.
        DataError: the directory does not exist, or the file cannot be written.

    >>> import tempfile, tinygrad_cv as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors({"weight": tg.ones(2, 3)}, f"{folder}/w.safetensors")
    ...     load_safetensors(f"{folder}/w.safetensors")["weight"].shape
    (2, 3)
    """
    library = _library("save_safetensors")
    from safetensors import SafetensorError

    path = _path("save_safetensors", path)
    if not isinstance(tensors, Mapping):
        is_module = hasattr(tensors, "state_dict")
        raise DTypeError(
            "save_safetensors",
            f"a mapping of tensors is expected, not {type(tensors).__name__}",
            repair="Give its weights: model.state_dict()." if is_module else None,
        )
    if {"state", "param_groups"} <= set(tensors):
        raise DTypeError(
            "save_safetensors",
            "the state of an optimiser holds more than tensors, which the format cannot keep",
            repair="Pickle it: pickle.dump(optimizer.state_dict(), file), and later "
            "optimizer.load_state_dict(pickle.load(file)).",
        )
    arrays = {name: _array(name, value) for name, value in tensors.items()}
    texts = _metadata(metadata)
    if not path.parent.is_dir():
        raise DataError("save_safetensors", f"there is no directory {str(path.parent)!r}")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(library.save(arrays, texts))
        os.replace(unfinished, path)
    except (OSError, SafetensorError, UnicodeError) as error:
        raise DataError("save_safetensors", f"{str(path)!r} cannot be written: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def load_safetensors(path: str | Path, device: Any = "cpu") -> dict[str, Tensor]:
    """Read all tensors of a file, for example for a module's `load_state_dict`.

    Args:
        path: the file.
        device: where the tensors go.

    Returns:
        name -> Tensor, with the dtypes of the file; none requires a gradient.

    Raises:
        BackendError: the library `safetensors` is not installed, or the device is not usable.
        DataError: the file is missing, damaged, or holds a dtype that NumPy does not have.

    >>> import tempfile
    >>> from tinygrad_cv import nn
    >>> trained, fresh = nn.Linear(3, 2), nn.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_safetensors(trained.state_dict(), f"{folder}/linear.safetensors")
    ...     fresh.load_state_dict(load_safetensors(f"{folder}/linear.safetensors"))
    <All keys matched successfully>
    >>> (fresh.weight == trained.weight).all().item()
    True
    """
    library = _library("load_safetensors")
    from safetensors import SafetensorError

    path = _path("load_safetensors", path)
    if not path.is_file():
        raise DataError("load_safetensors", f"there is no file {str(path)!r}")
    try:
        arrays = library.load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise DataError(
            "load_safetensors",
            f"{str(path)!r} cannot be read: {error}",
            repair="The file is damaged or not a safetensors file: write or fetch it again.",
        ) from None
    return {name: Tensor(asarray(array, device=device)) for name, array in arrays.items()}


def _path(function: str, path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(function, f"a path is expected, not {type(path).__name__} {path!r:.40}")
    return Path(path)


def _array(name: str, value: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise DTypeError("save_safetensors", f"the name {name!r} is not a string")
    if name == "__metadata__":  # a reader would take it for the texts beside the tensors
        raise ArgumentError(
            "save_safetensors",
            f"the name {name!r} is reserved by the format",
            repair="Give the tensor another name; texts go in as metadata=.",
        )
    array = value.array if isinstance(value, Tensor) else value
    if not is_array(array):
        raise DTypeError(
            "save_safetensors", f"{name!r} is not a tensor but of type {type(value).__name__}"
        )
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DTypeError(
            "save_safetensors",
            f"{name!r} is of dtype {array.dtype}, which the format does not have",
        )
    return np.ascontiguousarray(to_numpy(array)).reshape(array.shape)


def _metadata(metadata: Any) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise DTypeError(
            "save_safetensors",
            f"metadata must be a mapping of texts, not {type(metadata).__name__}",
        )
    for key, text in metadata.items():
        for what, value in ((f"the key {key!r}", key), (repr(key), text)):
            if not isinstance(value, str):
                raise DTypeError(
                    "save_safetensors",
                    f"{what} of the metadata is of type {type(value).__name__}, not a text",
                    repair="Convert it with str().",
                )
    return dict(metadata) or None


def _library(function: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise BackendError(
            function,
            "the library 'safetensors' is not installed",
            repair="Install it: pip install safetensors.",
        ) from None
    return safetensors.numpy
