"""The IDX reader: every damage is found and said; nothing is half-read."""

import gzip
import struct

import numpy as np
import pytest

from tinygrad_cv.data import read_idx, read_mnist
from tinygrad_cv.errors import ArgumentError, DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array):
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return header + lengths + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("code", CODES)
def test_reads_what_was_written(tmp_path, code, zipped):
    array = np.arange(-30, 30).reshape(3, 4, 5).astype(code)
    path = tmp_path / "data"  # the name does not tell whether it is gzipped
    path.write_bytes(gzip.compress(encode(array)) if zipped else encode(array))
    found = read_idx(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_reads_as_many_axes_as_numpy_has(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(encode(np.full((1,) * 64, 7, "u1")))
    assert read_idx(path).shape == (1,) * 64


def test_reads_empty_arrays(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(encode(np.zeros((0, 28, 28), "u1")))
    assert read_idx(path).shape == (0, 28, 28)


GOOD = encode(np.arange(12, dtype="u1").reshape(3, 4))
DAMAGED = {
    "empty": (b"", r"bytes \(none\)"),
    "magic": (b"\x89PNG" + GOOD[4:], "89 50 4e 47; an IDX file begins with 00 00"),
    "type": (b"\0\0\x07\2" + GOOD[4:], "type code"),
    "no axes": (b"\0\0\x08\0", "number of axes of at least 1"),
    "header": (GOOD[:9], "header ends after 9 of 12 bytes"),
    "truncated": (GOOD[:-1], r"shape \(3, 4\), which is 12 bytes; only 11 follow"),
    "too long": (GOOD + b"\0", "12 bytes; more follow"),
    "huge": (b"\0\0\x0e\x04" + b"\xff" * 16, "only 0 follow"),
    "axes": (
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\7",
        "255 axes; NumPy's arrays have at most 64",
    ),
    "huge and empty": (b"\0\0\x0e\4" + b"\0" * 4 + b"\xff" * 12, "more than an array can have"),
    "gzip truncated": (gzip.compress(GOOD)[:-9], "gzip stream is damaged"),
    "gzip checksum": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "gzip stream is damaged"),
    "gzip garbage": (gzip.compress(GOOD)[:10] + b"\xff" * 20, "gzip stream is damaged"),
}


@pytest.mark.parametrize(("content", "match"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named(tmp_path, content, match):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        read_idx(path)
    text = str(caught.value)
    assert text.startswith("read_idx: ")
    assert str(path) in text
    assert "fetch it again" in text


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="is a directory"):
        read_idx(tmp_path)


def write_mnist(directory, ending=".gz", middle="-idx", train=(6, 6)):
    for prefix, (images, labels) in {"train": train, "t10k": (3, 3)}.items():
        content = {
            f"{prefix}-images{middle}3-ubyte{ending}": encode(np.ones((images, 28, 28), "u1")),
            f"{prefix}-labels{middle}1-ubyte{ending}": encode(np.arange(labels, dtype="u1")),
        }
        for name, data in content.items():
            (directory / name).write_bytes(gzip.compress(data) if ending else data)


@pytest.mark.parametrize("middle", ["-idx", ".idx"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist_under_all_its_names(tmp_path, ending, middle):
    write_mnist(tmp_path, ending, middle)
    images, labels = read_mnist(tmp_path)
    assert images.shape == (6, 28, 28)
    assert images.dtype == np.uint8
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.dtype == np.int64
    assert len(read_mnist(tmp_path, "test")[0]) == 3


def test_mnist_with_wrong_files(tmp_path):
    with pytest.raises(ArgumentError, match="'train' or 'test'"):
        read_mnist(tmp_path, "valid")
    with pytest.raises(DataError, match="it holds: nothing"):
        read_mnist(tmp_path)
    with pytest.raises(DataError, match="there is no such directory"):
        read_mnist(tmp_path / "nowhere")
    write_mnist(tmp_path, train=(6, 5))
    with pytest.raises(DataError, match="6 images and 5 labels"):
        read_mnist(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    images.write_bytes(labels.read_bytes())
    with pytest.raises(DataError, match="uint8 with 3 axes was expected"):
        read_mnist(tmp_path)
