"""The benchmark: what it plans, compares and skips. Times are not tested."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


class Fake:
    """A process that answers from a table; ``run`` says how many milliseconds a step takes."""

    def __init__(self, engine, setup, ms=1.0):
        self.engine, self.setup, self.ms = engine, setup, ms
        self.asked = []

    def ask(self, do, **request):
        self.asked.append((do, request))
        if do in ("setup", "operator"):
            return dict(self.setup)
        return {"ms": self.ms, "cpu_ms": self.ms} if do == "run" else {"versions": {}}

    def times_run(self):
        return sum(do == "run" for do, _ in self.asked)


# What is measured ---------------------------------------------------------------------------------


def planned(bench, *arguments):
    options = bench.plan.parser("").parse_args(arguments)
    return list(bench.plan.plan(options, bench.plan.engines_of(options)))


def test_by_default_four_engines_and_memory_last(bench):
    items = planned(bench)
    assert items[0].engines == ("ours", "torch")  # small operators: one kernel and no layout
    training = next(item for item in items if item.workload == "vgg8")
    assert training.engines == ("ours", "ours_numpy", "torch", "torch_channels_last")
    memory = [item for item in items if item.kind == "memory"]
    assert items[-len(memory) :] == memory
    assert {item.workload for item in memory} == set(bench.models.NETWORKS)
    assert all("ours_numpy" not in item.engines for item in memory)


def test_peers_come_beside_the_engines_and_engines_replace_them(bench):
    (train,) = planned(bench, "--only", "lenet", "--modes", "train", "--peers", "jax", "--quick")
    assert train.engines == ("ours", "ours_numpy", "torch", "torch_channels_last", "jax")
    (train,) = planned(
        bench, "--only", "lenet", "--modes", "train", "--engines", "jax,ours", "--quick"
    )
    assert train.engines == ("ours", "jax")


@pytest.mark.parametrize(
    ("arguments", "points"),
    [
        (("batch", "lenet"), [4, 8, 16, 32, 64]),
        (("depth", "vgg8,lenet"), [1, 2, 4, 8]),
        (("size", "unet,lenet"), [32, 64, 128]),
    ],
)
def test_a_sweep_has_the_points_of_the_networks_that_can(bench, arguments, points):
    sweep, only = arguments
    items = planned(bench, "--sweep", sweep, "--only", only)
    assert [item.point for item in items] == [{sweep: at} for at in points]
    assert {item.mode for item in items} == {"train"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "alexnet"), "unknown workload alexnet; known are small_ops, lenet"),
        (("--engines", "numpy"), "unknown engine numpy; known are ours"),
        (("--peers", "ours"), "unknown peer ours; known are torch_compile"),
        (("--modes", "backward"), "unknown mode backward; known are train, infer"),
        (("--operators", "conv9d"), "no operator has conv9d in its name"),
        (("--sweep", "depth", "--only", "lenet"), "with more than one depth are vgg8, resnet18"),
        (("--operators", "relu", "--only", "lenet"), "--operators takes words of its own"),
    ],
)
def test_what_is_not_known_is_refused(bench, arguments, message):
    with pytest.raises(SystemExit, match=message):
        planned(bench, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rounds", "0"), "argument --rounds: at least 1, not 0"),
        (("--rounds", "-1"), "argument --rounds: at least 1, not -1"),
        (("--device", "tpu"), "invalid choice: 'tpu'"),
        (("--json", "nowhere/figures.json"), "there is no folder nowhere"),
        (("--plot", "nowhere/figures.svg"), "there is no folder nowhere"),
        (("--plot", "figures.png"), "pictures are written as .svg, not as figures.png"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_at_the_start(bench, arguments, message, capsys):
    with pytest.raises(SystemExit):
        bench.plan.parser("").parse_args(arguments)
    assert message in capsys.readouterr().err


def test_a_network_takes_only_points_it_can_have(bench):
    network = bench.models.chosen("unet", batch=2, size=32)
    images, labels = bench.models.batch(network)
    assert images.shape == (2, 3, 32, 32)
    assert labels.shape == (2, 32, 32)
    with pytest.raises(ValueError, match="lenet takes images of one size"):
        bench.models.chosen("lenet", size=32)
    with pytest.raises(ValueError, match="unet has one depth"):
        bench.models.chosen("unet", depth=2)


def test_depth_two_is_the_network_itself_and_more_is_deeper(bench):
    ns = bench.peers_layers.Namespace(TorchFunctions())
    for name in ("vgg8", "resnet18", "depthwise"):
        counts = [len(bench.models.chosen(name, depth=d).build(ns).places()) for d in (1, 2, 4)]
        assert counts[1] == len(bench.models.chosen(name).build(ns).places())
        assert counts[0] < counts[1] < counts[2]
        assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


# What is compared ---------------------------------------------------------------------------------


def test_an_engine_with_other_results_is_not_timed(bench):
    good, bad = {"results": [1.0, 2.0]}, {"results": [1.0, 2.1]}
    processes = [Fake("ours", good, 1.0), Fake("torch", good, 2.0), Fake("jax", bad)]
    found = bench.measure.workload(processes, "lenet", "train", rounds=3, run_s=0.0)
    assert [p.times_run() for p in processes] == [4, 4, 0]
    assert found["engines"]["jax"]["wrong"]
    assert found["ratios"] == {"ours/torch": [0.5] * 3}
    assert bench.report.broken([found]) == ["lenet train: JAX gives other results"]


def test_the_order_of_the_engines_turns_round(bench):
    order = []
    processes = [Fake(name, {"results": [1.0]}) for name in ("ours", "torch")]
    for process in processes:
        ask = process.ask

        def noted(do, ask=ask, name=process.engine, **request):
            order.extend([name] * (do == "run"))
            return ask(do, **request)

        process.ask = noted
    bench.measure.workload(processes, "lenet", "train", rounds=2, run_s=0.0)
    assert order[2:] == ["ours", "torch", "torch", "ours"]


def test_without_another_engine_nothing_is_checked(bench, capsys):
    for engines, unchecked in ((("ours", "ours_numpy"), True), (("ours", "jax"), False)):
        processes = [Fake(name, {"results": [1.0]}) for name in engines]
        found = bench.measure.workload(processes, "lenet", "train", rounds=1, run_s=0.0)
        assert found["unchecked"] is unchecked
        bench.report.show(found)
        out = capsys.readouterr().out
        assert ("lenet train (unchecked)" in out) is unchecked
        assert ("no other engine gave results" in out) is unchecked


def test_ratios_are_of_the_same_round_also_after_an_error(bench):
    processes = [Fake("ours", {"results": [1.0]}), Fake("torch", {"results": [1.0]})]
    answers = {"ours": [9.0, 1.0, 2.0, 3.0], "torch": [9.0, 10.0, None, 10.0]}  # None: an error
    for process in processes:
        ask, steps = process.ask, iter(answers[process.engine])

        def run(do, ask=ask, steps=steps, **request):
            if do != "run":
                return ask(do, **request)
            ms = next(steps)
            return {"error": "MemoryError"} if ms is None else {"ms": ms, "cpu_ms": ms}

        process.ask = run
    found = bench.measure.workload(processes, "lenet", "train", rounds=3, run_s=0.0)
    assert found["ratios"] == {"ours/torch": [0.1, 0.3]}
    assert found["engines"]["torch"]["rounds"] == [0, 2]


@pytest.mark.parametrize("engine", ["torch", "ours"])
def test_an_engine_that_cannot_is_skipped_and_only_ours_fails_the_run(bench, engine):
    processes = [Fake(engine, {"error": "ImportError: none"}), Fake("jax", {"results": [1.0]})]
    found = bench.measure.workload(processes, "lenet", "train", rounds=1, run_s=0.0)
    assert processes[1].times_run() == 2
    assert bool(bench.report.broken([found])) is (engine == "ours")


@pytest.mark.parametrize("actual", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")], [-1.0, 2.0]])
def test_too_few_results_not_numbers_and_signs_are_seen(bench, actual):
    assert not bench.measure.agree(actual, [1.0, 2.0], 1e-3)
    assert bench.measure.agree([1.0005, 2.0], [1.0, 2.0], 1e-3)
    assert bench.measure.agree([1.0005, 2.009], [1.0, 2.0], 1e-3, growth=5)
    assert not bench.measure.agree([1.002, 2.0], [1.0, 2.0], 1e-3, growth=5)
    assert not bench.measure.agree([1.0, 2.02], [1.0, 2.0], 1e-3, growth=5)


def test_an_array_is_told_by_places_signs_and_size(bench):
    values = np.random.default_rng(0).normal(size=(4, 6))
    known = bench.worker.numbers(values)
    one = values.copy()
    one[2, 3] = 9.0
    for other in (values[::-1], -values, values * 1.001, one):
        assert not bench.measure.agree(bench.worker.numbers(other), known, 1e-4)
    assert bench.worker.numbers((values, np.float32(2))) == [*known, 2.0]


def test_a_single_wrong_place_of_many_is_seen(bench):
    values = np.ones(40_000)
    known = bench.worker.numbers(values)
    values[20_000] = 3.0
    assert not bench.measure.agree(bench.worker.numbers(values), known, 1e-3)


@pytest.mark.parametrize(("variant", "arrays"), [("add_mul", 3), ("unary", 2), ("forward", 1)])
def test_a_chain_is_compared_with_all_its_gradients(bench, variant, arrays):
    engines = (bench.native.Engine("ours"), bench.native.Engine("torch"))
    ours, theirs = (bench.worker.numbers(e.chain_step(variant)()) for e in engines)
    assert len(ours) == 4 * arrays
    assert bench.measure.agree(ours, theirs, bench.measure.TOLERANCE["small_ops"])


@pytest.mark.parametrize(("result", "status"), [(1.0, 0), (1.5, 1)])
def test_the_exit_status_is_one_for_wrong_results_only(bench, result, status, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("bench_program", BENCH / "__main__.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)

    @contextmanager
    def opened(engines, device):
        slow = {"ours": 99.0}
        wrong = {"ours": result}
        yield [Fake(e, {"results": [wrong.get(e, 1.0)]}, slow.get(e, 1.0)) for e in engines]

    monkeypatch.setattr(bench.measure, "opened", opened)
    assert program.main(["--quick", "--only", "lenet", "--modes", "train"]) == status
    captured = capsys.readouterr()
    assert "| lenet train | " in captured.out
    assert ("lenet train: ours gives other results" in captured.err) is bool(status)


@pytest.mark.parametrize("name", ["conv2d 1x1", "cross_entropy", "index_select of rows", "log"])
def test_an_operator_of_the_table_gives_what_pytorch_gives(bench, name):
    results = []
    for engine in (bench.native.Engine("ours"), bench.native.Engine("torch")):
        worker = bench.worker.Worker(engine)
        results.append(worker.operator(name)["results"])
        assert set(worker.steps) == {"forward", "backward"}
    ours, theirs = results
    assert bench.measure.agree(ours, theirs, bench.measure.TOLERANCE["operator"])
    assert all(theirs)


# Peers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jax", "tinygrad", "autograd"])
def test_a_peer_that_is_not_installed_says_how_to_get_it(bench, name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"peers.{name}_peer", raising=False)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[bench\]'"):
        bench.worker.engine_of(name, "cpu")
    with pytest.raises(ValueError, match=f"{name} is compared on the CPU only"):
        bench.worker.engine_of(name, "cuda")


def test_torch_compile_without_a_compiler_says_so(bench, monkeypatch):
    monkeypatch.setattr(bench.native.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler"):
        bench.native.Engine("torch_compile")


def test_a_failure_in_the_worker_is_an_answer_with_its_reason(bench):
    with bench.measure.opened(["ours"]) as (process,):
        answer = process.ask("setup", workload="lenet", mode="train", size=64)
        assert answer["error"].startswith("ValueError: lenet takes images of one size")
        assert process.ask("versions")["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize("name", ["jax", "autograd"])
def test_a_peer_gives_the_results_of_ours(bench, name):
    if importlib.util.find_spec(name) is None:  # importing it here would hinder tests that fork
        pytest.skip(f"{name}, an optional peer of the benchmark, is not installed")
    with bench.measure.opened([name, "ours"]) as processes:
        found = bench.measure.workload(processes, "lenet", "train", 0, 0.0, batch=2)
    assert [entry.get("wrong") for entry in found["engines"].values()] == [False, False], found


# Layers of the peers, on PyTorch's functions ------------------------------------------------------


class TorchFunctions:
    """The functions that the layers need, from PyTorch: what they compute is known."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        self.relu, self.tanh, self.rsqrt = self.torch.relu, self.torch.tanh, self.torch.rsqrt
        self.cat, self.constant = self.torch.cat, self.torch.Tensor.detach

    def mean(self, x, axes):
        return x.mean(axes, keepdim=True)

    def convolution(self, x, weight, stride, padding, groups):
        F = self.torch.nn.functional
        convolve = F.conv2d if x.ndim == 4 else F.conv3d
        return convolve(x, weight, None, stride, padding, 1, groups)

    def transposed_convolution(self, x, weight, stride):
        return self.torch.nn.functional.conv_transpose2d(x, weight, stride=stride)

    def max_pool(self, x, window):
        F = self.torch.nn.functional
        return (F.max_pool2d if x.ndim == 4 else F.max_pool3d)(x, window)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "size"), [("depthwise", 16), ("unet", 16), ("c3d", 16)])
