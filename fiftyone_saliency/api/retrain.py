"""Export what was tagged, for retraining, and read it back."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.dataset import curate
from fiftyone_saliency.dataset.fields import fields_of, require_field, require_samples


def export_for_retraining(
    samples: Any,
    out_dir: str | Path,
    *,
    dataset_type: type | str = "ImageClassificationDirectoryTree",
    tags: str | Sequence[str] | None = "enrich",
    gt_field: str = "ground_truth",
    heatmaps: bool | Sequence[str] = True,
    progress: Progress = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Export images and labels in any FiftyOne format, with heatmaps and a manifest beside them.

    The format's own files are in ``out_dir/dataset``, the heatmaps in ``out_dir/heatmaps``. The manifest is written
    last: a folder without it is no finished export. It names, for each sample, the image, tags, labels and
    heatmaps, with paths relative to the folder; `load_export` reads it back.

    Args:
        samples: dataset or view.
        out_dir: a new or empty folder.
        dataset_type: a type of ``fiftyone.types`` for labelled images, or its name.
        tags: only samples with one of these tags are exported; None exports all.
        gt_field: label field to export.
        heatmaps: whether to export the heatmaps, or the names of the Heatmap fields.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.
        **kwargs: further arguments for FiftyOne's exporter, such as ``classes``.

    Returns:
        The manifest.

    Raises:
        RunConflictError: if the folder is not empty.
        FieldError: if no sample carries a tag, or a field is of the wrong type.
        UnknownNameError: if a field or format is not known.
    """
    require_samples(samples)
    require_field(samples, gt_field, fo.Label, "gt_field")
    dataset_type = _dataset_type(dataset_type)
    fields = _heatmap_fields(samples, heatmaps)
    if tags is not None:
        listed = curate.as_tags(tags)
        tagged = samples.match_tags(listed)
        if len(tagged) == 0:
            raise FieldError(
                f"Expected samples tagged {' or '.join(listed)!s}, but none of {len(samples)} is. "
                "Tag some first (tag_cell), or pass tags=None to export all."
            )
        samples = tagged
    folder = curate.prepare_folder(out_dir)
    total = len(samples)
    return curate.export(
        samples,
        folder,
        dataset_type,
        gt_field,
        fields,
        lambda rows: track(rows, total, progress, size=lambda _: 1),
        **kwargs,
    )


def load_export(out_dir: str | Path, name: str | None = None, *, persistent: bool = False) -> fo.Dataset:
    """Read an export of `export_for_retraining` back: images, tags, labels and heatmaps.

    Args:
        out_dir: the folder; it may have been moved.
        name: name of the new dataset, or None for a generated one.
        persistent: whether the dataset outlives the session.

    Raises:
        FieldError: if the folder holds no finished export.
    """
    return curate.read_export(out_dir, name, persistent)


def export_formats() -> list[str]:
    """Return the names of FiftyOne's formats that keep one label per image as files."""
    return [
        "ImageClassificationDirectoryTree",
        "FiftyOneImageClassificationDataset",
        "FiftyOneDataset",
    ]


def _dataset_type(dataset_type: type | str) -> type:
    if isinstance(dataset_type, str):
        known = [n for n in dir(fo.types) if isinstance(getattr(fo.types, n), type)]
        if dataset_type not in known:
            raise UnknownNameError("export format of fiftyone.types", dataset_type, known)
        dataset_type = getattr(fo.types, dataset_type)
    if not isinstance(dataset_type, type) or not issubclass(dataset_type, fo.types.Dataset):
        raise ArgumentError(f"Expected `dataset_type` to be a type of fiftyone.types, but got {dataset_type!r}.")
    return dataset_type


def _heatmap_fields(samples: Any, heatmaps: bool | Sequence[str]) -> list[str]:
    if heatmaps is True:
        return fields_of(samples, fo.Heatmap)
    names = [heatmaps] if isinstance(heatmaps, str) else list(heatmaps or ())
    for name in names:
        require_field(samples, name, fo.Heatmap, "heatmaps")
    return names
