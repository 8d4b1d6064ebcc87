"""``autograd.grad``: what it returns belongs to the caller."""

from __future__ import annotations

import numpy as np

import tinygrad_cv as tg


def test_gradients_asked_for_own_their_memory():
    """Whether they were copied for it or not."""
    x, y, g = (tg.tensor(np.ones((64, 64))).requires_grad_(k < 2) for k in range(3))
    for call, inputs in (
        (lambda: x + y, [x, y]),
        (lambda: x * y, [x, y, x]),
        (lambda: tg.relu(x), [x, x]),
        (lambda: tg.exp(x), [x]),
        (lambda: x.reshape(-1), [x]),
    ):
        output = call()
        slope = g.reshape(output.shape)
        found = tg.autograd.grad(output, inputs, slope, retain_graph=True)
        arrays = [t.numpy() for t in found]
        others = [slope.numpy(), output.detach().numpy(), x.detach().numpy(), y.detach().numpy()]
        for k, array in enumerate(arrays):
            for other in others + arrays[:k]:
                assert not np.shares_memory(array, other)
            array += 1.0
        again = tg.autograd.grad(output, inputs, slope)
        for array, tensor in zip(arrays, again, strict=True):
            np.testing.assert_array_equal(array - 1.0, tensor.numpy())
