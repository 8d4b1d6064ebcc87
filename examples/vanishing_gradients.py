"""Vanishing gradients: what reaches the first layers of a deep network.

Behind a layer y = f(W x) the gradient is dx = W^T (f'(W x) * dy). The slope of the sigmoid is at
most 1/4, and nearly 0 where it is flat, so each layer makes the gradient smaller and the first ones
learn nothing. ReLU has the slope 1 wherever it lets something through. Batch normalisation brings
the inputs of f back to where its slope is large, and lets even the sigmoid learn.

The same network of many layers is trained on the digits with each of them. Printed and drawn is the
norm of the loss's gradient of every layer's weight before training, and the accuracy after it.
"""

from common import accuracy, check, digits, figure, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F

DEPTH, WIDTH = 12, 64
KINDS = {
    "sigmoid": lambda: [nn.Sigmoid()],
    "ReLU": lambda: [nn.ReLU()],
    "BN, sigmoid": lambda: [nn.BatchNorm1d(WIDTH), nn.Sigmoid()],
    "BN, ReLU": lambda: [nn.BatchNorm1d(WIDTH), nn.ReLU()],
}


def main(arguments=None):
    settings = options(__doc__, arguments, out="vanishing_gradients")
    train, test = digits()
    norms, scores = {}, {}
    for kind in KINDS:
        tg.manual_seed(settings.seed)
        net = network(kind)
        norms[kind] = gradient_norms(net, *(part[:200] for part in train))
        fit(net, *train, epochs=2 if settings.quick else 12, lr=2e-3)
        scores[kind] = accuracy(net, *test)

    print("gradient norm of the weights before training")
    print("layer" + "".join(f"{kind:>13}" for kind in KINDS))
    for layer, row in enumerate(zip(*norms.values(), strict=True), 1):
        print(f"{layer:>5}" + "".join(f"{norm:>13.1e}" for norm in row))
    print("accuracy after it\n     " + "".join(f"{score:>13.1%}" for score in scores.values()))

    loss = {kind: row[0] / row[-1] for kind, row in norms.items()}
    print("first layer / last layer: " + ", ".join(f"{k} {n:.0e}" for k, n in loss.items()))
    check(loss["sigmoid"] < 1e-4, "the sigmoid's gradient vanishes")
    check(min(loss["ReLU"], loss["BN, sigmoid"], loss["BN, ReLU"]) > 1e-3, "the others' stay")
    check(scores["sigmoid"] < 0.3, "and so that net learns nothing")
    check(min(scores["BN, sigmoid"], scores["BN, ReLU"]) > 0.6, "batch normalisation helps")
    draw(norms, settings.out / "gradient_norms.svg")


def network(kind):
    layers = [nn.Flatten()]
    for _ in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH), *KINDS[kind]()]
    net = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    for layer in linear_layers(net):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return net


def linear_layers(net):
    return [module for module in net if isinstance(module, nn.Linear)]


def gradient_norms(net, images, labels):
    """The norm of dL/dW for every layer, the first one first."""
    weights = [layer.weight for layer in linear_layers(net)]
    loss = F.cross_entropy(net(images), labels)
    return [slope.norm().item() for slope in tg.autograd.grad(loss, weights)]


def draw(norms, path):
    page, ((axis,),) = figure(1, 1, height=4.5)
    for kind, row in norms.items():
        axis.semilogy(range(1, len(row) + 1), row, "o-", label=kind)
    axis.set_xlabel("layer")
    axis.set_ylabel("norm of the gradient of the weight")
    axis.grid(alpha=0.3)
    axis.legend()
    page.savefig(path)
    print(f"picture in {path}")


if __name__ == "__main__":
    main()
