"""A memory plan drawn as a timeline: the bytes that are alive after each step, by what they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any

from tinygrad_cv.backend.units import quantity, scale
from tinygrad_cv.errors import ArgumentError

__all__ = ["timeline"]

LEFT, RIGHT, TOP, BOTTOM = 64, 16, 56, 40
LETTER = 6.6  # about the width of a letter of 12 px
BOLD = 7.3
SMALLEST = {"width": 480, "height": 200}

LIGHT = {"page": "#ffffff", "ink": "#1f2328", "muted": "#4b535d", "grid": "#dde2e8"}
LIGHT |= {"back": "#f3f5f8", "saved": "#33618f", "gradients": "#d98a2b", "other": "#a9c3dd"}
LIGHT |= {"again": "#2c7a44", "peak": "#c01f1f"}
DARK = {"page": "#0f141a", "ink": "#e8edf2", "muted": "#b3bdc8", "grid": "#2c3642"}
DARK |= {"back": "#182029", "saved": "#5b93c9", "gradients": "#e0a04c", "other": "#2f4a66"}
DARK |= {"again": "#6cc487", "peak": "#ff8a80"}

# From the bottom to the top.
BANDS = (("saved", "saved for backward"), ("gradients", "gradients"), ("other", "other results"))


def timeline(plan: Any, width: int, height: int) -> str:
    """The text of an SVG: live bytes over steps, the peak marked and named.

    Raises:
        ArgumentError: too small for its text.
    """
    for name, size in (("width", width), ("height", height)):
        if type(size) is not int or size < SMALLEST[name]:
            raise ArgumentError(
                "to_svg", f"{name} is an integer of at least {SMALLEST[name]}, not {size!r}"
            )
    parts = _Chart(plan, width, height)
    title = f"live bytes after each of {len(plan.steps)} steps; peak {plan.peak_bytes:,} B"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" class="tg-memory"><title>{escape(title)}'
        f"</title><style>{_style()}</style>" + "".join(parts.drawn()) + "</svg>"
    )


def _style() -> str:
    def variables(colours: dict[str, str]) -> str:
        return ".tg-memory{" + ";".join(f"--m-{k}:{v}" for k, v in colours.items()) + "}"

    rules = [variables(LIGHT), "@media (prefers-color-scheme: dark){" + variables(DARK) + "}"]
    rules.append(".tg-memory text{font:12px Helvetica,Arial,sans-serif;fill:var(--m-muted)}")
    rules.append(".tg-memory .strong{fill:var(--m-ink);font-weight:600}")
    rules.append(".tg-memory .step{fill:transparent}")
    rules += [f".tg-memory .{name}{{fill:var(--m-{name})}}" for name in LIGHT]
    rules.append(".tg-memory .line{stroke:var(--m-grid);fill:none}")
    rules.append(".tg-memory .mark{stroke:var(--m-peak);fill:none;stroke-dasharray:4 3}")
    return "".join(rules)


class _Chart:
    def __init__(self, plan: Any, width: int, height: int) -> None:
        self.plan, self.width, self.height = plan, width, height
        self.unit, self.factor = scale(plan.peak_bytes, "B")
        self.tick = _nice(plan.peak_bytes / self.factor / 4)
        self.top = self.tick * (math.floor(plan.peak_bytes / self.factor / self.tick) + 1)
        self.step = (width - LEFT - RIGHT) / max(len(plan.steps), 1)

    def x(self, k: float) -> float:
        return LEFT + k * self.step

    def y(self, size: float) -> float:
        share = size / self.factor / self.top
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def drawn(self) -> Iterator[str]:
        yield _rect("page", 0, 0, self.width, self.height)
        yield from self._phases()
        yield from self._axis()
        yield from self._bands()
        yield from self._again()
        yield from self._peak()
        yield from self._legend()
        for k, step in enumerate(self.plan.steps):
            place = f" in {step.module}" if step.module else ""
            text = f"{k}: {step.operator} {step.phase}{place}, {step.live:,} B"
            text += f" ({step.saved:,} B saved, {step.gradients:,} B gradients)"
            box = _rect("step", self.x(k), TOP, self.step, self.height - TOP - BOTTOM, text)
            yield box

    def _phases(self) -> Iterator[str]:
        """Backward stands on a ground of its own; both are named below."""
        first = 0
        for backward, steps in groupby(self.plan.steps, lambda step: step.phase != "forward"):
            count = len(list(steps))
            x, wide = self.x(first), count * self.step
            if backward:
                yield _rect("back", x, TOP, wide, self.height - TOP - BOTTOM)
            name = "backward" if backward else "forward"
            if wide > BOLD * len(name):
                yield _text(x + wide / 2, self.height - 6, name, "strong", "middle")
            first += count

    def _axis(self) -> Iterator[str]:
        for k in range(round(self.top / self.tick) + 1):
            y = self.y(k * self.tick * self.factor)
            yield f'<path class="line" d="M{LEFT},{y:.1f}H{self.width - RIGHT}"/>'
            unit = f" {self.unit}" if k else ""
            yield _text(LEFT - 6, y + 4, f"{k * self.tick:.4g}{unit}", "", "end")
        apart = max(int(_nice(len(self.plan.steps) * 90 / (self.width - LEFT - RIGHT))), 1)
        for k in range(0, len(self.plan.steps), apart):
            text = "step 0" if k == 0 else str(k)
            x = self.x(k + 0.5)
            yield _text(x, self.height - BOTTOM + 16, text, "", "start" if k == 0 else "middle")

    def _bands(self) -> Iterator[str]:
        floor = [0] * len(self.plan.steps)
        for name, _ in BANDS:
            roof = [low + _part(step, name) for low, step in zip(floor, self.plan.steps)]  # noqa: B905
            if roof != floor:
                yield f'<path class="{name}" d="{self._outline(floor, roof)}"/>'
            floor = roof

    def _outline(self, floor: Sequence[int], roof: Sequence[int]) -> str:
        there = [f"{self.x(k):.2f},{self.y(v):.2f} {self.x(k + 1):.2f},{self.y(v):.2f}"
                 for k, v in enumerate(roof)]  # fmt: skip
        back = [f"{self.x(k + 1):.2f},{self.y(v):.2f} {self.x(k):.2f},{self.y(v):.2f}"
                for k, v in reversed(list(enumerate(floor)))]  # fmt: skip
        return "M" + " ".join(there + back) + "Z"

    def _again(self) -> Iterator[str]:
        """A strip on the axis where a checkpoint computes again."""
        for k, step in enumerate(self.plan.steps):
            if step.phase == "recompute":
                yield _rect("again", self.x(k), self.height - BOTTOM, self.step, 4)

    def _peak(self) -> Iterator[str]:
        if not self.plan.steps:
            return
        step, k = self.plan.steps[self.plan.peak], self.plan.peak
        x, y = self.x(k + 0.5), self.y(step.live)
        place = f" in {step.module}" if step.module else ""
        text = f"peak {quantity(step.live, 'B')}: step {k}, "
        text += f"{step.operator} {step.phase}{place}"
        text = _short(text, self.width - LEFT - RIGHT)
        wide = BOLD * len(text) / 2
        middle = min(max(x, LEFT + wide), self.width - RIGHT - wide)
        yield f'<path class="mark" d="M{x:.1f},{self.height - BOTTOM}V{TOP - 4}"/>'
        yield f'<circle class="peak" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield _text(middle, TOP - 10, text, "strong", "middle")

    def _legend(self) -> Iterator[str]:
        shown = [(n, t) for n, t in BANDS if any(_part(step, n) for step in self.plan.steps)]
        if any(step.phase == "recompute" for step in self.plan.steps):
            shown.append(("again", "computed again"))
        x = 8.0
        for name, text in shown:
            yield _rect(name, x, 10, 11, 11)
            yield _text(x + 16, 20, text, "", "start")
            x += 16 + LETTER * len(text) + 12


def _part(step: Any, name: str) -> int:
    if name == "other":
        return int(step.live - step.saved - step.gradients)
    return int(getattr(step, name))


def _nice(size: float) -> float:
    """1, 2 or 5 times a power of ten, at least ``size``."""
    power = 10.0 ** math.floor(math.log10(max(size, 1e-9)))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= size * (1 - 1e-9))


def _short(text: str, width: float) -> str:
    letters = int(width / BOLD)
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _rect(name: str, x: float, y: float, width: float, height: float, title: str = "") -> str:
    inside = f"><title>{escape(title)}</title></rect>" if title else "/>"
    colour = f' fill="{LIGHT[name]}"' if name in LIGHT else ""
    return (
        f'<rect class="{name}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" '
        f'height="{height:.2f}"{colour}{inside}'
    )


def _text(x: float, y: float, text: str, name: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{name}" text-anchor="{anchor}">{escape(text)}</text>'
    )
