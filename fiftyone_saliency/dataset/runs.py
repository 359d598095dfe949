"""Run records: plain JSON in FiftyOne's custom runs, one per saliency field."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Literal

import fiftyone as fo

from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.trust import Trust
from fiftyone_saliency.core.types import Counts, Failure, SaliencyRequest
from fiftyone_saliency.dataset import store
from fiftyone_saliency.dataset.fields import all_images

_KIND = "fiftyone_saliency"
_SCHEMA = 1
_PACKAGES = ("fiftyone-saliency", "fiftyone", "torch", "captum", "numpy")
Status = Literal["running", "completed", "interrupted"]


@dataclass(frozen=True)
class SaliencyRun:
    """The record of one computation of saliency maps.

    Args:
        key: names the run; the heatmaps of the run carry it as ``run_key``.
        request: everything that decided the pixels.
        model_name: what a person calls the model.
        folder: where the files are.
        status: ``"running"``, ``"completed"`` or ``"interrupted"``; a killed run stays ``"running"``.
        counts: how many samples are done, skipped and failed, as of the last call.
        failures: the samples without a map, with reasons, as of the last call.
        started: time of the last start (UTC, ISO 8601).
        finished: time of the last end, or None.
        versions: versions of the packages that took part.
        details: what was found rather than asked for: device, layer, and why the trunk ran in which precision.
        trust: the verdict of `check_trust` on the run's maps; None as long as they were not checked.
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

    @property
    def field(self) -> str:
        """The sample field that holds the heatmaps."""
        return self.request.field

    def __str__(self) -> str:
        c = self.counts
        text = f"{self.key}: {c.done} maps in field {self.field!r}"
        for count, word in ((c.resumed, "kept from before"), (c.skipped, "skipped"), (c.failed, "failed")):
            text += f", {count} {word}" if count else ""
        text += f", {c.no_evidence} without evidence" if c.no_evidence else ""
        text += f", {c.incomplete} that do not add up to their score" if c.incomplete else ""
        return f"{text} ({self.status})"


def now() -> str:
    """Return the time as UTC in ISO 8601, to the microsecond, so that runs have an order."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


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


def keys_of_field(dataset: fo.Dataset, field: str) -> set[str]:
    """Return the keys of the runs that are recorded for a field, those without any map included."""
    return {key for key in list_keys(dataset) if dataset.get_run_info(key).config.field == field}


def load(dataset: fo.Dataset, key: str) -> SaliencyRun:
    """Load a run by its key or by its field.

    Raises:
        UnknownNameError: if there is no such run.
    """
    keys = list_keys(dataset)
    by_field = {dataset.get_run_info(k).config.field: k for k in keys}
    found = key if key in keys else by_field.get(key)
    if found is None:
        raise UnknownNameError("saliency run (key or field)", key, {*keys, *by_field})
    config = dataset.get_run_info(found).config
    results = dataset.load_run_results(found, cache=False, load_view=False)
    failures = getattr(results, "failures", None) or []
    return SaliencyRun(
        key=found,
        request=SaliencyRequest(**config.request),
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
    )


def delete(dataset: fo.Dataset, run: SaliencyRun) -> None:
    """Delete a run: heatmaps, files, field, and the record last, so that a killed deletion can be repeated."""
    if dataset.get_field(run.field) is not None:
        samples = all_images(dataset)
        store.clear(samples.match(fo.ViewField(f"{run.field}.run_key") == run.key), run.field, Path(run.folder))
        if len(samples.exists(run.field)) == 0:
            dataset.delete_sample_field(run.field)
    else:
        store.remove_folder(dataset, Path(run.folder))
    dataset.delete_run(run.key)


def merge_failures(old: Sequence[Failure], new: Sequence[Failure], touched: set[str]) -> tuple[Failure, ...]:
    """Return the failures after a call: those of samples it did not touch, and its own."""
    return (*(f for f in old if f.sample_id not in touched), *new)


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
