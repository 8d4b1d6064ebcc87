"""PNG files as arrays of colours, with nothing but zlib: what a screenshot is."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def pixels(content: bytes) -> np.ndarray:
    """Height × width × 3, of a PNG with 8 bits a channel and no interlacing."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, header = 8, b"", b""
    while place < len(content):
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        body = content[place + 8 : place + 8 + size]
        (sum_,) = struct.unpack(">I", content[place + 8 + size : place + 12 + size])
        assert zlib.crc32(kind + body) == sum_
        header = body if kind == b"IHDR" else header
        data += body if kind == b"IDAT" else b""
        place += 12 + size
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    channels = {2: 3, 6: 4}[colours]
    assert (depth, interlaced) == (8, 0)
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.uint8)
    for y, (kind, *_) in enumerate(rows[:, :1].tolist()):
        above = _unfiltered(kind, rows[y, 1:].reshape(width, channels), above)
        image[y] = above
    return image[:, :, :3]


def _unfiltered(kind: int, row: np.ndarray, above: np.ndarray) -> np.ndarray:
    """A row from its differences to the left (1), above (2), their mean (3) or Paeth's choice (4);
    sums are modulo 256."""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row, axis=0, dtype=np.uint8)
    if kind == 2:
        return row + above
    found = np.zeros_like(row)
    for channel in range(row.shape[1]):
        left = corner = 0
        values = []
        for value, up in zip(row[:, channel].tolist(), above[:, channel].tolist(), strict=True):
            near = (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
            left, corner = (value + near) & 255, up
            values.append(left)
        found[:, channel] = values
    return found


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    near = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[near.index(min(near))]
