"""The Professions bed: people in uniform with an animal's head, with exact masks of head and uniform.

The profession is what a model should learn from the uniform. `bias` says how often the head betrays it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from examples.professions import figures, photos

REGIONS: Mapping[int, str] = MappingProxyType({0: "background", 1: "uniform", 2: "head"})
PROFESSIONS: tuple[str, ...] = tuple(figures.UNIFORMS)
PAIRED_HEADS: Mapping[str, str] = MappingProxyType(dict(zip(PROFESSIONS, figures.HEADS, strict=False)))
EXTRA_HEADS: tuple[str, ...] = tuple(figures.HEADS)[len(PROFESSIONS) :]
HEADS: tuple[str, ...] = tuple(PAIRED_HEADS.values())

_DRAWING = 1  # raise when the same parameters give other pictures, so that old folders are drawn anew
_SOLID = [255 * (alpha > 127) for alpha in range(256)]  # where a cut-out hides what is behind it
_CHUNK = 50  # pictures per task of the process pool; below two tasks a pool costs more than it saves


@dataclass(frozen=True)
class Picture:
    """One picture of the bed.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        mask: uint8 (H, W), a key of `REGIONS` in each pixel.
        profession: What the uniform says, one of `PROFESSIONS`.
        head: The animal on top.
    """

    image: np.ndarray
    mask: np.ndarray
    profession: str
    head: str


@dataclass(frozen=True)
class Row:
    """One picture of the bed on disk."""

    image: Path
    mask: Path
    profession: str
    head: str


@dataclass(frozen=True)
class Recipe:
    """What the pictures of one set have in common.

    Attributes:
        bias: Probability that the head is the one paired with the profession.
        seed: Picture ``i`` depends on the recipe and ``i`` only.
        heads: Where the head comes from otherwise, uniformly.
        size: Side of the picture in pixels.
        hue: How much the uniform's colours vary: their largest turn, as part of the colour wheel, and the depth of the
            dye on top, which reaches the white ones too.
    """

    bias: float
    seed: int
    heads: tuple[str, ...] = HEADS
    size: int = 192
    hue: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.bias <= 1:
            raise ValueError(f"Expected `bias` to be in [0, 1], but got {self.bias}. Pass a probability.")
        if self.seed < 0:
            raise ValueError(f"Expected `seed` to be 0 or more, but got {self.seed}. Pass a non-negative integer.")
        unknown = [name for name in self.heads if name not in figures.HEADS]
        if unknown or not self.heads:
            wrong = ", ".join(map(repr, unknown)) or "none"
            raise ValueError(
                f"Expected `heads` to be names of heads, but got {wrong}. Choose from {', '.join(figures.HEADS)}."
            )
        if self.size < 32:
            raise ValueError(f"Expected `size` to be at least 32 pixels, but got {self.size}. Raise it.")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"Expected `hue` to be in [0, 0.5], but got {self.hue}. Pass half a turn at most.")


def draw(
    count: int,
    bias: float,
    seed: int,
    heads: Sequence[str] = HEADS,
    size: int = 192,
    hue: float = 0.3,
) -> Iterator[Picture]:
    """Draw `count` pictures; the professions take turns.

    Args:
        count: Number of pictures.
        bias: Probability that the head is the one paired with the profession.
        seed: Picture ``i`` depends on the other parameters and ``i`` only, not on `count`.
        heads: Where the head comes from otherwise, uniformly.
        size: Side of the picture in pixels.
        hue: How much the uniform's colours vary, see `Recipe`.

    Returns:
        The pictures, drawn one by one as they are asked for.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    recipe = Recipe(bias, seed, tuple(heads), size, hue)
    return (_picture(recipe, index) for index in range(count))


