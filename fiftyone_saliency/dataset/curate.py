"""Tag samples, export them for retraining, and read an export back."""

from __future__ import annotations

import filecmp
import itertools
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.balance import balanced_weights
from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError
from fiftyone_saliency.dataset.attachments import REGION_MASK, RegionMasks, attach, detach, inside
from fiftyone_saliency.dataset.fields import dataset_of, fields_of
from fiftyone_saliency.dataset.regions import region_masks

MANIFEST = "manifest.json"
_DATASET = "dataset"
GROUP, WEIGHT = "sample_group", "sample_weight"
_SCHEMA = 2
_Progress = Callable[[Iterable[Any]], Iterable[Any]]


def as_tags(tags: str | Sequence[str]) -> list[str]:
    """Return one or more tags as a list.

    Raises:
        ArgumentError: if there is none, or one is not a non-empty string.
    """
    listed = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, Iterable) else []
    if not listed or not all(isinstance(tag, str) and tag.strip() for tag in listed):
        raise ArgumentError(f"Expected `tags` to be one or more non-empty strings, but got {tags!r}.")
    return listed


def prepare_folder(out_dir: str | Path) -> Path:
    """Return the absolute path of a folder that is free to export into.

    Raises:
        RunConflictError: if it holds anything.
    """
    folder = Path(out_dir).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise RunConflictError(f"Expected `out_dir` to be a folder, but {folder} is a file. Choose another.")
    if folder.is_dir() and any(folder.iterdir()):
        finished = (folder / MANIFEST).is_file()
        what = "an earlier export" if finished else "files and no finished export"
        raise RunConflictError(
            f"Expected `out_dir` to be new or empty, but {folder} holds {what}. Choose another folder or empty it."
        )
    return folder


def check_names(names: Iterable[str]) -> None:
    """Raise unless each class name can name a folder inside of the export.

    Raises:
        FieldError: if one would lead out of it, such as "../x", or cannot be written.
    """
    for name in names:
        path = PurePath(name)
        if path.is_absolute() or path.drive or ".." in path.parts or not path.parts or "\0" in name:
            raise FieldError(
                f"Expected class names that can name a folder of the export, but got {name!r}. "
                "Rename the class, for example with samples.map_labels(...), and export again."
            )


def check_options(options: Mapping[str, Any]) -> None:
    """Raise if an option of FiftyOne's exporter would write or move files outside of the folder.

    Raises:
        ArgumentError: if one would.
    """
    check_names(options.get("classes") or ())
    if options.get("export_media") in ("move", "symlink"):
        raise ArgumentError(
            f"Expected `export_media` to copy the images, but got {options['export_media']!r}. An export stands alone, "
            "and leaves the dataset as it is: leave the option out."
        )
    for name in ("rel_dir", "data_path", "labels_path"):
        path = PurePath(options.get(name) or "")
        if path.is_absolute() or ".." in path.parts or (name == "rel_dir" and name in options):
            raise ArgumentError(
                f"Expected the export to stay inside of `out_dir`, but got {name}={str(path)!r}. Leave it out."
            )


@dataclass(frozen=True)
class Extras:
    """What an export carries beside images and labels.

    Args:
        heatmap_fields: Heatmap fields to copy.
        groups: name of the group of each sample id; None for no groups.
        weights: whether each sample gets a weight that balances the groups.
        regions: regions whose masks are written, or None.
    """

    heatmap_fields: Sequence[str] = ()
    groups: Mapping[str, str] | None = None
    weights: bool = False
    regions: str | None = None


def export(
    samples: Any,
    folder: Path,
    dataset_type: type,
    label_field: str,
    extras: Extras,
    progress: _Progress,
    **kwargs: Any,
) -> dict[str, Any]:
    """Export images and labels in a FiftyOne format, what else there is beside them, and the manifest last.

    Returns:
        The manifest, as written. Paths in it are relative to the folder.
    """
    try:
        # In a folder of its own: beside folders of classes, the heatmaps would pass for one.
        images = _export_images(samples, folder / _DATASET, dataset_type, label_field, **kwargs)
        images = {sample_id: f"{_DATASET}/{path}" for sample_id, path in images.items()}
        masks = RegionMasks(folder)
        entries = list(_entries(samples, folder, images, extras, masks, progress))
        manifest = {
            "schema_version": _SCHEMA,
            "format": dataset_type.__name__,
            "label_field": label_field,
            "heatmap_fields": list(extras.heatmap_fields),
            "count": len(entries),
            "groups": _groups(entries),
            "regions": None if extras.regions is None else {"name": extras.regions, "values": masks.values},
            "mask_targets": _mask_targets(samples),
            "samples": entries,
        }
        _write_json(folder / MANIFEST, manifest)
    except BaseException:
        # The folder was new or empty: what stands in it is ours, and half of an export is worse than none.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def read_export(out_dir: str | Path, name: str | None, persistent: bool) -> fo.Dataset:
    """Read an export back into a new dataset: images, labels, tags and heatmaps.

    Raises:
        FieldError: if the folder holds no finished export, or its format stores no images as files.
    """
    folder = Path(out_dir).expanduser().absolute()
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FieldError(
            f"Expected {folder} to hold a finished export, but it has no {MANIFEST}. Export into it first."
        ) from error
    if manifest["schema_version"] != _SCHEMA:
        raise FieldError(
            f"Expected a manifest of schema {_SCHEMA}, but {folder} has schema {manifest['schema_version']}. "
            "Read it with the version of this package that wrote it, or export again."
        )
    if any(entry["image"] is None for entry in manifest["samples"]):
        raise FieldError(
            f"Expected an export with image files, but format {manifest['format']} has none. "
            "Read it with fiftyone.Dataset.from_dir."
        )
    # Read before the dataset is made: what is wrong with them leaves none behind.
    read = [_sample(entry, folder) for entry in manifest["samples"]]
    # Persistent last of all: what a kill leaves behind, FiftyOne clears away.
    dataset = fo.Dataset(name)
    dataset.add_samples(read, progress=False)
    targets = {name: {_value(v): label for v, label in t.items()} for name, t in manifest["mask_targets"].items()}
    if manifest["regions"] is not None:
        targets[REGION_MASK] = {value: name for name, value in manifest["regions"]["values"].items()}
    if targets:
        dataset.mask_targets = targets
        dataset.save()
    dataset.persistent = persistent
    return dataset


