"""``gradcheck`` and ``gradgradcheck``: are the gradients of a function those of its values?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_cv.autograd.comparison import EPS, Check, Flat
from tinygrad_cv.autograd.differences import random_like, variable, vjp
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.core.mode import grad_mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["gradcheck", "gradgradcheck"]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = EPS,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
) -> bool:
    """True if the Jacobian by backward equals central differences, |a - n| <= atol + rtol*|n|, for
    every element of every input that requires a gradient and of every floating output::

        n[i, j] = (f_i(x + eps*e_j) - f_i(x - eps*e_j)) / (2*eps)

    Random directions come first: one backward and four forwards for each input, which find most
    faults. Then every element is compared, unless ``fast_mode``. The error names the worst element
    (in ``fast_mode`` one that is wrong), with both numbers and the slopes to both sides, and says
    whether it is a kink or a fault.

    Args:
        func: of tensors, to tensors; it must give the same every time.
        inputs: its arguments, a tuple or list of them, or one tensor; arguments and outputs may be
            nested in tuples, lists and dictionaries. What is to be checked requires a gradient and
            should be float64.
        eps: the step.
        atol, rtol: what may differ.
        raise_exception: False gives False instead of a GradcheckError.
        nondet_tol: how much two runs of function or backward may differ.
        check_forward_ad: check :func:`~tinygrad_cv.func.jvp` as well.
        check_backward_ad: False checks that only.
        fast_mode: only the random directions. Tolerances grow with the number of elements.

    Raises:
        GradcheckError: the derivatives differ, two runs differ, or eps is too small for the
            dtype: with float32 the defaults cannot be met.
        ArgumentError: no input requires a gradient, no output is floating, or nothing is to be
            checked.
        DTypeError: the function returns something that is no tensor.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([0.5, 2.0], dtype="float64", requires_grad=True)
    >>> gradcheck(lambda x: x.log() * x.sum(), (x,))
    True
    >>> try:  # detach hides that both factors depend on x
    ...     gradcheck(lambda x: x.detach() * x, (x,))
    ... except tg.errors.GradcheckError as error:
    ...     print(error)
    gradcheck: the gradient is wrong; 2 of 4 elements differ, most d output[1] / d input[0][1]
      by backward        2
      by differences     4
      slope to the left  4
      slope to the right 4
      The slopes to both sides agree, so this is no kink: look at the rules of the operators
      between this input and this output.
    """
    if not (check_forward_ad or check_backward_ad):
        raise ArgumentError("gradcheck", "neither check_backward_ad nor check_forward_ad is True")
    function, points, names = _variables("gradcheck", func, inputs)
    check = Check("gradcheck", function, points, names, eps, atol, rtol, nondet_tol)
    return check.run(check_backward_ad, check_forward_ad, fast_mode, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = EPS,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
) -> bool:
    """:func:`gradcheck` of the gradients of ``func`` as functions of the inputs and of
    ``grad_outputs``: are second derivatives right?

    Args:
        grad_outputs: the gradient of each floating output, one tensor or nested as they are;
            default: random numbers, the same every time.
        check_fwd_over_rev, check_rev_over_rev: ``check_forward_ad`` and ``check_backward_ad`` of
            the gradients.
        others: as in :func:`gradcheck`.

    Raises:
        GradcheckError, ArgumentError, DTypeError: as :func:`gradcheck`.
        GraphError: an operator cannot be differentiated twice.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([0.5, 2.0], dtype="float64", requires_grad=True)
    >>> gradgradcheck(lambda x: x.log() * x.sum(), (x,))
    True
    """
    what = "gradgradcheck"
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise ArgumentError(what, "neither check_rev_over_rev nor check_fwd_over_rev is True")
    function, points, names = _variables(what, func, inputs)
    with grad_mode(True):
        outputs = function(points)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        given = [random_like(y, rng) for y in outputs]
    else:
        given = flatten(grad_outputs)[0]
    shapes = [getattr(g, "shape", type(g).__name__) for g in given]
    if shapes != [y.shape for y in outputs] or any(g.dtype.kind != "f" for g in given):
        raise ArgumentError(
            what,
            "grad_outputs must be floating tensors of the shapes of the floating outputs",
            values=[("outputs", [y.shape for y in outputs]), ("grad_outputs", shapes)],
        )
    count = len(points)

    def gradients(both: Sequence[Tensor]) -> list[Tensor]:
        xs, gs = both[:count], both[count:]
        with grad_mode(True):
            return vjp(function(xs), xs, gs, create_graph=True)

    more = [f"grad_output[{k}]" for k in range(len(given))]
    places = [f"(the gradient of {name})" for name in names]
    everything = [*points, *[variable(g) for g in given]]
    check = Check(what, gradients, everything, [*names, *more], eps, atol, rtol, nondet_tol, places)
    return check.run(check_rev_over_rev, check_fwd_over_rev, fast_mode, raise_exception)


def _variables(
    what: str, func: Callable[..., Any], inputs: Any
) -> tuple[Flat, list[Tensor], list[str]]:
    """``func`` as a function of the tensors that require a gradient to its floating outputs, such
    tensors, and what messages call them."""
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    leaves, structure = flatten(args)
    wanted = [k for k, x in enumerate(leaves) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ArgumentError(
            what,
            "no input requires a gradient, so there is nothing to check",
            repair="Call requires_grad_() on the inputs to be checked.",
        )
    paths = structure.paths("input")

    def function(points: Sequence[Tensor]) -> list[Tensor]:
        filled = list(leaves)
        for k, point in zip(wanted, points, strict=True):
            filled[k] = point
        found, _ = flatten(func(*structure.rebuild(filled)))
        for y in found:
            if not isinstance(y, Tensor):
                kind = type(y).__name__
                raise DTypeError(what, f"the function must return tensors, not a {kind}: {y!r:.60}")
        return [y for y in found if y.dtype.kind == "f"]

    return function, [variable(leaves[k]) for k in wanted], [paths[k] for k in wanted]
