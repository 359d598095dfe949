"""A small network that has learnt something: to tell how a striped square lies, among things that do not matter."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

CLASSES = ("upright", "lying")
SIDE = 32
_STEPS = 50


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images (N, 3, 32, 32) of overlapping boxes with one striped square in front, and what is right (N,)."""
    rng = np.random.default_rng(seed)
    images = np.full((count, 3, SIDE, SIDE), 0.5, np.float32)
    labels = rng.integers(0, 2, count)
    stripes = np.zeros((8, 8))
    stripes[::4] = stripes[1::4] = 1
    for image, label in zip(images, labels, strict=True):
        for _ in range(25):
            (top, left), (height, width) = rng.integers(-SIDE // 4, SIDE, 2), rng.integers(3, SIDE // 2, 2)
            image[:, max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = rng.random((3, 1, 1))
        y, x = rng.integers(2, SIDE - 10, 2)
        image[:, y : y + 8, x : x + 8] = stripes if label else stripes.T
    images += 0.1 * rng.standard_normal(images.shape).astype(np.float32)
    return torch.from_numpy(images.clip(0, 1)), torch.from_numpy(labels)


class StripeNet(nn.Module):
    """Three convolutions with BatchNorm; not trained yet.

    Padded by reflection: on images as small as these, a border of zeros alone makes the maps of any two networks alike.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            layers: list[nn.Module] = []
            for channels in (3, 16, 16):
                layers += [nn.Conv2d(channels, 16, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(16), nn.ReLU()]
            self.body = nn.Sequential(*layers[:6], nn.MaxPool2d(2), *layers[6:])
            self.head = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean(dim=(2, 3)))


@cache
def trained_state() -> dict[str, Tensor]:
    """Train once per session, in a few seconds, and return the weights."""
    net = StripeNet()
    images, labels = scenes(512, 51)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for rows in torch.randint(len(images), (_STEPS, 64), generator=torch.Generator().manual_seed(51)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimiser.step()
    return net.state_dict()


def trained() -> StripeNet:
    """Return the trained network, right about new images."""
    net = StripeNet()
    net.load_state_dict(trained_state())
    return net.eval()
