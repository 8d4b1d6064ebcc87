"""Losses of large float32 tensors of one shape, each in one pass: values or their sum, gradients.

What a loss is made of stands in ``compiled/pair_loss.py``, as formulas of one number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.backend import memory
from tinygrad_cv.backend.cpu import threads
from tinygrad_cv.backend.cpu.elementwise import common_order
from tinygrad_cv.backend.cpu.worth import repays
from tinygrad_cv.backend.kernels import register, with_parameters

__all__ = ["TABLE", "Loss", "register_kernels"]

SMALLEST = 1 << 15  # elements; below, NumPy is as fast


class Loss(NamedTuple):
    """A loss that compiled formulas serve.

    Attributes:
        operator: who is served.
        kernel: the formula of an element.
        slopes: for the inputs whose gradient is served, the formula of the slope and a factor.
        inputs, attributes: of the operator, by name, in order; the reduction, which is the last, is
            left out.
        numbers: the attributes that the formulas get.
        when: values that others must have.
        checked: the operator refuses some values; there the formula gives NaN.
    """

    operator: str
    kernel: str
    slopes: Mapping[str, tuple[str, float]]
    inputs: str = "input target"
    attributes: str = ""
    numbers: str = ""
    when: Mapping[str, Any] = {}
    checked: bool = False


def _odd(kernel: str) -> dict[str, tuple[str, float]]:
    """The slopes of a loss of the difference."""
    return {"input": (kernel, 1.0), "target": (kernel, -1.0)}


def _one(kernel: str) -> dict[str, tuple[str, float]]:
    return {"input": (kernel, 1.0)}


TABLE = [
    Loss("mse_loss", "mse_loss", _odd("mse_loss_slope")),
    Loss("l1_loss", "l1_loss", _odd("l1_loss_slope")),
    Loss(
        "smooth_l1_loss",
        "smooth_l1_loss",
        _odd("smooth_l1_loss_slope"),
        attributes="beta",
        numbers="beta",
    ),
    Loss("huber_loss", "huber_loss", _odd("huber_loss_slope"), attributes="delta", numbers="delta"),
    Loss(
        "binary_cross_entropy",
        "binary_cross_entropy",
        _one("binary_cross_entropy_slope"),
        checked=True,
    ),
    Loss("binary_cross_entropy_with_logits", "bce_with_logits", _one("bce_with_logits_slope")),
    Loss(
        "kl_div",
        "kl_div",
        _one("kl_div_slope"),
        attributes="log_target",
        when={"log_target": False},
    ),
    Loss(
        "kl_div",
        "kl_div_log",
        _one("kl_div_log_slope"),
        attributes="log_target",
        when={"log_target": True},
    ),
    Loss(
        "poisson_nll_loss",
        "poisson_nll_loss",
        _one("poisson_nll_loss_slope"),
        attributes="log_input full eps",
        when={"log_input": True, "full": False},
    ),
    Loss(
        "gaussian_nll_loss",
        "gaussian_nll_loss",
        _odd("gaussian_nll_loss_slope") | {"var": ("gaussian_nll_loss_spread", 1.0)},
        inputs="input target var",
        attributes="full eps",
        numbers="eps",
        when={"full": False},
        checked=True,
    ),
    Loss(
        "sigmoid_focal_loss",
        "focal_loss",
        _one("focal_loss_slope"),
        attributes="positive negative gamma",
        numbers="positive negative",
        when={"gamma": 2.0},
    ),
]


def register_kernels() -> None:
    """Enter the kernels of this file into the table, one for each operator."""
    for operator in dict.fromkeys(loss.operator for loss in TABLE):
        losses = [loss for loss in TABLE if loss.operator == operator]
        for name, make in ((operator, _forward), (f"{operator}.vjp", _backward)):
            register(name, provider="numba", priority=10, supports=_takes)(make(losses))


def _takes(specs: tuple[Any, ...], attributes: tuple[Any, ...]) -> bool:
    # An input that no rule reads has no Spec: the function sees the arrays, and may decline.
    known = next((spec for spec in specs if spec is not None), None)
    return known is not None and known.dtype == np.float32 and repays(known.size, SMALLEST)


def _names(losses: list[Loss]) -> list[str]:
    """Inputs and attributes of the operator."""
    return [*losses[0].inputs.split(), *losses[0].attributes.split(), "reduction"]


def _meant(losses: list[Loss], given: Mapping[str, Any]) -> Loss | None:
    """The loss for these attributes."""
    return next((x for x in losses if all(given[n] == v for n, v in x.when.items())), None)


def _forward(losses: list[Loss]) -> Callable[..., Any]:
    names, inputs = _names(losses), losses[0].inputs.split()

    def serve(xp: Any, *args: Any) -> Any:
        given = dict(zip(names, args, strict=True))
        loss = _meant(losses, given)
        arrays = [given[name] for name in inputs]
        runs = None if loss is None else _runs(arrays)
        if loss is None or runs is None:
            return None
        from tinygrad_cv.backend.cpu.compiled import pair_loss as kernels

        numbers = [np.float32(given[n]) for n in loss.numbers.split()]
        if given["reduction"] == "none":
            result = memory.empty_like(arrays[0])
            out = result.transpose(common_order(arrays)).reshape(-1)
            kernels.VALUES[loss.kernel](*runs, out, *numbers, threads.get_num_threads())
            return None if loss.checked and np.isnan(result.min()) else result
        totals = np.empty(threads.get_num_threads())
        kernels.SUMS[loss.kernel](*runs, totals, *numbers)
        total = totals.sum()
        if loss.checked and np.isnan(total):
            return None
        return np.asarray(total / arrays[0].size if given["reduction"] == "mean" else total, "f4")

    return with_parameters(serve, ["xp", *names])


def _backward(losses: list[Loss]) -> Callable[..., Any]:
    names, inputs = _names(losses), losses[0].inputs.split()

    def serve(xp: Any, g: Any, needs: Any, *args: Any) -> Any:
        given = dict(zip(names, args, strict=True))
        loss = _meant(losses, given)
        # What no rule reads is not saved. No formula reads it either: another may stand there.
        known = [given[name] for name in inputs if given[name] is not None]
        arrays = [known[0] if given[name] is None else given[name] for name in inputs]
        wanted = [name for name, need in zip(inputs, needs, strict=True) if need]
        if loss is None or any(name not in loss.slopes for name in wanted):
            return None
        runs = _runs(arrays)
        if runs is None:
            return None
        return tuple(
            _gradient(loss, name, g, arrays, runs, given) if name in wanted else None
            for name in inputs
        )

    return with_parameters(serve, ["xp", "g", "needs", *names])


def _gradient(
    loss: Loss, name: str, g: Any, arrays: list[Any], runs: list[Any], given: Mapping[str, Any]
) -> Any:
    """The gradient of one input."""
    from tinygrad_cv.backend.cpu.compiled import pair_loss as kernels

    kernel, factor = loss.slopes[name]
    if given["reduction"] == "mean":
        factor /= arrays[0].size
    scale = factor if g.ndim else factor * float(g)
    numbers = [np.float32(given[n]) for n in loss.numbers.split()]
    result = memory.empty_like(arrays[0])
    out = result.transpose(common_order(arrays)).reshape(-1)
    kernels.SLOPES[kernel](*runs, out, *numbers, np.float32(scale), threads.get_num_threads())
    if g.ndim:
        np.multiply(result, g, out=result)
    return result


def _runs(arrays: list[Any]) -> list[Any] | None:
    """The arrays as runs of numbers in one order; None if they are small, no float32 or do not lie
    alike."""
    if any(array.dtype != np.float32 for array in arrays):
        return None
    axes = common_order(arrays) if repays(arrays[0].size, SMALLEST) else None
    return None if axes is None else [array.transpose(axes).reshape(-1) for array in arrays]
