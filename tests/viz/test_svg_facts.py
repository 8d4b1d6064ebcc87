"""What an SVG tells a program and a reader of titles: each data-* attribute, and each line of the
title of each node, edge, stub and module call, against the graph."""

from __future__ import annotations

import pytest

pytest.importorskip("pygraphviz")

from tests.viz.drawings import DRAWINGS, SVG, drawing, groups
from tinygrad_cv.viz.model import GraphModel

each_drawing = pytest.mark.parametrize("name", DRAWINGS)


def data(element) -> dict[str, str]:
    return {
        key.removeprefix("data-"): value
        for key, value in element.attrib.items()
        if key.startswith("data-")
    }


def title(group) -> list[str]:
    (text,) = group.findall(f"{SVG}title")
    return text.text.split("\n")


def size(tensor) -> str:
    shape = "?" if tensor.shape is None else "×".join(map(str, tensor.shape)) or "scalar"
    return f"{shape} {tensor.dtype}" if tensor.dtype else shape


def byte_words(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.3g} kB"


def scaled(value: float, units: list[tuple[float, str]]) -> str:
    """Three digits, in the largest of the units (ascending) that fits."""
    factor, unit = next(((f, u) for f, u in reversed(units) if value >= 0.9995 * f), units[0])
    return f"{float(f'{value / factor:.3g}'):g} {unit}"


def call_title(cluster) -> str:
    """What stands in the title of a module call."""
    parts = [f"{cluster.parameters:,} parameters"] if cluster.parameters else []
    if cluster.flops:
        units = [(1, "FLOPs"), (1e3, "kFLOPs"), (1e6, "MFLOPs")]
        least = "at least " if cluster.flops_unknown else ""
        parts.append(least + scaled(cluster.flops, units))
    units = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1, "s")]
    for phase in ("forward", "backward"):
        if phase in cluster.time:
            word = "" if phase == "forward" else "backward "
            parts.append(word + scaled(cluster.time[phase], units))
    return cluster.label + (f"  ({', '.join(parts)})" if parts else "")


def result(edge, source) -> str:
    """Which result of several an edge carries."""
    known = edge.count == 1 and edge.output < len(source.outputs)
    several = source.kind == "op" and len(source.outputs) > 1
    return source.outputs[edge.output].name if known and several else ""


def role(node) -> str:
    if node.error:
        return "error"
    if node.phase == "backward" and node.kind != "saved":
        return "backward"
    if node.kind == "op":
        return "block" if "operators" in node.facts else "op"
    return node.kind


def named(node) -> str:
    """How titles call a node."""
    name = node.name
    if node.kind == "op" and node.phase == "backward":
        name += " backward"
    return f"{name} ({node.title})" if node.title else name or node.kind


def by_id(model: GraphModel):
    return {node.id: node for node in model.nodes}


@each_drawing
def test_the_data_of_nodes(name):
    model, root = drawing(name)
    found = {}
    for group in groups(root, "node"):
        if "stub" not in group.get("class").split():
            found[int(group.get("data-id"))] = data(group)
    assert found.keys() == by_id(model).keys()
    for node in model.nodes:
        expected = {
            "id": str(node.id),
            "kind": node.kind,
            "phase": node.phase,
            "role": role(node),
        }
        if node.name:
            expected["name"] = node.name
        if node.outputs:
            expected["shape"] = "; ".join(map(size, node.outputs))
        if node.count > 1:
            expected["count"] = str(node.count)
        if node.pair is not None:
            expected["pair"] = str(node.pair)
        for key, fact in (("flops", "flops"), ("saved-bytes", "saved_bytes")):
            if fact in node.facts:
                expected[key] = str(node.facts[fact])
        if node.error:
            expected["error"] = node.error
        if "diff" in node.facts:
            expected["mark"] = node.facts["diff"]["mark"]
        if node.facts.get("badges"):
            expected["badges"] = ", ".join(node.facts["badges"])
        shown = node.facts.get("overlay")
        if shown:
            expected["overlay"] = shown["name"]
            if shown["value"] is not None:
                expected["value"] = str(shown["value"])
            elif shown["applies"] and not shown["texts"]:
                expected["value"] = "unmeasured"  # and not a number that is not finite
        for measure, parts in node.facts.get("measured", {}).items():
            for phase, value in parts.items():
                expected[f"{measure.replace('_', '-')}-{phase}"] = str(value)
        assert found[node.id] == expected


@each_drawing
def test_the_data_of_edges_and_stubs(name):
    model, root = drawing(name)
    nodes = by_id(model)
    found = {group.get("id").rpartition("-")[2]: group for group in groups(root, "edge")}
    assert len(found) == len(model.edges)
    stubs = {g.get("id").rpartition("-")[2]: g for g in groups(root, "stub")}
    for index, edge in enumerate(model.edges):
        expected = {
            "source": str(edge.source),
            "target": str(edge.target),
            "kind": edge.kind,
            "slot": str(edge.slot),
            "output": str(edge.output),
            "count": str(edge.count),
        }
        if edge.argument:
            expected["argument"] = edge.argument
        if result(edge, nodes[edge.source]):
            expected["result"] = result(edge, nodes[edge.source])
        if edge.mark:
            expected["mark"] = edge.mark
        assert data(found[f"e{index}"]) == expected
        if edge.stub:
            assert data(stubs.pop(f"s{index}")) == {"source": str(edge.source)}
    assert stubs == {}


