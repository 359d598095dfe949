"""Files that lie beside an export: heatmaps, masks of labels, and masks of regions, all by relative paths."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import ArgumentError, FieldError
from fiftyone_saliency.dataset.export_images import why_unreadable

REGION_MASK = "region_mask"
_PATHS = ("mask_path", "map_path")
_MOST_REGIONS = 255
_LONGEST = 100


def attach(sample: fo.Sample, name: str, folder: Path) -> dict[str, Any] | None:
    """Return a label of a sample as JSON, its files copied into the folder and named by relative paths.

    Returns:
        None for no label, and for a heatmap without a map. The path of a mask whose file is missing is None.
    """
    label = sample[name]
    if label is None:
        return None
    kind = "heatmaps" if isinstance(label, fo.Heatmap) else "masks"

    def copy(path: str) -> str | None:
        if why_unreadable(path) is not None:
            return None
        target = _new(folder / kind / name, sample.id, os.path.basename(path))
        shutil.copyfile(path, target)
        return target.relative_to(folder).as_posix()

    document = _with_paths(json.loads(label.to_json()), copy)
    empty = kind == "heatmaps" and not (document.get("map_path") or document.get("map"))
    return None if empty else document


def detach(document: dict[str, Any], folder: Path) -> fo.Label:
    """Return the label of a JSON document that `attach` made, with the paths as they are in this folder now.

    Raises:
        FieldError: if a path leads out of the folder.
    """
    return fo.Label.from_dict(_with_paths(document, lambda path: str(inside(folder, path))))


def paths_of(document: Any) -> list[str]:
    """Return the paths of files that a label's JSON document names."""
    found: list[str] = []
    _with_paths(document, lambda path: found.append(path))
    return found


def inside(folder: Path, relative: str) -> Path:
    """Return the path of a file of an export.

    Raises:
        FieldError: if it leads out of the folder, or is no path: a manifest may come from anywhere.
    """
    path = folder / relative
    try:
        leads_out = not path.resolve().is_relative_to(folder.resolve())
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        shown = repr(relative)[:200]
        raise FieldError(f"Expected the manifest of {folder} to name paths, but got {shown}: {error}.") from error
    if leads_out:
        raise FieldError(f"Expected paths inside of {folder}, but its manifest names {relative!r}. Do not trust it.")
    return path


@dataclass(eq=False)
class RegionMasks:
    """Writes the regions of each sample as one 8-bit PNG of the image's size; 0 is no region.

    Args:
        folder: the export.
        values: value of each region, in the order in which they were met.
    """

    folder: Path
    values: dict[str, int] = field(default_factory=dict)

    def write(self, sample_id: str, regions: dict[str, NDArray[np.float32] | None]) -> str | None:
        """Write a sample's mask and return its path, relative to the folder; None if it has no region.

        A pixel belongs to a region that covers at least half of it; where several do, to the smallest.

        Raises:
            ArgumentError: if there are more regions than 8 bits can tell apart.
        """
        present = {name: mask >= 0.5 for name, mask in regions.items() if mask is not None}
        if not present:
            return None
        for name in present:
            self.values.setdefault(name, len(self.values) + 1)
        if len(self.values) > _MOST_REGIONS:
            raise ArgumentError(f"Expected at most {_MOST_REGIONS} regions, but got more. Leave the masks out.")
        levels = np.zeros(next(iter(present.values())).shape, np.uint8)
        for name in sorted(present, key=lambda name: -int(present[name].sum())):
            levels[present[name]] = self.values[name]
        path = _new(self.folder / "masks" / REGION_MASK, sample_id, f"{sample_id}.png")
        if not cv2.imwrite(str(path), levels):
            raise OSError(f"{path} could not be written")
        return path.relative_to(self.folder).as_posix()


def _with_paths(document: Any, change: Callable[[str], str | None]) -> Any:
    """Return a JSON document in which each path of a file is changed, wherever it stands."""
    if isinstance(document, list):
        return [_with_paths(item, change) for item in document]
    if not isinstance(document, dict):
        return document
    return dict(_changed(document, change))


def _changed(document: dict[str, Any], change: Callable[[str], str | None]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key in _PATHS and isinstance(value, str):
            yield key, change(value)
        else:
            yield key, _with_paths(value, change)


def _new(folder: Path, sample_id: str, name: str) -> Path:
    """Return the path of a new file of a sample: others may have one of the same name, and so may its own labels."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = os.path.splitext(name if name.startswith(sample_id) else f"{sample_id}-{name[-_LONGEST:]}")
    path, number = folder / f"{stem}{suffix}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{suffix}", number + 1
    return path
