"""What three dilated convolutions see: rates 2, 2, 2 leave holes, rates 1, 2, 5 leave none.

    python examples/dilated_conv.py                    # 2,2,2 and 1,2,5
    python examples/dilated_conv.py --rates 1 2 4 8    # others

The weights of all 3x3 kernels are 1, so the gradient of one output pixel says how often each input
pixel is used for it. Equal rates see a grid of every second pixel only ("gridding"); rates without
a common factor see all, in a larger field. (P. Wang et al., Understanding Convolution for Semantic
Segmentation, 2018.)
"""

import argparse

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    options = parse(arguments)
    for rates in [options.rates] if options.rates else [(2, 2, 2), (1, 2, 5)]:
        uses = input_uses(rates)
        seen = np.count_nonzero(uses)
        print(f"rates {', '.join(map(str, rates))}: a field of {len(uses)}x{len(uses)} pixels, "
              f"of which {seen} of {uses.size} are used")  # fmt: skip
        print(as_map(uses), "\n")


def input_uses(rates):
    """How often each pixel of the receptive field is used: the gradient of the one output pixel.

    Each layer with kernel k and rate r widens the field by (k - 1)*r.
    """
    size = 1 + sum(2 * rate for rate in rates)
    image = tg.zeros(1, 1, size, size, requires_grad=True)
    y = image
    for rate in rates:
        y = F.conv2d(y, tg.ones(1, 1, 3, 3), dilation=rate)
    y.backward(tg.ones_like(y))  # y is 1x1
    return image.grad[0, 0].numpy().round().astype(int)


def as_map(uses):
    width = len(str(uses.max())) + 1
    lines = ["".join(f"{n or '.':>{width}}" for n in row) for row in uses.tolist()]
    return "\n".join(lines)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no difference: it takes no time")
    parser.add_argument("--rates", type=rate, nargs="+", help="of the layers, the first one first")
    return parser.parse_args(arguments)


def rate(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)


if __name__ == "__main__":
    main()
