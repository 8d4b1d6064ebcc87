"""``verify``: every node of a recorded graph replayed on its own arrays, and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.graph import nodes
from tinygrad_cv.autograd.replay import Replay, Verdict
from tinygrad_cv.autograd.replay_kernels import check_forward, check_served
from tinygrad_cv.autograd.replay_rules import check_rule
from tinygrad_cv.autograd.retain import Kept, kept_of, retain_all
from tinygrad_cv.autograd.tree import flatten, tensors_of
from tinygrad_cv.autograd.untouched import untouched
from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.array import is_array, on_device_of
from tinygrad_cv.backend.spec import Spec
from tinygrad_cv.backend.writes import clock
from tinygrad_cv.core.mode import grad_mode, recording
from tinygrad_cv.core.node import Node
from tinygrad_cv.core.tensor import Tensor
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError, Site, TinygradError

__all__ = ["Finding", "Report", "verify"]


class Finding(NamedTuple):
    """What :func:`verify` found at one node.

    Attributes:
        kind: "fault": it is wrong; "kink": the function has no derivative at these inputs, and the
            rule is right beside them; "open": it could not be checked.
        node: the node; ``node.op`` is its operator.
        part: what of it: "forward by numba", "vjp_weight", "fused_vjp", "conv.vjp by numba".
        text: the numbers.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
    >>> [finding] = tg.autograd.verify(lambda x: x.relu(), x).kinks
    >>> finding.kind, finding.node.op.name, finding.part
    ('kink', 'relu', 'vjp_input')
    """

    kind: str
    node: Node
    part: str
    text: str

    @property
    def site(self) -> Site:
        """The user's line that ran the operator.

        >>> import tinygrad_cv as tg
        >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
        >>> tg.autograd.verify(lambda x: x.relu(), x).kinks[0].site.function
        '<lambda>'
        """
        return self.node.site

    @property
    def module_path(self) -> str | None:
        """The module call that it belongs to, as errors print it; None outside modules.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.ReLU())
        >>> tg.autograd.verify(net, tg.zeros(2)).kinks[0].module_path
        'model.0 (ReLU)'
        """
        return None if self.node.scope is None else self.node.scope.path

    @property
    def of_gradient(self) -> bool:
        """True if it is about a gradient, and not about what the forward gave.

        >>> import tinygrad_cv as tg
        >>> x = tg.tensor([0.0, 1.0], requires_grad=True)
        >>> tg.autograd.verify(lambda x: x.relu(), x).kinks[0].of_gradient
        True
        """
        return not self.part.startswith("forward")

    @property
    def told(self) -> str:
        """A fault as the box of a node in a picture says it: ``wrong gradient of weight: ...``,
        ``wrong result by numba: ...``.

        >>> import tinygrad_cv as tg
        >>> node = tg.ones(2, requires_grad=True).exp().grad_fn
        >>> Finding("fault", node, "vjp_input", "the rule gives 2, differences 1").told
        'wrong gradient of input: the rule gives 2, differences 1'
        >>> Finding("fault", node, "fused_vjp", "the gradient of input: 2, not 1").told
        'wrong gradient of input by fused_vjp: 2, not 1'
        """
        text, by = self.text, ""
        if not self.of_gradient:
            return f"wrong result {self.part.removeprefix('forward ')}: {text}"
        which = self.part.removeprefix("vjp_")
        if which == self.part:
            by = f" by {self.part}"
            named = text.partition(": ")
            said = named[0].startswith("the gradient of ") and bool(named[1])
            which, text = (
                (named[0].removeprefix("the gradient of "), named[2]) if said else ("", text)
            )
        return "wrong gradient" + (f" of {which}" if which else "") + f"{by}: {text}"

    def __str__(self) -> str:
        label = "not checked" if self.kind == "open" else self.kind
        lines = [f"{label}: {self.node.op.name}, {self.part}: {self.text}"]
        lines.append(f"  it ran at {self.site}")
        if self.module_path is not None:
            lines.append(f"  in {self.module_path}")
        return "\n".join(lines)


class Report:
    """What :func:`verify` found; ``print(report)`` shows it, ``viz.draw(loss, verify=report)``
    marks the faulty nodes in the picture.

    Attributes:
        faults, kinks, open: lists of :class:`Finding`; kinks and what could not be checked are no
            faults.
        nodes, checks: how many nodes were replayed, and how many things were checked of them.

    >>> import tinygrad_cv as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> print(tg.autograd.verify(lambda x: (x * x).sum(), x))  # doctest: +ELLIPSIS
    verify: 2 nodes, ... checks: no fault
    """

    def __init__(self, findings: Sequence[Finding], nodes: int, checks: int) -> None:
        self.faults = [f for f in findings if f.kind == "fault"]
        self.kinks = [f for f in findings if f.kind == "kink"]
        self.open = [f for f in findings if f.kind == "open"]
        self.nodes = nodes
        self.checks = checks

    @property
    def ok(self) -> bool:
        """True if there is no fault.

        >>> import tinygrad_cv as tg
        >>> tg.autograd.verify(lambda x: x.exp(), tg.zeros(2)).ok
        True
        """
        return not self.faults

    def __str__(self) -> str:
        several = f"{len(self.faults)} fault{'s' * (len(self.faults) > 1)}"
        head = f"verify: {self.nodes} nodes, {self.checks} checks: "
        lines = [head + (several if self.faults else "no fault")]
        for finding in (*self.faults, *self.kinks, *self.open):
            lines += ["  " + line for line in str(finding).splitlines()]
        return "\n".join(lines)

    __repr__ = __str__


def verify(
    target: Tensor | Sequence[Tensor] | Callable[..., Any],
    *inputs: Any,
    seed: int = 0,
    **kwargs: Any,
) -> Report:
    """Check every node of a recorded graph on the arrays that it really had::

        <vjp(g), v>  =  d/dt <g, f(x + t*v)>  at t = 0,    for random g and v

    Of each node, in this order: what its forward kernel gave, against the operator's own
    ``forward`` in float64, and that ``forward`` in the dtypes of the node against the same; each
    gradient rule, in float64, against differences along random directions, and in the dtypes of
    the node against itself in float64; the fused rule, every compiled ``<op>.vjp`` kernel that
    takes the case, and the rules with the kernels that their operators have, against the rules by
    the reference. So a fault is named where it is, and not where it shows. Residuals that were
    saved (a mask, the winners of a maximum) are compared as outputs are, and a rule that writes
    into what it was given is a fault.

    Differences are taken of every output by itself, at steps from 1e-3 to 1e-9 of the size of the
    inputs. Where an output has no slope that can be measured, near a kink or where rounding drowns
    it, it is left out, with the part of g that asks for it; the rest must agree. What differs is a
    fault if the slopes are linear in the direction, as those of a tie are not, and if fewer and
    fewer elements moved alone show it as well, as a sum over many kinks does not.

    A rule is found that is off by 1e-5 of its gradient, or in one element of an elementwise
    operator; one that gives NaN or infinity where the function has a finite slope; a kernel that is
    off by 2e-9 of its largest element in float64, by 2e-4 in float32; less may be rounding. So may
    be a difference of some units in the last place of the inputs: it counts if it is there at
    inputs of size 1, too.

    At a kink (relu at 0, max at a tie) a function has no derivative: the node is reported as a
    kink, and if all its outputs stand at one, its rule is checked at inputs shifted off it.

    A function is run once, and leaves parameters, buffers, ``.grad``, inputs and the state of the
    random numbers as they were; what it does inside your own ``retain_all()`` block stays done.

    Args:
        target: a function or module, called as ``target(*inputs, **kwargs)`` with a gradient for
            each floating input, also inside tuples, lists and dictionaries. Inputs count as
            leaves: what they were made from is not looked at. Or a Tensor (or several) whose graph
            was recorded inside ``with autograd.retain_all():``.
        seed: of the random g and v; the random numbers of the function are its own.

    Returns:
        A :class:`Report`.

    Raises:
        GraphError: the graph was recorded outside ``retain_all()``, there is none, or it has no
            values (meta).
        DTypeError: ``target`` is neither Tensors nor callable.

    Source: the random direction is that of HIPS autograd's ``check_grads``; Griewank and Walther,
    "Evaluating Derivatives" (SIAM 2008).

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Conv2d(1, 2, 3), tg.nn.Tanh())
    >>> verify(net, tg.rand(1, 1, 5, 5)).ok
    True
    >>> x = tg.ones(2, requires_grad=True)
    >>> try:
    ...     verify(x.exp())
    ... except tg.GraphError as error:
    ...     print(error.repair)
    Record it inside "with tg.autograd.retain_all():", or pass the function: verify(fn, *inputs).
    """
    start = None
    if any(True for _ in tensors_of(target)):
        if inputs or kwargs:
            raise ArgumentError(
                "verify", "a Tensor's graph is there already; inputs are for functions and modules"
            )
        results: Any = target
    elif callable(target):
        leaves, structure = flatten((inputs, kwargs))
        args, named = structure.rebuild([_variable(x) for x in leaves])
        start = clock.tick()
        with untouched(target, (inputs, kwargs)), grad_mode(True), retain_all():
            results = target(*args, **named)
    else:
        raise DTypeError(
            "verify", f"a Tensor, or a function and its inputs are needed, not {target!r:.60}"
        )
    found = [node for node in nodes(results) if start is None or node.stamp > start]
    if all(t.node is None for t in tensors_of(results)):
        raise GraphError(
            "verify",
            "there is no graph: nothing that asks for a gradient went into the result, or it was "
            "made under no_grad or detached",
            repair="Call requires_grad_() on an input, outside tg.no_grad().",
        )
    findings, checks = [], 0
    for number, node in enumerate(found):
        kept = kept_of(node)
        if kept is None:
            raise _not_kept(found)
        if any(isinstance(x, Spec) for x in kept.outputs):
            raise GraphError("verify", "a graph on the meta device has no values to check")
        verdicts = _replayed(node, kept, np.random.default_rng([seed, number]))
        checks += len(verdicts)
        findings += [Finding(v.kind, node, v.part, v.text) for v in verdicts if v.kind != "right"]
    return Report(findings, len(found), checks)


def _replayed(node: Node, kept: Kept, rng: np.random.Generator) -> list[Verdict]:
    """Every check of one node, on the arrays that were kept."""
    first = next(x for x in (*kept.inputs, *kept.outputs) if is_array(x))
    with on_device_of(first), np.errstate(all="ignore"), grad_mode(False), recording():
        try:
            with kernels.use("reference"):
                replay = Replay(node, kept, rng)
        except (TinygradError, ValueError, TypeError) as problem:
            text = f"it cannot be replayed: {str(problem).splitlines()[0]}"
            return [Verdict("open", "forward", text)]
        verdicts = [check_forward(replay)]
        known: dict[int, Any] = {}  # right gradients, by input
        for k in node.plan.needed:
            verdict, gradient = check_rule(replay, k)
            verdicts.append(verdict)
            if verdict.kind in ("right", "kink"):
                known[k] = gradient
        return [*verdicts, *check_served(replay, known)] if known else verdicts


def _variable(value: Any) -> Any:
    """A floating input without a gradient as one that asks for it."""
    if not isinstance(value, Tensor) or value.dtype.kind != "f" or value.requires_grad:
        return value
    return value.detach().requires_grad_()


def _not_kept(found: list[Node]) -> GraphError:
    missing = [node for node in found if kept_of(node) is None]
    first = missing[0]
    error = GraphError(
        "verify",
        f"this graph was recorded without retain_all: the values of {len(missing)} of its "
        f"{len(found)} nodes were not kept",
        repair='Record it inside "with tg.autograd.retain_all():", or pass the function: '
        "verify(fn, *inputs).",
        notes=[f"the first of them is {first.op.name}, which ran at {first.site}"],
    )
    first.blame(error)
    return error
