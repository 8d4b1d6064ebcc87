"""Hooks of modules, beside PyTorch's: the same program runs on both."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.both_libraries import A, B, plain, same
from tinygrad_cv import nn


def pair(library: Any, uses: str = "ab") -> Any:
    """A module of two inputs and two outputs, and something else beside both."""

    class Pair(library.nn.Module):  # type: ignore[misc]
        def forward(self, a: Any, b: Any, flag: Any = None) -> Any:
            return a * a * 2, (b if "b" in uses else a) ** 3, "text"

    return Pair()


@pytest.mark.parametrize("create_graph", [False, True])
def test_several_inputs_and_outputs(create_graph: bool) -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        module = pair(library)
        module.register_full_backward_pre_hook(lambda m, out: log.append(("pre", out)))
        module.register_full_backward_hook(lambda m, ins, out: log.append(("post", ins, out)))
        y, z, _ = module(a, b, 5)
        log += library.autograd.grad((y * z).sum(), (a, b), create_graph=create_graph)

    log = same(program)
    assert [entry[0] for entry in log[:2]] == ["pre", "post"]
    assert [len(entry) for entry in log[1][1:]] == [3, 3]


@pytest.mark.parametrize("create_graph", [False, True])
def test_what_hooks_return_replaces_the_gradients(create_graph: bool) -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        module = pair(library)
        module.register_full_backward_pre_hook(lambda m, out: (out[0] * 2, out[1] * out[1], None))
        module.register_full_backward_pre_hook(lambda m, out: log.append(out))
        module.register_full_backward_hook(lambda m, ins, out: (ins[0] * 5, ins[1] + 1, None))
        module.register_full_backward_hook(lambda m, ins, out: (ins[1] - ins[0], ins[1], None))
        module.register_full_backward_hook(lambda m, ins, out: log.extend([ins, out]))
        y, z, _ = module(a, b, 5)
        first = library.autograd.grad((y * z).sum(), (a, b), create_graph=create_graph)
        log += first
        if create_graph:
            log += library.autograd.grad((first[0] ** 2 + first[1]).sum(), (a, b))

    assert len(same(program)) == (10 if create_graph else 5)  # each backward runs them


def test_outputs_and_inputs_that_get_no_gradient() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        for uses, part in (("ab", 0), ("ab", 1), ("a", 0), ("a", 1)):
            module = pair(library, uses)
            module.register_full_backward_hook(lambda m, ins, out: log.append((ins, out)))
            module(a, b)[part].sum().backward()

    log = same(program)
    assert log[0] == [[[4.0, -8.0], [0.0, 0.0]], [[1.0, 1.0], None, None]]


def test_order_prepended_hooks_and_hooks_that_go() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        module, handles = library.nn.Tanh(), {}

        def note(name: str, gone: bool = False) -> Any:
            def hook(*_: Any) -> None:
                log.append(name)
                if gone:
                    handles[name].remove()

            return hook

        for kind in ("forward_pre", "forward", "full_backward_pre", "full_backward"):
            register = getattr(module, f"register_{kind}_hook")
            register(note(kind + " 1"))
            handles[kind + " 2"] = register(note(kind + " 2", gone=True))
            register(note(kind + " 0"), prepend=True)
        for _ in range(2):
            module(a).sum().backward()
        with module.register_forward_hook(note("in a block")):
            module(b)

    log = same(program)
    assert log[:3] == ["forward_pre 0", "forward_pre 1", "forward_pre 2"]
    assert log.count("forward 1") == 3
    assert [log.count(f"full_backward {k}") for k in (0, 1, 2)] == [2, 2, 1]
    assert log[-1] == "in a block"


def test_keyword_arguments() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        class Scale(library.nn.Module):  # type: ignore[misc]
            def forward(self, x: Any, by: float = 1.0) -> Any:
                return x * by

        module = Scale()
        module.register_forward_pre_hook(
            lambda m, args, kwargs: ((args[0] + 1,), {"by": kwargs["by"] + 1}), with_kwargs=True
        )
        module.register_forward_pre_hook(lambda m, args: args[0] * 3)
        module.register_forward_hook(
            lambda m, args, kwargs, out: log.append((args, kwargs["by"], out)), with_kwargs=True
        )
        module.register_forward_hook(lambda m, args, out: out - 1)
        log.append(module(a, by=2.0))

    same(program)


def test_hooks_that_are_always_called() -> None:
    def program(library: Any, a: Any, b: Any, log: list[Any]) -> None:
        class Fails(library.nn.Module):  # type: ignore[misc]
            def forward(self, x: Any, fail: bool = False) -> Any:
                if fail:
                    raise KeyError("forward")
                return x * 2

        def fails(module: Any, args: Any, out: Any) -> None:
            log.append("fails")
            if out is not None:
                raise ValueError("hook")

        module = Fails()
        module.register_forward_hook(
            lambda m, args, kwargs, out: log.append((kwargs, out)) or "changed",
            always_call=True,
            with_kwargs=True,
        )
        module.register_forward_hook(fails)
        module.register_forward_hook(lambda m, args, out: log.append(out), always_call=True)
        for fail in (True, False):
            with pytest.raises((KeyError, ValueError)) as caught:
                module(a, fail=fail)
            log.append(type(caught.value))

    log = same(program)
    assert log[:2] == [[{"fail": True}, None], "changed"]


def test_a_hook_that_fails_after_another_failure_is_a_warning() -> None:
    module = nn.Linear(2, 2)

    def fails(*_: Any) -> None:
        raise ValueError("mine")

    module.register_forward_hook(fails, always_call=True)
    with pytest.raises(tg.ShapeError), pytest.warns(UserWarning, match="not shown: mine") as caught:
        module(tg.ones(3))
    line = fails.__code__.co_firstlineno
    assert f"the hook is fails, defined at {__file__}:{line}" in str(caught[0].message)


def test_no_input_asks_for_a_gradient() -> None:
    seen = []
    module = pair(tg)
    module.scale = nn.Parameter(tg.ones(2))
    module.forward = lambda a, b: (module.scale * 2, module.scale * b)
    module.register_full_backward_hook(lambda m, ins, out: seen.append((ins, plain(out))))
    y, z = module(tg.ones(2), tg.ones(2))
    (y * z).sum().backward()
    assert seen == [((None, None), [[1.0, 1.0], [2.0, 2.0]])]  # once for both outputs


def test_gradients_that_pass_the_module_by() -> None:
    """Of a value from inside: the outputs got no gradient, so there is nothing to show."""
    seen, inside = [], []
    module = nn.Sequential(nn.Tanh(), nn.Tanh())
    module.register_full_backward_hook(lambda *given: seen.append(given))
    module[0].register_forward_hook(lambda m, args, out: inside.append(out))
    module(tg.ones(2, requires_grad=True))
    inside[0].sum().backward()
    assert seen == []


def test_every_backward_of_a_retained_graph_in_threads() -> None:
    """What belongs to one backward is not seen by another beside it."""
    a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
    module, wrong, barrier = pair(tg), [], threading.Barrier(2)

    def check(m: Any, ins: Any, out: Any) -> Any:
        factor = out[0].array[0] / (B**3)[0]  # of this backward
        fits = np.allclose(out[1].array, factor * 2 * A * A)
        fits = fits and np.allclose(ins[1].array, factor * 6 * A * A * B * B)
        if not fits:
            wrong.append((plain(ins), plain(out)))
        return None

    module.register_full_backward_hook(check)
    y, z, _ = module(a, b, 1)
    loss = (y * z).sum()

    def work(factor: float) -> None:
        barrier.wait()
        for _ in range(60):
            tg.autograd.grad(loss, (a, b), tg.tensor(factor, dtype="float64"), retain_graph=True)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(f,)) for f in (1.0, 7.0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_a_call_with_hooks_leaves_no_cycle() -> None:
    gc.disable()
    try:
        module = pair(tg)
        module.register_full_backward_pre_hook(lambda m, out: None)
        module.register_full_backward_hook(lambda m, ins, out: None)
        a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
        for create_graph in (False, True):
            y, z, _ = module(a, b, 1)
            found = tg.autograd.grad((y * z).sum(), (a, b), create_graph=create_graph)
            made = [weakref.ref(t.node) for t in (y, z)] + [weakref.ref(found[0].array)]
            del y, z, found
            assert [reference() for reference in made] == [None] * 3
    finally:
        gc.enable()


def scaled(m: Any, ins: Any, out: Any) -> Any:
    return tuple(10 * g for g in ins)


@pytest.mark.parametrize(
    ("kind", "hook", "error", "match"),
    [
        ("full_backward_pre", lambda m, out: 3, tg.DTypeError, "must return a tuple of gradients"),
        ("full_backward_pre", lambda m, out: out[:1], tg.ArgumentError, "grad_output has 3"),
        (
            "full_backward_pre",
            lambda m, out: (out[0].float(), *out[1:]),
            tg.DTypeError,
            r"grad_output\[0\] must be float64, not float32",
        ),
        (
            "full_backward",
            lambda m, ins, out: (ins[0].sum(), ins[1], None),
            tg.ShapeError,
            r"grad_input\[0\] has another shape",
        ),
        (
            "full_backward",
            lambda m, ins, out: (ins[0], ins[1], ins[0]),
            tg.ArgumentError,
            r"returned a gradient at grad_input\[2\], where none is needed",
        ),
        ("full_backward", lambda m, ins, out: ("x", None, None), tg.DTypeError, "not str"),
    ],
)
def test_what_backward_hooks_may_return(kind: str, hook: Any, error: Any, match: str) -> None:
    net = nn.Sequential(nn.Identity())
    net.inner = pair(tg)
    net.forward = lambda *args: net.inner(*args)
    getattr(net.inner, f"register_{kind}_hook")(hook)
    a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
    y, z, _ = net(a, b, 5)
    with pytest.raises(error, match=match) as caught:
        (y * z).sum().backward()
    text = str(caught.value)
    assert f"the hook is <lambda>, defined at {__file__}:{hook.__code__.co_firstlineno}" in text
    assert text.endswith("in model.inner (Pair)")
    assert a.grad is None


def test_a_gradient_for_an_input_that_was_not_used() -> None:
    for returned, refused in ((scaled, False), (lambda m, i, o: (i[0], i[1] + 1), True)):
        module = pair(tg, "a")
        a, b = (tg.tensor(v, requires_grad=True) for v in (A, B))
        module.register_full_backward_hook(returned)
        loss = module(a, b)[0].sum()
        if refused:
            with pytest.raises(
                tg.ArgumentError, match=r"grad_input\[1\], which the module did not"
            ):
                loss.backward()
        else:
            loss.backward()
            np.testing.assert_array_equal(a.grad.numpy(), 40 * A)
            assert b.grad is None


def test_what_an_error_in_a_hook_says() -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("mine")

    about = f"the hook is fails, defined at {__file__}:{fails.__code__.co_firstlineno}"
    for kind in ("forward_pre", "forward", "full_backward_pre", "full_backward"):
        module = nn.Tanh()
        getattr(module, f"register_{kind}_hook")(fails)
        with pytest.raises(ZeroDivisionError, match="mine") as caught:
            module(tg.tensor(A, requires_grad=True)).sum().backward()
        assert caught.value.__notes__[0] == about
        with pytest.raises(tg.DTypeError, match=f"^register_{kind}_hook: a hook must be callable"):
            getattr(module, f"register_{kind}_hook")(None)


@pytest.mark.parametrize("returned", [3, (1, 2, 3), (tg.ones(1), {}), ((), [])])
def test_what_a_forward_pre_hook_with_keywords_may_return(returned: Any) -> None:
    module = nn.Sequential(nn.Tanh())
    module[0].register_forward_pre_hook(lambda m, args, kwargs: returned, with_kwargs=True)
    line = sys._getframe().f_lineno - 1
    with pytest.raises(tg.DTypeError, match=r"must return None or \(args, kwargs\)") as caught:
        module(tg.ones(2))
    assert f"the hook is <lambda>, defined at {__file__}:{line}" in str(caught.value)
    assert str(caught.value).endswith("in model.0 (Tanh)")


def test_a_write_into_what_has_passed_a_backward_hook() -> None:
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda *_: None)
    with pytest.raises(tg.GraphError) as caught:
        nn.Sequential(layer, nn.ReLU(inplace=True))(tg.ones(1, 2))
    text = str(caught.value)
    assert "relu_: the output of Linear has passed a backward hook" in text
    assert "Use inplace=False" in text
    assert ".clone()" in text
    assert "view" not in text
    nn.Sequential(layer, nn.ReLU())(tg.ones(1, 2)).sum().backward()
    layer(tg.ones(1, 2)).clone().mul_(2).sum().backward()

    class Writes(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mul_(2)

    module = Writes()
    module.register_full_backward_pre_hook(lambda *_: None)
    with pytest.raises(tg.GraphError, match="mul_: an input of Writes has passed a backward hook"):
        module(tg.ones(2, requires_grad=True) * 1)


@pytest.mark.parametrize(
    ("register", "hook", "form"),
    [
        ("forward_hook", lambda m, o: None, "hook(module, args, output)"),
        ("forward_pre_hook", lambda m: None, "hook(module, args)"),
        ("full_backward_hook", lambda m, g: None, "hook(module, grad_input, grad_output)"),
        ("full_backward_pre_hook", lambda m: None, "hook(module, grad_output)"),
    ],
)
def test_a_hook_with_other_parameters_is_blamed(register: str, hook: Any, form: str) -> None:
    layer = nn.Linear(2, 2)
    getattr(layer, f"register_{register}")(hook)
    with pytest.raises(tg.ArgumentError) as caught:
        layer(tg.ones(1, 2, requires_grad=True)).sum().backward()
    text = str(caught.value)
    count = form.count(",") + 1
    assert f"a hook is called with {count} arguments here, and this one does not" in text
    assert f"Write it as {form}." in text
    assert f"the hook is <lambda>, defined at {__file__}:{hook.__code__.co_firstlineno}" in text

    def fails(*_: Any) -> None:
        raise TypeError("object of type 'int' has no len()")

    other = nn.Linear(2, 2)
    other.register_forward_hook(fails)
    with pytest.raises(TypeError, match="has no len"):  # its own error stays as it is
        other(tg.ones(1, 2))


def test_a_tensor_hook_with_other_parameters_is_blamed() -> None:
    x = tg.ones(2, requires_grad=True)
    x.register_hook(lambda: None)
    with pytest.raises(tg.ArgumentError, match=r"called with 1 argument .*\n.*hook\(gradient\)"):
        x.sum().backward()
