"""A transform together with its inverse: where does the network's input lie in the image?

The answer is measured, not parsed: two grey ramps (left to right, top to bottom) go through the transform, and
a straight line fitted to each says which part of the image every input pixel came from. That holds for any
deterministic transform that keeps the image upright (resize, crop, pad), whoever wrote it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.types import Placement

_CACHED_SIZES = 4096
_PROBE = (131, 97)
_REPEATS = 8
_WAVES = 8
_ROUNDING = 3 / 255
_UPRIGHT = "Use the preprocessing of evaluation: resize, crop, pad, normalise."


class Preprocessing:
    """Call the transform on an RGB image; get the network's input and its placement.

    Args:
        transform: what turns an RGB ``PIL.Image`` into a tensor (C, H, W).
    """

    def __init__(self, transform: Callable[[Image.Image], Any]) -> None:
        self._transform = transform
        self._placements: dict[tuple[int, int], Placement] = {}
        self._lock = threading.Lock()

    def __call__(self, image: Image.Image) -> tuple[Tensor, Placement]:
        """Return the network's input, float (C, H, W), and where it lies in the image."""
        return self._run(image), self.placement(image.size)

    def placement(self, size: tuple[int, int]) -> Placement:
        """Return where the network's input lies in an image of ``(width, height)`` pixels.

        Raises:
            ModelError: if the transform turns, mirrors or randomly moves the image.
        """
        with self._lock:
            known = self._placements.get(size)
        if known is None:
            known = self._measure(*size)
            with self._lock:
                if len(self._placements) >= _CACHED_SIZES:
                    self._placements.clear()
                self._placements[size] = known
        return known

    @cached_property
    def fingerprint(self) -> bytes:
        """What the transform makes of a fixed picture: equal for equal preprocessing, in any process."""
        noise = np.random.default_rng(51).integers(0, 256, (_PROBE[1], _PROBE[0], 3), np.uint8)
        output, *again = (self._run(Image.fromarray(noise)).double().numpy() for _ in range(_REPEATS))
        if not all(np.array_equal(output, other, equal_nan=True) for other in again):
            raise ModelError(
                "Expected `transform` to give the same output for the same image, but got two unlike ones. "
                "Use the preprocessing of evaluation, without random augmentation."
            )
        return hashlib.sha256(repr(output.shape).encode() + np.round(output, 4).tobytes()).digest()

    def _run(self, image: Image.Image) -> Tensor:
        output = self._transform(image)
        if not isinstance(output, Tensor) or output.ndim != 3:
            got = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise ModelError(
                f"Expected `transform` to turn a PIL image into a tensor (C, H, W), but got {got}. "
                "Compose it with torchvision.transforms.ToTensor()."
            )
        return output.as_subclass(torch.Tensor)

    def _measure(self, width: int, height: int) -> Placement:
        _ = self.fingerprint  # a transform that moves the image at random has no placement
        frame = (height, width)
        black, white = (self._grey(np.full(frame, level, np.uint8)) for level in (0, 255))
        contrast = white - black
        inside = np.abs(contrast) > 0.5 * np.abs(contrast).max()
        if not inside.any():
            raise ModelError(
                "Expected `transform` to tell a white image from a black one, but it did not, so where its output "
                f"lies in the image cannot be measured. {_UPRIGHT}"
            )
        placed = []
        for levels, pixels, axis in ((_levels(width, height).T, width, 1), (_levels(height, width), height, 0)):
            output = self._grey(levels)
            ramp = np.divide(output - black, contrast, out=np.full_like(output, np.nan), where=inside)
            placed.append(_fit(ramp, pixels, axis))
        (x, extent_x), (y, extent_y) = placed
        return Placement(x, y, extent_x, extent_y)

    def _grey(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Send a grey picture through the transform; return its first channel (H, W)."""
        return self._run(Image.fromarray(np.repeat(levels[:, :, None], 3, axis=2)))[0].double().numpy()


def _levels(count: int, across: int) -> NDArray[np.uint8]:
    """Return a ramp (count, across); waves of one level across it make the mean over them finer than a level."""
    ramp = (np.arange(count) + 0.5) / count * 255
    wave = (np.arange(across) + 0.5) / across * _WAVES % 1 - 0.5 if across > 2 * _WAVES else np.zeros(across)
    return np.clip(np.rint(ramp[:, None] + wave), 0, 255).astype(np.uint8)


def _fit(ramp: NDArray[np.float64], pixels: int, axis: int) -> tuple[float, float]:
    """Fit image position = start + extent * input position along one axis of a ramp from 0 to 1."""
    known = ~np.all(np.isnan(ramp), axis=1 - axis)
    profile = np.nanmean(ramp[:, known] if axis else ramp[known], axis=1 - axis)
    count = ramp.shape[axis]
    where = (np.nonzero(known)[0] + 0.5) / count
    if pixels == 1:
        # One pixel has no slope: its image fills what is known.
        extent = count / len(where)
        return float(-(where[0] - 0.5 / count) * extent), float(extent)
    # The outer parts are flat where a filter met the border; the middle half is not.
    low, high = np.quantile(where, (0.25, 0.75)) if len(where) > 8 else (where[0], where[-1])
    middle = (where >= low) & (where <= high)
    if middle.sum() < 2:
        raise ModelError("Expected `transform` to return more than one pixel per side. Check its output size.")
    extent, start = np.polyfit(where[middle], profile[middle], 1)
    line = np.full(count, np.nan)
    line[np.nonzero(known)[0][middle]] = start + extent * where[middle]
    # The whole ramp, not its profile: a turned ramp still has a straight profile.
    residual = np.nanmax(np.abs((ramp if axis else ramp.T) - line))
    # Levels are whole numbers, and few source pixels make steps instead of a ramp.
    if extent <= 0 or residual > _ROUNDING + 1 / pixels:
        raise ModelError(
            "Expected `transform` to keep the image upright and not to move it at random, but a ramp did not "
            f"come out as a ramp. {_UPRIGHT}"
        )
    return float(start), float(extent)
