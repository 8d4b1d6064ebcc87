"""Devices and counters of the stand-in; one state per process, as with a real driver."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

import cupy as real

__all__ = ["Counts", "Device", "counts", "current_device", "device_count"]


@dataclass
class Counts:
    """What the device was asked to do.

    Attributes:
        launches: calls that compute; views cost nothing.
        to_device, to_host: transfers. Each `float(x)`, `if x:` or `x.item()` is one to the host.
    """

    launches: int = 0
    to_device: int = 0
    to_host: int = 0

    def reset(self) -> None:
        for field in fields(self):
            setattr(self, field.name, 0)


counts = Counts()
device_count = 1
_thread = threading.local()


def current_device() -> int:
    return getattr(_thread, "device", 0)


class Device:
    """`cupy.cuda.Device`: the current device of a thread is changed with `with` or `use()`."""

    def __init__(self, device: int | Device | None = None) -> None:
        if isinstance(device, Device):
            device = device.id
        self.id = current_device() if device is None else device
        self._before: list[int] = []

    def use(self) -> Device:
        if not 0 <= self.id < device_count:
            raise real.cuda.runtime.CUDARuntimeError(101)  # cudaErrorInvalidDevice
        _thread.device = self.id
        return self

    def __enter__(self) -> Device:
        self._before.append(current_device())
        return self.use()

    def __exit__(self, *_: object) -> None:
        _thread.device = self._before.pop()

    def synchronize(self) -> None:
        pass

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"
