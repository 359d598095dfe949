"""Regions of one image, in or out: combined exactly, then measured against a map of any size.

All edges of all shapes cut the image into rectangles, the cells of a lattice. A region is a set of cells, so that
union, intersection and complement are those of sets; only when a region meets a map's pixels do its cells become the
share of each pixel that they cover. Boxes and the pixels of masks are exact. Polygons, instance masks and what is
grown are drawn on a canvas of 512 cells along the image's longer side: their edges are off by at most one of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.lattice import Lattice
from fiftyone_saliency.core.preference import Measured, pooling, reaches
from fiftyone_saliency.core.region_labels import Box, Boxes, Content, Shape
from fiftyone_saliency.core.region_spec import (
    BACKGROUND as BACKGROUND,
)
from fiftyone_saliency.core.region_spec import (
    Border,
    Combined,
    Complement,
    Expression,
    Grow,
    Instances,
    Labelled,
    Leaf,
    Named,
    Part,
    RegionSpec,
    Rest,
    labelled,
    plain_regions,
)

CANVAS = 512
EVERYWHERE = (slice(None), slice(None))
_DIGITS = 12
"""Areas and shares are sums of many products: what differs beyond this is rounding, and 1 must be 1."""
Weights = dict[str, NDArray[np.float32] | None]


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of one image.

    Args:
        lattice: the cells that the image is cut into.
        inside: by region, which cells belong to it, bool (m, n); None where the sample lacks the label.
    """

    lattice: Lattice
    inside: Mapping[str, NDArray[np.bool_] | None]

    def weights(self, size: tuple[int, int]) -> Weights:
        """Return by region the share of each pixel of a map (h, w) that it covers, float32 in [0, 1]."""
        rows, columns = self.lattice.coverage(size)

        def covered(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
            return np.clip(rows.T @ inside @ columns, 0, 1).astype(np.float32)

        return {name: None if inside is None else covered(inside) for name, inside in self.inside.items()}

    def shares(
        self, evidence: NDArray[np.float32], seen: tuple[slice, slice] = EVERYWHERE
    ) -> dict[str, Measured | None]:
        """Measure which share of a map's evidence lies in each region, as `metrics.share` defines it.

        The map is split among the lattice's cells once for all regions, without drawing any of them.

        Args:
            evidence: float32 (h, w) over the whole image, not negative.
            seen: rows and columns of the map that lie in what the network saw. What is outside of it does not count,
                neither as evidence nor as area, so that a map that is equal everywhere scores each region's area.

        Returns:
            By region its share of the evidence, None if the network sees nothing of it or there is no evidence; its
            area, which is its share of what the network sees; and how far shifted copies of the map reach (see
            `core.preference.reaches`), None without a share. None where the sample lacks the label.
        """
        rows, columns = self.lattice.coverage((evidence.shape[0], evidence.shape[1]))
        rows, columns, evidence = rows[:, seen[0]], columns[:, seen[1]], evidence[seen]
        split: NDArray[np.float64] = rows @ evidence @ columns.T
        total = float(split.sum())
        areas = np.outer(rows.sum(axis=1), columns.sum(axis=1)) / max(1, evidence.size)
        defined = {name: inside for name, inside in self.inside.items() if inside is not None}
        cells = np.array([split.ravel(), areas.ravel()])
        stacked = np.array(list(defined.values()), np.float64).reshape(len(defined), cells.shape[1])
        sums: list[list[float]] = (stacked @ cells.T).tolist()
        measured = [Measured(None, round(area, _DIGITS)) for _, area in sums]
        if total > 0 and defined:
            reach = _reaches(stacked.reshape(len(defined), *split.shape), rows, columns, evidence)
            measured = [
                Measured(round(inside / total, _DIGITS), one.area, far) if one.area else one
                for one, (inside, _), far in zip(measured, sums, reach, strict=True)
            ]
        return dict.fromkeys(self.inside) | dict(zip(defined, measured, strict=True))


def draw_regions(spec: RegionSpec, contents: Mapping[str, Content | None], image: tuple[int, int]) -> Regions:
    """Find the regions of one image.

    Args:
        spec: the regions' expressions.
        contents: what the sample carries, by field; None where it has no label at all.
        image: height and width (H, W) of the image, of which only the ratio counts.
    """
    canvas = canvas_of(image)
    shapes = {leaf: _shape(leaf, contents, canvas) for leaf in spec.leaves}
    boxes = [_inner(e) for e in spec.borders]
    rasters = {canvas} if spec.grows else set[tuple[int, int]]()
    for shape in shapes.values():
        if isinstance(shape, np.ndarray):
            rasters.add((shape.shape[0], shape.shape[1]))
        elif shape is not None:
            boxes += shape
    lattice = Lattice.through(boxes, rasters)
    scene = _Scene(spec, shapes, lattice, canvas, {})
    for name in (*(n for n in spec.regions if n not in spec.late), *(n for n in spec.regions if n in spec.late)):
        scene.done[name] = scene.evaluate(spec.regions[name])
    return Regions(lattice, {name: scene.done[name] for name in spec.regions})


def weights_from_boxes(
    boxes: Iterable[tuple[str, Box]], size: tuple[int, int], names: Iterable[str] = ()
) -> dict[str, NDArray[np.float32]]:
    """Turn labelled boxes into one weight map per label, and one for the background, which is what no box covers.

    Args:
        boxes: label and ``(x, y, width, height)`` relative to the image; parts beyond the image are cut off.
        size: height and width (h, w) of the map.
        names: labels that must be present even without a box.

    Returns:
        float32 (h, w) in [0, 1] per region.
    """
    labels, rectangles = zip(*boxes, strict=True) if (boxes := list(boxes)) else ((), ())
    spec = plain_regions("boxes", {*labels, *names})
    weights = draw_regions(spec, {"boxes": Boxes(labels, rectangles)}, size).weights(size)
    return {name: covered for name, covered in weights.items() if covered is not None}


def canvas_of(image: tuple[int, int]) -> tuple[int, int]:
    """Return the canvas (H, W) of an image: 512 cells along its longer side, square ones but for rounding."""
    longest = max(image)
    return max(1, round(image[0] * CANVAS / longest)), max(1, round(image[1] * CANVAS / longest))


@dataclass(frozen=True, eq=False)
class _Scene:
    """Evaluates the expressions of one image."""

    spec: RegionSpec
    shapes: Mapping[Leaf, Shape | None]
    lattice: Lattice
    canvas: tuple[int, int]
    done: dict[str, NDArray[np.bool_] | None]

    def evaluate(self, expression: Expression) -> NDArray[np.bool_] | None:
        """Return the cells of a region, or None if it needs a label that the sample lacks."""
        match expression:
            case Labelled() | Part() | Instances():
                shape = self.shapes[expression]
                return None if shape is None else self.lattice.cells(shape)
            case Border():
                return ~self.lattice.cells([_inner(expression)])
            case Named(name):
                return self.done[name]
            case Rest():
                return self._rest()
            case Grow(of, share):
                inside = self.evaluate(of)
                return None if inside is None else self._grow(inside, share * max(self.canvas))
            case Complement(of):
                inside = self.evaluate(of)
                return None if inside is None else ~inside
            case Combined(operator, left, right):
                one, other = self.evaluate(left), self.evaluate(right)
                return None if one is None or other is None else _combine(operator, one, other)

    def _rest(self) -> NDArray[np.bool_] | None:
        covered = np.zeros(self.lattice.shape, np.bool_)
        for name in self.spec.regions:
            if name not in self.spec.late:
                inside = self.done[name]
                if inside is None:
                    return None
                covered |= inside
        return ~covered

    def _grow(self, inside: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
        drawn = self.lattice.sample(inside, self.canvas)
        if not drawn.any():
            return inside
        distance = cv2.distanceTransform((~drawn).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return inside | self.lattice.cells(np.asarray(distance <= radius))


def _reaches(
    inside: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64], evidence: NDArray[np.float32]
) -> list[float]:
    """Pool map (h, w) and regions (K, m, n), whose cells cover rows (m, h) and columns (n, w), and shift the map."""
    down, across = pooling((evidence.shape[0], evidence.shape[1]))
    covered = (rows @ down.T / down.sum(axis=1)).T @ inside @ (columns @ across.T / across.sum(axis=1))
    return reaches(down @ evidence @ across.T, covered)


def _combine(operator: str, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if operator == "|":
        return one | other
    return one & other if operator == "&" else one & ~other


def _shape(leaf: Leaf, contents: Mapping[str, Content | None], canvas: tuple[int, int]) -> Shape | None:
    source = labelled(leaf)
    content = contents[source.field]
    if content is None:
        return None
    if isinstance(leaf, Labelled):
        return content.shape(leaf.label, canvas)
    if isinstance(leaf, Instances):
        return content.instances(source.label, canvas) if isinstance(content, Boxes) else None
    return _parts(leaf, content)


def _parts(leaf: Labelled | Part, content: Content) -> Sequence[Box]:
    if isinstance(leaf, Labelled):
        return content.boxes(leaf.label)
    boxes, share = _parts(leaf.of, content), leaf.share
    match leaf.side:
        case "top":
            return [(x, y, width, height * share) for x, y, width, height in boxes]
        case "bottom":
            return [(x, y + height * (1 - share), width, height * share) for x, y, width, height in boxes]
        case "left":
            return [(x, y, width * share, height) for x, y, width, height in boxes]
        case _:
            return [(x + width * (1 - share), y, width * share, height) for x, y, width, height in boxes]


def _inner(border: Border) -> Box:
    return (border.share, border.share, 1 - 2 * border.share, 1 - 2 * border.share)
