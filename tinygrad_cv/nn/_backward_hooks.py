"""The backward hooks of one call of a module."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_cv.autograd.hooks import HookHandle, call_hook, described
from tinygrad_cv.autograd.node_hooks import checked_gradients
from tinygrad_cv.autograd.running import BackwardRun, this_run
from tinygrad_cv.backend.array import zeros
from tinygrad_cv.core.engine import as_seen
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.core.node import AFTER, Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, TinygradError
from tinygrad_cv.ops.shape import reshape

if TYPE_CHECKING:
    from tinygrad_cv.nn.module import Module

__all__ = ["BackwardHooks"]

Gradients = tuple[Tensor | None, ...]
Hook = Callable[..., Any]
FORM = "hook(module, grad_input, grad_output)"


class BackwardHooks:
    """Watches the gradients that enter and leave one call of a module.

    Inputs and outputs pass through gates, so that only the gradient through *this* call is seen,
    even if the same tensor is used elsewhere. What belongs to one backward lies in its scratch.
    """

    def __init__(self, module: Module, pre: tuple[Hook, ...], post: tuple[Hook, ...]) -> None:
        self.module, self.pre, self.post = module, pre, post
        self.count = 0  # of positional arguments
        self.inputs = False  # one of them asks for a gradient

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The positional arguments, those with a gradient behind a gate."""
        self.count = len(args)
        if not is_grad_enabled():
            return args
        gate = _Gate(args, self._inputs_known, True, f"an input of {self._name()} has passed")
        self.inputs = bool(gate.nodes)
        return tuple(gate.take())

    def watch_outputs(self, result: Any) -> Any:
        """The result, a Tensor or a tuple or list of them, behind a gate."""
        if not is_grad_enabled():
            return result
        several = isinstance(result, (tuple, list))
        values = result if several else [result]
        told = f"the output of {self._name()} has passed"
        passed = _Gate(values, self._outputs_known, False, told).take()
        if not several:
            return passed[0]
        named = hasattr(result, "_fields")
        return type(result)(*passed) if named else type(result)(passed)

    def _name(self) -> str:
        return type(self.module).__name__

    def _outputs_known(self, run: BackwardRun, arrived: Gradients) -> Gradients:
        gradients = arrived
        for hook in self.pre:
            returned = call_hook(
                hook, None, self.module, gradients, form="hook(module, grad_output)"
            )
            gradients = self._checked(hook, "grad_output", returned, gradients)
        if self.inputs:
            run.scratch[self] = gradients
            return gradients
        nothing = (None,) * self.count
        for hook in self.post:  # no input has a gradient that could arrive later
            returned = call_hook(hook, None, self.module, nothing, gradients, form=FORM)
            self._checked(hook, "grad_input", returned, nothing)
        return gradients

    def _inputs_known(self, run: BackwardRun, arrived: Gradients) -> Gradients:
        outputs = run.scratch.get(self)
        if outputs is None:  # the gradient came from inside, past the outputs
            return arrived
        gradients = arrived
        for hook in self.post:
            returned = call_hook(hook, None, self.module, gradients, outputs, form=FORM)
            gradients = self._checked(hook, "grad_input", returned, gradients)
        return gradients

    def _checked(self, hook: Hook, what: str, returned: Any, given: Gradients) -> Gradients:
        if returned is None:
            return given
        where = [f"the hook is {described(hook)}"]
        return tuple(checked_gradients(hook, what, returned, given, where))


class _Gate:
    """Tensors side by side, each behind an identity. All identities are made at once, so the first
    to run in a backward finds the gradients of the others complete.

    ``known(run, gradients)`` is called then, and what it returns goes on. None stands where nothing
    arrives; with ``fill`` zeros do, where a tensor asks for a gradient. ``told`` says in errors
    what has passed the gate.
    """

    def __init__(
        self,
        values: Sequence[Any],
        known: Callable[[BackwardRun, Gradients], Gradients],
        fill: bool,
        told: str,
    ) -> None:
        self.known = known
        self.told = told
        self.fill = fill
        self.passed: list[Any] = list(values)
        # Weak, because a node has this gate in its hooks and it must not be a cycle.
        self.nodes: dict[int, weakref.ref[Any]] = {}
        self.zeros: dict[int, tuple[Any, Any]] = {}  # shape and dtype
        for place, value in enumerate(values):
            if isinstance(value, Tensor) and value.requires_grad:
                self.passed[place] = self._through(place, value)
        self.size = len(values)

    def take(self) -> list[Any]:
        """The values behind the gate, which keeps none of them."""
        passed, self.passed = self.passed, []
        return passed

    def _through(self, place: int, value: Tensor) -> Tensor:
        passed: Tensor = reshape(value, value.shape)
        node: Any = passed.node
        self.nodes[place] = weakref.ref(node)
        self.zeros[place] = (value.shape, value.dtype)

        def hook(node: Node, results: Sequence[Any], _: Any, create_graph: bool) -> list[Any]:
            gradient = as_seen(results[0])
            try:
                going = self._arrived(place, gradient)
            except TinygradError as error:
                raise node.blame(error)  # noqa: B904  (the same error)
            if going is gradient:
                return [results[0]]
            return [going if create_graph or going is None else going.array]

        hook.passed = self.told  # type: ignore[attr-defined]  # for who would write in place
        HookHandle(node, AFTER, hook, checked=False)
        return passed

    def _arrived(self, place: int, gradient: Tensor) -> Tensor | None:
        run = this_run()
        going: Gradients | None = run.scratch.get(self)
        if going is None:
            arrived: list[Tensor | None] = [None] * self.size
            empty: dict[int, Tensor] = {}
            for k, reference in self.nodes.items():
                arrived[k] = gradient if k == place else run.arrived_at(reference())
                if arrived[k] is None and self.fill and run.only is None:
                    arrived[k] = empty[k] = Tensor(zeros(*self.zeros[k], gradient.array))
            going = self.known(run, tuple(arrived))
            for k in empty:
                _check_nothing(k, going[k])
            run.scratch[self] = going
        return going[place]


def _check_nothing(k: int, gradient: Tensor | None) -> None:
    if gradient is not None and gradient.array.any():
        raise ArgumentError(
            "hook",
            f"a hook returned a gradient at grad_input[{k}], which the module did not use, so that "
            "none can be given there",
            repair="Return None or zeros there.",
        )
