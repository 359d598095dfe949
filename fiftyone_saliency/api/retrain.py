"""Export what was tagged, for retraining, and read it back."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.confusion import show
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.core.preference import NO_PREFERENCE
from fiftyone_saliency.dataset import curate
from fiftyone_saliency.dataset.export_images import is_tree
from fiftyone_saliency.dataset.fields import count_samples, fields_of, require_field, require_samples
from fiftyone_saliency.dataset.read_export import read_export
from fiftyone_saliency.dataset.region_specs import find_regions
from fiftyone_saliency.dataset.regions import read_evidence


def export_for_retraining(
    samples: Any,
    out_dir: str | Path,
    *,
    dataset_type: type | str = "ImageClassificationDirectoryTree",
    tags: str | Sequence[str] | None = "enrich",
    gt_field: str = "ground_truth",
    heatmaps: bool | Sequence[str] = True,
    groups: str | None = None,
    weights: bool = False,
    masks: bool = False,
    field: str = "saliency",
    regions: str | None = None,
    progress: Progress = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Export images and labels in any FiftyOne format, with what retraining can use beside them.

    The format's own files are in ``out_dir/dataset``, the heatmaps in ``out_dir/heatmaps``, masks in
    ``out_dir/masks``. The manifest is written last: a folder without it is no finished export. It names, for each
    sample, the image, tags, labels, heatmaps, group, weight and mask, with paths relative to the folder (beside
    them, ``source`` tells where the image was); `load_export` reads it back. A sample whose image cannot be read is
    passed over, and named with the reason in the manifest's ``left_out``.

    In a tree of folders, the default, each label has one folder: "dog/poodle" is ``dog%2Fpoodle``, see
    `core.folder_names.folder_names`; the manifest's ``classes`` names the label of each folder. Images of samples
    without a label are beside the tree, in ``out_dir/unlabeled``.

    Args:
        samples: dataset or view.
        out_dir: a new or empty folder.
        dataset_type: a type of ``fiftyone.types`` for labelled images, or its name.
        tags: only samples with one of these tags are exported; None exports all.
        gt_field: label field to export.
        heatmaps: whether to export the heatmaps, or the names of the Heatmap fields.
        groups: name a group for each sample: ``"class"`` (its true label), ``"reason"`` (true label × the region where
            its evidence mostly lies) or a Classification or string field. Those without one are "(none)".
        weights: whether to give each sample a weight N / (G · n) that balances the groups, by class if `groups` is
            None. Training loss or sampler multiply by it; its mean is 1.
        masks: whether to write the regions of each sample as one 8-bit PNG of the image's size; the manifest's
            ``regions.values`` name its levels, 0 is none. With them a loss can keep the evidence where it belongs.
        field: Heatmap field that tells the reason.
        regions: a label field whose labels are regions, or the name of regions that the dataset defines; needed for
            ``groups="reason"`` and ``masks``.
        progress: True, False, None (FiftyOne's default) or a FiftyOne progress callback.
        **kwargs: further arguments for FiftyOne's exporter, such as ``classes``.

    Returns:
        The manifest.

    Raises:
        RunConflictError: if the folder is not empty.
        FieldError: if no sample carries a tag, no image can be read, a field is of the wrong type, or no sample has a
            label that a tree of folders could name.
        UnknownNameError: if a field or format is not known.
        ArgumentError: if `regions` is missing, or an option would write outside of the folder.

    References:
        Ross, Hughes, Doshi-Velez. Right for the Right Reasons. IJCAI 2017, eq. 1 (what masks are for).
        https://arxiv.org/abs/1703.03717
    """
    require_samples(samples)
    require_field(samples, gt_field, fo.Label, "gt_field")
    dataset_type = _dataset_type(dataset_type)
    fields = _heatmap_fields(samples, heatmaps)
    if regions is None and (masks or groups == "reason"):
        raise ArgumentError("Expected `regions` for masks and groups by reason, but got None. Name the regions.")
    if regions is not None:
        find_regions(samples, regions)
    curate.check_options(kwargs)
    samples = _tagged(samples, tags)
    _check_format(samples, dataset_type, gt_field, kwargs)
    by = groups or ("class" if weights else None)
    named = None if by is None else _groups(samples, by, gt_field, field, regions)
    folder = curate.prepare_folder(out_dir)
    extras = curate.Extras(fields, named, weights, regions if masks else None)
    total = count_samples(samples)

    def tracked(rows: Any) -> Any:
        return track(rows, total, progress, size=lambda _: 1)

    return curate.export(samples, folder, dataset_type, gt_field, extras, tracked, **kwargs)


