"""Adversarial examples: a small change of the image that misleads, found by its gradient.

The loss of a trained net is differentiated by the image instead of by the weights:

    FGSM   x' = x + eps * sign(dL/dx)                        one step
    PGD    x' = the nearest to x' + step * sign(dL/dx')      many steps, each put back into the box
           of all images that differ from x by at most eps per pixel and lie between 0 and 1

Printed is the accuracy on test digits for several eps, also under noise of the same size, which
hardly harms. I. Goodfellow et al., Explaining and harnessing adversarial examples, 2015 (FGSM);
A. Madry et al., Towards deep learning models resistant to adversarial attacks, 2018 (PGD).
"""

from common import accuracy, check, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    settings = options(__doc__, arguments)
    train, (images, labels) = digits()
    if settings.quick:
        images, labels = images[:120], labels[:120]
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)),
    )
    fit(net, *train, epochs=4 if settings.quick else 15)
    net.eval()
    slope = tg.func.grad(lambda x: F.cross_entropy(net(x), labels, reduction="sum"))
    print("   eps   noise    FGSM     PGD")
    for eps in (0.0, 0.05, 0.1, 0.2):
        noise = clipped(images + eps * tg.rand(images.shape).sub(0.5).sign())
        found = [accuracy(net, x, labels) for x in
                 (noise, fgsm(slope, images, eps), pgd(slope, images, eps))]  # fmt: skip
        print(f"{eps:6.2f} " + "".join(f"{score:8.1%}" for score in found))
    check(found[1] < found[0] - 0.2, "FGSM harms more than noise of the same size")
    check(found[2] <= found[1], "PGD harms no less than FGSM")


def fgsm(slope, images, eps):
    with tg.no_grad():
        return clipped(images + eps * slope(images).sign())


def pgd(slope, images, eps, steps=10):
    moved = images
    with tg.no_grad():
        for _ in range(steps):
            step = moved + eps / 4 * slope(moved).sign()
            moved = clipped(tg.maximum(tg.minimum(step, images + eps), images - eps))
    check(((moved - images).abs() <= eps + 1e-6).all().item(), "no pixel moves by more than eps")
    return moved


def clipped(images):
    return images.clamp(0, 1)


if __name__ == "__main__":
    main()
