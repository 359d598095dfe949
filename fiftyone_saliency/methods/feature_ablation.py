"""Feature ablation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._superpixels import SuperpixelMethod


@register_method(
    "feature_ablation", "Feature ablation", family="perturbation", paper="https://arxiv.org/abs/2011.14878"
)
@dataclass(frozen=True)
class FeatureAblation(SuperpixelMethod):
    """Leave out one superpixel after the other and measure by how much the score falls.

    A segment that is left out is zero, the mean colour after normalisation. Needs no gradient. Values are signed, in
    units of the score, at the network's resolution: every pixel has the value of its whole segment. Evidence that
    stands twice in the image is not found: either one alone suffices.

    Args:
        segments: about how many superpixels an image is cut into, 1 to 1,000; each costs a forward pass.

    References:
        Covert, Lundberg, Lee. Explaining by Removing: A Unified Framework for Model Explanation. JMLR 2021
        (removing features one by one). https://arxiv.org/abs/2011.14878
        Achanta et al. SLIC Superpixels Compared to State-of-the-Art Superpixel Methods. TPAMI 2012.
        https://doi.org/10.1109/TPAMI.2012.120
    """

    segments: int = bounded(50, 1, 1000)

    def __post_init__(self) -> None:
        check_bounds(self)

    def draw(self, segments: int, seed: int) -> Tensor:  # noqa: ARG002 - nothing is random here
        """Return all segments but one, for each."""
        return ~torch.eye(segments, dtype=torch.bool)

    def weigh(self, kept: Tensor, change: Tensor) -> Tensor:  # noqa: ARG002
        """Return by how much the score falls without each segment."""
        return -change
