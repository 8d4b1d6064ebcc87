"""Whether what an engine returned is a whole picture: an engine may be ended half-way, by a full
disk or a lack of memory, and still report success.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

from tinygrad_cv.errors import BackendError
from tinygrad_cv.viz.model import GraphModel, cluster_paths

__all__ = ["check_drawn", "parsed", "problem"]

SVG = "http://www.w3.org/2000/svg"
MAGIC = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}


def problem(output: bytes, format: str) -> str:
    """What is wrong with an engine's output, or "".

    >>> problem(b"hello", "png"), problem(b"%PDF-1.7 half of it", "pdf")
    ('did not return PNG', 'returned an incomplete PDF: it does not end in %%EOF')
    """
    if MAGIC[format] not in output[: 4096 if format == "svg" else 8]:
        return f"did not return {format.upper()}"
    if format == "png" and (fault := _png_fault(output)):
        return f"returned an incomplete PNG: {fault}"
    if format == "pdf" and not output.rstrip().endswith(b"%%EOF"):
        return "returned an incomplete PDF: it does not end in %%EOF"
    return ""


def _png_fault(output: bytes) -> str:
    """Chunks of a length, a name, data and a checksum; the last is IEND (ISO/IEC 15948)."""
    place = 8
    while place + 12 <= len(output):
        length, name = struct.unpack_from(">I4s", output, place)
        end = place + 12 + length
        if end > len(output):
            break
        (checksum,) = struct.unpack_from(">I", output, end - 4)
        if zlib.crc32(memoryview(output)[place + 4 : end - 4]) != checksum:
            return f"its chunk {name.decode('latin-1')} is damaged"
        if name == b"IEND":
            return ""
        place = end
    return "it ends before its IEND chunk"


def parsed(drawn: bytes) -> ElementTree.Element:
    """The root of an SVG that has a size.

    Raises:
        BackendError: it is none.
    """
    try:
        root = ElementTree.fromstring(drawn)
    except ElementTree.ParseError as error:
        raise BackendError(
            "render", f"the Graphviz engine did not return an SVG: {error}"
        ) from None
    if root.tag != f"{{{SVG}}}svg":
        raise BackendError("render", f"the Graphviz engine returned <{root.tag}>, not <svg>")
    box = root.get("viewBox", "")
    try:
        sizes = [float(number) for number in box.split()]
    except ValueError:
        sizes = []
    if len(sizes) != 4 or not all(map(math.isfinite, sizes)) or min(sizes[2:]) <= 0:
        raise BackendError(
            "render", f"the Graphviz engine returned an SVG with the viewBox {box!r:.60}"
        )
    return root


def check_drawn(root: ElementTree.Element, model: GraphModel) -> None:
    """That every node, edge and cluster of ``model`` is in its picture.

    Raises:
        BackendError: some are not; the message says which.
    """
    found = {group.get("id") for group in root.iter(f"{{{SVG}}}g")}
    wanted = list(_ids(model))
    lacking = [key for key in wanted if key not in found]
    if lacking:
        some = ", ".join(lacking[:4]) + (", ..." if len(lacking) > 4 else "")
        raise BackendError(
            "render",
            f"the Graphviz engine returned an SVG that lacks {len(lacking):,} of {len(wanted):,} "
            f"nodes, edges and clusters: {some}",
        )


def _ids(model: GraphModel) -> Iterator[str]:
    """As the DOT source has them; a cluster without nodes is not drawn."""
    callers = cluster_paths(model.clusters)
    full = {call for node in model.nodes for call in callers[node.cluster]}
    yield from (f"n{node.id}" for node in model.nodes)
    yield from (f"c{cluster.id}" for cluster in model.clusters if cluster.id in full)
    for index, edge in enumerate(model.edges):
        yield f"e{index}"
        if edge.stub:
            yield f"s{index}"
