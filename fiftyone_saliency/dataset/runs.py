"""Run records: plain JSON in FiftyOne's custom runs, one per saliency field."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, Literal

import fiftyone as fo
from fiftyone import ViewField as F

from fiftyone_saliency.core.errors import RunConflictError, StorageError, UnknownNameError
from fiftyone_saliency.core.trust import Trust
from fiftyone_saliency.core.types import PRECISIONS, Counts, Failure, SaliencyRequest
from fiftyone_saliency.dataset import database, run_files
from fiftyone_saliency.dataset.fields import all_images, fields_of, has_samples

_KIND = "fiftyone_saliency"
_SCHEMA = 1
_PACKAGES = ("fiftyone-saliency", "fiftyone", "torch", "captum", "numpy")
Status = Literal["running", "completed", "interrupted", "deleting"]


@dataclass(frozen=True)
class SaliencyRun:
    """The record of one computation of saliency maps.

    Args:
        key: names the run; the heatmaps of the run carry it as ``run_key``.
        request: everything that decided the pixels.
        model_name: what a person calls the model.
        folder: where the files are.
        status: ``"running"``, ``"completed"`` or ``"interrupted"``; a killed run stays ``"running"``, a killed deletion
            ``"deleting"``.
        counts: how many samples are done, skipped and failed, as of the last call.
        failures: the samples without a map, with reasons, as of the last call.
        started: time of the last start (UTC, ISO 8601).
        finished: time of the last end, or None.
        versions: versions of the packages that took part.
        details: what was found rather than asked for: device, layer, and why the trunk ran in which precision.
        trust: the verdict of `check_trust` on the run's maps; None as long as they were not checked.
        moved_to: the field that holds the heatmaps, if it was renamed since they were asked for.
        faithfulness: what `faithfulness` measured last of the run's maps, as JSON values; None if nothing yet.
        hidden: what `hide_region` found with the run's model, as JSON values: the last result for each region and fill.
    """

    key: str
    request: SaliencyRequest
    model_name: str
    folder: str
    status: Status = "running"
    counts: Counts = dataclass_field(default_factory=Counts)
    failures: tuple[Failure, ...] = ()
    started: str = ""
    finished: str | None = None
    versions: Mapping[str, str] = dataclass_field(default_factory=dict)
    details: Mapping[str, str] = dataclass_field(default_factory=dict)
    trust: Trust | None = None
    moved_to: str | None = None
    faithfulness: Mapping[str, Any] | None = None
    hidden: tuple[Mapping[str, Any], ...] = ()

    @property
    def field(self) -> str:
        """The sample field that holds the heatmaps."""
        return self.moved_to or self.request.field

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        names = ("key", "field", "model_name", "folder", "status", "started", "finished")
        return {
            **{name: getattr(self, name) for name in names},
            "request": self.request.to_json(),
            "counts": self.counts.to_json(),
            "failures": [failure.to_json() for failure in self.failures],
            "versions": dict(self.versions),
            "details": dict(self.details),
            "trust": self.trust and self.trust.to_json(),
            "faithfulness": self.faithfulness,
            "hidden": list(self.hidden),
        }

    def with_hidden(self, found: Mapping[str, Any]) -> SaliencyRun:
        """Return the record with what hiding a region showed; it takes the place of the last result like it."""
        names = ("regions", "region", "fill")
        others = (one for one in self.hidden if any(one[name] != found[name] for name in names))
        return replace(self, hidden=(*others, found))

    def __str__(self) -> str:
        c = self.counts
        text = f"{self.key}: {c.done} maps in field {self.field!r}"
        for count, word in ((c.resumed, "kept from before"), (c.skipped, "skipped"), (c.failed, "failed")):
            text += f", {count} {word}" if count else ""
        text += f", {c.changed} made again for an image that had changed" if c.changed else ""
        text += f", {c.damaged} made again for a file that was missing or damaged" if c.damaged else ""
        text += f", {c.no_evidence} without evidence" if c.no_evidence else ""
        text += f", {c.incomplete} that do not add up to their score" if c.incomplete else ""
        return f"{text} ({self.status})"


def now() -> str:
    """Return the time as UTC in ISO 8601, to the microsecond, so that runs have an order."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that decide a map; those not installed are left out."""
    found = {d: importlib.metadata.distribution(d).version for d in _PACKAGES if _installed(d)}
    from fiftyone_saliency._version import __version__

    return {"fiftyone-saliency": __version__} | {k: v for k, v in found.items() if k != "fiftyone-saliency"}


def save(dataset: fo.Dataset, run: SaliencyRun) -> None:
    """Write or update the record of a run."""
    config = dataset.init_run(
        kind=_KIND,
        schema_version=_SCHEMA,
        key=run.key,
        field=run.field,
        request=run.request.to_json(),
        model_name=run.model_name,
        folder=run.folder,
        status=run.status,
        counts=run.counts.to_json(),
        started=run.started,
        finished=run.finished,
        versions=dict(run.versions),
        details=dict(run.details),
        trust=run.trust and run.trust.to_json(),
        faithfulness=run.faithfulness,
        hidden=list(run.hidden),
    )
    if dataset.has_run(run.key):
        dataset.update_run_config(run.key, config)
    else:
        dataset.register_run(run.key, config)
    results = dataset.init_run_results(run.key, failures=[f.to_json() for f in run.failures])
    dataset.save_run_results(run.key, results, overwrite=True, cache=False)


