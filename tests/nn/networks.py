"""A small network in both libraries, under the same names."""

from __future__ import annotations

import torch

import tinygrad_cv as tg
from tinygrad_cv import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.bn(self.conv(x)).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Block(4))
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])
        self.scale = nn.Parameter(tg.ones(1))
        self.register_buffer("offset", tg.zeros(2))
        self.register_buffer("scratch", tg.zeros(5), persistent=False)

    def forward(self, x):
        x = self.features(x).mean((2, 3))
        return self.heads[0](x) * self.scale + self.offset


class TorchBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = torch.nn.BatchNorm2d(channels)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), TorchBlock(4)
        )
        self.heads = torch.nn.ModuleList([torch.nn.Linear(4, 2), torch.nn.Linear(4, 3)])
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("offset", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(5), persistent=False)
