"""Pictures of the figures: bars of the time relative to PyTorch's, or curves of a sweep.

    python tools/bench/plot.py results.json picture.svg

``python tools/bench --plot picture.svg`` draws the same after it has measured.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import growth
import targets
from measure import by_round
from report import LABELS, quartiles
from svg import Canvas

__all__ = ["picture"]

COLORS = {  # of Okabe and Ito, which the colour-blind can tell apart; greys for PyTorch
    "ours": "#0072b2",
    "ours_numpy": "#56b4e9",
    "torch": "#6e6e6e",
    "torch_channels_last": "#a9a9a9",
    "torch_compile": "#d55e00",
    "torch_compile_channels_last": "#e69f00",
    "jax": "#009e73",
    "tinygrad": "#cc79a7",
    "autograd": "#8c6d1f",
}
INK, FAINT, TARGET = "#222222", "#d0d0d0", "#c00000"
WIDTH, MARGIN = 940.0, 20.0
BAR, GAP, HEAD = 13.0, 10.0, 46.0  # height of a bar, between groups, above a panel
LIMIT = 2.5  # longer bars are cut off: their number says how long they are


def picture(document: dict[str, Any]) -> str:
    """The SVG of the rows of a JSON file of the benchmark: curves if it holds a sweep, else bars.

    Raises:
        ValueError: there is nothing in it that can be drawn.
    """
    canvas = Canvas(WIDTH)
    curves = growth.groups(document["rows"])
    if curves:
        bottom = _curves(canvas, curves)
    else:
        rows = [row for row in document["rows"] if row["engines"].get("torch", {}).get("ms")]
        if not rows:
            raise ValueError("nothing to draw: bars need times of torch, curves a sweep")
        bottom = _bars(canvas, rows)
    machine, versions = document["machine"], document["versions"]
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    where = f"{machine['cpu']}, {machine['cores']} cores; {document['date'][:10]}"
    canvas.text(MARGIN, bottom + 18, f"{where}; commit {document['commit']}", 11, "#555555")
    canvas.text(MARGIN, bottom + 33, named, 11, "#555555")
    return canvas.document(bottom + 47)


# Bars ---------------------------------------------------------------------------------------------


def _bars(canvas: Canvas, rows: Sequence[dict[str, Any]]) -> float:
    """A panel for each mode, two in a row; returns where they end."""
    engines = [n for n in LABELS if any(r["engines"].get(n, {}).get("ms") for r in rows)]
    canvas.text(MARGIN, 30, "Time relative to PyTorch: shorter is faster", 16, bold=True)
    _legend(canvas, engines, 50, any(targets.limits(row) for row in rows))
    right, top, end = False, 62.0, 62.0
    for name, members in _panels(rows):
        left = WIDTH / 2 if right else 0.0
        end = max(end, _panel(canvas, left, top, name, members, engines))
        top = end if right else top
        right = not right
    return end


def _panels(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    names = {
        "train": "training step",
        "infer": "inference",
        "forward": "operators, forward",
        "backward": "operators, backward",
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for row in rows:
        small = row["workload"] == "small_ops"
        found.setdefault("small operators" if small else names[row["mode"]], []).append(row)
    return [(name, members) for name, members in found.items() if members]


def _legend(canvas: Canvas, engines: Sequence[str], y: float, aims: bool) -> None:
    x = MARGIN
    for name in engines:
        canvas.bar(x, y - 9, 10, 10, COLORS[name])
        canvas.text(x + 15, y, LABELS[name])
        x += 28 + 6.6 * len(LABELS[name])
    if aims:
        canvas.line([(x + 5, y - 10), (x + 5, y + 2)], TARGET, 2, "3 2")
        canvas.text(x + 13, y, "aim of ours")


def _panel(
    canvas: Canvas,
    left: float,
    top: float,
    name: str,
    rows: Sequence[dict[str, Any]],
    engines: Sequence[str],
) -> float:
    """The groups of bars of one mode, one for each workload; returns where they end."""
    labels = [row["mode"] if row["workload"] == "small_ops" else row["workload"] for row in rows]
    start = left + MARGIN + 12 + 6.4 * max(map(len, labels))
    bars = [[_bar(row, engine) for engine in engines] for row in rows]
    longest = max(bar[2] for group in bars for bar in group if bar)
    scale = (left + WIDTH / 2 - MARGIN - 92 - start) / min(max(longest, 1.0), LIMIT)
    canvas.text(left + MARGIN, top + 26, name, 14, bold=True)
    heights = [sum(bar is not None for bar in group) * BAR + GAP for group in bars]
    end = top + HEAD + sum(heights)
    for value in (0.0, 1.0):
        x = start + value * scale
        canvas.line([(x, top + HEAD - 5), (x, end - GAP + 5)], "#888888")
        canvas.text(x, top + HEAD - 8, f"{value:g}", 10, "#555555", "middle")
    y = top + HEAD
    for row, label, group, height in zip(rows, labels, bars, heights, strict=True):
        canvas.text(start - 8, y + (height - GAP) / 2 + 4, label, anchor="end")
        _group(
            canvas, start, y, scale, row, {n: b for n, b in zip(engines, group, strict=True) if b}
        )
        y += height
    return end


def _group(
    canvas: Canvas,
    start: float,
    top: float,
    scale: float,
    row: dict[str, Any],
    bars: dict[str, tuple[float, float, float]],
) -> None:
    """The bars of one workload with their whiskers, the aim across them, and their numbers."""
    numbers = []
    for place, (engine, (value, low, high)) in enumerate(bars.items()):
        y = top + place * BAR
        length, reach = min(value, LIMIT) * scale, min(high, LIMIT) * scale
        canvas.bar(start, y + 1, length, BAR - 2, COLORS[engine])
        if value <= LIMIT:
            middle = y + BAR / 2
            canvas.line([(start + low * scale, middle), (start + reach, middle)], INK)
        ms = statistics.median(row["engines"][engine]["ms"])
        cut = "› " if value > LIMIT else ""
        numbers.append((start + max(length, reach) + 5, f"{cut}{value:.2f} · {_time(row, ms)}"))
    aim = targets.limits(row).get("ours/torch")
    if aim is not None:
        x = start + aim * scale
        canvas.line([(x, top - 3), (x, top + len(bars) * BAR + 3)], TARGET, 1.5, "3 2")
    for place, (x, number) in enumerate(numbers):
        canvas.text(x, top + (place + 1) * BAR - 3, number, 10, "#444444", rim=True)


def _bar(row: dict[str, Any], engine: str) -> tuple[float, float, float] | None:
    """Median and quartiles of the time relative to PyTorch's of the same round."""
    times = by_round(row["engines"].get(engine, {}), "ms")
    base = by_round(row["engines"]["torch"], "ms")
    if engine == "torch":  # its own spread
        return quartiles([time / statistics.median(base.values()) for time in base.values()])
    ratios = [times[turn] / base[turn] for turn in times if turn in base]
    return quartiles(ratios) if ratios else None