def write(
    folder: str | os.PathLike[str],
    count: int,
    bias: float,
    seed: int,
    heads: Sequence[str] = HEADS,
    size: int = 192,
    hue: float = 0.3,
    workers: int = 2,
) -> list[Row]:
    """Draw pictures into ``folder/images`` (JPEG) and ``folder/masks`` (PNG), unless they are there already.

    ``folder/index.json`` is written last: a folder that has it is finished, one that was interrupted is drawn anew,
    and so is one that holds pictures of other parameters. Where a pool of processes is used (`workers` above 1), a
    script must call this under ``if __name__ == "__main__":``.

    Args:
        folder: Made if it is missing. Only files that this function wrote are ever removed.
        count: Number of pictures.
        bias: Probability that the head is the one paired with the profession.
        seed: Picture ``i`` depends on the other parameters and ``i`` only, not on `count`.
        heads: Where the head comes from otherwise, uniformly.
        size: Side of the picture in pixels.
        hue: How much the uniform's colours vary, see `Recipe`.
        workers: Processes that draw; the pictures do not depend on it.

    Returns:
        One row per picture, in the order of drawing.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    folder, recipe = Path(folder), Recipe(bias, seed, tuple(heads), size, hue)
    index = folder / "index.json"
    parameters = {"drawing": _DRAWING, "count": count, **asdict(recipe), "heads": list(recipe.heads)}
    if (rows := _read(index, parameters)) is not None:
        return rows
    _clear(folder)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    task = partial(_write_chunk, folder, recipe)
    if workers > 1 and len(chunks) > 1:
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn")) as pool:
            names = [name for part in pool.map(task, chunks) for name in part]
    else:
        names = [name for chunk in chunks for name in task(chunk)]
    temporary = index.with_suffix(".tmp")
    temporary.write_text(json.dumps({"parameters": parameters, "rows": names}, indent=1))
    temporary.replace(index)
    return [_row(folder, *name) for name in names]


def _picture(recipe: Recipe, index: int) -> Picture:
    """Put a figure, cut off at the hem by the picture's lower edge, before a photo."""
    rng = np.random.default_rng([recipe.seed, index])
    profession = PROFESSIONS[index % len(PROFESSIONS)]
    is_paired = rng.random() < recipe.bias
    other = recipe.heads[rng.integers(len(recipe.heads))]
    name = PAIRED_HEADS[profession] if is_paired else other

    tile = round(rng.uniform(1.2, 1.42) * recipe.size)
    parts = {1: figures.uniform(rng, profession, tile, recipe.hue), 2: figures.head(rng, name, tile)}
    image = photos.crop(rng, recipe.size)
    mask = Image.new("L", image.size)
    centre = parts[1].left + parts[1].image.width / 2
    left = round((0.5 + rng.uniform(-0.06, 0.06)) * recipe.size - centre)
    top = recipe.size - round(figures.HEM * tile) + 1  # one pixel lower, so that rounding never lifts the hem
    for region, part in parts.items():
        at = (left + part.left, top + part.top)
        image.paste(part.image, at, part.image)
        mask.paste(region, at, part.image.getchannel("A").point(_SOLID))
    pixels, regions = np.array(image), np.array(mask)
    if rng.random() < 0.5:
        pixels, regions = np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(regions[:, ::-1])
    return Picture(pixels, regions, profession, name)


def _write_chunk(folder: Path, recipe: Recipe, indices: range) -> list[tuple[str, str, str]]:
    """Write some of a set's pictures and name them: (file stem, profession, head)."""
    names = []
    for index in indices:
        picture = _picture(recipe, index)
        name = (f"{index:05d}-{picture.profession.replace(' ', '-')}-{picture.head}", picture.profession, picture.head)
        row = _row(folder, *name)
        Image.fromarray(picture.image).save(row.image, quality=92, subsampling=0)
        Image.fromarray(picture.mask).save(row.mask)
        names.append(name)
    return names


def _row(folder: Path, stem: str, profession: str, head: str) -> Row:
    return Row(folder / "images" / f"{stem}.jpg", folder / "masks" / f"{stem}.png", profession, head)


def _read(index: Path, parameters: Mapping[str, object]) -> list[Row] | None:
    """Return the rows of a finished folder with the same parameters, else None."""
    if not index.is_file():
        return None
    stored = json.loads(index.read_text())
    if stored.get("parameters") != parameters:
        return None
    rows = [_row(index.parent, *name) for name in stored["rows"]]
    return rows if all(row.image.is_file() and row.mask.is_file() for row in rows) else None


def _clear(folder: Path) -> None:
    """Make the folders and remove what an earlier call wrote there, the index first."""
    (folder / "index.json").unlink(missing_ok=True)
    for part, ending in (("images", "jpg"), ("masks", "png")):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for path in (folder / part).glob(f"[0-9][0-9][0-9][0-9][0-9]-*.{ending}"):
            path.unlink()
