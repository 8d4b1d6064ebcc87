"""Hooks of nodes, hooks of saved values, and the walk over the graph, beside PyTorch's."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.autograd import detect_anomaly, graph, retain_all, verify
from tinygrad_cv.autograd.graph import save_on_cpu, saved_tensors_hooks

X, W = np.array([[1.0, -2.0, 3.0]]), np.array([[0.5], [4.0]])


def both(use: Any) -> tuple[Any, Any]:
    """``use(module, x, w, tensor maker)`` for this package and for PyTorch: NumPy results."""
    torch = pytest.importorskip("torch")
    ours = use(tg, tg.tensor(X, requires_grad=True), tg.tensor(W, requires_grad=True))
    theirs = use(torch, torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True))
    plain = [[np.asarray(t.detach().numpy()) for t in part] for part in (ours, theirs)]
    return plain[0], plain[1]


@pytest.mark.parametrize("create_graph", [False, True])
def test_node_hooks_as_in_pytorch(create_graph: bool) -> None:
    def use(tg: Any, x: Any, w: Any) -> Any:
        seen = []
        y = x * w  # broadcast both ways
        y.register_hook(lambda g: g + 1)
        y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
        y.grad_fn.register_prehook(lambda grads: seen.extend(grads))  # returns None
        y.grad_fn.register_hook(lambda ins, outs: (ins[0] * 3, ins[1] - 1))
        y.grad_fn.register_hook(lambda ins, outs: seen.extend([*ins, *outs]))
        found = tg.autograd.grad((y * y).sum(), (x, w), create_graph=create_graph)
        return [*found, *seen]

    ours, theirs = both(use)
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_second_gradient_goes_through_node_hooks() -> None:
    def use(tg: Any, x: Any, w: Any) -> Any:
        y = (x * w).exp()
        y.grad_fn.register_prehook(lambda grads: (grads[0] * grads[0],))
        y.grad_fn.register_hook(lambda ins, outs: (ins[0] * outs[0],))
        first = tg.autograd.grad((y * x).sum(), (x, w), create_graph=True)
        return tg.autograd.grad((first[0] ** 2).sum() + first[1].sum(), (x, w))

    ours, theirs = both(use)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_node_of_two_outputs() -> None:
    x = tg.tensor(X, requires_grad=True)
    values, indices = x.max(dim=1)
    seen = []
    values.grad_fn.register_prehook(lambda grads: seen.append(grads))
    values.grad_fn.register_prehook(lambda grads: (grads[0] * 5, None))
    values.sum().backward()
    assert seen[0][0].tolist() == [1.0]
    assert seen[0][1:] == (None,)
    assert indices.tolist() == [2]
    assert x.grad.tolist() == [[0.0, 0.0, 5.0]]


def test_a_node_hook_can_be_taken_off_and_sees_every_backward() -> None:
    x = tg.tensor(X, requires_grad=True)
    y = x.exp().sum()
    calls = []
    handle = y.grad_fn.register_hook(lambda ins, outs: calls.append(1))
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    handle.remove()
    handle.remove()
    y.backward()
    assert calls == [1, 1]


@pytest.mark.parametrize(
    ("pre", "returned", "error", "match"),
    [
        (
            True,
            lambda g: (g[0], g[0]),
            tg.ArgumentError,
            r"returned 2 gradients, grad_outputs has 1",
        ),
        (True, lambda g: 3, tg.DTypeError, "must return a tuple of gradients or None, not int"),
        (
            True,
            lambda g: (3,),
            tg.DTypeError,
            r"grad_outputs\[0\] must be a tensor or None, not int",
        ),
        (True, lambda g: (g[0].sum(),), tg.ShapeError, r"grad_outputs\[0\] has another shape"),
        (False, lambda i, o: (i[0],), tg.ArgumentError, "returned 1 gradients, grad_inputs has 2"),
        (False, lambda i, o: (i[0].float(), None), tg.DTypeError, "must be float64, not float32"),
        (False, lambda i, o: (i[0], i[0]), tg.ArgumentError, "where none is needed"),
    ],
)
def test_what_node_hooks_may_return(pre: bool, returned: Any, error: Any, match: str) -> None:
    x = tg.tensor(X, requires_grad=True)
    y, line = x * 2.0, sys._getframe().f_lineno
    (y.grad_fn.register_prehook if pre else y.grad_fn.register_hook)(returned)
    with pytest.raises(error, match=match) as caught:
        y.sum().backward()
    assert f"the node is mul, which ran at {__file__}:{line} in" in str(caught.value)
    assert x.grad is None
    with pytest.raises(tg.DTypeError, match="callable, not int"):
        y.grad_fn.register_hook(3)


# The walk -----------------------------------------------------------------------------------------


def test_the_walk_over_the_graph() -> None:
    x, line = tg.tensor(X, requires_grad=True), 0

    class Twice(nn.Module):
        def forward(self, x: Any) -> Any:
            nonlocal line
            y, line = x * 2.0, sys._getframe().f_lineno
            return y

    y = Twice()(x).sum()
    node = y.grad_fn
    assert (node.name(), node.op.name, node.outputs) == ("sum", "sum", (((), np.dtype("f8")),))
    assert node.next_functions == node.inputs
    ((below, index),) = node.next_functions
    assert (below.name(), index) == ("mul", 0)
    assert below.next_functions[1] == (None, 0)
    leaf = below.next_functions[0][0]
    assert leaf.tensor() is x
    assert leaf.next_functions == leaf.inputs == ()
    assert leaf.name() == "leaf"
    assert nn.Linear(1, 1).weight.node.name() == "weight"
    assert (below.site.filename, below.site.line) == (__file__, line)
    assert below.scope.path == "Twice"
    assert below.plan.names == ("other",)
    assert below.saved == (2.0,)
    assert [n.name() for n in graph.nodes({"a": [y]})] == ["mul", "sum"]
    assert isinstance(node, graph.Node)


# Saved values -------------------------------------------------------------------------------------


def network() -> tuple[nn.Module, tg.Tensor]:
    tg.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    return nn.Sequential(conv, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)), tg.rand(3, 1, 8, 8)


def gradients(block: Any) -> list[np.ndarray]:
    net, x = network()
    with block:
        y = net(x)
        y = tg.cat([y, y * y]).square().mean()
    y.backward()
    return [p.grad.numpy() for p in net.parameters()]


def test_saved_values_of_a_network_through_hooks() -> None:
    expected = gradients(contextlib.nullcontext())
    packed = []

    def pack(tensor: tg.Tensor) -> Any:
        packed.append(tensor)
        return tensor.numpy().tobytes(), tensor.dtype, tensor.shape

    def unpack(kept: Any) -> tg.Tensor:
        return tg.tensor(np.frombuffer(kept[0], kept[1]).reshape(kept[2]))

    for a, b in zip(gradients(saved_tensors_hooks(pack, unpack)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # bytes have lost the layout
    for block in (save_on_cpu(), saved_tensors_hooks(lambda t: t, lambda t: t)):
        for a, b in zip(gradients(block), expected, strict=True):
            assert a.tobytes() == b.tobytes()
    assert len(packed) > 8


def test_saved_values_as_in_pytorch() -> None:
    def use(tg: Any, x: Any, w: Any) -> Any:
        hooks = tg.autograd.graph.saved_tensors_hooks
        seen = []

        def pack(t: Any) -> Any:
            seen.append(t)
            return t.detach() * 2

        with hooks(pack, lambda kept: kept):  # twice what was saved
            y = (x * w).exp()
        first = tg.autograd.grad(y.sum(), (x, w), create_graph=False)
        return [*first, *seen]

    ours, theirs = both(use)
    assert len(ours) == len(theirs) == 5  # two gradients; w, x and the result of exp were saved
    # Which operator saves which of its inputs first is its own affair.
    found, expected = (part[:2] + sorted(part[2:], key=repr) for part in (ours, theirs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_second_gradient_of_packed_values() -> None:
    x = tg.tensor(X, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.tolist(), lambda v: tg.tensor(v, dtype="float64")):
        y = (x**3).sum()
        (first,) = tg.autograd.grad(y, x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    assert second.tolist() == (6 * X).tolist()


def test_of_nested_blocks_the_inner_one_counts() -> None:
    x = tg.tensor(X, requires_grad=True)
    calls = []
    outer = saved_tensors_hooks(lambda t: calls.append("outer") or t, lambda t: t)
    inner = saved_tensors_hooks(lambda t: calls.append("inner") or t, lambda t: t)
    with outer:
        with inner:
            x.exp()
        x.exp()
    x.exp()
    assert calls == ["inner", "outer"]


def test_saved_hooks_beside_other_watchers() -> None:
    x = tg.tensor(X, requires_grad=True)
    with detect_anomaly(), retain_all(), saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = x.exp().sum()
        y.backward()
    assert verify(y).ok
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X))


def test_watchers_do_not_hide_each_other() -> None:
    """The profile counts what packed values cost, and what it sees does not depend on the order."""

    def flops(*blocks: Any) -> list[Any]:
        net, x = network()
        with contextlib.ExitStack() as stack:
            seen = [stack.enter_context(block()) for block in blocks]
            net(x).sum().backward()
        (profile,) = [s for s in seen if s is not None]
        return [(e.operator, e.phase, e.flops) for e in profile.events]

    packed = functools.partial(saved_tensors_hooks, lambda t: t, lambda t: t)
    expected = flops(tg.profile)
    assert sum(n or 0 for *_, n in expected) > 0
    for blocks in itertools.permutations([tg.profile, packed, detect_anomaly, retain_all]):
        assert flops(*blocks) == expected
    x = tg.zeros(2, requires_grad=True)
    for blocks in itertools.permutations([tg.profile, packed, detect_anomaly]):
        with contextlib.ExitStack() as stack:
            for block in blocks:
                stack.enter_context(block())
            with pytest.raises(tg.GraphError, match="not finite"):
                x.log()


@pytest.mark.parametrize(
    ("unpack", "error", "match"),
    [
        (lambda t: 3, tg.DTypeError, "unpack_hook must return a tensor, not int"),
        (lambda t: t.sum(), tg.ShapeError, "of the shape that was packed"),
        (lambda t: t.float(), tg.DTypeError, "must return float64, not float32"),
    ],
)
def test_what_unpack_may_return(unpack: Any, error: Any, match: str) -> None:
    x = tg.tensor(X, requires_grad=True)
    with saved_tensors_hooks(lambda t: t, unpack):
        y, line = x.exp(), sys._getframe().f_lineno
    with pytest.raises(error, match=match) as caught:
        y.sum().backward()
    assert f"exp, which saved 'output', ran at {__file__}:{line} in" in str(caught.value)
    with pytest.raises(tg.DTypeError, match="pack_hook must be callable, not int"):
        saved_tensors_hooks(3, unpack)
    with pytest.raises(tg.ArgumentError, match="pin_memory"):
        save_on_cpu(pin_memory=True)


def test_a_write_into_what_a_hook_keeps_is_seen() -> None:
    x, w = tg.tensor(X, requires_grad=True), tg.tensor(X)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        y, line = x * w, sys._getframe().f_lineno
    w[0, 0], written = 7.0, sys._getframe().f_lineno
    with pytest.raises(
        tg.GraphError, match=r"'other', which mul saved .* was overwritten"
    ) as caught:
        y.sum().backward()
    assert f"mul ran at {__file__}:{line} in" in str(caught.value)
    assert f"it was overwritten at {__file__}:{written} in" in str(caught.value)


def test_packed_values_are_let_go_without_the_collector() -> None:
    gc.disable()
    try:
        x = tg.tensor(X, requires_grad=True)
        with saved_tensors_hooks(lambda t: t, lambda t: t):
            y = x.exp()
        y.grad_fn.register_hook(lambda ins, outs: None)
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_a_packed_graph_is_drawn() -> None:
    x = tg.tensor(X, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.tolist(), tg.tensor):
        y = (x * tg.tensor(X)).exp().sum()
    for backward in (False, True):
        assert [n.name for n in tg.viz.draw(y, backward=backward).model.nodes].count("exp") > 0


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (lambda t: t.numpy(), tg.tensor),
        (lambda t: {"kept": [t]}, lambda kept: kept["kept"][0] * 1),
        (lambda t: (t.numpy()[::-1],), lambda kept: tg.tensor(kept[0][::-1].copy())),
    ],
)
def test_a_write_into_what_a_pack_hook_shares(pack: Any, unpack: Any) -> None:
    x = tg.tensor(X, requires_grad=True)
    with saved_tensors_hooks(pack, unpack):
        y = x * 1
        z = y * y
    y.mul_(2), (line := sys._getframe().f_lineno)
    with pytest.raises(tg.GraphError, match=r"'(input|other)', which mul saved") as caught:
        z.sum().backward()
    assert f"it was overwritten at {__file__}:{line} in" in str(caught.value)
    with saved_tensors_hooks(pack, unpack):
        y = x * 1
        y.mul_(y)  # which overwrites what it has saved itself
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * X)
    with saved_tensors_hooks(lambda t: t.numpy().copy(), tg.tensor):
        y = x * 1
        z = y * y
    y.mul_(2)
    (slope,) = tg.autograd.grad(z.sum(), x)
    np.testing.assert_allclose(slope.numpy(), 2 * X)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "node", "module"])
def test_a_hook_cannot_write_into_a_gradient(kind: str, create_graph: bool) -> None:
    """It may be that of another tensor too: here of w."""
    x, w = (tg.tensor(X, requires_grad=True) for _ in range(2))
    y = x * 2
    if kind == "module":
        layer = tg.nn.Identity()
        layer.register_full_backward_pre_hook(lambda module, grads: grads[0].mul_(10))
        y = layer(y)
    z = y + w
    if kind == "tensor":
        y.register_hook(lambda g: g.mul_(10))
    if kind == "node":
        y.grad_fn.register_prehook(lambda grads: grads[0].mul_(10))
    with pytest.raises(tg.GraphError, match="mul_: the memory of this tensor is read-only"):
        z.sum().backward(create_graph=create_graph)


def test_what_hooks_leave_alone_is_not_copied() -> None:
    x = tg.tensor(X, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: None)
    y.grad_fn.register_prehook(lambda grads: None)
    seen = []
    x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad))
    y.sum().backward()
    assert seen[0].tolist() == [[2.0] * 3]
    seen[0].mul_(3)  # it is the leaf's own
    assert x.grad.tolist() == [[6.0] * 3]


def test_retained_gradients_follow_in_place_writes() -> None:
    def use(tg: Any, x: Any, w: Any) -> Any:
        b = x * 2
        b.retain_grad()
        b.register_hook(lambda g: g * 1)  # stays where it is: at what b was
        b.mul_(5)
        c = b.exp()
        b += w[0]
        (b * 7 + c).sum().backward()
        again = x.detach() * w[1]
        again.retain_grad()
        again.zero_()  # no history any more
        return [b.grad, x.grad, w.grad]

    def first(tg: Any, x: Any, w: Any) -> Any:
        b = x * 2
        b.retain_grad()
        b.mul_(5)
        (b * 7).sum().backward()
        return [b.grad, x.grad]

    ours, theirs = both(use)
    one, other = both(first)
    for a, b in zip(ours + one, theirs + other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert one[0].tolist() == [[7.0, 7.0, 7.0]]
