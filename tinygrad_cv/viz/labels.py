"""The texts of a picture: what a node, an edge, a cluster and the legend say, as lines of plain
text.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from tinygrad_cv.viz.coloring import color_legend
from tinygrad_cv.viz.marks import mark_lines, mark_of, sign
from tinygrad_cv.viz.model import Cluster, FoldedTensor, GraphModel, GraphNode, TensorInfo
from tinygrad_cv.viz.overlay import legend, overlay_lines

__all__ = [
    "Line",
    "bytes_text",
    "clean",
    "cluster_lines",
    "cluster_text",
    "legend_lines",
    "node_lines",
    "shape_text",
    "short_attributes",
    "tensor_text",
    "text_width",
]

MAX_LINE = 64  # characters of one drawn line; the full text is in the node's title


_PLAIN = re.compile("[ -~×→…─╌┈]*")


class Line(NamedTuple):
    """A drawn line and how it is set: "name", "fact", "tensor", "equation" or "error"."""

    text: str
    style: str = "fact"


def clean(text: str, limit: int | None = None) -> str:
    """One line that every engine and XML parser takes: no control, format or surrogate characters,
    no line breaks.
    """
    if limit is not None and len(text) > 4 * limit:
        text = text[: 4 * limit]  # hostile names may be long; the rest would be cut below anyway
    if _PLAIN.fullmatch(text) is None:
        text = "".join(_visible(c) for c in text)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text


def _visible(character: str) -> str:
    if character in "\n\r\t\v\f\x85\u2028\u2029":
        return " "
    category = unicodedata.category(character)
    if category == "Cn" or category in ("Cc", "Cs", "Co"):
        return "\N{REPLACEMENT CHARACTER}"
    # Joiners shape emoji and scripts; other format characters can turn the reading direction of a
    # whole line.
    if category == "Cf" and character not in "\u200c\u200d":
        return ""
    return character


def shape_text(shape: Sequence[int] | None) -> str:
    """``64×3×28×28``; "scalar" for no axes, "?" where the shape is not known."""
    if shape is None:
        return "?"
    return "×".join(map(str, shape)) if shape else "scalar"


def tensor_text(tensor: TensorInfo, name: bool = False) -> str:
    """``64×3×28×28 float32``, with the name before it if asked."""
    text = (
        f"{shape_text(tensor.shape)} {tensor.dtype}" if tensor.dtype else shape_text(tensor.shape)
    )
    return f"{tensor.name} {text}" if name and tensor.name else text


def count_text(tensor: TensorInfo) -> str:
    """``6×1×5×5 = 150``: shape and number of elements of a parameter."""
    shape = shape_text(tensor.shape)
    return (
        f"{shape} = {tensor.size:,}"
        if tensor.shape is not None and len(tensor.shape) > 1
        else shape
    )


def bytes_text(count: int) -> str:
    """``1.3 MB``, in powers of ten as storage is sold.

    >>> bytes_text(999), bytes_text(1000), bytes_text(12_345_678)
    ('999 bytes', '1 kB', '12.3 MB')
    """
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    return _scaled(count, "kB", "MB", "GB", "TB")


def _scaled(count: int, *units: str) -> str:
    power = min(len(units), int(math.log10(count) // 3))
    value = count / 1000**power
    if f"{value:.3g}" in ("1e+03", "1000") and power < len(units):  # 999,999 is 1 MB, not 1000 kB
        power, value = power + 1, 1.0
    return f"{value:.3g} {units[power - 1]}"


def flops_text(count: int) -> str:
    """``84.6 MFLOPs``."""
    return (
        f"{count} FLOPs" if count < 1000 else _scaled(count, "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs")
    )


_SHORT = {"kernel_size": "k", "stride": "s", "padding": "p", "dilation": "d", "groups": "g"}
# Attributes that say nothing with these values; they stand in the title of the node all the same.
_SILENT = {
    "padding": ("0",),
    "dilation": ("1",),
    "groups": ("1",),
    "ignore_index": ("-100",),
    "reduction": ("mean",),
    "label_smoothing": ("0",),
    "shared": ("0",),
}
_HIDDEN = ("eps", "draw")  # numerical guards, and what identifies a random draw


def short_attributes(node: GraphNode) -> str:
    """``k3 s2 p1``: the geometry in the field's letters, then other attributes that are set."""
    geometry, others = [], []
    attributes = dict(node.attributes)
    kernel = node.facts.get("kernel")
    if kernel and "kernel_size" not in attributes:
        attributes = {"kernel_size": str(kernel), **attributes}
    for name, text in attributes.items():
        if name in _SHORT:
            value = _geometry(text)
            if value not in _SILENT.get(name, ()):
                geometry.append(_SHORT[name] + value)
        elif name in _HIDDEN or text in _SILENT.get(name, ()):
            continue
        elif text not in ("None", "False", "()", ""):
            bare = {"True": name}.get(text, f"{name}={text}")
            others.append(text if name == "key" else bare)
    return " ".join(geometry + [clean(o, 24) for o in others[:3]]) + (
        " …" if len(others) > 3 else ""
    )


