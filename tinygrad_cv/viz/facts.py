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
    zeros: Count
    mean: float
    std: float


class Overlay(TypedDict):
    """What is shown; ``value`` is None where it was not measured."""

    name: str
    unit: str
    value: float | None
    parts: NotRequired[dict[str, float]]
    share: NotRequired[float | None]
    unmeasured: NotRequired[int]
    applies: NotRequired[bool]
    text: NotRequired[str]
    texts: NotRequired[list[str]]
    dead: NotRequired[int]
    known: NotRequired[bool]
    sizes: NotRequired[list[Pair]]


class Color(TypedDict):
    """The group that a colour scheme puts a node into."""

    scheme: str
    label: str
    hue: NotRequired[Hue]
    level: NotRequired[Level]


class Difference(TypedDict):
    """The mark of a comparison; of nodes that became one also how many had which."""

    mark: Mark
    lines: list[str]
    counts: NotRequired[dict[Mark, Count]]


class Facts(TypedDict, total=False):
    """All that has a meaning here; others may be added and are kept."""

    equation: str
    gradients: str
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
    storage: int
    storages: list[Pair]
    summed: int
    unmeasured: int
    live: dict[str, int]
    norms: dict[str, Norms]
    statistics: Statistics
    measured: dict[str, dict[str, float]]
    overlay: Overlay
    color: Color
    diff: Difference
