"""Prove that a transform shows the image where a placement says: markers that had no part in finding it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.markers import Textures, Transform, balanced_codes, chosen, explained

_SEED = 52
_LENGTH = 6
_CELLS = 24
# A cell is about this many pixels of the output wide; its corners are looked at so far from its edges.
_WIDE = 6
_INSET = 2.0
# Where the output shows so little of the image that it has fewer cells, they are narrower.
_NARROW = 3
_FEW = 4
_FAINT = 0.05
# Share of a marker's change that has to follow its own code.
_OWN = 0.4
_FEWEST = 0.1
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def agreement(
    run: Transform,
    size: tuple[int, int],
    placement: Placement,
    box: Box = WHOLE,
    around: int | None = None,
    coarse: bool = False,
) -> float:
    """Return the share of markers that lie where a placement says; 0 if hardly one is seen.

    A grid of cells is laid over what the network sees of the image. The pixels at the four corners
    of each cell must follow the code of their cell more than that of any neighbour.

    Args:
        run: the transform, from an RGB picture to a tensor (C, H, W).
        size: width and height of the image in pixels.
        placement: what is to be proved.
        box: left, top, right and bottom of the part that carries markers, as shares of what is seen.
        around: grey level of the rest of the image; None for texture.
        coarse: whether the texture has one grain per cell.
    """
    _, height, width = run(Image.new("RGB", size)).shape
    columns = _Grid.over(size[0], width, placement.x, placement.width, (box[0], box[2]))
    rows = _Grid.over(size[1], height, placement.y, placement.height, (box[1], box[3]))
    if not len(columns.lines) or not len(rows.lines):
        return 0.0
    codes = _codes(len(rows.edges) - 1, len(columns.edges) - 1)
    grain = [max(1, grid.width // (1 if coarse else 2)) for grid in (columns, rows)]
    textures = Textures(size, (grain[0], grain[1]), _SEED, coarse)
    pictures = textures.cells(codes, (columns.edges, rows.edges), around)
    outputs = [run(picture) for picture in pictures]
    if not (columns.proves or _quiet(outputs, columns, 1)) or not (rows.proves or _quiet(outputs, rows, 0)):
        return 0.0
    values = np.stack([chosen(output, rows.lines, columns.lines) for output in outputs])
    return _share(values, codes, rows, columns)


@dataclass(frozen=True)
class _Grid:
    """The cells along one axis, and the lines of the output that are looked at.

    Args:
        edges: edges of the cells in the image, in pixels.
        lines: lines of the output.
        cells: the cell that each of these lines belongs to.
        outside: lines that show nothing of the image.
    """

    edges: NDArray[np.int64]
    lines: NDArray[np.int64]
    cells: NDArray[np.int64]
    outside: NDArray[np.int64]

    @classmethod
    def over(cls, pixels: int, count: int, start: float, extent: float, part: tuple[float, float]) -> _Grid:
        """Lay cells over a part of what an output of so many lines sees of so many pixels."""
        slope = extent * pixels / count
        low, high = max(0.0, start * pixels), min(float(pixels), (start + extent) * pixels)
        low, high = low + part[0] * (high - low), low + part[1] * (high - low)
        seen = (high - low) / max(slope, 1 / _WIDE)
        cells = max(1, min(_CELLS, max(int(seen / _WIDE), min(_FEW, int(seen / _NARROW)))))
        edges = np.unique(np.clip(np.rint(np.linspace(low, high, cells + 1)), 0, pixels))
        edges = edges.astype(np.int64)
        # A filter reaches over a pixel of the output, or of the image where that is the larger.
        inset = max(_INSET * slope, 1.0)
        widths = np.minimum(inset, np.diff(edges) / 2)
        points = np.concatenate([edges[:-1] + widths, edges[1:] - widths])
        lines = np.floor((points - start * pixels) / slope).astype(np.int64)
        # The line's own middle tells which cell it shows.
        middles = (lines + 0.5) * slope + start * pixels
        owners = np.searchsorted(edges, middles, side="right") - 1
        kept = (lines >= 0) & (lines < count) & (owners >= 0) & (owners < len(edges) - 1)
        lines, first = np.unique(lines[kept], return_index=True)
        everywhere = (np.arange(count) + 0.5) * slope + start * pixels
        outside = np.flatnonzero((everywhere < -slope) | (everywhere > pixels + slope))
        return cls(edges, lines, owners[kept][first], outside)

    @property
    def proves(self) -> bool:
        """Whether there are so many cells that a wrong place cannot pass."""
        return len(self.edges) > _FEW or not len(self.outside)

    @property
    def width(self) -> int:
        """Width of the narrowest cell in pixels of the image."""
        return int(np.diff(self.edges).min())


def _quiet(outputs: Sequence[Tensor], grid: _Grid, axis: int) -> bool:
    """Return whether the lines that are said to show nothing of the image do not change with it."""
    lines = np.concatenate([grid.lines, grid.outside])
    every = np.arange(outputs[0].shape[2 - axis])
    where = (every, lines) if axis else (lines, every)
    _, energy = explained(np.stack([chosen(output, *where) for output in outputs]), np.ones((1, len(outputs))))
    inside, outside = np.split(energy.mean(axis=1 - axis), [len(grid.lines)])
    return bool(outside.max() <= _FAINT * inside.max())


def _codes(rows: int, columns: int) -> NDArray[np.float64]:
    """Return a drawn code per cell: (rows, columns, pictures)."""
    noise = np.random.default_rng(_SEED)
    codes = balanced_codes(_LENGTH)
    signs = noise.choice([-1.0, 1.0], (rows, columns, 1))
    return codes[noise.integers(0, len(codes), (rows, columns))] * signs


def _share(values: NDArray[np.float64], codes: NDArray[np.float64], rows: _Grid, columns: _Grid) -> float:
    """Return the share of the pixels (pictures, channels, rows, columns) that follow their cell."""
    kinds, which = np.unique(codes.reshape(-1, codes.shape[2]), axis=0, return_inverse=True)
    which = which.reshape(codes.shape[:2])
    along, energy = explained(values, kinds)
    usable = energy > _FAINT * (np.quantile(energy, 0.9) or energy.max())
    if usable.mean() < _FEWEST:
        return 0.0

    def follows(down: int, right: int) -> NDArray[np.float64]:
        """Return the energy that follows the code of the cell so many cells away."""
        row = np.clip(rows.cells + down, 0, codes.shape[0] - 1)
        column = np.clip(columns.cells + right, 0, codes.shape[1] - 1)
        index = which[row[:, None], column[None, :]]
        return np.take_along_axis(along, index[None], axis=0)[0]

    own = follows(0, 0)
    others = np.max([follows(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    right = (own >= others * (1 - 1e-9)) & (own >= _OWN * energy)
    return float(right[usable].mean())
