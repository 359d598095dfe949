"""From the frame of an image to the frame of the network's input: the way back of `core.maps.place`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.maps import place
from fiftyone_saliency.core.types import Placement


def to_input(values: NDArray[np.float32], placement: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw what lies over the whole image, a map or a mask, into the frame of the network's input.

    Args:
        values: float32 (h, w), over the whole image, at any resolution.
        placement: where the network's input lies in the image.
        size: height and width (H, W) of the network's input.

    Returns:
        float32 (H, W), bilinear; 0 where the input shows nothing of the image, such as padding.
    """
    return place(values, inverse(placement), size)


def inverse(placement: Placement) -> Placement:
    """Return where the image lies in the network's input, in widths and heights of that input."""
    return Placement(
        -placement.x / placement.width, -placement.y / placement.height, 1 / placement.width, 1 / placement.height
    )


def shown(placement: Placement, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of the network's input (H, W) that show the image, and not padding."""
    seen = to_input(np.ones((1, 1), np.float32), placement, size) > 0
    rows, columns = np.nonzero(seen)
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def describe(placement: Placement, size: tuple[int, int]) -> str:
    """Say in words which part of an image of ``(width, height)`` pixels the network sees."""
    (width, height), near = size, 0.5
    left, top = placement.x * width, placement.y * height
    right, bottom = left + placement.width * width, top + placement.height * height
    whole = left <= near and top <= near and right >= width - near and bottom >= height - near
    bars = max(-left, -top, right - width, bottom - height) > near
    centred = abs(left + right - width) <= 2 and abs(top + bottom - height) <= 2
    part = "all" if whole else "the middle" if centred else "a part"
    rest = ", and bars around it" if bars else ""
    text = f"{part} of an image of {width} × {height} pixels{rest}"
    if whole and not bars:
        return text
    return f"{text}: columns {left:.4g} to {right:.4g}, rows {top:.4g} to {bottom:.4g}"
