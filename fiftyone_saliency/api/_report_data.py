"""The numbers of a report, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiftyone_saliency.core.comparison import correctness
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.gate import wrong_reasons
from fiftyone_saliency.core.reasons import Reasons
from fiftyone_saliency.core.statistics import summarise
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import count_samples, dataset_of
from fiftyone_saliency.dataset.runs import SaliencyRun

SCHEMA = 1


def describe_source(samples: Any, field: str) -> dict[str, Any]:
    """Say what was measured: the samples, the run that made the maps and its checks, the packages, and when.

    Where the maps failed a check, ``withheld`` says why nothing may be concluded from them; else it is None.
    """
    dataset: Any = dataset_of(samples)
    run = _find_run(dataset, field)
    trust = None if run is None else run.trust
    return {
        "schema_version": SCHEMA,
        "created": runs.now(),
        "versions": runs.versions(),
        "dataset": {
            "name": dataset.name,
            "samples": count_samples(dataset),
            "measured": count_samples(samples),
            "view": [str(stage) for stage in getattr(samples, "_stages", [])],
        },
        "run": None if run is None else _describe_run(run),
        "trust": None if trust is None else trust.to_json(),
        "faithfulness": None if run is None else run.faithfulness,
        "withheld": None if trust is None or trust.passed else " ".join(trust.reasons),
    }


def kept_hidden(samples: Any, field: str, regions: str) -> list[Mapping[str, Any]]:
    """Return what the field's run keeps of `hide_region` on these regions, as JSON values."""
    run = _find_run(dataset_of(samples), field)
    return [] if run is None else [one for one in run.hidden if one["regions"] == regions]


def describe_reasons(found: Reasons) -> dict[str, Any]:
    """Return accuracy, and how often the reason is right, beside everything that `Reasons.to_json` has."""
    evidence = found.evidence
    return {
        "accuracy": summarise(correctness(evidence.truths, evidence.predictions)).to_json(),
        "wrong_reasons": wrong_reasons(evidence, found.right_regions).to_json() if found.right_regions else None,
        "reasons": found.to_json(),
    }


def _find_run(dataset: Any, field: str) -> SaliencyRun | None:
    try:
        return runs.load(dataset, field)
    except UnknownNameError:
        return None


def _describe_run(run: SaliencyRun) -> dict[str, Any]:
    names = ("key", "model_name", "status", "started", "finished", "versions", "details")
    described = {name: getattr(run, name) for name in names}
    return described | {"request": run.request.to_json(), "counts": run.counts.to_json()}
