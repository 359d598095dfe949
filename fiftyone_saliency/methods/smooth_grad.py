"""SmoothGrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor

from fiftyone_saliency.core.checks import check_int, check_range
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("smooth_grad", "SmoothGrad", family="gradient", paper="https://arxiv.org/abs/1706.03825")
@dataclass(frozen=True)
class SmoothGrad:
    """Average the magnitude of the gradient over noisy copies of the image.

    Values are not negative, in units of the score per unit of input, at the network's resolution. We depart from
    the paper in one thing: it averages the signed gradient and shows the magnitude of the average.

    Args:
        samples: noisy copies per image, at least 1.
        noise: standard deviation of the noise, as a share of the image's range of values, in [0, 1].

    References:
        Smilkov et al. SmoothGrad: removing noise by adding noise. 2017, sec. 3.
        https://arxiv.org/abs/1706.03825
    """

    samples: int = 16
    noise: float = 0.15

    def __post_init__(self) -> None:
        check_int(self.samples, "samples", 1)
        check_range(self.noise, "noise", 0, 1)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W)."""
        tunnel = NoiseTunnel(Saliency(model.score))
        maps: list[Tensor] = []
        for i, seed in enumerate(batch.seeds):
            image = batch.images[i : i + 1].clone().requires_grad_(True)
            spread = float(self.noise * (image.detach().max() - image.detach().min()))
            # captum draws from the global generator: it is seeded per image and put back.
            with torch.random.fork_rng(devices=[image.device] if image.is_cuda else []):
                torch.manual_seed(seed)
                smooth: Any = tunnel.attribute(
                    image,
                    nt_type="smoothgrad",
                    nt_samples=self.samples,
                    stdevs=spread,
                    additional_forward_args=(batch.plus[i : i + 1], batch.minus[i : i + 1]),
                    abs=True,
                )
            maps.append(smooth.detach())
        return torch.cat(maps)
