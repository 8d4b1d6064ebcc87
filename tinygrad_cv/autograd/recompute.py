"""Checkpoints: a function whose saved values are thrown away, and computed again for backward.

The graph of the function is recorded as always. Only what its nodes saved is replaced: by a promise
to run the function once more, with the same inputs and the same random draws, when the first of
them is wanted. So everything that works on a graph works here too: parameters that the function
finds by itself, hooks, ``create_graph`` to any order, ``autograd.grad`` of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tinygrad_cv.autograd.segment import Contexts, Segment
from tinygrad_cv.autograd.tree import flatten
from tinygrad_cv.core import mode
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError

__all__ = ["checkpoint", "checkpoint_sequential", "in_order"]


def _no_contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts = _no_contexts,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, keeping only its inputs for backward: what lies between is
    computed again when backward arrives there. It costs a second forward of the function, and saves
    the memory of all that its operators keep.

    Gradients are the same to the bit, to any order. The second run sees the random draws of the
    first, from every generator, and no generator moves; it leaves running statistics alone, since
    the first has recorded them; hooks that it registers are taken off at its end, and a backward in
    it adds nothing to ``.grad`` of the tensors outside. It runs in a copy of the first's
    ``contextvars`` context (modes, ``use_kernels``, module scope), and with the parameters of a
    ``functional_call`` around the first. Checkpoints may be nested, and the function may find
    tensors in its closure.

    The second run is compared with the first before anything of it is used: which operators ran,
    with what attributes, and where every value came from. What the function found outside must be
    the same array, not written to since; constants that it makes, or that came through NumPy, must
    have the same values.

    Args:
        function: a module or a function. It must do the same in both runs, so it may depend on its
            arguments and on nothing that changes before backward, and not write into a tensor that
            it reads from outside.
        args, kwargs: its arguments; Tensors may be nested in tuples, lists and dicts.
        use_reentrant: None or False. PyTorch's re-entrant variant does less, and is not here.
        context_fn: returns a context manager for each run, the first and the second.
        determinism_check: "default" compares both runs; "none" only the operators, so that a
            function that does something else gives wrong gradients.
        debug: not supported; an error names the operator and its line anyway.
        early_stop: end the second run when all that is wanted has been computed.
        preserve_rng_state: False draws anew in the second run: for functions without randomness,
            or the gradient is that of other draws.

    Returns:
        What the function returns: a Tensor, or tuples, lists and dicts of Tensors and None.

    Raises:
        ArgumentError: ``use_reentrant=True``, ``debug=True``, or a ``determinism_check`` that does
            not exist.
        DTypeError: ``function`` cannot be called, or returns something that is no Tensor.
        GraphError: the function wrote into a tensor from outside, such an input was overwritten
            before backward, or the second run differs from the first.

    Source: Chen et al., "Training deep nets with sublinear memory cost" (2016).

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda x: (x * x).exp(), x)
    >>> y.sum().backward()
    >>> bool((x.grad == 2 * x * (x * x).exp()).all())
    True
    """
    _check_arguments(function, use_reentrant, determinism_check, debug)
    if not mode.is_grad_enabled():
        result = function(*args, **kwargs)
    else:
        segment = Segment(function, args, kwargs, determinism_check == "default", early_stop)
        result = segment.run(args, kwargs, context_fn, preserve_rng_state)
    _check_result(result, "the result")
    return result


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    *,
    preserve_rng_state: bool = True,
) -> Any:
    """A chain of modules in ``segments`` pieces of equal length, each but the last under
    :func:`checkpoint`: only the inputs of the pieces are kept.

    Args:
        functions: a Sequential, or a sequence of modules or functions.
        segments: the number of pieces, from 1 to the number of functions. The root of that number
            keeps the least.
        input: what the first function is called with.
        use_reentrant, preserve_rng_state: as for :func:`checkpoint`.

    Raises:
        ArgumentError: ``segments`` is out of range.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(*(tg.nn.Linear(4, 4) for _ in range(4)))
    >>> x = tg.ones(2, 4)
    >>> bool((checkpoint_sequential(net, 2, x) == net(x)).all())
    True
    """
    chain = list(functions.children() if hasattr(functions, "children") else functions)
    if type(segments) is not int or not 1 <= segments <= max(len(chain), 1):
        raise ArgumentError(
            "checkpoint_sequential",
            f"segments must be an integer from 1 to the {len(chain)} functions, not {segments!r}",
        )
    size = len(chain) // segments
    for start in range(0, size * (segments - 1), size):
        piece = in_order(chain[start : start + size])
        input = checkpoint(
            piece, input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return in_order(chain[size * (segments - 1) :])(input)


def in_order(functions: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Functions that run one after the other, as one.

    >>> in_order([abs, str])(-3)
    '3'
    """

    def run(value: Any) -> Any:
        for function in functions:
            value = function(value)
        return value

    return run


def _check_arguments(function: Any, reentrant: Any, check: Any, debug: Any) -> None:
    if not callable(function):
        kind = type(function).__name__
        raise DTypeError("checkpoint", f"the first argument is a module or function, not {kind}")
    if reentrant:
        raise ArgumentError(
            "checkpoint",
            "use_reentrant=True is not supported",
            repair="Leave it out: what is here does all that it does, and more.",
        )
    if debug:
        raise ArgumentError(
            "checkpoint",
            "debug=True is not supported",
            repair="Leave it out: an error names the operator that differs, and its line.",
        )
    if check not in ("default", "none"):
        raise ArgumentError(
            "checkpoint", f'determinism_check is "default" or "none", not {check!r}'
        )


def _check_result(result: Any, place: str) -> None:
    leaves, structure = flatten(result)
    for leaf, path in zip(leaves, structure.paths(place), strict=True):
        if leaf is not None and not isinstance(leaf, Tensor):
            raise DTypeError(
                "checkpoint",
                f"{path} of the function is no tensor, but {type(leaf).__name__} {leaf!r:.60}",
                repair="Return Tensors, or tuples, lists and dicts of them.",
            )
