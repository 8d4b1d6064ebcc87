"""How long graph pictures take: capture, DOT, every transform, and Graphviz.

    python tools/bench/pictures.py [--rounds 3] [--write tools/bench/results/DATE-pictures.md]

The targets are those of the design: 10,000 nodes captured and written as DOT in a second, 100,000
in ten; every transform of 100,000 nodes in a few seconds; a ResNet-18's training graph rendered in
under 2 s and a recurrent network of 1,000 nodes in under 3 s. Each figure is the best of the
rounds, with the garbage collector as it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import models
from circumstances import circumstances

import tinygrad_cv as tg
from tinygrad_cv import nn, viz
from tinygrad_cv.nn import functional as F


class Row(NamedTuple):
    """What was done, to how many nodes, the target in seconds, and the seconds it took."""

    what: str
    nodes: int
    target: float
    seconds: float


def best(rounds: int, function: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest time of some rounds, and what came out."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - started)
    return min(times), result


def chain(length: int) -> tg.Tensor:
    """Operators in a row, each with a constant."""
    y = tg.ones(4, requires_grad=True)
    for _ in range(length):
        y = y * 1.0001
    return y


class Step(nn.Module):
    """A layer and a way around it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        """``relu(linear(x)) + x``."""
        return self.linear(x).relu() + x


def deep(nodes: int) -> viz.Graph:
    """A network of equal blocks in blocks, about ``nodes`` nodes with its backward."""
    blocks = max(nodes // 130, 1)
    net = nn.Sequential(*(nn.Sequential(*(Step() for _ in range(10))) for _ in range(blocks)))
    return viz.trace(lambda x: net(x).square().sum(), tg.zeros(1, 2), backward=True)


def recurrent(steps: int) -> tg.Tensor:
    """An Elman network unrolled over time: all steps share their weights."""
    into, over, hidden = tg.ones(2, 4), tg.ones(4, 4), tg.zeros(1, 4)
    for weight in (into, over):
        weight.requires_grad_()
    for _ in range(steps):
        hidden = (tg.ones(1, 2) @ into + hidden @ over).tanh()
    return hidden.sum()


def resnet() -> viz.Graph:
    """The training graph of a ResNet-18, as a person sees it first."""
    network = models.chosen("resnet18", batch=2)
    model = network.build(tg)
    images, labels = (tg.tensor(array) for array in models.batch(network))
    return viz.draw(lambda x, t: F.cross_entropy(model(x), t), images, labels, backward=True)


TRANSFORMS: dict[str, Callable[[viz.Graph], viz.Graph]] = {
    "simplify": lambda g: g.simplify(),
    "fold_parameters": lambda g: g.fold_parameters(),
    "fold_constants": lambda g: g.fold_constants(),
    "fold_saved": lambda g: g.fold_saved(),
    "inline_calls": lambda g: g.inline_calls(),
    "depth(1)": lambda g: g.depth(1),
    'collapse("*.linear")': lambda g: g.collapse("*.linear"),
    "repeat": lambda g: g.repeat(),
    "focus(50, radius=5)": lambda g: g.focus(50, 5),
    "focus(every relu, radius=0)": lambda g: g.focus("relu", 0),
    'path("x", "output")': lambda g: g.path("x", "output"),
    "stubs": lambda g: g.stubs(),
    "limit": lambda g: g.limit(),
    'only("backward")': lambda g: g.only("backward"),
    'color("structure")': lambda g: g.color("structure"),
    'color("operator")': lambda g: g.color("operator"),
    'overlay("flops")': lambda g: g.overlay("flops"),
    'overlay("parameters")': lambda g: g.overlay("parameters"),
}


def rows(rounds: int) -> Iterator[Row]:
    """All measurements."""
    for nodes, target in ((10_000, 1.0), (100_000, 10.0)):
        result = chain(nodes // 2)  # with its constant, each operator is two nodes
        seconds, text = best(rounds, lambda result=result: viz.trace(result).to_dot())
        yield Row("capture and DOT of a chain", text.count("id=n"), target, seconds)
    result = chain(100_000)
    seconds, graph = best(1, lambda: viz.trace(result))
    yield Row("capture of a chain of 100,000 operators", len(graph.model.nodes), 10.0, seconds)
    seconds, graph = best(1, lambda: deep(100_000))
    yield Row("call and capture of a network in training", len(graph.model.nodes), 10.0, seconds)
    nodes = len(graph.model.nodes)
    for name, transform in TRANSFORMS.items():
        seconds, _ = best(1, lambda transform=transform: transform(graph))
        yield Row(name, nodes, 5.0, seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.svg")
        seconds, _ = best(rounds, lambda: resnet().render(path))
        yield Row(
            "ResNet-18 in training, traced and rendered", len(resnet().model.nodes), 2.0, seconds
        )
        loss = recurrent(250)
        whole = viz.trace(loss)
        seconds, _ = best(rounds, lambda: viz.trace(loss).stubs().render(path))
        yield Row(
            "recurrent network, weights as stubs, rendered", len(whole.model.nodes), 3.0, seconds
        )


def table(found: list[Row]) -> str:
    """The measurements as Markdown."""
    lines = ["| what | nodes | s | target, s |", "|---|---:|---:|---:|"]
    for row in found:
        late = "" if row.seconds <= row.target else " (missed)"
        lines.append(f"| {row.what} | {row.nodes:,} | {row.seconds:.2f} | {row.target:g}{late} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and writes it to a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = []
    for row in rows(options.rounds):
        found.append(row)
        print(f"{row.what:48s} {row.nodes:>8,} nodes {row.seconds:7.2f} s  (<= {row.target:g})")
    if options.write:
        now = circumstances([], ["tools/bench/pictures.py", *sys.argv[1:]])
        host = now["machine"]
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("NumPy", "pygraphviz"))
        text = (
            f"# Graph pictures\n\n`{' '.join(now['command'])}`: commit {now['commit']}, "
            f"{host['cpu']}, {host['cores']} cores, {host['platform']}, {now['date']}, "
            f"Python {now['versions']['python']}, {versions}, load {now['load'][0]:.1f}.\n\n"
        )
        options.write.write_text(text + table(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
