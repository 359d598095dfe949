"""One computation: what is left of the samples, chunk by chunk, with the records kept true at every end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from fiftyone_saliency.api._progress import Progress, track
from fiftyone_saliency.core.errors import DatabaseError, RunConflictError, SaliencyError
from fiftyone_saliency.core.files import FileState, Since
from fiftyone_saliency.core.types import Counts, Failure, SaliencyMap, SampleItem
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.database import speaking_plainly
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.store import HeatmapStore, StoredMap
from fiftyone_saliency.runtime.loading import LoadedImage, load_ahead
from fiftyone_saliency.runtime.plan import chunks
from fiftyone_saliency.runtime.worker import ChunkResult, Explainer

# A map that misses more than this share of what it should add up to is counted and told.
MOST_DELTA = 0.05
_GONE = "the sample was deleted while its map was computed"
_LOOKERS = 8
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
    changed: int = 0
    damaged: int = 0
    failures: list[Failure] = field(default_factory=list)

    def begin(self, work: Work, slot: int) -> None:
        """Prepare the field and find out which samples still need a map.

        Args:
            work: the computation.
            slot: the field's place among its fields.
        """
        samples, items, explainer = work.samples, work.items, work.explainer
        # The record first: where the database refuses it, there is no field without a run.
        runs.save(self.heatmaps.dataset, self.record)
        self.heatmaps.prepare()
        stored = self.heatmaps.stored(samples)
        since = look_again({i.id: i.filepath for i in items}, stored, work.reread)
        changed = {sample_id for sample_id, became in since.items() if became == "changed"}
        damaged = {sample_id for sample_id, heatmap in stored.items() if not heatmap.whole} - changed
        # A relabelled sample carries the key, but its map explains the old label.
        relabelled = {
            i.id for i in items if i.id in stored and not explainer.still_explains(i, slot, stored[i.id].target)
        }
        stale = set(stored) if work.anew else changed | damaged | relabelled
        if stale:
            self.heatmaps.forget(samples.select(list(stale)))
        kept = {sample_id: heatmap for sample_id, heatmap in stored.items() if sample_id not in stale}
        self.heatmaps.note_images(
            {i.id: FileState.of(i.filepath) for i in items if i.id in kept and since.get(i.id) == "moved"}
        )
        self.wanted = frozenset(i.id for i in items if i.id not in kept)
        self.resumed = len(items) - len(self.wanted)
        self.no_evidence = sum(heatmap.empty for heatmap in kept.values())
        self.incomplete = sum(_is_incomplete(heatmap.delta) for heatmap in kept.values())
        self.changed, self.damaged = (0, 0) if work.anew else (len(changed), len(damaged))
        self._tell_what_is_made_again()

    def take(self, result: ChunkResult[SaliencyMap], images: Mapping[str, FileState]) -> None:
        """Store what became of a chunk.

        Args:
            result: maps and failures.
            images: what the images were when they were read, by sample id.

        Raises:
            RunConflictError: if the run or the dataset was deleted; nothing of the chunk is kept then.
        """
        self.check_alive()
        try:
            stored = self.heatmaps.write(result.results, images)
        except Exception:
            # What broke the write may be that there is nothing to write to.
            self.check_alive()
            raise
        self.check_alive()
        self.no_evidence += sum(heatmap["vmax"] == 0 for heatmap in stored.values())
        self.incomplete += sum(_is_incomplete(heatmap["delta"]) for heatmap in stored.values())
        self.done += len(stored)
        self.failures.extend(result.failures)
        lost = [m.sample_id for m in result.results if m.sample_id not in stored]
        self.failures.extend(Failure(sample_id, "", _GONE, "skip") for sample_id in lost)

    def check_alive(self) -> None:
        """Raise if the run or the dataset was deleted in the meantime; nothing of the run is kept then.

        Raises:
            RunConflictError: if it was.
        """
        try:
            runs.check_alive(self.heatmaps.dataset, self.record.key)
        except RunConflictError:
            self.heatmaps.withdraw()
            raise

    def end(self, status: runs.Status, items: Sequence[SampleItem]) -> SaliencyRun:
        """Write the record as of now."""
        self.check_alive()
        skipped = sum(f.kind == "skip" for f in self.failures)
        counts = Counts(
            done=self.done + self.resumed,
            skipped=skipped,
            failed=len(self.failures) - skipped,
            resumed=self.resumed,
            no_evidence=self.no_evidence,
            incomplete=self.incomplete,
            changed=self.changed,
            damaged=self.damaged,
        )
        failures = runs.merge_failures(self.record.failures, self.failures, {item.id for item in items})
        record = replace(self.record, status=status, counts=counts, failures=failures, finished=runs.now())
        runs.save(self.heatmaps.dataset, record)
        if self.incomplete:
            _LOG.warning(
                "%d of %d maps in field %r miss what they should add up to by more than %d %%. More `steps` bring them "
                "closer, where the method has them.",
                self.incomplete,
                counts.done,
                record.field,
                round(100 * MOST_DELTA),
            )
        return record

    def _tell_what_is_made_again(self) -> None:
        for count, what in (
            (self.changed, "were of another image than the one that is there now"),
            (self.damaged, "have a file that is missing or damaged"),
        ):
            if count:
                _LOG.warning("%d maps in field %r %s: they are made again.", count, self.record.field, what)


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
        anew: whether stored maps are computed again.
        reread: whether the content of all images is compared with what it was.
    """

    samples: Any
    items: Sequence[SampleItem]
    explainer: Explainer
    fields: Sequence[FieldWork]
    batch_size: int
    num_workers: int
    skip_failures: bool
    progress: Progress
    anew: bool = False
    reread: bool = False

    def run(self) -> dict[str, SaliencyRun]:
        """Explain what is left, and return the records by field.

        Raises:
            RunConflictError: if a run, or the dataset, is deleted in the meantime.
        """
        for slot, one in enumerate(self.fields):
            one.begin(self, slot)
        try:
            with speaking_plainly():
                self._explain()
                for one in self.fields:
                    one.check_alive()
        except DatabaseError:
            raise  # there is nowhere to write to
        except BaseException:
            for one in self.fields:
                # What was deleted has no record to keep.
                with contextlib.suppress(RunConflictError):
                    one.end("interrupted", self.items)
            raise
        return {one.record.field: one.end("completed", self.items) for one in self.fields}

    def _explain(self) -> None:
        wanted = [one.wanted for one in self.fields]
        todo = [item for item in self.items if any(item.id in ids for ids in wanted)]
        loaded = load_ahead(chunks(todo, self.batch_size), self.explainer.model, self.num_workers, states=True)
        # Chunks share one loan: lending walks through the whole network.
        with self.explainer.model.explaining(), _background() as write:
            for chunk in track(loaded, len(todo), self.progress):
                images = {one.item.id: one.state for one in chunk if isinstance(one, LoadedImage) and one.state}
                results = self.explainer(chunk, wanted)
                write(self._take, results, images)
                if not self.skip_failures:
                    _raise_first_error(results)

    def _take(self, results: Sequence[ChunkResult[SaliencyMap]], images: Mapping[str, FileState]) -> None:
        for one, result in zip(self.fields, results, strict=True):
            one.take(result, images)


def look_again(paths: Mapping[str, str], stored: Mapping[str, StoredMap], reread: bool) -> dict[str, Since]:
    """Return what became of the images of stored maps, by sample id; those of which nothing is known are left out."""
    states = [
        (sample_id, heatmap.image) for sample_id, heatmap in stored.items() if heatmap.image and sample_id in paths
    ]
    with ThreadPoolExecutor(_LOOKERS, "saliency-check") as pool:
        became = pool.map(lambda pair: pair[1].since(paths[pair[0]], reread=reread), states)
        return dict(zip((sample_id for sample_id, _ in states), became, strict=True))


def _is_incomplete(delta: float | None) -> bool:
    return delta is not None and not delta <= MOST_DELTA


@contextlib.contextmanager
def _background() -> Iterator[Any]:
    """Yield a function that writes one chunk while the next one is computed; an error comes back at the next call."""
    pending: list[Future[None]] = []

    def write(function: Any, *arguments: Any) -> None:
        # One chunk in memory at a time: writing is not allowed to fall behind.
        for future in pending:
            future.result()
        pending[:] = [writer.submit(function, *arguments)]

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
