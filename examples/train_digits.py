"""Train a small CNN on handwritten digits, then draw the computation graph of its loss.

    python examples/train_digits.py                  # the 8x8 digits that scikit-learn ships
    python examples/train_digits.py --data DIR       # MNIST, from its four IDX files in DIR
    python examples/train_digits.py --device cuda    # on a GPU, with CuPy

It prints the accuracy on the training and on the test part, and leaves two files in `--out`
(default: out/): the weights as `digits.safetensors` and the picture as `loss.svg`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tqdm import tqdm

import tinygrad_cv as tg
from tinygrad_cv import nn
from tinygrad_cv.data import DataLoader, TensorDataset, read_mnist
from tinygrad_cv.io import save_safetensors
from tinygrad_cv.nn import functional as F


def main(arguments=None):
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    tg.manual_seed(options.seed)

    train, test = mnist(options.data) if options.data else digits()
    epochs = options.epochs or (3 if options.data else 25)
    model = DigitNet(train[0].shape[2:]).to(options.device)
    print(f"{len(train[0]):,} images to train on, {len(test[0]):,} to test on, "
          f"{sum(p.numel() for p in model.parameters()):,} parameters")  # fmt: skip

    fit(model, *train, epochs, options.device)
    print(f"train accuracy {accuracy(model, *train, options.device):.2%}")
    print(f"test accuracy  {accuracy(model, *test, options.device):.2%}")

    weights, picture = options.out / "digits.safetensors", options.out / "loss.svg"
    save_safetensors(model.state_dict(), weights)
    model.train()
    images, labels = (tg.tensor(part[:32], device=options.device) for part in train)
    F.cross_entropy(model(images), labels).graph().render(picture)
    print(f"weights in {weights}, graph of the loss in {picture}")


# --------------------------------------------------------------------------------------------------
# Data: images [N, 1, H, W] as float32 between 0 and 1, labels [N] as int64


def digits():
    """1,797 digits of 8x8 pixels (Alpaydin and Kaynak, 1998); one fifth is the test part."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    return (train_images, train_labels), (test_images, test_labels)


def mnist(directory):
    """70,000 digits of 28x28 pixels (LeCun, Cortes and Burges); the test part is 10,000 of them."""
    parts = (read_mnist(directory, split) for split in ("train", "test"))
    return [((images[:, None] / 255).astype(np.float32), labels) for images, labels in parts]


def shifted(images):
    """Each image moved by -1, 0 or 1 pixels in both directions, with zeros at the border."""
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))  # [N, C, 3, 3, H, W]
    down, right = tg.randint(0, 3, (2, count)).numpy()
    return windows[np.arange(count), :, down, right]


# --------------------------------------------------------------------------------------------------
# The network


def conv_block(channels_in, channels_out):
    """A 3x3 convolution that keeps the size, normalised over the batch, and a ReLU."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


class DigitNet(nn.Module):
    """Two pairs of convolutions, each followed by 2x2 max pooling, then two linear layers."""

    def __init__(self, size=(8, 8), classes=10):
        super().__init__()
        height, width = size
        self.features = nn.Sequential(
            *conv_block(1, 32),
            *conv_block(32, 32),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            *conv_block(32, 64),
            *conv_block(64, 64),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
        )

    def forward(self, images):
        return self.classifier(self.features(images))


# --------------------------------------------------------------------------------------------------
# Training and testing


def fit(model, images, labels, epochs, device):
    """Minimise the cross-entropy with AdamW under a one-cycle learning rate."""
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True, drop_last=True)
    steps = epochs * len(loader)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = tg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    model.train()
    with tqdm(total=steps, unit="batch") as bar:
        for epoch in range(epochs):
            bar.set_description(f"epoch {epoch + 1}/{epochs}")
            for batch, target in loader:
                x = tg.tensor(shifted(batch.numpy()), device=device)
                loss = F.cross_entropy(model(x), target.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()


@tg.no_grad()
def accuracy(model, images, labels, device):
    """The fraction of images whose largest output stands at their label."""
    model.eval()
    right = 0
    for batch, target in DataLoader(TensorDataset(images, labels), batch_size=500):
        predicted = model(batch.to(device)).argmax(dim=1)
        right += (predicted == target.to(device)).sum().item()
    return right / len(labels)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="directory of MNIST's IDX files")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, shifts and dropout")
    parser.add_argument("--device", default="cpu", help='"cpu" or "cuda"')
    parser.add_argument("--epochs", type=positive, help="default: 25, or 3 on MNIST")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR")
    return parser.parse_args(arguments)


def positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return int(text)


if __name__ == "__main__":
    try:
        main()
    except (tg.TinygradError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
