"""Rows of a profile as a table."""

from __future__ import annotations

from typing import Any

from tinygrad_cv.profiler.record import Event

__all__ = ["bytes_text", "number_text", "table_text"]


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
                *map(_time, times),
                f"{100 * row.time / whole:.1f} %",
                number_text(row.flops),
                number_text(row.flops / row.time if row.time else 0),
                bytes_text(row.output_bytes),
                bytes_text(row.saved_bytes),
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
    text.append(f"total: {_time(sum(e.time for e in events if e.depth == 0))}")
    if preparing:
        text.append(f"and {_time(preparing)} for compiling or loading kernels, once in a process")
    unknown = sum(e.flops is None and e.depth == 0 for e in events)
    if unknown:
        text.append(f"the FLOPs of {unknown} runs depend on values and are not counted")
    return "\n".join(text)


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.1f} us" if seconds < 1e-3 else f"{1e3 * seconds:.3f} ms"


def number_text(number: float) -> str:
    """A number in thousands, millions ...: 54, 1.05 M.

    >>> number_text(54), number_text(1048576)
    ('54', '1.05 M')
    """
    return _scaled(number, 1000, ("", " k", " M", " G", " T", " P"))


def bytes_text(number: float) -> str:
    """A number of bytes: 54 B, 1 MiB.

    >>> bytes_text(54), bytes_text(1048576)
    ('54 B', '1 MiB')
    """
    return _scaled(number, 1024, (" B", " KiB", " MiB", " GiB", " TiB", " PiB"))


def _scaled(number: float, step: int, units: tuple[str, ...]) -> str:
    k = 0
    while number >= step and k < len(units) - 1:
        number /= step
        k += 1
    return f"{number:.0f}{units[k]}" if k == 0 else f"{number:.3g}{units[k]}"
