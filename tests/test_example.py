"""The example in a short mode, as a user starts it."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_cv as tg
from tests.data.test_idx import encode
from tinygrad_cv.io import load_safetensors

SCRIPT = Path(__file__).parent.parent / "examples" / "train_digits.py"


@pytest.fixture(scope="module")
def example():
    spec = spec_from_file_location("train_digits", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accuracies(text):
    lines = [line.split() for line in text.splitlines() if "accuracy" in line]
    return {words[0]: float(words[2].rstrip("%")) for words in lines}


def test_trains_saves_and_draws(example, tmp_path, capsys):
    example.main(["--epochs", "2", "--seed", "1", "--out", str(tmp_path)])
    found = accuracies(capsys.readouterr().out)
    assert found.keys() == {"train", "test"}
    assert min(found.values()) > 70

    weights = load_safetensors(tmp_path / "digits.safetensors")
    model = example.DigitNet((8, 8))
    model.load_state_dict(weights)
    _, test = example.digits()
    assert round(100 * example.accuracy(model, *test, "cpu"), 2) == found["test"]

    picture = ElementTree.parse(tmp_path / "loss.svg").getroot()
    texts = " ".join(picture.itertext())
    for label in ("conv", "batch_norm", "max_pool", "dropout", "cross_entropy"):
        assert label in texts


def test_the_same_seed_gives_the_same_weights(example, tmp_path):
    for name in ("a", "b"):
        example.main(["--epochs", "1", "--seed", "3", "--out", str(tmp_path / name)])
    first, second = (load_safetensors(tmp_path / n / "digits.safetensors") for n in ("a", "b"))
    for name, weight in first.items():
        np.testing.assert_array_equal(weight.numpy(), second[name].numpy())


def test_the_test_part_is_one_fifth_and_stratified(example):
    (train_images, train_labels), (test_images, test_labels) = example.digits()
    assert (len(train_images), len(test_images)) == (1437, 360)
    assert np.ptp(np.bincount(test_labels)) <= 2
    assert train_images.dtype == np.float32
    assert train_images.shape[1:] == (1, 8, 8)
    assert 0 == train_images.min() < train_images.max() == 1
    assert len(train_labels) == 1437


def test_images_are_shifted_by_at_most_one_pixel(example):
    tg.manual_seed(0)
    images = np.zeros((200, 1, 5, 5), np.float32)
    images[:, 0, 2, 2] = 1
    moved = example.shifted(images)
    assert moved.shape == images.shape
    places = {tuple(place) for place in np.argwhere(moved)[:, 2:].tolist()}
    assert places == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}


def test_mnist_files(example, tmp_path, capsys):
    (images, labels), _ = example.digits()
    large = np.pad(
        (images[:, 0] * 255).astype("u1").repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2))
    )
    for prefix, part in {"train": slice(0, 256), "t10k": slice(256, 320)}.items():
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(encode(large[part]))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(encode(labels[part].astype("u1")))
    example.main(["--data", str(tmp_path), "--epochs", "1", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert "256 images to train on, 64 to test on" in text
    assert accuracies(text).keys() == {"train", "test"}


def test_device_cuda_on_the_stand_in(example, tmp_path, capsys):
    """The same numbers as on the CPU, to what the order of float32 sums leaves."""
    pytest.importorskip("cupy")
    from tests.cupy_standin import installed

    def run(device):
        example.main(["--device", device, "--epochs", "1", "--out", str(tmp_path / device)])
        return accuracies(capsys.readouterr().out)

    expected = run("cpu")
    with installed():
        found = run("cuda")
    assert found == pytest.approx(expected, abs=5)


def test_mistakes_end_in_one_message_and_no_traceback(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(SCRIPT), "--out", str(tmp_path), *arguments],
            capture_output=True,
            text=True,
            cwd=SCRIPT.parent.parent,
            env={"PYTHONPATH": "."},
        )

    missing = run("--data", "no/such/place")
    assert missing.returncode == 1
    assert missing.stderr.startswith("DataError: read_mnist: 'no/such/place' has no file train-")
    assert "Put the four MNIST files there" in missing.stderr
    assert run("--epochs", "0").returncode == 2
    if not tg.cuda_is_available():
        cuda = run("--device", "cuda")
        assert cuda.returncode == 1
        assert cuda.stderr.startswith("BackendError: device: ")
        assert "Traceback" not in cuda.stderr
