"""Two maps of one picture beside each other, in colours that mean the same value in both."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from PIL import Image

from fiftyone_saliency.core.checks import check_int
from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.maps import LEVELS, drawn_range
from fiftyone_saliency.core.overlay import overlay
from fiftyone_saliency.core.pictures import read_pixels
from fiftyone_saliency.dataset.fields import heatmap_of, require_field, require_samples
from fiftyone_saliency.dataset.store import read_map

_GAP = 4
_QUALITY = 85
_SCALE = ("vmin", "vmax", "sign")
_LARGEST = 4096


def common_scale(samples: Any, fields: Sequence[str]) -> int:
    """Let the App draw the heatmaps of several fields on one scale, sample by sample.

    Each heatmap is stored with levels of its own and drawn up to its own strongest evidence, so that a faint map
    looks like a strong one. This sets their ``range``, which steers the drawing alone: the values stay. One field
    by itself gets its own scale back.

    Args:
        samples: dataset or view.
        fields: Heatmap fields of this package that are to be compared, or a single one to undo it.

    Returns:
        Number of samples with a map in at least one of the fields; maps without evidence and those of others are
        left as they are.

    Raises:
        UnknownNameError: if a field does not exist.
        FieldError: if a field is no Heatmap field, or there are no samples.
    """
    dataset = require_samples(samples)
    for name in fields:
        require_field(samples, name, fo.Heatmap, "fields")
    drawn = {name: _read_drawn(samples, name) for name in fields}
    ids = set().union(*drawn.values())
    for name, own in drawn.items():
        ranges = {i: own[i].levels(*_widest(one[i] for one in drawn.values() if i in one)) for i in own}
        dataset.set_values(f"{name}.range", ranges, key_field="id", validate=False)
    return len(ids)


def pairs_picture(sample: fo.Sample, before: str, after: str, size: int = 224) -> Image.Image:
    """Draw a sample's picture, and it under the map of one run and under that of another, on one scale.

    Positive evidence is drawn as opacity of one colour, up to the stronger of the two maps; a missing map leaves
    the picture bare.

    Args:
        sample: the sample.
        before: Heatmap field of the first run.
        after: Heatmap field of the second run.
        size: longest side of each of the three in pixels, 16 to 4,096.

    Returns:
        RGB picture of three in a row; ``.save("pair.png")`` writes it.

    Raises:
        ImageError: if the picture cannot be read.
    """
    # PyTorch: not before there is something to draw.
    from fiftyone_saliency.core.images import read_image

    check_int(size, "size", 16, _LARGEST)
    image = read_image(sample.filepath)
    scale = size / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    heatmaps = [heatmap_of(sample, name) for name in (before, after)]
    drawn = [None if h is None else _drawn(h.map_path, *(h[name] for name in _SCALE)) for h in heatmaps]
    top = max((one.high for one in drawn if one is not None), default=0.0)
    maps = [None if h is None else read_map(h) for h in heatmaps]
    parts = [
        image,
        *(image if m is None or top <= 0 else Image.fromarray(overlay(np.asarray(image), m, top)) for m in maps),
    ]
    picture = Image.new("RGB", (3 * image.width + 2 * _GAP, image.height), "white")
    for i, part in enumerate(parts):
        picture.paste(part, (i * (image.width + _GAP), 0))
    return picture


def pairs_url(samples: Any, before: str, after: str, size: int = 112) -> str | None:
    """Draw the pairs of all samples below each other and return the data URL of a JPEG picture.

    Samples whose picture cannot be read are passed over; where that is so of all, there is none.

    Args:
        samples: dataset or view of a few samples.
        before: Heatmap field of the first run.
        after: Heatmap field of the second run.
        size: longest side of each picture in pixels, 16 to 4,096.
    """
    pictures = []
    for sample in samples.select_fields([before, after]):
        with contextlib.suppress(ImageError):
            pictures.append(pairs_picture(sample, before, after, size))
    if not pictures:
        return None
    width, height = max(p.width for p in pictures), sum(p.height + _GAP for p in pictures) - _GAP
    sheet, top = Image.new("RGB", (width, height), "white"), 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + _GAP
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The values that a stored map's levels stand for, and those between which it is drawn by itself."""

    vmin: float
    vmax: float
    low: float
    high: float

    def levels(self, low: float, high: float) -> list[float]:
        """Return two values as levels of this map; those beyond its own values lie beyond 0 or 255."""
        return [(value - self.vmin) * LEVELS / (self.vmax - self.vmin) for value in (low, high)]


def _read_drawn(samples: Any, field: str) -> dict[str, _Drawn]:
    ids, *columns = samples.values(["id", f"{field}.map_path", *(f"{field}.{name}" for name in _SCALE)])
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return {i: one for i, one in zip(ids, pool.map(_drawn, *columns), strict=True) if one is not None}


def _drawn(path: str | None, vmin: float | None, vmax: float | None, sign: Any) -> _Drawn | None:
    """Return None where there is no map of this package, or no evidence in it."""
    levels = read_pixels(path, cv2.IMREAD_GRAYSCALE) if path is not None and vmax else None
    if levels is None or vmin is None or vmax is None:
        return None
    low, high = (vmin + level * (vmax - vmin) / LEVELS for level in drawn_range(np.asarray(levels, np.uint8), sign))
    return _Drawn(vmin, vmax, low, high)


def _widest(drawn: Iterable[_Drawn]) -> tuple[float, float]:
    ends = [(one.low, one.high) for one in drawn]
    return min(low for low, _ in ends), max(high for _, high in ends)
