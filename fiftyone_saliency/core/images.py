"""Read image files as people see them: upright, RGB, and more than 8 bits scaled by one rule.

The rule, wherever an image is read: whole numbers above 8 bits are divided by the largest number of the image's
significant bits, the fewest of 8, 10, 12, 14, 16, 24 and 32 that hold its brightest pixel; decimal numbers up to 1 are
shares of white, above 1 they follow the same rule. Black stays black. Nothing is stretched by the darkest pixel. Where
there is no such scale, as for negative numbers, the image is an error with that reason.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.pictures import UNREADABLE, decode_pixels

_BITS = (8, 10, 12, 14, 16, 24, 32)
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)


def read_image(filepath: str) -> Image.Image:
    """Read an image as people see it: upright by its EXIF orientation, RGB, 8 bits by the rule of this module.

    Raises:
        ImageError: if the file is missing, is not a whole image, or has numbers without a known scale.
    """
    try:
        with Image.open(filepath) as image:
            return _upright(image, filepath).convert("RGB")
    except FileNotFoundError as error:
        raise ImageError("the image file is missing") from error
    except UNREADABLE as error:
        # What this module refuses itself has its reason already.
        reason = str(error) if isinstance(error, ImageError) else f"the image cannot be read: {error}"
        raise ImageError(reason) from error


def image_size(filepath: str) -> tuple[int, int]:
    """Return width and height of the upright image, from the head of its file.

    Raises:
        ImageError: if the file is missing or no image.
    """
    try:
        with Image.open(filepath) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except UNREADABLE as error:
        raise ImageError(f"the image cannot be read: {error}") from error
    return (height, width) if turned else (width, height)


def _upright(image: Image.Image, filepath: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        levels = Image.fromarray(_to_8_bits(np.asarray(image)))
    elif _is_narrowed(image):
        levels = Image.fromarray(_to_8_bits(_read_deep(filepath)))
    else:
        return ImageOps.exif_transpose(image) or image
    if orientation := image.getexif().get(_ORIENTATION):
        levels.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(levels) or levels


def _is_narrowed(image: Image.Image) -> bool:
    """Return whether Pillow would drop the lower 8 of 16 bits in silence, as it does for colours."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _read_deep(filepath: str) -> NDArray[np.generic]:
    """Return the pixels of an image of 16 bits per channel, (H, W) or RGB (H, W, 3), without its transparency."""
    pixels = decode_pixels(Path(filepath).read_bytes(), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError("the image cannot be read: its 16 bits per channel are packed in an unknown way")
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, 2::-1])


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite((low, high)).all() or low < 0:
        raise ImageError(
            f"the image has numbers from {low:g} to {high:g}, for which black and white are not known: save it with 8 "
            "or 16 bits without sign, or with decimal numbers from 0 to 1"
        )
    is_share = np.issubdtype(values.dtype, np.floating) and high <= 1
    bits = next((bits for bits in _BITS if high < 2**bits), None)
    if bits is None:
        raise ImageError(f"the image has numbers up to {high:g}, more than 32 bits hold")
    white = 1.0 if is_share else 2.0**bits - 1
    return np.rint(numbers * (255 / white)).astype(np.uint8)
