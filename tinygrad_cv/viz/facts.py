"""What the facts of a node may be, as JSON has them: the types by which they are read."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from tinygrad_cv.viz.palette import HUES
from tinygrad_cv.viz.reading import Rule

__all__ = ["Facts"]

Count = Annotated[int, Rule("0 or more", lambda number: number >= 0)]
Pair = Annotated[list[int], Rule("a list of two", lambda pair: len(pair) == 2)]
Hue = Annotated[int, Rule(f"0 to {HUES - 1}", lambda number: 0 <= number < HUES)]
Level = Annotated[int, Rule("0 to 4", lambda number: 0 <= number < 5)]
Mark = Literal["added", "removed", "changed", "moved", "same"]
Norm = Literal["nan", "inf"] | float | None


class Norms(TypedDict):
    """Of a parameter or a result: the norms of its values and of its gradient."""

    name: str
    weight: NotRequired[Norm]
    grad: NotRequired[Norm]


class Statistics(TypedDict):
    """Of the values of an operator's results."""

    count: Count
    finite: Count
    nan: Count
    zeros: Count
    mean: float
    std: float


class Given(TypedDict):
    """A number of the user's, and how many of the operators that the node stands for have one."""

    value: float
    unit: str
    count: int


class Overlay(TypedDict):
    """What is shown; ``value`` is None where it was not measured."""

    name: str
    unit: str
    value: float | None
    texts: list[str]
    odd: bool
    share: float | None
    applies: bool
    unmeasured: int
    parts: NotRequired[dict[str, float]]
    dead: NotRequired[int]
    sizes: NotRequired[list[Pair]]
    difference: NotRequired[bool]
    before: NotRequired[float | None]
    after: NotRequired[float | None]


class Group(TypedDict):
    """The group that a colour scheme puts a node into."""

    scheme: Literal["operator", "dtype", "structure"]
    label: str
    hue: Hue


class Order(TypedDict):
    """The steps of the whole graph that a node stands for."""

    scheme: Literal["order"]
    label: str
    level: Level
    steps: Pair
    of: int


class Side(TypedDict, total=False):
    """What overlays have to know of a node in one of two graphs."""

    count: Count
    flops: int
    live: dict[str, int]
    measured: dict[str, dict[str, float]]
    norms: dict[str, Norms]
    output_bytes: int
    parameter_sizes: list[Pair]
    phase: Literal["forward", "backward"]
    saved_bytes: int
    statistics: Statistics
    unmeasured: int


class Difference(TypedDict):
    """The mark of a comparison; of nodes that became one also how many had which."""

    mark: Mark
    lines: list[str]
    counts: NotRequired[dict[Mark, Count]]
    before: NotRequired[Side]
    after: NotRequired[Side]


class Facts(TypedDict, total=False):
    """All that has a meaning here; others may be added and are kept."""

    equation: str
    gradients: str
    letters: dict[str, str]
    badges: tuple[str, ...]
    faults: int
    step: int
    steps: Pair
    kernel: str
    of: str
    explain: list[str]
    room: list[str]
    flops: int
    parameters: int
    parameter_sizes: list[Pair]
    operators: dict[str, int]
    saved_bytes: int
    saved_tensors: int
    recomputed: int
    storage: int
    storages: list[Pair]
    summed: int
    unmeasured: int
    live: dict[str, int]
    norms: dict[str, Norms]
    statistics: Statistics
    measured: dict[str, dict[str, float]]
    overlay: Overlay
    given: Given
    paths: list[str]
    color: Group | Order
    diff: Difference
