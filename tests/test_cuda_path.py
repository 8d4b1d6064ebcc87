"""The CUDA path: on the strict stand-in everywhere, and on a real GPU where there is one.

The stand-in proves that the path exists: each name and argument is CuPy's, nothing is mixed with
NumPy or crosses to the host unseen. That a GPU computes the same numbers is what the tests marked
`gpu` and tools/gpu_check.py are for.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn, optim
from tinygrad_cv.backend.array import as_device, to_device
from tinygrad_cv.backend.spec import layout_of
from tinygrad_cv.errors import BackendError, TinygradError
from tinygrad_cv.testing import Bad, Case, check_case, parametrize_cases
from tinygrad_cv.testing.case import callable_of, to_tensors
from tinygrad_cv.testing.compare import random_like, vjp
from tinygrad_cv.testing.runs import floating
from tools import gpu_check

pytest.importorskip("cupy")

from tests.cupy_standin import installed

CASES = gpu_check.collect("CASES")
BADS = gpu_check.collect("BAD")


def few(cases: list[Case], most: int = 4) -> list[Case]:
    """Spread over the cases of each operator or function, at most so many."""
    found: dict[Any, list[Case]] = {}
    for case in cases:
        name = case.op.name if case.op else getattr(case.function, "__name__", "")
        found.setdefault(name, []).append(case)
    return [c for group in found.values() for c in group[:: max(1, -(-len(group) // most))]]


@pytest.fixture
def cupy() -> Iterator[Any]:
    """The stand-in with two devices. Most tests use the second, which is not the current one: CuPy
    would compute on the first, so whatever forgets to change the current device fails."""
    with installed(devices=2) as module:
        yield module


@parametrize_cases(CASES)
def test_operators_on_the_stand_in(case: Case, cupy: Any) -> None:
    """Values and gradients of first and second order equal NumPy's, in both precisions."""
    for dtype in gpu_check.DTYPES:
        gpu_check.compare(case, dtype, "cuda:1")


@parametrize_cases(few(CASES))
def test_generic_checks_on_the_stand_in(case: Case, cupy: Any) -> None:
    """What every operator passes on the CPU: among it infer, memory order, kernels, needs. All
    cases have passed them there."""
    check_case(case, "cuda:1")


@pytest.mark.gpu
def test_operators_on_a_gpu() -> None:
    figures = gpu_check.run_suite(CASES, "cuda")
    assert [line for row in figures.values() for line in row.failures] == []


# Operators that must look at their data on the host, by reason.
LOOKS = {
    "a label or position outside its range is refused, where CuPy would wrap it": [
        *("cross_entropy", "nll_loss", "getitem", "gather", "scatter", "scatter_add", "take"),
        *("take_along_dim", "index_select", "index_add", "index_copy", "index_fill"),
        *("scatter_reduce", "index_reduce", "put", "masked_scatter", "unravel_index"),
        *("max_unpool1d", "max_unpool2d", "max_unpool3d"),
        *("embedding", "one_hot", "multi_margin_loss", "multilabel_margin_loss"),
    ],
    "the size of the result depends on the data": [
        *("masked_select", "nonzero", "argwhere", "unique", "unique_consecutive", "bincount"),
        *("nms", "batched_nms", "remove_small_boxes"),
    ],
    "which pixels make which results is worked out on the host": ["roi_align", "roi_pool"],
    "probabilities outside [0, 1] are refused": [
        *("bernoulli", "quantile", "nanquantile", "binary_cross_entropy"),
    ],
    "a negative variance is refused": ["gaussian_nll_loss"],
    "integers divided by 0 are refused": ["div"],
    "the range of the bins is that of the data": ["histc"],
    "it is asked to": ["move"],
}
MAY_LOOK = {name for names in LOOKS.values() for name in names}


@parametrize_cases(CASES)
def test_nothing_is_fetched_from_the_device(case: Case, cupy: Any) -> None:
    """A hidden transfer makes the host wait for the GPU: these operators may, and no gradient."""
    name = case.op.name if case.op else case.function.__name__
    wanted = case.differentiable()
    case = case.moved("cuda:1")
    tensors = to_tensors(case.leaves(), "cuda:1", wanted)
    cupy.counts.reset()
    outputs = case.call(tensors)
    forward = cupy.counts.to_host
    ys = floating(outputs)
    weights = [random_like(y, case.rng(2)) for y in ys]
    cupy.counts.reset()
    if wanted and ys:
        vjp(ys, [tensors[i] for i in wanted], weights)
    assert forward == 0 or name in MAY_LOOK
    assert cupy.counts.to_host == 0, "the gradient looks"


