from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import models, transforms
from torchvision.transforms import v2

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.preprocessing import Preprocessing

# Half of an 8-bit level at each edge of a ramp: what a measurement in whole levels can promise of the frame.
TOLERANCE = 0.006


def crop(side: int = 64, middle: int = 56) -> Callable[..., Tensor]:
    return transforms.Compose([transforms.Resize(side), transforms.CenterCrop(middle), transforms.ToTensor()])


def letterbox(side: int = 64, colour: Any = 0, centring: tuple[float, float] = (0.5, 0.5)) -> Callable[..., Tensor]:
    def fit(image: Image.Image) -> Image.Image:
        return ImageOps.pad(image, (side, side), color=colour, centering=centring)

    return transforms.Compose([fit, transforms.ToTensor()])


def centre_crop_of(size: tuple[int, int], side: int, middle: int) -> Placement:
    """Where torchvision's Resize(side) and CenterCrop(middle) look, in its own whole pixels."""
    width, height = size
    resized = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    left, top = (round((length - middle) / 2) for length in resized)
    return Placement(left / resized[0], top / resized[1], middle / resized[0], middle / resized[1])


def assert_close(found: Placement, expected: Placement, tolerance: float = TOLERANCE) -> None:
    """Compare edges, in units of the larger of input and image."""
    for start, extent in (("x", "width"), ("y", "height")):
        unit = tolerance * max(1, getattr(expected, extent))
        ends = [(getattr(p, start), getattr(p, start) + getattr(p, extent)) for p in (found, expected)]
        assert ends[0] == pytest.approx(ends[1], abs=unit), (found, expected)


SIZES = [(160, 120), (120, 160), (451, 300), (100, 300), (400, 100), (64, 64), (10, 7), (5, 7), (1920, 1080)]


@pytest.mark.parametrize("size", SIZES)
def test_resize_and_centre_crop_see_the_middle(size):
    assert_close(Preprocessing(crop()).placement(size), centre_crop_of(size, 64, 56))


@pytest.mark.parametrize("size", SIZES)
def test_torchvisions_own_preprocessing_sees_the_middle(size):
    transform = models.ResNet18_Weights.DEFAULT.transforms()
    assert_close(Preprocessing(transform).placement(size), centre_crop_of(size, 256, 224))


@pytest.mark.parametrize("size", [*SIZES, (3, 2), (2, 5), (1, 1), (1, 9)])
def test_a_resize_to_a_square_sees_the_whole_image(size):
    transform = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    assert_close(Preprocessing(transform).placement(size), Placement())


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("size", [(160, 120), (451, 300), (1000, 400)])
def test_a_resize_of_the_whole_image_loses_no_border(size, side):
    """Off by a few thousandths, the outermost pixels of every stored map would be blank."""
    transform = transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])
    placement = Preprocessing(transform).placement(size)
    assert placement.x == pytest.approx(0, abs=0.001)
    assert placement.y == pytest.approx(0, abs=0.001)
    assert placement.width == pytest.approx(1, abs=0.002)
    assert placement.height == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("colour", [0, (114, 114, 114), (255, 255, 255)])
@pytest.mark.parametrize("size", [(120, 80), (80, 120), (400, 100), (9, 6), (64, 64)])
def test_a_letterbox_reaches_beyond_the_image(size, colour):
    """Whatever colour its bars have."""
    longest = max(size)
    width, height = longest / size[0], longest / size[1]
    expected = Placement((1 - width) / 2, (1 - height) / 2, width, height)
    assert_close(Preprocessing(letterbox(colour=colour)).placement(size), expected, 0.012)


def test_a_letterbox_with_its_bar_below_is_not_a_centred_one():
    found = Preprocessing(letterbox(centring=(0, 0))).placement((120, 80))
    assert_close(found, Placement(0, 0, 1, 1.5), 0.012)


def test_padding_of_unlike_sides_is_measured():
    pad = transforms.Compose([transforms.Resize((60, 60)), transforms.Pad((30, 0, 90, 20)), transforms.ToTensor()])
    assert_close(Preprocessing(pad).placement((90, 45)), Placement(-0.5, 0, 3, 80 / 60))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_padding_with_the_images_own_border_is_measured(mode):
    pad = transforms.Compose(
        [transforms.Resize((60, 60)), transforms.Pad(10, padding_mode=mode), transforms.ToTensor()]
    )
    assert_close(Preprocessing(pad).placement((90, 45)), Placement(-1 / 6, -1 / 6, 4 / 3, 4 / 3))


def test_a_crop_of_a_corner_is_not_a_crop_of_the_middle():
    """Columns 10 to 50 of 100 and rows 30 to 50 of 60."""

    def cut(image: Image.Image) -> Image.Image:
        return image.crop((10, 30, 50, 50))

    found = Preprocessing(transforms.Compose([cut, transforms.ToTensor()])).placement((100, 60))
    assert_close(found, Placement(0.1, 0.5, 0.4, 1 / 3))


@pytest.mark.parametrize(
    "last",
    [
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        transforms.Lambda(lambda t: 1 - t),
        transforms.Lambda(lambda t: t.half()),
        transforms.Lambda(lambda t: (t * 255).to(torch.uint8)),
        transforms.Grayscale(),
        transforms.Lambda(lambda t: t.flip(0)),
    ],
)
def test_colour_and_scale_do_not_move_the_image(last):
    found = Preprocessing(transforms.Compose([crop(), last])).placement((160, 120))
    assert_close(found, centre_crop_of((160, 120), 64, 56))


