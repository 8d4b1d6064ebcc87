"""What the scripts that follow the lecture share: the digits, a training loop, and options."""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.data import DataLoader, TensorDataset
from tinygrad_cv.nn import functional as F


def digits(per_class=None):
    """(images, labels) to train on, and to test on: 8x8 pixels, [N, 1, 8, 8] between 0 and 1.

    The 1,797 digits of E. Alpaydin and C. Kaynak (1998), as scikit-learn ships them; one in five is
    for the test. ``per_class`` takes so many of each digit to train on.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    if per_class:
        chosen = np.concatenate([np.flatnonzero(y == digit)[:per_class] for digit in range(10)])
        x, y = x[chosen], y[chosen]
    return (tg.tensor(x), tg.tensor(y)), (tg.tensor(x_test), tg.tensor(y_test))


def scattered(images, size):
    """[N, 1, size, size]: every image somewhere in a larger black field."""
    number, _, height, width = images.shape
    field = tg.zeros(number, 1, size, size).numpy()
    for n, (row, column) in enumerate(tg.randint(0, size - height + 1, (number, 2)).tolist()):
        field[n, :, row : row + height, column : column + width] = images[n].numpy()
    return tg.tensor(field)


def fit(model, images, labels, epochs, lr=3e-3, batch_size=32):
    """Minimise the cross-entropy with Adam; gives the loss of the last batch."""
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True)
    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(epochs):
        for image, label in loader:
            loss = F.cross_entropy(model(image), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


@tg.no_grad()
def accuracy(model, images, labels):
    """The fraction of images whose largest output stands at their label."""
    model.eval()
    return (model(images).argmax(dim=1) == labels).float().mean().item()


def count(module):
    return sum(p.numel() for p in module.parameters())


def check(fact, text):
    """Stop if what a script claims is not so."""
    if not fact:
        raise SystemExit(f"not so: {text}")


def options(text, arguments, out=None):
    """--quick and --seed, and --out where a script writes pictures; ``text`` is its docstring."""
    title, _, more = text.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=title, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: a few seconds")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random; default 0")
    if out:
        folder = Path("out") / out
        parser.add_argument("--out", type=Path, default=folder, metavar="DIR", help=f"or {folder}")
    found = parser.parse_args(arguments)
    tg.manual_seed(found.seed)
    if out:
        try:
            found.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--out: {error}")
    return found


def figure(rows, columns, width=8.0, height=None):
    """An empty Matplotlib figure, and its axes in a grid [rows, columns]."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(width, height or width * rows / columns), layout="constrained")
    return page, page.subplots(rows, columns, squeeze=False)
