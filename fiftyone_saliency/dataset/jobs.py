"""What is being computed on a dataset right now, in any process, and the wish that it stops.

Both stand in FiftyOne's execution store, which goes with the dataset: the App's server, a delegated worker and a
notebook see the same.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import fiftyone as fo
from fiftyone.operators.store import ExecutionStore
from pymongo.errors import PyMongoError

from fiftyone_saliency.core.errors import StoppedError, UnknownNameError

_STORE = "fiftyone_saliency_jobs"
# A job whose process was killed is forgotten after so many seconds without a sign of life.
_LIFETIME = 3600
_WISH = "stop-"


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is going on.

    Args:
        id: names the job.
        label: what is being done, for people.
        started: when it began (UTC, ISO 8601).
        seen: when it last gave a sign of life.
        progress: share that is done, in [0, 1].
    """

    id: str
    label: str
    started: str
    seen: str
    progress: float = 0.0


class Watch:
    """A job's own view of itself: tells how far it is, and whether it should stop."""

    def __init__(self, store: ExecutionStore, job: Job) -> None:
        self.id = job.id
        self._store, self._job = store, job

    def tell(self, progress: float) -> None:
        """Record a sign of life, and how far the work is.

        Raises:
            StoppedError: if somebody asked for a stop.
        """
        if self._store.has(_WISH + self.id):
            raise StoppedError(f"{self._job.label} was stopped at {progress:.0%}.")
        record = asdict(self._job) | {"progress": progress, "seen": _now()}
        self._store.set(self.id, record, ttl=_LIFETIME)


@contextmanager
def watched(dataset: fo.Dataset, label: str, job_id: str | None = None) -> Iterator[Watch]:
    """Announce work on a dataset while it lasts."""
    store, now = _store(dataset), _now()
    job = Job(job_id or new_id(), label, now, now)
    watch = Watch(store, job)
    watch.tell(0.0)
    try:
        yield watch
    except BaseException:
        # What ended the work may be the database: then it is that which must be told. The entry expires by itself.
        with suppress(PyMongoError):
            _forget(store, job.id)
        raise
    _forget(store, job.id)


def new_id() -> str:
    """Return a name for a job that no other job has."""
    return secrets.token_hex(8)


def list_jobs(dataset: fo.Dataset) -> list[Job]:
    """Return what is being computed on a dataset, the oldest first."""
    store = _store(dataset)
    records = [store.get(key) for key in store.list_keys() if not key.startswith(_WISH)]
    # A job may end between the two questions.
    return sorted((Job(**record) for record in records if record), key=lambda job: job.started)


def stop_job(dataset: fo.Dataset, job_id: str) -> Job:
    """Ask a job to stop; it does after the images that it is working on.

    Raises:
        UnknownNameError: if no such job is going on.
    """
    jobs = {job.id: job for job in list_jobs(dataset)}
    if job_id not in jobs:
        raise UnknownNameError("job", job_id, jobs, "It may have ended.")
    _store(dataset).set(_WISH + job_id, True, ttl=_LIFETIME)
    return jobs[job_id]


def is_stopping(dataset: fo.Dataset, job_id: str) -> bool:
    """Return whether a job was asked to stop."""
    return _store(dataset).has(_WISH + job_id)


def _forget(store: ExecutionStore, job_id: str) -> None:
    for key in (job_id, _WISH + job_id):
        store.delete(key)


def _store(dataset: Any) -> ExecutionStore:
    return ExecutionStore.create(_STORE, dataset_id=dataset._doc.id)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