@pytest.mark.parametrize("scale", [True, False])
def test_transforms_of_the_second_version_are_measured_too(scale):
    steps = [v2.ToImage(), v2.Resize(64), v2.CenterCrop(56), v2.ToDtype(torch.float32, scale=scale)]
    preprocessing = Preprocessing(v2.Compose(steps))
    assert_close(preprocessing.placement((160, 120)), centre_crop_of((160, 120), 64, 56))
    tensor, _ = preprocessing(Image.new("RGB", (160, 120)))
    assert type(tensor) is Tensor


def test_an_image_comes_with_its_tensor_and_its_placement():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))
    tensor, placement = Preprocessing(crop())(image)
    assert torch.equal(tensor, crop()(image))
    assert_close(placement, centre_crop_of((120, 80), 64, 56))


def test_a_placement_is_measured_once_for_each_size():
    calls = []

    def transform(image: Image.Image) -> Tensor:
        calls.append(image.size)
        return crop()(image)

    preprocessing = Preprocessing(transform)
    first = preprocessing.placement((90, 60))
    measured = len(calls)
    assert preprocessing.placement((90, 60)) == first
    assert len(calls) == measured
    assert preprocessing.placement((60, 90)) != first


def turned(how: Image.Transpose) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.transpose(how)


MOVES = {
    "mirrored": transforms.RandomHorizontalFlip(1.0),
    "upside down": transforms.RandomVerticalFlip(1.0),
    "turned by 90°": turned(Image.Transpose.ROTATE_90),
    "turned by 180°": turned(Image.Transpose.ROTATE_180),
    "turned by 270°": turned(Image.Transpose.ROTATE_270),
    "transposed": turned(Image.Transpose.TRANSPOSE),
    "transversed": turned(Image.Transpose.TRANSVERSE),
    "turned by 30°": transforms.RandomRotation((30, 30)),
    "turned by 5°": transforms.RandomRotation((5, 5)),
    "sheared": transforms.RandomAffine(0, shear=(20, 20)),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_transform_that_does_not_keep_the_image_upright_is_refused(move):
    transform = transforms.Compose([transforms.Resize((64, 80)), MOVES[move], transforms.ToTensor()])
    with pytest.raises(ModelError, match="keep the image upright"):
        Preprocessing(transform).placement((160, 120))


AUGMENTATIONS = {
    "random crop": transforms.RandomCrop(40),
    "random resized crop": transforms.RandomResizedCrop(40),
    "coin-tossed mirror": transforms.RandomHorizontalFlip(0.5),
    "random turn": transforms.RandomRotation(20),
    "random colour": transforms.ColorJitter(0.5),
    "random shift": transforms.RandomAffine(0, translate=(0.3, 0.3)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_random_augmentation_has_no_fingerprint(name, seed):
    """Whatever the coin says in the first two tosses."""
    torch.manual_seed(seed)
    transform = transforms.Compose([transforms.Resize((64, 80)), AUGMENTATIONS[name], transforms.ToTensor()])
    with pytest.raises(ModelError, match="same output for the same image"):
        _ = Preprocessing(transform).fingerprint


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["random crop", "random resized crop", "random shift", "coin-tossed mirror"])
def test_random_moves_have_no_placement(name, seed):
    torch.manual_seed(seed)
    transform = transforms.Compose([transforms.Resize((64, 80)), AUGMENTATIONS[name], transforms.ToTensor()])
    with pytest.raises(ModelError, match=r"random|same output for the same image"):
        Preprocessing(transform).placement((160, 120))


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (transforms.Resize(64), "Image"),
        (np.asarray, "ndarray"),
        (lambda image: [transforms.ToTensor()(image)], "list"),
        (lambda image: None, "NoneType"),
        (lambda image: {"pixel_values": transforms.ToTensor()(image)}, "dict"),
        (lambda image: transforms.ToTensor()(image)[None], r"a tensor of shape \(1, 3, 120, 160\)"),
    ],
)
def test_a_transform_that_gives_no_tensor_is_refused(transform, got):
    preprocessing = Preprocessing(transform)
    with pytest.raises(ModelError, match=rf"a tensor \(C, H, W\), but got {got}"):
        preprocessing(Image.new("RGB", (160, 120)))


def test_a_transform_that_shows_nothing_of_the_image_is_refused_in_words():
    with pytest.raises(ModelError, match=r"Expected `transform` to keep the image upright .* 0% came out"):
        Preprocessing(lambda image: torch.zeros(3, 8, 8)).placement((40, 30))


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (lambda image: torch.from_numpy(image.transpose(2, 0, 1)), "TypeError"),
        (lambda image: transforms.ToTensor()(image).reshape(3, 36, 36), "RuntimeError"),
    ],
)
def test_a_transform_that_cannot_take_a_picture_is_an_error_of_the_model(transform, got):
    with pytest.raises(ModelError, match=f"an RGB PIL image of 40 × 30 pixels, but it raised {got}"):
        Preprocessing(transform).placement((40, 30))


def test_equal_preprocessing_has_an_equal_fingerprint():
    assert Preprocessing(crop()).fingerprint == Preprocessing(crop()).fingerprint
    assert len(Preprocessing(crop()).fingerprint) == 32


@pytest.mark.parametrize(
    "other",
    [
        crop(64, 48),
        crop(65, 56),
        transforms.Compose([crop(), transforms.Normalize([0.5] * 3, [0.5] * 3)]),
        transforms.Compose([crop(), transforms.Lambda(lambda t: t.flip(0))]),
        transforms.Compose([transforms.Resize(64, interpolation=transforms.InterpolationMode.BICUBIC), crop(64, 56)]),
    ],
)
def test_unlike_preprocessing_has_an_unlike_fingerprint(other):
    assert Preprocessing(other).fingerprint != Preprocessing(crop()).fingerprint
