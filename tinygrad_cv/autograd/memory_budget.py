"""What to compute again so that a forward and backward fit into a budget of memory.

Candidates are modules, and runs of layers of a Sequential. Each is planned alone, exactly. Where
it keeps less memory, and what it needs when it runs again, then adds up over candidates that do
not overlap; so sets of them are compared without planning each, and only what is chosen is planned
once more.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_cv.autograd.recompute import checkpoint, in_order
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError

if TYPE_CHECKING:
    from tinygrad_cv.autograd.memory_plan import MemoryPlan

__all__ = ["Applied", "cheapest"]

Planned = Callable[[Sequence[str]], "MemoryPlan"]

RUNS = 500  # runs of one Sequential that are tried, at most
TRIES = 8  # how often a choice is planned anew because it takes more than its parts told
POWERS = (0.0, 0.5, 1.0)  # how much the price counts against the bytes, in a first choice


class Applied:
    """Modules under :func:`checkpoint`; ``remove()`` or the end of a ``with`` block takes it off.

    >>> import tinygrad_cv as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2))
    >>> with Applied(net, ["0"]):
    ...     y = net(tg.ones(1, 2))
    >>> list(y.grad_fn.saved)[0] is None  # the input will be computed again
    True
    """

    def __init__(self, model: Any, paths: Sequence[str]) -> None:
        known = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
        runs: dict[str, list[tuple[int, int]]] = {}
        for text in paths:
            path, run = _parsed(text)
            module = known.get(path)
            if module is None or (run and not (_is_chain(module) and run[1] <= len(module))):
                raise ArgumentError(
                    "plan_memory",
                    f"the model has no module {text!r}",
                    repair="Apply a plan to a model built as the one that was planned.",
                )
            runs.setdefault(path, []).extend([run] if run else [])
        self._before: list[tuple[dict[str, Any], Any]] = []
        for path in runs:
            there = known[path].__dict__.get("forward")
            if isinstance(there, functools.partial) and there.func in (checkpoint, _in_runs):
                raise ArgumentError(
                    "plan_memory",
                    f"{path!r} is computed again already",
                    repair="Remove what an earlier plan has applied first: handle.remove().",
                )
        for path, parts in runs.items():
            module = known[path]
            self._before.append((module.__dict__, module.__dict__.get("forward")))
            forward = functools.partial(_in_runs, module, tuple(sorted(parts)))
            if not parts:
                forward = functools.partial(checkpoint, module.forward)
            module.__dict__["forward"] = forward

    def remove(self) -> None:
        """Take it off; a second time does nothing.

        >>> import tinygrad_cv as tg
        >>> net = tg.nn.Sequential(tg.nn.Linear(2, 2))
        >>> Applied(net, ["0"]).remove()
        >>> "forward" in vars(net[0])
        False
        """
        while self._before:
            place, forward = self._before.pop()
            place.pop("forward")
            if forward is not None:
                place["forward"] = forward

    def __enter__(self) -> Applied:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _in_runs(module: Any, runs: Sequence[tuple[int, int]], input: Any) -> Any:
    """The forward of a Sequential, some runs of its layers under :func:`checkpoint`."""
    layers, done = list(module), 0
    for first, last in runs:
        input = in_order(layers[done:first])(input)
        input = checkpoint(in_order(layers[first:last]), input)
        done = last
    return in_order(layers[done:])(input)


def _parsed(text: str) -> tuple[str, tuple[int, int] | None]:
    found = re.fullmatch(r"(.*)\[(\d+):(\d+)\]", text)
    return (text, None) if found is None else (found[1], (int(found[2]), int(found[3])))


def _is_chain(module: Any) -> bool:
    """True for a Sequential: its layers run one after the other."""
    chain = getattr(type(module), "_in_order", None)
    return chain is not None and type(module).forward is chain


# Candidates ---------------------------------------------------------------------------------------


def _candidates(model: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """(path or run of a path, the paths of all modules inside)."""
    modules = list(model.named_modules()) if callable(getattr(model, "named_modules", None)) else []
    inside = {
        path: frozenset(p for p, _ in modules if not path or f"{p}.".startswith(f"{path}."))
        for path, _ in modules
    }
    for path, module in modules:
        if path:
            yield path, inside[path]
        if _is_chain(module):
            names = [f"{path}.{name}" if path else name for name in module._modules]
            for first, last in _runs(len(names)):
                parts = (inside.get(name, frozenset()) for name in names[first:last])
                yield f"{path}[{first}:{last}]", frozenset().union(*parts)


def _runs(count: int) -> list[tuple[int, int]]:
    """All runs of 2 to ``count`` layers of a chain; of a long chain only some lengths."""
    lengths = list(range(2, count + 1))
    while len(lengths) > 2 and sum(count - n + 1 for n in lengths) > RUNS:
        lengths = lengths[: len(lengths) // 2] + lengths[len(lengths) // 2 :: 2]
        if lengths[-1] - lengths[-2] > count // 4:
            lengths.pop()
    return [(first, first + n) for n in lengths for first in range(count - n + 1)]


class _Part(NamedTuple):
    """What one candidate does alone."""

    path: str
    inside: frozenset[str]
    price: float
    less: Any  # bytes that it saves after each step of the plain plan
    after: Any  # for each step of its second run, the number of the plain step before it
    live: Any  # and what is alive then


def _part(path: str, inside: frozenset[str], plain: MemoryPlan, alone: MemoryPlan) -> _Part | None:
    """None for what does not do the same steps as before, or never saves anything."""
    before = [step.live for step in plain.steps]
    here: list[int] = []
    after: list[int] = []
    live: list[int] = []
    for step in alone.steps:
        if step.phase == "recompute":
            after.append(max(len(here) - 1, 0))
            live.append(step.live)
        else:
            here.append(step.live)
    if len(here) != len(before):
        return None
    less = np.subtract(before, here)
    if less.max(initial=0) <= 0:
        return None
    return _Part(path, inside, alone.recompute_price, less, np.array(after, int), np.array(live))


# The choice ---------------------------------------------------------------------------------------


class _Search:
    """Sets of candidates that do not overlap, by their numbers."""

    def __init__(self, plain: MemoryPlan, parts: list[_Part]) -> None:
        self.parts = parts
        self.plain = np.array([step.live for step in plain.steps])
        self.prices = np.array([part.price for part in parts], float)
        self.less = np.array([part.less for part in parts]).reshape(len(parts), len(self.plain))
        longest = max((len(part.live) for part in parts), default=0)
        self.after = np.zeros((len(parts), longest), int)  # padded with what needs nothing
        self.live = np.zeros((len(parts), longest), int)
        for k, part in enumerate(parts):
            self.after[k, : len(part.live)], self.live[k, : len(part.live)] = part.after, part.live
        self.apart = np.array(
            [[not a.inside & b.inside for b in parts] for a in parts], bool
        ).reshape(len(parts), len(parts))

    def excess(self, chosen: frozenset[int], limit: int) -> float:
        """Bytes above the limit, added up over all steps."""
        return float(np.maximum(self._live(chosen) - limit, 0).sum())

    def with_one_more(self, chosen: frozenset[int], limit: int) -> Any:
        """The same for ``chosen`` and each of all candidates; infinite where they overlap."""
        saved = self.less[sorted(chosen)].sum(0)
        found = _above(self.plain - saved - self.less, limit)
        found += _above(self.live - saved[self.after], limit)
        for k in chosen:
            after, live = self.parts[k].after, self.parts[k].live
            found += _above(live - (saved - self.less[k])[after] - self.less[:, after], limit)
        return np.where(self._free(chosen), found, np.inf)

    def peak(self, chosen: frozenset[int]) -> int:
        return int(self._live(chosen).max(initial=0))

    def price(self, chosen: frozenset[int]) -> float:
        return sum(self.parts[k].price for k in sorted(chosen))

    def _live(self, chosen: frozenset[int]) -> Any:
        numbers = sorted(chosen)
        saved = self.less[numbers].sum(0)
        parts = (self.parts[k] for k in numbers)
        again = [p.live - (saved - p.less)[p.after] for p in parts]
        return np.concatenate([self.plain - saved, *again])

    def _free(self, chosen: frozenset[int]) -> Any:
        """What overlaps with nothing that is chosen."""
        return self.apart[sorted(chosen)].all(0)

    def best(self, limit: int) -> frozenset[int] | None:
        """The cheapest set that is found to stay below the limit."""
        starts = dict.fromkeys(self._greedy(limit, power) for power in POWERS)
        found = [self._improved(s, limit) for s in starts if not self.excess(s, limit)]
        return min(found, key=lambda s: (self.price(s), sorted(s)), default=None)

    def _greedy(self, limit: int, power: float) -> frozenset[int]:
        chosen: frozenset[int] = frozenset()
        least = self.prices[self.prices > 0].min(initial=np.inf)
        weights = np.maximum(self.prices, least if least < np.inf else 1.0) ** power
        while self.parts and (now := self.excess(chosen, limit)):
            gains = (now - self.with_one_more(chosen, limit)) / weights
            best = int(gains.argmax())
            if gains[best] <= 0:
                break
            chosen |= {best}
        return chosen

    def _improved(self, chosen: frozenset[int], limit: int) -> frozenset[int]:
        """Left out what it can do without; then one, or two, exchanged for one that costs less."""
        while (cheaper := self._cheaper(chosen, limit)) is not None:
            chosen = cheaper
        return chosen

    def _cheaper(self, chosen: frozenset[int], limit: int) -> frozenset[int] | None:
        by_price = sorted(chosen, key=lambda k: (-self.parts[k].price, k))
        for k in by_price:
            if not self.excess(chosen - {k}, limit):
                return chosen - {k}
        smaller = [chosen - {k} for k in by_price]
        smaller += [chosen - {a, b} for i, a in enumerate(by_price) for b in by_price[:i]]
        for rest in smaller:
            spare = self.price(chosen) - self.price(rest)
            fits = (self.with_one_more(rest, limit) == 0) & (self.prices < spare * (1 - 1e-9))
            if fits.any():
                return rest | {int(np.where(fits, self.prices, np.inf).argmin())}
        return None

    def least(self) -> frozenset[int]:
        """The set with the smallest peak that is found, at any price."""
        found: frozenset[int] = frozenset()
        low, high = 0, self.peak(found)
        while high - low > 1:
            middle = (low + high) // 2
            here = [s for p in POWERS if not self.excess(s := self._greedy(middle, p), middle)]
            if not here:
                low = middle
            else:
                found = min(here, key=lambda s: (self.peak(s), self.price(s)))
                high = self.peak(found)
        return found


def _above(live: Any, limit: int) -> Any:
    return np.maximum(live - limit, 0).sum(-1)


def cheapest(model: Any, budget: int, planned: Planned) -> MemoryPlan:
    """The plan that keeps the budget at the least price that is found.

    Raises:
        ArgumentError: none does; the message says what the least is.
    """
    plain = planned(())
    if plain.total_bytes <= budget:
        return plain
    parts = []
    for path, inside in _candidates(model):
        try:
            part = _part(path, inside, plain, planned((path,)))
        except (GraphError, DTypeError):  # it writes into its input, or returns no tensors
            continue
        parts += [part] if part is not None else []
    search = _Search(plain, parts)
    limit = budget - plain.held_bytes
    for _ in range(TRIES):  # what candidates share, such as the memory of a view, adds up wrongly
        chosen = search.best(limit)
        if chosen is None:
            break
        plan = planned([parts[k].path for k in sorted(chosen)])
        if plan.total_bytes <= budget:
            return plan
        limit -= plan.total_bytes - budget
    least = planned([parts[k].path for k in sorted(search.least())])
    smallest = min(least.total_bytes, plain.total_bytes)
    if smallest <= budget:
        return least
    raise ArgumentError(
        "plan_memory",
        f"a budget of {budget:,} B cannot be kept",
        values=[
            ("the least that was found", f"{smallest:,} B"),
            ("of it parameters, buffers and inputs", f"{plain.held_bytes:,} B"),
        ],
        repair="Use a smaller batch, or give the network modules around several layers: "
        "each can be computed again from its inputs."
        if callable(getattr(model, "named_modules", None))
        else "Give plan_memory a module, whose forward returns the loss: of a function no parts "
        "are known that could be computed again.",
    )
