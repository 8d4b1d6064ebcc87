"""Curvature of a loss: the largest eigenvalue of a Hessian that is never made.

The Hessian H of the loss by all weights has as many rows as there are weights. Power iteration

    v <- H v / |H v|,   lambda = v . H v

needs only products H v, each of which is the derivative of the gradient along v and costs a few
backwards. Near a minimum gradient descent with step size r is unstable where r * lambda > 2.
Printed is lambda in the course of training, and for comparison how the loss bends along the last v,
by the second difference (L(w + h*v) - 2*L(w) + L(w - h*v)) / h^2 of its values.
B. Pearlmutter, Fast exact multiplication by the Hessian, 1994.
"""

import numpy as np
from common import check, count, digits, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import functional
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    settings = options(__doc__, arguments)
    (images, labels), _ = digits(per_class=5 if settings.quick else 20)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10))
    net, images = net.double(), images.double()
    weights = {name: p.detach() for name, p in net.named_parameters()}

    def loss(weights):
        return F.cross_entropy(tg.func.functional_call(net, weights, (images,)), labels)

    print(f"{count(net)} weights\nsteps    loss  lambda  by values  products H v  2 / lambda")
    for steps in (0, *[20 if settings.quick else 200] * 3):
        weights = descended(loss, weights, rate=0.3, steps=steps)
        top, v, products = power_iteration(loss, weights)
        bend = second_difference(loss, weights, v)
        print(f"{steps:+5d}{loss(weights).item():8.4f}{top:8.4f}{bend:11.4f}", end="")
        print(f"{products:14d}{2 / top:12.2f}")
        check(abs(bend - top) < 1e-3 * top, "the loss bends by lambda along v")
    part = functional.hessian(lambda b: loss({**weights, "3.bias": b}), weights["3.bias"])
    check(top >= np.linalg.eigvalsh(part.numpy()).max(), "no part of H has a larger eigenvalue")


def power_iteration(loss, weights, tolerance=1e-6):
    v = {name: tg.randn(w.shape, dtype=w.dtype) for name, w in weights.items()}
    value = 0.0
    for step in range(1, 1001):
        size = dot(v, v) ** 0.5
        v = {name: part / size for name, part in v.items()}
        _, product = functional.hvp(loss, weights, v)
        value, before = dot(v, product), value
        if abs(value - before) < tolerance * abs(value):
            return value, v, step
        v = product
    raise SystemExit("not so: power iteration ends")


def second_difference(loss, weights, v, h=1e-3):
    """Of the loss along v, which has length 1."""
    far, near = ({name: w + s * h * v[name] for name, w in weights.items()} for s in (1, -1))
    return ((loss(far) - 2 * loss(weights) + loss(near)) / h**2).item()


def dot(a, b):
    return sum((a[name] * b[name]).sum().item() for name in a)


def descended(loss, weights, rate, steps):
    """The weights after gradient descent."""
    for _ in range(steps):
        slopes = tg.func.grad(loss)(weights)
        weights = {name: w - rate * slopes[name] for name, w in weights.items()}
    return weights


if __name__ == "__main__":
    main()
