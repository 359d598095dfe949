"""Explain or predict one chunk of loaded images; what breaks is recorded, sample by sample."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from fiftyone_saliency.core.errors import SaliencyError, TargetError
from fiftyone_saliency.core.maps import frame_size, place
from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.core.types import (
    Failure,
    LabelsPrediction,
    Output,
    Precision,
    Prediction,
    SaliencyMap,
    SampleItem,
    Target,
)
from fiftyone_saliency.methods._attribute import attribute, attribute_all, look
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import ROWS, Batch
from fiftyone_saliency.models.forward import Forward
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.plan import sample_seed

R = TypeVar("R")
Loaded = Sequence[LoadedImage | Failure]
_LOG = logging.getLogger("fiftyone_saliency")
_NOWHERE = Target(0, "")
# Least probability of a label that a model predicts, where classes do not exclude each other.
THRESHOLD = 0.5


@dataclass(frozen=True)
class ChunkResult(Generic[R]):
    """What became of one chunk: results and failures; together they name each sample once."""

    results: list[R] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(eq=False)
class Limit:
    """How much goes through the network at once; halved where memory runs out, for the rest of the run.

    Args:
        images: images per batch, or None for whole chunks.
        rows: images per forward pass of methods that make many.
        told: whether the user knows.
    """

    images: int | None = None
    rows: int = ROWS
    told: bool = False

    def halve(self, images: int) -> None:
        """Go on with half of what did not fit."""
        self.images, self.rows = max(1, images // 2), max(1, self.rows // 2)
        # Another process may need what this one has cached.
        torch.cuda.empty_cache()
        if not self.told:
            _LOG.warning("Memory ran out with %d images at a time: going on with half, or less if need be.", images)
            self.told = True


@dataclass(frozen=True, eq=False)
class Explainer:
    """All that is needed to explain a chunk.

    Args:
        model: the model.
        method: the method.
        targets: what to explain; one map per image and target, from one pass through the trunk.
        seed: seed of the run.
        stored_predictions: whether "predicted" means the stored label; else it is what the model says now.
        output: whether logits or probabilities are explained.
        precision: number format of the trunk.
        limit: how much goes through the network at once.
    """

    model: ModelAdapter
    method: Method
    targets: tuple[TargetSpec, ...]
    seed: int
    stored_predictions: bool = True
    output: Output = "logits"
    precision: Precision = "float32"
    limit: Limit = field(default_factory=Limit)

    @property
    def _depth(self) -> int:
        """How many of the model's highest logits decide the targets."""
        return max(spec.depth(self.model.classes, self.stored_predictions) for spec in self.targets)

    def batch(
        self, images: torch.Tensor, targets: Sequence[Target], seeds: Sequence[int], forward: Forward | None = None
    ) -> Batch:
        """Return images and targets as a method takes them."""
        scoring = self.model.scoring
        explained = tuple(scoring.explained(target, self.output) for target in targets)
        return Batch(images, explained, tuple(seeds), scoring.link(self.output), forward, self.limit.rows)

    def probe(self) -> None:
        """Explain one drawn image, so that what is wrong with model or method stops the run at its start.

        Raises:
            SaliencyError: if the model, its classes, its preprocessing, the layer and the method do not agree.
        """
        with self.model.explaining(), self.model.probing() as images:
            attribute(self.method, self.model, self.batch(images, (_NOWHERE,), (0,)))

    def still_explains(self, item: SampleItem, slot: int, label: str) -> bool:
        """Return whether a stored map of that label is what would be computed for the sample and target now."""
        spec = self.targets[slot]
        if spec.depth(self.model.classes, self.stored_predictions):
            return True
        try:
            return spec.resolve(item, self.model.classes).label == label
        except TargetError:
            return False

    def __call__(
        self, chunk: Loaded, wanted: Sequence[AbstractSet[str]] | None = None
    ) -> list[ChunkResult[SaliencyMap]]:
        """Explain a chunk.

        Args:
            chunk: loaded images.
            wanted: per target the ids of the samples to explain; None for all.

        Returns:
            One result per target.
        """

        def work(images: Sequence[LoadedImage], parts: list[ChunkResult[SaliencyMap]]) -> None:
            self._explain(images, parts, wanted)

        total = isolate(chunk, work, len(self.targets), self.limit)
        if wanted is None:
            return total
        return [
            ChunkResult(part.results, [f for f in part.failures if f.sample_id in ids])
            for part, ids in zip(total, wanted, strict=True)
        ]

    def _explain(
        self,
        images: Sequence[LoadedImage],
        parts: list[ChunkResult[SaliencyMap]],
        wanted: Sequence[AbstractSet[str]] | None,
    ) -> None:
        table = None
        if not self._depth:
            table = self._resolve(images, None, parts, wanted)
            images, table = _kept(images, table)
        if not images:
            return
        with self.model.explaining(), reduced(self.model, self.precision):
            tensors = stack(images, self.model)
            forward = look(self.method, self.model, tensors)
            if table is None:
                table = self._resolve(images, forward.logits.detach(), parts, wanted)
                images, tensors, forward, table = _narrow(images, tensors, forward, table)
                if not images:
                    return
            seeds = [sample_seed(self.seed, image.item.id) for image in images]
            batches = [self.batch(tensors, targets, seeds, forward) for targets in table]
            attributions = attribute_all(self.method, self.model, batches)
            scores = [batch.scores(forward.logits.detach()).tolist() for batch in batches]
        for part, targets, attribution, score in zip(parts, table, attributions, scores, strict=True):
            deltas = [None] * len(images) if attribution.delta is None else attribution.delta.tolist()
            for i, (image, target) in enumerate(zip(images, targets, strict=True)):
                if target is not _NOWHERE:
                    _add(part, image, target, attribution.values[i].numpy(), score[i], deltas[i])

    def _resolve(
        self,
        images: Sequence[LoadedImage],
        logits: torch.Tensor | None,
        parts: list[ChunkResult[SaliencyMap]],
        wanted: Sequence[AbstractSet[str]] | None,
    ) -> list[tuple[Target, ...]]:
        """Return per target one entry per image; `_NOWHERE` where there is nothing to explain."""
        classes = self.model.classes
        rankings = [()] * len(images) if logits is None else logits.topk(self._depth, dim=1).indices.tolist()
        table = []
        for slot, (spec, part) in enumerate(zip(self.targets, parts, strict=True)):
            targets = []
            for image, ranking in zip(images, rankings, strict=True):
                target = _NOWHERE
                if wanted is None or image.item.id in wanted[slot]:
                    item = image.item if self.stored_predictions else replace(image.item, predicted=None)
                    try:
                        target = spec.resolve(item, classes, ranking or None)
                    except TargetError as error:
                        part.failures.append(Failure(image.item.id, image.item.filepath, str(error), "skip"))
                targets.append(target)
            table.append(tuple(targets))
        return table


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predict the class of each image of a chunk, or its labels where classes do not exclude each other.

    Args:
        model: the model.
        limit: how much goes through the network at once.
        threshold: least probability of a label, in [0, 1], where classes do not exclude each other.
    """

    model: ModelAdapter
    limit: Limit = field(default_factory=Limit)
    threshold: float = THRESHOLD

    def probe(self) -> None:
        """Predict one drawn image, so that what is wrong with the model stops the run at its start.

        Raises:
            ModelError: if the model, its classes and its preprocessing do not agree, or its scores may be anything.
        """
        with self.model.explaining(), torch.no_grad(), self.model.probing() as images:
            self.model.probabilities(self.model.logits(images))

    def __call__(self, chunk: Loaded) -> ChunkResult[Prediction | LabelsPrediction]:
        """Predict a chunk."""
        return isolate(chunk, self._predict, 1, self.limit)[0]

    def _predict(self, images: Sequence[LoadedImage], parts: list[ChunkResult[Prediction | LabelsPrediction]]) -> None:
        with self.model.explaining(), torch.no_grad():
            columns = self.model.logits(stack(images, self.model)).cpu()
        table = zip(images, self.model.scoring.logits_of(columns), self.model.probabilities(columns), strict=True)
        for image, row, probabilities in table:
            if not torch.isfinite(row).all():
                parts[0].failures.append(Failure(image.item.id, image.item.filepath, "the logits are not finite"))
            elif self.model.scoring.exclusive:
                best = int(row.argmax())
                label, confidence = self.model.classes[best], float(probabilities[best])
                parts[0].results.append(Prediction(image.item.id, label, confidence, row.numpy()))
            else:
                order = [
                    k
                    for k in probabilities.argsort(descending=True, stable=True).tolist()
                    if probabilities[k] >= self.threshold
                ]
                labels = tuple(self.model.classes[k] for k in order)
                confidences = tuple(float(probabilities[k]) for k in order)
                parts[0].results.append(LabelsPrediction(image.item.id, labels, confidences, row.numpy()))


def reduced(model: ModelAdapter, precision: Precision) -> AbstractContextManager[Any]:
    """Return the context in which the network's trunk runs in the given precision."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def stack(images: Sequence[LoadedImage], model: ModelAdapter) -> torch.Tensor:
    """Return the images as one batch on the model's device, in the layout that convolutions like best."""
    # The channels lie last in memory already, and stacking them so keeps it at that.
    batch = torch.stack([image.tensor.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
    if model.device.type == "cuda":
        batch = batch.pin_memory()
    return batch.to(model.device, model.dtype, non_blocking=True)


def _add(
    part: ChunkResult[SaliencyMap],
    image: LoadedImage,
    target: Target,
    values: np.ndarray,
    score: float,
    delta: float | None,
) -> None:
    """Place a map in the frame of its image, or record why there is none."""
    if not np.isfinite(values).all() or not math.isfinite(score):
        what = "the score is" if np.isfinite(values).all() else "the map has values that are"
        reason = f"{what} not finite (NaN or infinite logits or gradients)"
        part.failures.append(Failure(image.item.id, image.item.filepath, reason))
        return
    placed = place(values, image.placement, frame_size(values.shape, image.placement, image.size))
    part.results.append(SaliencyMap(image.item.id, target, placed, score, delta, image.placement.seen))


def _kept(
    images: Sequence[LoadedImage], table: list[tuple[Target, ...]]
) -> tuple[Sequence[LoadedImage], list[tuple[Target, ...]]]:
    """Leave out the images that no target explains."""
    kept = _explained(table)
    return [images[i] for i in kept], [tuple(targets[i] for i in kept) for targets in table]


def _narrow(
    images: Sequence[LoadedImage], tensors: torch.Tensor, forward: Forward, table: list[tuple[Target, ...]]
) -> tuple[Sequence[LoadedImage], torch.Tensor, Forward, list[tuple[Target, ...]]]:
    """Leave out the images that no target explains, unless a graph already hangs on all of them."""
    kept = _explained(table)
    if len(kept) == len(images) or (kept and forward.activations):
        return images, tensors, forward, table
    images, table = _kept(images, table)
    return images, tensors[kept], Forward(forward.logits[kept]), table


def _explained(table: list[tuple[Target, ...]]) -> list[int]:
    return [i for i, targets in enumerate(zip(*table, strict=True)) if any(t is not _NOWHERE for t in targets)]


def isolate(
    chunk: Loaded, work: Callable[[Sequence[LoadedImage], list[ChunkResult[R]]], None], slots: int, limit: Limit
) -> list[ChunkResult[R]]:
    """Do the work by groups of equal input shape; where a group breaks, do it image by image.

    Where memory runs out, groups are halved instead.
    """
    failed = [entry for entry in chunk if isinstance(entry, Failure)]
    total: list[ChunkResult[R]] = [ChunkResult([], list(failed)) for _ in range(slots)]
    groups: dict[tuple[int, ...], list[LoadedImage]] = {}
    for entry in chunk:
        if isinstance(entry, LoadedImage):
            groups.setdefault(tuple(entry.tensor.shape), []).append(entry)
    queue = list(groups.values())
    while queue:
        group, *rest = _cut(queue.pop(0), limit.images)
        queue[:0] = rest
        parts = [ChunkResult[R]() for _ in range(slots)]
        try:
            work(group, parts)
        except Exception as error:  # noqa: BLE001 - one bad image is one failure record, whatever broke
            if _out_of_memory(error) and (len(group) > 1 or limit.rows > 1):
                limit.halve(len(group))
                queue.insert(0, group)
                continue
            if len(group) > 1:
                queue.extend([image] for image in group)
                continue
            reason = str(error) if isinstance(error, SaliencyError) else f"{type(error).__name__}: {error}"
            failure = Failure(group[0].item.id, group[0].item.filepath, reason)
            parts = [ChunkResult([], [failure]) for _ in range(slots)]
        for whole, part in zip(total, parts, strict=True):
            whole.results.extend(part.results)
            whole.failures.extend(part.failures)
    return total


def _cut(group: list[LoadedImage], size: int | None) -> list[list[LoadedImage]]:
    size = size or len(group)
    return [group[i : i + size] for i in range(0, len(group), size)]


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