def list_keys(dataset: fo.Dataset) -> list[str]:
    """Return the keys of this package's runs, in no order."""
    return list(dataset.list_runs(kind=_KIND))


def fields_of_runs(dataset: fo.Dataset) -> dict[str, str]:
    """Return the fields that hold the runs' heatmaps now, by the runs' keys: runs follow a field that is renamed."""
    return {key: _place(dataset, key) for key in list_keys(dataset)}


def keys_of_field(dataset: fo.Dataset, field: str) -> set[str]:
    """Return the keys of the runs that a field holds, those without any map included."""
    return {key for key, name in fields_of_runs(dataset).items() if name == field}


def settle(dataset: fo.Dataset, field: str, request: SaliencyRequest) -> SaliencyRequest:
    """Return the request as the run for it is called in this dataset.

    A run keeps its key when its field is renamed. The same request for its new field goes on with it, and the same
    request for its old field, which is free again, makes a run of its own.

    Args:
        dataset: whose runs count.
        field: the field that takes the maps.
        request: what is asked for.
    """
    places = fields_of_runs(dataset)
    for key in (key for key, name in places.items() if name == field):
        earlier = SaliencyRequest(**dataset.get_run_info(key).config.request)
        asked = replace(request, field=earlier.field, serial=earlier.serial)
        if replace(earlier, precision=request.precision) == asked:
            return asked
    serial = 0
    while any(
        places.get(replace(request, serial=serial, precision=precision).key, field) != field for precision in PRECISIONS
    ):
        serial += 1
    return replace(request, serial=serial)


def load(dataset: fo.Dataset, key: str) -> SaliencyRun:
    """Load a run by its key or by its field.

    Raises:
        UnknownNameError: if there is no such run.
    """
    keys = list_keys(dataset)
    places = {key: _place(dataset, key)} if key in keys else fields_of_runs(dataset)
    by_field = {field: k for k, field in places.items()}
    found = key if key in keys else by_field.get(key)
    if found is None:
        raise UnknownNameError("saliency run (key or field)", key, {*keys, *by_field})
    config = dataset.get_run_info(found).config
    results = dataset.load_run_results(found, cache=False, load_view=False)
    failures = getattr(results, "failures", None) or []
    request = SaliencyRequest(**config.request)
    return SaliencyRun(
        key=found,
        request=request,
        model_name=config.model_name,
        folder=config.folder,
        status=config.status,
        counts=Counts(**config.counts),
        failures=tuple(Failure(**f) for f in failures),
        started=config.started,
        finished=config.finished,
        versions=config.versions,
        details=config.details,
        # Records of earlier versions have none.
        trust=Trust.from_json(config.trust) if getattr(config, "trust", None) else None,
        moved_to=None if places[found] == request.field else places[found],
        faithfulness=getattr(config, "faithfulness", None),
        hidden=tuple(getattr(config, "hidden", None) or ()),
    )


def delete(dataset: fo.Dataset, run: SaliencyRun) -> None:
    """Delete a run: heatmaps, files, field, and the record last, so that a deletion that fails can be repeated.

    Files that something else points at stay: a clone of the dataset or of the field, or any other path.

    Raises:
        StorageError: if files cannot be deleted; the run is still listed then.
    """
    folder = run_files.default_folder(dataset, run.key)
    if folder.is_dir():
        run_files.require_removable(folder)
    # A computation that is at work on the run reads this, and ends.
    save(dataset, replace(run, status="deleting"))
    if dataset.get_field(run.field) is not None:
        samples = all_images(dataset)
        samples.match(F(f"{run.field}.run_key") == run.key).set_field(run.field, None).save(run.field)
        if not has_samples(samples.exists(run.field)):
            dataset.delete_sample_field(run.field)
    left = run_files.collect(dataset, run.key, parts=True).failures
    if left:
        raise StorageError(
            f"Expected to delete run {run.key} with its files, but {len(left)} of them are still there, such as "
            f"{left[0][0]}: {left[0][1]}. Its heatmaps are gone. Make {folder} writable and repeat the call."
        )
    dataset.delete_run(run.key)


def check_alive(dataset: fo.Dataset, key: str) -> None:
    """Raise if a run, or its dataset, was deleted while it is computed.

    Args:
        dataset: the dataset, which may be deleted: its name and its document still tell.
        key: key of the run.

    Raises:
        RunConflictError: if it was.
    """
    if database.run_status(dataset, key) not in {None, "deleting"}:
        return
    what = f"run {key}" if database.is_there(dataset) else f"dataset {dataset.name!r}"
    raise RunConflictError(
        f"Expected {what} to stay while its maps are computed, but it was deleted. Nothing of the run is kept. Call "
        "again to start anew, with a dataset that is there."
    )


def merge_failures(old: Sequence[Failure], new: Sequence[Failure], touched: set[str]) -> tuple[Failure, ...]:
    """Return the failures after a call: those of samples it did not touch, and its own."""
    return (*(f for f in old if f.sample_id not in touched), *new)


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _place(dataset: fo.Dataset, key: str) -> str:
    """Return the field that holds a run's heatmaps: the recorded one, else the one they were moved to."""
    recorded = dataset.get_run_info(key).config.field
    heatmaps = fields_of(dataset, fo.Heatmap)
    for field in sorted(heatmaps, key=lambda name: name != recorded):
        if database.carries(dataset, field, key):
            return field
    return recorded
