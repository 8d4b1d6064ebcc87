"""A profile in the Trace Event Format, which Perfetto and Chrome read.

Source: "Trace Event Format", the document of the Chromium project; times are in microseconds.
"""

from __future__ import annotations

import json
import os
from typing import Any

from tinygrad_cv.core.mode import Scope
from tinygrad_cv.profiler.record import Event, Recording, path_of

__all__ = ["to_json"]


def to_json(recording: Recording) -> str:
    """The text of the file: operators, and around those that follow each other in one module call
    a span of the module, so that spans always lie inside each other."""
    place = {"pid": os.getpid(), "tid": recording.thread}
    entries: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", **place, "args": {"name": "tinygrad_cv"}}
    ]
    order = sorted(
        zip(recording.events, recording.scopes, strict=True),
        key=lambda pair: (pair[0].start, pair[0].depth),
    )
    open_spans: list[tuple[tuple[str, Scope], dict[str, Any]]] = []
    for event, scope in order:
        if event.depth == 0:
            chain = [(event.phase, call) for call in _chain(scope)]
            same = 0
            for (phase, call), (key, _) in zip(chain, open_spans, strict=False):
                if (phase, id(call)) != (key[0], id(key[1])):
                    break
                same += 1
            del open_spans[same:]
            for phase, call in chain[same:]:
                span = _span(path_of(call), phase, event.start, {"type": call.kind})
                open_spans.append(((phase, call), span))
                entries.append(span | place)
                open_spans[-1] = ((phase, call), entries[-1])
            for _, span in open_spans:
                span["dur"] = _us(event.start + event.time) - span["ts"]
        entry = _span(event.operator, event.phase, event.start, _details(event))
        entries.append(entry | place | {"dur": _us(event.start + event.time) - entry["ts"]})
    return json.dumps({"traceEvents": entries, "displayTimeUnit": "ms"})


def _chain(scope: Scope | None) -> list[Scope]:
    """The module calls around an operator, the outermost first."""
    calls: list[Scope] = []
    while scope is not None:
        calls.append(scope)
        scope = scope.parent
    return calls[::-1]


def _span(name: str, phase: str, start: float, details: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "X", "name": name, "cat": phase, "ts": _us(start), "args": details}


def _details(event: Event) -> dict[str, Any]:
    return {
        "module": event.module,
        "shapes": [list(shape) for shape in event.shapes],
        "flops": event.flops,
        "output_bytes": event.output_bytes,
        "saved_bytes": event.saved_bytes,
        "kernel": event.kernel,
        "line": event.site,
    }


def _us(seconds: float) -> float:
    return round(1e6 * seconds, 3)
