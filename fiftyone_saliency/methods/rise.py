"""RISE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.methods._perturb import Run, full_precision, stream_scores
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch

CHECK_EVERY = 128


@register_method("rise", "RISE", family="perturbation", paper="https://arxiv.org/abs/1806.07421")
@dataclass(frozen=True)
class Rise:
    """Show the image through random soft masks and compare the score where a pixel is seen with where it is not.

    What a mask hides fades to zero, the mean colour after normalisation. Needs no gradient. Values are signed, in
    units of the score, at the network's resolution: an estimate of ``E[score | pixel seen] - E[score | pixel
    hidden]``, smooth at the scale of a cell. Its error falls with the root of ``masks``. Every image has masks of
    its own, drawn from its seed; they are made as they are needed, so memory does not grow with their number.

    We depart from the paper in one thing. Its map is ``E[score | pixel seen]``, which for a model that looks at
    nothing is the score itself plus the noise of the masks. We subtract the same for the hidden pixel, which leaves
    ``sum((score - mean score) * mask) / (masks * keep * (1 - keep))``: the order of pixels that the paper's map
    tends to, with less noise, and zero where nothing depends on the pixel.

    Args:
        masks: masks per image, 2 to 100,000; each costs a forward pass.
        grid: cells along each side of a mask before it is enlarged, 1 to 100.
        keep: share of cells that are seen, above 0 and below 1.
        stop: an image is finished, after any 128 masks, once its map's rank correlation (Spearman) with its map
            128 masks before is at least this; 1 never stops early.

    References:
        Petsiuk, Das, Saenko. RISE: Randomized Input Sampling for Explanation of Black-box Models. BMVC 2018,
        sec. 3.2 (masks) and eq. 6. https://arxiv.org/abs/1806.07421
    """

    masks: int = bounded(512, 2, 100_000)
    grid: int = bounded(7, 1, 100)
    keep: float = bounded(0.5, 0, 1)
    stop: float = bounded(1.0, 0, 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 0 < self.keep < 1:
            raise ArgumentError(
                f"Expected 0 < `keep` < 1, but got {self.keep}. A mask must show some cells and hide others."
            )

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the maps (N, H, W)."""
        return self.all_targets(model, [batch])[0]

    @torch.no_grad()
    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps of several targets of the same images; they share every forward pass."""
        images = batches[0].images
        masks = _Masks(self, batches[0])
        sums = _Sums(len(batches), images)
        maps = sums.maps(1, self.keep)
        done = torch.zeros(maps.shape[:2], dtype=torch.bool)
        shown = list(range(len(images)))
        step = CHECK_EVERY if self.stop < 1 else self.masks
        for first in range(0, self.masks, step):
            last = min(first + step, self.masks)
            runs = [Run(image, first, last) for image in shown]
            for run, rows, scores in stream_scores(model, batches, runs, masks.apply):
                sums.add(run, masks.drawn[rows], scores)
            # What is done stays as it was; its image may go on for another target.
            current = torch.where(done[..., None, None].to(maps.device), maps, sums.maps(last, self.keep))
            if first and last < self.masks:
                for image in shown:
                    done[:, image] |= _rank_correlation(maps[:, image], current[:, image]) >= self.stop
                shown = [image for image in shown if not done[:, image].all()]
            maps = current
            if not shown:
                break
        return list(maps)


class _Masks:
    """The masks of each image: mask k depends on the image's seed and on k alone.

    Args:
        rise: grid and share of cells.
        batch: images and their seeds.
    """

    def __init__(self, rise: Rise, batch: Batch) -> None:
        self.grid, self.keep, self.images = rise.grid, rise.keep, batch.images
        # Each draws the numbers of its image's masks one mask after the other.
        self.generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        self.sides = self.images.shape[2:]
        self.cells = torch.tensor([ceil(side / rise.grid) for side in self.sides])
        self.enlarge = [self._enlarging(int(cell)) for cell in self.cells]
        rows = min(batch.rows, len(batch) * rise.masks)
        self.drawn = torch.empty(rows, *self.sides, device=self.images.device)

    def apply(self, run: Run, rows: slice, perturbed: Tensor) -> None:
        """Draw the run's masks and write the image as seen through them."""
        masks = self.drawn[rows]
        numbers = torch.rand(len(run), self.grid**2 + 2, generator=self.generators[run.image])
        cells = (numbers[:, 2:] < self.keep).to(masks).unflatten(1, (self.grid, self.grid))
        shifts = (numbers[:, :2] * self.cells).long().to(masks.device)
        down, across = (
            table[shift[:, None] + torch.arange(side, device=masks.device)]
            for table, shift, side in zip(self.enlarge, shifts.T, self.sides, strict=True)
        )
        with full_precision(masks):
            # Bilinear enlarging is a product of two linear ones.
            torch.bmm(down @ cells, across.transpose(1, 2), out=masks)
        torch.mul(self.images[run.image], masks[:, None], out=perturbed)

    def _enlarging(self, cell: int) -> Tensor:
        """Return the weights ((grid + 1) * cell, grid) with which cells make up the pixels of one side."""
        unit = torch.eye(self.grid, device=self.images.device)[None]
        return F.interpolate(unit, size=(self.grid + 1) * cell, mode="linear", align_corners=False)[0].T.contiguous()


class _Sums:
    """What a map is made of, of constant size: the sums of the masks and of the masks times the scores.

    Args:
        targets: T.
        images: (N, C, H, W).
    """

    def __init__(self, targets: int, images: Tensor) -> None:
        count, _, *self.sides = images.shape
        # The last row takes the masks themselves.
        self.masks = torch.zeros(targets + 1, count, self.sides[0] * self.sides[1], device=images.device)
        self.scores = torch.zeros(targets, count, 1, device=images.device)
        self.first: dict[int, Tensor] = {}

    def add(self, run: Run, masks: Tensor, scores: Tensor) -> None:
        """Take in the masks (n, H, W) of an image and their scores (T, n)."""
        # Scores count from the image's first one: a constant score is exactly nothing, and no digits are lost.
        change = (scores - self.first.setdefault(run.image, scores[:, :1].clone())).to(self.masks.dtype)
        weights = torch.cat([change, torch.ones_like(change[:1])])
        # In place, so that autocast leaves it in float32.
        self.masks[:, run.image].addmm_(weights, masks.flatten(1))
        self.scores[:, run.image] += change.sum(dim=1, keepdim=True)

    def maps(self, count: int, keep: float) -> Tensor:
        """Return the maps (T, N, H, W) after ``count`` masks."""
        centred = self.masks[:-1] - self.scores / count * self.masks[-1]
        return (centred / (count * keep * (1 - keep))).unflatten(2, self.sides)


def _rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return Spearman's correlation (T,), on the CPU, of maps (T, H, W); equal values rank in reading order."""
    ranks = (maps.flatten(1).argsort(dim=1, stable=True).argsort(dim=1).double() for maps in (one, other))
    first, second = (r - r.mean(dim=1, keepdim=True) for r in ranks)
    return F.cosine_similarity(first, second, dim=1).cpu()
