"""Draw the surfaces that goods lie on: wood, slate, linen, tiles, checked cloth and brushed steel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

Surface = Callable[[int, int, np.random.Generator], np.ndarray]


def draw_surface(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one surface of a random kind and tone, RGB ``(height, width, 3)`` uint8."""
    kind = SURFACES[rng.integers(len(SURFACES))]
    return np.clip(kind(height, width, rng), 0, 255).astype(np.uint8)


def _planks(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    tone = np.array(_WOODS[rng.integers(len(_WOODS))], float)
    board = int(rng.integers(44, 76))
    picture = np.empty((height, width, 3))
    for top in range(0, height, board):
        rows = min(board, height - top)
        grain = _noise(rows, width, rng, (1.2, 40)) * 13 + _noise(rows, width, rng, (6, 160)) * 16
        shade = tone * rng.uniform(0.88, 1.08) + rng.normal(0, 3, 3)
        picture[top : top + rows] = shade + grain[..., None] * (1, 0.9, 0.75)
        picture[top : top + 2] *= 0.45
        picture[top + 2 : top + 4] *= 0.85
    return picture


def _slate(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    tone = rng.uniform(52, 84) + np.array((0.0, 3.0, 8.0))
    relief = _noise(height, width, rng, (0.8, 0.8)) * 5 + _noise(height, width, rng, (5, 14)) * 8
    return tone + (relief + _noise(height, width, rng, (40, 60)) * 7)[..., None]


def _linen(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    tone = np.array(_CLOTHS[rng.integers(len(_CLOTHS))], float)
    warp, weft = _noise(height, width, rng, (9, 0.7)), _noise(height, width, rng, (0.7, 9))
    folds = _noise(height, width, rng, (50, 50)) * 8
    return tone + ((warp + weft) * 7 + folds)[..., None]


def _tiles(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    side, tone = int(rng.integers(52, 84)), np.array(_GLAZES[rng.integers(len(_GLAZES))], float)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    shade = rng.normal(0, 5, (rows.max() + 1, columns.max() + 1))[np.ix_(rows, columns)]
    gloss = _noise(height, width, rng, (14, 14)) * 3
    picture = tone + (shade + gloss)[..., None]
    y, x = np.arange(height) % side, np.arange(width) % side
    picture[(y < 3)[:, None] | (x < 3)[None, :]] = tone * 0.78
    picture[((y == 3)[:, None] | (x == 3)[None, :])] *= 1.04
    return picture


def _gingham(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    check, dye = int(rng.integers(11, 18)), np.array(_DYES[rng.integers(len(_DYES))], float)
    rows, columns = np.arange(height) // check % 2, np.arange(width) // check % 2
    depth = (rows[:, None] + columns[None, :]) / 2
    thread = _noise(height, width, rng, (3, 0.7)) + _noise(height, width, rng, (0.7, 3))
    folds = _noise(height, width, rng, (50, 50)) * 6
    cloth = np.array((232.0, 230.0, 224.0))
    return cloth + (dye - cloth) * depth[..., None] + (thread * 3 + folds)[..., None]


def _steel(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    brushed = _noise(height, width, rng, (0.6, 70)) * 8
    sheen = np.sin(np.linspace(0, np.pi * rng.uniform(1, 2.5), width) + rng.uniform(0, 6)) * 12
    return rng.uniform(138, 176) + np.array((-2.0, 0.0, 3.0)) + (brushed + sheen)[..., None]


def _noise(height: int, width: int, rng: np.random.Generator, blur: tuple[float, float]) -> np.ndarray:
    """Smooth noise with zero mean and unit deviation; ``blur`` in pixels down and across."""
    # What is very smooth is drawn coarse and enlarged: wide filters are slow.
    steps = [max(1, int(side // 4)) for side in blur]
    coarse = rng.normal(size=(-(-height // steps[0]), -(-width // steps[1]))).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, [side / step for side, step in zip(blur, steps, strict=True)], mode="wrap")
    noise = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return (noise - noise.mean()) / max(noise.std(), 1e-6)


_WOODS = ((176, 132, 88), (140, 98, 62), (98, 68, 46), (196, 182, 160), (150, 142, 132))
_CLOTHS = ((214, 202, 180), (176, 160, 134), (120, 134, 146), (152, 92, 84), (96, 104, 92))
_DYES = ((176, 52, 56), (66, 98, 150), (76, 124, 88), (190, 150, 70))
_GLAZES = ((222, 222, 216), (196, 208, 212), (158, 186, 190), (206, 196, 176))

SURFACES: tuple[Surface, ...] = (_planks, _planks, _slate, _linen, _tiles, _gingham, _steel)