@each_drawing
def test_the_data_of_module_calls(name):
    model, root = drawing(name)
    found = {group.get("id").rpartition("-")[2]: group for group in groups(root, "cluster")}
    assert found.keys() == {f"c{cluster.id}" for cluster in model.clusters}
    for cluster in model.clusters:
        expected = {
            "module": cluster.path,
            "class": cluster.kind,
            "parameters": str(cluster.parameters),
            "flops": str(cluster.flops),
        }
        for phase, seconds in cluster.time.items():
            expected[f"time-{phase}"] = str(seconds)
        if cluster.calls > 1:
            expected["call"] = f"{cluster.call}/{cluster.calls}"
        group = found[f"c{cluster.id}"]
        assert data(group) == expected
        assert title(group) == [call_title(cluster)]


@pytest.mark.parametrize("name", ["dead", "moved", "measured", "badged"])
def test_a_module_call_costs_what_the_operators_in_it_cost(name):
    """The numbers of the boxes, added up from those of the nodes in them."""
    model, root = drawing(name)
    parents = {cluster.id: cluster.parent for cluster in model.clusters}
    flops = dict.fromkeys(parents, 0)
    times: dict[tuple[int, str], float] = {}
    for node in model.nodes:
        if node.kind != "op":
            continue
        call = node.cluster
        while call is not None:
            flops[call] += node.facts.get("flops", 0) if node.phase == "forward" else 0
            if "measured" in node.facts:
                seconds = node.facts["measured"]["time"][node.phase]
                times[call, node.phase] = times.get((call, node.phase), 0.0) + seconds
            call = parents[call]
    found = {int(g.get("id").rpartition("-c")[2]): data(g) for g in groups(root, "cluster")}
    assert {call: int(facts["flops"]) for call, facts in found.items()} == flops
    shown = {
        (call, phase): float(facts[f"time-{phase}"])
        for call, facts in found.items()
        for phase in ("forward", "backward")
        if f"time-{phase}" in facts
    }
    assert shown == pytest.approx(times)
    assert any(flops.values())
    assert bool(times) == (name == "measured")


@each_drawing
def test_the_totals_of_the_root(name):
    model, root = drawing(name)
    keys = ("operators", "backward_operators", "parameters", "flops", "saved_bytes")
    expected = {k.replace("_", "-"): str(model.totals[k]) for k in keys if k in model.totals}
    assert data(root) == expected
    assert set(expected) == {k.replace("_", "-") for k in keys} or name != "net"


@each_drawing
def test_the_titles_of_nodes(name):
    """The name, then what the box says below it, then all that has no room there."""
    model, root = drawing(name)
    nodes = by_id(model)
    for group in groups(root, "node"):
        if "stub" in group.get("class").split():
            continue
        node = nodes[int(group.get("data-id"))]
        lines = [(text.text or "").strip() for text in group.findall(f"{SVG}text")]
        expected = [named(node), *lines[1:]]
        if not node.facts.get("overlay", {}).get("applies", True):
            expected.append(f"{node.facts['overlay']['name']} does not apply")
        expected += [f"{key} = {value}" for key, value in node.attributes]
        for fact in ("equation", "gradients"):
            expected += node.facts.get(fact, "").split("\n") if node.facts.get(fact) else []
        if node.facts.get("flops"):
            expected.append(f"{node.facts['flops']:,} FLOPs")
        if node.kind == "op" and node.facts.get("saved_bytes"):
            expected.append(f"{byte_words(node.facts['saved_bytes'])} saved for backward")
        if node.site:
            expected.append(f"made at {node.site}")
        assert [" ".join(line.split()) for line in title(group)] == [
            " ".join(line.split()) for line in expected
        ]


@each_drawing
def test_the_titles_of_edges(name):
    model, root = drawing(name)
    nodes = by_id(model)
    found = {group.get("id").rpartition("-")[2]: group for group in groups(root, "edge")}
    for index, edge in enumerate(model.edges):
        verb = {"data": "to", "gradient": "sends its gradient to", "saved": "keeps for"}[edge.kind]
        if edge.hidden:
            verb = "leads through hidden operators to"
        which = result(edge, nodes[edge.source])
        start = named(nodes[edge.source]) + (f" ({which})" if which else "")
        text = f"{start} {verb} {named(nodes[edge.target])}"
        if edge.kind == "data" and edge.argument:
            text += f" as {edge.argument}"
        if edge.count == 1 and edge.tensor.shape is not None:
            text += f": {size(edge.tensor)}"
        assert title(found[f"e{index}"]) == [text]
    for group in groups(root, "stub"):
        source = nodes[int(group.get("data-source"))]
        assert title(group) == [f"{named(source)}, which stands elsewhere in this picture"]


def test_every_fact_occurs():
    """So each of them is seen by the tests above."""
    seen: dict[str, set[str]] = {"node": set(), "edge": set(), "cluster": set()}
    values: set[tuple[str, str]] = set()
    words = set()
    for name in DRAWINGS:
        _, root = drawing(name)
        for kind, keys in seen.items():
            for group in groups(root, kind):
                keys.update(data(group))
                values |= {(key, value) for key, value in data(group).items()}
                words |= {word for line in title(group) for word in line.split()}
    assert seen["node"] >= {
        *("id", "kind", "phase", "name", "role", "shape", "count", "pair", "flops"),
        *("saved-bytes", "error", "mark", "overlay", "value", "time-forward", "time-backward"),
        "badges",
    }
    assert seen["edge"] >= {
        *("source", "target", "kind", "slot", "count", "mark", "argument", "output", "result"),
    }
    assert seen["cluster"] >= {
        *("module", "class", "parameters", "call", "flops", "time-forward", "time-backward"),
    }
    several = {key: {v for k, v in values if k == key} for key, _ in values}
    for key in (
        "slot",
        "count",
        "pair",
        "saved-bytes",
        "parameters",
        "call",
        "flops",
        "output",
        "argument",
        "result",
        "badges",
    ):
        assert len(several[key]) > 1, key
    assert words >= {"made", "FLOPs", "saved", "as", "hidden", "y", "keeps", "gradient", "="}
