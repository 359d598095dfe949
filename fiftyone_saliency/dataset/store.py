"""Heatmaps on disk and in the database: 8-bit PNG files that are complete or absent, one write per batch."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from bson import ObjectId
from fiftyone import ViewField as F
from fiftyone.core.odm import create_field
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import FieldError, RunConflictError
from fiftyone_saliency.core.files import FileState, holds_whole_png, is_whole_png
from fiftyone_saliency.core.maps import dequantise, drawn_range, quantise, select_sign
from fiftyone_saliency.core.pictures import decode_pixels
from fiftyone_saliency.core.types import SaliencyMap, SaliencyRequest
from fiftyone_saliency.dataset import database, run_files
from fiftyone_saliency.dataset.disk import on_disk, settle_names, write_whole
from fiftyone_saliency.dataset.fields import all_images, check_name
from fiftyone_saliency.dataset.run_files import default_folder as default_folder

# A disk confirms several files together in little more than the time of one.
_WRITERS = 8
_LOG = logging.getLogger("fiftyone_saliency")
_ATTRIBUTES = {
    "run_key": fo.StringField,
    "method": fo.StringField,
    "target": fo.StringField,
    "sign": fo.StringField,
    "score": fo.FloatField,
    "vmin": fo.FloatField,
    "vmax": fo.FloatField,
    "delta": fo.FloatField,
    "image": fo.StringField,
    "seen": fo.ListField,
}


def only_writer(dataset: fo.Dataset, field: str) -> AbstractContextManager[None]:
    """Hold a field for one computation; see `hold`."""
    return hold(str(dataset._doc.id), field)


@contextmanager
def hold(dataset_id: str, field: str) -> Iterator[None]:
    """Keep others from writing to a field; the operating system lets go of it if the process is killed.

    Raises:
        RunConflictError: if another computation on this machine is writing to the field.
    """
    folder = run_files.root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{dataset_id}-{field}.lock", timeout=0):
            yield
    except Timeout as error:
        raise RunConflictError(
            f"Expected field {field!r} to be idle, but another computation is writing to it. Wait until it has ended, "
            "or choose another field."
        ) from error


@dataclass(frozen=True, slots=True)
class StoredMap:
    """What the database and the disk say of one stored map.

    Args:
        path: its file.
        whole: whether the file is there, and whole.
        target: what the map explains.
        empty: whether it holds no evidence.
        delta: how far it is from adding up to the score, or None.
        image: what the image was when the map was computed; None where that is not known.
    """

    path: str
    whole: bool
    target: str
    empty: bool
    delta: float | None
    image: FileState | None


@dataclass(frozen=True, eq=False)
class HeatmapStore:
    """The heatmaps of one run.

    A `fiftyone.Heatmap` written here points at a PNG of levels 0…255 and carries what undoes the levels:
    ``value = vmin + level * (vmax - vmin) / 255``. Its ``range`` only steers how the App draws it.

    Args:
        dataset: the dataset whose samples carry the heatmaps.
        request: what was computed.
        folder: where new files go.
        moved_to: the field that holds the heatmaps, if it was renamed since the request.
        editions: per sample the number of its next file, where a map was taken away from it.
    """

    dataset: fo.Dataset
    request: SaliencyRequest
    folder: Path
    moved_to: str | None = None
    editions: dict[str, int] = dataclass_field(default_factory=dict)

    @property
    def field(self) -> str:
        """The sample field that holds the heatmaps."""
        return self.moved_to or self.request.field

    def prepare(self) -> None:
        """Declare the field, make the folder, and clear away what an interrupted run left behind.

        Raises:
            StorageError: if the folder cannot be made.
        """
        field = self.field
        if self.dataset.get_field(field) is None:
            # All at once: every declaration writes the whole dataset's schema.
            attributes = [create_field(name, kind, **_inner(kind)) for name, kind in _ATTRIBUTES.items()]
            self.dataset.add_sample_field(
                field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap, fields=attributes
            )
        for name, kind in _ATTRIBUTES.items():
            if self.dataset.get_field(f"{field}.{name}") is None:
                self.dataset.add_sample_field(f"{field}.{name}", kind, **_inner(kind))
        carried = all_images(self.dataset).match(F(f"{field}.run_key") == self.request.key)
        known = frozenset(path for path in carried.values(f"{field}.map_path") if path)
        report_failures(run_files.collect(self.dataset, self.request.key, parts=True, known=known).failures)
        self._make_folder()

    def stored(self, samples: Any) -> dict[str, StoredMap]:
        """Return what ``samples`` carry of this run, by sample id."""
        field = self.field
        if samples.get_field(field) is None:
            return {}
        matched = samples.match(F(f"{field}.run_key") == self.request.key)
        names = ("map_path", "target", "vmax", "delta", "image")
        columns = matched.values(["id", *(f"{field}.{name}" for name in names)])
        with ThreadPoolExecutor(_WRITERS, "saliency-check") as pool:
            whole = pool.map(lambda path: bool(path) and holds_whole_png(path), columns[1])
            return {
                sample_id: StoredMap(
                    path or "", ok, target, vmax == 0, delta, FileState.from_text(image) if image else None
                )
                for (sample_id, path, target, vmax, delta, image), ok in zip(
                    zip(*columns, strict=True), whole, strict=True
                )
            }

    def forget(self, samples: Any) -> None:
        """Take their heatmaps away from samples; where there was a file, the next one has another name."""
        filled = samples.exists(self.field)
        rows = zip(*filled.values(["id", f"{self.field}.map_path"]), strict=True)
        editions = {
            sample_id: run_files.edition_of(path) + 1 for sample_id, path in rows if path and os.path.exists(path)
        }
        clear(samples, self.field)
        self.editions.update(editions)
        self._make_folder()

    def withdraw(self) -> None:
        """Leave nothing of a run that was deleted while it was computed."""
        database.without(self.dataset, self.field, self.request.key)
        report_failures(run_files.collect(self.dataset, self.request.key, parts=True).failures)

    def note_images(self, images: Mapping[str, FileState]) -> None:
        """Write down where the images of stored maps are now, by sample id."""
        if images:
            texts = {sample_id: str(state) for sample_id, state in images.items()}
            self.dataset.set_values(f"{self.field}.image", texts, key_field="id", validate=False, expand_schema=False)

    def write(self, maps: Sequence[SaliencyMap], images: Mapping[str, FileState] | None = None) -> dict[str, Any]:
        """Write files, then the database, in one bulk operation.

        Args:
            maps: the maps.
            images: what their images were when they were read, by sample id.

        Returns:
            What each heatmap says of its map, by sample id; samples that were deleted in the meantime are left out, and
            nothing of theirs is kept.

        Raises:
            StorageError: if the files cannot be written.
        """
        if not maps:
            return {}
        # FiftyOne's documents are slow to make: one is filled in for all samples, as the database will have it.
        request = self.request
        common = fo.Heatmap(map_path="", range=[0, 0], run_key=request.key, method=request.method, sign=request.sign)
        common = common.to_dict()
        images = images or {}
        with on_disk(self.folder), ThreadPoolExecutor(_WRITERS, "saliency-write") as pool:
            written = list(pool.map(self._write_file, maps))
            settle_names(self.folder)
        heatmaps = {
            m.sample_id: common | {"_id": ObjectId()} | attributes | {"image": _text(images.get(m.sample_id))}
            for m, attributes in zip(maps, written, strict=True)
        }
        self.dataset.set_values(self.field, heatmaps, key_field="id", validate=False, expand_schema=False)
        there = database.existing(self.dataset, heatmaps)
        run_files.remove(Path(one["map_path"]) for sample_id, one in heatmaps.items() if sample_id not in there)
        return {sample_id: one for sample_id, one in heatmaps.items() if sample_id in there}

    def _make_folder(self) -> None:
        with on_disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            run_files.note_owner(self.dataset)

    def path(self, sample_id: str) -> Path:
        """Return the path of a sample's next PNG, in a place that no other file has."""
        edition = self.editions.get(sample_id, 1)
        while True:
            path = self.folder / run_files.file_name(sample_id, self.request.key, edition)
            # Another field's or dataset's copy may point at the file that is there.
            if not path.exists():
                return path
            edition += 1

    def _write_file(self, saliency: SaliencyMap) -> dict[str, Any]:
        """Write one map and return what its heatmap says of it alone."""
        levels, vmin, vmax = quantise(select_sign(saliency.values, self.request.sign), self.request.sign)
        path = self.path(saliency.sample_id)
        encoded, data = cv2.imencode(".png", levels)
        if not encoded:
            raise OSError(f"{path} could not be encoded")
        write_whole(path, data.tobytes())
        return {
            "map_path": str(path),
            "range": [float(level) for level in drawn_range(levels, self.request.sign)],
            "target": saliency.target.label,
            "score": float(saliency.score),
            "vmin": vmin,
            "vmax": vmax,
            "delta": saliency.delta,
            "seen": list(saliency.seen),
        }


