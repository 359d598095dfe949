"""The pictures of a report: small, as JPEG data URLs, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.overlay import overlay
from fiftyone_saliency.dataset.store import read_map

SIDE = 176
BUDGET = 4_000_000
_QUALITY = 82


class Album:
    """Pictures by key, as many as fit.

    Attributes:
        urls: data URL of each picture.
        left_out: keys of the pictures that no longer fitted.

    Args:
        budget: most bytes of all data URLs together.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.urls: dict[Hashable, str] = {}
        self.left_out: set[Hashable] = set()
        self._free = budget

    def add(self, key: Hashable, *pictures: tuple[Hashable, Image.Image | NDArray[np.uint8]]) -> None:
        """Add pictures that belong together, all or none of them; ``key`` names them where they are left out."""
        urls = {name: _url(picture) for name, picture in pictures}
        size = sum(map(len, urls.values()))
        if size > self._free:
            self.left_out.add(key)
            return
        self._free -= size
        self.urls |= urls


def draw_samples(album: Album, samples: Any, field: str, ids: Sequence[str]) -> None:
    """Add images and their maps, as ``("image", id)`` and ``("map", id)``; what cannot be read has neither.

    Args:
        album: takes the pictures.
        samples: dataset or view that holds the samples.
        field: Heatmap field.
        ids: ids of the samples, the most important first.
    """
    # Here, because it imports PyTorch, which the App's server does without until it has to compute.
    from fiftyone_saliency.core.images import read_image

    if not ids:
        return
    for sample in samples.select(list(ids), ordered=True).select_fields(field).iter_samples():
        try:
            image = read_image(sample.filepath)
        except ImageError:
            continue
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        values = None if sample[field] is None else read_map(sample[field])
        drawn = [] if values is None else [(("map", sample.id), Image.fromarray(overlay(np.asarray(image), values)))]
        album.add(sample.id, (("image", sample.id), image), *drawn)


def _url(picture: Image.Image | NDArray[np.uint8]) -> str:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
