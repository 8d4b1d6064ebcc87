"""Ten thousand training steps take no more memory than a few hundred.

Each case runs in a process of its own with the garbage collector off, so that a reference cycle
left by a step would be seen too, as objects that nobody frees.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads resident memory from /proc"
)

PROGRAM = """
import gc, sys
import numpy as np
import tinygrad_cv as tg
from tinygrad_cv import nn, optim
from tinygrad_cv.backend import memory
from tinygrad_cv.nn import functional as F

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

tg.manual_seed(0)
{setup}
gc.collect()
gc.disable()
for n in range({steps}):
    step(n)
    if n == {steps} // 10:
        # Python keeps up to 2000 dead tuples of each length: let it have them before counting.
        tuples = [tuple([n] * k) for k in range(1, 20) for _ in range(2000)]
        del tuples
        before, objects = resident(), len(gc.get_objects())
    if n == {steps} // 2:
        blocks = sys.getallocatedblocks()
blocks = sys.getallocatedblocks() - blocks
held = memory.stats()
print(resident() - before, len(gc.get_objects()) - objects, held.in_use + held.cached, held.peak)
print(blocks)
"""

SMALL = """
model = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
    nn.Dropout(0.2), nn.Flatten(), nn.Linear(36, 10),
)
optimiser = optim.Adam(model.parameters())
x, labels = tg.randn(2, 1, 6, 6), tg.tensor([1, 7])
def step(n):
    optimiser.zero_grad()
    F.cross_entropy(model(x), labels).backward()
    optimiser.step()
"""

# Arrays above the bound of the block pool, in batches of another size each time.
LARGE = """
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(32, 10),
)
optimiser = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x, labels = tg.randn(16, 3, 32, 32), tg.tensor(np.arange(16) % 10)
def step(n):
    size = 4 + n * 7 % 13
    optimiser.zero_grad()
    F.cross_entropy(model(x[:size]), labels[:size]).backward()
    optimiser.step()
"""


# What makes a step cost several plain ones runs fewer times; a leak of one object or array in each
# step is seen all the same.
COMMON = """
from tinygrad_cv import autograd
from tinygrad_cv.autograd import graph
model = nn.Sequential(
    nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(),
    nn.Linear(12, 2),
)
optimiser = optim.SGD(model.parameters(), lr=1e-3)
x = tg.randn(2, 1, 6, 6)
"""

PENALTY = (
    COMMON
    + """
def step(n):
    optimiser.zero_grad()
    image = x.detach().requires_grad_()
    y = model(image).square().sum()
    (slope,) = autograd.grad(y, image, create_graph=True)
    (slope.square().sum() + y).backward(create_graph=n % 2 == 0)
    optimiser.step()
"""
)

HOOKS = (
    COMMON
    + """
model[0].weight.register_post_accumulate_grad_hook(lambda p: None)
model[1].register_full_backward_pre_hook(lambda m, out: (out[0] * 2,))
model[1].register_full_backward_hook(lambda m, ins, out: (ins[0] * 2,))
model[5].register_forward_hook(lambda m, args, out: out * 2)
def step(n):
    optimiser.zero_grad()
    y = model(x)
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.grad_fn.register_hook(lambda ins, outs: None)
    graph.register_multi_grad_hook([y, model[0].weight], lambda grads: None).remove()
    with graph.register_multi_grad_hook([y, model[5].bias], lambda grads: None):
        y.square().sum().backward()
    with model[0].weight.register_hook(lambda g: g.clone()):
        model(x).sum().backward()
    optimiser.step()
"""
)

MODES = (
    COMMON
    + """
pack = graph.saved_tensors_hooks(lambda t: t.numpy().copy(), tg.tensor)
watchers = [lambda: pack, autograd.detect_anomaly, tg.profile, autograd.retain_all]
def step(n):
    optimiser.zero_grad()
    autograd.checkpoint(model, x).square().sum().backward()
    with watchers[n % 4]():
        y = autograd.checkpoint(model[:5], x) if n % 8 < 4 else model[:5](x)
        model[5](y).square().sum().backward()
    y = autograd.checkpoint(model, x)  # no backward follows
    optimiser.step()
"""
)


@pytest.mark.parametrize(
    ("setup", "steps"),
    [(SMALL, 10_000), (LARGE, 1_000), (PENALTY, 10_001), (HOOKS, 1_500), (MODES, 1_500)],
    ids=["small", "large", "create_graph", "hooks", "modes"],
)
def test_memory_does_not_grow(setup, steps):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup, steps=steps)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    growth_mb, objects, held, peak, blocks = map(float, done.stdout.split())
    assert growth_mb < 4
    assert objects < 100
    assert blocks < steps / 8  # less than one small object, such as an array's, in each step
    assert held <= 2 * max(peak, 2**20)
