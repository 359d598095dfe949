"""What a method is given: images, what to explain in each, and a seed for each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.core.types import Target


@dataclass(frozen=True, eq=False)
class Batch:
    """Images and their targets, on the model's device.

    Args:
        images: preprocessed images, float (N, C, H, W).
        targets: what each map explains, N of them.
        seeds: seed of each image's random numbers, N of them, so that a map does not depend on its batch.
    """

    images: Tensor
    targets: tuple[Target, ...]
    seeds: tuple[int, ...]

    @property
    def plus(self) -> Tensor:
        """Columns of the logits whose evidence is shown, int64 (N,)."""
        return torch.tensor([t.index for t in self.targets], device=self.images.device)

    @property
    def minus(self) -> Tensor:
        """Columns that are subtracted, int64 (N,); -1 where nothing is."""
        columns = [-1 if t.minus is None else t.minus for t in self.targets]
        return torch.tensor(columns, device=self.images.device)

    def __len__(self) -> int:
        return len(self.targets)
