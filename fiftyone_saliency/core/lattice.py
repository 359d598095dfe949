"""A grid of rectangles of any size that tile an image, such that each of some shapes is a set of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.region_labels import Box, Raster, Shape

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Lattice:
    """Rectangles that tile the image, called cells.

    Args:
        rows: edges along y, float64 (m + 1,), rising from 0 to 1.
        columns: edges along x, float64 (n + 1,), rising from 0 to 1.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]

    @classmethod
    def through(cls, boxes: Iterable[Box], rasters: Iterable[tuple[int, int]] = ()) -> Lattice:
        """Cut the image at all edges of boxes and at those of the pixels of rasters (H, W)."""
        down: list[float] = []
        across: list[float] = []
        for x, y, width, height in boxes:
            across += (x, x + width)
            down += (y, y + height)
        heights, widths = ({size[axis] for size in rasters} for axis in (0, 1))
        return cls(_cuts(down, heights), _cuts(across, widths))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and along x (m, n)."""
        return len(self.rows) - 1, len(self.columns) - 1

    @property
    def areas(self) -> NDArray[np.float64]:
        """Share of the image that each cell covers (m, n)."""
        return (self.rows[1:] - self.rows[:-1])[:, None] * (self.columns[1:] - self.columns[:-1])

    def cells(self, shape: Shape) -> NDArray[np.bool_]:
        """Return which cells lie in a shape whose edges the lattice was cut at, bool (m, n)."""
        if isinstance(shape, np.ndarray):
            return shape if shape.shape == self.shape else shape[self.pixels((shape.shape[0], shape.shape[1]))]
        inside = np.zeros(self.shape, np.bool_)
        down, across = self._edges
        for x, y, width, height in shape:
            top, bottom = _find(down, y), _find(down, y + height)
            inside[top:bottom, _find(across, x) : _find(across, x + width)] = True
        return inside

    @cached_property
    def _edges(self) -> tuple[list[float], list[float]]:
        # A list is searched faster than an array.
        return self.rows.tolist(), self.columns.tolist()

    def pixels(self, raster: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the index of the raster's pixel that each cell lies in: raster[pixels] has the lattice's shape."""
        middles = ((edges[1:] + edges[:-1]) / 2 for edges in (self.rows, self.columns))
        down, across = ((middle * count).astype(np.intp) for middle, count in zip(middles, raster, strict=True))
        return down[:, None], across[None, :]

    def sample(self, inside: NDArray[np.bool_], canvas: tuple[int, int]) -> Raster:
        """Return which cells of a canvas have their centre in a region."""
        if canvas == self.shape:
            return inside
        middles = ((np.arange(count) + 0.5) / count for count in canvas)
        edges = (self.rows, self.columns)
        down, across = (np.searchsorted(e, m, "right") - 1 for e, m in zip(edges, middles, strict=True))
        return inside[down[:, None], across[None, :]]

    def coverage(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the share of each of a map's rows that each row of cells covers (m, h), and the same of columns."""
        return _coverage(self.rows, size[0]), _coverage(self.columns, size[1])


def _cuts(edges: Iterable[float], counts: Iterable[int]) -> NDArray[np.float64]:
    """Sort the edges inside of the image; of those that differ by rounding alone, keep the first."""
    cuts = [0.0]
    for edge in sorted(chain(edges, *(_grid(count) for count in counts))):
        if cuts[-1] + _ROUNDING < edge < 1 - _ROUNDING:
            cuts.append(edge)
    return np.array([*cuts, 1.0])


def _find(cuts: list[float], edge: float) -> int:
    """Return the position of an edge among the cuts, where it may have been joined with one before it."""
    return bisect_left(cuts, edge - _ROUNDING)


# Images of one size share their grids; a dataset of many sizes keeps only the latest.
@lru_cache(maxsize=64)
def _grid(count: int) -> list[float]:
    return [i / count for i in range(count)]


def _coverage(edges: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Share of each of ``count`` pixels on [0, 1] that each cell covers, (cells, count)."""
    before = np.minimum(np.maximum(edges[:, None] * count - np.arange(count), 0), 1)
    return before[1:] - before[:-1]
