"""state_dict and load_state_dict: a module's parameters and buffers under PyTorch's keys."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_cv.backend.array import asarray, default_device, device_of, on_device_of, to_device
from tinygrad_cv.backend.dtypes import as_dtype
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import is_writeable, note_writes
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, TinygradError

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["IncompatibleKeys", "load_state_dict", "state_dict"]


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` found too little and too much."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def state_dict(
    module: Module, destination: dict[str, Any] | None, prefix: str, keep_vars: bool
) -> dict[str, Any]:
    """Every parameter and persistent buffer by its path, in the order of registration."""
    result = OrderedDict() if destination is None else destination
    for key, owner, name in _entries(module, prefix):
        tensor = getattr(owner, name)
        if tensor is not None:
            result[key] = tensor if keep_vars else tensor.detach()
    return result


def load_state_dict(
    module: Module, state: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Looks at everything before it changes anything: a failure leaves the module as it was."""
    if not isinstance(state, Mapping):
        repair = None
        if isinstance(state, (str, os.PathLike)):
            repair = "Read the file first: load_state_dict(tg.io.load_safetensors(path))."
        elif hasattr(state, "state_dict"):
            repair = "Give its weights: load_state_dict(model.state_dict())."
        raise DTypeError(
            "load_state_dict", f"a mapping is expected, not {type(state).__name__}", repair=repair
        )
    entries = [(key, owner, name) for key, owner, name in _entries(module, "")]
    missing: list[str] = []
    problems: list[str] = []
    changes: list[tuple[Tensor, Any, bool]] = []
    fixed: list[str] = []
    known = set()
    for key, owner, name in entries:
        current = getattr(owner, name)
        if current is None:
            continue
        known.add(key)
        if key not in state:
            # Checkpoints older than the buffer do not have it, as in PyTorch.
            if name not in owner._optional_state:
                missing.append(key)
            continue
        try:
            value = _converted(current, state[key], assign)
        except TinygradError as error:
            problems.append(f"{key}: {error.problem}")
            continue
        if value.shape != current.shape:
            problems.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from "
                f"checkpoint, the shape in current model is {current.shape}."
            )
            continue
        replace = assign or isinstance(current.array, Spec)
        if not replace and not is_writeable(current.array):
            fixed.append(
                f"{key}: the memory of {current.shape} is read-only, or one element of it stands "
                "for many"
            )
            continue
        changes.append((current, value, replace))
    unexpected = [key for key in state if key not in known]
    if strict and unexpected:
        problems.insert(0, "Unexpected key(s) in state_dict: " + _quoted(unexpected))
    if strict and missing:
        problems.insert(0, "Missing key(s) in state_dict: " + _quoted(missing))
    problems += fixed
    if problems:
        raise ArgumentError(
            "load_state_dict",
            f"Error(s) in loading state_dict for {type(module).__name__}:",
            law=problems,
            repair="Nothing was changed."
            + (" strict=False loads what fits by name." if missing or unexpected else "")
            + (" assign=True takes the new arrays instead of writing." if fixed else ""),
        )
    written = []
    for current, value, replace in changes:
        if replace:
            current.data = Tensor(value)
        else:
            with on_device_of(current.array):
                current.array[...] = value
            written.append(current.array)
    if written:
        note_writes(written, "load_state_dict")
    return IncompatibleKeys(missing, unexpected)


def _entries(module: Module, prefix: str) -> list[tuple[str, Module, str]]:
    """(key, owner, attribute) of all that persists; a module that stands twice gives both."""
    found = []
    for path, owner in module.named_modules(remove_duplicate=False):
        start = f"{prefix}{path}." if path else prefix
        found += [(start + name, owner, name) for name in owner._parameters]
        found += [
            (start + name, owner, name)
            for name in owner._buffers
            if name not in owner._non_persistent_buffers
        ]
    return found


def _converted(current: Tensor, value: Any, assign: bool) -> Any:
    """The value as a raw array of the current dtype and device; ``assign`` keeps its own."""
    if isinstance(value, Tensor):
        array = value.array
    else:
        if hasattr(value, "detach"):  # PyTorch's
            value = value.detach().cpu()
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError("load_state_dict", f"the value is no array ({error})") from None
        as_dtype(array.dtype)
    if isinstance(array, Spec):
        raise ArgumentError("load_state_dict", "the value is on the meta device and has no data")
    if assign:
        if (array.dtype.kind == "f") != (current.dtype.kind == "f"):
            raise DTypeError(
                "load_state_dict",
                f"{array.dtype.name} values cannot stand for {current.dtype.name} ones; without "
                "assign=True they are converted",
            )
        return array.copy() if not isinstance(value, Tensor) else array
    if isinstance(current.array, Spec):
        return to_device(array.astype(current.dtype), default_device())
    return asarray(array, current.dtype, device_of(current.array))


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys) + ". "
