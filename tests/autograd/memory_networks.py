"""Small networks of every kind of memory: what the memory plan is measured on."""

from __future__ import annotations

import tinygrad_cv as tg
from examples.train_digits import DigitNet
from tinygrad_cv import models, nn
from tinygrad_cv.autograd import checkpoint
from tinygrad_cv.nn import functional as F


class Residual(nn.Module):
    """Branches that meet, forward and backward, and a chain of elementwise operators."""

    def __init__(self, recompute=False):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.body = nn.Sequential(
            nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.2)
        )
        self.head = nn.Linear(8, 3)
        self.recompute = recompute

    def forward(self, x):
        x = self.first(x)
        y = checkpoint(self.body, x) if self.recompute else self.body(x)
        y = (x + y).sigmoid() * x
        a, b = y.transpose(0, 1).chunk(2)
        y = tg.cat([a * 2, b], 0).transpose(0, 1)
        return F.log_softmax(self.head(F.avg_pool2d(y, 2).mean(dim=(2, 3))), dim=1)


class Meeting(nn.Module):
    """One gradient that goes to two places, and is added to another at one of them."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(tg.ones(64))

    def forward(self, x):
        a = x * self.w
        return (a.exp() + a.sin()) + a


class BasicBlock(nn.Module):
    """The block of ResNet-18 (He et al., 2016)."""

    def __init__(self, channels_in, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet-18 with ``width`` channels in its first stage, 64 in the paper."""

    def __init__(self, width=4, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        for k in range(4):
            before, here = widths[k], widths[k + 1]
            stride = 1 if k == 0 else 2
            stage = nn.Sequential(BasicBlock(before, here, stride), BasicBlock(here, here))
            setattr(self, f"layer{k + 1}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def double_conv(channels_in, channels):
    layers = []
    for before in (channels_in, channels):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015): what goes down is kept for the way up."""

    def __init__(self, width=4, depth=2):
        super().__init__()
        widths = [width << k for k in range(depth + 1)]
        before = [1, *widths]
        self.down = nn.ModuleList([double_conv(a, b) for a, b in zip(before, widths, strict=False)])
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs])
        self.join = nn.ModuleList([double_conv(2 * b, b) for _, b in pairs])
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        kept = []
        for block in self.down:
            x = block(x if not kept else F.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(tg.cat([kept.pop(), up(x)], 1))
        return self.last(x)


class Recurrent(nn.Module):
    """One layer that is called three times."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x):
        for _ in range(3):
            x = self.step(x).tanh()
        return x


class Writing(nn.Module):
    """Writes into what it has made, and adds to it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x):
        y = F.relu(self.conv(x), inplace=True)
        y += x
        y[:, 0] = 0.5
        y *= 2
        return y.sum((2, 3))


class TwoInputs(nn.Module):
    """Two images, one of which arrives by a keyword, give two results in a dict."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Dropout2d(0.5), nn.Flatten())
        self.head = nn.Linear(144, 3)

    def forward(self, x, other=None):
        a = self.net(x)
        b = a if other is None else self.net(other)
        return {"near": self.head(a), "apart": [(a - b).abs().mean()]}


class Frozen(nn.Module):
    """A network whose first half is frozen."""

    def __init__(self):
        super().__init__()
        self.net = digits()
        for layer in self.net[:4]:
            for parameter in layer.parameters():
                parameter.requires_grad_(False)

    def forward(self, x):
        return self.net(x)


class Normed(nn.Module):
    """The other normalisations, attention over the pixels, and a resize."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, groups=1)
        self.norms = nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU(), nn.InstanceNorm2d(8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        y = F.interpolate(self.norms(self.conv(x)), scale_factor=0.5, mode="bilinear")
        tokens = y.flatten(2).transpose(1, 2)
        return self.norm(tokens + self.attention(tokens, tokens, tokens)[0]).mean(1)


def digits():
    layers = []
    for channels_in, channels_out in ((1, 8), (8, 8), (8, 16)):
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(channels_out), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


def vgg(width=4, blocks=(2, 2, 2)):
    """One flat Sequential, as VGG is (Simonyan and Zisserman, 2015)."""
    layers, before = [], 3
    for k, count in enumerate(blocks):
        for _ in range(count):
            layers += [nn.Conv2d(before, width << k, 3, padding=1), nn.ReLU(inplace=True)]
            before = width << k
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(), nn.Linear(4 * before, 5))


def separable():
    return nn.Sequential(
        models.DepthwiseSeparableConv2d(2, 6, 3, padding=1),
        models.DepthwiseSeparableConv2d(6, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 2, 3, padding=2, dilation=2),
    )


# name -> (how to build it, shapes of the inputs)
NETWORKS = {
    "digits": (digits, [(4, 1, 8, 8)]),
    "train_digits": (DigitNet, [(4, 1, 8, 8)]),
    "lenet": (models.LeNet, [(2, 1, 32, 32)]),
    "meeting": (Meeting, [(64,)]),
    "residual": (Residual, [(3, 2, 8, 8)]),
    "recomputed": (lambda: Residual(True), [(3, 2, 8, 8)]),
    "resnet18": (ResNet18, [(2, 3, 32, 32)]),
    "unet": (UNet, [(2, 1, 16, 16)]),
    "vgg": (vgg, [(2, 3, 16, 16)]),
    "separable": (separable, [(2, 2, 9, 9)]),
    "dilated": (lambda: models.HybridDilatedConv(2, 4), [(2, 2, 12, 12)]),
    "recurrent": (Recurrent, [(5, 6)]),
    "writing": (Writing, [(2, 1, 6, 6)]),
    "two inputs": (TwoInputs, [(2, 1, 8, 8), (2, 1, 8, 8)]),
    "frozen": (Frozen, [(4, 1, 8, 8)]),
    "normed": (Normed, [(2, 1, 8, 8)]),
    "c3d": (lambda: models.C3D(4, 1, (2, 3, 4), 6), [(2, 1, 6, 10, 10)]),
}
