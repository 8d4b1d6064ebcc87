"""The recorded graph: a Node for each operator that ran, a Leaf for each tensor that asks for a
gradient.

References only point backwards (from a node to what made its inputs) and a Leaf knows its tensor
weakly, so a graph contains no reference cycle and dies as soon as its last result does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar

from tinygrad_cv.errors import Site, TinygradError, site_of

if TYPE_CHECKING:
    from tinygrad_cv.core.mode import Scope
    from tinygrad_cv.core.op import Op
    from tinygrad_cv.core.plan import Plan
    from tinygrad_cv.core.tensor import Tensor

__all__ = ["AFTER", "BEFORE", "Leaf", "Node", "Source"]

Hooks = dict[int, dict[int, Callable[..., Any]]]


# Where the hooks of a node itself stand, beside those of its outputs 0, 1 ...
BEFORE, AFTER = -1, -2


class Node:
    """One run of an operator.

    Attributes:
        plan: which inputs need a gradient and what was saved for it; ``plan.op`` is the operator.
        attrs: the operator's attributes, in the order of its ``forward``.
        edges: for each input the Node or Leaf that made it, or None where no gradient is needed.
        indices: which output of that node each input is; None when all are 0.
        saved: raw arrays and shapes for the rules, named by ``plan.names``; after backward has
            freed them, an object that says so; or one whose ``unpack()`` gives them, and which
            yields None for each of them (``specs``, ``kept`` and ``state`` tell what is known
            without).
        shape, dtype: of output 0; ``rest`` has (shape, dtype) of further outputs.
        scope: the module call that it belongs to.
        stamp: when it was made, on the clock that also counts in-place writes.
        fits: True for an elementwise operator on equal shapes without a fused rule: the gradients
            of its inputs have their shapes and dtype by construction.
        hooks: functions that see and may replace the gradient of an output, by output index, or
            all gradients BEFORE or AFTER the rules run.
        code, lasti: the instruction of the user's that ran the operator; ``site`` is its line.

    >>> import tinygrad_cv as tg
    >>> (tg.ones(2, requires_grad=True) * 2).grad_fn  # doctest: +ELLIPSIS
    <Node mul -> (2,) at <doctest ...>:1 in <module>>
    """

    # fmt: off
    __slots__ = ("__weakref__", "attrs", "code", "dtype", "edges", "fits", "hooks", "indices",
                 "lasti", "plan", "rest", "saved", "scope", "shape", "stamp")
    # fmt: on

    plan: Plan
    attrs: tuple[Any, ...]
    edges: tuple[Source | None, ...]
    indices: tuple[int, ...] | None
    saved: Any
    shape: tuple[int, ...]
    dtype: Any
    rest: tuple[tuple[tuple[int, ...], Any], ...]
    scope: Scope | None
    stamp: int
    fits: bool
    hooks: Hooks | None
    code: CodeType
    lasti: int

    @property
    def op(self) -> type[Op]:
        """The operator that ran.

        >>> import tinygrad_cv as tg
        >>> tg.ones(2, requires_grad=True).exp().grad_fn.op.equation
        'y = e^x'
        """
        return self.plan.op

    @property
    def outputs(self) -> tuple[tuple[tuple[int, ...], Any], ...]:
        """(shape, dtype) of every output.

        >>> import tinygrad_cv as tg
        >>> tg.ones(2, requires_grad=True).exp().grad_fn.outputs
        (((2,), dtype('float32')),)
        """
        return ((self.shape, self.dtype), *self.rest)

    @property
    def inputs(self) -> tuple[tuple[Source | None, int], ...]:
        """For each input (node, output index); (None, 0) where no gradient is needed.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(2, requires_grad=True)
        >>> (x * 2).grad_fn.inputs
        ((<Leaf (2,)>, 0), (None, 0))
        """
        indices = self.indices or (0,) * len(self.edges)
        return tuple(zip(self.edges, indices, strict=True))

    next_functions = inputs  # as PyTorch calls it

    def name(self) -> str:
        """The name of the operator.

        >>> import tinygrad_cv as tg
        >>> tg.ones(2, requires_grad=True).exp().grad_fn.name()
        'exp'
        """
        return self.op.name

    register_hook: ClassVar[Callable[..., Any]]  # which autograd gives
    register_prehook: ClassVar[Callable[..., Any]]

    @property
    def site(self) -> Site:
        """The user's line that ran the operator.

        >>> import tinygrad_cv as tg
        >>> tg.ones(2, requires_grad=True).exp().grad_fn.site.function
        '<module>'
        """
        return site_of(self.code, self.lasti)

    def blame(self, error: TinygradError) -> TinygradError:
        """``error``, which this node is about, with the module call that it belongs to.

        >>> import tinygrad_cv as tg
        >>> y = tg.nn.Sequential(tg.nn.Tanh())(tg.ones(2, requires_grad=True))
        >>> y.grad_fn.blame(tg.GraphError("tanh", "wrong")).module_path
        'model.0 (Tanh)'
        """
        if self.scope is not None:
            error.module_path = self.scope.path
        return error

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape, _ in self.outputs)
        return f"<Node {self.op.name} -> {shapes} at {self.site}>"


class Leaf:
    """The end of the graph at a tensor that asks for a gradient.

    Attributes:
        tensor: weak reference to that tensor; a gradient for a dead one is dropped.
        label: what pictures and messages call it, such as "weight"; may be None.
        shape, dtype: of the tensor.
        hooks: functions that see its gradient, by hook number.
        inputs, next_functions: empty; a walk ends here.
    """

    __slots__ = ("__weakref__", "dtype", "hooks", "label", "shape", "tensor")

    inputs = next_functions = ()

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)
        self.label: str | None = None
        self.shape: tuple[int, ...] = tensor.array.shape
        self.dtype: Any = tensor.array.dtype
        self.hooks: Hooks | None = None

    @property
    def outputs(self) -> tuple[tuple[tuple[int, ...], Any]]:
        """(shape, dtype) of the tensor, as a node has them."""
        return ((self.shape, self.dtype),)

    def name(self) -> str:
        """The label, or "leaf".

        >>> import tinygrad_cv as tg
        >>> y = tg.ones(2, requires_grad=True).exp()
        >>> [source.name() for source, _ in y.grad_fn.next_functions]
        ['leaf']
        """
        return self.label or "leaf"

    def __repr__(self) -> str:
        return f"<Leaf {self.label or ''}{self.shape}>"


Source = Node | Leaf
