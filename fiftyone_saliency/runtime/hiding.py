"""Hide a region of each image from the network, and as much of it elsewhere, and see whether its answer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from fiftyone_saliency.core.frames import shown, to_input
from fiftyone_saliency.core.hiding import Fill, Hidden, overlap, shifted
from fiftyone_saliency.core.types import Failure, Placement
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.runtime.loading import LoadedImage
from fiftyone_saliency.runtime.plan import sample_seed
from fiftyone_saliency.runtime.substrate import blend, substrate_of, surroundings
from fiftyone_saliency.runtime.worker import ChunkResult, Limit, Loaded, isolate, stack

Mask = NDArray[np.float32]
# Weights below this are no part of the region: traces of its soft edge.
_TRACE = 0.01
# Changes up to here are rounding and no effect: in parts of the logits' spread, and in steps of the number format.
_SPREAD, _STEPS = 1e-5, 64


@dataclass(frozen=True, eq=False)
class Scene:
    """What is hidden in an image, and what may take its place.

    Args:
        weights: the region (h, w) in [0, 1] over the whole image; None if the image has none.
        partner: another image, for ``fill="swap"``.
        partner_weights: the same region in it.
    """

    weights: Mask | None
    partner: LoadedImage | Failure | None = None
    partner_weights: Mask | None = None


@dataclass(frozen=True, eq=False)
class Hider:
    """Hide a region in each image of a chunk.

    Args:
        model: the model.
        fill: what replaces the region.
        controls: number of areas of the region's shape elsewhere in the image that are hidden for comparison.
        seed: seed of their places; each sample has its own stream.
        rows: images per forward pass.
        limit: how much goes through the network at once.
    """

    model: ModelAdapter
    fill: Fill
    controls: int
    seed: int
    rows: int
    limit: Limit = field(default_factory=Limit)

    def __call__(self, chunk: Loaded, scenes: Mapping[str, Scene]) -> ChunkResult[tuple[str, Hidden]]:
        """Hide the regions of a chunk.

        Args:
            chunk: loaded images.
            scenes: what to hide, by sample id.

        Returns:
            What it did, by sample id, and failures; a sample in neither has nothing to hide in the network's input.
        """

        def work(images: Sequence[LoadedImage], parts: list[ChunkResult[tuple[str, Hidden]]]) -> None:
            self._hide(images, scenes, parts[0])

        return isolate(chunk, work, 1, self.limit)[0]

    def _hide(
        self, images: Sequence[LoadedImage], scenes: Mapping[str, Scene], part: ChunkResult[tuple[str, Hidden]]
    ) -> None:
        masks = {image.item.id: self._masks(image, scenes[image.item.id]) for image in images}
        images = [image for image in images if masks[image.item.id]]
        if not images:
            return
        with self.model.explaining(), torch.no_grad():
            inputs = stack(images, self.model)
            variants = [
                self._variants(one, masks[image.item.id], scenes[image.item.id])
                for one, image in zip(inputs, images, strict=True)
            ]
            rows = torch.cat(variants).split(max(1, min(self.rows, self.limit.rows)))
            logits = torch.cat([self.model.logits(some) for some in rows]).cpu().double()
        for image, answers in zip(images, logits.split(2 + self.controls), strict=True):
            if not torch.isfinite(answers).all():
                part.failures.append(Failure(image.item.id, image.item.filepath, "the logits are not finite"))
                continue
            part.results.append((image.item.id, self._effect(answers, masks[image.item.id], image.placement)))

    def _masks(self, image: LoadedImage, scene: Scene) -> list[Mask]:
        """Return the region in the network's input and its controls, each (H, W); nothing if there is no region."""
        region = _in_input(image, scene.weights)
        if region is None or (self.fill == "swap" and _partner(scene) is None):
            return []
        inside = shown(image.placement, region.shape)
        return [region, *shifted(region, inside, self.controls, sample_seed(self.seed, image.item.id))]

    def _variants(self, image: Tensor, masks: Sequence[Mask], scene: Scene) -> Tensor:
        """Return the image (C, H, W) intact, without the region, and without each control: (2 + controls, C, H, W)."""
        weights = torch.from_numpy(np.stack(masks)).to(image)[:, None]
        images = image.expand(len(masks), *image.shape)
        partner = _partner(scene) if self.fill == "swap" else None
        if partner is not None:
            pasted, theirs = _swapped(image, masks[0], *partner)
            filling = torch.stack([pasted, *[theirs] * self.controls])
        elif self.fill == "mean":
            filling = substrate_of(images, "mean")
        else:
            filling = surroundings(images, weights)
        return torch.cat([image[None], blend(images, filling, weights)])

    def _effect(self, columns: Tensor, masks: Sequence[Mask], placement: Placement) -> Hidden:
        """Compare the answers (V, K) to the image intact, without the region, and without each control.

        What rounding can do is no change: a network that does not look at a region gives almost, not exactly, the same
        scores without it, and a test would find that "almost" as surely as an effect.
        """
        intact, scoring = columns[0], self.model.scoring
        step = _STEPS * torch.finfo(self.model.dtype).eps
        noise = max(_SPREAD * float(intact.max() - intact.min()), step * float(intact.abs().max()))
        columns = torch.where((columns - intact).abs() <= noise, intact, columns)
        answers = scoring.answers(columns)
        flips = (answers[1:] != answers[0]).any(dim=1).double()
        # Of several labels it is the most probable one that is followed.
        logits = scoring.logits_of(columns)
        best = int(logits[0].argmax())
        scores = logits[:, best] - logits[:, 1 - best] if scoring.single else logits[:, best]
        changes = scores[1:] - scores[0]
        region, *controls = masks
        return Hidden(
            area=float(region[shown(placement, region.shape)].mean()),
            flip=float(flips[0]),
            control_flip=float(flips[1:].mean()),
            logit_change=float(changes[0]),
            control_logit_change=float(changes[1:].mean()),
            overlap=float(np.mean([overlap(region, control) for control in controls])),
        )


def _swapped(image: Tensor, region: Mask, partner: LoadedImage, weights: Mask) -> tuple[Tensor, Tensor]:
    """Return the image with the partner's region over its own, box over box, and the partner at the image's size."""
    theirs = partner.tensor.to(image)
    rows, columns = _box(region)
    their_rows, their_columns = _box(weights)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    pasted = image.clone()
    pasted[:, rows, columns] = _resized(theirs[:, their_rows, their_columns], size)
    return pasted, _resized(theirs, (image.shape[1], image.shape[2]))


def _in_input(image: LoadedImage, weights: Mask | None) -> Mask | None:
    """Return a region in the frame of the network's input, (H, W); None if nothing of it is seen there."""
    if weights is None:
        return None
    region = to_input(weights, image.placement, (image.tensor.shape[1], image.tensor.shape[2]))
    region[region < _TRACE] = 0
    return region if region.any() else None


def _partner(scene: Scene) -> tuple[LoadedImage, Mask] | None:
    """Return the partner and the region in its input; None if it could not be read or has none there."""
    if not isinstance(scene.partner, LoadedImage):
        return None
    weights = _in_input(scene.partner, scene.partner_weights)
    return None if weights is None else (scene.partner, weights)


def _box(region: Mask) -> tuple[slice, slice]:
    rows, columns = np.nonzero(region >= region.max() / 2)
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
