"""The whole way from image file to placed map: what was planted in the image is found where it was planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import transforms

from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Explainer
from tests.oracles import CLASSES, Detector, argmax2d, load_chunk, method

CELL = 8
SIDE = 64


def letterboxed(image: Image.Image) -> Image.Image:
    return ImageOps.pad(image, (SIDE, SIDE), color=(114, 114, 114))


PREPROCESSING: dict[str, Callable[..., Tensor]] = {
    "square resize": transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()]),
    "centre crop": transforms.Compose([transforms.Resize(80), transforms.CenterCrop(SIDE), transforms.ToTensor()]),
    "letterbox": transforms.Compose([letterboxed, transforms.ToTensor()]),
    "not square": transforms.Compose([transforms.Resize((40, 96)), transforms.ToTensor()]),
}
# Width and height, and the planted square's centre and half side relative to them, off both diagonals, in the crop.
IMAGES = {
    "wide": ((240, 150), (0.36, 0.68)),
    "tall": ((150, 240), (0.68, 0.36)),
    "very wide": ((300, 100), (0.45, 0.25)),
}
HALF = 0.06


@pytest.fixture(scope="module", params=IMAGES)
def planted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, tuple[float, float]]:
    """A grey image with a green rectangle, its path and the rectangle's centre (x, y)."""
    (width, height), (x, y) = IMAGES[request.param]
    picture = np.full((height, width, 3), 100, np.uint8)
    rows = slice(round((y - HALF) * height), round((y + HALF) * height))
    columns = slice(round((x - HALF) * width), round((x + HALF) * width))
    picture[rows, columns] = (30, 250, 30)
    path: Path = tmp_path_factory.mktemp("planted") / "image.png"
    Image.fromarray(picture).save(path)
    return str(path), (x, y)


@pytest.mark.parametrize("name", ["grad_cam", "integrated_gradients", "occlusion", "smooth_grad"])
@pytest.mark.parametrize("preprocessing", PREPROCESSING)
def test_the_maximum_lies_on_what_was_planted_to_within_one_cell(planted, preprocessing, name):
    path, (x, y) = planted
    model = load(Detector(CELL), CLASSES, PREPROCESSING[preprocessing])
    chunk = load_chunk([path], model)
    (found,) = Explainer(model, method(name), TargetSpec("green"), 51)(chunk).results
    row, column = argmax2d(found.values)
    height, width = found.values.shape
    assert height / width == pytest.approx(chunk[0].size[0] / chunk[0].size[1], rel=0.02)
    # One cell of the grid, in the image's own unit.
    cell_y = chunk[0].placement.height * CELL / chunk[0].tensor.shape[1]
    cell_x = chunk[0].placement.width * CELL / chunk[0].tensor.shape[2]
    assert abs((row + 0.5) / height - y) <= HALF + cell_y
    assert abs((column + 0.5) / width - x) <= HALF + cell_x


def test_outside_the_crop_the_map_is_zero(planted):
    path, _ = planted
    model = load(Detector(CELL), CLASSES, PREPROCESSING["centre crop"])
    chunk = load_chunk([path], model)
    (found,) = Explainer(model, method("occlusion"), TargetSpec("green"), 51)(chunk).results
    place = chunk[0].placement
    height, width = found.values.shape
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    outside = ~np.outer(
        (rows >= place.y) & (rows <= place.y + place.height), (columns >= place.x) & (columns <= place.x + place.width)
    )
    assert outside.mean() > 0.3
    assert (found.values[outside] == 0).all()
    assert found.values[~outside].max() > 0
