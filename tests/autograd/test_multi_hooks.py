"""Hooks of tensors, of leaves after accumulation, of several tensors; beside PyTorch's."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.both_libraries import A, B, plain, same, torch
from tinygrad_cv import nn, optim
from tinygrad_cv.autograd.graph import register_multi_grad_hook

# Of one tensor ------------------------------------------------------------------------------------


def test_the_order_of_hooks_and_of_retain_grad() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        y = a * b
        y.retain_grad()
        y.retain_grad()
        y.register_hook(lambda g: log.append(("first", g)) or g + 1)
        y.register_hook(lambda g: log.append(("second", g)) or g * 3)
        y.grad_fn.register_prehook(lambda grads: log.append(("node", grads[0])))
        for _ in range(2):
            (y * y).sum().backward(retain_graph=True)
            log += [t.grad.clone() for t in (y, a, b)]

    assert [entry[0] for entry in same(program)[:3]] == ["first", "second", "node"]


def test_retain_grad_under_create_graph() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        y = a * b
        y.retain_grad()
        (y**3).sum().backward(create_graph=True)
        log += [y.grad, *library.autograd.grad((y.grad * a).sum(), (a, b))]

    with pytest.warns(UserWarning, match="create_graph=True"):  # PyTorch's
        same(program)


def test_hooks_that_take_themselves_or_others_off() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        handles = {}

        def once(gradient: Any) -> Any:
            log.append("once")
            handles["once"].remove()
            return gradient * 2

        def other(gradient: Any) -> None:
            handles["later"].remove()

        handles["once"] = a.register_hook(once)
        a.register_hook(other)
        handles["later"] = a.register_hook(lambda g: log.append("later"))
        for _ in range(2):
            (a * b).sum().backward()
            log.append(a.grad)

    assert [entry for entry in same(program) if isinstance(entry, str)] == ["once", "later"]


def fails(*_: Any) -> None:
    raise ZeroDivisionError("mine")


def other_shape(gradient: Any, factor: float = 1.0) -> Any:
    return gradient.sum() * factor


class Keeper:
    def __call__(self, gradient: Any) -> Any:
        return gradient.float()

    def method(self, gradient: Any) -> Any:
        return 3


def first_line(hook: Any) -> int:
    return int(hook.__code__.co_firstlineno)


@pytest.mark.parametrize(
    ("hook", "error", "name", "where"),
    [
        (fails, ZeroDivisionError, "fails", fails),
        (other_shape, tg.ShapeError, "other_shape", other_shape),
        (functools.partial(other_shape, factor=2.0), tg.ShapeError, "other_shape", other_shape),
        (Keeper(), tg.DTypeError, "Keeper", Keeper.__call__),
        (Keeper().method, tg.DTypeError, "Keeper.method", Keeper.method),
    ],
)
def test_errors_name_the_hook_its_line_and_its_tensor(
    hook: Any, error: Any, name: str, where: Any
) -> None:
    about = f"the hook is {name}, defined at {__file__}:{first_line(where)}"

    def text(loss: tg.Tensor) -> str:
        with pytest.raises(error) as caught:
            loss.sum().backward()
        return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])

    a = nn.Parameter(tg.tensor(A))
    net = nn.Sequential(nn.Tanh())
    y, line = net(a), sys._getframe().f_lineno
    y.register_hook(hook)
    found = text(y)
    assert about in found
    assert f"it saw the gradient of what tanh made at {__file__}:{line} in" in found
    assert ("in model.0 (Tanh)" in found) == (error is not ZeroDivisionError)
    a.register_hook(hook)
    found = text(a * 1.0)
    assert about in found
    assert "it saw the gradient of the leaf of shape (2,)" in found
    layer = nn.Linear(2, 1, dtype="float64")
    layer.weight.register_hook(hook)
    assert "it saw the gradient of the leaf 'weight' of shape (1, 2)" in text(layer(a.detach()))


# Of a leaf, after accumulation --------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
def test_after_accumulation(create_graph: bool) -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        def after(tensor: Any) -> None:
            log.append((tensor is a, tensor.grad, library.is_grad_enabled()))

        a.register_post_accumulate_grad_hook(after)
        a.register_hook(lambda g: log.append(("before", g)) or g * 10)
        a.register_post_accumulate_grad_hook(lambda tensor: setattr(tensor, "grad", None))
        handle = a.register_post_accumulate_grad_hook(lambda tensor: log.append(tensor.grad))
        (a * a * b).sum().backward(create_graph=create_graph)
        handle.remove()
        library.autograd.grad((a * b).sum(), a)  # adds nothing to .grad
        (a * b).sum().backward(inputs=[b])
        (a * b).sum().backward(inputs=[a])
        log.append(a.grad)

    log = same(program)
    assert [entry for entry in log if entry is None] == [None, None]
    assert sum(entry[0] is True for entry in log if entry) == 2


def test_the_optimiser_steps_inside_backward() -> None:
    """The use that PyTorch's tutorial shows: no gradient is left afterwards."""

    def train(inside: bool) -> list[Any]:
        tg.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        steps = {p: optim.Adam([p], lr=0.1) for p in net.parameters()}
        x = tg.rand(5, 4, dtype="float64")

        def step(p: Any) -> None:
            steps[p].step()
            steps[p].zero_grad()

        if inside:
            for p in net.parameters():
                p.register_post_accumulate_grad_hook(step)
        for _ in range(3):
            net(x).square().mean().backward()
            assert all((p.grad is None) == inside for p in net.parameters())
            if not inside:
                for p in net.parameters():
                    step(p)
        return [p.numpy().tobytes() for p in (t.detach() for t in net.parameters())]

    assert train(True) == train(False)


