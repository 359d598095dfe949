"""What a method is given: images, what to explain in each, a seed for each, and the forward pass that was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fiftyone_saliency.core.types import Output, Target
from fiftyone_saliency.models.forward import Forward

if TYPE_CHECKING:
    from fiftyone_saliency.models.adapter import ModelAdapter

ROWS = 32


@dataclass(frozen=True, eq=False)
class Batch:
    """Images and their targets, on the model's device.

    Args:
        images: preprocessed images, float (N, C, H, W).
        targets: what each map explains, N of them.
        seeds: seed of each image's random numbers, N of them, so that a map does not depend on its batch.
        output: what makes the score of a column: ``"logits"`` the column itself, ``"softmax"`` or ``"sigmoid"``.
        forward: the forward pass over these images that the caller has already made, or None.
        rows: images per forward pass for methods that make many; memory grows with it.
    """

    images: Tensor
    targets: tuple[Target, ...]
    seeds: tuple[int, ...]
    output: Output = "logits"
    forward: Forward | None = None
    rows: int = ROWS

    @property
    def plus(self) -> Tensor:
        """Columns of the logits whose evidence is shown, int64 (N,)."""
        return torch.tensor([t.index for t in self.targets], device=self.images.device)

    @property
    def minus(self) -> Tensor:
        """Columns that are subtracted, int64 (N,); -1 where nothing is."""
        columns = [-1 if t.minus is None else t.minus for t in self.targets]
        return torch.tensor(columns, device=self.images.device)

    @property
    def columns(self) -> tuple[Tensor, Tensor]:
        """`plus` and `minus`: what a score function takes beside images."""
        return self.plus, self.minus

    def scores(self, logits: Tensor) -> Tensor:
        """Return the explained score (N,) of the logits (N, K) of these images."""
        return score_of(logits, self.plus, self.minus, self.output)

    def score_function(self, model: ModelAdapter) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return ``f(images, plus, minus)``, the score (M,) of any M images: what captum calls a forward function."""
        return lambda images, plus, minus: score_of(model.logits(images), plus, minus, self.output)

    def __len__(self) -> int:
        return len(self.targets)


def score_of(logits: Tensor, plus: Tensor, minus: Tensor, output: Output) -> Tensor:
    """Return the explained score of each image, (N,): a logit or a probability, or the difference of two.

    Args:
        logits: (N, K).
        plus: columns whose evidence is shown, int64 (N,).
        minus: columns to subtract, int64 (N,), -1 for none.
        output: ``"logits"``, or ``"softmax"`` and ``"sigmoid"`` for probabilities, which saturate.
    """
    values = logits
    if output != "logits":
        values = logits.softmax(dim=1) if output == "softmax" else logits.sigmoid()
    score = values.gather(1, plus[:, None])[:, 0]
    subtracted = values.gather(1, minus.clamp(min=0)[:, None])[:, 0]
    return torch.where(minus >= 0, score - subtracted, score)
