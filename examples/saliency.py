"""Where a net looks: saliency, and Grad-CAM.

Saliency is the size of the gradient of the winning class score s by every pixel, |ds/dx|. Grad-CAM
weighs the maps A_k of the last convolution by the mean of their gradients and keeps what speaks for
the class:

    a_k = mean over p, q of ds/dA_k[p, q],   cam = relu(sum_k a_k * A_k)

The digits lie somewhere in a black field of 16x16. Printed is the share of each picture that falls
onto the 8x8 pixels of the digit, one quarter of the field, and both pictures of one digit.
K. Simonyan et al., Deep inside convolutional networks, 2014; R. Selvaraju et al., Grad-CAM, 2017.
"""

from common import accuracy, check, digits, fit, options

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.nn import functional as F

FIELD = 16


def main(arguments=None):
    settings = options(__doc__, arguments)
    (x, y), (x_test, y_test) = digits()
    net = Net()
    images, _ = placed(x)
    fit(net, images, y, epochs=3 if settings.quick else 12)
    images, digit = placed(x_test[:100])
    net.eval()
    print(f"test accuracy {accuracy(net, images, y_test[:100]):.1%}")
    pictures = {"saliency": saliency(net, images), "Grad-CAM": grad_cam(net, images)}
    for name, picture in pictures.items():
        share = ((picture * digit).sum() / picture.sum()).item()
        print(f"{name:<9}{share:6.1%} on the digit")
        check(share > 0.4, f"{name} finds the digit in the field")
    for name, picture in pictures.items():
        print(f"\n{name}")
        levels = (picture[0] / picture[0].max() * 4.99).long().tolist()
        print("\n".join("".join(" .:*#"[n] * 2 for n in row) for row in levels))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        )
        self.head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, images):
        return self.head(self.maps(images))


def placed(images):
    """Each digit somewhere in a black field, and 1 where it lies: [N, 1, 16, 16], [N, 16, 16]."""
    field, where = tg.zeros(len(images), 1, FIELD, FIELD), tg.zeros(len(images), FIELD, FIELD)
    for n, (i, j) in enumerate(tg.randint(0, FIELD - 7, (len(images), 2)).tolist()):
        field[n, :, i : i + 8, j : j + 8] = images[n]
        where[n, i : i + 8, j : j + 8] = 1.0
    return field, where


def saliency(net, images):
    return tg.func.grad(lambda x: net(x).amax(dim=1).sum())(images).abs().sum(dim=1).detach()


def grad_cam(net, images):
    with tg.no_grad():
        maps = net.maps(images)
        slopes = tg.func.grad(lambda a: net.head(a).amax(dim=1).sum())(maps)
        cam = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
        return F.interpolate(cam, size=(FIELD, FIELD), mode="bilinear")[:, 0]


if __name__ == "__main__":
    main()
