"""A convolution, its gradients, and the picture of both: the first picture of the README. Writes
first_graph.svg into the working directory."""

import argparse
import sys

if len(sys.argv) > 1:  # --help, or an argument that it does not take
    argparse.ArgumentParser(description=__doc__).parse_args()

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F

image = tg.rand(1, 3, 8, 8)
kernel = tg.randn(4, 3, 3, 3, requires_grad=True)
bias = tg.zeros(4, requires_grad=True)
loss = (F.conv2d(image, kernel, bias, padding=1).relu() ** 2).mean()

names = {"image": image, "kernel": kernel, "bias": bias}
tg.viz.draw(loss, backward=True, names=names).render("first_graph.svg")

loss.backward()
print(kernel.grad.shape)
