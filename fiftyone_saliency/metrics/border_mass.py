"""The share of evidence at the border of the image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.core.regions import BACKGROUND, weights_from_boxes
from fiftyone_saliency.metrics.share import evidence_share

MARGIN = 0.1


def border_mass(values: NDArray[np.float32], margin: float = MARGIN) -> float | None:
    """Measure the share of positive evidence in a frame along the border of the image.

    Objects seldom stand there; padding, watermarks, captions and picture frames do. A map that is equal everywhere
    scores the frame's area, 36 % of the image at the default margin. What a centre crop cut off holds no evidence.

    Args:
        values: saliency map (H, W) in the frame of the image, any range, finite; negative values are ignored.
        margin: width of the frame on each side, as a share of the image's height and width, in [0, 0.5].

    Returns:
        Share in [0, 1]; None if no value is positive or the margin is 0.

    Raises:
        ArgumentError: if the margin is out of range.

    References:
        Alsallakh et al. Mind the Pad: CNNs Can Develop Blind Spots. ICLR 2021, for what padding does to activations
        at the border; the share itself is `evidence_share`. https://arxiv.org/abs/2010.02178
    """
    check_range(margin, "margin", 0, 0.5)
    return evidence_share(values, _frame((values.shape[0], values.shape[1]), margin))


# Maps of one size share their frame; a dataset of many sizes keeps only the latest.
@lru_cache(maxsize=64)
def _frame(size: tuple[int, int], margin: float) -> NDArray[np.float32]:
    inside = (margin, margin, 1 - 2 * margin, 1 - 2 * margin)
    return weights_from_boxes([("inside", inside)], size)[BACKGROUND]
