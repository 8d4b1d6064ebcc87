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
import gc
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
        before, objects = resident(), len(gc.get_objects())
held = memory.stats()
print(resident() - before, len(gc.get_objects()) - objects, held.in_use + held.cached, held.peak)
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


@pytest.mark.parametrize(
    ("setup", "steps"), [(SMALL, 10_000), (LARGE, 1_000)], ids=["small", "large"]
)
def test_memory_does_not_grow(setup, steps):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup, steps=steps)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    growth_mb, objects, held, peak = map(float, done.stdout.split())
    assert growth_mb < 4
    assert objects < 100
    assert held <= 2 * max(peak, 2**20)
