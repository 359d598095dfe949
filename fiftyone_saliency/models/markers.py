"""Pictures that carry a code: whoever sees a pixel of them in a row of pictures knows which block it belongs to.

Two noise textures are exchanged block by block. In a row of pictures a pixel of a block shows only two values, in the
order of the block's code, whatever a step does to intensities: a curve, a threshold, a filter, a standardisation.
Which code a pixel follows is therefore known from *when* it changes, not from how much or to which grey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Transform = Callable[[Image.Image], Tensor]
Window = tuple[float, float]
FLAT = 1e-6


def balanced_codes(length: int) -> NDArray[np.float64]:
    """Return all codes of as many ones as minus ones, each without its complement: (codes, length)."""
    chosen = list(combinations(range(1, length), length // 2))
    codes = np.ones((len(chosen), length))
    for row, minus in zip(codes, chosen, strict=True):
        row[list(minus)] = -1
    return codes


class Textures:
    """Two noise pictures that are alike on the average and unlike in every grain.

    Args:
        size: width and height in pixels.
        grain: width and height of a grain in pixels, at least 1.
        seed: seed of the noise.
        extremes: whether half of the grains are black and white: for thresholds, wherever they lie.
    """

    def __init__(self, size: tuple[int, int], grain: tuple[int, int], seed: int, extremes: bool = False) -> None:
        width, height = size
        columns, rows = np.arange(width) // grain[0], np.arange(height) // grain[1]
        noise = np.random.default_rng(seed)
        shape = (int(rows[-1]) + 1, int(columns[-1]) + 1, 3)
        first = noise.integers(0, 256, shape, np.int16)
        # Far from the first in every grain and channel: small differences drown in rounding.
        second = (first + noise.integers(96, 161, shape, np.int16)) % 256
        if extremes:
            black = noise.integers(0, 2, (*shape[:2], 1), bool)
            some = noise.integers(0, 2, (*shape[:2], 1), bool)
            first = np.where(some, np.where(black, 0, 255).astype(np.int16), first)
            second = np.where(some, 255 - first, second)
        self.first = _enlarged(first, rows, columns)
        self.second = _enlarged(second, rows, columns)

    def stripes(self, codes: NDArray[np.float64], edges: NDArray[np.int64], axis: int) -> Iterator[Image.Image]:
        """Yield one picture per column of the codes (stripes, length); stripe j lies between edges j and j + 1.

        Args:
            codes: which texture each stripe shows, by picture.
            edges: pixel edges of the stripes, ascending.
            axis: 0 for stripes side by side, 1 for stripes one above the other.
        """
        for bits in codes.T > 0:
            picture = self.first.copy()
            for j in np.flatnonzero(bits):
                part = slice(edges[j], edges[j + 1])
                if axis == 0:
                    picture[:, part] = self.second[:, part]
                else:
                    picture[part] = self.second[part]
            yield Image.fromarray(picture)

    def cells(
        self,
        codes: NDArray[np.float64],
        edges: tuple[NDArray[np.int64], NDArray[np.int64]],
        around: int | None = None,
    ) -> Iterator[Image.Image]:
        """Yield one picture per column of the codes (rows, columns, length) of a grid of cells.

        Args:
            codes: which texture each cell shows, by picture.
            edges: pixel edges of the grid's columns and of its rows, ascending.
            around: grey level of all that lies outside the grid; None for the texture.
        """
        for bits in np.moveaxis(codes > 0, 2, 0):
            picture = self.first.copy()
            for i, j in np.argwhere(bits):
                part = (slice(edges[1][i], edges[1][i + 1]), slice(edges[0][j], edges[0][j + 1]))
                picture[part] = self.second[part]
            if around is not None:
                inside = (slice(edges[1][0], edges[1][-1]), slice(edges[0][0], edges[0][-1]))
                flat = np.full_like(picture, around)
                flat[inside] = picture[inside]
                picture = flat
            yield Image.fromarray(picture)


def explained(values: NDArray[np.float64], codes: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return how much of the change in a row of pictures follows each code.

    Args:
        values: float64 (pictures, channels, ...), what became of the pictures.
        codes: (codes, pictures).

    Returns:
        The energy that follows each code (codes, ...) and all energy of change (...), added up over the channels, each
        channel in units of its own spread.
    """
    change = values - values.mean(axis=0)
    spread = change.std(axis=(0, *range(2, values.ndim)), keepdims=True)
    change = np.divide(change, spread, out=np.zeros_like(change), where=spread > FLAT)
    along = np.tensordot(codes, change, axes=(1, 0)) / codes.shape[1]
    return (along**2).sum(axis=1), (change**2).mean(axis=0).sum(axis=0)


def _enlarged(grains: NDArray[np.int16], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(grains.astype(np.uint8)[rows][:, columns])


def chosen(output: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return some rows and columns of an output (C, H, W), as float64; what is not finite counts as 0."""
    part = output[:, torch.from_numpy(rows)][:, :, torch.from_numpy(columns)]
    return np.nan_to_num(part.double().cpu().numpy(), nan=0.0, posinf=0.0, neginf=0.0)
