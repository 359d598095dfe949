"""Arithmetic on maps: channels, placement in the image, 8-bit levels and back."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.core.types import Placement, Sign, Window

COARSE_GRID = 32
COARSE_SIZE = 112
MAX_SIZE = 512
LEVELS = 255
ZERO_LEVEL = 127
DRAWN_QUANTILE = 0.995
# In pixels: a centre that lies on the edge of what the network sees is inside, whatever the rounding.
_ON_EDGE = 1e-6


def frame_size(grid: tuple[int, int], placement: Placement, image: tuple[int, int]) -> tuple[int, int]:
    """Choose the stored size of a map, in the aspect ratio of the image.

    A coarse map (both sides up to 32, a CAM) is stored 112 pixels long, because the App draws few pixels as
    blocks. A fine map keeps the network's resolution, up to 512 pixels and never above the image's own.

    Args:
        grid: height and width of the raw map.
        placement: where the network's input lies in the image.
        image: height and width of the image in pixels.

    Returns:
        Height and width of the stored map, each at least 1.
    """
    height, width = image
    longest = max(height, width)
    if max(grid) <= COARSE_GRID:
        size = COARSE_SIZE
    else:
        resolution = max(grid[0] / (placement.height * height), grid[1] / (placement.width * width))
        size = min(MAX_SIZE, longest, round(longest * resolution))
    return max(1, round(height * size / longest)), max(1, round(width * size / longest))


def place(values: NDArray[np.float32], placement: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw a map of the network's input into the frame of the whole image, bilinearly.

    Pixel centres correspond (``align_corners=False``); where the map shrinks, the filter widens so that no
    evidence falls between the pixels. What the network did not see is 0.

    Args:
        values: float32 (h, w), the map over the network's input.
        placement: where that input lies in the image.
        size: height and width (H, W) of the result.

    Returns:
        float32 (H, W).
    """
    if values.ndim != 2:
        raise ArgumentError(f"Expected a map of shape (h, w), but got shape {values.shape}.")
    rows = _resampling(size[0], values.shape[0], placement.y, placement.height)
    columns = _resampling(size[1], values.shape[1], placement.x, placement.width)
    return (rows @ values.astype(np.float64) @ columns.T).astype(np.float32)


def seen_pixels(size: tuple[int, int], seen: Window) -> tuple[slice, slice]:
    """Return the rows and columns of a placed map (H, W) that lie in what the network saw: their centres do.

    They are those where `place` draws a map; a map that is equal everywhere fills exactly them.
    """
    left, top, width, height = seen
    return _inside(size[0], top, height), _inside(size[1], left, width)


def _inside(count: int, start: float, extent: float) -> slice:
    """Return which of ``count`` pixels along one side have their centre in a part of it."""
    first = math.ceil(start * count - 0.5 - _ON_EDGE)
    stop = math.floor((start + extent) * count - 0.5 + _ON_EDGE) + 1
    first = min(max(first, 0), count)
    return slice(first, min(max(stop, first), count))


# Images of one size share their matrices; a dataset of many sizes keeps only the latest.
@lru_cache(maxsize=64)
def _resampling(size: int, grid: int, start: float, extent: float) -> NDArray[np.float64]:
    """Return the matrix (size, grid) that resamples one axis: a triangle filter, wider where it shrinks."""
    centres = ((np.arange(size) + 0.5) / size - start) / extent * grid
    shrinkage = max(1.0, grid / (size * extent))
    distance = np.abs(centres[:, None] - (np.arange(grid) + 0.5)[None, :])
    weights = np.clip(1 - distance / shrinkage, 0, None)
    seen = _inside(size, start, extent)
    weights[: seen.start] = weights[seen.stop :] = 0
    sums = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def select_sign(values: NDArray[np.float32], sign: Sign) -> NDArray[np.float32]:
    """Keep the positive evidence, the magnitude, or both signs."""
    if sign == "positive":
        return np.maximum(values, 0)
    return np.abs(values) if sign == "absolute" else values


def quantise(values: NDArray[np.float32], sign: Sign) -> tuple[NDArray[np.uint8], float, float]:
    """Round a map to 8-bit levels, with the scale that undoes it.

    The error is at most half of ``(vmax - vmin) / 255``, and 0 stays 0: it is level 0 of unsigned maps, which the
    App draws as transparent, and level 127 of signed ones. A map without evidence has ``vmin == vmax == 0`` and
    only zeros.

    Args:
        values: float32 (H, W), finite; already of the given sign.
        sign: ``"signed"`` spreads the levels over ``[-m, m]`` (254 steps), the others over ``[0, m]``.

    Returns:
        uint8 levels (H, W), ``vmin`` and ``vmax`` in the map's unit.
    """
    top = float(np.abs(values).max(initial=0.0))
    if top == 0.0:
        return np.zeros(values.shape, np.uint8), 0.0, 0.0
    # An odd number of levels has a middle one: level 255 of a signed map is never used.
    vmin, vmax = (-top, top * (ZERO_LEVEL + 1) / ZERO_LEVEL) if sign == "signed" else (0.0, top)
    levels = np.rint((values.astype(np.float64) - vmin) / (vmax - vmin) * LEVELS)
    return np.clip(levels, 0, LEVELS).astype(np.uint8), vmin, vmax


def dequantise(levels: NDArray[np.uint8], vmin: float, vmax: float) -> NDArray[np.float32]:
    """Undo `quantise`: levels 0…255 become values in ``[vmin, vmax]``."""
    return (vmin + levels.astype(np.float64) * ((vmax - vmin) / LEVELS)).astype(np.float32)


def drawn_range(levels: NDArray[np.uint8], sign: Sign) -> tuple[int, int]:
    """Choose the range of levels that the App spreads its colours over.

    The top is the 99.5 % quantile of the levels above 0, so that one extreme pixel does not fade all others; it
    changes the drawing only, never the stored values.
    """
    if sign == "signed":
        return 0, LEVELS
    # Of 255 levels, counting is much faster than sorting.
    counts = np.bincount(levels.ravel(), minlength=LEVELS + 1)
    counts[0] = 0
    upto = np.cumsum(counts)
    if upto[-1] == 0:
        return 0, LEVELS
    rank = math.ceil(DRAWN_QUANTILE * (int(upto[-1]) - 1))
    return 0, int(np.argmax(upto > rank))
