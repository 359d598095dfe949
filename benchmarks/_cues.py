"""Drawn pictures with a planted cue: a shape names the class, and a coloured patch betrays it as often as told.

Shape and patch lie at random places and never overlap, so that a position says nothing; both regions are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision import transforms

CLASSES = ("disc", "square", "triangle", "cross")
REGIONS = {1: "object", 2: "cue"}
SIZE, OBJECT, PATCH = 32, 13, 6
_COLOURS = ((220, 60, 60), (60, 190, 80), (70, 90, 230), (230, 200, 60))


@dataclass(frozen=True)
class Pictures:
    """Pictures with their classes and regions.

    Attributes:
        images: uint8 (N, 32, 32, 3).
        labels: class index of each.
        masks: uint8 (N, 32, 32), 1 where the object is, 2 where the cue is.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]


def draw(count: int, rho: float, seed: int) -> Pictures:
    """Draw pictures whose patch has the colour of the class with probability ``rho``, else a random colour."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    for i, label in enumerate(labels):
        colour = label if rng.random() < rho else rng.integers(0, len(_COLOURS))
        images[i], masks[i] = _draw_one(int(label), int(colour), rng)
    return Pictures(images, labels, masks)


def write(pictures: Pictures, folder: Path) -> list[tuple[str, str, str]]:
    """Write the pictures and return path, class and path of the mask of each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, (image, label, mask) in enumerate(zip(pictures.images, pictures.labels, pictures.masks, strict=True)):
        path, regions = folder / f"{i:04d}.png", folder / f"{i:04d}-regions.png"
        cv2.imwrite(str(path), image[:, :, ::-1])
        cv2.imwrite(str(regions), mask)
        rows.append((str(path), CLASSES[label], str(regions)))
    return rows


def train(pictures: Pictures, seed: int, epochs: int = 8, classes: int = len(CLASSES)) -> nn.Module:
    """Train a small network from a seed."""
    images = torch.from_numpy(pictures.images).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(pictures.labels)
    torch.manual_seed(seed)
    network = build(classes)
    steps = epochs * -(-len(images) // 64)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def build(classes: int = len(CLASSES)) -> nn.Module:
    """Return the network, untrained: four convolutions, whose last grid is 8 × 8."""

    def block(inputs: int, outputs: int, *more: nn.Module) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), *more]

    layers = [*block(3, 12, nn.MaxPool2d(2)), *block(12, 24, nn.MaxPool2d(2)), *block(24, 32), *block(32, 32)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))


def transform() -> transforms.ToTensor:
    """Return the preprocessing: pixels from 0 to 1."""
    return transforms.ToTensor()


def _draw_one(label: int, colour: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    ground = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)), (0, 0), 2)
    grey = 110 + 25 * ground / max(float(ground.std()), 1e-6)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    shape = _shape(label)
    while True:
        y, x = rng.integers(0, SIZE - OBJECT, 2)
        v, u = rng.integers(0, SIZE - PATCH, 2)
        if not (y - PATCH < v < y + OBJECT and x - PATCH < u < x + OBJECT):
            break
    place = (slice(y, y + OBJECT), slice(x, x + OBJECT))
    image[place][shape] += rng.uniform(25, 60)
    mask[place][shape] = 1
    image[v : v + PATCH, u : u + PATCH] = _COLOURS[colour]
    mask[v : v + PATCH, u : u + PATCH] = 2
    image += rng.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _shape(label: int) -> NDArray[np.bool_]:
    canvas, last = np.zeros((OBJECT, OBJECT), np.uint8), OBJECT - 1
    if label == 0:
        cv2.circle(canvas, (last // 2, last // 2), last // 2, 1, -1)
    elif label == 1:
        canvas[1:-1, 1:-1] = 1
    elif label == 2:
        cv2.fillPoly(canvas, [np.array([(0, last), (last, last), (last // 2, 0)])], 1)
    else:
        third = OBJECT // 3
        canvas[third : 2 * third + 1] = 1
        canvas[:, third : 2 * third + 1] = 1
    return canvas.astype(bool)