def _geometry(text: str) -> str:
    """(3, 3) -> 3, (1, 2) -> 1x2, ((1, 1), (1, 1)) -> 1."""
    numbers = [part.strip(" ()[],") for part in text.split(",")]
    numbers = [n for n in numbers if n]
    if len(set(numbers)) == 1:
        return numbers[0]
    return "×".join(numbers)


def node_lines(node: GraphNode) -> list[Line]:
    """What is written in the box of a node, top to bottom."""
    if node.kind == "op":
        lines = _operator_lines(node)
    elif node.kind == "saved":
        lines = _saved_lines(node)
    else:
        lines = _tensor_lines(node)
    lines[0] = Line(sign(mark_of(node)) + lines[0].text, lines[0].style)
    lines += [Line(text) for text in (*mark_lines(node), *overlay_lines(node))]
    lines += [Line(text, "equation") for text in node.facts.get("explain", ())]
    if node.error:
        lines += [Line(text, "error") for text in _wrap("failed: " + node.error, 44, 4)]
    lines += [Line(text) for text in node.facts.get("room", ())]  # the viewer fills it
    return [Line(clean(text, MAX_LINE), style) for text, style in lines]


def _operator_lines(node: GraphNode) -> list[Line]:
    backward = node.phase == "backward"
    if "operators" in node.facts:  # a collapsed block
        name = node.title or ("…" if node.name == "..." else node.name)
        lines = [Line(name + (" backward" if backward else ""), "name")]
        parts = [_plural(node.count, "operator")]
        if node.facts.get("parameters"):
            parts.append(f"{node.facts['parameters']:,} parameters")
        lines.append(Line(", ".join(parts)))
        lines += _kinds_lines(node)
    elif backward:
        lines = [Line(f"{node.name} backward", "name")]
        if node.title:
            lines.append(Line(node.title))
        if node.facts.get("summed"):
            lines.append(Line(f"g = sum of {node.facts['summed']} gradients"))
    else:
        lines = [Line(" ".join(filter(None, (node.name, short_attributes(node)))), "name")]
        if node.title:
            lines.append(Line(node.title))
    lines += _held_lines(node.held)
    if backward:
        lines += [
            Line(f"d {t.name} {tensor_text(t)}" if t.name else tensor_text(t), "tensor")
            for t in node.outputs[:4]
        ]
    else:
        several = len(node.outputs) > 1 and node.count == 1
        lines += [Line(f"→ {tensor_text(t, name=several)}", "tensor") for t in node.outputs[:4]]
    if len(node.outputs) > 4:
        lines.append(Line(f"and {len(node.outputs) - 4} more", "tensor"))
    return lines


def _kinds_lines(node: GraphNode) -> list[Line]:
    """The three most frequent operators of a collapsed block that has no name of its own."""
    kinds = node.facts.get("operators") or {}
    if node.title or not kinds:
        return []
    parts = [f"{count:,} {kind}" for kind, count in list(kinds.items())[:3]]
    return [Line(", ".join(parts) + (" …" if len(kinds) > 3 else ""))]


def _held_lines(held: Sequence[FoldedTensor]) -> list[Line]:
    lines = []
    for item in held:
        if item.kind == "gradient":
            continue  # it is one of the operator's outputs
        name = item.role or item.tensor.name
        if item.kind == "param":
            lines.append(Line(f"{name} {count_text(item.tensor)}", "param"))
        elif item.value:
            lines.append(Line(f"{name} = {item.value}"))
        elif item.tensor.shape is None:
            lines.append(Line(f"{name}: a constant"))
        else:
            lines.append(Line(f"{name} {tensor_text(item.tensor)} constant"))
    return lines


def _saved_lines(node: GraphNode) -> list[Line]:
    lines = []
    if node.held:
        for item in node.held:
            note = f" ({item.value})" if item.value else ""
            lines.append(Line(f"{item.role} {tensor_text(item.tensor)}{note}", "tensor"))
    elif node.outputs:
        note = f" ({node.value})" if node.value else ""
        lines.append(Line(f"{node.name} {tensor_text(node.outputs[0])}{note}", "tensor"))
    else:
        lines.append(Line(f"{int(node.facts.get('saved_tensors', 0)):,} tensors"))
    size = int(node.facts.get("saved_bytes", 0))
    return [Line("saved " + bytes_text(size) if size else "saved", "name"), *lines]