def _time(row: dict[str, Any], ms: float) -> str:
    if row["workload"] == "small_ops":
        return f"{ms * 10:.2f} us"  # of one operator: a chain has 100
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


# Curves -------------------------------------------------------------------------------------------

COLUMNS, HEIGHT = 3, 250.0
ACROSS = {"batch": "images in a batch", "depth": "layers in a stage", "size": "pixels in an image"}


def _curves(canvas: Canvas, found: dict[tuple[str, str, str], dict[str, Any]]) -> float:
    """A pair of logarithmic axes for each network and sweep; returns where they end."""
    title = "Time of a training step along a sweep; dashed lines grow in proportion"
    canvas.text(MARGIN, 30, title, 16, bold=True)
    engines = [n for n in LABELS if any(n in curves for curves in found.values())]
    cell = (WIDTH - 2 * MARGIN) / COLUMNS
    under = 15.0 * len(engines) + 22
    for place, ((workload, _, sweep), curves) in enumerate(found.items()):
        left = MARGIN + place % COLUMNS * cell
        top = 44 + place // COLUMNS * (HEIGHT + under)
        _axes(canvas, left, top, cell, f"{workload}: {ACROSS[sweep]}", curves)
    return 44 + math.ceil(len(found) / COLUMNS) * (HEIGHT + under)


def _axes(
    canvas: Canvas, left: float, top: float, width: float, name: str, curves: dict[str, Any]
) -> None:
    """One pair of axes with a curve per engine, and the exponents below."""
    canvas.text(left, top + 18, name, 14, bold=True)
    across = [a for amounts, _ in curves.values() for a in amounts]
    up = [t for _, times in curves.values() for t in times]
    low, high = 10 ** math.floor(math.log10(min(up))), 10 ** math.ceil(math.log10(max(up)))
    if low == high:
        high *= 10
    x0, x1, y0, y1 = left + 54, left + width - 18, top + HEIGHT - 24, top + 32

    def x_of(amount: float) -> float:
        part = math.log(amount / min(across)) / max(math.log(max(across) / min(across)), 1e-9)
        return x0 + part * (x1 - x0)

    def y_of(ms: float) -> float:
        return y0 + math.log(ms / low) / math.log(high / low) * (y1 - y0)

    decades = round(math.log10(high / low))
    for ms in (low * 10**power for power in range(decades + 1)):
        canvas.line([(x0, y_of(ms)), (x1, y_of(ms))], FAINT)
        canvas.text(x0 - 5, y_of(ms) + 4, f"{ms:g} ms", 10, "#555555", "end")
    for amount in sorted(set(across)):
        canvas.line([(x_of(amount), y0), (x_of(amount), y0 + 4)], "#888888")
        canvas.text(x_of(amount), y0 + 16, f"{amount:g}", 10, "#555555", "middle")
    for place, engine in enumerate(n for n in LABELS if n in curves):
        amounts, times = curves[engine]
        if place == 0:  # in proportion, through the last point, as far as the axes go
            first = max(min(amounts), amounts[-1] * low / times[-1])
            ends = [(a, times[-1] * a / amounts[-1]) for a in (first, amounts[-1])]
            canvas.line([(x_of(a), y_of(t)) for a, t in ends], INK, 1, "5 4")
        points = [(x_of(a), y_of(t)) for a, t in zip(amounts, times, strict=True)]
        canvas.line(points, COLORS[engine], 2)
        for x, y in points:
            canvas.dot(x, y, COLORS[engine])
        power = growth.exponent(amounts, times)
        grows = "" if power is None else f": exponent {power:.2f}"
        y = top + HEIGHT + 14 + 15 * place
        canvas.bar(x0, y - 9, 10, 10, COLORS[engine])
        canvas.text(x0 + 15, y, LABELS[engine] + grows, 11)


def main(arguments: Sequence[str]) -> int:
    """Draws a JSON file of the benchmark; the exit status."""
    if len(arguments) != 2:
        print("usage: python tools/bench/plot.py results.json picture.svg", file=sys.stderr)
        return 2
    source, result = map(Path, arguments)
    try:
        result.write_text(picture(json.loads(source.read_text())))
    except (OSError, ValueError, KeyError) as error:
        print(f"{source} cannot be drawn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
