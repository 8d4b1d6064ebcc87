"""Transposed convolution: the way back through a convolution, and a convolution itself.

Forward, a convolution of a 3x3 image by a 2x2 kernel makes 2x2 numbers of it. Backward, the 2x2
gradients become a 3x3 gradient of the image: an upsampling, and as an operator of its own it is
called transposed convolution. It can be written as an ordinary convolution: put stride - 1 zeros
between the pixels (so it is also said to have the stride 1/s), put a border of kernel - 1 - padding
zeros around them, and convolve with the kernel turned by half a turn.
"""

import argparse

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F

# size, kernel, stride, padding, output_padding
CASES = [(2, 2, 1, 0, 0), (2, 3, 2, 0, 0), (3, 3, 2, 1, 1), (4, 4, 2, 1, 0), (3, 2, 3, 0, 1)]


def main(arguments=None):
    parse(arguments)
    tg.manual_seed(0)
    backward_of_a_convolution()
    print("in   kernel stride padding output_padding   out = (in - 1)*s - 2*p + k + output_padding")
    for case in CASES:
        both_ways(*case)


def backward_of_a_convolution():
    """2x2 gradients become a 3x3 gradient, by the backward pass and by a transposed convolution."""
    image = tg.arange(9.0).reshape(1, 1, 3, 3).requires_grad_()
    kernel = tg.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    result = F.conv2d(image, kernel)
    slope = tg.tensor([[[[1.0, 0.0], [0.0, 10.0]]]])
    result.backward(slope)
    same("the backward pass", image.grad, F.conv_transpose2d(slope, kernel))
    show("3x3 image, convolved to 2x2", result)
    show("2x2 gradient", slope)
    show("3x3 gradient of the image", image.grad)


def both_ways(size, k, stride, padding, extra):
    """A transposed convolution against a convolution of the stretched image, and against the
    gradient of the convolution that goes the other way."""
    x, weight = tg.randn(1, 2, size, size), tg.randn(2, 3, k, k)
    y = F.conv_transpose2d(x, weight, None, stride, padding, extra)
    out = (size - 1) * stride - 2 * padding + k + extra
    if y.shape != (1, 3, out, out):
        raise SystemExit(f"the size is {y.shape[2:]}, the formula says {out}")

    border = k - 1 - padding
    stretched = F.pad(with_zeros(x, stride), (border, border + extra, border, border + extra))
    turned = weight.flip((2, 3)).transpose(0, 1)
    same("a convolution", y, F.conv2d(stretched, turned))

    image = tg.zeros(1, 3, out, out, requires_grad=True)
    F.conv2d(image, weight, None, stride, padding).backward(x)
    same("the gradient of a convolution", y, image.grad)
    print(f"{size}x{size}  {k}x{k}    {stride}      {padding}       {extra}"
          f"                {out}x{out}, equal both ways")  # fmt: skip


def with_zeros(x, stride):
    """stride - 1 zeros between neighbouring pixels."""
    rows, columns = ((n - 1) * stride + 1 for n in x.shape[2:])
    stretched = tg.zeros(*x.shape[:2], rows, columns)
    stretched[:, :, ::stride, ::stride] = x
    return stretched


def same(name, found, expected):
    if not tg.allclose(found.detach(), expected.detach(), atol=1e-5):
        raise SystemExit(f"{name} gives {expected.tolist()} instead of {found.tolist()}")


def show(name, image):
    print(f"{name}\n{image[0, 0].detach().numpy()}\n")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no difference: it takes no time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
