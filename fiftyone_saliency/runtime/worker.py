"""Explain or predict one chunk of loaded images; what breaks is recorded, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image

from fiftyone_saliency.core.errors import SaliencyError, TargetError
from fiftyone_saliency.core.maps import frame_size, place
from fiftyone_saliency.core.targets import PREDICTED, TargetSpec
from fiftyone_saliency.core.types import Failure, Prediction, SaliencyMap, SampleItem, Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.plan import sample_seed

R = TypeVar("R")
Loaded = Sequence[LoadedImage | Failure]


@dataclass(frozen=True)
class ChunkResult(Generic[R]):
    """What became of one chunk: results and failures; together they name each sample once."""

    results: list[R] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Explainer:
    """All that is needed to explain a chunk.

    Args:
        model: the model.
        method: the method.
        target: what to explain.
        seed: seed of the run.
        stored_predictions: whether "predicted" means the stored label; else it is what the model says now.
    """

    model: ModelAdapter
    method: Method
    target: TargetSpec
    seed: int
    stored_predictions: bool = True

    def probe(self) -> None:
        """Explain one drawn image, so that what is wrong with model or method stops the run at its start.

        Raises:
            SaliencyError: if the model, its classes, its preprocessing, the layer and the method do not agree.
        """
        attribute(self.method, self.model, Batch(_probe_image(self.model), (Target(0, ""),), (0,)))

    def still_explains(self, item: SampleItem, label: str) -> bool:
        """Return whether a stored map of that label is what would be computed for the sample now."""
        if not self.stored_predictions and PREDICTED in self.target.sides:
            return True
        try:
            return self.target.resolve(item, self.model.classes).label == label
        except TargetError:
            return False

    def __call__(self, chunk: Loaded) -> ChunkResult[SaliencyMap]:
        """Explain a chunk."""
        return _isolate(chunk, self._explain)

    def _explain(self, images: Sequence[LoadedImage], result: ChunkResult[SaliencyMap]) -> None:
        tensors = _stack(images, self.model)
        predicted = self._own_predictions(images, tensors)
        kept, targets = [], []
        for i, image in enumerate(images):
            try:
                item = image.item if self.stored_predictions else replace(image.item, predicted=None)
                targets.append(self.target.resolve(item, self.model.classes, predicted[i]))
                kept.append(i)
            except TargetError as error:
                result.failures.append(Failure(image.item.id, image.item.filepath, str(error), "skip"))
        if not kept:
            return
        seeds = tuple(sample_seed(self.seed, images[i].item.id) for i in kept)
        batch = Batch(tensors[kept], tuple(targets), seeds)
        maps = attribute(self.method, self.model, batch).numpy()
        scores = self._scores(batch)
        for i, target, values, score in zip(kept, targets, maps, scores, strict=True):
            image = images[i]
            if not np.isfinite(values).all() or not math.isfinite(score):
                what = "the score is" if np.isfinite(values).all() else "the map has values that are"
                reason = f"{what} not finite (NaN or infinite logits or gradients)"
                result.failures.append(Failure(image.item.id, image.item.filepath, reason))
                continue
            placed = place(values, image.placement, frame_size(values.shape, image.placement, image.size))
            result.results.append(SaliencyMap(image.item.id, target, placed, score))

    def _own_predictions(self, images: Sequence[LoadedImage], tensors: torch.Tensor) -> list[int | None]:
        if self.stored_predictions or PREDICTED not in self.target.sides:
            return [None] * len(images)
        with self.model.explaining(), torch.no_grad():
            return [int(i) for i in self.model.logits(tensors).argmax(dim=1)]

    def _scores(self, batch: Batch) -> list[float]:
        with self.model.explaining(), torch.no_grad():
            return self.model.score(batch.images, batch.plus, batch.minus).tolist()


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predict the class of each image of a chunk.

    Args:
        model: the model.
    """

    model: ModelAdapter

    def probe(self) -> None:
        """Predict one drawn image, so that what is wrong with the model stops the run at its start.

        Raises:
            ModelError: if the model, its classes and its preprocessing do not agree.
        """
        with self.model.explaining(), torch.no_grad():
            self.model.logits(_probe_image(self.model))

    def __call__(self, chunk: Loaded) -> ChunkResult[Prediction]:
        """Predict a chunk."""
        return _isolate(chunk, self._predict)

    def _predict(self, images: Sequence[LoadedImage], result: ChunkResult[Prediction]) -> None:
        with self.model.explaining(), torch.no_grad():
            logits = self.model.logits(_stack(images, self.model)).cpu()
        for image, row, probabilities in zip(images, logits, logits.double().softmax(dim=1), strict=True):
            if not torch.isfinite(row).all():
                result.failures.append(Failure(image.item.id, image.item.filepath, "the logits are not finite"))
                continue
            best = int(row.argmax())
            label, confidence = self.model.classes[best], float(probabilities[best])
            result.results.append(Prediction(image.item.id, label, confidence, row.numpy()))


def _probe_image(model: ModelAdapter) -> torch.Tensor:
    noise = np.random.default_rng(51).integers(0, 256, (240, 320, 3), np.uint8)
    tensor, _ = model.prepare(Image.fromarray(noise))
    return tensor[None].to(model.device, model.dtype)


def _stack(images: Sequence[LoadedImage], model: ModelAdapter) -> torch.Tensor:
    return torch.stack([image.tensor for image in images]).to(model.device, model.dtype)


def _isolate(chunk: Loaded, work: Callable[[Sequence[LoadedImage], ChunkResult[R]], None]) -> ChunkResult[R]:
    """Do the work by groups of equal input shape; where a group breaks, do it image by image."""
    total: ChunkResult[R] = ChunkResult([], [entry for entry in chunk if isinstance(entry, Failure)])
    groups: dict[tuple[int, ...], list[LoadedImage]] = {}
    for entry in chunk:
        if isinstance(entry, LoadedImage):
            groups.setdefault(tuple(entry.tensor.shape), []).append(entry)
    queue = list(groups.values())
    while queue:
        group, part = queue.pop(0), ChunkResult[R]()
        try:
            work(group, part)
        except Exception as error:  # noqa: BLE001 - one bad image is one failure record, whatever broke
            if len(group) > 1:
                queue.extend([image] for image in group)
                continue
            reason = str(error) if isinstance(error, SaliencyError) else f"{type(error).__name__}: {error}"
            part = ChunkResult([], [Failure(group[0].item.id, group[0].item.filepath, reason)])
        total.results.extend(part.results)
        total.failures.extend(part.failures)
    return total
