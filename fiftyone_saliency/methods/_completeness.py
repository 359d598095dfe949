"""How far a map is from adding up to what it explains."""

from __future__ import annotations

from torch import Tensor

# A rise of the score below this share of all that was added up is no rise: an error is measured against it instead.
_NO_RISE = 1e-4


def completeness_error(values: Tensor, scores: Tensor, reference: Tensor) -> Tensor:
    """Return |sum of the map − rise| / |rise| per image, where the rise is ``score(image) - score(reference)``.

    Where the score hardly rises the share would be of nothing: the divisor is then 1e-4 of the magnitudes of
    both scores and of the map. The error of a map of zeros for a score that stays the same is 0.

    Args:
        values: attributions (N, C, H, W).
        scores: scores of the images (N,).
        reference: scores of the references (N,) or (1,).

    Returns:
        (N,), at least 0; 0.05 says that the map and the rise differ by 5 % of the rise.
    """
    rise = scores - reference
    gap = (values.flatten(1).sum(dim=1) - rise).abs()
    least = _NO_RISE * (scores.abs() + reference.abs() + values.flatten(1).abs().sum(dim=1))
    divisor = rise.abs().maximum(least)
    return gap / divisor.masked_fill(divisor == 0, 1)