def _text(image: FileState | None) -> str | None:
    return None if image is None else str(image)


def _inner(kind: type) -> dict[str, Any]:
    """Return what declares the elements of a list; all are numbers."""
    return {"subfield": fo.FloatField} if kind is fo.ListField else {}


def check_free(dataset: fo.Dataset, field: str, key: str) -> set[str]:
    """Return the keys of other runs than ``key`` whose heatmaps are in a field.

    Raises:
        FieldError: if the field's name is not usable or the field is of another type.
        RunConflictError: if the field holds heatmaps that this package did not write.
    """
    check_name(field, "field")
    kind = dataset.get_field(field)
    if kind is None:
        return set()
    if not issubclass(getattr(kind, "document_type", None) or object, fo.Heatmap):
        kind = getattr(kind, "document_type", None) or type(kind)
        raise FieldError(
            f"Expected field {field!r} to be new or to hold heatmaps, but it is a {kind.__name__} field. "
            "Choose another name."
        )
    filled = all_images(dataset).exists(field)
    # Not `distinct`: it needs the attribute in the schema, which an import may have left out.
    keys = {key for key in filled.values(f"{field}.run_key") if key is not None}
    if len(filled.match(~F(f"{field}.run_key").exists())) > 0:
        raise RunConflictError(
            f"Expected field {field!r} to hold heatmaps of this plugin, but some were written by something else. "
            "Choose another name."
        )
    return keys - {key}


