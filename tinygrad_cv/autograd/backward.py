"""``backward`` and ``grad``: what the user calls to differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_cv.autograd.accumulate import add_to_grad, owned
from tinygrad_cv.autograd.cuts import SEARCH, needs_none
from tinygrad_cv.autograd.finite import note_loss
from tinygrad_cv.autograd.hooks import source_of
from tinygrad_cv.autograd.multi_hooks import accumulated
from tinygrad_cv.autograd.running import BackwardRun
from tinygrad_cv.backend.array import on_device_of, xp_of, zeros
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.core.engine import Key, key_of
from tinygrad_cv.core.node import Leaf, Source
from tinygrad_cv.core.tensor import Tensor, as_tensor, extend
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, ShapeError

__all__ = ["backward", "grad"]

Tensors = Tensor | Sequence[Tensor]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of the sum of ``tensors`` to ``.grad`` of the leaves, or of ``inputs``.

    Reverse accumulation: each operator turns the gradient g of its output into g * dy/dx for its
    inputs, last operator first, and where a tensor is used several times the parts are added
    (Griewank and Walther, "Evaluating Derivatives", SIAM 2008).

    Args:
        tensors: one Tensor or several.
        grad_tensors: the gradient of each, of its shape; None stands for 1 where a tensor has one
            element.
        retain_graph, create_graph: as in :meth:`Tensor.backward`.
        grad_variables: the old name of ``grad_tensors``.
        inputs: the Tensors, leaves or results, whose ``.grad`` is wanted; None means all leaves
            that require a gradient.

    Raises:
        GraphError: a tensor requires no gradient, the gradient of a tensor of several elements is
            missing, the graph was already used, or a saved value was overwritten.
        ShapeError: a gradient has not its tensor's shape.
        DTypeError: something that is no Tensor, or a gradient that is not floating.

    >>> import tinygrad_cv as tg
    >>> w = tg.tensor(2.0, requires_grad=True)
    >>> backward([w * 3, w * w])
    >>> w.grad  # 3 + 2w
    tensor(7.)
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise ArgumentError(
                "backward", "grad_variables is the old name of grad_tensors: give one"
            )
        grad_tensors = grad_variables
    losses = _several("backward", tensors)
    note_loss(losses)
    roots = _roots("backward", losses, grad_tensors, create_graph)
    del losses
    wanted: dict[Key, Tensor] | None = None
    if inputs is not None:
        several = _several("backward", inputs)
        wanted = {key_of(source_of(t, "backward"), t.index): t for t in several}
    retain = create_graph if retain_graph is None else retain_graph
    found = BackwardRun(create_graph, retain, wanted)(roots)
    del roots
    for key in list(found):
        tensor = key.tensor() if isinstance(key, Leaf) else None  # None for a dead one
        if wanted is not None:
            tensor = wanted[key]
        box = [found.pop(key)]
        if tensor is not None:
            add_to_grad(tensor, box, create_graph)
            if isinstance(key, Leaf) and key.hooks is not None:
                accumulated(key, tensor, create_graph)


def _tensor_backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add d self / d leaf to ``.grad`` of every leaf that asked for it (or of ``inputs`` only).

    Args:
        gradient: dL / d self, of this tensor's shape; for a tensor of one element it may be left
            out and is 1.
        retain_graph: keep the saved values for another backward; default: as ``create_graph``.
        create_graph: record the backward itself, so that gradients can be differentiated again.
        inputs: the Tensors whose ``.grad`` is wanted; None means all leaves.

    Raises:
        GraphError: no gradient is asked for here, a gradient is needed, the graph was already
            used, or a saved value was overwritten.
        ShapeError: the gradient has not this tensor's shape.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).backward(tg.tensor([1.0, 10.0]))  # g * 2x
    >>> x.grad
    tensor([ 2., 40.])
    """
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


