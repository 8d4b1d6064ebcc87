"""Where the time of a program goes: each operator and module, forward and backward.

>>> import tinygrad_cv as tg
>>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
>>> with tg.profile() as p:
...     net(tg.ones(2, 4)).sum().backward()
>>> for event in p.events:
...     print(event.phase, event.operator, event.flops, "in", event.module or "no module")
forward linear 54 in 0
forward relu 6 in 1
forward sum 6 in no module
backward sum 0 in no module
backward relu 12 in 1
backward linear 54 in 0
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, NamedTuple

from tinygrad_cv.backend import kernels
from tinygrad_cv.backend.units import quantity
from tinygrad_cv.core import mode
from tinygrad_cv.core.node import Node
from tinygrad_cv.errors import ArgumentError, DataError, GraphError
from tinygrad_cv.profiler.record import Event, Recording, path_of
from tinygrad_cv.profiler.text import table_text
from tinygrad_cv.profiler.trace import to_json

__all__ = ["Event", "ModuleRow", "OperatorRow", "profile"]


class OperatorRow(NamedTuple):
    """All runs of one operator in one phase, added up; ``kernel`` lists who served.

    >>> import tinygrad_cv as tg
    >>> with tg.profile() as p:
    ...     y = tg.ones(3).exp().exp()
    >>> row = p.by_operator()[0]
    >>> row.operator, row.calls, row.flops, row.output_bytes
    ('exp', 2, 6, 24)
    """

    operator: str
    phase: str
    calls: int
    time: float
    flops: int
    output_bytes: int
    saved_bytes: int
    kernel: str


class ModuleRow(NamedTuple):
    """What ran inside one module, modules below it included.

    ``calls`` counts the calls of the module in which an operator ran. ``forward`` and ``backward``
    are seconds, ``forward_flops`` and ``backward_flops`` operations; what a checkpoint computes
    again is a part of backward.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
    >>> with tg.profile() as p:
    ...     y = net(tg.ones(2, 4))
    >>> [(row.module, row.calls, row.forward_flops) for row in p.by_module("module")]
    [('0', 1, 54), ('1', 1, 6), ('Sequential', 1, 60)]
    """

    module: str
    kind: str
    calls: int
    forward: float
    backward: float
    forward_flops: int
    backward_flops: int
    output_bytes: int
    saved_bytes: int

    @property
    def time(self) -> float:
        """Seconds, forward and backward.

        >>> ModuleRow("0", "Linear", 1, 0.5, 1.0, 0, 0, 0, 0).time
        1.5
        """
        return self.forward + self.backward

    @property
    def flops(self) -> int:
        """Operations, forward and backward.

        >>> ModuleRow("0", "Linear", 1, 0.5, 1.0, 54, 36, 0, 0).flops
        90
        """
        return self.forward_flops + self.backward_flops


NUMBERS = ("time", "flops", "output_bytes", "saved_bytes", "calls")


class profile:  # noqa: N801  (PyTorch's name)
    """Time, FLOPs and bytes of every operator that this thread runs inside the block, forward and
    backward.

    Outside of a block nothing is measured, and the engine does nothing for it. Inside, an operator
    is measured from its arguments to its recorded result, and of a node the run of its gradient
    rules; neither the user's Python between them, nor the adding up of gradients that meet, nor the
    compiling and loading of kernels, which happens once (``preparing``). On a CUDA device each
    operator is waited for, so that its time is its own. A profile that is entered again goes on.

    Attributes:
        events: an :class:`Event` for each run, in the order in which they ended.

    Raises:
        GraphError: the same profile is entered while it runs.

    >>> import tinygrad_cv as tg
    >>> x = tg.ones(64, 64, requires_grad=True)
    >>> with tg.profile() as p:
    ...     (x @ x).relu().sum().backward()
    >>> row = p.by_operator("flops")[0]
    >>> row.operator, row.phase, row.flops == 2 * (2 * 64**3)  # dx has two parts
    ('matmul', 'backward', True)
    >>> print(p.table())  # doctest: +SKIP
    >>> p.export_chrome_trace("trace.json")  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._recording = Recording()
        self._blocks: ExitStack | None = None

    def __enter__(self) -> profile:
        if self._blocks is not None:
            raise GraphError(
                "profile", "this profile runs already", repair="Make another one: tg.profile()."
            )
        self._blocks = ExitStack()
        self._blocks.enter_context(mode.watching(self._recording))
        self._blocks.enter_context(kernels.watching(self._recording))
        return self

    def __exit__(self, *_: object) -> None:
        blocks, self._blocks = self._blocks, None
        self._recording.stop()
        if blocks is not None:
            blocks.close()

    @property
    def events(self) -> list[Event]:
        """An :class:`Event` for each run, in the order in which they ended.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3, requires_grad=True).exp().sum()
        ...     y.backward()
        >>> [(event.operator, event.phase) for event in p.events]
        [('exp', 'forward'), ('sum', 'forward'), ('sum', 'backward'), ('exp', 'backward')]
        """
        return self._recording.events

    @property
    def forwards(self) -> list[int | None]:
        """For each of ``events`` that is the gradient rules of an operator, the position of the
        event in which that operator ran; None for the others, and where the profile did not see it.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3, requires_grad=True).exp().sum()
        ...     y.backward()
        >>> p.forwards  # exp, sum, then the rules of sum and of exp
        [None, None, 1, 0]
        """
        return self._recording.forwards

    @property
    def preparing(self) -> float:
        """Seconds in which kernels were compiled, or loaded from the disk.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p, tg.use_kernels("reference"):
        ...     y = tg.ones(3).exp()
        >>> p.preparing
        0.0
        """
        return self._recording.preparing

    @property
    def time(self) -> float:
        """Seconds in all operators and rules.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3).exp()
        >>> p.time == p.events[0].time > 0
        True
        """
        return sum(event.time for event in self.events if event.depth == 0)

    def by_operator(self, sort_by: str = "time") -> list[OperatorRow]:
        """A row for each operator and phase.

        Args:
            sort_by: "time", "flops", "output_bytes", "saved_bytes", "calls" (the largest first),
                or "operator".

        Raises:
            ArgumentError: another ``sort_by``.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3, requires_grad=True).exp().sum()
        ...     y.backward()
        >>> [(row.operator, row.phase) for row in p.by_operator("operator")]
        [('exp', 'backward'), ('exp', 'forward'), ('sum', 'backward'), ('sum', 'forward')]
        """
        groups: dict[tuple[str, str], list[Event]] = {}
        for event in self.events:
            if event.depth == 0:
                groups.setdefault((event.operator, event.phase), []).append(event)
        rows = [
            OperatorRow(
                *key,
                len(events),
                sum(e.time for e in events),
                sum(e.flops or 0 for e in events),
                sum(e.output_bytes for e in events),
                sum(e.saved_bytes for e in events),
                ", ".join(sorted({e.kernel for e in events})),
            )
            for key, events in groups.items()
        ]
        return _sorted(rows, sort_by, "operator")

    def by_module(self, sort_by: str = "time") -> list[ModuleRow]:
        """A row for each module in which an operator ran, with all below it. Gradient rules belong
        to the module whose operator they are of.

        Args:
            sort_by: as for :meth:`by_operator`, with "module" in place of "operator".

        Raises:
            ArgumentError: another ``sort_by``.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
        >>> with tg.profile() as p:
        ...     net(tg.ones(2, 4)).sum().backward()
        >>> for row in p.by_module("module"):
        ...     print(row.module, row.kind, row.forward_flops, row.backward_flops)
        0 Linear 54 54
        1 ReLU 6 12
        Sequential Sequential 60 66
        """
        groups: dict[tuple[str, str], list[Event]] = {}
        calls: dict[tuple[str, str], set[int]] = {}
        for event, scope in zip(self.events, self._recording.scopes, strict=True):
            while event.depth == 0 and scope is not None:
                key = (path_of(scope), scope.kind)
                groups.setdefault(key, []).append(event)
                if event.phase != "recompute":
                    calls.setdefault(key, set()).add(id(scope))
                scope = scope.parent
        rows = []
        for key, events in groups.items():
            forward = [e for e in events if e.phase == "forward"]
            backward = [e for e in events if e.phase != "forward"]
            rows.append(
                ModuleRow(
                    *key,
                    len(calls.get(key, ())),
                    sum(e.time for e in forward),
                    sum(e.time for e in backward),
                    sum(e.flops or 0 for e in forward),
                    sum(e.flops or 0 for e in backward),
                    sum(e.output_bytes for e in events),
                    sum(e.saved_bytes for e in events),
                )
            )
        return _sorted(rows, sort_by, "module")

    def table(
        self, sort_by: str = "time", row_limit: int | None = 100, by: str = "operator"
    ) -> str:
        """The rows as text, with the share of all time, and FLOPs per second.

        Args:
            sort_by: as for :meth:`by_operator`.
            row_limit: how many rows; None for all.
            by: "operator" or "module".

        Raises:
            ArgumentError: another ``sort_by`` or ``by``, or a limit that is no positive integer.

        >>> import tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3).exp()
        >>> print(p.table().splitlines()[0])
        operator  phase    calls  time  share  FLOPs  FLOP/s  output  saved  kernel
        """
        if row_limit is not None and (type(row_limit) is not int or row_limit < 1):
            raise ArgumentError(
                "profile", f"row_limit is a positive integer or None, not {row_limit!r}"
            )
        if by not in ("operator", "module"):
            raise ArgumentError("profile", f'a table is by "operator" or "module", not {by!r}')
        rows: list[Any] = self.by_operator(sort_by) if by == "operator" else self.by_module(sort_by)
        return table_text(rows, row_limit, self.events, self.preparing)

    def values(self, of: str = "time", phase: str | None = None) -> dict[Node, float]:
        """One number for each node of the graph that is still alive, such as for colours in its
        picture.

        Args:
            of: "time", "flops", "output_bytes" or "saved_bytes".
            phase: "forward", "backward", "recompute", or None for all together.

        Raises:
            ArgumentError: another ``of`` or ``phase``.

        >>> import tinygrad_cv as tg
        >>> x = tg.ones(3, requires_grad=True)
        >>> with tg.profile() as p:
        ...     y = x.exp()
        >>> p.values("flops") == {y.grad_fn: 3}
        True
        """
        _check_of(of, phase)
        found: dict[Node, float] = {}
        for event, reference in zip(self.events, self._recording.nodes, strict=True):
            node = reference()
            if node is not None and phase in (None, event.phase):
                found[node] = found.get(node, 0) + (getattr(event, of) or 0)
        return found

    def call_values(
        self, of: str = "time", phase: str | None = None
    ) -> list[tuple[mode.Scope, float]]:
        """One number for each module call in which an operator ran, in the order of the first: the
        rows of :meth:`by_module` call by call, without the calls inside.

        Args and errors are those of :meth:`values`. A call is the ``scope`` of its nodes.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU())
        >>> with tg.profile() as p:
        ...     y = net(net[0](tg.ones(2, 4)) @ tg.ones(3, 4))
        >>> [(call.path, flops) for call, flops in p.call_values("flops")]
        [('Linear', 54), ('model.0 (Linear)', 54), ('model.1 (ReLU)', 6)]
        """
        _check_of(of, phase)
        found: dict[int, tuple[mode.Scope, float]] = {}
        for event, scope in zip(self.events, self._recording.scopes, strict=True):
            if scope is not None and event.depth == 0 and phase in (None, event.phase):
                before = found[id(scope)][1] if id(scope) in found else 0
                found[id(scope)] = (scope, before + (getattr(event, of) or 0))
        return list(found.values())

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a file for ui.perfetto.dev or chrome://tracing: modules enclose their
        operators, and a click shows shapes, FLOPs, bytes, kernel and line.

        Raises:
            DataError: the file cannot be written.

        >>> import json, tempfile, tinygrad_cv as tg
        >>> with tg.profile() as p:
        ...     y = tg.ones(3).exp()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     p.export_chrome_trace(f"{folder}/trace.json")
        ...     with open(f"{folder}/trace.json") as file:
        ...         events = json.load(file)["traceEvents"]
        >>> [event["name"] for event in events if event["ph"] == "X"]
        ['exp']
        """
        text = to_json(self._recording)
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as problem:
            raise DataError(
                "export_chrome_trace", f"{os.fspath(path)!r} cannot be written ({problem.strerror})"
            ) from None

    def __repr__(self) -> str:
        return f"<profile: {len(self.events)} runs, {quantity(self.time, 's')}>"


def _sorted(rows: list[Any], sort_by: str, name: str) -> list[Any]:
    if sort_by == name:
        return sorted(rows)
    if sort_by not in NUMBERS:
        raise ArgumentError(
            "profile",
            f"the rows cannot be sorted by {sort_by!r}",
            repair=f"They can be by {', '.join(map(repr, (*NUMBERS, name)))}.",
        )
    return sorted(rows, key=lambda row: -getattr(row, sort_by))


def _check_of(of: str, phase: str | None) -> None:
    if of not in NUMBERS[:-1]:
        raise ArgumentError(
            "profile", f"no values of {of!r}: there are {', '.join(map(repr, NUMBERS[:-1]))}"
        )
    if phase not in (None, "forward", "backward", "recompute"):
        raise ArgumentError(
            "profile", f'a phase is "forward", "backward", "recompute" or None, not {phase!r}'
        )