def clear(samples: Any, field: str) -> None:
    """Take the heatmaps away from ``samples``, and delete those of their files that nothing else points at."""
    keys = {key for key in samples.exists(field).values(f"{field}.run_key") if key}
    samples.set_field(field, None).save(field)
    for key in sorted(keys):
        report_failures(run_files.collect(samples._root_dataset, key).failures)


def report_failures(failures: Iterable[tuple[Path, str]]) -> None:
    """Tell of files that could not be deleted."""
    if failures := list(failures):
        path, reason = failures[0]
        _LOG.warning(
            "%d files that nothing points at could not be deleted, such as %s: %s. Delete them later with clean_up().",
            len(failures),
            path,
            reason,
        )


def read_map(heatmap: fo.Heatmap) -> NDArray[np.float32] | None:
    """Return the stored map in its own unit, float32 (H, W); None if its file is missing or damaged.

    The error is at most half of ``(vmax - vmin) / 255``. Heatmaps written by others are returned as they are.
    """
    vmin, vmax = (heatmap[n] if heatmap.has_attribute(n) else None for n in ("vmin", "vmax"))
    document: Any = heatmap
    return decode_map(document.map_path, document.map, vmin, vmax)


def decode_map(
    map_path: str | None, stored: NDArray[Any] | None, vmin: float | None, vmax: float | None
) -> NDArray[np.float32] | None:
    """Return the map that a heatmap's fields describe, as `read_map` does."""
    if map_path is None:
        return None if stored is None else np.asarray(stored, np.float32)
    levels = _read_levels(map_path, ours=vmin is not None and vmax is not None)
    if levels is None:
        return None
    if levels.ndim == 3:
        levels = levels[:, :, 0]
    if vmin is None or vmax is None:
        return levels.astype(np.float32)
    return dequantise(levels.astype(np.uint8), vmin, vmax)


def _read_levels(map_path: str, *, ours: bool) -> NDArray[Any] | None:
    try:
        data = Path(map_path).read_bytes()
    except (OSError, ValueError):  # ValueError: a path with a null byte
        return None
    # OpenCV draws what is there of half a file, without a word.
    if not data or (ours and not is_whole_png(data)):
        return None
    return decode_pixels(data, cv2.IMREAD_UNCHANGED)
