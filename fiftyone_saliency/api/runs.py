"""The runs of a dataset."""

from __future__ import annotations

from typing import Any

from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import fresh_dataset_of
from fiftyone_saliency.dataset.runs import SaliencyRun


def list_runs(samples: Any) -> list[SaliencyRun]:
    """Return the records of all saliency runs of a dataset, the oldest first."""
    dataset = fresh_dataset_of(samples)
    found = [runs.load(dataset, key) for key in runs.list_keys(dataset)]
    return sorted(found, key=lambda run: run.started)


def load_run(samples: Any, key: str) -> SaliencyRun:
    """Return the record of one run.

    Args:
        samples: dataset or view.
        key: key of the run, or the field that holds its heatmaps.

    Raises:
        UnknownNameError: if there is no such run.
    """
    return runs.load(fresh_dataset_of(samples), key)


def delete_run(samples: Any, key: str) -> None:
    """Delete a run for good: its heatmaps, their files, the field, and the record.

    Args:
        samples: dataset or view; the run is deleted from the whole dataset.
        key: key of the run, or the field that holds its heatmaps.

    Raises:
        UnknownNameError: if there is no such run.
    """
    dataset = fresh_dataset_of(samples)
    runs.delete(dataset, runs.load(dataset, key))
