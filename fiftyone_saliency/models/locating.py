"""Where a transform shows an image: read from its steps or measured, proved on markers, or refused."""

from __future__ import annotations

from typing import Any

from PIL import Image

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.known_steps import read_steps
from fiftyone_saliency.models.markers import Transform
from fiftyone_saliency.models.padding import shows_more
from fiftyone_saliency.models.placing import measure
from fiftyone_saliency.models.proving import Box, agreement

# Share of the markers that must lie where the placement says: filters and thresholds spoil some.
_ENOUGH = 0.85
# Pictures whose content lies in one corner, on black and on white.
_CONTENTS: tuple[tuple[Box, int], ...] = (((0.4, 0.35, 0.95, 0.9), 0), ((0.05, 0.1, 0.6, 0.65), 255))
WAY_OUT = (
    "Use the preprocessing of evaluation, which only resizes, crops, pads and changes intensities, or say by hand "
    "where its output lies: `load_model(..., placement=...)`."
)


def find(transform: Any, run: Transform, size: tuple[int, int]) -> tuple[Placement, bool]:
    """Return where a transform shows an image of ``(width, height)`` pixels, and whether that is certain.

    What its steps say is certain where all of them are known. Where some are not, it holds if the markers prove it.
    Else the markers are measured.

    Args:
        transform: the transform.
        run: what calls it.
        size: width and height of the image.

    Raises:
        ModelError: if it does not keep the image upright and in one piece, or hardly tells pictures apart.
    """
    read = read_steps(transform, size)
    if tuple(run(Image.new("RGB", size)).shape[1:]) == read.size:
        if read.certain:
            return read.placement, True
        if any(agreement(run, size, read.placement, coarse=coarse) >= _ENOUGH for coarse in (False, True)):
            return read.placement, False
    return locate(run, size), False


def locate(run: Transform, size: tuple[int, int]) -> Placement:
    """Return where the output of a transform lies in an image of ``(width, height)`` pixels.

    Raises:
        ModelError: if it does not keep the image upright and in one piece, or hardly tells pictures apart.
    """
    proved = 0.0
    for coarse in (False, True):
        placement = measure(run, size, coarse)
        if placement is not None:
            proved = max(proved, agreement(run, size, placement, coarse=coarse))
            if proved >= _ENOUGH:
                return placement
    raise ModelError(
        "Expected `transform` to keep the image upright and in one place, but of the markers in a picture of "
        f"{size[0]} × {size[1]} pixels {proved:.0%} came out in their places. {WAY_OUT}"
    )


def refuse_moving(run: Transform, size: tuple[int, int], placement: Placement) -> None:
    """Raise if the placement depends on what the image shows, as that of a crop to an object does.

    Raises:
        ModelError: if it does.
    """
    for box, around in _CONTENTS:
        if max(agreement(run, size, placement, box, around, coarse) for coarse in (False, True)) < _ENOUGH:
            raise ModelError(
                "Expected `transform` to show the same part of every image of one size, but which part it shows "
                "depends on the content, as after a crop to an object. Crop the images beforehand, as patches or "
                "files of their own, or leave that step out."
            )


def refuse_repeating(run: Transform, size: tuple[int, int], placement: Placement) -> None:
    """Raise if the output shows parts of the image beside its placement, as two crops side by side do.

    Evidence there would be lost. Padding that repeats what lies along the image's edges is padding.

    Raises:
        ModelError: if it does.
    """
    if shows_more(run, size, placement):
        raise ModelError(
            "Expected `transform` to keep the image in one piece and to show it once, but a picture of "
            f"{size[0]} × {size[1]} pixels comes out in several pieces, as after a shift around the edge, or crops "
            f"side by side. {WAY_OUT}"
        )
