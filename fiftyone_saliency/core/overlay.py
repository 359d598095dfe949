"""A map drawn over its image, for pages and panels that draw without the App."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.colours import HEATMAP
from fiftyone_saliency.core.maps import DRAWN_QUANTILE

PALE = 0.35
_OPACITY = 0.85


def overlay(
    image: NDArray[np.uint8], values: NDArray[np.float32], top: float | None = None, pale: float = PALE
) -> NDArray[np.uint8]:
    """Lay the positive part of a map over an image, as the App does: strength is opacity of one colour.

    The image is drawn grey and pale, so that whatever has a colour is evidence and never the picture's own.

    Args:
        image: RGB, uint8 (H, W, 3).
        values: map (h, w) over the whole image, at any resolution; negative values are ignored.
        top: the value that is drawn with full opacity; None takes the 99.5 % quantile of the positive values, so that
            one extreme pixel does not fade all others.
        pale: share of white that is mixed into the image, in [0, 1].

    Returns:
        RGB, uint8 (H, W, 3).
    """
    evidence = np.maximum(values, 0, dtype=np.float32)
    if top is None:
        above = evidence[evidence > 0]
        top = float(np.quantile(above, DRAWN_QUANTILE)) if above.size else 1.0
    size = (image.shape[1], image.shape[0])
    opacity = np.clip(cv2.resize(evidence, size, interpolation=cv2.INTER_LINEAR) / top, 0, 1)[..., None] * _OPACITY
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    ground = grey + (255 - grey) * pale
    colour = np.array([int(HEATMAP[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
    return np.rint(ground + (colour - ground) * opacity).astype(np.uint8)
