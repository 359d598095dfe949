"""Kernel SHAP."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from fiftyone_saliency.core.checks import bounded, check_bounds
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.methods._superpixels import SuperpixelMethod


@register_method("kernel_shap", "Kernel SHAP", family="perturbation", paper="https://arxiv.org/abs/1705.07874")
@dataclass(frozen=True)
class KernelShap(SuperpixelMethod):
    """Share the score out among superpixels by their Shapley values, estimated by one weighted regression.

    A segment that is left out is zero, the mean colour after normalisation. Needs no gradient. Values are signed, in
    units of the score, at the network's resolution: every pixel has the value of its whole segment, and the values
    of all segments add up to ``score(image) - score(zero)``, whatever was drawn. Exact if the image has so few
    segments that ``samples`` allows all combinations.

    Segments are left out in pairs, a combination and its opposite, which lowers the error of the same number of
    samples; that is not in the first paper.

    Args:
        segments: about how many superpixels an image is cut into, 1 to 1,000.
        samples: combinations of segments per image, 1 to 20,000; each costs a forward pass. Take several times
            ``segments``.

    References:
        Lundberg, Lee. A Unified Approach to Interpreting Model Predictions. NIPS 2017, theorem 2.
        https://arxiv.org/abs/1705.07874
        Covert, Lee. Improving KernelSHAP: Practical Shapley Value Estimation via Linear Regression. AISTATS 2021
        (paired sampling). https://arxiv.org/abs/2012.01536
    """

    segments: int = bounded(50, 1, 1000)
    samples: int = bounded(512, 1, 20_000)

    def __post_init__(self) -> None:
        check_bounds(self)

    def draw(self, segments: int, seed: int) -> Tensor:
        """Return no segment, then all other combinations if they are few enough, else drawn ones."""
        if self._all_fit(segments):
            numbers = torch.arange(2**segments - 1)[:, None]
            return (numbers >> torch.arange(segments)) % 2 == 1
        generator = torch.Generator().manual_seed(seed)
        sizes = torch.arange(1, segments).double()
        # All combinations of a size together have the kernel's weight times their number.
        chances = 1 / (sizes * (segments - sizes))
        pairs = (self.samples + 1) // 2
        size = 1 + torch.multinomial(chances, pairs, replacement=True, generator=generator)
        ranks = torch.rand(pairs, segments, generator=generator, dtype=torch.float64).argsort(1).argsort(1)
        drawn = ranks < size[:, None]
        both = torch.stack([drawn, ~drawn], dim=1).flatten(0, 1)[: self.samples]
        return torch.cat([torch.zeros_like(both[:1]), both])

    def weigh(self, kept: Tensor, change: Tensor) -> Tensor:
        """Return the weighted least squares under the condition that values add up to the whole."""
        count = kept.shape[1]
        whole, rises, kept = -change[:, :1], change[:, 1:] - change[:, :1], kept[1:]
        sizes = kept.sum(dim=1)
        weights = self._kernel(sizes, count).sqrt()
        # Equal shares of the whole, plus a rest that adds up to 0: a solution in the span of centred rows does.
        centred = (kept - sizes[:, None] / count) * weights[:, None]
        rest = (rises - whole * sizes / count) * weights
        return whole / count + rest @ torch.linalg.pinv(centred).T

    def _kernel(self, sizes: Tensor, count: int) -> Tensor:
        """Return the Shapley kernel of combinations of these sizes; drawn ones already come in its proportions."""
        if not self._all_fit(count):
            return torch.ones_like(sizes)
        return torch.tensor(
            [(count - 1) / (comb(count, int(size)) * size * (count - size)) for size in sizes.tolist()],
            dtype=sizes.dtype,
        )

    def _all_fit(self, segments: int) -> bool:
        return 2**segments - 2 <= self.samples
