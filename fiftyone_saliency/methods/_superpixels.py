"""What the methods over superpixels share: segments, forward passes without some of them, and maps to paint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from skimage.segmentation import slic
from torch import Tensor

from fiftyone_saliency.methods._perturb import Run, all_scores, original_scores
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


class SuperpixelMethod:
    """Base of the methods that leave segments of the image out; a subclass is its `draw` and its `weigh`.

    A segment that is left out is zero, the mean colour after normalisation.
    """

    segments: int

    def draw(self, segments: int, seed: int) -> Tensor:
        """Return which segments to keep, bool (K, S), one row per forward pass, for an image of S segments."""
        raise NotImplementedError

    def weigh(self, kept: Tensor, change: Tensor) -> Tensor:
        """Return the value of each segment, (T, S).

        Args:
            kept: what `draw` returned, as float64 (K, S).
            change: float64 (T, K), the score with the kept segments alone, minus the score of the whole image.
        """
        raise NotImplementedError

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the maps (N, H, W); every pixel has the value of its segment."""
        return self.all_targets(model, [batch])[0]

    @torch.no_grad()
    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Tensor]:
        """Return the maps of several targets of the same images; they share every forward pass."""
        images, seeds = batches[0].images, batches[0].seeds
        labels = [superpixels(image, self.segments).to(images.device) for image in images]
        kept = [self.draw(int(found.max()) + 1, seed) for found, seed in zip(labels, seeds, strict=True)]

        def leave_out(run: Run, _: slice, perturbed: Tensor) -> None:
            masks = kept[run.image][run.first : run.last].to(images.device, images.dtype)
            shown = masks[:, labels[run.image]]
            torch.mul(images[run.image], shown[:, None], out=perturbed)

        original = original_scores(model, batches).cpu().double()
        scores = all_scores(model, batches, [len(rows) for rows in kept], leave_out)
        maps = []
        for i, found in enumerate(scores):
            values = self.weigh(kept[i].double(), found.cpu().double() - original[:, i : i + 1])
            maps.append(values[:, labels[i].cpu()])
        return list(torch.stack(maps, dim=1))


def superpixels(image: Tensor, segments: int) -> Tensor:
    """Cut an image into regions of similar colour.

    Args:
        image: (C, H, W); its own range of values is stretched to [0, 1] first.
        segments: about how many.

    Returns:
        int64 (H, W) on the CPU, numbers from 0 without gaps.

    References:
        Achanta et al. SLIC Superpixels Compared to State-of-the-Art Superpixel Methods. TPAMI 2012.
        https://doi.org/10.1109/TPAMI.2012.120
    """
    pixels = image.detach().permute(1, 2, 0).double().cpu()
    # SLICO: each segment finds its own compactness, so that neither noise nor contrast decides how many there are.
    found = slic(pixels.numpy(), n_segments=segments, start_label=0, channel_axis=-1, slic_zero=True)
    return torch.unique(torch.from_numpy(found), return_inverse=True)[1]