extend("backward", _tensor_backward)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The sum of the gradients of ``outputs`` with respect to each of ``inputs``; ``.grad`` is left
    alone.

    Args:
        outputs, inputs: Tensors or sequences of Tensors; inputs may be leaves or results.
        grad_outputs: one gradient for each output (None means 1 for an output of one element).
        retain_graph: keep the graph for another backward; default: the value of ``create_graph``.
        create_graph: record the backward, so that the results can be differentiated again.
        only_inputs: True; False, which PyTorch no longer has, is refused.
        allow_unused: give None for an input that the outputs do not depend on, instead of an error.
        is_grads_batched: False; True is refused.
        materialize_grads: give zeros instead of None for such an input.

    Returns:
        One gradient for each input, of its shape, dtype and device.

    Raises:
        GraphError: an output or input requires no gradient, the outputs do not depend on an input,
            the gradient of an output of several elements is missing, the graph was already used, or
            a saved value was overwritten.
        ShapeError: a gradient has not its output's shape.
        DTypeError: something that is no Tensor, or a gradient that is not floating.
        ArgumentError: ``only_inputs`` or ``is_grads_batched`` is not as above.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> (second,) = grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    if only_inputs is not True:
        repair = "Call backward(), which adds to .grad of all leaves."
        raise ArgumentError("grad", f"only_inputs must be True, not {only_inputs!r}", repair=repair)
    if is_grads_batched is not False:
        repair = "Call grad for each row of grad_outputs, with retain_graph=True."
        problem = f"is_grads_batched must be False, not {is_grads_batched!r}"
        raise ArgumentError("grad", problem, repair=repair)
    ins = _several("grad", inputs)
    roots = _roots("grad", _several("grad", outputs), grad_outputs, create_graph)
    keys = [key_of(source_of(t, "grad"), t.index) for t in ins]
    retain = create_graph if retain_graph is None else retain_graph
    run = BackwardRun(create_graph, retain, keys)
    gradients = run(roots)
    results: list[Tensor | None] = []
    for position, (key, tensor) in enumerate(zip(keys, ins, strict=True)):
        box = [gradients.get(key) if keys.count(key) > 1 else gradients.pop(key, None)]
        if box[0] is not None:
            results.append(box[0] if isinstance(box[0], Tensor) else Tensor(owned(box)))
        elif materialize_grads:
            results.append(Tensor(zeros(tensor.shape, tensor.dtype, tensor.array)))
        elif allow_unused:
            results.append(None)
        else:
            raise GraphError(
                "grad",
                f"the outputs do not depend on input {position}",
                values=[(f"inputs[{position}]", tensor.shape)],
                repair="Pass allow_unused=True for None, or materialize_grads=True for zeros.",
                notes=[
                    "If it should: a detach(), .data or no_grad on the way cuts it. " + SEARCH,
                ],
            )
    return tuple(results)


def _roots(
    what: str, tensors: Sequence[Tensor], gradients: Any, create_graph: bool
) -> list[tuple[Source, int, Any]]:
    """Where the walk starts: (node, output index, gradient) for each tensor."""
    if gradients is None:
        gradients = (None,) * len(tensors)
    elif not isinstance(gradients, (list, tuple)):
        gradients = (gradients,)  # an array or Tensor is one gradient, not one for each of its rows
    if len(gradients) != len(tensors):
        raise ShapeError(what, f"{len(tensors)} tensors, but {len(gradients)} gradients for them")
    roots = []
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if tensor.node is None:
            raise needs_none(what, tensor)
        if isinstance(tensor.array, Spec):
            raise GraphError(what, "a tensor on the meta device has no values to differentiate")
        if gradient is None:
            if tensor.array.size != 1:
                raise GraphError(
                    what,
                    f"a tensor of {tensor.numel()} elements needs the gradient= argument; "
                    "only one element has the gradient 1 by itself",
                    values=[("tensor", tensor.shape)],
                    repair="Reduce it first (t.sum()), or pass gradient= of the same shape.",
                )
            with on_device_of(tensor.array):
                value: Any = Tensor(xp_of(tensor.array).ones_like(tensor.array))
        else:
            value = as_tensor(gradient)
            if value.shape != tensor.shape:
                raise ShapeError(
                    what,
                    "the gradient must have the shape of the tensor",
                    values=[("tensor", tensor.shape), ("gradient", value.shape)],
                    repair=f"Reshape or expand the gradient to {tensor.shape}.",
                )
            if value.dtype.kind != "f":
                raise DTypeError(what, f"the gradient must be floating, not {value.dtype.name}")
            if value.device != tensor.device:
                value = value.to(tensor.device)
            if value.dtype != tensor.dtype:
                value = value.to(tensor.dtype)
        roots.append((tensor.node, tensor.index, value if create_graph else value.array))
    return roots


def _several(what: str, tensors: Tensors) -> tuple[Tensor, ...]:
    entries: Any = (tensors,) if isinstance(tensors, Tensor) else tensors
    try:
        entries = iter(entries)
    except TypeError:  # one thing, and no Tensor
        entries = (entries,)
    found = tuple(entries)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise DTypeError(what, f"Tensors are needed, not {type(tensor).__name__} {tensor!r}")
    return found
