"""What all perturbation methods share: forward passes that are filled across images and perturbations alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch, score_of


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive perturbations of one image.

    Args:
        image: position of the image in its batch.
        first: number of the first perturbation.
        last: number behind the last perturbation.
    """

    image: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


Perturb = Callable[[Run, slice, Tensor], object]
"""Called with a run, its rows in the forward pass and the images (n, C, H, W) to write there."""


def stream_scores(
    model: ModelAdapter, batches: Sequence[Batch], runs: Iterable[Run], perturb: Perturb
) -> Iterator[tuple[Run, slice, Tensor]]:
    """Run the network over perturbed images, always as many at once as `Batch.rows` says; call it under no_grad.

    A pass may hold the end of one image's perturbations and the beginning of the next one's. All passes write into
    one buffer, in the memory layout of the images.

    Args:
        model: the model.
        batches: the same images with other targets.
        runs: which perturbations of which images; they are cut where a pass is full.
        perturb: writes the perturbed images.

    Yields:
        Each run as it was cut, its rows in the pass and its scores (T, n), one row per batch.
    """
    images = batches[0].images
    columns = [batch.columns for batch in batches]
    buffer: Tensor | None = None
    for filled in _passes(runs, batches[0].rows):
        count = filled[-1][1].stop
        if buffer is None:
            buffer = _empty(images, count)
        for run, rows in filled:
            perturb(run, rows, buffer[rows])
        logits = model.logits(buffer[:count])
        owner = torch.tensor([run.image for run, _ in filled for _ in range(len(run))], device=logits.device)
        scores = torch.stack(
            [
                score_of(logits, plus[owner], minus[owner], batch.output)
                for batch, (plus, minus) in zip(batches, columns, strict=True)
            ]
        )
        for run, rows in filled:
            yield run, rows, scores[:, rows]


def all_scores(model: ModelAdapter, batches: Sequence[Batch], counts: Sequence[int], perturb: Perturb) -> list[Tensor]:
    """Return the scores of all perturbations of each image: one tensor (T, count) per image; see `stream_scores`."""
    runs = [Run(image, 0, count) for image, count in enumerate(counts)]
    parts: list[list[Tensor]] = [[] for _ in runs]
    for run, _, scores in stream_scores(model, batches, runs, perturb):
        parts[run.image].append(scores)
    return [torch.cat(found, dim=1) for found in parts]


def original_scores(model: ModelAdapter, batches: Sequence[Batch]) -> Tensor:
    """Return the scores (T, N) of the images as they are, from the forward pass that was made, if one was."""
    forward = batches[0].forward
    if forward is not None:
        return torch.stack([batch.scores(forward.logits.detach()) for batch in batches])
    images = batches[0].images
    return torch.cat(
        all_scores(model, batches, [1] * len(images), lambda run, _, rows: rows.copy_(images[run.image])), dim=1
    )


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Return the context for arithmetic on masks and scores, which the network's reduced precision must not touch."""
    return torch.autocast(tensor.device.type, enabled=False)


def _passes(runs: Iterable[Run], size: int) -> Iterator[list[tuple[Run, slice]]]:
    """Cut runs and lay them side by side; all passes but the last have exactly ``size`` rows."""
    filled: list[tuple[Run, slice]] = []
    count = 0
    for run in runs:
        first = run.first
        while first < run.last:
            last = min(run.last, first + size - count)
            filled.append((Run(run.image, first, last), slice(count, count + last - first)))
            count, first = count + last - first, last
            if count == size:
                yield filled
                filled, count = [], 0
    if filled:
        yield filled


def _empty(images: Tensor, count: int) -> Tensor:
    layout = torch.contiguous_format if images.is_contiguous() else torch.channels_last
    shape = (count, *images.shape[1:])
    return torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=layout)
