"""Small graphs written out by hand, so that the drawing stages are tested without the engine."""

from __future__ import annotations

from tinygrad_cv.viz.model import Cluster, GraphEdge, GraphModel, GraphNode, TensorInfo


class Maker:
    """Adds nodes and edges one by one."""

    def __init__(self) -> None:
        self.nodes: list[GraphNode] = []
        self.edges: list[GraphEdge] = []
        self.clusters: list[Cluster] = []

    def node(self, kind, name, shape=None, dtype="float32", **parts):
        outputs = () if shape is None else (TensorInfo("", tuple(shape), dtype),)
        self.nodes.append(GraphNode(len(self.nodes), kind, name, outputs=outputs, **parts))
        return len(self.nodes) - 1

    def op(self, name, shape, *sources, **parts):
        """An operator; sources are node numbers, or (argument, number)."""
        number = self.node("op", name, shape, **parts)
        for slot, source in enumerate(sources):
            argument, source = source if isinstance(source, tuple) else (f"arg{slot}", source)
            self.edge(source, number, "data", slot, argument)
        return number

    def edge(self, source, target, kind="data", slot=0, argument=""):
        outputs = self.nodes[source].outputs
        tensor = outputs[0] if outputs else TensorInfo("")
        self.edges.append(GraphEdge(source, target, kind, slot, argument, 0, tensor))

    def cluster(self, path, kind, parent=None, **parts):
        self.clusters.append(Cluster(len(self.clusters), path, kind, parent, **parts))
        return len(self.clusters) - 1

    def model(self, title="", **parts):
        return GraphModel(
            title, tuple(self.nodes), tuple(self.edges), tuple(self.clusters), **parts
        )


def subtraction() -> GraphModel:
    """a - b and b - a: only the order of the arguments tells them apart."""
    m = Maker()
    a, b = m.node("input", "a", (3,)), m.node("input", "b", (3,))
    one = m.op("sub", (3,), ("input", a), ("other", b))
    two = m.op("sub", (3,), ("input", b), ("other", a))
    m.edge(one, m.node("output", "a - b", (3,)))
    m.edge(two, m.node("output", "b - a", (3,)))
    return m.model("two subtractions", totals={"operators": 2})


def small_net(backward: bool = True) -> GraphModel:
    """A convolution and a ReLU in modules, then a sum; with the backward part if asked."""
    m = Maker()
    net = m.cluster("", "Net", parameters=20)
    body = m.cluster("body", "Sequential", net, parameters=20)
    conv_call = m.cluster("body.0", "Conv2d", body, parameters=20)
    relu_call = m.cluster("body.1", "ReLU", body)
    x = m.node("input", "x", (1, 1, 8, 8))
    weight = m.node("param", "body.0.weight", (2, 1, 3, 3), cluster=conv_call)
    bias = m.node("param", "body.0.bias", (2,), cluster=conv_call)
    conv = m.op(
        "conv",
        (1, 2, 4, 4),
        ("input", x),
        ("weight", weight),
        ("bias", bias),
        cluster=conv_call,
        attributes=(("stride", "(2, 2)"), ("padding", "(1, 1)"), ("groups", "1")),
        facts={"kernel": "(3, 3)", "flops": 600},
    )
    relu = m.op("relu", (1, 2, 4, 4), ("input", conv), cluster=relu_call)
    total = m.op("sum", (), ("input", relu))
    out = m.node("output", "output", ())
    m.edge(total, out)
    totals = {"operators": 3, "parameters": 20, "flops": 600}
    if not backward:
        return m.model("a small net", totals=totals)

    def saved(number, name, shape, value="", size=128, storage=0):
        facts = {"saved_bytes": size, "storage": storage}
        cluster = m.nodes[number].cluster
        kept = m.node("saved", name, shape, cluster=cluster, pair=number, value=value, facts=facts)
        m.edge(number, kept, "saved", 0, name)
        return kept

    kept_input = saved(conv, "input", (1, 1, 8, 8), size=256, storage=0)
    kept_weight = saved(conv, "weight", (2, 1, 3, 3), value="parameter", size=0, storage=-1)
    kept_output = saved(relu, "output", (1, 2, 4, 4), size=128, storage=1)
    seed = m.node("input", "gradient of output", (), phase="backward", pair=out, value="1")

    def back(forward, *sources):
        node = m.nodes[forward]
        number = m.node(
            "op",
            node.name,
            node.outputs[0].shape,
            phase="backward",
            cluster=node.cluster,
            pair=forward,
        )
        for source in sources:
            m.edge(source, number, "gradient", 0, "input")
        return number

    total_back = back(total, seed)
    relu_back = back(relu, total_back)
    m.edge(kept_output, relu_back, "saved", 0, "output")
    conv_back = back(conv, relu_back)
    m.edge(kept_input, conv_back, "saved", 0, "input")
    m.edge(kept_weight, conv_back, "saved", 0, "weight")
    for slot, parameter in ((1, weight), (2, bias)):
        node = m.nodes[parameter]
        gradient = m.node(
            "output",
            f"{node.name}.grad",
            node.outputs[0].shape,
            phase="backward",
            pair=parameter,
            cluster=conv_call,
            facts={"of": "param"},
        )
        m.edge(conv_back, gradient, "gradient", slot, ("", "weight", "bias")[slot])
    totals |= {"backward_operators": 3, "saved_bytes": 384, "saved_tensors": 2}
    return m.model("a small net, forward and backward", totals=totals)


def chain(length: int) -> GraphModel:
    """One input and ``length`` operators in a row."""
    m = Maker()
    last = m.node("input", "x", (4,))
    for _ in range(length):
        last = m.op("relu", (4,), ("input", last))
    m.edge(last, m.node("output", "output", (4,)))
    return m.model("a chain", totals={"operators": length})


def unplaced_svg(model: GraphModel) -> bytes:
    """What an engine without a layout would return: a group for each node, edge and cluster."""
    groups = "".join(f'<g id="c{cluster.id}" class="cluster"/>' for cluster in model.clusters)
    groups += "".join(f'<g id="n{node.id}" class="node"/>' for node in model.nodes)
    for index, edge in enumerate(model.edges):
        groups += f'<g id="s{index}" class="node"/>' if edge.stub else ""
        groups += f'<g id="e{index}" class="edge"/>'
    start = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><g class="graph">'
    return f"{start}{groups}</g></svg>".encode()
