"""The short examples: what they print and write is what the lecture says."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import tinygrad_cv as tg

FOLDER = Path(__file__).parent.parent / "examples"


def load(name):
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def printed(capsys):
    """Runs an example, and gives its module and the matrices that it prints, by their titles."""

    def run(name, *arguments):
        module = load(name)
        module.main([*arguments])
        text = capsys.readouterr().out
        blocks = re.findall(r"^(.+)\n((?:[ \[].*\n)+)", text, re.MULTILINE)
        return module, text, {title: numbers(block) for title, block in blocks}

    return run


def numbers(block):
    return [[float(n) for n in re.findall(r"-?\d+\.?\d*", row)] for row in block.splitlines()]


def test_median_filter(tmp_path, capsys):
    pytest.importorskip("PIL")
    example = load("median_filter")
    example.main(["--quick", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    found = {k: float(v) for k, v in re.findall(r"^(\w+(?: \dx\d)?) +PSNR ([\d.]+)", text, re.M)}
    assert found["median 3x3"] > found["mean 3x3"] + 3 > found["noisy"] + 3
    assert found["median 5x5"] > found["mean 5x5"]
    from PIL import Image

    original, noisy = (
        np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("original", "noisy")
    )
    assert original.shape == noisy.shape == (128, 128, 3)
    changed = (original != noisy).any(2)
    assert 0.07 < changed.mean() < 0.13
    assert set(noisy[changed].ravel().tolist()) == {0, 255}
    assert len(list(tmp_path.glob("*.png"))) == 6
    assert example.psnr(tg.zeros(3) + 0.1, tg.zeros(3)) == pytest.approx(20, abs=1e-4)


def test_conv_matrix(printed):
    _, _, found = printed("conv_matrix")
    image, kernel, slope = (np.array(found[name]) for name in ("I", "w", "dh"))
    matrix, columns = np.zeros((4, 9)), np.zeros((4, 4))
    for p, q, i, j in np.ndindex(2, 2, 2, 2):
        matrix[2 * p + q, 3 * (p + i) + q + j] = kernel[i, j]
        columns[2 * i + j, 2 * p + q] = image[p + i, q + j]
    assert found["C"] == matrix.tolist()
    assert found["I_c"] == columns.tolist()
    results = {name.partition(",")[0]: np.ravel(rows) for name, rows in found.items()}
    np.testing.assert_allclose(results["h = C I"], matrix @ image.ravel())
    np.testing.assert_allclose(results["dI = C^T dh"], matrix.T @ slope.ravel())
    np.testing.assert_allclose(results["dw = I_c dh"], columns @ slope.ravel())


def test_conv_matrix_stops_where_something_differs():
    with pytest.raises(SystemExit, match="convolution gives"):
        load("conv_matrix").check("h", tg.ones(4), tg.zeros(1, 1, 2, 2))


def test_pooling(printed):
    _, _, found = printed("pooling")
    assert found["max pooling"] == [[7, 9], [4, 5]]
    assert found["gradient of max pooling"] == [
        [0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1],
    ]  # fmt: skip
    assert found["average pooling"] == [[4.5, 6], [3, 2.75]]
    assert found["gradient of average pooling"] == [[0.25] * 4] * 4


def test_transposed_conv(printed):
    example, text, found = printed("transposed_conv")
    assert found["3x3 gradient of the image"] == [[1, 2, 0], [3, 14, 20], [0, 30, 40]]
    assert text.count("equal both ways") == len(example.CASES)
    with pytest.raises(SystemExit, match="a convolution gives"):
        example.same("a convolution", tg.ones(2), tg.zeros(2))


def uses(rates):
    """By listing every path from the output pixel to the input."""
    half = sum(rates)
    line = np.zeros(2 * half + 1, int)
    for steps in np.ndindex(*[3] * len(rates)):
        line[half + sum((s - 1) * rate for s, rate in zip(steps, rates, strict=True))] += 1
    return np.outer(line, line)


@pytest.mark.parametrize("rates", [(2, 2, 2), (1, 2, 5), (1,), (3, 4)])
def test_dilated_conv(printed, rates):
    example, text, _ = printed("dilated_conv", "--rates", *map(str, rates))
    np.testing.assert_array_equal(example.input_uses(rates), uses(rates))
    rows = [row.split() for row in text.splitlines()[1:] if row.strip()]
    assert [[0 if n == "." else int(n) for n in row] for row in rows] == uses(rates).tolist()


def test_dilated_conv_compares_the_two(printed):
    _, text, _ = printed("dilated_conv", "--quick")
    assert "rates 2, 2, 2: a field of 13x13 pixels, of which 49 of 169 are used" in text
    assert "rates 1, 2, 5: a field of 17x17 pixels, of which 289 of 289 are used" in text


@pytest.mark.parametrize(
    "name", ["median_filter", "conv_matrix", "pooling", "transposed_conv", "dilated_conv"]
)
def test_it_explains_itself(name):
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        cwd=FOLDER.parent,
        env={"PYTHONPATH": "."},
    )
    assert done.returncode == 0
    assert "--quick" in done.stdout
    assert done.stdout.partition("\n\n")[2].strip()
