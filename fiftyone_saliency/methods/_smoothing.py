"""What SmoothGrad and VarGrad share: any gradient method's maps of noisy copies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds, check_choice
from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._noise import Moments, copies, generators, passes, spreads
from fiftyone_saliency.methods._registry import get_method, list_methods
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@dataclass(frozen=True)
class Smoothing:
    """Base of the methods over noisy copies; a subclass chooses what to keep of the copies' maps."""

    base: str = "saliency"
    samples: int = bounded(16, 1, 10_000)
    noise: float = bounded(0.15, 0, 1)

    def __post_init__(self) -> None:
        bases = [
            name
            for name, info in list_methods().items()
            if info.family == "gradient" and info.evidence and not issubclass(info.cls, Smoothing)
        ]
        check_choice(self.base, "base", bases)
        check_bounds(self)

    def moments(self, model: ModelAdapter, batch: Batch) -> Moments:
        """Return mean and variance of the base's attributions over noisy copies."""
        _, base = get_method(self.base)
        random, spread, found = generators(batch), spreads(batch, self.noise), Moments(batch)
        for rows in passes(batch, self.samples):
            drawn = [_draw(random[row], batch.images[row]) for row in rows]
            noise = torch.stack([noise for noise, _ in drawn]).to(batch.images.device)
            images = batch.images.detach()[rows] + spread[rows] * noise
            output = base(model, copies(batch, rows, images, [seed for _, seed in drawn]))
            found.add(rows, (output.values if isinstance(output, Attribution) else output).detach())
        return found


def _draw(random: torch.Generator, image: Tensor) -> tuple[Tensor, int]:
    """Draw a copy's noise, and a seed for a base that draws itself."""
    noise = torch.randn(image.shape, generator=random)
    return noise, int(torch.randint(2**62, (), generator=random))