def _tensor_lines(node: GraphNode) -> list[Line]:
    tensor = node.outputs[0] if node.outputs else TensorInfo("")
    words = {"input": "input", "param": "parameter", "const": "constant", "output": "output"}
    word = words[node.kind]
    if node.phase == "backward":
        return [Line(node.name, "name"), Line(node.value or tensor_text(tensor), "tensor")]
    name = f"{word} {node.name}" if node.name not in ("", word) else word
    text = (
        count_text(tensor) + (f" {tensor.dtype}" if tensor.dtype else "")
        if node.kind == "param"
        else tensor_text(tensor)
    )
    if node.value:
        text = f"{node.value} ({text})"
    elif tensor.shape is None:
        text = "not kept in the graph"
    return [Line(name, "name"), Line(text, "tensor")]


def cluster_text(cluster: Cluster) -> str:
    """``features : Sequential, 73,984 parameters``."""
    text = clean(cluster.label, MAX_LINE)
    return f"{text}  ({cluster.parameters:,} parameters)" if cluster.parameters else text


def cluster_lines(cluster: Cluster) -> list[Line]:
    """The same in short lines, which find room beside an edge that enters the box."""
    label, _, rest = cluster_text(cluster).partition("  (")
    path, colon, kind = label.partition(" : ")
    lines = [label] if len(label) <= 18 or not colon else [path, kind]
    return [Line(text) for text in (*lines, rest.removesuffix(")")) if text]


def legend_lines(model: GraphModel) -> list[Line]:
    """Title, totals of the whole graph, notes, and what the line styles mean."""
    totals = model.totals
    lines = [Line(clean(model.title, MAX_LINE), "name")] if model.title else []
    counts = [_plural(totals.get("operators", 0), "operator")]
    if totals.get("backward_operators"):
        counts.append(f"{totals['backward_operators']:,} backward")
    if totals.get("parameters"):
        counts.append(f"{totals['parameters']:,} parameters")
    lines.append(Line(", ".join(counts)))
    work = []
    if totals.get("flops"):
        least = "at least " if totals.get("flops_unknown") else ""
        work.append(f"{least}{flops_text(totals['flops'])} forward")
    if totals.get("saved_bytes"):
        work.append(f"{bytes_text(totals['saved_bytes'])} saved for backward")
    if work:
        lines.append(Line(", ".join(work)))
    for note in model.notes:
        lines += [Line(text) for text in _wrap(note, 52, 4)]
    lines += [Line(text) for text in _packed(legend(model), 52)]
    lines += [Line(clean(text, MAX_LINE), style) for style, text in color_legend(model)]
    if model.error:
        problem = model.error.splitlines()[0]
        lines += [Line(text, "error") for text in _wrap("failed: " + problem, 52, 3)]
    kinds = {edge.kind for edge in model.edges}
    if kinds - {"data"}:
        words = (("data", "── data"), ("gradient", "╌╌ gradient"), ("saved", "┈┈ saved tensor"))
        lines.append(Line("   ".join(text for kind, text in words if kind in kinds)))
    return lines


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _packed(clauses: Sequence[str], width: int) -> list[str]:
    """Clauses in lines of about ``width`` characters, which break between them."""
    lines: list[str] = []
    for clause in clauses:
        if lines and len(lines[-1]) + 2 + len(clause) <= width:
            lines[-1] += f"; {clause}"
        else:
            lines.append(clean(clause, MAX_LINE))
    return lines


def _wrap(text: str, width: int, most: int) -> list[str]:
    """Lines of at most ``width`` characters, broken at spaces; at most ``most`` lines."""
    words = clean(text, width * most).split()
    lines = [""]
    for word in words:
        word = clean(word, width)
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    if len(lines) > most:
        lines = [*lines[: most - 1], clean(lines[most - 1] + " …", width)]
    return lines


_NARROW = frozenset("iljtfrI.,:;'|!()[] /\\\"`-")
_WIDE = frozenset("mwMW@%—")


@functools.lru_cache(4096)
def text_width(text: str, size: float) -> float:
    """About the width in points of ``text`` in the widest usual sans-serif face (DejaVu, Verdana),
    set bold.

    A viewer may have other fonts than the machine that drew: boxes of at least this width hold
    their text anywhere.
    """
    total = 0.0
    for character in text:
        if character in _NARROW:
            total += 0.42
        elif character in _WIDE:
            total += 1.02
        elif character.isascii():
            total += 0.72 if character.isupper() or character.isdigit() else 0.66
        else:
            total += 1.2 if unicodedata.east_asian_width(character) in "WF" else 0.8
    return total * size
