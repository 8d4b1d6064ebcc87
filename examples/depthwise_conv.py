"""Grouped and depthwise convolution: what they cost beside a dense one.

With groups=G, each kernel sees C/G channels instead of C. G = C is depthwise convolution: one
kernel for each channel, which mixes nothing; a 1x1 convolution behind it mixes. For O kernels of
KxK and an HxW image, without bias,

    dense                 O*C*K*K            parameters, times 2*H*W operations
    in G groups           O*C/G*K*K
    depthwise separable   C*K*K + C*O        = dense * (1/O + 1/K^2)

Printed are these numbers beside those of model.summary(), the time of one call, and how far each
result is from the loops of the definition. After A. Howard et al., MobileNets, 2017.
"""

import time

import numpy as np
from common import check, count, options

import tinygrad_cv as tg
from tinygrad_cv import nn

C, O, K, GROUPS = 64, 64, 3, 8


def main(arguments=None):
    settings = options(__doc__, arguments)
    size = 32 if settings.quick else 56
    blocks = {
        "dense": nn.Conv2d(C, O, K, padding=1, bias=False),
        f"{GROUPS} groups": nn.Conv2d(C, O, K, padding=1, bias=False, groups=GROUPS),
        "separable": nn.Sequential(
            nn.Conv2d(C, C, K, padding=1, bias=False, groups=C), nn.Conv2d(C, O, 1, bias=False)
        ),
    }
    parameters = {
        "dense": O * C * K * K,
        f"{GROUPS} groups": O * C // GROUPS * K * K,
        "separable": C * K * K + C * O,
    }
    print(f"an image of {C} x {size} x {size}, {O} kernels of {K}x{K}\n"
          "block       parameters  of dense       FLOPs  time in ms   loops differ by")  # fmt: skip
    for name, block in blocks.items():
        table = block.summary(1, C, size, size)
        check(table.parameters == count(block) == parameters[name], f"parameters of {name}")
        check(table.flops == 2 * size * size * parameters[name], f"operations of {name}")
        difference = against_loops(block)
        share, took = table.parameters / parameters["dense"], milliseconds(block, size)
        print(f"{name:<12}{table.parameters:>10,}{share:>10.3f}{table.flops:>12,}{took:>12.2f}"
              f"{difference:>18.1e}")  # fmt: skip
    print(f"1/O + 1/K^2 = {1 / O + 1 / K**2:.3f}")


def milliseconds(block, size, calls=10):
    """The fastest of some calls for one image."""
    image, times = tg.randn(1, C, size, size), []
    with tg.no_grad():
        for _ in range(calls):
            start = time.perf_counter()
            block(image)
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def against_loops(block):
    """The largest difference from the definition, on an image of 4x4 pixels."""
    image = tg.randn(1, C, 4, 4)
    expected = image[0].numpy()
    for conv in block if isinstance(block, nn.Sequential) else [block]:
        expected = by_loops(expected, conv.weight.detach().numpy(), conv.groups, conv.padding[0])
    difference = np.abs(block(image)[0].detach().numpy() - expected).max()
    check(difference < 1e-5, "loops give the same")
    return difference


def by_loops(image, kernels, groups, padding):
    """h[o,p,q] = sum_{c,i,j} w[o,c,i,j] * I[g*C/G + c, p + i, q + j], with o in group g."""
    side, inside = [padding, padding], kernels.shape[1]
    padded = np.pad(image.astype(float), ([0, 0], side, side))
    result = np.zeros((len(kernels), *image.shape[1:]))
    for o, c, i, j in np.ndindex(kernels.shape):
        group = o // (len(kernels) // groups)
        rows, columns = (slice(k, k + n) for k, n in zip((i, j), image.shape[1:], strict=True))
        result[o] += kernels[o, c, i, j] * padded[group * inside + c, rows, columns]
    return result


if __name__ == "__main__":
    main()
