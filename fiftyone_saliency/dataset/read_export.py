"""Read an export back: all of it is checked before a dataset is made, and a dataset that is made is whole."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import bson
import fiftyone as fo
import fiftyone.core.utils as fou
from fiftyone.core.odm import validate_field_name

from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError
from fiftyone_saliency.core.paths import full_path
from fiftyone_saliency.dataset.attachments import REGION_MASK, detach, inside, paths_of
from fiftyone_saliency.dataset.manifest import MANIFEST, Entry, Manifest, read_manifest

GROUP, WEIGHT = "sample_group", "sample_weight"
# MongoDB takes documents of up to 100 levels and 16 MB.
_DEEPEST, _LARGEST = 60, 15 * 2**20
_AGAIN = f"Its {MANIFEST} is damaged: export again."


def read_export(out_dir: str | Path, name: str | None, persistent: bool) -> fo.Dataset:
    """Read an export back into a new dataset: images, labels, tags and heatmaps.

    Raises:
        FieldError: if the folder holds no finished export, or it is damaged, or its format stores no images as files.
        ArgumentError: if the name cannot be one, or the folder no path.
        RunConflictError: if there is a dataset of that name.
    """
    _check_free(name)
    folder = full_path(out_dir, "out_dir")
    manifest = read_manifest(folder)
    if any(entry.image is None for entry in manifest.samples):
        raise FieldError(
            f"Expected an export with image files, but format {manifest.format} has none. "
            "Read it with fiftyone.Dataset.from_dir."
        )
    _check_files(folder, manifest)
    read = [_sample(entry, folder, i) for i, entry in enumerate(manifest.samples)]
    _check_types(read)
    return _dataset(read, _mask_targets(manifest), name, persistent)


def _check_free(name: str | None) -> None:
    if name is None:
        return
    try:
        fou.to_slug(name)
    except ValueError as error:
        shown = repr(name)[:200]
        raise ArgumentError(f"Expected `name` to name a dataset, but got {shown}: {error}. Choose another.") from error
    if fo.dataset_exists(name):
        raise RunConflictError(f"Expected `name` to be new, but there is a dataset {name!r}. Choose another.")


def _check_files(folder: Path, manifest: Manifest) -> None:
    """Raise unless each file that the manifest names is there, inside of the folder.

    Raises:
        FieldError: if one is not.
    """
    named = {path for entry in manifest.samples for path in _paths(entry)}
    missing = sorted(path for path in named if not inside(folder, path).is_file())
    if missing:
        raise FieldError(
            f"Expected {folder} to hold the {len(named)} files that its manifest names, but {len(missing)} are "
            f"missing, such as {missing[0]!r}. Bring them back, or export again."
        )


def _paths(entry: Entry) -> Iterator[str]:
    yield from (path for path in (entry.image, entry.region_mask) if path is not None)
    for document in (*entry.labels.values(), *entry.heatmaps.values()):
        if _depth(document) > _DEEPEST:
            raise FieldError(f"Expected labels of at most {_DEEPEST} levels, but sample {entry.id} has more. {_AGAIN}")
        yield from paths_of(document)


def _depth(document: Any) -> int:
    """Return how deep a document is, without recursion: it may come from anywhere."""
    level, depth = [document], 0
    while level and depth <= _DEEPEST:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list))]
        level, depth = [value for values in inner for value in values], depth + 1
    return depth


def _sample(entry: Entry, folder: Path, number: int) -> fo.Sample:
    try:
        sample = fo.Sample(filepath=str(inside(folder, str(entry.image))), tags=entry.tags)
        if sample.media_type in (fo.core.media.VIDEO, fo.core.media.THREE_D, fo.core.media.POINT_CLOUD):
            raise ValueError(f"{entry.image!r} is no image")
        for name, value in {GROUP: entry.group, WEIGHT: entry.weight}.items():
            if value is not None:
                sample[name] = value
        for name, document in (entry.labels | entry.heatmaps).items():
            sample[_free(name, sample)] = _label(document, folder)
        if entry.region_mask is not None:
            sample[REGION_MASK] = fo.Segmentation(mask_path=str(inside(folder, entry.region_mask)))
        if len(bson.encode(sample.to_mongo_dict())) > _LARGEST:
            raise ValueError("it is larger than the database takes")
    except FieldError:
        raise
    # Documents of FiftyOne and the database's driver raise errors of many kinds at what they cannot be made of.
    except Exception as error:
        raise FieldError(f"Expected sample {number} of the export to be readable, but {error}. {_AGAIN}") from error
    return sample


def _free(name: str, sample: fo.Sample) -> str:
    validate_field_name(name)
    if name in _own_fields() or (name in (GROUP, WEIGHT) and sample.has_field(name)):
        raise ValueError(f"{name!r} is no field for a label")
    return name


def _label(document: dict[str, Any], folder: Path) -> fo.Label:
    label = detach(document, folder)
    if type(label) is fo.Label:
        raise ValueError("a label does not say of which type it is")
    label.validate()
    return label


@cache
def _own_fields() -> frozenset[str]:
    """Return the fields that every sample has."""
    return frozenset(fo.Sample(filepath="any.png").field_names)


def _check_types(samples: Sequence[fo.Sample]) -> None:
    """Raise unless each field has one type in all samples: FiftyOne would stop at the first other one, half-way."""
    types: dict[str, type] = {}
    for sample in samples:
        for name in set(sample.field_names) - _own_fields():
            if (kind := type(sample[name])) is not types.setdefault(name, kind):
                raise FieldError(
                    f"Expected {name!r} to be of one type, but got {types[name].__name__} and {kind.__name__}. {_AGAIN}"
                )


def _mask_targets(manifest: Manifest) -> dict[str, dict[int | str, str]]:
    targets = {name: {_value(v): label for v, label in own.items()} for name, own in manifest.mask_targets.items()}
    if manifest.regions is not None:
        targets[REGION_MASK] = {value: name for name, value in manifest.regions.values.items()}
    return targets


def _value(text: str) -> int | str:
    """Return a mask's value: an integer, or an RGB colour such as "#499cef"."""
    return text if text.startswith("#") else int(text)


def _dataset(
    samples: Sequence[fo.Sample], targets: dict[str, dict[int | str, str]], name: str | None, persistent: bool
) -> fo.Dataset:
    """Make the dataset under a name of FiftyOne's, which it keeps until it is whole."""
    # Persistent last of all: what a kill leaves behind, FiftyOne clears away.
    dataset = fo.Dataset()
    try:
        dataset.add_samples(samples, progress=False)
        if targets:
            dataset.mask_targets = targets
            dataset.save()
        if name is not None:
            dataset.name = name
        dataset.persistent = bool(persistent)
    except BaseException:
        dataset.delete()
        raise
    return dataset
