"""Global average pooling as the head of a network, against a fully connected head.

Behind the last convolution there are C maps f_k of HxW numbers. A fully connected head reads all of
them, C*H*W*classes weights for one size of image. Global average pooling takes the mean of each map
first, so C*classes weights are enough for any size:

    y_c = sum_k w[c,k] * mean_{i,j} f_k(i,j)  =  mean_{i,j} M_c(i,j)
    M_c(i,j) = sum_k w[c,k] * f_k(i,j)

M_c is the class activation map: where in the image class c is seen (B. Zhou et al., Learning Deep
Features for Discriminative Localization, 2016). Both heads are trained on digits that lie anywhere
in a field of 12x12, then shown larger fields, which the fully connected head refuses. There are no
biases, so black pixels add nothing, and the mean over a larger field is only smaller. The maps of
some digits are drawn.
"""

from common import accuracy, check, count, digits, figure, fit, options, scattered

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F

C, FIELD = 48, 12


def main(arguments=None):
    settings = options(__doc__, arguments, out="global_pooling")
    (images, labels), (unseen, truth) = digits()
    images, small = scattered(images, FIELD), scattered(unseen, FIELD)
    heads = {
        "fully connected": nn.Sequential(
            nn.Flatten(), nn.Linear(C * (FIELD // 2) ** 2, 10, bias=False)
        ),
        "global average": nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, 10, bias=False)
        ),
    }
    print("head              parameters  test accuracy")
    for name, head in heads.items():
        net = nn.Sequential(features(), head)
        fit(net, images, labels, epochs=3 if settings.quick else 8, lr=1e-2)
        found = accuracy(net, small, truth)
        print(f"{name:<18}{count(head):>10,}{found:>15.1%}")
        check(found > 0.4, f"{name} learns the digits")

    print("the last net on larger fields, with the digits anywhere")  # global average pooling
    for size in (16, 24, 32):
        large = scattered(unseen, size)
        found = accuracy(net, large, truth)
        print(f"{size}x{size:<15}{found:>25.1%}")
        check(found > 0.4, "it works for every size")
    try:
        heads["fully connected"](net[0](large))
    except tg.ShapeError as error:
        print(f"the fully connected head refuses them:\n{error}")
    else:
        check(False, "a fully connected head takes one size only")
    class_activation(net, scattered(unseen, 16), truth, settings.out / "class_activation.svg")


def features():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, C, 3, padding=1, bias=False),
        nn.ReLU(),
    )


@tg.no_grad()
def class_activation(net, images, labels, path, number=6):
    """Draw the map of the class that the net says, for the first images."""
    maps = net[0](images[:number])
    linear = net[1][2]
    activation = F.conv2d(maps, linear.weight.reshape(10, C, 1, 1))  # M: [N, classes, H, W]
    scores = activation.mean(dim=(2, 3))
    check(tg.allclose(scores, net(images[:number]), atol=1e-4), "the scores are means of the maps")
    said = scores.argmax(dim=1).tolist()
    page, axes = figure(2, number, width=10, height=3.8)
    for n, (top, below) in enumerate(axes.T):
        top.imshow(images[n, 0].numpy(), cmap="gray")
        top.set_title(f"a {labels[n].item()}")
        below.imshow(activation[n, said[n]].numpy(), cmap="coolwarm")
        below.set_title(f"map of {said[n]}")
    for axis in axes.flat:
        axis.set_axis_off()
    page.savefig(path)
    print(f"the scores are the means of the class activation maps, drawn in {path}")


if __name__ == "__main__":
    main()
