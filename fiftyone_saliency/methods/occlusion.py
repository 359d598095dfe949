"""Occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor

from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch

_IMAGES_PER_FORWARD = 64


@register_method("occlusion", "Occlusion", family="perturbation", paper="https://arxiv.org/abs/1311.2901")
@dataclass(frozen=True)
class Occlusion:
    """Slide a window of zeros over the image and measure by how much the score falls.

    Zero is the mean colour after normalisation. Needs no gradient. Values are signed, in units of the score:
    the mean fall over all windows that cover the pixel. The same for all channels, so only one is returned.

    Args:
        window: side of the window as a share of the input's side, above 0 and up to 1.
        stride: step of the window as a share of the input's side, above 0 and up to ``window``.

    References:
        Zeiler, Fergus. Visualizing and Understanding Convolutional Networks. ECCV 2014, sec. 4.2.
        https://arxiv.org/abs/1311.2901
    """

    window: float = 0.2
    stride: float = 0.1

    def __post_init__(self) -> None:
        check_range(self.window, "window", 0, 1)
        check_range(self.stride, "stride", 0, 1)
        if not 0 < self.stride <= self.window:
            raise ArgumentError(
                f"Expected 0 < `stride` <= `window`, but got stride {self.stride} and window {self.window}. "
                "A larger stride would leave gaps that no window covers."
            )

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, H, W)."""
        channels, *sides = batch.images.shape[1:]
        windows = [max(1, round(side * self.window)) for side in sides]
        strides = [min(w, max(1, round(side * self.stride))) for w, side in zip(windows, sides, strict=True)]
        with torch.no_grad():
            output = CaptumOcclusion(model.score).attribute(
                batch.images,
                sliding_window_shapes=(channels, *windows),
                strides=(channels, *strides),
                additional_forward_args=(batch.plus, batch.minus),
                perturbations_per_eval=max(1, _IMAGES_PER_FORWARD // len(batch)),
            )
        return output[:, 0]
