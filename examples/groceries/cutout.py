"""Cut a product out of its photo: what differs from the plain border is the product."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

WHITE = 252
"""The white on which most of the photos are taken."""

SHARP_EDGE = 75.0
"""Drop in brightness beside an enclosed white patch that tells a gap between pieces from a highlight."""

PALE = 60.0
"""Distance in RGB from the old background below which a product is too pale for its rim to be told from it."""

LEAST_SHARE = 0.04
"""A cut-out smaller than this share of its photo is not worth drawing."""


def cut_out(photo: np.ndarray, heaps: bool = False) -> np.ndarray | None:
    """Cut the product out of a photo with a plain border.

    Args:
        photo: RGB ``(H, W, 3)`` uint8.
        heaps: whether a photo without a plain border is cut to a rounded heap, as loose goods lie on a counter.

    Returns:
        RGBA ``(h, w, 4)`` uint8, cropped to the product, or None where there is nothing to cut.
    """
    found = plain_background(photo)
    if found is None and not heaps:
        return None
    if found is None:
        return _crop(_heaped(photo))
    background, plain = found
    product = ndimage.binary_opening(~background)
    if _on_edge(product) > 0.06:
        product &= _heap(photo)  # Round off what the photo's edge has cut straight.
    product = _main_parts(product)
    if product.mean() < LEAST_SHARE:
        return None
    return _crop(_feathered(photo, product, plain))


def plain_background(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the plain background: the colour of the border, what joins it, and the gaps it shows through.

    On white, smooth light grey that joins the border is a shadow, and background too.

    Args:
        photo: RGB ``(H, W, 3)`` uint8.

    Returns:
        The background ``(H, W)`` bool and its colour ``(3,)``, or None where the border is not of one colour.
    """
    channels = np.ascontiguousarray(np.moveaxis(photo, 2, 0), np.int16)
    border = np.concatenate([channels[:, 0], channels[:, -1], channels[:, :, 0], channels[:, :, -1]], axis=1)
    white = np.abs(border - WHITE).max(0) <= 14
    on_white = white.mean() >= 0.35
    plain = np.median(border[:, white] if on_white else border, axis=1).astype(np.int16)
    difference = np.abs(channels - plain[:, None, None])
    alike = difference.max(0) <= (14 if on_white else 24)
    if on_white:
        alike |= _shadow(channels)
    elif _on_edge(alike) < 0.7:
        return None
    return _joined(alike, difference.mean(0)), plain


def _shadow(channels: np.ndarray) -> np.ndarray:
    darkest, lightest = channels.min(0), channels.max(0)
    smooth = ndimage.grey_dilation(lightest, 3) - ndimage.grey_erosion(lightest, 3) <= 18
    return smooth & (darkest >= 190) & (lightest - darkest <= 9)


def _joined(alike: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Keep the parts of ``alike`` that reach the border or are gaps with a sharp edge."""
    parts, _ = ndimage.label(alike)
    sizes = np.bincount(parts.ravel())
    keep = np.zeros(len(sizes), bool)
    keep[np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])] = True
    keep &= sizes > 20
    boxes = ndimage.find_objects(parts)
    for part in np.flatnonzero(~keep & (sizes >= 40)):
        if part:
            box = tuple(slice(max(0, side.start - 4), side.stop + 4) for side in boxes[part - 1])
            inside = parts[box] == part
            beside = ndimage.binary_dilation(inside, iterations=3) & ~ndimage.binary_dilation(inside)
            keep[part] = difference[box][beside].mean() > SHARP_EDGE
    keep[0] = False
    return keep[parts]


def _heap(photo: np.ndarray) -> np.ndarray:
    """A rounded outline that wobbles; it depends on the photo only, so one photo has one heap."""
    height, width = photo.shape[:2]
    rng = np.random.default_rng(int(photo.sum()))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = np.arctan2(y, x)
    waves = [rng.normal(0, 0.018) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 8)]
    return (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** (1 / 2.5) < 0.96 + sum(waves)


def _heaped(photo: np.ndarray) -> np.ndarray:
    """The photo as a heap: soft outline, darker towards the rim where a heap slopes down."""
    heap = _heap(photo)
    slope = 1 - 0.55 * np.exp(-ndimage.distance_transform_edt(heap) / 6)
    return np.dstack([photo * slope[..., None], _soft(heap)]).astype(np.uint8)


def _on_edge(mask: np.ndarray) -> float:
    return float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())


def _main_parts(product: np.ndarray) -> np.ndarray:
    """Drop specks: parts smaller than a hundredth of the product."""
    parts, _ = ndimage.label(product)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= 0.01 * product.sum()
    keep[0] = False
    return keep[parts]


def _feathered(photo: np.ndarray, product: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """Add a soft edge freed of the old background: a rim pixel is part product, part plain, and is unmixed.

    The part is read off the nearest pixel that is well inside: ``alpha = |rim - plain| / |inside - plain|``.
    """
    inside = ndimage.binary_erosion(product, iterations=3)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    away = photo.astype(np.float32) - plain
    distance = np.sqrt(np.square(away).sum(2))
    reference = distance[tuple(nearest)]
    rim = product & ~inside & (reference >= PALE)
    part = np.where(rim, np.clip(distance / np.maximum(reference, 1), 0.05, 1), 1)
    colour = np.clip(plain + away / part[..., None], 0, 255)
    return np.dstack([colour, _soft(product) * part]).astype(np.uint8)


def _soft(mask: np.ndarray) -> np.ndarray:
    """The mask as opacity in 0..255, soft inwards only."""
    return np.clip(ndimage.gaussian_filter(mask * np.float32(510), 0.8) - 255, 0, 255)


def _crop(cutout: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(cutout[..., 3])
    return cutout[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
