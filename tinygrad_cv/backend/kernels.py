"""The kernel table: for each operator, the implementations that may serve it.

The operator's own ``forward`` is the reference and always serves. A provider adds a faster one for
the cases it names in ``supports``::

    @register("max_pool", provider="numba", device="cpu", priority=10, supports=_float32_nhwc)
    def max_pool(xp, input, kernel_size, ...): ...

A kernel takes what ``forward`` takes and returns what it returns: outputs, then residuals. It never
writes its inputs. Where the arrays themselves show that the case is none for it (their strides, a
label out of range), it returns None, and the reference serves. ``"<op>.vjp"`` names a fused
first-order rule, with the arguments of ``fused_vjp``.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tinygrad_cv.errors import ArgumentError

__all__ = ["TABLE", "Kernel", "Watcher", "begins", "candidates", "choose", "preparing", "providers"]
__all__ += ["register", "served", "unregister", "use", "watching", "with_parameters"]


class Kernel(NamedTuple):
    """One row of the table."""

    op: str
    provider: str
    device: str
    priority: int
    supports: Callable[[tuple[Any, ...], tuple[Any, ...]], bool]
    function: Callable[..., Any]


TABLE: dict[str, list[Kernel]] = {}
_FORCED: ContextVar[str | None] = ContextVar("tinygrad_cv_provider", default=None)


def register(
    op: str,
    *,
    provider: str,
    supports: Callable[[tuple[Any, ...], tuple[Any, ...]], bool],
    device: str = "cpu",
    priority: int = 0,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated function into the table for operator ``op``.

    ``supports(specs, attributes)`` sees the input Specs (None for an absent input) and decides case
    by case; the highest priority that says yes is used.
    """

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        rows = [k for k in TABLE.get(op, []) if (k.provider, k.device) != (provider, device)]
        rows.append(Kernel(op, provider, device, priority, supports, function))
        # Replaced, not changed in place: another thread may be walking the old list.
        TABLE[op] = sorted(rows, key=lambda k: -k.priority)
        return function

    return enter


def with_parameters(function: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """A function of ``*args``, which says that it takes arguments of these names: a fused rule is
    given what its parameters name."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    made = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    function.__signature__ = made  # type: ignore[attr-defined]  # which inspect.signature reads
    return function


def unregister(op: str, provider: str) -> None:
    """Take every kernel of ``provider`` for ``op`` out of the table."""
    rows = [k for k in TABLE.get(op, []) if k.provider != provider]
    if rows:
        TABLE[op] = rows
    else:
        TABLE.pop(op, None)


def candidates(op: str) -> list[Kernel] | None:
    """The kernels entered for ``op``, best first; None if only the reference serves it."""
    return TABLE.get(op)


def choose(
    rows: list[Kernel], device: str, specs: tuple[Any, ...], attrs: tuple[Any, ...]
) -> Kernel | None:
    """The first kernel of ``rows`` that serves this case, or None for the reference."""
    forced = _FORCED.get()
    for kernel in rows:
        if kernel.device != device or (forced is not None and kernel.provider != forced):
            continue
        if kernel.supports(specs, attrs):
            return kernel
    return None


def providers() -> set[str]:
    """Where the kernels of the table come from."""
    return {kernel.provider for rows in TABLE.values() for kernel in rows}


@contextmanager
def use(provider: str) -> Iterator[None]:
    """Let only ``provider`` serve inside the block; "reference" means every operator's own
    ``forward``. A case that the provider declines is served by the reference.

    Raises:
        ArgumentError: nothing in the table comes from that provider.

    >>> import tinygrad_cv as tg
    >>> with tg.use_kernels("reference"):
    ...     tg.nn.functional.max_pool2d(tg.arange(4.0).reshape(1, 2, 2), 2).item()
    3.0
    """
    known = providers() | {"reference"}
    if provider not in known:
        raise ArgumentError(
            "use_kernels", f"no kernel comes from {provider!r}; known are {sorted(known)}"
        )
    token = _FORCED.set(provider)
    try:
        yield
    finally:
        _FORCED.reset(token)


class Watcher:
    """Sees what runs while it is installed by :func:`watching`, in this thread."""

    def begins(self, op: str) -> None:
        """The arguments of ``op`` are together, and it is about to run."""

    def served(self, op: str, provider: str) -> None:
        """A kernel of ``provider`` gave the result of ``op``; not called for the reference."""

    def prepared(self, seconds: float) -> None:
        """In this time a kernel was compiled or loaded, which happens once in a process."""


# How many watchers there are in all threads. While it is 0, nobody looks at the context variable.
watchers = 0
_WATCHING: ContextVar[tuple[Watcher, ...]] = ContextVar("tinygrad_cv_kernel_watchers", default=())
_lock = threading.Lock()


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Show every operator that runs on arrays inside the block to ``watcher``, and then to those
    who watch already."""
    token = _WATCHING.set((watcher, *_WATCHING.get()))
    _count(1)
    try:
        yield
    finally:
        _count(-1)
        _WATCHING.reset(token)


def begins(op: str) -> None:
    """To be called when ``op`` begins, if there are watchers."""
    for watcher in _WATCHING.get():
        watcher.begins(op)


def served(op: str, provider: str) -> None:
    """To be called when ``provider`` has served ``op``, if there are watchers."""
    for watcher in _WATCHING.get():
        watcher.served(op, provider)


@contextmanager
def preparing() -> Iterator[None]:
    """Around what gets a kernel ready."""
    started = time.perf_counter()
    try:
        yield
    finally:
        for watcher in _WATCHING.get():
            watcher.prepared(time.perf_counter() - started)


def _count(by: int) -> None:
    global watchers
    with _lock:
        watchers += by


def _in_the_child() -> None:
    """Of all threads only the one that forked goes on, with who watches there."""
    global watchers, _lock
    watchers, _lock = len(_WATCHING.get()), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_the_child)