def placed(value: Any, device: str) -> Any:
    """NumPy arrays in the arguments of a Bad as Tensors on a device."""
    if isinstance(value, np.ndarray):
        return tg.Tensor(to_device(value, as_device(device)))
    if isinstance(value, tg.Tensor):
        return value.detach().to(device)
    if type(value) in (tuple, list):
        return type(value)(placed(part, device) for part in value)
    return value


def refusal(bad: Bad, device: str) -> tuple[type[Exception], str]:
    args = placed(tuple(bad.args), device)
    kwargs = {name: placed(value, device) for name, value in bad.kwargs.items()}
    with pytest.raises(TinygradError) as caught:
        callable_of(bad.function)(*args, **kwargs)
    return type(caught.value), str(caught.value)


@parametrize_cases(BADS)
def test_refusals_are_those_of_the_cpu(bad: Bad, cupy: Any) -> None:
    """The same error and the same text, with nothing left to what CuPy would do."""
    assert refusal(bad, "cuda:1") == refusal(bad, "cpu")


def small_cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64, 5),
    )


def train(device: str, steps: int = 5) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses and final state of a small CNN, from the same weights and data on any device."""
    tg.manual_seed(3)
    rng = np.random.default_rng(0)
    images = tg.tensor(rng.standard_normal((6, 1, 8, 8)), device=device)
    labels = tg.tensor(rng.integers(0, 5, 6), device=device)
    model = small_cnn().to("float64").to(device)
    optimiser = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    state = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
    return losses, state


def check_training(device: str) -> None:
    expected, state = train("cpu")
    losses, other = train(device)
    assert losses == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < expected[0]
    assert state.keys() == other.keys()
    for name, value in state.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-7, atol=1e-12, err_msg=name)


def test_a_cnn_trains_on_the_stand_in(cupy: Any) -> None:
    check_training("cuda:1")


@pytest.mark.gpu
def test_a_cnn_trains_on_a_gpu() -> None:
    check_training("cuda")


def test_channels_last_memory_survives(cupy: Any) -> None:
    """CuPy itself makes every result of arithmetic contiguous."""
    nhwc = np.random.default_rng(0).standard_normal((2, 5, 4, 3))
    x = tg.tensor(np.moveaxis(nhwc, -1, 1), device="cuda:1")
    assert layout_of(x.array) == "channels_last"
    functional, weight = nn.functional, tg.ones(6, 3, 3, 3, dtype="float64", device="cuda:1")
    for y in (
        *(x + 1, x * x, x / 2, -x, x.exp(), x.clone(), x.float(), functional.relu(x)),
        *(functional.conv2d(x, weight), functional.max_pool2d(x, 2), functional.avg_pool2d(x, 2)),
    ):
        assert layout_of(y.array) == "channels_last"


class TestDevices:
    def test_tensors_go_there_and_back(self, cupy: Any) -> None:
        x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = x.to("cuda")
        assert str(y.device) == "cuda:0"
        (y * y).sum().backward()
        assert x.grad.tolist() == [2.0, 4.0, 6.0]
        assert str(x.grad.device) == "cpu"
        assert y.cpu().tolist() == [1.0, 2.0, 3.0]
        assert tg.tensor([1.0], device="cuda").cuda().device == y.device

    def test_two_devices_are_not_mixed(self, cupy: Any) -> None:
        x, y = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0], device="cuda")
        with pytest.raises(BackendError, match=r"add: the inputs are on different devices"):
            x + y

    def test_the_second_device(self) -> None:
        with installed(devices=2):
            x = tg.tensor([1.0, 2.0], device="cuda:1", requires_grad=True)
            y = (x * x).exp().sum()
            assert str(y.device) == "cuda:1"
            y.backward()
            assert str(x.grad.device) == "cuda:1"
            for missing in ("cuda:2", 2, tg.device("cuda", 2)):
                with pytest.raises(BackendError, match="cuda:2 does not exist"):
                    tg.tensor([1.0], device=missing)

    def test_a_number_is_a_cuda_device(self) -> None:
        with installed(devices=2):
            for moved in (x := tg.tensor([1.0]).to(1), x.cuda(tg.device(1)), tg.ones(1).cuda(1)):
                assert str(moved.device) == "cuda:1"
            assert x.to("cuda:1") is x.to(tg.device("cuda:1")) is x
            layer = nn.Linear(1, 1)
            assert str(layer.cuda(1).weight.device) == "cuda:1"
            assert str(layer.to(0).weight.device) == "cuda:0"
            # Without a number it is the current one, so nothing is copied.
            assert tg.ones(1).to(tg.device("cuda")).device == tg.device("cuda:0")
            y = x.to(0)
            assert y.to(tg.device("cuda")) is y

    def test_a_graph_over_two_devices_and_the_host(self) -> None:
        def run(first: str, second: str) -> list[Any]:
            a = tg.tensor([1.0, 2.0], device=first, requires_grad=True)
            b = tg.tensor([3.0, 4.0], device=second, requires_grad=True)
            y = ((a * a + a).sin().to(second) * b + b).cpu()
            (y * 2).sum().backward()
            (da,) = tg.autograd.grad(((a * a).to(second) * b).sum(), a, create_graph=True)
            (dda,) = tg.autograd.grad((da * da).sum(), a)
            grads = [a.grad, b.grad, da, dda]
            assert [str(g.device) for g in grads] == [first, second, first, first]
            return [g.tolist() for g in grads]

        with installed(devices=3) as cupy:
            assert run("cuda:1", "cuda:2") == run("cpu", "cpu")
            assert cupy.cuda.Device().id == 0

    def test_copies_pickles_and_files(self, cupy: Any, tmp_path: Any) -> None:
        model = small_cnn().to("cuda:1")
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            for (name, value), twin in zip(
                model.state_dict().items(), other.state_dict().values(), strict=True
            ):
                assert twin.tolist() == value.tolist(), name
        assert str(next(copy.deepcopy(model).parameters()).device) == "cuda:1"
        pytest.importorskip("safetensors")
        path = tmp_path / "model.safetensors"
        tg.io.save_safetensors(model.state_dict(), path)
        fresh = small_cnn().to("cuda:1")
        fresh.load_state_dict(tg.io.load_safetensors(path))
        for (name, value), twin in zip(
            model.state_dict().items(), fresh.state_dict().values(), strict=True
        ):
            assert str(twin.device) == "cuda:1"
            assert twin.tolist() == value.tolist(), name

    def test_without_a_usable_device(self) -> None:
        with installed(devices=0):
            assert not tg.cuda_is_available()
            with pytest.raises(BackendError, match="no usable CUDA device was found"):
                tg.tensor([1.0], device="cuda")

    def test_default_device(self, cupy: Any) -> None:
        tg.set_default_device("cuda")
        assert str(tg.tensor([1.0]).device) == "cuda:0"
        assert str(tg.zeros(2).device) == "cuda:0"


def test_importing_the_package_does_not_import_cupy() -> None:
    import subprocess
    import sys

    program = "import sys, tinygrad_cv; assert 'cupy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


class TestGpuCheck:
    def test_writes_its_log(self, cupy: Any, tmp_path: Any, capsys: Any) -> None:
        status = gpu_check.main(["--only", "relu,matmul", "--no-bench", "--log-dir", str(tmp_path)])
        (path,) = tmp_path.iterdir()
        text = path.read_text()
        assert status == 0, text
        assert "| relu |" in text
        assert "stand-in on the CPU" in text
        assert "failures: 0" in text
        assert capsys.readouterr().out == text

    def test_without_a_gpu_it_says_so(self, tmp_path: Any, capsys: Any) -> None:
        with installed(devices=0):
            assert gpu_check.main(["--log-dir", str(tmp_path)]) == 2
        assert "no usable GPU" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_a_wrong_operator_fails_the_check(
        self, cupy: Any, tmp_path: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(cupy.module.tanh, "_host", lambda x: np.tanh(x) * x.dtype.type(1.01))
        assert gpu_check.main(["--only", "tanh", "--no-bench", "--log-dir", str(tmp_path)]) == 1
        text = next(tmp_path.iterdir()).read_text()
        assert "FAILED" in text
        assert "tanh" in text.partition("## Failures")[2]

    @pytest.mark.parametrize("workload", ["lenet", "small_ops"])
    def test_the_benchmark_runs_on_the_stand_in(
        self, cupy: Any, monkeypatch: Any, workload: str
    ) -> None:
        monkeypatch.syspath_prepend(gpu_check.ROOT / "tools" / "bench")
        worker = importlib.import_module("worker")
        mode = "add_mul" if workload == "small_ops" else "train"
        expected, found = (
            worker.Worker(worker.Engine("ours", device)).setup(workload, mode, 2)["results"]
            for device in ("cpu", "cuda:1")
        )
        assert found == pytest.approx(expected, rel=1e-3)

    def test_errors_are_counted_in_ulp(self) -> None:
        one = np.ones(3)
        assert list(gpu_check.errors_of([one + 3 * 2.0**-52], [one])) == [3.0]
        assert list(gpu_check.errors_of([np.array([np.nan, 1])], [np.array([np.nan, 1])])) == [0.0]
        for wrong in (np.ones(4), np.ones(3, "f"), np.array([1, 1, np.nan])):
            with pytest.raises(gpu_check.CheckFailure):
                list(gpu_check.errors_of([wrong], [one]))
        with pytest.raises(gpu_check.CheckFailure, match="1 integers or bools differ"):
            list(gpu_check.errors_of([np.arange(3)], [np.array([0, 1, 3])]))
