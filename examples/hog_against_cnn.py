"""The old way against a CNN: hand-made features and a classifier, or one net from end to end.

The old way has separate steps. Histograms of oriented gradients (N. Dalal and B. Triggs, 2005): the
gradient of brightness at each pixel, gx = I[x+1] - I[x-1] and gy = I[y+1] - I[y-1], votes with its
length for the two nearest of 8 directions; a cell of 2x2 pixels adds the votes up; blocks of 2x2
cells are divided by their length. A support vector machine learns from these numbers. The CNN
learns its features itself, from the pixels and the loss.

Printed is the accuracy on the same test digits. Cut out and centred, they suit the features well;
anywhere in a field of 12x12, somebody would have to find them first, and the CNN does not mind.
"""

import time

import numpy as np
from common import accuracy, check, digits, fit, options, scattered

from tinygrad_cv import nn


def main(arguments=None):
    settings = options(__doc__, arguments)
    print("digits            pixels + SVM   HOG + SVM      CNN   its seconds")
    for name, size in (("centred, 8x8", 8), ("anywhere in 12x12", 12)):
        (images, labels), (unseen, truth) = digits()
        images, unseen = scattered(images, size), scattered(unseen, size)
        old = [machine(f, images, labels, unseen, truth) for f in (pixels, hog)]
        net, start = cnn(size), time.perf_counter()
        fit(net, images, labels, epochs=3 if settings.quick else 15)
        new, seconds = accuracy(net, unseen, truth), time.perf_counter() - start
        print(f"{name:<18}{old[0]:>12.1%}{old[1]:>12.1%}{new:>9.1%}{seconds:>14.1f}")
    check(new > max(old), "the CNN does not mind where the digits are")


def pixels(images):
    return images.reshape(len(images), -1)


def machine(features, images, labels, test_images, test_labels):
    """The accuracy of a linear support vector machine on features that are made by hand."""
    from sklearn.svm import SVC

    classifier = SVC(kernel="linear").fit(features(images.numpy()), labels.numpy())
    return classifier.score(features(test_images.numpy()), test_labels.numpy())


def hog(images, cell=2, directions=8):
    """[N, features]: the histograms of the cells, in blocks of 2x2 that overlap."""
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    gx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    gy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    angle = np.arctan2(gy, gx) / (2 * np.pi) * directions  # in steps from one to the next
    apart = np.abs((angle[..., None] - np.arange(directions) + 4) % directions - 4)
    votes = np.hypot(gx, gy)[..., None] * np.maximum(0, 1 - apart)  # [N, H, W, directions]
    number, height, width, _ = votes.shape
    cells = votes.reshape(number, height // cell, cell, width // cell, cell, -1).sum((2, 4))
    corners = cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]
    blocks = np.concatenate(corners, axis=-1)
    blocks = blocks / np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-3)
    return blocks.reshape(number, -1)


def cnn(size):
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(64 * (size // 4) ** 2, 10),
    )


if __name__ == "__main__":
    main()
