"""Batch, layer, instance and group normalisation, compared at batch sizes 1, 2, 8 and 32.

All four make y = gamma (x - mean) / sqrt(var + eps) + beta. They differ in the area of
x [N, C, H, W] that a mean and a variance belong to:

    batch      N, H, W of one channel              needs a batch, records statistics for the test
    layer      C, H, W of one image                no batch, for tensors of one size
    instance   H, W of one channel of one image    contrast is lost: style transfer
    group      H, W of some channels of one image  between the last two; detection, few images

The same net learns from the same digits with each, in batches of four sizes. Printed are its test
accuracy, and how much its outputs in training mode, where batch normalisation looks at the batch,
differ from those in evaluation mode, where it looks at the record: the smaller the batch, the less
it is like what was recorded. The other three do not know the batch.
Y. Wu and K. He, Group Normalization, 2018.
"""

import numpy as np
from common import accuracy, check, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn

LAYERS = {  # of C channels, with maps of size x size
    "batch": lambda C, size: nn.BatchNorm2d(C),
    "layer": lambda C, size: nn.LayerNorm([C, size, size]),
    "instance": lambda C, size: nn.InstanceNorm2d(C, affine=True),
    "group": lambda C, size: nn.GroupNorm(C // 4, C),
}


def main(arguments=None):
    settings = options(__doc__, arguments)
    areas()
    (images, labels), test = digits()
    steps, sizes = (60, (1, 32)) if settings.quick else (500, (1, 2, 8, 32))
    print(f"\n{steps} batches of" + "".join(f"{size:>16}" for size in sizes))
    apart = {}
    for name, layer in LAYERS.items():
        row = f"{name:<14}"
        for size in sizes:
            tg.manual_seed(settings.seed)
            net, chosen = network(layer), tg.randint(0, len(images), (steps * size,))
            fit(net, images[chosen], labels[chosen], epochs=1, batch_size=size)
            score = accuracy(net, *test)
            apart[name, size] = difference(net, test[0][:320], size)
            row += f"{score:>10.1%}{apart[name, size]:>6.2f}"
        print(row)
    print("each time: the test accuracy, and by how much the outputs differ between the two modes")
    check(apart["batch", 1] > apart["batch", 32] > 0, "small batches are unlike the record")
    others = [n for (name, _), n in apart.items() if name != "batch"]
    check(max(others) < 1e-5, "the others do the same in both modes")


@tg.no_grad()
def difference(net, images, size):
    """Root mean square of the difference, as a part of that of the outputs."""
    recorded = net.eval()(images)
    by_batch = tg.cat([net.train()(part) for part in images.split(size)])
    return (((by_batch - recorded) ** 2).mean() / (recorded**2).mean()).sqrt().item()


def areas(N=2, C=8, size=3):
    """The mean and variance of every area, by NumPy, beside what the layers give."""
    x = 5 + 3 * tg.randn(N, C, size, size)
    array = x.numpy()
    shapes = {  # of the means
        "batch": (array, (0, 2, 3)),
        "layer": (array, (1, 2, 3)),
        "instance": (array, (2, 3)),
        "group": (array.reshape(N, C // 4, 4, size, size), (2, 3, 4)),
    }
    print(f"x has the shape {x.shape}")
    for name, (parts, axes) in shapes.items():
        mean, var = parts.mean(axes, keepdims=True), parts.var(axes, keepdims=True)
        expected = ((parts - mean) / np.sqrt(var + 1e-5)).reshape(array.shape)
        check(np.allclose(LAYERS[name](C, size)(x).detach(), expected, atol=1e-5), name)
        print(f"{name:<9} {mean.size:>3} means, each of {array.size // mean.size:>3} numbers")


def network(norm):
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), norm(16, 8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), norm(32, 4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1, bias=False), norm(32, 2), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(32 * 2 * 2, 10),
    )


if __name__ == "__main__":
    main()
