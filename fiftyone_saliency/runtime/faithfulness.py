"""Measure on one image whether a map is faithful to the model: what falls when its pixels are taken away?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from numpy.typing import NDArray
from torch import Generator, Tensor

from fiftyone_saliency.core.faithfulness import Measure
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.metrics.deletion import area_under_curve, first_pixels, random_ranks, rank_pixels
from fiftyone_saliency.metrics.road import impute
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.runtime.substrate import Substrate, blend, substrate_of

ROAD_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
ROAD_NOISE = 0.1
PERTURBATIONS = 32
# Side of the squares whose absence the infidelity asks about, as a share of the image's.
SQUARE = 0.25
# Radius of the noise that a map should hardly notice, as a share of the image's range of values.
RADIUS = 0.02

Pair = tuple[float | None, float | None]


@dataclass(frozen=True, eq=False)
class Prober:
    """Measure one image at a time.

    Args:
        model: the model.
        method: the method whose maps are measured; computed again for infidelity and sensitivity.
        steps: steps of deletion and insertion; each removes an equal share of the pixels.
        substrate: what takes the place of removed pixels, but for ROAD.
    """

    model: ModelAdapter
    method: Method
    steps: int
    substrate: Substrate

    def __call__(self, batch: Batch, saliency: NDArray[np.float32], measures: Sequence[Measure]) -> dict[str, Pair]:
        """Measure one image.

        Args:
            batch: the image (1, C, H, W), its target and its seed.
            saliency: the stored map (H, W) in the network's input; its order of pixels is what counts.
            measures: what to measure.

        Returns:
            By measure, the value of the map and that of chance; a map that is equal everywhere has none of its own.
        """
        with self.model.explaining():
            found = {name: getattr(self, f"_{name}")(batch, saliency) for name in measures}
        return {name: (_finite(value), _finite(chance)) for name, (value, chance) in found.items()}

    def _deletion(self, batch: Batch, saliency: NDArray[np.float32]) -> Pair:
        filling = substrate_of(batch.images, self.substrate)
        return self._curves(batch, saliency, batch.images, filling)

    def _insertion(self, batch: Batch, saliency: NDArray[np.float32]) -> Pair:
        filling = substrate_of(batch.images, self.substrate)
        return self._curves(batch, saliency, filling, batch.images)

    def _curves(self, batch: Batch, saliency: NDArray[np.float32], start: Tensor, end: Tensor) -> Pair:
        """Return the area under the curve from one image to the other, in the map's order and in a drawn one."""
        fractions = np.linspace(0, 1, self.steps + 1)

        def score(ranks: NDArray[np.int64]) -> float:
            found = []
            for first in range(0, len(fractions), batch.rows):
                masks = [torch.from_numpy(first_pixels(ranks, f)) for f in fractions[first : first + batch.rows]]
                images = [blend(start[0], end[0], mask.to(start)) for mask in masks]
                found.append(self._probabilities(batch, images))
            return area_under_curve(np.concatenate(found))

        return _beside_chance(saliency, batch.seeds[0], score)

    def _road(self, batch: Batch, saliency: NDArray[np.float32]) -> Pair:
        """Return the mean probability over shares of removed pixels, most salient first, filled in from around."""
        image = batch.images[0].float().cpu().numpy()
        noise = ROAD_NOISE * float(image.std())

        def score(ranks: NDArray[np.int64]) -> float:
            removed = [first_pixels(ranks, fraction) for fraction in ROAD_FRACTIONS]
            images = [torch.from_numpy(impute(image, mask, noise, batch.seeds[0])) for mask in removed]
            return float(np.mean(self._probabilities(batch, images)))

        return _beside_chance(saliency, batch.seeds[0], score)

    def _infidelity(self, batch: Batch, saliency: NDArray[np.float32]) -> Pair:  # noqa: ARG002 (one signature)
        """Return captum's infidelity, scaled by the best factor, of squares that are taken away."""
        images = batch.images.detach()
        values = attribute(self.method, self.model, batch).values[:, None].to(images)
        values = torch.nn.functional.interpolate(values, images.shape[2:], mode="bilinear", align_corners=False)
        drawn = torch.rand(values.shape, generator=Generator().manual_seed(batch.seeds[0] + 1)).to(images)
        return self._infidelity_of(batch, values), self._infidelity_of(batch, drawn)

    def _infidelity_of(self, batch: Batch, values: Tensor) -> float | None:
        images, channels = batch.images.detach(), batch.images.shape[1]
        if values.max() == values.min():
            return None
        filling = substrate_of(images, self.substrate)
        generator = Generator().manual_seed(batch.seeds[0])

        def perturb(copies: Tensor) -> tuple[Tensor, Tensor]:
            squares = draw_squares(len(copies), (images.shape[2], images.shape[3]), generator).to(images)
            return squares.expand_as(copies), blend(copies, filling, squares)

        found = infidelity(
            batch.score_function(self.model),
            perturb,
            images,
            # A map has one value per pixel, an input one per channel: its share.
            (values / channels).expand_as(images),
            additional_forward_args=batch.columns,
            n_perturb_samples=PERTURBATIONS,
            max_examples_per_batch=batch.rows,
            normalize=True,
        )
        return float(found[0])

    def _sensitivity(self, batch: Batch, saliency: NDArray[np.float32]) -> Pair:  # noqa: ARG002 (one signature)
        """Return captum's max-sensitivity; a random map does not see the image, so that chance is undefined."""
        images = batch.images.detach()
        generator = Generator().manual_seed(batch.seeds[0])
        radius = RADIUS * float(images.max() - images.min())

        def perturb(copies: Tensor) -> Tensor:
            return copies + radius * (2 * torch.rand(copies.shape, generator=generator) - 1).to(copies)

        def explain(copies: Any) -> tuple[Tensor]:
            copies = copies[0] if isinstance(copies, tuple) else copies
            count = len(copies)
            again = Batch(copies, batch.targets * count, batch.seeds * count, batch.output, None, batch.rows)
            # In a tuple: captum would take a bare tensor of one map for its rows.
            return (attribute(self.method, self.model, again).values,)

        measure: Any = sensitivity_max  # its annotation takes no single tensor, the function does
        found = measure(explain, images, perturb, n_perturb_samples=PERTURBATIONS, max_examples_per_batch=batch.rows)
        return float(found[0]), None

    @torch.no_grad()
    def _probabilities(self, batch: Batch, images: Sequence[Tensor]) -> NDArray[np.float64]:
        """Return the probability of the target's class for each variant (C, H, W) of the image."""
        logits = [
            self.model.logits(torch.stack(list(images[start : start + batch.rows])))
            for start in range(0, len(images), batch.rows)
        ]
        return self.model.probabilities(torch.cat(logits))[:, batch.targets[0].index].cpu().numpy()


def draw_squares(count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Return masks (count, 1, H, W), each 1 in one square at a drawn place, whole or cut by the border."""
    masks = torch.zeros(count, 1, *size)
    height, width = (max(1, round(SQUARE * side)) for side in size)
    for mask in masks:
        row, column = (int(torch.randint(side, (), generator=generator)) for side in size)
        mask[:, max(0, row - height // 2) : row + height - height // 2][
            ..., max(0, column - width // 2) : column + width - width // 2
        ] = 1
    return masks


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _beside_chance(saliency: NDArray[np.float32], seed: int, score: Callable[[NDArray[np.int64]], float]) -> Pair:
    size = (saliency.shape[0], saliency.shape[1])
    value = None if np.ptp(saliency) == 0 else score(rank_pixels(saliency, seed))
    # Another stream than that of the ties: a map full of ties must not meet itself.
    return value, score(random_ranks(size, seed + 1))
