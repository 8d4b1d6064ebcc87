"""An operator registered by a user has what those of the package have: checks, picture, row in the
table, kernels of its own, FLOPs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import cli
from tinygrad_cv.autograd import Function, verify
from tinygrad_cv.autograd.function import once_differentiable
from tinygrad_cv.backend import kernels
from tinygrad_cv.core.op import Op, unregister
from tinygrad_cv.testing import Case, CheckFailure, check_case

X = np.random.default_rng(0).standard_normal((3, 4))

SOURCE = textwrap.dedent('''
    from tinygrad_cv.autograd import Function
    from tinygrad_cv.core.op import Op


    class Gauss(Op):
        """A bump."""

        name = "scratch_gauss"
        equation = "y = e^(-width * x^2)"
        gradients = {"input": "-2 * width * x * y * g"}

        @staticmethod
        def infer(input, width=1.0):
            return input

        @staticmethod
        def forward(xp, input, width=1.0):
            return xp.exp(-width * input * input)

        @staticmethod
        def vjp_input(g, input, output, width):
            return -2.0 * width * g * input * output

        @staticmethod
        def flops(input, width=1.0):
            return 4 * input.size


    class Twice(Function):
        """Twice as much."""

        equation = "y = 2 * x"
        gradients = {"x": "2 * g"}

        @staticmethod
        def forward(ctx, x, note=None):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2, None


    something = 3
''')


@pytest.fixture
def gauss() -> Iterator[Any]:
    space: dict[str, Any] = {"__name__": "users_own"}
    exec(compile(SOURCE, "users_own.py", "exec"), space)
    yield space["Gauss"]
    for name in ("scratch_gauss", "scratch_gauss.vjp"):
        kernels.unregister(name, "mine")
    unregister("scratch_gauss")


def case(op: type[Op]) -> Case:
    return Case(op, (X,), attrs=(0.5,), reference=lambda x: np.exp(-0.5 * x * x))


def leaf() -> tg.Tensor:
    return tg.tensor(X, requires_grad=True)


def served(op: Any) -> list[str]:
    """Who served the forward and the gradient."""
    with tg.profile() as p:
        op.call(leaf(), 0.5).sum().backward()
    return [event.kernel for event in p.events if event.operator == op.name]


def test_checks_picture_and_flops(gauss):
    check_case(case(gauss))
    x = leaf()
    model = tg.viz.trace(gauss.call(x, 0.5), backward=True, names={"x": x}).model
    there, back = [n for n in model.nodes if n.name == "scratch_gauss"]
    assert there.facts["equation"] == "y = e^(-width * x^2)"
    assert there.facts["flops"] == 48
    assert back.facts["gradients"] == "d input: -2 * width * x * y * g"
    assert sorted(n.name for n in model.nodes if n.kind == "saved") == ["input", "output"]
    with tg.profile() as p:
        gauss.call(x, 0.5).sum().backward()
    forward, _, _, backward = p.events
    assert (forward.operator, forward.flops) == ("scratch_gauss", 48)
    assert (backward.operator, backward.phase) == ("scratch_gauss", "backward")
    assert backward.flops == 36  # three products of 12 elements


def test_kernels_of_its_own(gauss):
    assert served(gauss) == ["reference", "rules"]
    seen = []

    @tg.register_kernel(gauss, provider="mine", supports=lambda specs, attrs: specs[0].ndim == 2)
    def forward(xp, input, width):
        seen.append("forward")
        return xp.exp(input * input * -width)

    @tg.register_kernel("scratch_gauss.vjp", provider="mine")
    def gradients(xp, g, needs, input, output, width):
        seen.append(needs)
        return (g * output * input * (-2 * width),)

    assert tg.kernels("scratch_gauss") == {
        "scratch_gauss": ["mine (cpu)", "reference"],
        "scratch_gauss.vjp": ["mine (cpu)", "rules"],
    }
    assert served(gauss) == ["mine", "mine"]
    assert seen == ["forward", (True,)]
    with tg.use_kernels("reference"):
        assert served(gauss) == ["reference", "rules"]
    with tg.use_kernels("mine"):
        assert served(gauss) == ["mine", "mine"]
    gauss.call(tg.ones(3), 0.5)  # one axis: not supported
    assert seen.count("forward") == 3 - 1
    check_case(case(gauss))
    report = verify(lambda x: gauss.call(x, 0.5).sum(), leaf())
    assert report.ok, str(report)


def test_a_fault_in_such_a_kernel_is_named(gauss):
    @tg.register_kernel(gauss, provider="mine")
    def forward(xp, input, width):
        return xp.exp(-width * input * input) * 1.01

    report = verify(lambda x: (gauss.call(x * 2, 0.5) + x.sin()).sum(), leaf())
    assert [(f.node.op.name, f.part) for f in report.faults] == [
        ("scratch_gauss", "forward by mine")
    ]
    with pytest.raises(CheckFailure, match="check 'kernels': output of scratch_gauss by mine"):
        check_case(case(gauss), only=["kernels"])
    kernels.unregister("scratch_gauss", "mine")

    @tg.register_kernel("scratch_gauss.vjp", provider="mine")
    def gradients(xp, g, needs, input, output, width):
        return (g * output * input * (-2.02 * width),)

    report = verify(lambda x: (gauss.call(x * 2, 0.5) + x.sin()).sum(), leaf())
    assert [(f.node.op.name, f.part) for f in report.faults] == [
        ("scratch_gauss", "scratch_gauss.vjp by mine")
    ]
    with pytest.raises(CheckFailure, match="gradient of input by mine"):
        check_case(case(gauss), only=["kernels"])


def test_a_kernel_that_would_never_be_found_is_refused(gauss):
    with pytest.raises(tg.ArgumentError, match=r"no operator 'scratch_gaus'\n  Near it: .*gauss"):
        tg.register_kernel("scratch_gaus", provider="mine")
    with pytest.raises(tg.ArgumentError, match="no operator '3'"):
        tg.register_kernel(3, provider="mine")
    with pytest.raises(tg.ArgumentError, match="'reference' is what the forward of every"):
        tg.register_kernel(gauss, provider="reference")
    with pytest.raises(tg.ArgumentError, match='device is "cpu" or "cuda", not \'gpu\''):
        tg.register_kernel(gauss, provider="mine", device="gpu")


ROW = """\
scratch_gauss(input; width) -> output
  y = e^(-width * x^2)
  gradient of input: -2 * width * x * y * g
  orders: any
  saves: input, output
  dtypes: floating
  kernels: reference
  A bump."""


def test_its_row_in_the_table(gauss):
    y = gauss.call(leaf(), 0.5)
    for target in (gauss, gauss.call, "scratch_gauss", y.grad_fn):
        assert tg.viz.explain(target) == ROW
    tg.register_kernel(gauss, provider="mine")(lambda xp, input, width: None)
    assert "kernels: reference, mine" in tg.viz.explain(gauss)
    with pytest.raises(tg.ArgumentError, match="an operator is needed, not 3"):
        tg.viz.explain(3)


def test_the_row_of_a_function():
    class Sin(Function):
        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    expected = "Sin(x)\n  orders: 1\n  kernels: its forward and backward"
    assert tg.viz.explain(Sin) == tg.viz.explain(Sin.apply(leaf()).grad_fn) == expected


def test_its_row_on_the_command_line(tmp_path, capsys):
    (tmp_path / "users_own.py").write_text(SOURCE)
    place = f"{tmp_path}/users_own.py"
    try:
        assert cli.main(["ops", f"{place}:Gauss"]) == cli.DONE
        assert capsys.readouterr().out == ROW + "\n"
        unregister("scratch_gauss")
        assert cli.main(["ops", f"{place}:Twice"]) == cli.DONE
        assert capsys.readouterr().out == (
            "Twice(x, note=None)\n  y = 2 * x\n  gradient of x: 2 * g\n"
            "  orders: any, if backward is made of operators\n"
            "  kernels: its forward and backward\n  Twice as much.\n"
        )
        unregister("scratch_gauss")
        assert cli.main(["ops", f"{place}:something"]) == cli.WRONG_COMMAND
        assert "an operator is needed, not 3" in capsys.readouterr().err
    finally:
        unregister("scratch_gauss")
