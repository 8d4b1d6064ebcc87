"""MAML: learning to learn, by a gradient through a gradient step.

A task is a sine wave of its own height and phase, and ten points of it. The net is to fit the wave
after one step of gradient descent from weights w that all tasks share:

    w_task = w - rate * dL_task/dw          the inner step, on ten points
    L(w) = mean over tasks of L_task(w_task)     on ten other points of the same wave

The outer gradient dL/dw goes through the inner step, so it has second derivatives in it. Printed is
the error on new waves before and after the inner step, from weights learned in this way and from
weights that were trained on all waves at once.
C. Finn et al., Model-agnostic meta-learning, 2017.
"""

import math

from common import check, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.func import functional_call, grad
from tinygrad_cv.nn import functional as F

RATE, TASKS, POINTS = 0.05, 8, 10


def main(arguments=None):
    settings = options(__doc__, arguments)
    steps = 150 if settings.quick else 1500
    net = nn.Sequential(
        *(nn.Linear(1, 40), nn.Tanh()), *(nn.Linear(40, 40), nn.Tanh()), nn.Linear(40, 1)
    )
    start = {name: p.detach() for name, p in net.named_parameters()}
    new = [wave() for _ in range(100)]
    found = {}
    for name, inner in (("all at once", False), ("MAML", True)):
        weights = trained(net, start, inner, steps)
        before = sum(error(net, weights, task[1]).item() for task in new) / len(new)
        after = sum(error(net, stepped(net, weights, task[0]), task[1]).item() for task in new)
        found[name] = after / len(new)
        print(f"{name:<12} error {before:.4f}, after one step {found[name]:.3f}")
    check(found["MAML"] < 0.8 * found["all at once"], "MAML's weights learn faster")


def wave():
    """Ten points to learn from and ten to test with: two pairs (x, y), each [10, 1]."""
    height, phase = 0.5 + 2 * tg.rand(1), math.pi * tg.rand(1)
    xs = [tg.rand(POINTS, 1) * 10 - 5 for _ in range(2)]
    return [(x, height * (x + phase).sin()) for x in xs]


def error(net, weights, points):
    x, y = points
    return F.mse_loss(functional_call(net, weights, (x,)), y)


def stepped(net, weights, points):
    """The inner step; what comes out can be differentiated by what goes in."""
    slopes = grad(lambda weights: error(net, weights, points))(weights)
    return {name: w - RATE * slopes[name] for name, w in weights.items()}


def trained(net, start, inner, steps):
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    optimizer = tg.optim.Adam(list(weights.values()), lr=2e-3)

    def loss(weights, tasks):
        after = [stepped(net, weights, task[0]) if inner else weights for task in tasks]
        found = [error(net, w, task[1]) for w, task in zip(after, tasks, strict=True)]
        return tg.stack(found).mean()

    for _ in range(steps):
        with tg.no_grad():  # no third derivative is wanted
            slopes = grad(loss)(weights, [wave() for _ in range(TASKS)])
        for name, w in weights.items():
            w.grad = slopes[name]
        optimizer.step()
    return {name: w.detach() for name, w in weights.items()}


if __name__ == "__main__":
    main()