def test_what_is_refused_after_accumulation() -> None:
    a, line = tg.tensor(A, requires_grad=True), 0
    result, line = a * 2, sys._getframe().f_lineno
    with pytest.raises(tg.GraphError, match="only a leaf has a gradient that is acc") as caught:
        result.register_post_accumulate_grad_hook(print)
    assert f"it was made by mul at {__file__}:{line} in" in str(caught.value)
    with pytest.raises(tg.GraphError, match="does not require a gradient"):
        tg.ones(2).register_post_accumulate_grad_hook(print)
    with pytest.raises(tg.DTypeError, match=r"^register_post.*: a hook must be callable, not int"):
        a.register_post_accumulate_grad_hook(3)
    with (
        a.register_post_accumulate_grad_hook(other_shape),
        pytest.raises(tg.DTypeError, match="must return None, not Tensor") as caught,
    ):
        a.sum().backward()
    about = f"the hook is other_shape, defined at {__file__}:{first_line(other_shape)}"
    assert about in str(caught.value)
    a.register_post_accumulate_grad_hook(fails)
    with pytest.raises(ZeroDivisionError) as failed:
        a.sum().backward()
    assert failed.value.__notes__ == [
        f"the hook is fails, defined at {__file__}:{first_line(fails)}",
        "it saw the gradient of the leaf of shape (2,)",
    ]


# Of several tensors -------------------------------------------------------------------------------


def test_of_several_tensors_as_in_pytorch() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        register = (
            register_multi_grad_hook
            if library is tg
            else torch.autograd.graph.register_multi_grad_hook
        )
        c, d = a * b, a + b
        e = (c * c).sum()
        handle = register((a, b, c, d), lambda grads: log.append(list(grads)))
        register((c, d), lambda grad: log.append(("any", grad is not None)), mode="any")
        c.register_hook(lambda g: log.append("c"))
        back = functools.partial(e.backward, retain_graph=True)
        back()
        back(inputs=[a])
        (e + d.sum()).backward(retain_graph=True)
        library.autograd.grad(e, c, retain_graph=True)
        d.sum().backward(retain_graph=True)
        with register((c, c), lambda grads: log.append(["twice", *grads])):
            back()
        handle.remove()
        handle.remove()
        back()

    log = same(program)
    reached = [[g is not None for g in entry] for entry in log if len(entry) == 4]
    assert [True, True, True, False] in reached
    assert [False, False, True, False] in reached


def test_only_what_autograd_grad_needs_is_waited_for() -> None:
    """PyTorch does not support this with leaves."""
    a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
    c, d, seen = a * b, a + b, []
    register_multi_grad_hook(
        (a, b, c, d), lambda grads: seen.append([g is not None for g in grads])
    )
    tg.autograd.grad(d.sum(), (a, c), retain_graph=True, allow_unused=True)
    tg.autograd.grad((c + d).sum(), (a, b))
    assert seen == [[True, False, False, True], [True] * 4]


