"""Read the foods of the five classes, one photo each, and split them by photo."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from .cutout import cut_out
from .packages import Packages

LONGEST_SIDE = 307
"""Width in pixels that nearly all photos have; the few larger ones are reduced to it."""

DUPLICATE = 6.0
"""Mean difference of two 16 x 16 thumbnails, in 0..255, below which two photos are one."""


@dataclass(frozen=True, eq=False)
class Food:
    """One food, cut out of its one photo.

    Attributes:
        name: unique among the foods read.
        label: its class.
        cutout: RGBA ``(h, w, 4)`` uint8.
    """

    name: str
    label: str
    cutout: np.ndarray


@dataclass(frozen=True)
class Kind:
    """Which foods of the source make up a class; a class may take several of these.

    Attributes:
        label: the class.
        group: food group of the source.
        names: pattern found in the names of its members.
        except_names: pattern found in the names of those left out all the same.
        heaps: whether a photo that the food fills to its edges is of use.
    """

    label: str
    group: str
    names: str = ""
    except_names: str = r"(?!)"
    heaps: bool = False


# Berries that fill their photo are left out (`heaps`): cut to a heap, they could pass for pulses.
KINDS = (
    Kind("fish", "Marine Fish", except_names=r"(?i)shark|ray\b|ray fish|kite|guitar"),
    Kind("fish", "Fresh Water Fish and Shellfish", except_names=r"Crab"),
    Kind("fruit", "Fruits", except_names=r"dried|processed|^Dates"),
    Kind("grains and pulses", "Cereals and Millets", except_names=r"flour|tender", heaps=True),
    Kind("grains and pulses", "Grain Legumes", heaps=True),
    Kind("leafy greens", "Condiments and Spices", r"leaves", heaps=True),
    Kind("leafy greens", "Green Leafy Vegetables", heaps=True),
    Kind("vegetables", "Condiments and Spices", r"^Chillies"),
    Kind("vegetables", "Other Vegetables", r"^(Brinjal|Capsicum|Cho-cho|Cucumber, green|Kovai|Zucchini)"),
    Kind("vegetables", "Other Vegetables", r"^(Bitter|Bottle|Ridge|Snake) gourd(?!, round)"),
)

CLASSES = tuple(sorted({kind.label for kind in KINDS}))


def read(packages: Packages) -> list[Food]:
    """Read, cut out and de-duplicate the foods that belong to a class.

    A second photo under one name, and a second name on one photo, are dropped: what is left has one photo per
    name, so that no photo can be on both sides of a split.

    Args:
        packages: the tarballs; they are read in place, nothing is unpacked.

    Returns:
        The foods in the source's order.
    """
    listed = _names_and_groups(packages)
    foods: list[Food] = []
    thumbnails = np.empty((0, 16 * 16 * 3), np.float32)
    for code, photo in _photos(packages):
        name, group = listed.get(code, ("", ""))
        kind = _kind(name, group)
        if kind is None or any(name == food.name for food in foods):
            continue
        thumbnail = _thumbnail(photo)
        if (np.abs(thumbnails - thumbnail).mean(1) < DUPLICATE).any():
            continue
        cutout = cut_out(photo, heaps=kind.heaps)
        if cutout is not None:
            thumbnails = np.vstack([thumbnails, thumbnail])
            foods.append(Food(name, kind.label, cutout))
    return foods


def split_by_photo(foods: Sequence[Food], test_share: float, seed: int) -> dict[str, list[Food]]:
    """Split the foods of each class into "train" and "test": a photo is in one of the two.

    Args:
        foods: one photo each.
        test_share: part of each class that goes to the test, in (0, 1); at least one photo on each side.
        seed: decides which.

    Returns:
        The foods of either side, in the order given within a class.

    Raises:
        ValueError: a class has fewer than two photos, or ``test_share`` is out of range.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"Expected `test_share` to lie in (0, 1), but got {test_share}. Pass e.g. 0.3.")
    rng = np.random.default_rng(seed)
    split: dict[str, list[Food]] = {"train": [], "test": []}
    for label in sorted({food.label for food in foods}):
        members = [food for food in foods if food.label == label]
        if len(members) < 2:
            raise ValueError(f"Expected at least 2 photos of {label!r}, but got {len(members)}. Add photos.")
        order = rng.permutation(len(members))
        tested = min(max(1, round(test_share * len(members))), len(members) - 1)
        split["test"] += [members[i] for i in sorted(order[:tested])]
        split["train"] += [members[i] for i in sorted(order[tested:])]
    return split


def _kind(name: str, group: str) -> Kind | None:
    for kind in KINDS:
        if group == kind.group and re.search(kind.names, name) and not re.search(kind.except_names, name):
            return kind
    return None


def _names_and_groups(packages: Packages) -> dict[str, tuple[str, str]]:
    """The name and the group of every food code."""
    with tarfile.open(packages.compositions) as tarball:
        text = _content(tarball, tarball.getmember("package/index.csv")).decode("utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return {row["Food Code; code"]: (_shop_name(row["Food Name; name"]), row["Food Group; grup"]) for row in rows}


def _shop_name(name: str) -> str:
    """The source names the part that was analysed; the photo shows the whole fruit."""
    return re.sub(r", (juice|pulp)$", "", name)


def _photos(packages: Packages) -> Iterator[tuple[str, np.ndarray]]:
    """Food codes with their photos, RGB ``(H, W, 3)`` uint8, in order of code."""
    with tarfile.open(packages.pictures) as tarball:
        for member in sorted(tarball.getmembers(), key=lambda member: member.name):
            if not member.name.endswith(".jpeg"):
                continue
            with Image.open(io.BytesIO(_content(tarball, member))) as picture:
                photo = picture.convert("RGB")
            photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            yield PurePosixPath(member.name).stem, np.asarray(photo)


def _content(tarball: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Read one regular file in place: links and devices are refused, and nothing is written to disk."""
    stream = tarball.extractfile(member) if member.isreg() else None
    if stream is None:
        raise ValueError(f"Expected `{member.name}` to be a regular file, but got a link. Delete {tarball.name}.")
    return stream.read()


def _thumbnail(photo: np.ndarray) -> np.ndarray:
    small = Image.fromarray(photo).resize((16, 16), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).reshape(1, -1)
