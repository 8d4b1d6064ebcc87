"""Draw the graphs in examples/graphs: each as an SVG picture and as its DOT source.

    python examples/draw_graphs.py            # all of them
    python examples/draw_graphs.py residual   # one

The pictures follow the viewer's light or dark theme. Drawing needs a Graphviz engine: `dot`, or
the one inside the pygraphviz wheel.
"""

import argparse
from pathlib import Path

import tinygrad_cv as tg
from tinygrad_cv import nn, viz
from tinygrad_cv.nn import functional as F

FOLDER = Path(__file__).parent / "graphs"


class LeNet(nn.Module):
    """Two convolutions and two linear layers, after LeCun et al. (1998), for 28x28 images."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 84), nn.ReLU(), nn.Dropout(0.5), nn.Linear(84, 10)
        )

    def forward(self, image):
        return self.classifier(self.features(image))


class Block(nn.Module):
    """A residual block: two convolutions, and a path around them (He et al., 2016)."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + x).relu()


def lenet_loss():
    """What a forward pass computes."""
    return viz.draw(loss_of(LeNet()), *batch(), title="LeNet, cross-entropy loss")


def lenet_training():
    """Forward and backward side by side, with what is saved in between."""
    return viz.draw(loss_of(LeNet()), *batch(), backward=True, title="LeNet, forward and backward")


def lenet_modules():
    """The same, one box for each part of the network."""
    graph = viz.trace(loss_of(LeNet()), *batch(), backward=True, title="LeNet, by modules")
    return graph.depth(1).simplify()


def residual():
    """A tensor that is used twice receives the sum of two gradients."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Block(8))
    image = tg.zeros(1, 3, 32, 32)
    return viz.draw(network, image, backward=True, title="A residual block")


def gradient_penalty():
    """A loss that contains a gradient: the backward of the network is part of the graph."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))

    def penalty(image):
        (slope,) = tg.autograd.grad(network(image).sum(), image, create_graph=True)
        return ((slope**2).sum(dim=(1, 2, 3)).sqrt() - 1.0).square().mean()

    image = tg.zeros(2, 1, 8, 8, requires_grad=True)
    return viz.draw(penalty, image, title="Gradient penalty")


def wrong_shape():
    """An image of another size: the graph ends at the operator that refuses, and says why."""
    return viz.draw(LeNet(), tg.zeros(8, 1, 32, 32), title="LeNet with 32x32 images")


def batch():
    return tg.zeros(8, 1, 28, 28), tg.zeros(8, dtype="int64")


def loss_of(network):
    def loss(image, label):
        return F.cross_entropy(network(image), label)

    return loss


GRAPHS = (lenet_loss, lenet_training, lenet_modules, residual, gradient_penalty, wrong_shape)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [draw.__name__ for draw in GRAPHS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    names = parser.parse_args(arguments).names
    for name in names:
        if name not in known:
            parser.error(f"there is no graph {name!r}; there are {', '.join(known)}")
    FOLDER.mkdir(exist_ok=True)
    tg.manual_seed(0)
    for draw in GRAPHS:
        if not names or draw.__name__ in names:
            graph = draw()
            for ending in ("svg", "dot"):
                print(graph.render(FOLDER / f"{draw.__name__}.{ending}"))


if __name__ == "__main__":
    main()
