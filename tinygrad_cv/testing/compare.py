"""Comparing arrays, and derivatives with differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_cv.autograd.differences import (
    Function,
    along,
    directional_derivative,
    numpy_of,
    random_like,
    slope,
    variable,
    vjp,
)
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.testing.case import CheckFailure

__all__ = ["assert_close", "check_derivatives", "directional_derivative", "numpy_of"]
__all__ += ["random_like", "vjp"]


def assert_close(
    actual: Any,
    expected: Any,
    rtol: float = 1e-7,
    atol: float | None = None,
    what: str = "the result",
    dtype: bool = False,
) -> None:
    """Raises CheckFailure unless ``|actual - expected| <= atol + rtol*|expected|`` everywhere.

    Shapes must be equal (nothing is broadcast), NaN equals NaN and infinities equal themselves.

    Args:
        actual, expected: Tensors, arrays of any device, or numbers.
        atol: default ``rtol * max|expected|`` over the finite entries (at least 1e-3), so that
            cancellation near zero is judged by the size of its surroundings.
        dtype: compare the dtypes as well.

    Example:
        >>> from tinygrad_cv.testing import assert_close
        >>> assert_close([1.0, 2.0], [1.0, 2.0 + 1e-12])
    """
    a, e = numpy_of(actual), numpy_of(expected)
    if a.shape != e.shape:
        raise CheckFailure(f"{what} has shape {a.shape}, expected {e.shape}")
    if dtype and a.dtype != e.dtype:
        raise CheckFailure(f"{what} has dtype {a.dtype}, expected {e.dtype}")
    if a.size == 0:
        return
    if a.dtype.kind in "bOUS" or e.dtype.kind in "bOUS":
        wrong = a != e
        error = wrong.astype(np.float64)
    else:
        a, e = a.astype(np.float64), e.astype(np.float64)
        finite = np.isfinite(e)
        same = (a == e) | (np.isnan(a) & np.isnan(e))
        if atol is None:
            atol = rtol * float(np.abs(e[finite]).max(initial=1e-3))
        error = np.where(same, 0.0, np.inf)
        both = finite & np.isfinite(a)
        error[both] = np.abs(a[both] - e[both])
        wrong = error > atol + rtol * np.where(finite, np.abs(e), 0.0)
    if wrong.any():
        at = tuple(int(i) for i in np.unravel_index(np.argmax(np.where(wrong, error, -1)), a.shape))
        raise CheckFailure(
            f"{what} is wrong at {int(wrong.sum())} of {a.size} places, worst at {list(at)}: "
            f"{a.item(*at)!r}, expected {e.item(*at)!r} (rtol {rtol:g})"
        )


def check_derivatives(
    function: Function,
    inputs: Sequence[Tensor],
    order: int,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    separate: bool = True,
    level: int = 1,
) -> None:
    """Compares the recorded derivative of ``function`` with differences, up to ``order``.

    A random cotangent g makes the vjp; a random direction v makes it a number, which must equal
    the difference quotient of <g, f> along v. The vjp is itself a function of (inputs, g): for a
    higher order the same check runs on it. The first order looks at each input by itself
    (``separate``), higher ones along one direction of everything.

    Args:
        function: from a list of Tensors to a list of Tensors.
        inputs: where to look, in float64.
        order: 1, 2 or 3.
        rng: source of g and v.
        names: of the inputs, for messages.
        separate: one direction per input, or one for all of them.
        level: the order that messages begin to count with.

    Raises:
        CheckFailure: a gradient has a wrong shape or value, or the differences do not settle
            because the inputs stand at a kink.

    >>> import numpy as np, tinygrad_cv as tg
    >>> rng = np.random.default_rng(0)
    >>> x = tg.tensor([0.3, 1.2], dtype="float64")
    >>> check_derivatives(lambda inputs: [inputs[0].sin()], [x], order=2, rng=rng)
    >>> try:  # detach hides that both factors depend on x
    ...     check_derivatives(lambda inputs: [inputs[0].detach() * inputs[0]], [x], 1, rng)
    ... except CheckFailure as failure:
    ...     print(str(failure).partition(",")[0], "is wrong")
    order 1 is wrong
    """
    names = list(names or (f"input {i}" for i in range(len(inputs))))
    points = [variable(x) for x in inputs]
    outputs = function(points)
    cotangents = [random_like(y, rng) for y in outputs]
    grads = [numpy_of(g) for g in vjp(outputs, points, cotangents, create_graph=order > 1)]
    weights = [numpy_of(g) for g in cotangents]
    for point, grad, name in zip(points, grads, names, strict=True):
        if grad.shape != point.shape:
            raise CheckFailure(f"the gradient of {name} has shape {grad.shape}, not {point.shape}")
    groups = [[i] for i in range(len(points))] if separate else [list(range(len(points)))]
    for group in groups:
        direction = [
            numpy_of(random_like(x, rng)) if i in group else None for i, x in enumerate(points)
        ]
        found = slope(grads, direction, along(function, points, direction, weights))
        where = f"order {level}, along {', '.join(names[i] for i in group)}"
        if found.kind == "kink":
            raise CheckFailure(f"{where}: the inputs are at a kink (kinks=True); {found}")
        if found.kind == "open":
            raise CheckFailure(
                f"{where}: the differences do not settle ({found}): the inputs are near a kink "
                "(kinks=True) or leave the domain"
            )
        if found.kind == "fault":
            raise CheckFailure(f"{where}: {found}")
    if order > 1:
        count = len(points)

        def derivative(both: list[Tensor]) -> list[Tensor]:
            xs, gs = both[:count], both[count:]
            return vjp(function(xs), xs, gs, create_graph=True)

        more = [f"g{level}" if len(outputs) == 1 else f"g{level}[{k}]" for k in range(len(outputs))]
        check_derivatives(
            derivative, [*points, *cotangents], order - 1, rng, [*names, *more], False, level + 1
        )
