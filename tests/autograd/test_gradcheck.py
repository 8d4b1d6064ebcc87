"""gradcheck and gradgradcheck: right gradients pass, and what is wrong is named."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.scratch import W, X, scratch
from tinygrad_cv.autograd import GradcheckError, gradcheck, gradgradcheck
from tinygrad_cv.core.op import unregister
from tinygrad_cv.errors import ArgumentError, DTypeError, GraphError
from tinygrad_cv.nn import functional as F

RNG = np.random.default_rng(0)


def variable(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


@pytest.fixture
def op():
    yield scratch
    unregister("scratch")


INPUTS = (variable(X), variable(W))


def failure(check, function, inputs, **options):
    with pytest.raises(GradcheckError) as caught:
        check(function, inputs, **options)
    assert check(function, inputs, raise_exception=False, **options) is False
    return str(caught.value)


FAST = pytest.mark.parametrize("fast", [False, True], ids=["full", "fast"])


@FAST
@pytest.mark.parametrize("forward", [False, True])
def test_right_gradients_pass(fast, forward):
    image, kernel = (
        variable(RNG.standard_normal((2, 2, 5, 5))),
        variable(RNG.standard_normal((3, 2, 3, 3))),
    )

    def convolution(image, kernel, label, options):
        y = F.conv2d(image, kernel, options["bias"], stride=options["stride"]).tanh()
        return {"loss": F.cross_entropy(y.mean(dim=(2, 3)), label), "y": [y, label]}

    inputs = (image, kernel, tg.tensor([0, 2]), {"bias": variable([0.1, 0.2, 0.3]), "stride": 2})
    assert gradcheck(convolution, inputs, fast_mode=fast, check_forward_ad=forward)
    assert gradgradcheck(convolution, inputs, fast_mode=fast, check_fwd_over_rev=forward)
    assert image.grad is None
    assert gradcheck(lambda x: tg.ones(2, dtype="float64"), image, fast_mode=fast)  # constant
    assert gradcheck(lambda x: x[..., :0], [image], fast_mode=fast)
    assert gradcheck(lambda x: x.sum(), variable(np.zeros((0, 3))), fast_mode=fast)


@FAST
def test_one_wrong_element_is_named(op, fast):
    factor = np.ones(X.shape)
    factor[1, 2, 3] = 1.5
    wrong = op(vjp_weight=lambda g, input: g * input * input * factor)
    text = failure(gradcheck, wrong.call, INPUTS, fast_mode=fast)
    slope = X[1, 2, 3] ** 2
    amount = "for example in" if fast else "1 of 576 elements differ, most"
    assert text == (
        f"gradcheck: the gradient is wrong; {amount} d output[1, 2, 3] / d input[1][1, 2, 3]\n"
        f"  by backward        {1.5 * slope:.6g}\n"
        f"  by differences     {slope:.6g}\n"
        f"  slope to the left  {slope:.6g}\n"
        f"  slope to the right {slope:.6g}\n"
        "  The slopes to both sides agree, so this is no kink: look at the rules of the operators "
        "between this input and this output."
    )


@FAST
def test_the_worst_of_several_outputs_and_nested_inputs(fast):
    def function(p):
        return p["a"][0] * 2, (p["a"][0].detach() * p["b"]).sum(0)

    inputs = ({"a": [variable([1.0, 2.0])], "b": variable([[1.0, 3.0], [5.0, 7.0]])},)
    text = failure(gradcheck, function, inputs, fast_mode=fast)
    if fast:
        assert re.search(r"d output\[1\]\[[01]\] / d input\[0\]\['a'\]\[0\]\[[01]\]\n", text)
    else:
        assert "2 of 8 elements differ, most d output[1][1] / d input[0]['a'][0][1]\n" in text
        assert re.search(r"by backward +0\n +by differences +10\n", text)


def test_a_rule_that_only_jvp_runs(op):
    def fused(xp, g, needs, input, weight):
        return g * (2 * weight * input + 1), g * input * input

    wrong = op(fused_vjp=fused, vjp_input=lambda g, input, weight: g * (weight * input + 1))
    assert gradcheck(wrong.call, INPUTS)
    text = failure(gradcheck, wrong.call, INPUTS, check_forward_ad=True)
    assert "the gradient is wrong; 24 of 576 elements differ" in text
    assert "by jvp " in text
    text = failure(
        gradcheck,
        wrong.call,
        INPUTS,
        check_forward_ad=True,
        check_backward_ad=False,
        fast_mode=True,
    )
    assert "by jvp " in text


@FAST
def test_a_second_derivative_that_is_wrong(op, fast):
    """A rule that reads a value which is not constant: the classic silent fault."""
    broken = op(
        residuals=("square",),
        constants=("square",),  # which is not so
        forward=lambda xp, input, weight: (weight * input * input + input, input * input),
        vjp_weight=lambda g, square: g * square,
    )
    assert gradcheck(broken.call, INPUTS, fast_mode=fast)
    text = failure(gradgradcheck, broken.call, INPUTS, fast_mode=fast)
    assert text.startswith("gradgradcheck: the gradient is wrong; ")
    assert re.search(r"d \(the gradient of input\[1\]\)(\[\d, \d, \d\]) / d input\[0\]\1\n", text)
    assert re.search(r"by backward +0\n", text)


# The rule gives a slope to one side, or 0 where there is none.
@FAST
@pytest.mark.parametrize(
    ("function", "values", "sides"),
    [
        (F.relu, [1.0, 0.0], ("0", "1")),
        (F.relu6, [6.0, 1.0], ("1", "0")),
        (lambda x: x.max(dim=0)[0], [2.0, 2.0], ("0", "1")),
        (tg.floor, [0.5, 1.0], ("1e+06", "0")),
    ],
    ids=["relu", "relu6", "max", "floor"],
)
def test_a_kink_is_no_fault(function, values, sides, fast):
    text = failure(gradcheck, function, variable(values), fast_mode=fast)
    assert "gradcheck: the function has a kink at this input: its one-sided slopes differ; " in text
    found = re.search(r"slope to the left  +(\S+)\n +slope to the right +(\S+)\n", text)
    assert found.groups() == sides
    assert "here no gradient equals the differences" in text


@FAST
@pytest.mark.parametrize(
    ("function", "values", "sides"),
    [(tg.abs, [0.0, 2.0], ("-1", "1")), (lambda x: x.amax(), [2.0, 2.0], ("0", "1"))],
    ids=["abs", "amax"],
)
def test_where_the_rule_gives_the_mean_of_both_sides(function, values, sides, fast):
    """Central differences are the mean, too: nothing is said, until something else is added."""
    assert gradcheck(function, variable(values), fast_mode=fast)
    text = failure(
        gradcheck,
        lambda x: function(x) + 0.5 * F.relu(x - values[0]).sum(),
        variable(values),
        fast_mode=fast,
    )
    assert "the function has a kink at this input" in text
    found = re.search(r"slope to the left  +(\S+)\n +slope to the right +(\S+)\n", text)
    left, right = map(float, sides)
    assert tuple(map(float, found.groups())) == pytest.approx((left, right + 0.5))


@FAST
def test_a_fault_at_a_kink_of_both_sides(op, fast):
    """At x = 0 the slopes of w|x| + x differ, and the gradient of w is wrong all the same."""
    wrong = op(
        forward=lambda xp, input, weight: weight * xp.abs(input) + input,
        vjp_input=lambda g, input, weight: g * weight * 0 + g,
        vjp_weight=lambda g, input: g * input + g,
    )
    inputs = tg.zeros(2, dtype="float64"), variable([1.0, 2.0])
    text = failure(gradcheck, wrong.call, inputs, fast_mode=fast)
    assert "gradcheck: the gradient is wrong; " in text
    assert "d input[1]" in text


@FAST
def test_a_kink_within_eps_and_a_sharp_bend(fast):
    text = failure(gradcheck, F.relu, variable([2e-7]), fast_mode=fast)
    assert "a kink or a sharp bend within eps" in text
    assert "use a smaller eps" in text
    assert gradcheck(F.relu, variable([2e-7]), eps=1e-7, fast_mode=fast)
    text = failure(gradcheck, lambda x: (2000 * x).sin(), variable([0.1]), eps=1e-3, fast_mode=fast)
    assert "a kink or a sharp bend within eps" in text


@FAST
def test_outside_the_domain(fast):
    text = failure(gradcheck, tg.sqrt, variable([1.0, 0.0]), fast_mode=fast)
    assert "the function or its gradient is not finite around this input; " in text
    assert re.search(r"d output\[[01]\] / d input\[0\]\[1\]", text)


@FAST
def test_a_dtype_that_is_too_coarse(fast):
    single = variable([0.5, 2.0], "float32")
    text = failure(gradcheck, tg.exp, single, fast_mode=fast)
    assert "input[0] is float32, too coarse for eps=1e-06: rounding alone changes" in text
    assert "Use float64 (t.double())" in text
    assert gradcheck(tg.exp, single.double(), fast_mode=fast)  # as the text says
    loose = {"eps": 1e-2, "atol": 1e-2, "rtol": 1e-2}
    assert gradcheck(tg.exp, single, fast_mode=fast, **loose)
    wrong = failure(gradcheck, lambda x: x.detach() * x, single, fast_mode=fast, **loose)
    assert "the gradient is wrong" in wrong
    inside = failure(gradcheck, lambda x: x.float().exp(), single.double(), fast_mode=fast)
    assert "output is float32, too coarse" in inside
    large = failure(gradcheck, lambda x: x + 1e12, single.double(), fast_mode=fast)
    assert "output is float64, too coarse" in large
    assert "The values are large: use a larger eps" in large


@FAST
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_is_too_small(fast, dtype):
    values = variable([0.5, 1.0], dtype)
    text = failure(gradcheck, tg.exp, values, eps=1e-17, fast_mode=fast)
    assert f"input[0] is {dtype}, too coarse for eps=1e-17: rounding alone changes" in text
    assert "large" not in text
    also, eps = re.search(r"small for these values: use (.*)eps=(\S+) or more\.$", text).groups()
    assert also == {"float32": "float64 and ", "float64": ""}[dtype]
    assert 1e-17 < float(eps) < 1e-6
    assert gradcheck(tg.exp, values.double(), eps=float(eps), fast_mode=fast)  # as the text says


def test_what_is_not_the_same_every_time():
    x = variable(np.ones(20))
    text = failure(gradcheck, lambda x: F.dropout(x, 0.5), x)
    assert re.match(r"gradcheck: two runs differ by 2 in output; nondet_tol is 0\n", text)
    runs = iter(range(1000))

    class Noisy:
        def __call__(self, x):
            return x * (1 + 1e-9 * (next(runs) % 2))

    assert "nondet_tol" in failure(gradcheck, Noisy(), x, fast_mode=True)
    assert gradcheck(Noisy(), x, nondet_tol=1e-8, atol=1e-2, fast_mode=True)


ONE = variable([1.0])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: gradcheck(tg.sin, tg.ones(2)), ArgumentError, "no input requires a gradient"),
        (lambda: gradcheck(tg.argmax, ONE), ArgumentError, "no floating tensor"),
        (lambda: gradcheck(lambda x: None, ONE), DTypeError, "not a NoneType"),
        (lambda: gradcheck(tg.sin, ONE, eps=0.0), ArgumentError, "eps must be positive, it is 0"),
        (lambda: gradcheck(tg.sin, ONE, rtol=-1.0), ArgumentError, "rtol must be positive"),
        (lambda: gradcheck(tg.sin, ONE, check_backward_ad=False), ArgumentError, "neither"),
        (lambda: gradgradcheck(tg.sin, ONE, check_rev_over_rev=False), ArgumentError, "neither"),
        (lambda: gradgradcheck(tg.sin, ONE, tg.ones(2)), ArgumentError, r"outputs +\[\(1,"),
        (lambda: gradgradcheck(tg.sin, ONE, 3), ArgumentError, "grad_outputs +.'int'"),
        (lambda: gradgradcheck(tg.sin, ONE, tg.arange(1)), ArgumentError, "floating tensors"),
    ],
)  # fmt: skip
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_grad_outputs_of_the_users():
    x = variable([0.5, 1.0])
    assert gradgradcheck(lambda x: (x.exp(), x * x), x, (tg.ones(2, dtype="float64"), x.detach()))


def test_the_error_is_pytorchs_kind():
    assert issubclass(GradcheckError, RuntimeError)
    assert not issubclass(GradcheckError, GraphError)


def test_the_elements_of_a_wrong_input_come_first():
    """The random directions know it: the long input before it is not looked at."""
    calls = []

    def function(long, short):
        calls.append(1)
        return long.sum() + (short.detach() * short).sum()

    text = failure(gradcheck, function, (variable(np.ones(500)), variable([1.0, 2.0])))
    assert "2 of 2 elements differ, most d output / d input[1][1]" in text
    assert len(calls) < 100
