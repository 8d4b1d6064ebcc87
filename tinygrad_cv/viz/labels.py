"""The texts of a picture: what a node, an edge, a cluster and the legend say, as lines of plain
text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from tinygrad_cv.backend.units import quantity
from tinygrad_cv.viz.badges import badge_line, badge_totals
from tinygrad_cv.viz.coloring import color_legend
from tinygrad_cv.viz.marks import mark_lines, mark_of, sign
from tinygrad_cv.viz.model import Cluster, GraphModel, GraphNode, TensorInfo
from tinygrad_cv.viz.naming import held_names, last_name, own_names
from tinygrad_cv.viz.overlay import legend, overlay_lines

__all__ = [
    "Line",
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

NOT_KEPT = "not kept in the graph"
MAX_LINE = 64  # characters of one drawn line; the full text is in the node's title


_PLAIN = re.compile("[ -~×→…─╌┈]*")


class Line(NamedTuple):
    """A drawn line and how it is set: "name", "badge", "fact", "tensor", "param", "equation",
    "error", or in a legend "hue-0" and so on."""

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
            others.append(text if name == "key" and text.startswith("[") else bare)
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
    if node.facts.get("badges"):
        lines.insert(1, Line(badge_line(node), "badge"))
    lines += [Line(text) for text in (*mark_lines(node), *overlay_lines(node))]
    lines += [Line(text, "equation") for text in node.facts.get("explain", ())]
    if node.error:
        error = node.error if "faults" in node.facts else f"failed: {node.error}"
        lines += [Line(text, "error") for text in _wrap(error, 44, 4)]
    lines += [Line(text) for text in node.facts.get("room", ())]  # the viewer fills it
    return [Line(clean(text, MAX_LINE), style) for text, style in lines]


def _operator_lines(node: GraphNode) -> list[Line]:
    backward = node.phase == "backward"
    if "operators" in node.facts:  # a collapsed block
        name = node.title or ("…" if node.name == "..." else node.name)
        lines = [Line(name + (" backward" if backward else ""), "name")]
        parts = [_plural(node.count, "operator")]
        if node.facts.get("parameters"):
            parts.append(_plural(node.facts["parameters"], "parameter"))
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
    lines += _held_lines(node)
    if backward:
        gradients = [item for item in node.held if item.kind == "gradient"]
        own = own_names(item.tensor.name for item in gradients)
        names = {item.role: own[item.tensor.name] for item in gradients}
        for t in node.outputs[:4]:
            name = names.get(t.name) or t.name
            lines.append(Line(f"d {name} {tensor_text(t)}" if name else tensor_text(t), "tensor"))
    else:
        several = len(node.outputs) > 1
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


def _held_lines(node: GraphNode) -> list[Line]:
    lines = []
    held = [item for item in node.held if item.kind != "gradient"]  # that is one of the outputs
    names = held_names(node.name, held, exactly="explain" in node.facts)
    for item, name in zip(held, names, strict=True):
        if item.kind == "param":
            lines.append(Line(f"{name} {count_text(item.tensor)}", "param"))
        elif item.value:
            lines.append(Line(f"{name} = {item.value}"))
        elif item.tensor.shape is None:
            lines.append(Line(f"{name}: {NOT_KEPT}"))
        else:
            lines.append(Line(f"{name} {tensor_text(item.tensor)} constant"))
    return lines


def _saved_lines(node: GraphNode) -> list[Line]:
    items = [(held.role, held.tensor, held.value) for held in node.held]
    items = items or [(node.name, tensor, node.value) for tensor in node.outputs]
    lines = []
    for name, tensor, value in items:
        own = last_name(tensor.name)
        whose = f" {own}" if value == "parameter" and own not in ("", name) else ""
        note = f" ({value}{whose})" if value else ""
        lines.append(Line(f"{name} {tensor_text(tensor)}{note}", "tensor"))
    saved = any(value != "recomputed" for _, _, value in items)
    if not items:
        saved = bool(node.facts.get("saved_tensors"))
        if saved:
            lines.append(Line(_plural(int(node.facts["saved_tensors"]), "tensor")))
        if node.facts.get("recomputed"):
            lines.append(Line(f"{int(node.facts['recomputed']):,} recomputed"))
    size = int(node.facts.get("saved_bytes", 0))
    head = "saved" if saved or size else "not saved"
    return [Line(f"{head} {quantity(size, 'B')}" if size else head, "name"), *lines]


def _tensor_lines(node: GraphNode) -> list[Line]:
    tensor = node.outputs[0] if node.outputs else TensorInfo("")
    words = {"input": "input", "param": "parameter", "const": "constant", "output": "output"}
    unknown = tensor.shape is None and not node.value  # so it may be no constant
    word = "tensor" if unknown and node.kind == "const" else words[node.kind]
    if node.count > 1:  # several that are drawn as one
        lines = [Line(node.name, "name")]
        sizes = node.facts.get("parameter_sizes", ())
        if node.outputs:
            lines.append(Line(f"each {tensor_text(tensor)}", "tensor"))
        return lines + [Line(_plural(sum(n for _, n in sizes), "parameter"))] * bool(sizes)
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
        text = NOT_KEPT
    return [Line(name, "name"), Line(text, "tensor")]


def cluster_text(cluster: Cluster) -> str:
    """``features : Sequential  (73,984 parameters, 1.9 MFLOPs)``."""
    text = clean(cluster.label, MAX_LINE)
    facts = ", ".join(_cluster_facts(cluster))
    return f"{text}  ({facts})" if facts else text


def cluster_lines(cluster: Cluster) -> list[Line]:
    """The same in short lines, which find room beside an edge that enters the box."""
    label = clean(cluster.label, MAX_LINE)
    path, colon, kind = label.partition(" : ")
    lines = [label] if len(label) <= 18 or not colon else [path, kind]
    for fact in _cluster_facts(cluster):
        if lines[1:] and lines[-1] not in (path, kind) and len(lines[-1]) + len(fact) <= 22:
            lines[-1] += f", {fact}"
        else:
            lines.append(fact)
    return [Line(text) for text in lines if text]


def _cluster_facts(cluster: Cluster) -> list[str]:
    """Parameters, FLOPs, time."""
    facts = [_plural(cluster.parameters, "parameter")] if cluster.parameters else []
    if cluster.flops:
        least = "at least " if cluster.flops_unknown else ""
        facts.append(f"{least}{quantity(cluster.flops, 'FLOPs')}")
    time = [
        ("" if phase == "forward" else f"{phase} ") + quantity(cluster.time[phase], "s")
        for phase in ("forward", "backward")
        if phase in cluster.time
    ]
    return [*facts, ", ".join(time)] if time else facts


def legend_lines(model: GraphModel) -> list[Line]:
    """Title, totals of the whole graph, notes, and what the line styles mean."""
    totals = model.totals
    lines = [Line(clean(model.title, MAX_LINE), "name")] if model.title else []
    counts = [_plural(totals.get("operators", 0), "operator")]
    if totals.get("backward_operators"):
        counts.append(f"{totals['backward_operators']:,} backward")
    if totals.get("parameters"):
        counts.append(_plural(totals["parameters"], "parameter"))
    lines.append(Line(", ".join(counts)))
    work = []
    if totals.get("flops"):
        least = "at least " if totals.get("flops_unknown") else ""
        work.append(f"{least}{quantity(totals['flops'], 'FLOPs')} forward")
    if totals.get("saved_bytes"):
        work.append(f"{quantity(totals['saved_bytes'], 'B')} saved for backward")
    if work:
        lines.append(Line(", ".join(work)))
    if badge_totals(totals):
        lines += [Line(text) for text in _wrap(badge_totals(totals), 52, 3)]
    for note in model.notes:
        lines += [Line(text) for text in _clauses(note, 52, 4)]
    if model.overlay:
        lines += [Line(text) for text in _clauses("; ".join(legend(model)), 52, 6)]
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


def _clauses(text: str, width: int, most: int) -> list[str]:
    """:func:`_wrap`, broken rather behind a semicolon, so that no single word is left over."""
    lines = [""]
    for clause in clean(text, width * most).split("; "):
        if not lines[-1]:
            lines = _wrap(clause, width, most)
        elif len(lines[-1]) + 3 + len(clause) <= width:  # with another semicolon
            lines[-1] += f"; {clause}"
        else:
            lines[-1] += ";"
            lines += _wrap(clause, width, most)
    return _first(lines, width, most)


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
    return _first(lines, width, most)


def _first(lines: list[str], width: int, most: int) -> list[str]:
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
