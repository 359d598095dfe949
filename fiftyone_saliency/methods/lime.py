"""LIME."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._superpixels import SuperpixelMethod


@register_method("lime", "LIME", family="perturbation", paper="https://arxiv.org/abs/1602.04938")
@dataclass(frozen=True)
class Lime(SuperpixelMethod):
    """Fit a linear model to the scores of the image with random superpixels left out, and show its weights.

    A segment that is left out is zero, the mean colour after normalisation. Needs no gradient. Values are signed, in
    units of the score, at the network's resolution: every pixel has the value of its whole segment, by how much its
    presence raises the score.

    The linear model is a weighted least squares fit with an intercept to all segments; the paper first chooses a few
    of them by Lasso, to have a short list to read, which a map does not need.

    Args:
        segments: about how many superpixels an image is cut into, 1 to 1,000.
        samples: random combinations per image, 1 to 20,000; each costs a forward pass. Take several times
            ``segments``.
        width: width of the kernel by which combinations near the whole image count more, above 0 and up to
            1,000, in units of the cosine distance from it.

    References:
        Ribeiro, Singh, Guestrin. "Why Should I Trust You?": Explaining the Predictions of Any Classifier. KDD 2016,
        eq. 2 and sec. 3.4. https://arxiv.org/abs/1602.04938
    """

    segments: int = bounded(50, 1, 1000)
    samples: int = bounded(512, 1, 20_000)
    width: float = bounded(0.25, 0, 1000)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.width == 0:
            raise ArgumentError("Expected `width` to be above 0, but got 0. A large width lets all samples count.")

    def draw(self, segments: int, seed: int) -> Tensor:
        """Return combinations in which each segment is kept by the toss of a coin."""
        numbers = torch.rand(self.samples, segments, generator=torch.Generator().manual_seed(seed))
        return numbers < 0.5

    def weigh(self, kept: Tensor, change: Tensor) -> Tensor:
        """Return the weights of the linear model; the whole image is one more sample, known already."""
        kept = torch.cat([torch.ones_like(kept[:1]), kept])
        change = torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)
        near = self.nearness(kept)
        shares = near / near.sum()
        centred = (kept - shares @ kept) * near.sqrt()[:, None]
        rises = (change - change @ shares[:, None]) * near.sqrt()
        return rises @ torch.linalg.pinv(centred).T

    def nearness(self, kept: Tensor) -> Tensor:
        """Return how much each combination (K, S) counts: ``exp(-distance² / width²)``, cosine distance to all ones."""
        distance = 1 - kept.mean(dim=1).sqrt()
        return (-(distance**2) / self.width**2).exp()
