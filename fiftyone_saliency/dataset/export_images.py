"""The images of an export: a tree of folders by class, or any of FiftyOne's formats."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.errors import FieldError
from fiftyone_saliency.core.folder_names import folder_names
from fiftyone_saliency.core.types import Failure

DATASET, UNLABELED = "dataset", "unlabeled"


def is_tree(dataset_type: type) -> bool:
    """Tell whether a format is a tree of folders, one for each class."""
    return issubclass(dataset_type, fo.types.ImageClassificationDirectoryTree)


def unreadable(samples: Any) -> list[Failure]:
    """Return the samples whose image is no file that can be read and holds anything.

    Raises:
        FieldError: if that is so of all of them.
    """
    rows = list(zip(*samples.values(["id", "filepath"]), strict=True))
    failures = [Failure(i, path, reason) for i, path in rows if (reason := why_unreadable(path)) is not None]
    if len(failures) == len(rows):
        first = failures[0]
        raise FieldError(
            f"Expected images that can be read, but of {len(rows)} none can, such as {first.filepath}: {first.reason}. "
            "Mend the paths of the samples, and export again."
        )
    return failures


def why_unreadable(path: str) -> str | None:
    """Return why a file cannot be copied, or None if it can."""
    try:
        with open(path, "rb") as file:
            return None if file.read(1) else "the image file is empty"
    except FileNotFoundError:
        return "the image file is missing"
    except OSError as error:
        return f"the image cannot be read: {error.strerror}"


def write_tree(samples: Any, folder: Path, label_field: str) -> tuple[dict[str, str], dict[str, str]]:
    """Copy each image into the folder of its class, and those without a label into a folder outside of the tree.

    A folder in the tree would be a class to most readers.

    Returns:
        Path of each sample's image, relative to the folder, and the label of each folder.
    """
    ids, paths, labels = samples.values(["id", "filepath", f"{label_field}.label"])
    names = folder_names(label for label in labels if label is not None)
    (folder / DATASET).mkdir(parents=True)
    images: dict[str, str] = {}
    taken: set[str] = set()
    for sample_id, path, label in zip(ids, paths, labels, strict=True):
        parent = UNLABELED if label is None else f"{DATASET}/{names[label]}"
        own = os.path.basename(path)
        relative = f"{parent}/{own}"
        # Readers pass over hidden files, and some systems do not tell upper from lower case.
        if own.startswith(".") or relative.casefold() in taken:
            relative = f"{parent}/{sample_id}{Path(path).suffix}"
        taken.add(relative.casefold())
        target = folder / relative
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        images[sample_id] = relative
    return images, {name: label for label, name in names.items()}


def write_format(samples: Any, folder: Path, dataset_type: type, label_field: str, **kwargs: Any) -> dict[str, str]:
    """Export in one of FiftyOne's formats, and return each sample's image, relative to the folder.

    Exporters name files after the source. Where two sources share a name the exporter's choice could not be
    told, so such samples are exported from links or copies that are named by sample id.
    """
    ids, paths = samples.values(["id", "filepath"])
    stems = [Path(path).stem for path in paths]
    unique = len({stem.casefold() for stem in stems}) == len(stems)
    target = folder / DATASET
    options = {"dataset_type": dataset_type, "label_field": label_field, "progress": False, **kwargs}
    if unique:
        samples.export(export_dir=str(target), **options)
        by_stem = dict(zip(stems, ids, strict=True))
    else:
        _export_by_id(samples, target, options)
        by_stem = {i: i for i in ids}
    sources = dict(zip(ids, paths, strict=True))
    return {i: f"{DATASET}/{path}" for i, path in _find(target, by_stem, sources).items()}


def _export_by_id(samples: Any, target: Path, options: dict[str, Any]) -> None:
    ids, paths = samples.values(["id", "filepath"])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as links:
        placed = {i: os.path.join(links, i + Path(p).suffix) for i, p in zip(ids, paths, strict=True)}
        for sample_id, path in zip(ids, paths, strict=True):
            _place(os.path.abspath(path), placed[sample_id])
        source = samples.clone()
        try:
            source.set_values("filepath", placed, key_field="id")
            source.export(export_dir=str(target), **options)
        finally:
            source.delete()


def _place(source: str, target: str) -> None:
    """Link a file, or copy it where the system allows no links, as Windows does by default."""
    for link in (os.symlink, os.link):
        with contextlib.suppress(OSError, NotImplementedError):
            link(source, target)
            return
    shutil.copyfile(source, target)


def _find(folder: Path, by_stem: Mapping[str, str], sources: Mapping[str, str]) -> dict[str, str]:
    """Return the exported image of each sample, relative to the folder, by the stem of its name."""
    suffixes = {Path(path).suffix.lower() for path in sources.values()}
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in suffixes and p.stem in by_stem]
    found: dict[str, str] = {}
    for file in files:
        sample_id = by_stem[file.stem]
        # A format may bring other files under the picture's name, such as its mask: the picture is the equal one.
        if sample_id not in found or filecmp.cmp(file, sources[sample_id], shallow=False):
            found[sample_id] = file.relative_to(folder).as_posix()
    return found