def load_export(out_dir: str | Path, name: str | None = None, *, persistent: bool = False) -> fo.Dataset:
    """Read an export of `export_for_retraining` back: images, tags, labels, heatmaps and masks.

    What the export has of these comes back in fields of its own: groups in ``sample_group``, weights in
    ``sample_weight``, and the masks of the regions in ``region_mask``, a Segmentation field with named values.

    Args:
        out_dir: the folder; it may have been moved.
        name: name of the new dataset, or None for a generated one.
        persistent: whether the dataset outlives the session.

    Raises:
        FieldError: if the folder holds no finished export, its manifest is damaged or names a path that leads out of
            the folder, or a file is missing. Then there is no new dataset.
        ArgumentError: if the name cannot be one.
        RunConflictError: if there is a dataset of that name.
    """
    return read_export(out_dir, name, persistent)


def export_formats(*, several: bool = False) -> list[str]:
    """Return the names of FiftyOne's formats that keep the labels of images as files.

    Args:
        several: whether an image may have several labels: a tree has one folder for each.
    """
    tree = "ImageClassificationDirectoryTree"
    return [*([] if several else [tree]), "FiftyOneImageClassificationDataset", "FiftyOneDataset"]


def _dataset_type(dataset_type: type | str) -> type:
    if isinstance(dataset_type, str):
        known = [n for n in dir(fo.types) if isinstance(getattr(fo.types, n), type)]
        if dataset_type not in known:
            raise UnknownNameError("export format of fiftyone.types", dataset_type, known)
        dataset_type = getattr(fo.types, dataset_type)
    if not isinstance(dataset_type, type) or not issubclass(dataset_type, fo.types.Dataset):
        raise ArgumentError(f"Expected `dataset_type` to be a type of fiftyone.types, but got {dataset_type!r}.")
    return dataset_type


def _check_format(samples: Any, dataset_type: type, gt_field: str, options: Mapping[str, Any]) -> None:
    """Raise unless the format can hold what is exported."""
    name = dataset_type.__name__
    if is_tree(dataset_type):
        require_field(samples, gt_field, fo.Classification, "gt_field")
        unknown = [n for n, value in options.items() if (n, value) != ("export_media", True)]
        if unknown:
            raise ArgumentError(f"Expected no further options for {name}, but got {unknown[0]!r}. Leave it out.")
        if samples.count(f"{gt_field}.label") == 0:
            raise FieldError(
                f"Expected samples with a label in {gt_field!r} for {name}, a folder for each class, but none of "
                f"{count_samples(samples)} has one. Choose another format or field."
            )
    elif not dataset_type.__module__.startswith("fiftyone."):
        # FiftyOne's own formats keep names in files; what others do with them is not known.
        curate.check_names(_classes(samples, gt_field))


def _tagged(samples: Any, tags: str | Sequence[str] | None) -> Any:
    if tags is None:
        return samples
    listed = curate.as_tags(tags)
    tagged = samples.match_tags(listed)
    if len(tagged) == 0:
        raise FieldError(
            f"Expected samples tagged {' or '.join(listed)!s}, but none of {count_samples(samples)} is. "
            "Tag some first (tag_cell), or pass tags=None to export all."
        )
    return tagged


def _classes(samples: Any, gt_field: str) -> set[str]:
    """Return the class names of a label field, whether it holds one label per sample or several."""
    paths = [f"{gt_field}{part}.label" for part in ("", ".classifications", ".detections", ".polylines")]
    return {name for path in paths if samples.get_field(path) is not None for name in samples.distinct(path)}


def _groups(samples: Any, by: str, gt_field: str, field: str, regions: str | None) -> dict[str, str]:
    """Return the name of each sample's group by sample id."""
    if by == "reason" and regions is not None:
        require_field(samples, gt_field, fo.Classification, "gt_field")
        evidence = read_evidence(samples, field, regions, gt_field)
        reasons = zip(evidence.dominant(), evidence.defined(), strict=True)
        names = [region or (NO_PREFERENCE if defined else None) for region, defined in reasons]
        rows = zip(evidence.ids, evidence.truths, names, strict=True)
        return {i: f"{show(truth)} × {show(name)}" for i, truth, name in rows}
    if not isinstance(by, str):
        raise ArgumentError(f"Expected `groups` to be class, reason or the name of a field, but got {by!r}.")
    path = gt_field if by == "class" else by
    if not isinstance(samples.get_field(path), fo.StringField):
        require_field(samples, path, fo.Classification, "gt_field" if by == "class" else "groups")
        path = f"{path}.label"
    return {i: show(name) for i, name in zip(*samples.values(["id", path]), strict=True)}


def _heatmap_fields(samples: Any, heatmaps: bool | Sequence[str]) -> list[str]:
    if heatmaps is True:
        return fields_of(samples, fo.Heatmap)
    names = [heatmaps] if isinstance(heatmaps, str) else list(heatmaps or ())
    for name in names:
        require_field(samples, name, fo.Heatmap, "heatmaps")
    return names
