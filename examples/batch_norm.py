"""Batch normalisation: what is recorded for the test, where it stands, and what it does in both.

In training every channel is normalised by its own batch, over N, H and W, and learns a scale and a
shift; for the test a mean and a variance are recorded on the way:

    y = gamma (x - mean) / sqrt(var + eps) + beta        var = sum (x - mean)^2 / m
    momentum=0.1    running = 0.9 running + 0.1 batch    the usual way
    momentum=None   the mean of all batches so far       cumulative
    momentum=1.0    the last batch                       the lecture's way

What is recorded is the variance with m - 1 instead of m. Printed are the three records beside the
formulas, then nets with conv-BN-ReLU and conv-ReLU-BN: their accuracy with recorded statistics
(eval) and with those of the test batch (train). The cumulative mean also counts batches that young
weights made, so it is recorded once more with the final weights.
S. Ioffe and C. Szegedy, Batch Normalization, 2015.
"""

import numpy as np
from common import accuracy, check, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn


def main(arguments=None):
    settings = options(__doc__, arguments)
    one_batch()
    records()
    try:
        nn.BatchNorm2d(3)(tg.zeros(1, 3, 1, 1))
    except tg.TinygradError as error:
        print(f"\none value per channel has no variance:\n  {error}".replace("\n", "\n  "))
    placements(epochs=2 if settings.quick else 8)


def one_batch():
    x, layer = 3 + 2 * tg.randn(16, 4, 5, 5), nn.BatchNorm2d(4)
    y = layer(x)
    array = x.numpy()
    mean, var = array.mean((0, 2, 3), keepdims=True), array.var((0, 2, 3), keepdims=True)
    check(np.allclose(y.detach(), (array - mean) / np.sqrt(var + 1e-5), atol=1e-5), "the formula")
    new = y.detach().permute(1, 0, 2, 3).flatten(1)  # a row for each channel
    print(f"train: mean {mean.mean():.2f} and variance {var.mean():.2f} become "
          f"{abs(new.mean().item()):.2f} and {new.var(dim=1).mean().item():.2f}")  # fmt: skip


def records(batches=4):
    """Means and variances of one channel whose batches differ, as the three layers record them."""
    values = [n + (1 + n) * tg.randn(8, 1, 2, 2) for n in range(batches)]
    means = [x.mean().item() for x in values]
    variances = [x.var().item() for x in values]  # with m - 1
    print("\nbatch      " + "".join(f"{n:>8}" for n in range(1, batches + 1)))
    print("mean       " + "".join(f"{m:>8.3f}" for m in means))
    print("variance   " + "".join(f"{v:>8.3f}" for v in variances))
    for momentum in (0.1, None, 1.0):
        layer = nn.BatchNorm2d(1, momentum=momentum)
        expected = [0.0, 1.0]
        for n, x in enumerate(values):
            layer(x)
            rate = 1 / (n + 1) if momentum is None else momentum
            batch = (means[n], variances[n])
            expected = [(1 - rate) * e + rate * b for e, b in zip(expected, batch, strict=True)]
        found = [layer.running_mean.item(), layer.running_var.item()]
        check(np.allclose(found, expected, atol=1e-4), f"the record with momentum={momentum}")
        print(f"momentum={momentum!s:<5} recorded mean {found[0]:.3f}, variance {found[1]:.3f}")


def placements(epochs):
    (images, labels), test = digits()
    print("\nplacement       momentum    eval   train")
    for placement in ("conv-BN-ReLU", "conv-ReLU-BN"):
        for momentum in (0.1, None, 1.0):
            net = nn.Sequential(
                *block(1, 16, placement, momentum),
                nn.MaxPool2d(2),
                *block(16, 32, placement, momentum),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(32, 10),
            )
            fit(net, images, labels, epochs, lr=1e-2)
            found = accuracy(net, *test)
            by_batch = (run(net, test[0]).argmax(dim=1) == test[1]).float().mean().item()
            print(f"{placement:<16}{momentum!s:<8}{found:>8.1%}{by_batch:>8.1%}")
            if momentum is None:
                record_again(net, images)
                found = accuracy(net, *test)
                print(f"{'':<16}{'again':<8}{found:>8.1%}")
            check(min(found, by_batch) > 0.7, f"{placement} learns the digits")


def record_again(net, images):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    for part in images.split(64):
        run(net, part)


@tg.no_grad()
def run(net, images):
    """The outputs in training mode, which also records the statistics of this batch."""
    return net.train()(images)


def block(channels, kernels, placement, momentum):
    convolution = nn.Conv2d(channels, kernels, 3, padding=1, bias=False)  # beta is its bias
    norm, relu = nn.BatchNorm2d(kernels, momentum=momentum), nn.ReLU()
    return [convolution, norm, relu] if placement == "conv-BN-ReLU" else [convolution, relu, norm]


if __name__ == "__main__":
    main()
