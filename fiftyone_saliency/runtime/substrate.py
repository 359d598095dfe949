"""What stands in for pixels that are taken away."""

from __future__ import annotations

from math import ceil
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

Substrate = Literal["blur", "mean", "zero"]
SUBSTRATES: tuple[Substrate, ...] = ("blur", "mean", "zero")
# Standard deviation of the blur, as a share of the shorter side.
_BLUR = 1 / 16
# Weight of the plain mean beside the near surroundings.
_FAR = 1e-3


def substrate_of(images: Tensor, kind: Substrate) -> Tensor:
    """Return what replaces the pixels of the images, of their shape (N, C, H, W).

    Args:
        images: preprocessed images (N, C, H, W).
        kind: ``"blur"`` for the image under a Gaussian blur whose standard deviation is 1/16 of the shorter side,
            ``"mean"`` for the image's mean colour, ``"zero"`` for 0, which after the usual normalisation is the mean
            colour of the training data.
    """
    if kind == "zero":
        return images.new_zeros(()).expand_as(images)
    if kind == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    return _blurred(images)


def surroundings(images: Tensor, weights: Tensor) -> Tensor:
    """Return the images under a Gaussian blur of what lies outside a region, so that nothing of it shines through.

    Args:
        images: (N, C, H, W).
        weights: the region (N, 1, H, W) in [0, 1].

    Returns:
        (N, C, H, W): the mean over the surroundings, weighted by their nearness; deep inside a large region, their
        plain mean colour, and that of the image where the region is all of it.
    """
    outside = 1 - weights
    area = outside.sum(dim=(2, 3), keepdim=True)
    mean = (images * outside).sum(dim=(2, 3), keepdim=True) / area.clamp(min=_FAR)
    mean = torch.where(area > _FAR, mean, images.mean(dim=(2, 3), keepdim=True))
    return (_blurred(images * outside) + _FAR * mean) / (_blurred(outside) + _FAR)


def _blurred(images: Tensor) -> Tensor:
    shortest = min(images.shape[2:])
    sigma = max(1.0, shortest * _BLUR)
    # Three standard deviations to each side, and no further than the image can be mirrored.
    reach = min(ceil(3 * sigma), shortest - 1)
    length = 2 * reach + 1
    # Row by row, then column by column: the same blur, by `length` sums per pixel instead of their square.
    for size in ([length, 1], [1, length]):
        images = gaussian_blur(images, size, [sigma, sigma])
    return images


def blend(images: Tensor, filling: Tensor, weights: Tensor) -> Tensor:
    """Replace the images by the filling where the weights, in [0, 1] and broadcast to the images, are 1."""
    return images + (filling - images) * weights
