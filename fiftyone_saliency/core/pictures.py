"""Read the pixels of a file that may hold anything: what cannot be read is None, and never an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    ValueError,
    # A plug-in of Pillow that is not installed, for a format that it claims.
    ImportError,
    Image.DecompressionBombError,
)
"""What Pillow raises at a file that is missing, is no image, is damaged, or would fill the memory."""


def read_pixels(path: str, flags: int) -> NDArray[Any] | None:
    """Return an image as OpenCV reads it, or None if it cannot be read.

    Args:
        path: the file.
        flags: OpenCV's, such as ``cv2.IMREAD_UNCHANGED``.
    """
    return _pixels(lambda: cv2.imread(path, flags))


def decode_pixels(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return an image as OpenCV decodes the bytes of its file, or None if it cannot."""
    return _pixels(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags))


def _pixels(read: Callable[[], Any]) -> NDArray[Any] | None:
    try:
        pixels = read()
    # OpenCV raises at more than 2**30 pixels, and returns None for all else.
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels)
