"""Whether a transform shows parts of an image again, or elsewhere, where its placement says that there is padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.markers import Transform, explained

_SEED = 53
_PICTURES = 6
_GRAINS = 24
_GREY = 128
# Part of what is seen that carries the texture; its mirror image lies elsewhere.
_MIDDLE = (0.3, 0.6)
# A filter reaches over so many pixels of the output.
_REACH = 2.0
# Padding changes with the image where it has the image's mean colour, or shows it blurred: faintly.
_LOUD = 0.3
_SOME = 0.02
Mask = NDArray[np.bool_]


def shows_more(run: Transform, size: tuple[int, int], placement: Placement) -> bool:
    """Return whether the output shows, where the image has ended, what a placement says lies elsewhere or is unseen.

    Texture covers a part in the middle of what is seen, and all that is said to be unseen; the rest is grey. Where
    padding that mirrors the image would show that part, the output may change.

    Args:
        run: the transform, from an RGB picture to a tensor (C, H, W).
        size: width and height of the image in pixels.
        placement: where the output is said to lie.
    """
    _, height, width = run(Image.new("RGB", size)).shape
    across = _Axis(placement.x * size[0], placement.width * size[0] / width, width, size[0])
    down = _Axis(placement.y * size[1], placement.height * size[1] / height, height, size[1])
    outside = across.outside | down.outside[:, None]
    if not outside.any():
        return False
    unseen = across.unseen | down.unseen[:, None]
    textured = unseen | (across.middle & down.middle[:, None])
    outputs = [np.nan_to_num(run(picture).double().cpu().numpy()) for picture in _pictures(textured)]
    _, energy = explained(np.stack(outputs), np.ones((1, _PICTURES)))
    inside = energy[across.shows_middle & down.shows_middle[:, None]]
    outside &= ~(across.mirrors_middle & down.mirrors_middle[:, None])
    return bool(inside.size and outside.any() and (energy[outside] > _LOUD * np.median(inside)).mean() > _SOME)


@dataclass(frozen=True)
class _Axis:
    """One axis: line i of the output shows the pixels of the image at ``start + slope * (i + 0.5)``."""

    start: float
    slope: float
    lines: int
    pixels: int

    @property
    def outside(self) -> Mask:
        """Which lines of the output lie beyond the image."""
        reach = _REACH * self.slope
        return (self._places < -reach) | (self._places > self.pixels + reach)

    @property
    def shows_middle(self) -> Mask:
        """Which lines of the output show the middle of what is seen."""
        return (self._places >= self._at(_MIDDLE[0])) & (self._places <= self._at(_MIDDLE[1]))

    @property
    def mirrors_middle(self) -> Mask:
        """Which lines of the output would show the middle, or lie near it, if the image were mirrored at its edges."""
        reach = _REACH * self.slope
        mirrored = self.pixels - np.abs(self._places % (2 * self.pixels) - self.pixels)
        return (mirrored >= self._at(_MIDDLE[0]) - reach) & (mirrored <= self._at(_MIDDLE[1]) + reach)

    @property
    def middle(self) -> Mask:
        """Which pixels of the image are the middle of what is seen."""
        return (self._pixels >= self._at(_MIDDLE[0])) & (self._pixels <= self._at(_MIDDLE[1]))

    @property
    def unseen(self) -> Mask:
        """Which pixels of the image are said not to be seen."""
        reach = _REACH * max(self.slope, 1.0)
        return (self._pixels < self._at(0) - reach) | (self._pixels > self._at(1) + reach)

    @property
    def _places(self) -> NDArray[np.float64]:
        return self.start + self.slope * np.arange(0.5, self.lines)

    @property
    def _pixels(self) -> NDArray[np.float64]:
        return np.arange(0.5, self.pixels)

    def _at(self, share: float) -> float:
        low, high = max(0.0, self.start), min(float(self.pixels), self.start + self.slope * self.lines)
        return low + share * (high - low)


def _pictures(textured: Mask) -> list[Image.Image]:
    rows, columns = textured.shape
    noise = np.random.default_rng(_SEED)
    down, across = (np.arange(count) * min(count, _GRAINS) // count for count in (rows, columns))
    grains = noise.integers(0, 256, (_PICTURES, down[-1] + 1, across[-1] + 1, 3), np.uint8)
    enlarged = grains[:, down][:, :, across]
    return [Image.fromarray(np.where(textured[:, :, None], one, np.uint8(_GREY))) for one in enlarged]
