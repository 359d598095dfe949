"""What the steps of a transform say of its place is what the markers show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode, v2

from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.known_steps import read_steps
from fiftyone_saliency.models.locating import locate
from fiftyone_saliency.models.preprocessing import Preprocessing

HALF = [0.5] * 3
TENSOR = transforms.ToTensor()


def timm_transform(**settings) -> Callable:
    data = pytest.importorskip("timm.data")
    return data.create_transform(**({"input_size": (3, 64, 64), "crop_pct": 0.9} | settings))


def ultralytics_transform() -> Callable:
    from tests.models.test_from_ultralytics import import_ultralytics

    return import_ultralytics().data.augment.classify_transforms(64)


KNOWN: dict[str, Callable[[], Callable]] = {
    "shorter side": lambda: transforms.Compose([transforms.Resize(64), transforms.CenterCrop(56), TENSOR]),
    "both sides": lambda: transforms.Compose([transforms.Resize((50, 70)), TENSOR, transforms.Normalize(HALF, HALF)]),
    "no more than": lambda: transforms.Compose([transforms.Resize(64, max_size=80), TENSOR]),
    "a crop larger than the picture": lambda: transforms.Compose(
        [transforms.Resize(40), transforms.CenterCrop(57), TENSOR]
    ),
    "two resizes": lambda: transforms.Compose(
        [transforms.Resize(96), transforms.CenterCrop((60, 72)), transforms.Resize((50, 50)), TENSOR]
    ),
    "four sides": lambda: transforms.Compose([transforms.Resize((60, 60)), transforms.Pad((30, 0, 90, 20)), TENSOR]),
    "bars, then a resize": lambda: transforms.Compose([transforms.Pad(5), transforms.Resize(50), TENSOR]),
    "chain in a chain": lambda: transforms.Compose(
        [transforms.Compose([transforms.Resize(64), transforms.Grayscale(3)]), transforms.CenterCrop(40), TENSOR]
    ),
    "modules in a row": lambda: nn.Sequential(transforms.Resize(64), transforms.CenterCrop(40), v2.ToImage()),
    "lanczos": lambda: transforms.Compose([transforms.Resize(64, InterpolationMode.LANCZOS), TENSOR]),
    "version 2": lambda: v2.Compose(
        [
            v2.ToImage(),
            v2.RGB(),
            v2.Resize(64),
            v2.CenterCrop(56),
            v2.Pad([3, 4]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(HALF, HALF),
            v2.ToPureTensor(),
        ]
    ),
    "preset": models.ResNet18_Weights.DEFAULT.transforms,
    "timm": timm_transform,
    "timm border": lambda: timm_transform(crop_mode="border"),
    "timm squash": lambda: timm_transform(input_size=(3, 64, 80), crop_mode="squash"),
    "ultralytics": ultralytics_transform,
}


@pytest.mark.parametrize("size", [(160, 120), (101, 150)])
@pytest.mark.parametrize("name", KNOWN)
def test_the_steps_say_what_the_markers_show(name, size):
    transform = KNOWN[name]()
    read, shown = read_steps(transform, size), locate(transform, size)
    assert read.certain
    assert tuple(transform(Image.new("RGB", size)).shape[1:]) == read.size
    # A third of a pixel of the output.
    edges = [(p.x, p.x + p.width, p.y, p.y + p.height) for p in (read.placement, shown)]
    near = 0.33 * max(read.placement.width / read.size[1], read.placement.height / read.size[0])
    assert edges[0] == pytest.approx(edges[1], abs=near)
    assert Preprocessing(transform).placement(size) == read.placement


@pytest.mark.parametrize("size", [(451, 300), (97, 131), (7, 5)])
def test_the_whole_image_is_exactly_the_whole_image(size):
    for side in (32, 49, 224):
        read = read_steps(transforms.Compose([transforms.Resize((side, side + 3)), TENSOR]), size)
        assert read.placement == Placement()


def test_a_subclass_is_not_known():
    class Resize(transforms.Resize):
        def forward(self, img: Image.Image) -> Image.Image:
            return super().forward(img.crop((0, 0, img.width // 2, img.height)))

    transform = transforms.Compose([Resize((50, 50)), TENSOR])
    assert not read_steps(transform, (160, 120)).certain
    assert Preprocessing(transform).placement((160, 120)) == Placement(0, 0, 0.5, 1)


@pytest.mark.parametrize("limit", [0.02, 0.5, 0.97])
def test_an_unknown_step_that_leaves_the_place_keeps_what_the_others_say_exactly(limit):
    """However little it leaves of the picture."""
    steps = [transforms.Resize(64), transforms.CenterCrop(56), TENSOR, lambda t: (t > limit).float()]
    placement = Preprocessing(transforms.Compose(steps)).placement((160, 120))
    assert placement == read_steps(transforms.Compose(steps[:3]), (160, 120)).placement


def test_an_unknown_step_that_moves_the_picture_is_measured():
    steps = [transforms.Resize((60, 60)), lambda image: image.crop((12, 6, 48, 54)), TENSOR]
    placement = Preprocessing(transforms.Compose(steps)).placement((160, 120))
    assert placement == Placement(0.2, 0.1, 0.6, 0.8)
