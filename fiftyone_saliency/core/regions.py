"""Named regions of an image as soft masks in the frame of a map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND = "background"
Weights = dict[str, NDArray[np.float32]]
Box = tuple[float, float, float, float]


def weights_from_mask(mask: NDArray[np.integer], names: Mapping[int, str], size: tuple[int, int]) -> Weights:
    """Turn a mask of integer values into one weight map per named region.

    A weight is the covered share of the map's pixel, so a coarse map is measured against the exact mask.

    Args:
        mask: integers (H, W).
        names: name of each value; values without a name are called by their number, 0 is the background.
        size: height and width (h, w) of the map.

    Returns:
        float32 (h, w) in [0, 1] per region; the weights of one pixel add up to 1.
    """
    present = set(names) | {int(value) for value in np.unique(mask)}
    named = {value: names.get(value, BACKGROUND if value == 0 else str(value)) for value in sorted(present)}
    return {name: _resize(np.isin(mask, [v for v in named if named[v] == name]), size) for name in named.values()}


def weights_from_boxes(
    boxes: Iterable[tuple[str, tuple[float, float, float, float]]],
    size: tuple[int, int],
    names: Iterable[str] = (),
) -> Weights:
    """Turn labelled boxes into one weight map per label, and one for the background.

    Boxes of one label are united; boxes of different labels may overlap. What no box covers is the background.

    Args:
        boxes: label and ``(x, y, width, height)`` relative to the image; parts beyond the image are cut off.
        size: height and width (h, w) of the map.
        names: labels that must be present even without a box.

    Returns:
        float32 (h, w) in [0, 1] per region.
    """
    by_label: dict[str, list[Box]] = {name: [] for name in names}
    for label, box in boxes:
        by_label.setdefault(label, []).append(box)
    weights = {label: _union(own, size) for label, own in by_label.items()}
    rest = 1 - _union([box for own in by_label.values() for box in own], size)
    # Boxes may themselves be labelled "background": then what no box covers joins them.
    weights[BACKGROUND] = np.clip(weights.get(BACKGROUND, np.float32(0)) + rest, 0, 1)
    return weights


def _resize(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    shrinking = region.shape[0] >= size[0] and region.shape[1] >= size[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(region.astype(np.float32), (size[1], size[0]), interpolation=how), np.float32)


def _union(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.float32]:
    """Share of each cell that at least one box covers: all edges cut the image into rectangles in or out of it."""
    across = sorted({edge for x, _, width, _ in boxes for edge in (x, x + width)})
    down = sorted({edge for _, y, _, height in boxes for edge in (y, y + height)})
    inside = np.zeros((max(0, len(down) - 1), max(0, len(across) - 1)))
    for x, y, width, height in boxes:
        inside[down.index(y) : down.index(y + height), across.index(x) : across.index(x + width)] = 1
    rows = np.array([_coverage(*edges, size[0]) for edges in pairwise(down)]).reshape(-1, size[0])
    columns = np.array([_coverage(*edges, size[1]) for edges in pairwise(across)]).reshape(-1, size[1])
    return np.clip(rows.T @ inside @ columns, 0, 1).astype(np.float32)


def _coverage(start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Share of each of ``count`` cells on [0, 1] that the interval covers."""
    edges = np.linspace(0, 1, count + 1)
    return np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None) * count
