"""3D convolution: a small C3D says where a digit moves, which no single frame can tell.

A clip is a digit of 8x8 pixels that moves by one pixel per frame up, down, left or right on a 16x16
field, and comes in again at the other side. A kernel of KD x KH x KW also slides over time,

    h[o,d,p,q] = sum_{c,i,j,k} w[o,c,i,j,k] * I[c, d + i, p + j, q + k],

so with KD = 3 it compares three frames. With KD = 1 every frame is seen by itself, and as pooling
and the mean at the end do not know the order of frames either, that net can only guess. Printed is
the accuracy of both on digits that were not in training; chance is 1 in 4.

After D. Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, 2015.
"""

import numpy as np
from common import accuracy, check, count, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn

STEPS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])  # up, down, left, right
FRAMES, FIELD = 6, 16


def main(arguments=None):
    settings = options(__doc__, arguments)
    number = 600 if settings.quick else 1437
    (train, _), (test, _) = digits()
    train, test = clips(train[:number]), clips(test)
    print(f"{number} clips to train on, {len(test[0])} to test on, each {train[0].shape[1:]}")

    found = {}
    for depth in (1, 3):
        tg.manual_seed(settings.seed)
        net = c3d(depth)
        fit(net, *train, epochs=6, lr=1e-2)
        found[depth] = accuracy(net, *test)
        print(f"kernels of {depth}x3x3: {count(net):,} parameters, "
              f"test accuracy {found[depth]:.1%}")  # fmt: skip
    check(found[1] < 0.4, "single frames do not tell the direction")
    check(found[3] > 0.6, "three frames do")


def clips(images):
    """([N, 1, D, H, W], directions [N]): every digit starts anywhere and moves in one direction."""
    images, number = images.numpy()[:, 0], len(images)
    field = np.pad(images, ((0, 0), (0, FIELD - 8), (0, FIELD - 8)))
    direction = tg.randint(0, 4, (number,)).numpy()
    start = tg.randint(0, FIELD, (number, 2)).numpy()
    moved = [
        np.stack([np.roll(image, place + t * step, axis=(0, 1)) for t in range(FRAMES)])
        for image, place, step in zip(field, start, STEPS[direction], strict=True)
    ]
    return tg.tensor(np.stack(moved)).unsqueeze(1), tg.tensor(direction)


def c3d(depth):
    """Two 3D convolutions with pooling, then the mean over time and place."""
    kernel, padding = (depth, 3, 3), (depth // 2, 1, 1)
    return nn.Sequential(
        nn.Conv3d(1, 8, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool3d((1, 2, 2)),
        nn.Conv3d(8, 16, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool3d((2, 2, 2)),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


if __name__ == "__main__":
    main()
