"""Pictures of the figures: bars of the time relative to PyTorch's, or curves of a sweep.

    python tools/bench/plot.py results.json picture.svg

``python tools/bench --plot picture.svg`` draws the same after it has measured.
"""

from __future__ import annotations

import io
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import growth
from measure import by_round
from report import LABELS, quartiles

__all__ = ["picture"]

COLORS = {  # of Okabe and Ito, which the colour-blind can tell apart; greys for PyTorch
    "ours": "#0072b2",
    "ours_numpy": "#56b4e9",
    "ours_channels_last": "#332288",
    "torch": "#6e6e6e",
    "torch_channels_last": "#a9a9a9",
    "torch_compile": "#d55e00",
    "torch_compile_channels_last": "#e69f00",
    "jax": "#009e73",
    "tinygrad": "#cc79a7",
    "autograd": "#8c6d1f",
}
STYLE = {
    "svg.fonttype": "none",  # words stay words
    "svg.hashsalt": "bench",  # the same figures give the same file
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, BAR = 12.0, 0.17  # inches
LIMIT = 2.5  # longer bars are cut off: their number says how long they are

Row = dict[str, Any]


def picture(document: dict[str, Any]) -> str:
    """The SVG of the rows of a JSON file of the benchmark: curves if it holds a sweep, else bars.

    Raises:
        ValueError: there is nothing in it that can be drawn.
        ImportError: Matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("pictures need Matplotlib: pip install matplotlib") from error
    curves = growth.groups(document["rows"])
    rows = [row for row in document["rows"] if row["engines"].get("torch", {}).get("ms")]
    if not curves and not rows:
        raise ValueError("nothing to draw: bars need times of torch, curves a sweep")
    with matplotlib.rc_context(STYLE):
        figure = _curves(curves) if curves else _bars(rows)
        machine, versions = document["machine"], document["versions"]
        named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        where = f"{machine['cpu']}, {machine['cores']} cores; {document['date'][:10]}"
        where = f"{where}; commit {document['commit']}\n{named}".replace("$", r"\$")
        figure.supxlabel(where, x=0.01, ha="left", fontsize=8, color="#555555")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _figure(height: float, title: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


# Bars ---------------------------------------------------------------------------------------------


def _bars(rows: Sequence[Row]) -> Any:
    """A panel for each mode, two beside each other."""
    from matplotlib.patches import Patch

    engines = [n for n in LABELS if any(r["engines"].get(n, {}).get("ms") for r in rows)]
    panels = list(_panels(rows).items())
    pairs = [panels[k : k + 2] for k in range(0, len(panels), 2)]
    heights = [max(sum(map(_lines, members)) for _, members in pair) for pair in pairs]
    height = BAR * sum(heights) + 0.7 * len(pairs) + 1.2
    title = "Time relative to PyTorch's, median and quartiles: shorter is faster"
    figure = _figure(height, title)
    grid = figure.add_gridspec(len(pairs), 2, height_ratios=heights)
    for line, pair in enumerate(pairs):
        for column, (name, members) in enumerate(pair):
            axes = figure.add_subplot(grid[line, column])
            axes.set_title(name)
            _panel(axes, members, engines, heights[line])
    for axes in figure.axes:  # one scale for all
        axes.set_xlim(0, 1.25 * max(axes.dataLim.xmax for axes in figure.axes))
    marks = [Patch(color=COLORS[n], label=LABELS[n]) for n in engines]
    figure.legend(handles=marks, loc="outside upper right", ncols=len(marks), frameon=False)
    return figure


def _panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    names = {
        "train": "training step",
        "infer": "inference",
        "forward": "operators, forward",
        "backward": "operators, backward",
    }
    found: dict[str, list[Row]] = {name: [] for name in names.values()}
    for row in rows:
        small = row["workload"] == "small_ops"
        found.setdefault("small operators" if small else names[row["mode"]], []).append(row)
    return {name: members for name, members in found.items() if members}


def _lines(row: Row) -> int:
    """Bars of a workload, and the gap after them."""
    return 1 + sum(bool(entry.get("ms")) for entry in row["engines"].values())


def _panel(axes: Any, rows: Sequence[Row], engines: Sequence[str], height: int) -> None:
    """The groups of bars of one mode, one for each workload, from the top down."""
    top, middles = 0.0, []
    for row in rows:
        bars = [(engine, bar) for engine in engines if (bar := _bar(row, engine))]
        for place, (engine, (value, low, high)) in enumerate(bars):
            y, length = top + place, min(value, LIMIT)
            axes.barh(y, length, 0.86, color=COLORS[engine])
            if value <= LIMIT:
                axes.plot([low, min(high, LIMIT)], [y, y], color="#222222", linewidth=0.8)
            text = f"{'' if value <= LIMIT else '› '}{value:.2f} · {_time(row, engine)}"
            axes.text(
                max(length, min(high, LIMIT)) + 0.02, y, text, va="center", fontsize=7.5,
                color="#444444", bbox={"color": "white", "pad": 0.5},
            )  # fmt: skip
        middles.append(top + (len(bars) - 1) / 2)
        top += len(bars) + 1
    axes.axvline(1, color="#888888", linewidth=0.8, zorder=0)
    small = [row["mode"] if row["workload"] == "small_ops" else row["workload"] for row in rows]
    axes.set_yticks(middles, small)
    axes.set_ylim(height - 1, -0.9)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(length=0)


def _bar(row: Row, engine: str) -> tuple[float, float, float] | None:
    """Median and quartiles of the time relative to PyTorch's of the same round."""
    times = by_round(row["engines"].get(engine, {}), "ms")
    base = by_round(row["engines"]["torch"], "ms")
    if engine == "torch":  # its own spread
        return quartiles([time / statistics.median(base.values()) for time in base.values()])
    ratios = [times[turn] / base[turn] for turn in times if turn in base]
    return quartiles(ratios) if ratios else None


def _time(row: Row, engine: str) -> str:
    ms = statistics.median(row["engines"][engine]["ms"])
    if row["workload"] == "small_ops":
        return f"{ms * 10:.2f} µs"  # of one operator: a chain has 100
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


# Curves -------------------------------------------------------------------------------------------

COLUMNS = 3
ACROSS = {"batch": "images in a batch", "depth": "layers in a stage", "size": "pixels in an image"}


def _curves(found: dict[tuple[str, str, str], dict[str, Any]]) -> Any:
    """A pair of logarithmic axes for each network and sweep, with a curve per engine."""
    from matplotlib.ticker import LogLocator

    lines = math.ceil(len(found) / COLUMNS)
    title = "Time of a training step along a sweep; dashed lines grow in proportion"
    figure = _figure(3.4 * lines + 0.9, title)
    grid = figure.add_gridspec(lines, COLUMNS)
    for place, ((workload, _, sweep), curves) in enumerate(found.items()):
        axes = figure.add_subplot(grid[divmod(place, COLUMNS)])
        axes.set_title(workload)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for engine in (n for n in LABELS if n in curves):
            amounts, times = curves[engine]
            power = growth.exponent(amounts, times)
            grows = "" if power is None else f": exponent {power:.2f}"
            axes.plot(amounts, times, "o-", color=COLORS[engine], label=LABELS[engine] + grows)
        amounts, times = next(curves[n] for n in LABELS if n in curves)
        line = [times[-1] * amount / amounts[-1] for amount in amounts]
        axes.plot(amounts, line, color="#222222", linestyle="--", linewidth=0.8, zorder=0)
        axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g} ms")
        axes.grid(axis="y", color="#d0d0d0")
        axes.set_xlabel(ACROSS[sweep])
        axes.legend(frameon=False, fontsize=8)
    return figure


def main(arguments: Sequence[str]) -> int:
    """Draws a JSON file of the benchmark; the exit status."""
    if len(arguments) != 2:
        print("usage: python tools/bench/plot.py results.json picture.svg", file=sys.stderr)
        return 2
    source, result = map(Path, arguments)
    try:
        result.write_text(picture(json.loads(source.read_text())))
    except (OSError, ValueError, KeyError, ImportError) as error:
        print(f"{source} cannot be drawn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
