"""Small pictures that travel inside a panel, as text."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 160
_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """A picture that is small enough to travel as text.

    Args:
        url: data URL of a few kB.
        width: width in pixels.
        height: height in pixels.
    """

    url: str
    width: int
    height: int


def shrink(picture: NDArray[np.uint8]) -> Picture:
    """Return a picture as a JPEG whose longer side is at most 160 pixels.

    Args:
        picture: uint8 (H, W, 3), RGB.
    """
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(url, image.width, image.height)
