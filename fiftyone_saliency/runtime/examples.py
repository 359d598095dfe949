"""Images with what is explained in each: what a check of a method works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fiftyone_saliency.core.errors import TargetError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.plan import sample_seed
from fiftyone_saliency.runtime.worker import Explainer, Loaded, stack


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of one input shape, with targets and seeds as a run has them.

    Args:
        images: the loaded images.
        batch: the same as a method takes them.
    """

    images: tuple[LoadedImage, ...]
    batch: Batch


def examples(chunk: Loaded, explainer: Explainer, size: int) -> Iterator[Examples]:
    """Yield what the explainer would explain first, its first target, in batches of up to ``size`` images.

    Images that could not be read, or that have nothing to explain, are left out.
    """
    groups: dict[tuple[int, ...], list[LoadedImage]] = {}
    for entry in chunk:
        if isinstance(entry, LoadedImage):
            groups.setdefault(tuple(entry.tensor.shape), []).append(entry)
    for group in groups.values():
        for start in range(0, len(group), size):
            found = _examples(group[start : start + size], explainer)
            if found is not None:
                yield found


def maps_of(method: Method, model: ModelAdapter, batch: Batch) -> list[NDArray[np.float32]]:
    """Return a method's map of each image, signed, (h, w) on the method's own grid over the network's input."""
    return list(attribute(method, model, batch).values.numpy())


def _examples(images: Sequence[LoadedImage], explainer: Explainer) -> Examples | None:
    model, spec = explainer.model, explainer.targets[0]
    depth = spec.depth(model.classes, explainer.stored_predictions)
    tensors = stack(images, model)
    with model.explaining(), torch.no_grad():
        rankings = model.logits(tensors).topk(depth, dim=1).indices.tolist() if depth else [None] * len(images)
    targets: dict[int, Target] = {}
    for i, (image, ranking) in enumerate(zip(images, rankings, strict=True)):
        try:
            targets[i] = spec.resolve(image.item, model.classes, ranking)
        except TargetError:
            continue
    if not targets:
        return None
    kept = tuple(images[i] for i in targets)
    seeds = [sample_seed(explainer.seed, image.item.id) for image in kept]
    return Examples(kept, explainer.batch(tensors[list(targets)], list(targets.values()), seeds))
