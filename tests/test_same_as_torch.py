"""A network of ours and the same network in PyTorch, with the same weights and data, train
alike.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinygrad_cv as tg


def network(nn):
    """The same text for both: conv, batch norm, ReLU, max pooling, dropout, fully connected."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(32, 5),
    )


def train(net, nn, optim, tensor, batches):
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(net(tensor(images)), tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_twenty_training_steps_give_the_same_losses(layout):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 2, 12, 10)), rng.integers(0, 5, size=8)) for _ in range(20)]
    theirs = network(torch.nn).double()
    ours = network(tg.nn).double()
    ours.load_state_dict(theirs.state_dict())

    def tensor(array):
        made = tg.tensor(array)
        return made.contiguous(layout) if made.ndim == 4 else made

    losses = train(ours, tg.nn, tg.optim, tensor, batches)
    expected = train(theirs, torch.nn, torch.optim, torch.tensor, batches)
    assert losses == pytest.approx(expected, abs=1e-9, rel=0)
    assert losses[-1] != losses[0]
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), atol=1e-9)
    ours.eval()
    theirs.eval()
    images = batches[0][0]
    out = ours(tensor(images)).detach().numpy()
    np.testing.assert_allclose(out, theirs(torch.tensor(images)).detach().numpy(), atol=1e-8)