def test_it_is_called_when_the_last_gradient_arrives_and_not_later() -> None:
    a, log = tg.tensor(A, requires_grad=True), []
    y = a * 2
    z = y * 3
    w = z * 4
    register_multi_grad_hook([w, z], lambda grads: log.append("multi"))
    y.register_hook(lambda g: log.append("y"))
    w.sum().backward()
    assert log == ["multi", "y"]
    b = tg.tensor(B, requires_grad=True)
    v = a * 2 * 3 * b
    register_multi_grad_hook([v, b], lambda grads: log.append("pruned"))
    tg.autograd.grad(v.sum(), a, retain_graph=True)
    a.register_hook(lambda g: log.append("a"))
    tg.autograd.grad(v.sum(), a)
    assert log[2:] == ["pruned", "pruned", "a"]


def test_an_output_that_gets_none() -> None:
    """Of an operator with two float outputs only one is used: the hook is not lost."""

    class Both(tg.core.op.Op):
        name, outputs, shaped = "scratch_both", ("first", "second"), False

        @staticmethod
        def forward(xp: Any, input: Any) -> Any:
            return input * 2, input * 3

        @staticmethod
        def vjp_input(g: Any) -> Any:
            return g[0] * 2 + g[1] * 3

    try:
        a, seen = tg.tensor(A, requires_grad=True), []
        first, second = Both.call(a)
        register_multi_grad_hook([first, second], lambda grads: seen.append(plain(grads)))
        first.sum().backward()
        assert seen == [[[1.0, 1.0], None]]
        first, second = Both.call(a)
        register_multi_grad_hook([first, second], lambda grads: seen.append(plain(grads)))
        (first + second).sum().backward()
        assert seen[1:] == [[[1.0, 1.0], [1.0, 1.0]]]
    finally:
        tg.core.op.unregister("scratch_both")


def test_threads_count_for_themselves() -> None:
    a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
    c, wrong, calls = a * b, [], []

    def check(grads: list[Any]) -> None:
        factor = grads[2].numpy()
        if not all(np.allclose(g.numpy(), factor * v) for g, v in zip(grads, (B, A), strict=False)):
            wrong.append(plain(grads))
        calls.append(1)

    register_multi_grad_hook([a, b, c], check)
    barrier = threading.Barrier(2)

    def work(factor: float) -> None:
        barrier.wait()
        for _ in range(100):
            tg.autograd.grad(c, (a, b), tg.tensor(factor * B), retain_graph=True)

    run_threads(work, [(1.0,), (7.0,)])
    assert (wrong, len(calls)) == ([], 200)


def run_threads(work: Callable[..., None], arguments: list[Any]) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=a) for a in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)


def test_a_backward_inside_a_hook_counts_for_itself() -> None:
    a, seen = tg.tensor(A, requires_grad=True), []
    y, z = a * 2, a * 3
    register_multi_grad_hook([y, z], lambda grads: seen.append([g is not None for g in grads]))
    inner, total = [], y.sum()

    def hook(gradient: Any) -> None:
        if not inner:
            inner.append(1)
            total.backward(retain_graph=True)

    z.register_hook(hook)
    (y + z).sum().backward()
    assert seen == [[True, False], [True, True]]


def test_hooks_leave_no_cycle_and_keep_no_gradient() -> None:
    gc.disable()
    try:
        a = tg.tensor(A, requires_grad=True)
        y, z = a * 2, a * 3
        register_multi_grad_hook([y, z, a], lambda grads: None)
        register_multi_grad_hook([y, z, a], lambda grad: None, mode="any")
        y.retain_grad()
        y.register_hook(lambda g: g * 2)
        (y * z).sum().backward()
        made = [weakref.ref(t.node) for t in (y, z)] + [weakref.ref(y.grad.array)]
        del y, z
        assert [reference() for reference in made] == [None] * 3
        leaf = weakref.ref(a.node)
        del a
        assert leaf() is None
    finally:
        gc.enable()


def test_what_register_multi_grad_hook_refuses() -> None:
    a = tg.tensor(A, requires_grad=True)
    for arguments, error, match in (
        (([a], 3), tg.DTypeError, "a hook must be callable, not int"),
        (([a, "b"], print), tg.DTypeError, "Tensors are needed, not str 'b'"),
        (([a, tg.ones(2)], print), tg.GraphError, "does not require a gradient"),
    ):
        with pytest.raises(error, match="^register_multi_grad_hook: .*" + match):
            register_multi_grad_hook(*arguments)
    with pytest.raises(tg.ArgumentError, match='mode is "all" or "any", not \'some\''):
        register_multi_grad_hook([a], print, mode="some")
    register_multi_grad_hook([tg.ones(2), a], lambda grad: fails(), mode="any")
    with pytest.raises(ZeroDivisionError) as caught:
        a.sum().backward()
    assert "the hook is <lambda>, defined at" in caught.value.__notes__[0]
