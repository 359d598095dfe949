"""Background photos: crops of the sample pictures that scikit-image and scikit-learn carry in their packages."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from examples.professions.emoji import package_folder


@dataclass(frozen=True)
class _Photo:
    """A file in a package, read by path: nothing is downloaded and the package is not imported.

    Attributes:
        module: The package's top-level module.
        distribution: Its name on PyPI.
        file: Path inside the package.
        tint: For the photos that are grey: the colour that middle grey becomes.
    """

    module: str
    distribution: str
    file: str
    tint: tuple[int, int, int] | None = None


_PHOTOS: tuple[_Photo, ...] = (
    _Photo("skimage", "scikit-image", "data/brick.png", tint=(150, 105, 88)),
    _Photo("skimage", "scikit-image", "data/grass.png", tint=(96, 134, 70)),
    _Photo("skimage", "scikit-image", "data/gravel.png", tint=(140, 128, 112)),
    _Photo("skimage", "scikit-image", "data/coffee.png"),
    _Photo("skimage", "scikit-image", "data/rocket.jpg"),
    _Photo("sklearn", "scikit-learn", "datasets/images/china.jpg"),
    _Photo("sklearn", "scikit-learn", "datasets/images/flower.jpg"),
)


def crop(rng: np.random.Generator, size: int) -> Image.Image:
    """Crop a random photo at a random place and make it darker or lighter.

    Args:
        rng: Source of every choice.
        size: Side of the crop in pixels.

    Returns:
        An RGB picture (size, size).
    """
    photos = _load(2 * size)
    photo = photos[rng.integers(len(photos))]
    left, top = (int(rng.integers(side - size + 1)) for side in photo.size)
    gain = rng.uniform(0.7, 1.15)
    brighter = 3 * (np.arange(256) * gain).clip(0, 255).round().astype(int).tolist()
    return photo.crop((left, top, left + size, top + size)).point(brighter)


@functools.lru_cache(maxsize=4)
def _load(height: int) -> tuple[Image.Image, ...]:
    """Return all photos, `height` pixels high, with their own width."""
    return tuple(_open(photo, height) for photo in _PHOTOS)


def _open(photo: _Photo, height: int) -> Image.Image:
    with Image.open(package_folder(photo.module, photo.distribution) / photo.file) as image:
        size = (round(image.width * height / image.height), height)
        if photo.tint is None:
            return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        grey = image.convert("L").resize(size, Image.Resampling.LANCZOS)
        return ImageOps.colorize(grey, black=(0, 0, 0), mid=photo.tint, white=(255, 255, 255))
