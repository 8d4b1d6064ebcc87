"""Activations: values and slopes around 0, as a table and as a picture.

    ReLU(x) = max(0, x)                 slope 0 for x <= 0, 1 for x > 0
    Leaky ReLU(x) = max(0.01 x, x)      a small slope instead of 0, so that no element dies
    PReLU(x) = x or a*x for x <= 0      the same with a learned a, here 0.25
    ELU(x) = alpha (e^x - 1) for x<=0   slope ELU(x) + alpha there, alpha = 1
    SELU = 1.0507 ELU with alpha 1.673, CELU = ELU with x/alpha in the exponent
    Maxout = the largest of several     here of x and -x/2, two channels that become one
    sigmoid, tanh                       flat on both sides: there the gradient vanishes

The slopes come from backward(). At 0 most have a kink, and the table says which side counts. The
lecture writes PReLU as max(a*x, x); that is the same for a <= 1 only. Above it, as in PyTorch, a is
the slope of the negative side all the same.
"""

import numpy as np
from common import check, figure, options

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F

FUNCTIONS = {
    "ReLU": F.relu,
    "Leaky ReLU": F.leaky_relu,
    "PReLU": lambda x: F.prelu(x, tg.tensor([0.25])),
    "ELU": F.elu,
    "SELU": F.selu,
    "CELU": lambda x: F.celu(x, alpha=2.0),
    "Maxout": lambda x: F.maxout(tg.stack([x, -x / 2]), pool_size=2, dim=0)[0],
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
}
AT_ZERO = {
    "ReLU": 0, "Leaky ReLU": 0.01, "PReLU": 0.25, "ELU": 1, "SELU": 1.758, "CELU": 1,
    "Maxout": 1, "sigmoid": 0.25, "tanh": 1,
}  # fmt: skip
POINTS = [-3.0, -0.5, -0.001, 0.0, 0.001, 0.5, 3.0]


def main(arguments=None):
    settings = options(__doc__, arguments, out="activations")
    print(f"{'x':<19}" + "".join(f"{x:>9g}" for x in POINTS))
    for name, function in FUNCTIONS.items():
        values, slopes = both(function, POINTS)
        print(f"{name:<12}value  " + "".join(f"{y:>9.4f}" for y in values))
        print(f"{'':<12}slope  " + "".join(f"{y:>9.4f}" for y in slopes))
        check(abs(slopes[POINTS.index(0)] - AT_ZERO[name]) < 1e-3, f"{name} at 0")

    values, slopes = both(F.elu, POINTS)
    check(np.allclose(slopes[:4], values[:4] + 1), "the slope of ELU is ELU + alpha")
    _, slopes = both(lambda x: F.prelu(x, tg.tensor([2.0])), POINTS)
    print(f"\nPReLU with a = 2: slope {slopes[0]:g} at x = -3, where max(2x, x) = x has 1")
    check(slopes[0] == 2, "the slope of PReLU is a")
    draw(settings.out / "activations.svg")


def both(function, points):
    """Values and slopes at some points, by one forward and one backward pass."""
    x = tg.tensor(points, requires_grad=True)
    y = function(x)
    y.backward(tg.ones_like(y))
    return y.detach().numpy(), x.grad.numpy()


def draw(path):
    line = np.linspace(-4, 4, 401, dtype=np.float32)
    page, axes = figure(3, 3, width=9)
    for axis, (name, function) in zip(axes.flat, FUNCTIONS.items(), strict=True):
        value, slope = both(function, line)
        axis.plot(line, value, label="value")
        axis.plot(line, slope, "--", label="slope")
        axis.set_title(name)
        axis.grid(alpha=0.3)
        axis.set_ylim(-2.2, 4.2)
    axes[0, 0].legend()
    page.savefig(path)
    print(f"picture in {path}")


if __name__ == "__main__":
    main()
