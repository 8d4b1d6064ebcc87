"""Deformable convolution: every tap of the kernel learns where to look.

A convolution reads at the fixed places p + k around p, with k = (-1,-1), (-1,0) ... (1,1) for 3x3.
A deformable one adds an offset for each place and tap, and reads between the pixels bilinearly,

    h[p] = sum_k w[k] * I(p + k + offset[p,k])

and the offsets are made by another convolution, here from a map that says near or far. The task is
to look at near things with a wide kernel: the target is a plain convolution where the map is 0, and
the same kernel at dilation 3 where it is 1. Only the layer of the offsets learns, from zeros. It
should find offset = 2 k * map. Printed is what it finds; the places read at two points of the
photograph are drawn. J. Dai et al., Deformable Convolutional Networks, 2017.
"""

import numpy as np
from common import check, figure, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F

TAPS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])  # (down, right)
SIZE = 48


def main(arguments=None):
    settings = options(__doc__, arguments, out="deformable_conv")
    images = photographs(8)
    kernel = tg.randn(8, 1, 3, 3)
    near = tg.zeros(1, 1, SIZE, SIZE)
    near[..., SIZE // 2 :] = 1.0  # the right half
    target = tg.where(near == 1, *(F.conv2d(images, kernel, padding=d, dilation=d) for d in (3, 1)))

    offsets = nn.Conv2d(1, 2 * len(TAPS), kernel_size=1)  # (down, right) of each tap
    for parameter in offsets.parameters():
        nn.init.zeros_(parameter)
    first, last = learn(offsets, images, kernel, near, target, steps=40 if settings.quick else 250)
    print(f"mean squared error {first:.4f} with the plain kernel, {last:.6f} with learned offsets")
    check(last < first / 5, "the offsets learn")

    found = offsets(near)[0].detach().numpy()  # [18, H, W]
    left, right = (found[:, SIZE // 2, column].reshape(-1, 2) for column in (10, SIZE - 10))
    print("tap             offset: far            near          wanted")
    for tap, far, close in zip(TAPS, left, right, strict=True):
        print(f"({tap[0]:>2}, {tap[1]:>2})    {pair(far):>16}{pair(close):>16}{pair(2 * tap):>16}")
    error = np.abs(np.concatenate([left, right - 2 * TAPS])).max()
    print(f"the largest error is {error:.3f} pixels")
    check(settings.quick or error < 0.2, "the offsets are those of the target")
    sharpest = images[images.std(dim=(1, 2, 3)).argmax().item(), 0]
    draw(sharpest, {(24, 10): left, (24, SIZE - 10): right}, settings.out / "sampling.svg")


def photographs(number):
    """[N, 1, SIZE, SIZE]: parts of a picture that scikit-learn ships, in grey, a little blurred."""
    from sklearn.datasets import load_sample_image

    pixels = tg.tensor(load_sample_image("china.jpg").astype(np.float32) / 255).mean(dim=2)
    smooth = pixels.reshape(1, 1, *pixels.shape)
    for _ in range(2):
        smooth = F.avg_pool2d(smooth, 5, stride=1, padding=2)
    smooth = (smooth - smooth.mean()) / smooth.std()
    rows = tg.randint(0, smooth.shape[2] - SIZE, (number,)).tolist()
    columns = tg.randint(0, smooth.shape[3] - SIZE, (number,)).tolist()
    parts = [smooth[0, :, i : i + SIZE, j : j + SIZE] for i, j in zip(rows, columns, strict=True)]
    return tg.stack(parts)


def learn(layer, images, kernel, near, target, steps):
    """The error before and after; the parameters of the kernel stay as they are."""
    optimizer = tg.optim.Adam(layer.parameters(), lr=0.05)
    maps = near.expand(len(images), 1, SIZE, SIZE)
    errors = []
    for _ in range(steps):
        y = F.deform_conv2d(images, layer(maps), kernel, padding=1)
        inside = slice(6, -6)  # of the border, which reads zeros
        loss = F.mse_loss(y[..., inside, inside], target[..., inside, inside])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    return errors[0], errors[-1]


def pair(offset):
    down, right = np.round(offset, 2) + 0.0  # -0.0 becomes 0.0
    return f"({down:.2f}, {right:.2f})"


def draw(image, places, path):
    page, ((axis,),) = figure(1, 1, width=6, height=6)
    axis.imshow(image.numpy(), cmap="gray")
    for (row, column), offset in places.items():
        for start, end in zip(TAPS, TAPS + offset, strict=True):
            axis.plot(column + start[1], row + start[0], "o", color="tab:orange", mfc="none")
            axis.plot(column + end[1], row + end[0], "o", color="tab:cyan")
    axis.set_title("where a 3x3 kernel reads: plain (rings), with learned offsets (dots)")
    axis.set_axis_off()
    page.savefig(path)
    print(f"picture in {path}")


if __name__ == "__main__":
    main()
