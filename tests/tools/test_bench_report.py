"""The benchmark: targets, growth along a sweep, tables and pictures."""

from __future__ import annotations

import importlib
import json
from xml.etree import ElementTree

import pytest


def row(mode="train", workload="vgg8", sweep=None, **engines):
    """A row with one round: milliseconds, or megabytes of memory, by engine."""
    figure = "mb" if mode == "memory" else "ms"
    found = {"workload": workload, "mode": mode, "engines": {}}
    if sweep:
        found |= {"sweep": sweep[0], "at": sweep[1]}
    for name, value in engines.items():
        known = {"mb": value} if figure == "mb" else {"ms": [value], "cpu_ms": [value]}
        found["engines"][name] = known
    importlib.import_module("measure").add_ratios(found, figure)
    return found


# Targets and growth -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ({"ours": 0.45, "torch": 1.0, "torch_channels_last": 0.9, "ours_numpy": 2.0}, "✓"),
        ({"ours": 0.46, "torch": 1.0, "torch_channels_last": 1.0}, "✗ torch 0.46 > 0.45"),
        ({"ours": 0.4, "torch": 1.0, "torch_channels_last": 0.5}, "✗ torch c.last 0.80 > 0.5"),
        ({"ours": 0.4, "torch": 1.0, "ours_numpy": 2.5}, "✗ NumPy only 2.50 > 2.0"),
        ({"workload": "depthwise", "ours": 0.4, "torch": 1.0, "ours_numpy": 3.9}, "✓"),
        ({"workload": "lenet", "ours": 0.59, "torch": 1.0, "torch_channels_last": 0.8}, "✓"),
        ({"mode": "infer", "ours": 0.46, "torch": 1.0}, "✗ torch 0.46 > 0.45"),
        (
            {"workload": "small_ops", "mode": "add_mul", "ours": 0.61, "torch": 1.0},
            "✗ torch 0.61 > 0.6",
        ),
        ({"workload": "small_ops", "mode": "unary", "ours": 3.0, "torch": 1.0}, "-"),
        ({"mode": "memory", "ours": 120.0, "torch": 130.0}, "✗ torch 0.92 > 0.8"),
        ({"mode": "memory", "ours": 60.0, "torch": 90.0}, "-"),
        ({"ours": 1.0, "jax": 1.0}, "-"),
        ({"sweep": ("batch", 4), "ours": 9.0, "torch": 1.0}, "-"),
    ],
)
def test_targets(bench, measured, expected):
    assert bench.targets.verdict(row(**measured)) == expected


def test_a_first_step_may_take_twenty_seconds(bench):
    for seconds, expected in ((19.0, "✓"), (21.0, "✗ 21.0 s > 20 s")):
        found = {"mode": "first", "engines": {"ours": {"cold": {"first_s": seconds}}}}
        assert bench.targets.verdict(found) == expected


@pytest.mark.parametrize("power", [0.5, 1.0, 1.6])
def test_the_exponent_of_growth(bench, power):
    amounts = [4, 8, 16, 32]
    found = bench.growth.exponent(amounts, [3.0 * a**power for a in amounts])
    assert found == pytest.approx(power)
    assert bench.growth.is_linear(found) is (power < 1.5)
    assert bench.growth.exponent([4], [1.0]) is None


def test_image_sizes_count_pixels(bench):
    rows = [row(sweep=("size", at), ours=at * at / 100) for at in (16, 32, 64)]
    ((amounts, times),) = next(iter(bench.growth.groups(rows).values())).values()
    assert amounts == [256, 1024, 4096]
    assert bench.growth.exponent(amounts, times) == pytest.approx(1.0)


# Tables and pictures ------------------------------------------------------------------------------


def document(*rows):
    return {
        "rows": list(rows),
        "machine": {"cpu": "a <CPU>", "cores": 2},
        "versions": {"numpy": "2.0"},
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "abc",
        "load": [0.0],
    }


