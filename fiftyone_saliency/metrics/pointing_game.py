"""Whether a map's maximum lies in a region (pointing game)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.checks import check_range
from fiftyone_saliency.metrics._arrays import is_flat, positive_evidence, region_pixels

TOLERANCE = 0.03


def pointing_game(
    values: NDArray[np.float32], region: NDArray[np.float32], tolerance: float = TOLERANCE
) -> float | None:
    """Measure whether the maximum of a map lies in a region, or near it.

    The paper tolerates 15 pixels in pictures about 500 pixels long. Maps are stored at other sizes than their images,
    so the tolerance is the same share of the longer side. A region is hit more often by chance the larger it is.

    Args:
        values: saliency map (H, W), any range, finite; negative values are ignored.
        region: region (H, W) in [0, 1], in the same frame; a pixel belongs to it that it covers at least to the half.
        tolerance: distance between pixel centres that still counts as a hit, as a share of the longer side, at
            least 0; 0 asks for a pixel of the region itself.

    Returns:
        1 for a hit and 0 for a miss; of several equal maxima, the share that hits. None if the region is empty, no
        value is positive, or the map is equal everywhere.

    Raises:
        ArgumentError: if the two shapes differ, or the tolerance is negative.

    References:
        Zhang et al. Top-Down Neural Attention by Excitation Backprop. IJCV 126 (2018). The paper averages
        over the images of each class, then over the classes.
        https://arxiv.org/abs/1608.00507
    """
    check_range(tolerance, "tolerance", 0)
    pixels, evidence = region_pixels(values, region), positive_evidence(values)
    if pixels is None or evidence is None or is_flat(evidence):
        return None
    outside = (~pixels).astype(np.uint8)
    distance = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
    near = distance <= tolerance * max(values.shape)
    return float(near[evidence == evidence.max()].mean())
