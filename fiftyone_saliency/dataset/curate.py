"""Tag samples, and export them for retraining."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.balance import balanced_weights
from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError
from fiftyone_saliency.core.paths import full_path
from fiftyone_saliency.dataset.attachments import RegionMasks, attach
from fiftyone_saliency.dataset.export_images import is_tree, unreadable, write_format, write_tree
from fiftyone_saliency.dataset.fields import dataset_of, fields_of
from fiftyone_saliency.dataset.manifest import MANIFEST, SCHEMA
from fiftyone_saliency.dataset.regions import region_masks

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
        ArgumentError: if it is no path.
        RunConflictError: if it holds anything.
    """
    folder = full_path(out_dir, "out_dir")
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

    Raises:
        FieldError: if no image can be read.
    """
    left_out = unreadable(samples)
    samples = samples.exclude([failure.sample_id for failure in left_out]) if left_out else samples
    try:
        # In a folder of its own: beside folders of classes, the heatmaps would pass for one.
        if is_tree(dataset_type):
            images, classes = write_tree(samples, folder, label_field)
        else:
            images, classes = write_format(samples, folder, dataset_type, label_field, **kwargs), None
        masks = RegionMasks(folder)
        entries = list(_entries(samples, folder, images, extras, masks, progress))
        manifest = {
            "schema_version": SCHEMA,
            "format": dataset_type.__name__,
            "label_field": label_field,
            "classes": classes,
            "heatmap_fields": list(extras.heatmap_fields),
            "count": len(entries),
            "left_out": [{"id": f.sample_id, "source": f.filepath, "reason": f.reason} for f in left_out],
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


def _entries(
    samples: Any, folder: Path, images: Mapping[str, str], extras: Extras, masks: RegionMasks, progress: _Progress
) -> Iterator[dict[str, Any]]:
    labels = [n for n in fields_of(samples, fo.Label) if n not in fields_of(samples, fo.Heatmap)]
    named = extras.groups or {}
    groups = {i: named[i] for i in samples.values("id") if i in named}
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


def _write_json(path: Path, content: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)
