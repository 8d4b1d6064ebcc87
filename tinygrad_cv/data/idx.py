"""IDX, the file format of MNIST: a header of big-endian integers, then the array row by row.

Byte 0 and 1 are zero, byte 2 gives the type of the entries, byte 3 the number of axes; then come
the lengths of the axes, four bytes each (LeCun, Cortes and Burges, "The MNIST database").
"""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from tinygrad_cv.errors import ArgumentError, DataError

__all__ = ["read_idx", "read_mnist"]

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MOST_AXES = 64  # of a NumPy array
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path) -> np.ndarray:
    """Read an IDX file, gzipped or not (its content decides, not its name).

    Returns:
        The array, in the byte order of this machine: uint8, int8, int16, int32, float32 or float64,
        as the header says.

    Raises:
        DataError: the file is missing, is not an IDX file, or does not hold exactly as many
            entries as its header promises.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "matrix-idx2-ubyte")
    ...     header = bytes([0, 0, 0x08, 2, 0, 0, 0, 2, 0, 0, 0, 3])  # uint8, 2 axes: 2 and 3
    ...     _ = path.write_bytes(header + bytes([1, 2, 3, 4, 5, 6]))
    ...     read_idx(path)
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
        with gzip.open(path) if zipped else path.open("rb") as file:
            return _read(path, cast(IO[bytes], file))
    except FileNotFoundError:
        raise DataError("read_idx", f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise DataError("read_idx", f"{str(path)!r} is a directory, not a file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _broken(path, f"its gzip stream is damaged: {error}") from None


def _read(path: Path, file: IO[bytes]) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] == 0:
        raise _broken(
            path,
            f"it begins with the bytes {magic.hex(' ') or '(none)'}; an IDX file begins with "
            "00 00, a type code (08, 09, 0b, 0c, 0d or 0e) and a number of axes of at least 1",
        )
    dtype, ndim = _TYPES[magic[2]], magic[3]
    if ndim > _MOST_AXES:
        raise _broken(
            path, f"its header promises {ndim} axes; NumPy's arrays have at most {_MOST_AXES}"
        )
    header = file.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise _broken(path, f"its header ends after {4 + len(header)} of {4 + 4 * ndim} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    expected = prod(shape) * dtype.itemsize
    data = _read_at_most(file, expected + 1)
    if len(data) != expected:
        found = f"only {len(data):,}" if len(data) < expected else "more"
        raise _broken(
            path,
            f"its header promises an array of shape {shape}, which is {expected:,} bytes; "
            f"{found} follow",
        )
    try:
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError:  # beside an axis of length 0 the others may be of any length
        raise _broken(
            path, f"its header promises an array of shape {shape}, more than an array can have"
        ) from None


def _read_at_most(file: IO[bytes], size: int) -> bytearray:
    """Up to `size` bytes, in pieces: a false header must not make us ask for all memory at once."""
    data = bytearray()
    while len(data) < size and (piece := file.read(min(size - len(data), 1 << 24))):
        data += piece
    return data


def _broken(path: Path, problem: str) -> DataError:
    return DataError(
        "read_idx",
        f"{str(path)!r} cannot be used: {problem}",
        repair="The file is probably not complete: fetch it again. Nothing was read from it.",
    )


def read_mnist(directory: str | Path, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of MNIST, or of a data set in the same files (Fashion-MNIST, KMNIST).

    The files are `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-...` for the
    test part, each with or without `.gz`; a dot in place of the second hyphen is accepted.

    Args:
        directory: where the files are.
        split: "train" or "test".

    Returns:
        Images [N, H, W] as uint8, 0 to 255, and labels [N] as int64. A network wants
        [N, 1, H, W] in float: `tg.tensor(images[:, None] / 255, dtype=tg.float32)`.

    Raises:
        DataError: a file is missing or damaged, or the two files do not belong together.
        ArgumentError: another split.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:  # two images of 1 x 2 pixels, 7 and 3
    ...     images = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 255, 0])
    ...     labels = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3])
    ...     _ = Path(folder, "t10k-images-idx3-ubyte").write_bytes(images)
    ...     _ = Path(folder, "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    ...     images, labels = read_mnist(folder, "test")
    >>> images.shape, images.dtype.name, labels.tolist()
    ((2, 1, 2), 'uint8', [7, 3])
    """
    if split not in ("train", "test"):
        raise ArgumentError("read_mnist", f"split must be 'train' or 'test', not {split!r}")
    prefix = "train" if split == "train" else "t10k"
    image_file = _find(Path(directory), f"{prefix}-images-idx3-ubyte")
    label_file = _find(Path(directory), f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(image_file), read_idx(label_file)
    for path, array, ndim in ((image_file, images, 3), (label_file, labels, 1)):
        if array.ndim != ndim or array.dtype != np.uint8:
            raise DataError(
                "read_mnist",
                f"{str(path)!r} holds {array.dtype} of shape {array.shape}; "
                f"uint8 with {ndim} axes was expected",
                repair="Are the files of images and labels exchanged?",
            )
    if len(images) != len(labels):
        raise DataError(
            "read_mnist",
            f"there are {len(images)} images and {len(labels)} labels",
            values=[(image_file.name, images.shape), (label_file.name, labels.shape)],
            repair="The two files are not of the same data set: fetch both again.",
        )
    return images, labels.astype(np.int64)


def _find(directory: Path, name: str) -> Path:
    names = [name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"]
    for candidate in names:
        if (directory / candidate).is_file():
            return directory / candidate
    found = sorted(path.name for path in directory.glob("*")) if directory.is_dir() else None
    raise DataError(
        "read_mnist",
        f"{str(directory)!r} has no file {name} and no {name}.gz",
        notes=[
            "there is no such directory"
            if found is None
            else f"it holds: {', '.join(found[:10]) or 'nothing'}{', ...' if found[10:] else ''}"
        ],
        repair="Put the four MNIST files there: train- and t10k-, images-idx3-ubyte and "
        "labels-idx1-ubyte, each gzipped or not.",
    )