def _export_images(samples: Any, folder: Path, dataset_type: type, label_field: str, **kwargs: Any) -> dict[str, str]:
    """Export and return each sample's image, relative to the folder.

    Exporters name files after the source. Where two sources share a name the exporter's choice could not be
    told, so such samples are exported from links that are named by sample id.
    """
    ids, paths = samples.values(["id", "filepath"])
    stems = [Path(path).stem for path in paths]
    unique = len(set(stems)) == len(stems)
    with tempfile.TemporaryDirectory() as links:
        source, by_stem = samples, dict(zip(stems, ids, strict=True))
        if not unique:
            source = samples.clone()
            linked = {i: os.path.join(links, i + Path(p).suffix) for i, p in zip(ids, paths, strict=True)}
            for sample_id, path in zip(ids, paths, strict=True):
                os.symlink(os.path.abspath(path), linked[sample_id])
            source.set_values("filepath", linked, key_field="id")
            by_stem = {i: i for i in ids}
        try:
            source.export(
                export_dir=str(folder),
                dataset_type=dataset_type,
                label_field=label_field,
                progress=False,
                **kwargs,
            )
        finally:
            if not unique:
                source.delete()
    suffixes = {Path(path).suffix.lower() for path in paths}
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in suffixes and p.stem in by_stem]
    sources, found = dict(zip(ids, paths, strict=True)), dict[str, str]()
    for file in files:
        sample_id = by_stem[file.stem]
        # A format may bring other files under the picture's name, such as its mask: the picture is the equal one.
        if sample_id not in found or filecmp.cmp(file, sources[sample_id], shallow=False):
            found[sample_id] = file.relative_to(folder).as_posix()
    return found


def _entries(
    samples: Any, folder: Path, images: Mapping[str, str], extras: Extras, masks: RegionMasks, progress: _Progress
) -> Iterator[dict[str, Any]]:
    labels = [n for n in fields_of(samples, fo.Label) if n not in fields_of(samples, fo.Heatmap)]
    groups = extras.groups or {}
    weights = dict(zip(groups, balanced_weights(list(groups.values())), strict=True)) if extras.weights else {}
    regions = itertools.repeat((None, {})) if extras.regions is None else region_masks(samples, extras.regions)
    # The masks come second: the samples end first, and nothing is read that is not used.
    for sample, (_, mask) in zip(progress(samples.iter_samples()), regions, strict=False):
        own = {name: attached for name in labels if (attached := attach(sample, name, folder)) is not None}
        maps = {n: h for n in extras.heatmap_fields if (h := attach(sample, n, folder)) is not None}
        yield {
            "id": sample.id,
            "image": images.get(sample.id),
            "source": sample.filepath,
            "tags": list(sample.tags),
            "group": groups.get(sample.id),
            "weight": weights.get(sample.id),
            "region_mask": masks.write(sample.id, mask),
            "labels": own,
            "heatmaps": maps,
        }


def _groups(entries: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return the number of samples of each group."""
    return dict(sorted(Counter(entry["group"] for entry in entries if entry["group"] is not None).items()))


def _mask_targets(samples: Any) -> dict[str, dict[str, str]]:
    dataset: Any = dataset_of(samples)
    targets = {
        n: dataset.mask_targets.get(n) or dataset.default_mask_targets for n in fields_of(samples, fo.Segmentation)
    }
    return {name: {str(value): label for value, label in own.items()} for name, own in targets.items() if own}


def _value(text: str) -> int | str:
    """Return a mask's value: an integer, or an RGB colour such as "#499cef"."""
    return text if text.startswith("#") else int(text)


def _sample(entry: dict[str, Any], folder: Path) -> fo.Sample:
    sample = fo.Sample(filepath=str(inside(folder, entry["image"])), tags=entry["tags"])
    for name, document in (entry["labels"] | entry["heatmaps"]).items():
        sample[name] = detach(document, folder)
    if entry["group"] is not None:
        sample[GROUP] = entry["group"]
    if entry["weight"] is not None:
        sample[WEIGHT] = entry["weight"]
    if entry["region_mask"] is not None:
        sample[REGION_MASK] = fo.Segmentation(mask_path=str(inside(folder, entry["region_mask"])))
    return sample


def _write_json(path: Path, content: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)
