"""Dropout: what it does to the numbers, and to a network with too few examples.

In training each number is dropped with probability p. The lecture's p is the other one, the
probability to keep: q = 1 - p. Plain dropout makes y = x * mask with the mean q*x, so that the test
has to multiply by q. Inverted dropout divides in training instead,

    train: y = x * mask / (1 - p), whose mean is x        test: y = x

Printed are the values and the mean of F.dropout, its gradient (the same mask), and the accuracy of
a net with many weights and few digits to train on, three in ten of them with a label drawn at
random: without dropout the net learns even these by heart.
N. Srivastava et al., Dropout, 2014.
"""

import numpy as np
from common import accuracy, check, count, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    settings = options(__doc__, arguments)
    the_numbers()
    runs, epochs = (2, 20) if settings.quick else (10, 25)
    (images, labels), test = digits(per_class=10)
    wrong = tg.where(tg.rand(len(labels)) < 0.3, tg.randint(0, 10, labels.shape), labels)
    print(f"\n{len(images)} digits to train on, {(wrong != labels).sum().item()} with a wrong "
          f"label; {count(network(0)):,} weights; means of {runs} runs")  # fmt: skip
    found = {p: np.mean([trained(p, images, wrong, test, epochs) for _ in range(runs)], axis=0)
             for p in (0.0, 0.5)}  # fmt: skip
    for p, (in_train, in_test) in found.items():
        print(f"p = {p:.1f}   train {in_train:7.2%}   test {in_test:7.2%}")
    check(found[0.5][1] > found[0.0][1], "dropout helps")


def trained(p, images, labels, test, epochs):
    """The accuracy on the training and on the test part."""
    net = network(p)
    fit(net, images, labels, epochs, lr=2e-3, batch_size=20)
    return accuracy(net, images, labels), accuracy(net, *test)


def the_numbers(p=0.25, number=100_000):
    x = tg.full((number,), 2.0, requires_grad=True)
    y = F.dropout(x, p, training=True)
    y.sum().backward()
    kept = (y != 0).float().mean().item()
    print(f"p = {p}: the probability to drop; the lecture's p, to keep, is {1 - p}")
    print(f"train: 2 becomes {sorted(set(y.tolist()))}, {kept:.2%} are kept, "
          f"the mean is {y.mean().item():.3f}")  # fmt: skip
    print(f"test:  2 becomes {sorted(set(F.dropout(x, p, training=False).tolist()))}")
    check(abs(kept - (1 - p)) < 0.01 and abs(y.mean().item() - 2) < 0.02, "the mean is kept")
    check(tg.allclose(x.grad, (y.detach() != 0) / (1 - p)), "the gradient has the mask of forward")
    print(f"the gradient is {sorted(set(x.grad.tolist()))}: what was dropped learns nothing")


def network(p):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(256, 10),
    )


if __name__ == "__main__":
    main()
