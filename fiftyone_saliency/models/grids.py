"""Read a layer's output as a grid of features, whatever the order of its axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fiftyone_saliency.core.errors import ModelError

_MOST_PREFIX = 16
_ASPECT = 0.2


@dataclass(frozen=True)
class Grid:
    """How to read a layer's output.

    Args:
        order: ``"NCHW"`` (convolutions), ``"NHWC"`` (Swin) or ``"NTC"`` (tokens).
        height: rows of the grid.
        width: columns of the grid.
        prefix: tokens before those of the grid, such as the class token and registers.
    """

    order: Literal["NCHW", "NHWC", "NTC"]
    height: int
    width: int
    prefix: int = 0

    def __call__(self, output: Tensor) -> Tensor:
        """Return the features (N, C, h, w) of an output or its gradient: a view, which can be written to."""
        if self.order == "NCHW":
            return output
        if self.order == "NHWC":
            return output.permute(0, 3, 1, 2)
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, (self.height, self.width))


def find_grid(output: Tensor, images: Tensor, layer: str) -> Grid:
    """Return how to read a layer's output as a feature map.

    Tokens (N, T, C) are a grid in the aspect ratio of the image after the fewest prefix tokens that leave one.

    Args:
        output: the layer's output.
        images: the network's input (N, C, H, W).
        layer: the layer's name, for the error.

    Raises:
        ModelError: if the output is no grid.
    """
    grid = grid_or_none(tuple(output.shape), images.shape[2] / images.shape[3])
    if grid is None or len(output) != len(images):
        raise ModelError(
            f"Expected the layer {layer!r} to return a feature map (N, C, H, W) or tokens of a grid (N, T, C) for "
            f"N={len(images)}, but its output is {tuple(output.shape)}. Pass `layer=` with the name of a "
            "convolutional layer or a transformer block."
        )
    return grid


def grid_or_none(shape: tuple[int, ...], aspect: float) -> Grid | None:
    """Return the grid of an output of that shape for images of that aspect (height / width), or None."""
    if len(shape) == 4:
        _, a, b, c = shape
        if _fits(a, b, aspect) and not _fits(b, c, aspect):
            return Grid("NHWC", a, b)
        return Grid("NCHW", b, c)
    if len(shape) != 3:
        return None
    # Patches of one size come first: among few tokens a class token and registers complete a crooked grid too.
    for fits in (_cut_into_squares, _fits):
        for prefix in range(min(_MOST_PREFIX, shape[1] - 2) + 1):
            sides = [s for s in _rectangles(shape[1] - prefix) if fits(*s, aspect)]
            if sides:
                height, width = min(sides, key=lambda s: abs(s[0] / s[1] / aspect - 1))
                return Grid("NTC", height, width, prefix)
    return None


def _rectangles(cells: int) -> list[tuple[int, int]]:
    return [(height, cells // height) for height in range(1, cells + 1) if cells % height == 0]


def _cut_into_squares(height: int, width: int, aspect: float) -> bool:
    """Return whether an image of that aspect has so many square patches each way, both rounded down or both up."""
    down = max(width * aspect, height) < min((width + 1) * aspect, height + 1)
    up = max((width - 1) * aspect, height - 1) < min(width * aspect, height)
    return down or up


def _fits(height: int, width: int, aspect: float) -> bool:
    return width > 0 and abs(height / width / aspect - 1) <= _ASPECT
