"""A cheap look, while training, at whether loss and gradients are still finite."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend.blame import Place
from tinygrad_cv.core.engine import reachable
from tinygrad_cv.core.node import Leaf
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import Site, user_frame

__all__ = ["FiniteWatch", "note_loss"]

WINDOW = 32768  # elements of one gradient that one step reads


class _Loss(NamedTuple):
    """A scalar that backward began with."""

    value: float
    place: Place
    leaves: set[Leaf]  # that it was computed from


class _Last(threading.local):
    """The loss that the last backward of this thread began with, if it was not finite."""

    loss: _Loss | None = None


_last = _Last()


def note_loss(tensors: Sequence[Tensor]) -> None:
    """Remember a scalar loss that is not finite until the optimiser asks. Values on another device
    are not waited for."""
    array = tensors[0].array if tensors else None
    if type(array) is np.ndarray and array.size == 1:
        value = array.item()
        _last.loss = None
        if not math.isfinite(value):
            _last.loss = _Loss(value, Place(user_frame(3)), {*reachable([tensors[0].node])[1]})


class FiniteWatch:
    """Warns once, at the first step whose loss or gradients are not finite.

    A step reads at most 32,768 elements of each gradient: all of a small one, of a large one the
    next piece in each step. One NaN in an activation reaches whole rows of the gradients before
    it, so this finds it at once or a few steps later. It takes less than 1 % of a step of the
    benchmark's networks (``tools/bench/finite_check.py``), and some 1 us for each parameter of
    smaller ones.
    """

    def __init__(self) -> None:
        self._said = False
        self._steps = 0

    def look(self, name: str, params: Sequence[Tensor]) -> None:
        """At the gradients of ``params``; ``name`` is the optimiser's."""
        loss = _last.loss
        if loss is not None:
            if any(param.node in loss.leaves for param in params):
                _last.loss = None
            else:  # of another model
                loss = None
        if self._said:
            return
        self._steps += 1
        problem = ""
        if loss is not None:
            problem = f"the loss is {loss.value}; backward ran at {loss.place.site}"
        else:
            with np.errstate(all="ignore"):
                found = next(filter(None, map(self._bad, params)), None)
            if found:
                k, value = next((k, v) for k, p in enumerate(params) if (v := self._bad(p)))
                label = getattr(params[k].node, "label", None)
                named = f" ({label})" if label else ""
                problem = f"the gradient of parameter {k}{named} {params[k].shape} has a {value}"
        if problem:
            self._said = True
            frame = user_frame(2)
            _warn(f"{name}: {problem}", Site(frame.f_code.co_filename, frame.f_lineno, ""), frame)

    def _bad(self, param: Tensor) -> str:
        array = getattr(param.grad, "array", None)
        if type(array) is not np.ndarray or array.dtype.kind != "f":
            return ""
        flat = array.ravel(order="K")
        if flat.size > WINDOW:
            pieces = -(-flat.size // WINDOW)
            start = self._steps % pieces * WINDOW
            flat = flat[start : start + WINDOW]
        # The sum of squares is finite unless an element is not, or is huge.
        if math.isfinite(np.dot(flat, flat)):
            return ""
        bad = flat[~np.isfinite(flat)]
        return str(bad[0]) if bad.size else ""


def _warn(text: str, site: Site, frame: Any) -> None:
    warnings.warn_explicit(
        f"{text}\n  To find the cause: run forward and backward once more inside "
        '"with tg.autograd.detect_anomaly():", which names the first operator that goes wrong. '
        "This warning comes once.",
        UserWarning,
        site.filename,
        site.line,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