def test_the_table_has_ratios_targets_and_what_was_skipped(bench, capsys):
    train = row(ours=0.5, ours_numpy=1.5, torch=1.0, torch_channels_last=1.0)
    train["engines"]["jax"] = {"error": "ImportError: no JAX"}
    memory = row("memory", ours=90.0, torch=120.0)
    sweep = [row(sweep=("batch", at), ours=2.0 * at, torch=at**1.5) for at in (4, 16, 64)]
    bench.report.summary(document(train, memory, *sweep))
    out = capsys.readouterr().out
    assert "| ours/torch | ours/torch c.last | NumPy only/torch | target |" in out
    assert "| skipped | 0.50 | 0.50 | 1.50 | ✗ torch 0.50 > 0.45 |" in out
    assert "| vgg8 memory | 90 MB | - | 120 MB | - | - | 0.75 | - | - | ✓ |" in out
    assert "| vgg8 train batch | ours | image | 2 ms 2 ms 2 ms | 1.00 | ✓ |" in out
    assert "| vgg8 train batch | torch | image | 2 ms 4 ms 8 ms | 1.50 | ✗ |" in out
    assert "skipped: vgg8 train, JAX: ImportError: no JAX" in out


def test_first_steps_are_a_table_of_their_own(bench, capsys):
    cold = {"first_s": 9.0, "import_s": 0.3, "start_s": 9.9, "kernels": 7}
    warm = cold | {"first_s": 0.2, "start_s": 1.1}
    found = {"workload": "vgg8", "mode": "first"}
    bench.report.summary(
        document(found | {"engines": {"ours": {"cold": cold, "warm": warm, "wrong": False}}})
    )
    assert "| vgg8 | ours | 9.00 s | 0.20 s | 7 | 0.30 s | 9.90 s | 1.10 s | ✓ |" in (
        capsys.readouterr().out
    )


def test_rows_without_another_engine_are_marked(bench, capsys):
    alone = row(ours=0.5) | {"unchecked": True}
    state = {"first_s": 9.0, "import_s": 0.3, "start_s": 9.9, "kernels": 7}
    first = {"workload": "vgg8", "mode": "first", "unchecked": True}
    first["engines"] = {"ours": {"cold": state, "warm": state, "wrong": False}}
    bench.report.summary(document(alone, first, row("infer", ours=0.5, torch=1.0)))
    out = capsys.readouterr().out
    assert "| vgg8 train (unchecked) |" in out
    assert "| vgg8 (unchecked) | ours |" in out
    assert "| vgg8 infer |" in out


@pytest.mark.parametrize("kind", ["bars", "curves"])
def test_a_picture_is_the_same_every_time(bench, kind, tmp_path):
    if kind == "bars":
        rows = [row(ours=0.4, torch=1.0, jax=9.0), row("infer", ours=0.4, torch=1.0)]
    else:
        rows = [row(sweep=("depth", at), ours=at, torch=2.0 * at) for at in (1, 2, 4)]
    source, result = tmp_path / "figures.json", tmp_path / "picture.svg"
    source.write_text(json.dumps(document(*rows)))
    assert bench.plot.main([str(source), str(result)]) == 0
    text = result.read_text()
    assert text == bench.plot.picture(document(*rows))
    tree = ElementTree.fromstring(text)
    words = " ".join(t.text for t in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert "a <CPU>, 2 cores; 2026-01-02; commit abc" in words
    assert ("0.40 · 0.4 ms" if kind == "bars" else "ours: exponent 1.00") in words
    assert "nan" not in text


def test_a_picture_of_nothing_is_refused(bench, tmp_path, capsys):
    source = tmp_path / "figures.json"
    source.write_text(json.dumps(document(row(ours=1.0))))
    assert bench.plot.main([str(source), str(tmp_path / "picture.svg")]) == 1
    assert "bars need times of torch" in capsys.readouterr().err
