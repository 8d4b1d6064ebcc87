"""Rows of a profile as a table."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.profiler.record import Event

__all__ = ["table_text"]


def table_text(rows: list[Any], limit: int | None, events: list[Event], preparing: float) -> str:
    """Rows by operator or by module, of a profile with these events, in which kernels were made
    ready for so many seconds."""
    whole = sum(e.time for e in events if e.depth == 0) or 1.0
    by_module = bool(rows) and hasattr(rows[0], "module")
    head = ["module", "type", "calls", "forward", "backward"] if by_module else []
    head = head or ["operator", "phase", "calls", "time"]
    head += ["share", "FLOPs", "FLOP/s", "output", "saved"] + ([] if by_module else ["kernel"])
    shown = rows if limit is None else rows[:limit]
    lines = [head]
    for row in shown:
        times = [row.forward, row.backward] if by_module else [row.time]
        lines.append(
            [
                *row[:2],
                f"{row.calls:,}",
                *(quantity(time, "s") for time in times),
                f"{100 * row.time / whole:.1f} %",
                _count(row.flops, "FLOPs"),
                _count(row.flops / row.time if row.time else 0, "FLOP/s"),
                quantity(row.output_bytes, "B"),
                quantity(row.saved_bytes, "B"),
                *([] if by_module else [row.kernel]),
            ]
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    left = (0, 1, len(head) if by_module else len(head) - 1)
    text = [
        "  ".join(
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    if len(shown) < len(rows):
        text.append(f"... and {len(rows) - len(shown)} more rows")
    text.append(f"total: {quantity(sum(e.time for e in events if e.depth == 0), 's')}")
    if preparing:
        time = quantity(preparing, "s")
        text.append(f"and {time} for compiling or loading kernels, once in a process")
    unknown = sum(e.flops is None and e.depth == 0 for e in events)
    if unknown:
        text.append(f"the FLOPs of {unknown} runs depend on values and are not counted")
    return "\n".join(text)


def _count(value: float, unit: str) -> str:
    """Without the unit, which heads the column."""
    return quantity(value, unit).removesuffix(unit).rstrip()
