"""A drawn subsample of a run's samples, with what is needed to compute its maps again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.api._fitted import load_fitted
from fiftyone_saliency.core.errors import FieldError, ModelError
from fiftyone_saliency.core.targets import parse_target
from fiftyone_saliency.core.types import Failure, SampleItem
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.fields import fresh_dataset_of
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.samples import read_items
from fiftyone_saliency.dataset.store import read_map
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.examples import Examples, examples
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.plan import chunks, sample_seed
from fiftyone_saliency.runtime.worker import Explainer, Loaded


@dataclass(frozen=True, eq=False)
class Subsample:
    """Some of the samples that carry a run's maps.

    Args:
        run: the run.
        samples: dataset or view.
        explainer: what computed the maps.
        items: the drawn samples.
        failures: those of them that `batches` met and could not read, or that have nothing to explain, with reasons.
    """

    run: SaliencyRun
    samples: Any
    explainer: Explainer
    items: list[SampleItem]
    failures: list[Failure] = field(default_factory=list)

    def batches(self, size: int, num_workers: int) -> Iterator[tuple[int, list[Examples]]]:
        """Yield the samples in chunks: how many there are, and those of them that can be explained, by input shape."""
        for chunk in load_ahead(chunks(self.items, size), self.explainer.model, num_workers):
            groups = list(examples(chunk, self.explainer, size))
            self.failures.extend(_failures(chunk, groups))
            yield len(chunk), groups

    def map_of(self, sample_id: str) -> NDArray[np.float32] | None:
        """Return a sample's stored map, or None if its file is missing; one at a time, as many may be drawn."""
        return read_map(self.samples[sample_id][self.run.field])


def _failures(chunk: Loaded, groups: Sequence[Examples]) -> Iterator[Failure]:
    explained = {image.item.id for group in groups for image in group.images}
    for entry in chunk:
        if isinstance(entry, Failure):
            yield entry
        elif entry.item.id not in explained:
            yield Failure(entry.item.id, entry.item.filepath, "the sample has nothing to explain", "skip")


def subsample(samples: Any, model: Any, run: str, count: int, seed: int) -> Subsample:
    """Draw samples that carry a run's maps; which ones does not depend on their order.

    Raises:
        UnknownNameError: if there is no such run.
        ModelError: if the model is not the run's.
        FieldError: if no sample carries a map of the run.
    """
    adapter = load_fitted(model, samples)
    record = load_run_of(samples, run, adapter)
    request = record.request
    items = read_items(carrying(samples, record), request.gt_field, request.pred_field)
    if not items:
        raise FieldError(
            f"Expected `samples` to carry maps of run {record.key}, but none of them does. Pass a wider view, or "
            "compute the maps again."
        )
    _, method = get_method(request.method, request.params)
    spec = parse_target(request.target, adapter.classes)
    stored = request.pred_field is not None
    explainer = Explainer(adapter, method, (spec,), request.seed, stored, request.output)
    drawn = sorted(items, key=lambda item: sample_seed(seed, item.id))[:count]
    return Subsample(record, samples, explainer, drawn)


def load_run_of(samples: Any, run: str, model: ModelAdapter) -> SaliencyRun:
    """Return the record of a run of this model.

    Raises:
        UnknownNameError: if there is no such run.
        ModelError: if the model is not the run's.
    """
    record = runs.load(fresh_dataset_of(samples), run)
    if model.fingerprint != record.request.model:
        raise ModelError(
            f"Expected the model that computed run {record.key}, {record.model_name!r} with fingerprint "
            f"{record.request.model}, but got {model.name!r} with {model.fingerprint}. Pass the same weights, classes, "
            "layer and preprocessing."
        )
    return record


def carrying(samples: Any, run: SaliencyRun) -> Any:
    """Return the view of the samples that carry the run's maps."""
    import fiftyone as fo

    return samples.match(fo.ViewField(f"{run.field}.run_key") == run.key)
