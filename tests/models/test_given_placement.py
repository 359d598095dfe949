"""Where a transform's output lies can be said by hand, and is printed with the model."""

from __future__ import annotations

import pytest
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.frames import describe
from fiftyone_saliency.core.types import Placement

CLASSES = ("red", "green", "blue")
FLIPPED = transforms.Compose([transforms.RandomHorizontalFlip(1.0), transforms.ToTensor()])
LEFT = Placement(0, 0, 0.5, 1)


def colour_net() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def left_half(image: Image.Image) -> Tensor:
    return transforms.ToTensor()(image.crop((0, 0, image.width // 2, image.height)))


@pytest.mark.parametrize("given", [LEFT, lambda size: Placement(0, 0, (size[0] // 2) / size[0], 1)])
def test_a_placement_by_hand_is_taken_at_its_word(given):
    model = fos.load_model(colour_net(), CLASSES, left_half, placement=given)
    assert model.preprocessing.placement((64, 48)) == LEFT
    assert model.prepare(Image.new("RGB", (64, 48)))[1] == LEFT
    assert fos.load_model(colour_net(), CLASSES, left_half).preprocessing.placement((64, 48)) == LEFT


def test_what_is_refused_when_measured_can_be_said_by_hand():
    model = fos.load_model(colour_net(), CLASSES, FLIPPED, placement=Placement())
    assert model.preprocessing.placement((64, 48)) == Placement()


@pytest.mark.parametrize("given", [(0, 0, 1, 1), "whole", 0.5])
def test_what_is_no_placement_is_refused(given):
    with pytest.raises(ArgumentError, match="Expected `placement` to be a `Placement`, or a function"):
        fos.load_model(colour_net(), CLASSES, left_half, placement=given)


def test_a_function_that_returns_no_placement_is_refused():
    model = fos.load_model(colour_net(), CLASSES, left_half, placement=lambda size: (0, 0, 1, 1))
    with pytest.raises(ModelError, match="`placement` to return a `Placement` for an image of 64 × 48"):
        model.preprocessing.placement((64, 48))


def test_a_placement_by_hand_is_part_of_the_fingerprint():
    models = [
        fos.load_model(colour_net(), CLASSES, left_half, placement=given)
        for given in (None, LEFT, Placement(0.5, 0, 0.5, 1), lambda size: LEFT)
    ]
    first, by_hand, other, function = (model.fingerprint for model in models)
    assert len({first, by_hand, other}) == 3
    assert function == by_hand


def test_another_transform_takes_no_placement_over():
    model = fos.load_model(colour_net(), CLASSES, left_half, placement=Placement(0.5, 0, 0.5, 1))
    assert fos.load_model(model, transform=transforms.ToTensor()).preprocessing.placement((64, 48)) == Placement()
    assert fos.load_model(model, placement=LEFT).preprocessing.placement((64, 48)) == LEFT


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        (Placement(), "all of an image of 64 × 48 pixels"),
        (
            Placement(8 / 64, 0, 48 / 64, 1),
            "the middle of an image of 64 × 48 pixels: columns 8 to 56, rows 0 to 48",
        ),
        (LEFT, "a part of an image of 64 × 48 pixels: columns 0 to 32, rows 0 to 48"),
        (
            Placement(0, -8 / 48, 1, 64 / 48),
            "all of an image of 64 × 48 pixels, and bars around it: columns 0 to 64, rows -8 to 56",
        ),
    ],
)
def test_a_placement_in_words(placement, words):
    assert describe(placement, (64, 48)) == words


def test_what_was_found_is_printed_with_the_model():
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()])
    model = fos.load_model(colour_net(), CLASSES, transform)
    assert "sees the middle of an image of 320 × 240 pixels: columns 54.43 to" in str(model)
    model.prepare(Image.new("RGB", (64, 48)))
    assert "sees the middle of an image of 64 × 48 pixels: columns 10.89 to" in str(model)


def test_a_network_of_one_size_can_be_printed_before_it_has_met_its_data():
    model = fos.load_model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 36 * 36, 3)), CLASSES, transforms.ToTensor())
    assert "not tried with its data yet: Expected the network to take" in str(model)
    assert "sees all of an image of 36 × 36 pixels" in str(model.for_size((36, 36)))
