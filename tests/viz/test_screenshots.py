"""The viewer as a picture, in light and dark: it has its size, it is not blank, and the colours of
the palette are there, each where its part stands. ``VIEWER_SCREENSHOTS=folder`` keeps them."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.viz.handmade import small_net
from tests.viz.png import pixels
from tests.viz.viewing import node
from tinygrad_cv.viz import transforms
from tinygrad_cv.viz.palette import DARK, LIGHT

WIDTH, HEIGHT = 900, 700


def colour(text: str) -> np.ndarray:
    return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)], np.uint8)


def share(image: np.ndarray, text: str) -> float:
    """Which part of an image has exactly this colour."""
    return float((image == colour(text)).all(axis=2).mean())


@pytest.mark.parametrize(
    ("theme", "palette"), [("light", LIGHT), ("dark", DARK)], ids=["light", "dark"]
)
def test_a_screenshot_shows_the_picture(theme, palette, look, tmp_path):
    model = transforms.simplify(small_net())
    page = look(model, WIDTH, HEIGHT)
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}]
    )
    page.key("f")
    page.mouse("mouseMoved", WIDTH - 5, HEIGHT - 5)
    pause = "new Promise(done => setTimeout(done, 200))"  # colours fade
    page.call("Runtime.evaluate", expression=pause, awaitPromise=True)
    folder = Path(os.environ.get("VIEWER_SCREENSHOTS") or tmp_path)
    path = folder / f"viewer-{theme}.png"
    page.screenshot(path)
    image = pixels(path.read_bytes())
    assert image.shape == (HEIGHT, WIDTH, 3)
    background = share(image, palette["page"])
    assert 0.4 < background < 0.97
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 30, "text has smooth edges"
    parts = [*("op", "backward", "input", "output", "saved"), "cluster-even"]
    for name in parts:
        assert share(image, palette[name]) > 1e-3, name
    for name in ("data", "gradient", "saved-edge", "input-line", "backward-line"):
        assert share(image, palette[name]) > 1e-5, name
    other = DARK if theme == "light" else LIGHT
    for name in ("page", "op", "backward", "saved"):
        assert share(image, other[name]) < 1e-3, name
    # Each box has its colour where the page says that it stands.
    for one in model.nodes:
        box = page.run(
            f"(r => [r.left, r.top, r.right, r.bottom])"
            f"(document.querySelector('{node(one.id)}').getBoundingClientRect())"
        )
        left, top, right, bottom = (round(number) for number in box)
        assert 0 <= left < right <= WIDTH, "the whole picture is in view"
        assert 0 <= top < bottom <= HEIGHT
        role = one.kind if one.kind != "op" else {"forward": "op"}.get(one.phase, "backward")
        role = "backward" if one.phase == "backward" else role
        assert share(image[top:bottom, left:right], palette[role]) > 0.3, one.name


def encoded(image: np.ndarray, kind: int) -> bytes:
    """A PNG whose rows all have one filter, straight from the definition."""
    height, width, channels = image.shape
    wide = np.zeros((height + 1, width + 1, channels), int)
    wide[1:, 1:] = image
    left, up, corner = wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    guess = left + up - corner
    near = np.stack([abs(guess - one) for one in (left, up, corner)])
    paeth = np.choose(near.argmin(axis=0), [left, up, corner])
    taken = [np.zeros_like(left), left, up, (left + up) // 2, paeth][kind]
    rows = (image - taken) % 256
    data = b"".join(bytes([kind]) + row.astype(np.uint8).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", range(5))
def test_the_decoder(kind, channels):
    image = np.random.default_rng(kind).integers(0, 256, (7, 11, channels))
    assert (pixels(encoded(image, kind)) == image[:, :, :3]).all()
