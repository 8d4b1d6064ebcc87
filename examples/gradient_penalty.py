"""WGAN-GP: a loss that contains a gradient, differentiated by the weights.

The critic f of a Wasserstein GAN must have slopes of size 1 at most. The penalty asks for it at
points x between real and generated images:

    L = mean f(fake) - mean f(real) + 10 * mean (|df/dx| - 1)^2

df/dx is made with create_graph=True, so the penalty has a gradient by the weights: second
derivatives of the whole critic. Printed is the mean size of the slope while a critic learns to tell
digits from noise, with the penalty and without it.
I. Gulrajani et al., Improved training of Wasserstein GANs, 2017.
"""

from common import check, digits, options

import tinygrad_cv as tg
from tinygrad_cv import nn


def main(arguments=None):
    settings = options(__doc__, arguments)
    steps = 60 if settings.quick else 300
    (images, _), _ = digits()
    found = {weight: trained(images, weight, steps) for weight in (0.0, 10.0)}
    print("step      " + "".join(f"{step:9d}" for step in range(0, steps, steps // 6)))
    for weight, sizes in found.items():
        shown = "".join(f"{size:9.2f}" for size in sizes[:: steps // 6])
        print(f"penalty {weight:2.0f}{shown}   at the end {sizes[-1]:.2f}")
    check(abs(found[10.0][-1] - 1) < 0.3, "the penalty brings the slope to 1")
    check(abs(found[0.0][-1] - 1) > 1, "without it the slope goes elsewhere")


def trained(images, weight, steps):
    """The mean size of df/dx, step by step."""
    critic = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(128, 1)),
    )
    optimizer = tg.optim.Adam(critic.parameters(), lr=2e-3)
    sizes = []
    for _ in range(steps):
        real = images[tg.randint(0, len(images), (32,))]
        fake = tg.rand(real.shape)
        size = slope(critic, real, fake)
        penalty = ((size - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + weight * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sizes.append(size.mean().item())
    return sizes


def slope(critic, real, fake):
    """|df/dx| at one point on the line between each pair of images; with a graph."""
    share = tg.rand(len(real), 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = tg.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1) ** 2).sum(dim=1).sqrt()


if __name__ == "__main__":
    main()