def test_the_layers_compute_what_those_of_pytorch_compute(bench, name, size, training):
    torch = pytest.importorskip("torch")
    network = bench.models.chosen(name, batch=2, size=size)
    theirs = bench.native.Engine("torch").model(network)
    model, state = bench.peers_layers.initial(network, TorchFunctions())
    model.load({key: torch.tensor(value) for key, value in state.items()})
    if not training:
        theirs.eval()
        model.eval()
    x = torch.tensor(bench.models.batch(network)[0])
    with torch.no_grad():
        np.testing.assert_allclose(model(x), theirs(x), rtol=1e-3, atol=1e-4)
    expected = theirs.state_dict()
    for key, value in model.buffers().items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-5)


# Caches -------------------------------------------------------------------------------------------


def test_engines_get_no_pin_of_blas_and_a_cache_of_their_own(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE" not in bench.process.environment()
    own = bench.process.environment(tmp_path)
    assert own["XDG_CACHE_HOME"] == str(tmp_path)
    assert Path(own["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(tmp_path)


def test_the_first_step_is_taken_cold_and_then_warm(bench, monkeypatch):
    caches = []

    def process(engine, cache):
        caches.append(cache)
        assert cache.is_dir()
        fake = Fake(engine, {"results": [1.0], "first_s": 2.0, "import_s": 0.1})
        fake.close = lambda: None
        return fake

    monkeypatch.setattr(bench.measure, "Process", process)
    found = bench.measure.first_steps("lenet", ["ours", "torch"])
    assert caches[0] == caches[1] != caches[2] == caches[3]
    assert not any(cache.exists() for cache in caches)
    assert {"cold", "warm"} <= set(found["engines"]["torch"])


def test_the_look_at_gradients_is_part_of_a_step(bench):
    import finite_check

    step, look = finite_check.measured("lenet", 2)
    assert 0 < look < step
