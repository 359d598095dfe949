"""Tag samples, export them for retraining, and read an export back."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError
from fiftyone_saliency.dataset.fields import fields_of

MANIFEST = "manifest.json"
_DATASET = "dataset"
_SCHEMA = 1
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


def export(
    samples: Any,
    folder: Path,
    dataset_type: type,
    label_field: str,
    heatmap_fields: Sequence[str],
    progress: _Progress,
    **kwargs: Any,
) -> dict[str, Any]:
    """Export images and labels in a FiftyOne format, the heatmaps beside them, and the manifest last.

    Returns:
        The manifest, as written. Paths in it are relative to the folder.
    """
    try:
        # In a folder of its own: beside folders of classes, the heatmaps would pass for one.
        images = _export_images(samples, folder / _DATASET, dataset_type, label_field, **kwargs)
        images = {sample_id: f"{_DATASET}/{path}" for sample_id, path in images.items()}
        fields = fields_of(samples, fo.Label)
        entries = [_entry(s, folder, images, fields, heatmap_fields) for s in progress(samples.iter_samples())]
        manifest = {
            "schema_version": _SCHEMA,
            "format": dataset_type.__name__,
            "label_field": label_field,
            "heatmap_fields": list(heatmap_fields),
            "count": len(entries),
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
    if any(entry["image"] is None for entry in manifest["samples"]):
        raise FieldError(
            f"Expected an export with image files, but format {manifest['format']} has none. "
            "Read it with fiftyone.Dataset.from_dir."
        )
    dataset = fo.Dataset(name, persistent=persistent)
    dataset.add_samples([_sample(entry, folder) for entry in manifest["samples"]], progress=False)
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


def _entry(
    sample: fo.Sample, folder: Path, images: dict[str, str], label_fields: Sequence[str], heatmap_fields: Sequence[str]
) -> dict[str, Any]:
    labels = {}
    for name in label_fields:
        label = sample[name]
        if label is not None and name not in heatmap_fields and not isinstance(label, fo.Heatmap):
            labels[name] = json.loads(label.to_json())
    return {
        "id": sample.id,
        "image": images.get(sample.id),
        "source": sample.filepath,
        "tags": list(sample.tags),
        "labels": labels,
        "heatmaps": {name: h for name in heatmap_fields if (h := _copy_heatmap(sample, name, folder)) is not None},
    }


def _copy_heatmap(sample: fo.Sample, field: str, folder: Path) -> dict[str, Any] | None:
    heatmap = sample[field]
    if heatmap is None or heatmap.map_path is None or not os.path.isfile(heatmap.map_path):
        return None
    relative = Path("heatmaps") / field / os.path.basename(heatmap.map_path)
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(heatmap.map_path, folder / relative)
    document = json.loads(heatmap.to_json())
    return document | {"map_path": relative.as_posix()}


def _sample(entry: dict[str, Any], folder: Path) -> fo.Sample:
    sample = fo.Sample(filepath=str(folder / entry["image"]), tags=entry["tags"])
    for name, document in entry["labels"].items():
        sample[name] = fo.Label.from_dict(document)
    for name, document in entry["heatmaps"].items():
        sample[name] = fo.Heatmap.from_dict(document | {"map_path": str(folder / document["map_path"])})
    return sample


def _write_json(path: Path, content: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)
