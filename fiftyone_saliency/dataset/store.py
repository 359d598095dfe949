"""Heatmaps on disk and in the database: 8-bit PNG files that are complete or absent, one write per batch."""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from fiftyone_saliency.core.maps import dequantise, drawn_range, quantise, select_sign
from fiftyone_saliency.core.types import SaliencyMap, SaliencyRequest
from fiftyone_saliency.dataset.fields import all_images, check_name

_PART = ".part"
_ATTRIBUTES = {
    "run_key": fo.StringField,
    "method": fo.StringField,
    "target": fo.StringField,
    "sign": fo.StringField,
    "score": fo.FloatField,
    "vmin": fo.FloatField,
    "vmax": fo.FloatField,
    "delta": fo.FloatField,
}


def default_folder(dataset: fo.Dataset, key: str) -> Path:
    """Return where a run's files live: ``<default_dataset_dir>/saliency/<dataset id>/<run key>``."""
    return _root() / str(dataset._doc.id) / key


@contextmanager
def only_writer(dataset: fo.Dataset, field: str) -> Iterator[None]:
    """Hold a field for one computation; the operating system lets go of it if the process is killed.

    Raises:
        RunConflictError: if another computation on this machine is writing to the field.
    """
    folder = _root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{dataset._doc.id}-{field}.lock", timeout=0):
            yield
    except Timeout as error:
        raise RunConflictError(
            f"Expected field {field!r} to be idle, but another computation is writing to it. Wait until it has ended, "
            "or choose another field."
        ) from error


def _root() -> Path:
    return Path(str(fo.config.default_dataset_dir)).expanduser() / "saliency"


@dataclass(frozen=True, eq=False)
class HeatmapStore:
    """The heatmaps of one run.

    A `fiftyone.Heatmap` written here points at a PNG of levels 0…255 and carries what undoes the levels:
    ``value = vmin + level * (vmax - vmin) / 255``. Its ``range`` only steers how the App draws it.

    Args:
        dataset: the dataset whose samples carry the heatmaps.
        request: what was computed.
        folder: where the files go.
    """

    dataset: fo.Dataset
    request: SaliencyRequest
    folder: Path

    def prepare(self) -> None:
        """Declare the field, make the folder, and clear away what an interrupted run left half-written."""
        field = self.request.field
        if self.dataset.get_field(field) is None:
            # All at once: every declaration writes the whole dataset's schema.
            attributes = [create_field(name, kind) for name, kind in _ATTRIBUTES.items()]
            self.dataset.add_sample_field(
                field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap, fields=attributes
            )
        for name, kind in _ATTRIBUTES.items():
            if self.dataset.get_field(f"{field}.{name}") is None:
                self.dataset.add_sample_field(f"{field}.{name}", kind)
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in self.folder.glob(f"*{_PART}"):
            part.unlink()

    def done(self, samples: Any) -> dict[str, str]:
        """Return the ids among ``samples`` that already carry this run's heatmap, and what each map explains."""
        field = self.request.field
        if samples.get_field(field) is None:
            return {}
        matched = samples.match(F(f"{field}.run_key") == self.request.key)
        rows = zip(*matched.values(["id", f"{field}.map_path", f"{field}.target"]), strict=True)
        return {sample_id: target for sample_id, path, target in rows if path and os.path.isfile(path)}

    def write(self, maps: Sequence[SaliencyMap]) -> int:
        """Write files, then the database, in one bulk operation.

        Returns:
            Number of maps without any evidence (stored as empty heatmaps).
        """
        if not maps:
            return 0
        # FiftyOne's documents are slow to make: one is filled in for all samples, as the database will have it.
        request = self.request
        common = fo.Heatmap(map_path="", range=[0, 0], run_key=request.key, method=request.method, sign=request.sign)
        common = common.to_dict()
        heatmaps = {m.sample_id: common | {"_id": ObjectId()} | self._write_file(m) for m in maps}
        self.dataset.set_values(self.request.field, heatmaps, key_field="id", validate=False, expand_schema=False)
        return sum(heatmap["vmax"] == 0 for heatmap in heatmaps.values())

    def path(self, sample_id: str) -> Path:
        """Return the path of a sample's PNG; the run's key is part of the name, so that no cache goes stale."""
        return self.folder / f"{sample_id}-{self.request.key}.png"

    def _write_file(self, saliency: SaliencyMap) -> dict[str, Any]:
        """Write one map and return what its heatmap says of it alone."""
        levels, vmin, vmax = quantise(select_sign(saliency.values, self.request.sign), self.request.sign)
        path = self.path(saliency.sample_id)
        encoded, data = cv2.imencode(".png", levels)
        if not encoded:
            raise OSError(f"{path} could not be encoded")
        part = path.with_suffix(_PART)
        part.write_bytes(data.tobytes())
        os.replace(part, path)
        return {
            "map_path": str(path),
            "range": [float(level) for level in drawn_range(levels, self.request.sign)],
            "target": saliency.target.label,
            "score": float(saliency.score),
            "vmin": vmin,
            "vmax": vmax,
            "delta": saliency.delta,
        }


def check_free(dataset: fo.Dataset, request: SaliencyRequest) -> set[str]:
    """Return the keys of other runs whose heatmaps are in the request's field.

    Raises:
        FieldError: if the field's name is not usable or the field is of another type.
        RunConflictError: if the field holds heatmaps that this package did not write.
    """
    name = request.field
    check_name(name, "field")
    field = dataset.get_field(name)
    if field is None:
        return set()
    if not issubclass(getattr(field, "document_type", None) or object, fo.Heatmap):
        kind = getattr(field, "document_type", None) or type(field)
        raise FieldError(
            f"Expected field {name!r} to be new or to hold heatmaps, but it is a {kind.__name__} field. "
            "Choose another name."
        )
    filled = all_images(dataset).exists(name)
    # Not `distinct`: it needs the attribute in the schema, which an import may have left out.
    keys = {key for key in filled.values(f"{name}.run_key") if key is not None}
    if len(filled.match(~F(f"{name}.run_key").exists())) > 0:
        raise RunConflictError(
            f"Expected field {name!r} to hold heatmaps of this plugin, but some were written by something else. "
            "Choose another name."
        )
    return keys - {request.key}


def clear(samples: Any, field: str, folder: Path | None = None) -> None:
    """Remove the heatmaps of ``samples`` from the database, then their files (or the whole folder).

    Files that are not the dataset's own are left alone: a clone's are the original's, a loaded export's the export's.
    """
    dataset = samples._root_dataset
    paths = [p for p in samples.values(f"{field}.map_path") if p]
    samples.set_field(field, None).save(field)
    if folder is not None:
        remove_folder(dataset, folder)
    else:
        for path in paths:
            if _owns(dataset, path):
                Path(path).unlink(missing_ok=True)


def remove_folder(dataset: fo.Dataset, folder: Path) -> None:
    """Remove a run's folder, if it is the dataset's own."""
    if _owns(dataset, folder):
        shutil.rmtree(folder, ignore_errors=True)


def _owns(dataset: fo.Dataset, path: str | Path) -> bool:
    return str(dataset._doc.id) in Path(path).parts


def read_map(heatmap: fo.Heatmap) -> NDArray[np.float32] | None:
    """Return the stored map in its own unit, float32 (H, W); None if its file is missing.

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
    levels = cv2.imread(map_path, cv2.IMREAD_UNCHANGED)
    if levels is None:
        return None
    if levels.ndim == 3:
        levels = levels[:, :, 0]
    if vmin is None or vmax is None:
        return levels.astype(np.float32)
    return dequantise(levels.astype(np.uint8), vmin, vmax)
