"""Find, and delete, files of runs that nothing points at: of deleted samples and datasets, and of killed runs.

Only files that a run names, in a run's own folder, are looked at. FiftyOne's folder may be shared by several databases:
a dataset that this one does not know counts as deleted only where a note says that it was this one's.
"""

# pyright: reportAttributeAccessIssue=false
# FiftyOne's documents are typed as the fields that describe them.

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import fiftyone as fo

from fiftyone_saliency.core.cleaning import CleanUp, MissingFile, Orphan
from fiftyone_saliency.core.errors import RunConflictError
from fiftyone_saliency.dataset import database, run_files, store
from fiftyone_saliency.dataset.database import KnownDataset

_UNKNOWN = "no note says that it belonged to this database"
_BUSY = "a computation is writing to it"


def clean_up(dataset: fo.Dataset | None, dry_run: bool) -> CleanUp:
    """Look for what is left over, and delete it unless this is a dry run.

    Args:
        dataset: the dataset to look at; None for all, those that were deleted included.
        dry_run: whether nothing is deleted.
    """
    known = database.datasets()
    only = None if dataset is None else str(dataset._doc.id)
    scope = [only] if only is not None else _folders()
    with ExitStack() as held:
        reasons, left_alone = {}, []
        for dataset_id in scope:
            reason, problem = _hold(held, dataset_id, known)
            if problem:
                left_alone.append((str(run_files.root() / dataset_id), problem))
            else:
                reasons[dataset_id] = reason
        files = [(path, reasons[name]) for name in reasons for path in _files(run_files.root() / name)]
        maps = [path for path, _ in files if path.suffix != run_files.PART]
        # After the locks: what is entered now is seen, and nothing more is written.
        loose = set(run_files.but(maps, database.pointed_at(r"[0-9a-f]{24}-.+\.png$") if maps else ()))
        orphans = [
            Orphan(str(path), path.stat().st_size, reason if path in loose else "half-written by a run that was killed")
            for path, reason in files
            if path in loose or path.suffix == run_files.PART
        ]
        removal = run_files.Removal() if dry_run else _remove(orphans, reasons, known)
    return CleanUp(
        dry_run,
        tuple(orphans),
        tuple(_missing(known, only)),
        tuple((str(path), reason) for path, reason in removal.failures),
        tuple(left_alone),
    )


def _folders() -> list[str]:
    """Return the ids of the datasets that have a folder."""
    top = run_files.root()
    if not top.is_dir():
        return []
    with os.scandir(top) as entries:
        found = [e.name for e in entries if re.fullmatch(r"[0-9a-f]{24}", e.name) and e.is_dir(follow_symlinks=False)]
    return sorted(found)


def _hold(held: ExitStack, dataset_id: str, known: dict[str, KnownDataset]) -> tuple[str, str]:
    """Keep computations away from a dataset; return why its files may be orphans, or why they are left alone."""
    dataset = known.get(dataset_id)
    if dataset is None:
        owner, name = run_files.owner_of(dataset_id)
        return f"of dataset {name!r}, which was deleted", "" if owner == database.database_id() else _UNKNOWN
    locks = ExitStack()
    try:
        for field in sorted({*dataset.heatmaps, *database.fields_of_runs(dataset_id)}):
            locks.enter_context(store.hold(dataset_id, field))
    except RunConflictError:
        locks.close()
        return "", _BUSY
    held.push(locks)
    return f"of dataset {dataset.name!r}, of samples or runs that are gone", ""


def _files(folder: Path) -> Iterator[Path]:
    """Yield the maps and parts in the folders of a dataset's runs."""
    if not folder.is_dir():
        return
    for run in sorted(folder.iterdir()):
        if re.fullmatch(r".+_[0-9a-f]{10}", run.name) and run_files.is_own(run):
            for files in run_files.own_files(run):
                yield from files


def _remove(orphans: Iterable[Orphan], reasons: Iterable[str], known: dict[str, KnownDataset]) -> run_files.Removal:
    removal = run_files.remove(Path(orphan.path) for orphan in orphans)
    for name in reasons:
        folder = run_files.root() / name
        for run in sorted(folder.iterdir()) if folder.is_dir() else ():
            if run_files.is_own(run):
                run_files.remove_if_empty(run)
        if name not in known and not folder.exists():
            run_files.forget_owner(name)
    return removal


def _missing(known: dict[str, KnownDataset], only: str | None) -> Iterator[MissingFile]:
    for dataset_id, dataset in known.items():
        if only in {None, dataset_id}:
            for field in dataset.heatmaps:
                for sample_id, path in database.heatmaps(dataset.collection, field):
                    if not os.path.isfile(path):
                        yield MissingFile(dataset.name, field, sample_id, path)
