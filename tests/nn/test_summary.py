"""The table of a network, counted by hand."""

from __future__ import annotations

import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.errors import ArgumentError, ShapeError


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8 * 4 * 4, 10),
    )


def test_rows_and_totals():
    net = small_net()
    net[0].requires_grad_(False)
    table = net.summary((2, 3, 8, 8))
    by_path = {row.path: row for row in table.rows}
    assert list(by_path) == ["model", "0", "1", "2", "2.0", "2.1", "3", "4", "5"]
    assert by_path["0"].output == "(2, 8, 8, 8)"
    assert by_path["0"].flops == 2 * (2 * 8 * 8 * 8) * 27
    assert by_path["2.1"].output == "(2, 8, 4, 4)"
    assert by_path["5"].flops == 2 * 2 * 128 * 10 + 20
    assert by_path["5"].parameters == 1290
    assert table.parameters == 8 * 27 + 16 + 1290
    assert table.trainable == table.parameters - 8 * 27
    assert table.flops == sum(row.flops for row in table.rows)
    assert table.parameter_bytes == 4 * table.parameters


def test_the_text():
    text = str(small_net().summary(2, 3, 8, 8))
    assert "1       BatchNorm2d  (2, 8, 8, 8)" in text
    assert text.splitlines()[-1].startswith("1,522 parameters are trained, 0 frozen; 6.09 kB")


def test_nothing_is_changed():
    net = small_net()
    net[4].eval()
    modes = [m.training for m in net.modules()]
    arrays = [p.array for p in (*net.parameters(), *net.buffers())]
    state = tg.default_generator.get_state()
    net.summary((2, 3, 8, 8))
    assert [m.training for m in net.modules()] == modes
    assert all(
        p.array is a for p, a in zip((*net.parameters(), *net.buffers()), arrays, strict=True)
    )
    assert net[1].num_batches_tracked.item() == 0
    assert (tg.default_generator.get_state() == state).all()
    assert not net._forward_hooks


def test_depth_folds_into_the_parent():
    net = small_net()
    full, flat = net.summary((2, 3, 8, 8)), net.summary((2, 3, 8, 8), depth=1)
    assert [row.path for row in flat.rows] == ["model", "0", "1", "2", "3", "4", "5"]
    assert (flat.flops, flat.parameters) == (full.flops, full.parameters)
    assert flat.rows[3].flops == full.rows[4].flops + full.rows[5].flops
    (only,) = net.summary((2, 3, 8, 8), depth=0).rows
    assert (only.parameters, only.flops) == (full.parameters, full.flops)


def test_shared_modules_unused_modules_and_operators_of_the_root():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.spare = nn.Linear(4, 4)

        def forward(self, x, y):
            return {"sum": self.fc(self.fc(x)) + y, "pair": (x, y)}

    table = Odd().summary((2, 4), tg.zeros(2, 4))
    root, fc, spare = table.rows
    assert root.output == "sum (2, 4), pair (2, 4), (2, 4)"
    assert root.flops == 8
    assert (fc.output, fc.calls, fc.flops) == ("(2, 4) x2", 2, 2 * (64 + 8))
    assert (spare.output, spare.flops, spare.parameters) == ("not called", 0, 20)


def test_wrong_shapes_name_the_layer_and_leave_the_net_as_it_was():
    net = small_net()
    with pytest.raises(ShapeError, match=r"in model\.0 \(Conv2d\)"):
        net.summary((2, 1, 8, 8))
    assert net[0].weight.device.type == "cpu"
    assert net.training
    assert not net._forward_hooks
    with pytest.raises(ArgumentError, match="shape of each input"):
        net.summary()
