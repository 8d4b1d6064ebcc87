"""A convolution as a product with a matrix, forward and backward, on a 3x3 image and a 2x2 kernel.

    h = C I          the result: C holds the kernel, a row for each position of it
    dI = C^T dh      the gradient of the image: the same matrix, transposed
    dw = I_c dh      the gradient of the kernel: I_c holds the image, a row for each weight

Every product is compared with what convolution and its backward pass give.
"""

import argparse

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    parse(arguments)
    image = tg.arange(9.0).reshape(1, 1, 3, 3).requires_grad_()  # I_0 ... I_8
    kernel = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)  # w_00 w_01 w_10 w_11
    show("I", image[0, 0])
    show("w", kernel[0, 0])

    matrix = F.conv_matrix(kernel, (3, 3)).detach()  # [4, 9]
    show("C", matrix)

    result = F.conv2d(image, kernel)
    check("h = C I", matrix @ image.flatten(), result)

    slope = tg.tensor([[[[1.0, -1.0], [0.5, 2.0]]]])  # dh: what comes back from the loss
    show("dh", slope[0, 0])
    result.backward(slope)
    check("dI = C^T dh", matrix.T @ slope.flatten(), image.grad)

    columns = image_matrix(image[0, 0].detach())  # [4, 4]
    show("I_c", columns)
    check("dw = I_c dh", columns @ slope.flatten(), kernel.grad)


def image_matrix(image):
    """I_c: for every weight, the pixels that it meets at the positions of the kernel."""
    return tg.stack([image[i : i + 2, j : j + 2].flatten() for i in (0, 1) for j in (0, 1)])


def show(name, matrix):
    print(f"{name}\n{matrix.detach().numpy()}\n")


def check(name, product, expected):
    """Print a product, or stop if convolution gives something else."""
    if not tg.allclose(product.reshape(expected.shape), expected.detach()):
        raise SystemExit(f"{name} is {product.tolist()}, convolution gives {expected.tolist()}")
    show(f"{name}, as convolution gives it", product.reshape(expected.shape)[0, 0])


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no difference: it takes no time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
