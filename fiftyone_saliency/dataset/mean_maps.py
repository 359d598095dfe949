"""The mean saliency map of many samples, over their mean image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fiftyone_saliency.core.clustering import distribution
from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.images import read_image
from fiftyone_saliency.core.maps import COARSE_SIZE
from fiftyone_saliency.core.overlay import overlay
from fiftyone_saliency.dataset.regions import iterate_maps

# Maps and images are added up in a square, whatever their shapes: only the sums are in memory, and a few images.
_MAP_SIDE = COARSE_SIZE
_IMAGE_SIDE = 2 * COARSE_SIZE
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class MeanMap:
    """Where the evidence of many samples lies on average.

    Each map counts alike: its positive evidence is divided by its sum before the mean is taken, so that one strong map
    does not decide it. Images of different shapes are stretched to one frame, in their mean aspect ratio.

    Args:
        map: float32 (H, W), mean share of evidence at each pixel; adds up to 1, all 0 if ``n`` is 0.
        image: uint8 (H, W, 3), RGB, mean of the images of the counted samples; black where none could be read.
        n: number of maps in the mean.
        undefined: number of samples left out: without a map, or with a map that names no place.
        unread: number of counted samples whose image could not be read, and is missing in the mean image.
    """

    map: NDArray[np.float32]
    image: NDArray[np.uint8]
    n: int
    undefined: int
    unread: int = 0

    def picture(self) -> NDArray[np.uint8]:
        """Draw the map over the image as the App draws heatmaps: the more evidence, the less transparent.

        The image is drawn grey, so that whatever has a colour is evidence.

        Returns:
            uint8 (H, W, 3), RGB. See `core.overlay.overlay`.
        """
        return overlay(self.image, self.map, pale=0)

    def save(self, path: str | Path) -> None:
        """Write the picture to a file, in the format that the file's ending names."""
        Image.fromarray(self.picture()).save(path)


def mean_map(samples: Any, field: str, progress: Callable[[Iterator[Any]], Iterator[Any]] = iter) -> MeanMap:
    """Average the stored maps and the images of samples; memory does not grow with their number.

    Args:
        samples: dataset or view.
        field: Heatmap field.
        progress: wraps the iteration over the samples.

    Raises:
        UnknownNameError: if the field does not exist.
        FieldError: if it holds no heatmaps.
    """
    sums = _Sums()
    undefined = 0
    paths = dict(zip(*samples.values(["id", "filepath"]), strict=True))
    # The field is looked up before it is selected, so that an unknown one is answered in our words.
    maps = iterate_maps(samples, field, progress=progress)
    with ThreadPoolExecutor() as pool:
        while chunk := list(islice(maps, _CHUNK)):
            counted = [paths[one.id] for one in chunk if one.place is not None and sums.add_map(one.place)]
            for image in pool.map(_read_image, counted):
                sums.add_image(image)
            undefined += len(chunk) - len(counted)
    size = sums.size()
    mean = distribution(pool_map(sums.map.astype(np.float32), size))
    image = cv2.resize(sums.image / max(1, sums.images), size[::-1], interpolation=cv2.INTER_AREA)
    return MeanMap(
        np.zeros(size, np.float32) if mean is None else mean.astype(np.float32),
        np.rint(image).astype(np.uint8),
        sums.maps,
        undefined,
        sums.maps - sums.images,
    )


def pool_map(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the positive evidence of a map in a frame of another size: the mean over each cell where it shrinks.

    Args:
        values: float32 (h, w), any range.
        size: height and width (H, W) of the result.
    """
    return np.asarray(cv2.resize(np.maximum(values, 0), size[::-1], interpolation=cv2.INTER_AREA), np.float32)


class _Sums:
    """What is added up: distributions, images, and the logarithm of the aspect ratio."""

    def __init__(self) -> None:
        self.map = np.zeros((_MAP_SIDE, _MAP_SIDE))
        self.image = np.zeros((_IMAGE_SIDE, _IMAGE_SIDE, 3))
        self.maps, self.images, self.aspect = 0, 0, 0.0

    def add_map(self, values: NDArray[np.float32]) -> bool:
        """Add a map, unless it names no place."""
        shares = distribution(pool_map(values, (_MAP_SIDE, _MAP_SIDE)))
        if shares is None:
            return False
        self.map += shares
        self.aspect += math.log(values.shape[0] / values.shape[1])
        self.maps += 1
        return True

    def add_image(self, image: NDArray[np.uint8] | None) -> None:
        if image is not None:
            self.image += image
            self.images += 1

    def size(self) -> tuple[int, int]:
        """Height and width in the geometric mean of the aspect ratios, the longer side as in the square."""
        aspect = math.exp(self.aspect / max(1, self.maps))
        return max(1, round(_IMAGE_SIDE * min(1, aspect))), max(1, round(_IMAGE_SIDE * min(1, 1 / aspect)))


def _read_image(path: str) -> NDArray[np.uint8] | None:
    """Return an image in the common square, uint8 RGB; None if it cannot be read."""
    try:
        image = np.asarray(read_image(path))
    except ImageError:
        return None
    return np.asarray(cv2.resize(image, (_IMAGE_SIDE, _IMAGE_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
