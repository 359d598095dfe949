"""One computation: what is left of the samples, chunk by chunk, with the records kept true at every end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.errors import SaliencyError
from fiftyone_saliency.core.types import Counts, Failure, SaliencyMap, SampleItem
from fiftyone_saliency.dataset import runs, store
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.store import HeatmapStore
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks
from fiftyone_saliency.runtime.worker import ChunkResult, Explainer

# A map that misses more than this share of what it should add up to is counted and told.
MOST_DELTA = 0.05
_LOG = logging.getLogger("fiftyone_saliency")


@dataclass(eq=False)
class FieldWork:
    """One field of a computation: its run, and what became of its samples so far.

    Args:
        record: the run's record as it was at the start.
        heatmaps: where the maps go.
    """

    record: SaliencyRun
    heatmaps: HeatmapStore
    wanted: frozenset[str] = frozenset()
    resumed: int = 0
    done: int = 0
    no_evidence: int = 0
    incomplete: int = 0
    failures: list[Failure] = field(default_factory=list)

    def begin(self, samples: Any, items: Sequence[SampleItem], explainer: Explainer, slot: int) -> None:
        """Prepare the field and find out which samples still need a map."""
        # The record first: where the database refuses it, there is no field without a run.
        runs.save(self.heatmaps.dataset, self.record)
        self.heatmaps.prepare()
        done = self.heatmaps.done(samples)
        # A relabelled sample carries the key, but its map explains the old label.
        stale = {i.id for i in items if i.id in done and not explainer.still_explains(i, slot, done[i.id])}
        if stale:
            store.clear(samples.select(list(stale)), self.record.field)
        kept = done.keys() - stale
        self.wanted = frozenset(i.id for i in items if i.id not in kept)
        self.resumed = len(items) - len(self.wanted)

    def take(self, result: ChunkResult[SaliencyMap]) -> None:
        """Store what became of a chunk."""
        self.no_evidence += self.heatmaps.write(result.results)
        self.incomplete += sum(m.delta is not None and not m.delta <= MOST_DELTA for m in result.results)
        self.done += len(result.results)
        self.failures.extend(result.failures)

    def end(self, status: runs.Status, items: Sequence[SampleItem]) -> SaliencyRun:
        """Write the record as of now."""
        skipped = sum(f.kind == "skip" for f in self.failures)
        counts = Counts(
            done=self.done + self.resumed,
            skipped=skipped,
            failed=len(self.failures) - skipped,
            resumed=self.resumed,
            no_evidence=self.no_evidence,
            incomplete=self.incomplete,
        )
        failures = runs.merge_failures(self.record.failures, self.failures, {item.id for item in items})
        record = replace(self.record, status=status, counts=counts, failures=failures, finished=runs.now())
        runs.save(self.heatmaps.dataset, record)
        if self.incomplete:
            _LOG.warning(
                "%d of %d maps in field %r miss what they should add up to by more than %d %%. More `steps` bring them "
                "closer, where the method has them.",
                self.incomplete,
                self.done,
                record.field,
                round(100 * MOST_DELTA),
            )
        return record


@dataclass(frozen=True, eq=False)
class Work:
    """One computation over samples, for one or more fields.

    Args:
        samples: dataset or view.
        items: its samples.
        explainer: explains them, one target per field.
        fields: where the maps go, in the order of the explainer's targets.
        batch_size: samples per chunk.
        num_workers: threads that read images.
        skip_failures: whether a sample that fails is recorded and passed over.
        progress: see `compute_saliency`.
    """

    samples: Any
    items: Sequence[SampleItem]
    explainer: Explainer
    fields: Sequence[FieldWork]
    batch_size: int
    num_workers: int
    skip_failures: bool
    progress: Progress

    def run(self) -> dict[str, SaliencyRun]:
        """Explain what is left, and return the records by field."""
        for slot, one in enumerate(self.fields):
            one.begin(self.samples, self.items, self.explainer, slot)
        status: runs.Status = "interrupted"
        try:
            self._explain()
            status = "completed"
        finally:
            records = {one.record.field: one.end(status, self.items) for one in self.fields}
        return records

    def _explain(self) -> None:
        wanted = [one.wanted for one in self.fields]
        todo = [item for item in self.items if any(item.id in ids for ids in wanted)]
        loaded = load_ahead(chunks(todo, self.batch_size), self.explainer.model, self.num_workers)
        # Chunks share one loan: lending walks through the whole network.
        with self.explainer.model.explaining(), _background() as write:
            for chunk in track(loaded, len(todo), self.progress):
                results = self.explainer(chunk, wanted)
                write(self._take, results)
                if not self.skip_failures:
                    _raise_first_error(results)

    def _take(self, results: Sequence[ChunkResult[SaliencyMap]]) -> None:
        for one, result in zip(self.fields, results, strict=True):
            one.take(result)


@contextlib.contextmanager
def _background() -> Iterator[Any]:
    """Yield a function that writes one chunk while the next one is computed; an error comes back at the next call."""
    pending: list[Future[None]] = []

    def write(function: Any, results: Any) -> None:
        # One chunk in memory at a time: writing is not allowed to fall behind.
        for future in pending:
            future.result()
        pending[:] = [writer.submit(function, results)]

    # Leaving the pool waits for the last chunk, also after an interrupt, so that the counts are true.
    with ThreadPoolExecutor(1, thread_name_prefix="saliency-write") as writer:
        yield write
        for future in pending:
            future.result()


def _raise_first_error(results: Sequence[ChunkResult[SaliencyMap]]) -> None:
    for failure in (f for result in results for f in result.failures):
        if failure.kind == "error":
            raise SaliencyError(
                f"Expected sample {failure.sample_id} to be explained, but {failure.filepath} failed: "
                f"{failure.reason}. Pass skip_failures=True to record such samples and go on."
            )
