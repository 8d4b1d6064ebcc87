"""An implicit layer: its output is the solution of an equation, and its gradient another one.

A deep equilibrium layer repeats z <- tanh(W z + U x + b) until z moves no more; W and U are
convolutions. It is as deep as one likes, with the weights of one layer. To go back through all the
steps one would have to keep them. The implicit function theorem needs the end z* only:

    z* = f(z*, p)       u = dL/dz* + (df/dz)^T u       dL/dp = (df/dp)^T u

The equation for u has the same form as that for z*, with a function of its own. So the operator's
backward calls the operator, and derivatives of every order follow. Compared are the gradients of
both ways, of first and second order, and what they keep; then a net with this layer learns digits.
S. Bai, J. Z. Kolter and V. Koltun, Deep equilibrium models, 2019.
"""

from common import accuracy, check, count, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.func import vjp
from tinygrad_cv.nn import functional as F


class FixedPoint(tg.autograd.Function):
    """z = f(z, *parameters), by iteration from ``start``; where f is a contraction there is one."""

    equation, gradients = "z = f(z, p)", {"p": "(df/dp)^T u, u = g + (df/dz)^T u"}

    @staticmethod
    def forward(ctx, f, start, *parameters):
        z = solved(f, start, parameters)
        ctx.f = f
        ctx.save_for_backward(z, *parameters)
        return z

    @staticmethod
    def backward(ctx, g):
        f, (z, *parameters) = ctx.f, ctx.saved_tensors

        def back(u, g, z, *parameters):
            _, pull = vjp(lambda z: f(z, *parameters), z)
            return g + pull(u)[0]

        u = FixedPoint.apply(back, tg.zeros_like(g), g, z, *parameters)
        _, pull = vjp(lambda *parameters: f(z, *parameters), *parameters)
        return None, None, *pull(u)


def solved(f, z, parameters):
    precision = 1e-4 if z.dtype == tg.float32 else 1e-15
    for _ in range(1000):
        z, before = f(z, *parameters), z
        if (z - before).abs().max() <= precision * z.abs().max():
            return z
    raise SystemExit("not so: the iteration ends")


def step(z, drive, w):
    """tanh(W z + drive), where drive is U x + b. The absolute weights of each output sum to 0.8 at
    most, and tanh has slopes up to 1: no difference of two z grows."""
    size = w.abs().sum(dim=(1, 2, 3), keepdim=True)
    return (F.conv2d(z, w * (0.8 / size.clamp(min=0.8)), padding=1) + drive).tanh()


class Equilibrium(nn.Module):
    def __init__(self, channels, width, unrolled=0):
        super().__init__()
        self.drive = nn.Conv2d(channels, width, 3, padding=1)
        self.weight = nn.Parameter(0.1 * tg.randn(width, width, 3, 3))
        self.unrolled = unrolled  # for comparison: so many steps, all of them recorded

    def forward(self, x):
        drive = self.drive(x)
        z = tg.zeros_like(drive.detach())
        for _ in range(self.unrolled):
            z = step(z, drive, self.weight)
        return z if self.unrolled else FixedPoint.apply(step, z, drive, self.weight)


def main(arguments=None):
    settings = options(__doc__, arguments)
    (images, labels), test = digits(per_class=20 if settings.quick else None)
    compare(images[:4].double(), labels[:4])
    net = made(width=12)
    fit(net, images, labels, epochs=3 if settings.quick else 12)
    found = accuracy(net, *test)
    print(f"\n{count(net)} weights, test accuracy {100 * found:.1f}%")
    check(found > (0.5 if settings.quick else 0.9), "it has learned digits")


def made(width, unrolled=0):
    layer = Equilibrium(1, width, unrolled)
    return nn.Sequential(layer, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * width, 10))


def compare(images, labels):
    net = made(width=4).double()
    implicit = derivatives(net, images, labels)
    net[0].unrolled = 200
    unrolled = derivatives(net, images, labels)
    print("                         implicit   200 steps   difference")
    for name, a, b in zip(("dL/dW", "d|dL/dW|^2/dW"), implicit, unrolled, strict=False):
        size, gap = (a.norm().item(), b.norm().item()), (a - b).norm().item()
        print(f"size of {name:<14}{size[0]:11.6f}{size[1]:12.6f}{gap:13.1e}")
        check(gap < 1e-10 * size[1], f"{name} is the same both ways")
    nodes, kept = zip(implicit[2:], unrolled[2:], strict=True)
    print(f"operators in the graph {nodes[0]:10d}{nodes[1]:12d}")
    print(f"bytes kept for backward{kept[0]:10,d}{kept[1]:12,d}")
    check(kept[0] < kept[1] / 50, "one solution is kept, and not every step")


def derivatives(net, images, labels):
    """dL/dW, the gradient of its squared size, and how large the graph of L is."""
    with tg.profile() as profile:
        loss = F.cross_entropy(net(images), labels)
    weight = net[0].weight
    (first,) = tg.autograd.grad(loss, weight, create_graph=True)
    (second,) = tg.autograd.grad((first**2).sum(), weight)
    kept = sum(event.saved_bytes for event in profile.events)
    return first.detach(), second, len(tg.autograd.graph.nodes(loss)), kept


if __name__ == "__main__":
    main()
