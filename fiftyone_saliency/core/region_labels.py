"""What a sample carries in a label field, as shapes: rectangles that are exact, or a raster of the whole image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError

Box = tuple[float, float, float, float]
"""``(x, y, width, height)`` relative to the image; it may reach outside."""
Point = tuple[float, float]
Raster = NDArray[np.bool_]
Shape = Sequence[Box] | Raster
_SUBPIXEL_BITS = 4


class Content(Protocol):
    """The labels of one field of one sample; ``label=None`` means all of them."""

    def shape(self, label: str | None, canvas: tuple[int, int]) -> Shape:
        """Return what is labelled so; what has to be drawn is drawn on a canvas of (H, W) cells."""
        ...

    def boxes(self, label: str | None) -> list[Box]:
        """Return the box around each instance."""
        ...


@dataclass(frozen=True, eq=False)
class Boxes:
    """Detections.

    Args:
        labels: label of each, or None.
        rectangles: box of each.
        masks: instance mask (h, w) of each, which fills its box, or None; empty if masks are not looked at.
    """

    labels: Sequence[str | None]
    rectangles: Sequence[Box]
    masks: Sequence[Raster | None] = ()

    def shape(self, label: str | None, canvas: tuple[int, int]) -> Shape:  # noqa: ARG002 - exact without one
        """Return the boxes."""
        return self.boxes(label)

    def boxes(self, label: str | None) -> list[Box]:
        """Return the boxes."""
        if label is None:
            return list(self.rectangles)
        return [box for own, box in zip(self.labels, self.rectangles, strict=True) if own == label]

    def instances(self, label: str | None, canvas: tuple[int, int]) -> Raster:
        """Draw the instance masks, and the box of an instance without one: cells whose centre lies inside."""
        drawn = np.zeros(canvas, np.bool_)
        for own, box, mask in zip(self.labels, self.rectangles, self.masks, strict=True):
            if label is None or own == label:
                rows, columns = _cells(box[1], box[3], canvas[0]), _cells(box[0], box[2], canvas[1])
                # A box without a mask is a mask of one pixel.
                inside = np.ones((1, 1), np.bool_) if mask is None else mask
                across = _pixels(columns, box[0], box[2], canvas[1], inside.shape[1])
                down = _pixels(rows, box[1], box[3], canvas[0], inside.shape[0])
                drawn[np.ix_(rows, columns)] |= inside[np.ix_(down, across)]
        return drawn


@dataclass(frozen=True, eq=False)
class Polygons:
    """Polylines, taken as filled, whether they are drawn so or not.

    Args:
        labels: label of each, or None.
        outlines: closed outlines of each; where those of one polyline overlap twice, there is a hole.
    """

    labels: Sequence[str | None]
    outlines: Sequence[Sequence[Sequence[Point]]]

    def shape(self, label: str | None, canvas: tuple[int, int]) -> Shape:
        """Draw the polygons; a cell that the outline only touches belongs to them."""
        drawn = np.zeros(canvas, np.uint8)
        for own, outlines in zip(self.labels, self.outlines, strict=True):
            if outlines and (label is None or own == label):
                cv2.fillPoly(drawn, [_on_canvas(o, canvas) for o in outlines if o], (1,), shift=_SUBPIXEL_BITS)
        return drawn.astype(np.bool_)

    def boxes(self, label: str | None) -> list[Box]:
        """Return the bounding box of each polyline."""
        chosen = (o for own, o in zip(self.labels, self.outlines, strict=True) if label is None or own == label)
        return list(_bounding_boxes([point for outline in outlines for point in outline] for outlines in chosen))


@dataclass(frozen=True, eq=False)
class Points:
    """Keypoints; they have no area until they are grown.

    Args:
        labels: label of each group of points, or None.
        groups: points of each; a point that is not visible is NaN.
    """

    labels: Sequence[str | None]
    groups: Sequence[Sequence[Point]]

    def shape(self, label: str | None, canvas: tuple[int, int]) -> Shape:
        """Mark the cell that each point lies in."""
        drawn = np.zeros(canvas, np.bool_)
        for group in self._visible(label):
            for x, y in group:
                if 0 <= x <= 1 and 0 <= y <= 1:
                    drawn[min(int(y * canvas[0]), canvas[0] - 1), min(int(x * canvas[1]), canvas[1] - 1)] = True
        return drawn

    def boxes(self, label: str | None) -> list[Box]:
        """Return the bounding box of each group's visible points."""
        return list(_bounding_boxes(self._visible(label)))

    def _visible(self, label: str | None) -> list[list[Point]]:
        chosen = (g for own, g in zip(self.labels, self.groups, strict=True) if label is None or own == label)
        return [[(x, y) for x, y in group if np.isfinite(x) and np.isfinite(y)] for group in chosen]


@dataclass(frozen=True, eq=False)
class LabelMask:
    """A segmentation.

    Args:
        mask: integers (H, W) over the whole image.
        names: name of each value; values without one are called by their number.
    """

    mask: NDArray[np.integer]
    names: Mapping[int, str]

    def shape(self, label: str | None, canvas: tuple[int, int]) -> Shape:  # noqa: ARG002 - its own pixels are exact
        """Return the pixels of a name; all that is labelled is what has a name or is not 0."""
        if label is None:
            named_zero = [value for value in self.names if value == 0]
            return np.ones(self.mask.shape, np.bool_) if named_zero else self.mask != 0
        values = [value for value, name in self.names.items() if name == label]
        if not values and label.isdecimal():
            values = [int(label)]
        return np.isin(self.mask, values)

    def boxes(self, label: str | None) -> list[Box]:
        """Raise: a value of a mask has no instances.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(f"Expected labels with boxes, but got {label!r} of a mask. Use the region as it is.")


def _on_canvas(outline: Sequence[Point], canvas: tuple[int, int]) -> NDArray[np.int32]:
    """Turn relative points into OpenCV's, where whole numbers are the centres of cells, with binary places."""
    points = np.asarray(outline, np.float64).reshape(-1, 2) * (canvas[1], canvas[0]) - 0.5
    return np.rint(points * 2**_SUBPIXEL_BITS).astype(np.int32)


def _bounding_boxes(groups: Iterable[Sequence[Point]]) -> Iterable[Box]:
    for group in groups:
        if group:
            xs, ys = zip(*group, strict=True)
            yield min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _cells(start: float, extent: float, count: int) -> NDArray[np.intp]:
    """Return the cells whose centre lies in an interval of [0, 1]."""
    first, stop = (int(np.ceil(edge * count - 0.5)) for edge in (start, start + extent))
    return np.arange(max(first, 0), max(min(stop, count), 0))


def _pixels(cells: NDArray[np.intp], start: float, extent: float, count: int, pixels: int) -> NDArray[np.intp]:
    """Return which of an interval's pixels the centre of each cell lies in."""
    at = ((cells + 0.5) / count - start) / extent * pixels if extent > 0 else np.zeros(len(cells))
    return np.clip(at.astype(np.intp), 0, pixels - 1)
