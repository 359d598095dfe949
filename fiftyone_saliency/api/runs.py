"""The runs of a dataset."""

from __future__ import annotations

from typing import Any

from fiftyone_saliency.core.cleaning import CleanUp
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset import cleaning, runs
from fiftyone_saliency.dataset.database import speaking_plainly
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


@speaking_plainly()
def clean_up(samples: Any = None, dry_run: bool = True) -> CleanUp:
    """Find the files of saliency maps that nothing points at any more, and delete them if that is asked for.

    Deleting samples, fields or datasets in FiftyOne leaves files behind, and so does a computation that is killed. Only
    files that this package wrote are looked at, in its own folder, ``<default_dataset_dir>/saliency``. A file that
    anything in any dataset points at stays, such as those that a clone shares. Folders that are being written to, or
    that belong to another database, are left alone and named. So are reports.

    Args:
        samples: dataset or view whose dataset is cleaned up; None for all datasets, those that were deleted included.
        dry_run: whether to look only. Pass False to delete what was found.

    Returns:
        The files without a user, with sizes and reasons; the heatmaps without a file, which are not changed; and what
        could not be deleted.

    Raises:
        FieldError: if ``samples`` is no FiftyOne collection.
        ArgumentError: if ``dry_run`` is neither True nor False.
    """
    if not isinstance(dry_run, bool):
        raise ArgumentError(f"Expected `dry_run` to be True or False, but got {dry_run!r}. Pass False to delete.")
    return cleaning.clean_up(None if samples is None else fresh_dataset_of(samples), dry_run)
