"""More models for the captures: small networks of the kinds that people draw."""

from __future__ import annotations

import tinygrad_cv as tg
import tinygrad_cv.nn.functional as F
from tests.viz.zoo import ZOO, randn
from tinygrad_cv import models, nn


class BasicBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.shortcut(x)).relu()


def image(net, *shape, loss=lambda y: y.square().mean()):
    """A network with a loss of its output, and an image."""
    return lambda x: loss(net(x)), {"x": randn(*shape)}


def resnet():
    blocks = BasicBlock(3, 3, 1), BasicBlock(3, 4, 2), BasicBlock(4, 4, 1)
    return image(nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2, 3, 6, 6)


def unet():
    down, deep = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)
    up, end = nn.ConvTranspose2d(4, 2, 2, stride=2), nn.Conv2d(4, 1, 1)

    def net(x):
        side = down(x).relu()
        return end(tg.cat([side, up(deep(F.max_pool2d(side, 2)).relu())], dim=1))

    return image(net, 1, 1, 4, 4)


def video():
    layers = nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Flatten()
    return image(nn.Sequential(*layers, nn.Linear(24, 2)), 1, 1, 3, 4, 4)


def deformable():
    offsets, conv = nn.Conv2d(1, 8, 2), nn.DeformConv2d(1, 2, 2)
    return image(lambda x: conv(x, offsets(x).tanh()), 1, 1, 4, 4)


def separable():
    return image(models.DepthwiseSeparableConv2d(2, 3, 3, padding=1), 1, 2, 4, 4)


def dilated():
    return image(models.HybridDilatedConv(1, 2, rates=(1, 2)), 1, 1, 6, 6)


def recurrent():
    into, over = nn.Linear(3, 4), nn.Linear(4, 4, bias=False)

    def net(x):
        hidden = tg.zeros(2, 4)
        for step in x.unbind(1):
            hidden = (into(step) + over(hidden)).tanh()
        return hidden

    return image(net, 2, 3, 3)


def gated():
    """An LSTM cell, twice."""
    gates = nn.Linear(5, 8)

    def net(x):
        hidden = cell = tg.zeros(2, 2)
        for step in x.unbind(1):
            i, f, g, o = gates(tg.cat([step, hidden], dim=1)).chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
        return hidden

    return image(net, 2, 2, 3)


def attention():
    into, out = nn.Linear(4, 12), nn.Linear(4, 4)

    def net(x):
        q, k, v = into(x).reshape(1, 3, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) / 2.0**0.5).softmax(-1)
        return out((weights @ v).transpose(1, 2).reshape(1, 3, 4))

    return image(net, 1, 3, 4)


def transformer():
    norm, wide, narrow = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)
    return image(lambda x: x + narrow(F.gelu(wide(norm(x)))), 2, 3, 4)


def dense():
    layers = [nn.Conv2d(1 + k, 1, 3, padding=1) for k in range(3)]

    def net(x):
        found = [x]
        for layer in layers:
            found.append(layer(tg.cat(found, dim=1)).relu())
        return tg.cat(found, dim=1)

    return image(net, 1, 1, 4, 4)


def squeeze_and_excite():
    narrow, wide = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def net(x):
        return x * wide(narrow(F.adaptive_avg_pool2d(x, 1)).relu()).sigmoid()

    return image(net, 1, 4, 3, 3)


def branches():
    one, three = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
    pool = nn.AvgPool2d(3, stride=1, padding=1)
    return image(lambda x: tg.cat([one(x), three(x), pool(x)], dim=1), 1, 2, 4, 4)


def autoencoder():
    down, up = nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 1, 3, padding=1)

    def net(x):
        small = down(x).tanh()
        return up(F.interpolate(small, scale_factor=2, mode="bilinear")) - x

    return image(net, 1, 1, 4, 4)


def group_norm():
    layers = nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.AvgPool2d(2)
    return image(nn.Sequential(*layers), 1, 2, 6, 6)


def super_resolution():
    return image(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2)), 1, 1, 3, 3)


def siamese():
    """One encoder for two images."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten())

    def loss(x, y):
        return 1.0 - F.cosine_similarity(net(x), net(y)).mean()

    return loss, {"x": randn(2, 1, 4, 4), "y": randn(2, 1, 4, 4) * 0.5 + 0.3}


def spatial_transformer():
    place = nn.Linear(16, 6)

    def net(x):
        grid = F.affine_grid(place(x.flatten(1)).tanh().reshape(1, 2, 3), (1, 1, 4, 4))
        return F.grid_sample(x, grid, align_corners=False)

    return image(net, 1, 1, 4, 4)


def dropout():
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 2))
    return image(net, 3, 4)


def chosen_rows():
    index = tg.tensor([2, 0, 2])
    linear = nn.Linear(3, 3)
    return image(lambda x: linear(x[index]).gather(1, tg.tensor([[0], [2], [1]])), 4, 3)


def picked():
    linear = nn.Linear(3, 4)

    def net(x):
        y = linear(x)
        return y[[2, 0, 2]].sum() + y[:, [0, 1], [[1], [0]]].sum() + y[1, ::2, None, -1:].sum()

    return image(net, 4, 3, 3, loss=lambda y: y.square())


def piecewise():
    def loss(x, scale):
        y = x * scale
        return tg.where(y > 0.2, y.clamp(max=1.5), tg.maximum(y, -scale)).abs().square().sum()

    scale = tg.tensor([0.5, 1.5, 2.5], requires_grad=True)
    return loss, {"x": randn(4, 3), "scale": scale}


def segmentation():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.InstanceNorm2d(3))
    label = tg.tensor([[[0, 1, 2, 0]] * 4])

    def loss(x):
        y = net(x)
        return F.cross_entropy(y, label) - F.log_softmax(y, dim=1).mean()

    return loss, {"x": randn(1, 1, 4, 4)}


NETWORKS = ZOO | {
    function.__name__: function
    for function in (
        resnet,
        unet,
        video,
        deformable,
        separable,
        dilated,
        recurrent,
        gated,
        attention,
        transformer,
        dense,
        squeeze_and_excite,
        branches,
        autoencoder,
        group_norm,
        super_resolution,
        siamese,
        spatial_transformer,
        dropout,
        chosen_rows,
        picked,
        piecewise,
        segmentation,
    )
}
