"""Draw the graphs in examples/graphs, each as an SVG picture and as its DOT source, and their page.

    python examples/draw_graphs.py            # all of them
    python examples/draw_graphs.py residual   # one
    python examples/draw_graphs.py --measure  # all, with the times of this machine

The pictures follow the viewer's light or dark theme. Drawing needs a Graphviz engine: `dot`, or
the one inside the pygraphviz wheel.
"""

import argparse
import datetime
import itertools
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import tinygrad_cv as tg
from tinygrad_cv import nn, viz
from tinygrad_cv.autograd import plan_memory
from tinygrad_cv.cli import machine
from tinygrad_cv.models import C3D
from tinygrad_cv.nn import functional as F

FOLDER = Path(__file__).parent / "graphs"
TIMES = FOLDER / "profile.json"  # kept, since times are others in each run


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


class BasicBlock(nn.Module):
    """The block of ResNet-18: the path around it has a convolution where the size changes."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride > 1:
            around = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(around, nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet18(nn.Module):
    """Eighteen layers with weights (He et al., 2016)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = (64, 64, 128, 256, 512)
        for k, (before, after) in enumerate(itertools.pairwise(widths), 1):
            first = BasicBlock(before, after, stride=1 if k == 1 else 2)
            self.add_module(f"layer{k}", nn.Sequential(first, BasicBlock(after, after, 1)))
        self.fc = nn.Linear(512, 1000)

    def forward(self, image):
        x = self.maxpool(self.bn1(self.conv1(image)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class UNet(nn.Module):
    """Down twice, up twice, with a path across at each size (Ronneberger et al., 2015)."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = stage(1, 16), stage(16, 32), stage(32, 64)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.join2 = nn.ConvTranspose2d(64, 32, 2, stride=2), stage(64, 32)
        self.up1, self.join1 = nn.ConvTranspose2d(32, 16, 2, stride=2), stage(32, 16)
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, image):
        fine = self.down1(image)
        coarse = self.down2(self.pool(fine))
        x = self.up2(self.bottom(self.pool(coarse)))
        x = self.up1(self.join2(tg.cat([x, coarse], dim=1)))
        return self.head(self.join1(tg.cat([x, fine], dim=1)))


def stage(before, after):
    first, second = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


class Deformable(nn.Module):
    """One convolution says where the next one reads (Dai et al., 2017)."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(8, 2 * 9, 3, padding=1)  # (down, right) for each of 3x3 taps
        self.mask = nn.Conv2d(8, 9, 3, padding=1)
        self.deform = nn.DeformConv2d(8, 16, 3, padding=1)

    def forward(self, features):
        mask = self.mask(features).sigmoid()
        return self.deform(features, self.offset(features), mask).relu()


class Swish(tg.autograd.Function):
    """An operator of one's own, with a gradient made of operators."""

    equation = "y = x / (1 + e^-x)"
    gradients: ClassVar = {"x": "g * s (1 + x (1 - s)), s = 1 / (1 + e^-x)"}

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return g * s * (1.0 + x * (1.0 - s))


def mlp():
    """A network of two linear layers, forward and backward, with its loss."""
    network = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    image, label = tg.zeros(32, 784), tg.zeros(32, dtype="int64")
    return viz.draw(loss_of(network), image, label, backward=True, title="MLP, training step")


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


def resnet18():
    """ResNet-18 with one node for each residual block, equal ones folded to "x2"."""
    graph = viz.trace(ResNet18().to("meta"), tg.zeros(1, 3, 224, 224, device="meta"))
    return graph.repeat().depth(2).simplify()


def unet():
    """A U-Net by its stages: what goes down comes back beside what comes up."""
    graph = viz.trace(UNet().to("meta"), tg.zeros(1, 1, 64, 64, device="meta"), title="U-Net")
    return graph.depth(1).simplify()


def c3d():
    """Convolution and pooling over time and space (Tran et al., 2015), on a clip of 16 frames."""
    network = C3D(num_classes=10, widths=(16, 32, 64)).to("meta")
    clip = tg.zeros(4, 3, 16, 32, 32, device="meta")
    return viz.draw(network, clip, title="C3D")


def deformable():
    """A deformable convolution: features, offsets and mask meet in one operator."""
    return viz.draw(Deformable(), tg.zeros(1, 8, 16, 16), title="Deformable convolution, v2")


def double_backward():
    """The derivative of a derivative: the first backward is forward for the second."""

    def product(x, v):
        (slope,) = tg.autograd.grad(((x * x).sin()).sum(), x, create_graph=True)
        return (slope * v).sum()

    x, v = tg.zeros(5, requires_grad=True), tg.zeros(5)
    graph = viz.draw(product, x, v, backward=True, title="Hessian-vector product")
    return graph.stubs(uses=2)


def custom_operator():
    """An operator of one's own stands in the graph like any other, with its equation."""

    def loss(x):
        return Swish.apply(x @ weight).mean()

    weight = tg.zeros(8, 4, requires_grad=True)
    names = {"weight": weight}
    return viz.draw(loss, tg.zeros(16, 8), names=names, title="A custom operator").explain()


def ten_thousand():
    """An unrolled recurrent network of 10,000 operators: the middle is one node, and says so."""

    step = nn.Linear(8, 8).to("meta")

    def unrolled(state):
        for _ in range(5000):
            state = step(state).tanh()
        return state

    state = tg.zeros(1, 8, device="meta")
    return viz.draw(unrolled, state, max_nodes=14, title="Recurrent network, 5,000 steps")


def two_versions():
    """What differs between two versions of a network: added, removed, changed, moved."""
    before = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    after = [nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2)]
    before, after = nn.Sequential(*before), nn.Sequential(*after, nn.Flatten())
    return viz.diff(before, after, tg.zeros(8, 1, 28, 28), title="From one version to the next")


def explained():
    """Explain mode: every operator with its equation, its gradients and the shapes of this call."""
    network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
    return viz.draw(network, tg.zeros(8, 1, 28, 28), title="Explained", explain=True)


def profile():
    """Where the time of a training step goes, as it was measured on one machine."""
    return viz.Graph.from_json(TIMES.read_text(encoding="utf-8"))


def measured():
    """The graph of a training step with times; the first run compiles."""
    tg.manual_seed(0)
    loss, inputs = loss_of(LeNet()), batch()
    for _ in range(3):
        with tg.profile() as record:
            value = loss(*inputs)
            value.backward(retain_graph=True)
    names = dict(zip(("image", "label"), inputs, strict=True))
    options = {"backward": True, "names": names, "title": "LeNet, coloured by time"}
    graph = viz.draw(value, profile=record, **options)
    return viz.Graph(replace(graph.model, notes=(*graph.model.notes, circumstances())))


def circumstances():
    """Where and when the times were measured, which the picture says."""
    packages = ", ".join(f"{name} {machine.version(name)}" for name in ("numpy", "numba"))
    python, today = platform.python_version(), datetime.date.today()
    return (
        f"measured on {machine.cpu()}, {os.cpu_count()} cores, Python {python}, {packages}, {today}"
    )


def memory():
    """The bytes that a training step holds after each operator, planned without running it."""
    return plan_memory(loss_of(LeNet()), *batch()).to_svg()


def batch():
    return tg.zeros(8, 1, 28, 28), tg.zeros(8, dtype="int64")


def loss_of(network):
    def loss(image, label):
        return F.cross_entropy(network(image), label)

    return loss


GRAPHS = (mlp, lenet_loss, lenet_training, lenet_modules, residual, resnet18, unet, c3d)
GRAPHS += (deformable, gradient_penalty, double_backward, custom_operator, wrong_shape)
GRAPHS += (ten_thousand, two_versions, explained, profile, memory)


def page():
    """The text of the page that shows them."""
    lines = ["# Graphs, drawn by tinygrad_cv", ""]
    lines += [
        "Written, as the pictures are, by `python examples/draw_graphs.py`; each graph is there"
    ]
    lines += ["as SVG, which follows the theme of the reader, and as DOT.", ""]
    for draw in GRAPHS:
        name = draw.__name__
        title = name.replace("_", " ")
        lines += [f"## {title}", "", draw.__doc__, "", f"![{title}]({name}.svg)", ""]
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [draw.__name__ for draw in GRAPHS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    parser.add_argument("--measure", action="store_true", help="measure the times of profile anew")
    settings = parser.parse_args(arguments)
    for name in settings.names:
        if name not in known:
            parser.error(f"there is no graph {name!r}; there are {', '.join(known)}")
    FOLDER.mkdir(exist_ok=True)
    if settings.measure:
        print(measured().render(TIMES))
    for draw in GRAPHS:
        if settings.names and draw.__name__ not in settings.names:
            continue
        tg.manual_seed(0)
        graph = draw()
        if isinstance(graph, str):
            path = FOLDER / f"{draw.__name__}.svg"
            path.write_text(graph + "\n", encoding="utf-8")
            print(path)
        else:
            for ending in ("svg", "dot"):
                print(graph.render(FOLDER / f"{draw.__name__}.{ending}"))
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
