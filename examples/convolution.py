"""Convolution: the size of its result, and a kernel made by hand that finds edges in a photograph.

With O kernels the result has O channels, and along each axis, with the kernel k spread by dilation,

    H_out = floor((H_in + 2*padding - dilation*(k - 1) - 1) / stride) + 1

A table puts the formula beside what F.conv2d gives; a kernel that does not fit is refused with the
same formula. Then two Sobel kernels, one for vertical and one for horizontal edges, make two
channels of a photograph, and their length sqrt(a^2 + b^2) is written as a picture. A part is
computed again by loops, which do what the sum says:

    h[o,p,q] = sum_{c,i,j} w[o,c,i,j] * I[c, p*stride + i*dilation - padding, ...]
"""

import numpy as np
from common import check, options
from PIL import Image

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F

# in, kernel, stride, padding, dilation: for both axes, or one for each
CASES = [
    (8, 3, 1, 0, 1),
    (8, 3, 1, 1, 1),
    (8, 3, 2, 1, 1),
    (9, 3, 2, 1, 1),
    (8, 3, 1, 2, 2),
    (12, 5, 3, 2, 2),
    ((8, 12), (3, 5), (1, 2), (1, 0), (1, 2)),
]
EDGES = [
    [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]],  # brighter on the right
    [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]],  # brighter below
]


def main(arguments=None):
    settings = options(__doc__, arguments, out="convolution")
    table()
    image = photograph()[:, :200, :300] if settings.quick else photograph()
    kernels = tg.tensor(EDGES).unsqueeze(1)  # [O, C, KH, KW] = [2, 1, 3, 3]
    edges = F.conv2d(image.unsqueeze(0), kernels)[0]
    print(f"\n{image.shape} image, {kernels.shape} kernels -> {edges.shape} edges")
    expected = by_loops(image[:, 90:102, 90:102].numpy(), kernels.numpy())
    found = edges[:, 90:100, 90:100].numpy()
    check(np.allclose(found, expected, atol=1e-5), "loops give the same")
    print(f"10x10 pixels by loops: the largest difference is {np.abs(found - expected).max():.1e}")

    length = (edges**2).sum(dim=0).sqrt()
    row, column = divmod(length.argmax().item(), length.shape[1])
    print(f"the strongest edge is at row {row}, column {column}")
    save(image[0], settings.out / "photograph.png")
    save((length / length.max()).clamp(0, 1), settings.out / "edges.png")
    print(f"pictures in {settings.out}")


def table():
    print("in        kernel  stride  padding  dilation  formula  conv2d")
    for case in CASES:
        size, kernel, stride, padding, dilation = (both(n) for n in case)
        formula = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        )
        image, kernels = tg.zeros(1, 3, *size), tg.zeros(4, 3, *kernel)
        y = F.conv2d(image, kernels, None, stride, padding, dilation)
        check(y.shape == (1, 4, *formula), f"{y.shape} is as the formula says")
        words = ["x".join(map(str, both(n))) for n in (*case, formula, y.shape[2:])]
        print("{:<9} {:<7} {:<7} {:<8} {:<9} {:<8} {}".format(*words))
    try:
        F.conv2d(tg.zeros(1, 3, 8, 8), tg.zeros(4, 3, 5, 5), dilation=3)
    except tg.ShapeError as error:
        print(f"\nand where the kernel does not fit:\n{error}")


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def photograph():
    """The picture of a temple that scikit-learn ships, in grey, [1, 427, 640] between 0 and 1."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("china.jpg").astype(np.float32) / 255
    return tg.tensor(pixels).mean(dim=2).unsqueeze(0)


def by_loops(image, kernels):
    """[O, H - 2, W - 2]: the sum of the formula, for 3x3 kernels at stride 1 and no padding."""
    result = np.zeros((len(kernels), image.shape[1] - 2, image.shape[2] - 2))
    for o, p, q in np.ndindex(result.shape):
        for c, i, j in np.ndindex(kernels.shape[1:]):
            result[o, p, q] += kernels[o, c, i, j] * image[c, p + i, q + j]
    return result


def save(picture, path):
    Image.fromarray((picture * 255).round().numpy().astype(np.uint8)).save(path)


if __name__ == "__main__":
    main()
