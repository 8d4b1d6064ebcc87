"""Remove salt-and-pepper noise from a photograph: median filters against mean filters.

    python examples/median_filter.py             # the whole photograph
    python examples/median_filter.py --quick     # a part of 128x128 pixels

One pixel in ten becomes black or white. A mean spreads such a pixel over its neighbours; a median
leaves it out, as long as fewer than half of the window are wrong. The measure is the peak
signal-to-noise ratio, PSNR = 10 log10(1 / mean squared error) in decibels: more is better.
The pictures go to `--out` (default: out/median_filter/).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import tinygrad_cv as tg
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    tg.manual_seed(options.seed)

    image = photograph()
    if options.quick:
        image = image[:, 150:278, 200:328]
    noisy = salt_and_pepper(image, options.amount)
    pictures = {"noisy": noisy}
    for size in (3, 5):
        pictures[f"mean {size}x{size}"] = mean_filter(noisy, size)
        pictures[f"median {size}x{size}"] = F.median_filter(
            noisy, size, padding="same", padding_mode="reflect"
        )

    save(image, options.out / "original.png")
    for name, picture in pictures.items():
        save(picture, options.out / f"{name.replace(' ', '_')}.png")
        print(f"{name:<12} PSNR {psnr(picture, image):5.2f} dB")
    print(f"pictures in {options.out}")


def photograph():
    """The picture of a flower that scikit-learn ships, [3, 427, 640] between 0 and 1."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image("flower.jpg").astype(np.float32) / 255
    return tg.tensor(pixels).permute(2, 0, 1).contiguous()


def salt_and_pepper(image, amount):
    """Pixels chosen at random become black or white, all channels together."""
    chance = tg.rand(image.shape[1:])
    pepper, salt = chance < amount / 2, chance > 1 - amount / 2
    return image.masked_fill(pepper, 0.0).masked_fill(salt, 1.0)


def mean_filter(image, size):
    """The mean of every window, with the border mirrored as for the median."""
    border = (size // 2,) * 4
    return F.avg_pool2d(F.pad(image, border, mode="reflect"), size, stride=1)


def psnr(picture, original):
    return -10 * ((picture - original) ** 2).mean().log10().item()


def save(picture, path):
    pixels = (picture.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    Image.fromarray(pixels).save(path)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a part of the photograph")
    parser.add_argument("--amount", type=fraction, default=0.1, help="of wrong pixels; default 0.1")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--out", type=Path, default=Path("out/median_filter"), metavar="DIR")
    return parser.parse_args(arguments)


def fraction(text):
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


if __name__ == "__main__":
    try:
        main()
    except (tg.TinygradError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
