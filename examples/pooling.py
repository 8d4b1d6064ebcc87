"""Max and average pooling of a 4x4 image by windows of 2x2, forward and backward.

Forward, each window becomes one number. Backward, with a gradient of 1 for each of them: the
maximum passes it to the pixel that won, the mean gives a quarter to each of its four pixels.
"""

import argparse

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F

IMAGE = [
    [2.0, 3.0, 3.0, 4.0],
    [6.0, 7.0, 8.0, 9.0],
    [4.0, 3.0, 2.0, 0.0],
    [2.0, 3.0, 4.0, 5.0],
]


def main(arguments=None):
    parse(arguments)
    show("image", tg.tensor(IMAGE))
    for name, pool in (("max", F.max_pool2d), ("average", F.avg_pool2d)):
        image = tg.tensor([[IMAGE]], requires_grad=True)  # [N, C, H, W] with N = C = 1
        pooled = pool(image, 2)
        show(f"{name} pooling", pooled[0, 0])
        pooled.backward(tg.ones_like(pooled))
        show(f"gradient of {name} pooling", image.grad[0, 0])


def show(name, matrix):
    print(f"{name}\n{matrix.detach().numpy()}\n")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no difference: it takes no time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
