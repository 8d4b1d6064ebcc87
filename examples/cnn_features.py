"""CNN features: the vector of an inner layer, given to another kind of classifier.

A fully connected layer at the end of a CNN reads a vector that the layers below have made of the
image. The vector is of use by itself, and for classes that the net has never seen: here a CNN
learns the digits 0 to 6 only. create_feature_extractor() then gives the output of the layer before
its last, by the layer's name, and the nearest neighbour (scikit-learn) says which digit an image
shows, from five examples of each of the digits 7, 8, 9. Printed is the accuracy with that vector
and with the pixels themselves, on digits that lie anywhere in a field of 12x12; chance is 1 in 3.
"""

import numpy as np
from common import accuracy, check, digits, fit, options, scattered

import tinygrad_cv as tg
from tinygrad_cv import nn

FIELD, KNOWN, EXAMPLES = 12, 7, 5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        )
        self.vector = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(64, KNOWN)

    def forward(self, images):
        return self.head(self.vector(self.maps(images)))


def main(arguments=None):
    settings = options(__doc__, arguments)
    train, test = ((scattered(x, FIELD), y) for x, y in digits())
    net = Net()
    fit(net, *split(train, known=True), epochs=3 if settings.quick else 15)
    score = accuracy(net, *split(test, known=True))
    print(f"the CNN on the digits 0 to {KNOWN - 1}: test accuracy {score:.1%}")
    check(score > 0.8, "it learns them")

    extractor = nn.create_feature_extractor(net, ["vector"])

    def features(images):
        with tg.no_grad():
            return extractor(images)["vector"].numpy()

    examples, unseen = split(train, known=False), split(test, known=False)
    found = {
        "pixels": neighbours(lambda images: images.flatten(1).numpy(), examples, unseen),
        "features": neighbours(features, examples, unseen),
    }
    print(f"\nnearest neighbour on the digits {KNOWN} to 9, of {EXAMPLES} examples each")
    for name, score in found.items():
        print(f"{name:<10}{score:>7.1%}")
    check(found["features"] > found["pixels"] + 0.1, "the features serve new classes")


def split(part, known):
    """The digits that the CNN learns, or the others."""
    images, labels = part
    chosen = np.flatnonzero((labels < KNOWN).numpy() == known)
    return images[chosen], labels[chosen]


def neighbours(features, examples, unseen, draws=10):
    """The accuracy of the nearest neighbour, as a mean over several choices of examples."""
    from sklearn.neighbors import KNeighborsClassifier

    (x, y), (x_test, y_test) = ((features(part[0]), part[1].numpy()) for part in (examples, unseen))
    scores = []
    for _ in range(draws):
        order = tg.randperm(len(y)).numpy()
        few = np.concatenate([order[y[order] == digit][:EXAMPLES] for digit in range(KNOWN, 10)])
        scores.append(KNeighborsClassifier(1).fit(x[few], y[few]).score(x_test, y_test))
    return np.mean(scores)


if __name__ == "__main__":
    main()
