"""Reading what the ``state_dict`` of an optimiser gave, before anything is changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from tinygrad_cv.backend.array import asarray, device_of, is_array, on_device_of
from tinygrad_cv.backend.memory import empty_like
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, ShapeError

__all__ = ["Group", "State", "plain", "restored"]

Group = dict[str, Any]
State = dict[str, Any]


def restored(
    what: str, state_dict: Any, params: list[list[Tensor]], needed: tuple[str, ...]
) -> tuple[list[Group], dict[Tensor, State]]:
    """The groups without their parameters, and the state of each parameter.

    Args:
        what: who reads it, for messages.
        params: the parameters of each group of the optimiser.
        needed: what a state that is not empty must have.
    """
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise DTypeError(
            what,
            "a mapping with the keys 'state' and 'param_groups' is expected",
            repair="Give what the state_dict() of an optimiser returned.",
        )
    given, entries = state_dict["param_groups"], state_dict["state"]
    _check_kinds(what, given, entries)
    sizes, found = [len(group) for group in params], [len(group["params"]) for group in given]
    if sizes != found:
        raise ArgumentError(
            what, f"the numbers of parameters per group are {found}; the optimiser has {sizes}"
        )
    numbers = [number for group in given for number in group["params"]]
    by_number = dict(zip(numbers, (p for group in params for p in group), strict=True))
    if len(by_number) < len(numbers):
        raise ArgumentError(what, f"a number stands for two parameters: {numbers}")
    state: dict[Tensor, State] = {}
    for number, entry in entries.items():
        if number not in by_number:
            raise ArgumentError(
                what,
                f"there is a state of parameter {number!r}, which is in no group; "
                f"the numbers there are {numbers}",
            )
        missing = [key for key in needed if key not in entry] if entry else []
        if missing:
            raise ArgumentError(
                what,
                f"the state of parameter {number} has no {missing[0]!r}; it has {sorted(entry)}",
                repair="It is the state of another kind of optimiser: load it into one of that "
                "kind, or start with an empty state.",
            )
        param = by_number[number]
        state[param] = {key: _restore(what, key, value, param) for key, value in entry.items()}
    groups = [
        {key: plain(copy.deepcopy(value)) for key, value in group.items() if key != "params"}
        for group in given
    ]
    return groups, state


def plain(value: Any) -> Any:
    """Numbers of other kinds as Python's: NumPy's would make float64 of float32 on the way."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    if isinstance(value, np.generic):
        return value.item()
    return float(value) if isinstance(value, Real) and not isinstance(value, int) else value


def _check_kinds(what: str, groups: Any, entries: Any) -> None:
    if not isinstance(groups, list | tuple):
        raise DTypeError(what, f"'param_groups' must be a list, not {type(groups).__name__}")
    for number, group in enumerate(groups):
        numbers = group.get("params") if isinstance(group, Mapping) else None
        whole = isinstance(numbers, list | tuple) and all(isinstance(n, int) for n in numbers)
        if not whole:
            raise DTypeError(
                what,
                f"param_groups[{number}] must be a dictionary whose 'params' are numbers of "
                f"parameters, not {group!r:.60}",
            )
    if not isinstance(entries, Mapping):
        raise DTypeError(what, f"'state' must be a mapping, not {type(entries).__name__}")
    for number, entry in entries.items():
        if not isinstance(entry, Mapping):
            raise DTypeError(
                what, f"the state of parameter {number!r} is no mapping but {type(entry).__name__}"
            )


def _restore(what: str, key: str, value: Any, param: Tensor) -> Any:
    """One entry of a state: counters become Python numbers, arrays take the parameter's place."""
    if key == "step":
        try:
            step = int(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise DTypeError(
                what, f"the state 'step' must be a number, not {value!r:.40}"
            ) from None
        if step < 0:
            raise ArgumentError(what, f"the state 'step' counts steps; it is {step}")
        return step
    if value is None or isinstance(value, bool | int | float | str):
        return value
    source = value.array if isinstance(value, Tensor) else value
    if not is_array(source):
        try:
            source = np.asarray(source)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DTypeError(what, f"the state {key!r} is no array ({error})") from None
    if source.shape != param.shape:
        raise ShapeError(
            what,
            f"the state {key!r} does not have its parameter's shape",
            values=[(key, source.shape), ("parameter", param.shape)],
        )
    own = asarray(source, dtype=param.dtype, device=device_of(param.array))
    with on_device_of(own):
        copy = empty_like(param.array)  # in the memory order of the parameter
        copy[...] = own
    return Tensor(copy)
