"""Where a network's input lies in the image does not depend on what a step does to intensities."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d
from torchvision import transforms
from torchvision.transforms import functional

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.maps import frame_size, place
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.preprocessing import Preprocessing

Arrays = Callable[[np.ndarray], np.ndarray]


def steps(*chain: Callable) -> Preprocessing:
    # Plain functions, so that nothing but their effect is known of them.
    def transform(image: Image.Image) -> Tensor:
        for step in chain:
            image = step(image)
        return image

    return Preprocessing(transform)


def on_arrays(function: Arrays) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray(function(np.asarray(image)))


def clahe(picture: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def sobel(image: Tensor) -> Tensor:
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    both = torch.stack([kernel, kernel.T])[:, None]
    return conv2d(image.mean(0)[None, None], both, padding=1).norm(dim=1)


def stretched(image: Tensor) -> Tensor:
    low, high = image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True)
    return (image - low) / (high - low + 1e-6)


ON_TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda t: t,
    "clipped": lambda t: ((t - 0.2) / 0.6).clamp(0, 1),
    "gamma .45": lambda t: t**0.45,
    "gamma 2.2": lambda t: t**2.2,
    "threshold": lambda t: (t > 0.5).float(),
    "black and white": lambda t: (t.mean(0, keepdim=True) > 0.5).float(),
    "standardised": lambda t: (t - t.mean()) / t.std(),
    "stretched by channel": stretched,
    "four levels": lambda t: (t * 3).round() / 3,
    "half precision": lambda t: t.half(),
    "logarithm": lambda t: torch.log(t + 1e-3),
    "ranks": lambda t: t.flatten(1).argsort(1).argsort(1).reshape(t.shape).float(),
    "local contrast": lambda t: t - avg_pool2d(t[None], 9, 1, 4)[0],
    "not a number": lambda t: torch.where(t > 0.95, torch.nan, t),
    "edges": sobel,
    "one channel": lambda t: t[2:],
}
ON_IMAGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "contrast 1.5": lambda image: functional.adjust_contrast(image, 1.5),
    "gamma .85": lambda image: functional.adjust_gamma(image, 0.85),
    "bright": lambda image: functional.adjust_brightness(image, 2),
    "solarised": lambda image: functional.solarize(image, 128),
    "posterised": lambda image: functional.posterize(image, 1),
    "inverted": functional.invert,
    "equalised": functional.equalize,
    "autocontrast": functional.autocontrast,
    "CLAHE": on_arrays(clahe),
    "grey": lambda image: functional.rgb_to_grayscale(image, 3),
    "hue, saturation, value": lambda image: image.convert("HSV"),
}


def resized(image: Image.Image) -> Image.Image:
    return image.resize((64, 48), Image.Resampling.BILINEAR)


def middle(image: Image.Image) -> Image.Image:
    return functional.center_crop(functional.resize(image, [72]), [56])


def part(image: Image.Image) -> Image.Image:
    return image.crop((10, 20, image.width - 5, image.height - 9))


def bars(image: Image.Image) -> Image.Image:
    return functional.pad(functional.resize(image, [40]), [3, 8, 5, 16], 114)


# Of an image of 120 × 90 pixels.
GEOMETRIES: dict[str, tuple[Callable[[Image.Image], Image.Image], Placement]] = {
    "resized": (resized, Placement()),
    "middle": (middle, Placement(20 / 96, 8 / 72, 56 / 96, 56 / 72)),
    "whole pixels": (part, Placement(10 / 120, 20 / 90, 105 / 120, 61 / 90)),
    "bars": (bars, Placement(-3 / 53, -8 / 40, 61 / 53, 64 / 40)),
}
# Three quarters of a pixel of the smallest input, in the unit of that input.
NEAR = 0.75 / 48


def assert_found(preprocessing: Preprocessing, expected: Placement, size: tuple[int, int] = (120, 90)) -> None:
    found = preprocessing.placement(size)
    edges = [
        np.divide((p.x, p.x + p.width, p.y, p.y + p.height), unit)
        for unit in [(expected.width, expected.width, expected.height, expected.height)]
        for p in (found, expected)
    ]
    assert edges[0] == pytest.approx(edges[1], abs=NEAR), (found, expected)


@pytest.mark.parametrize(
    ("name", "geometry"),
    # The edge between bar and image outshines all others: it may be refused.
    [pair for pair in product(ON_TENSORS, GEOMETRIES) if pair != ("edges", "bars")],
)
def test_no_change_of_intensity_after_the_geometry_moves_the_map(name, geometry):
    move, expected = GEOMETRIES[geometry]
    assert_found(steps(move, transforms.ToTensor(), ON_TENSORS[name]), expected)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ON_IMAGES)
def test_no_change_of_intensity_before_the_geometry_moves_the_map(name, geometry):
    move, expected = GEOMETRIES[geometry]
    assert_found(steps(ON_IMAGES[name], move, transforms.ToTensor()), expected)


def test_a_clipped_range_is_no_zoom():
    """It gave a placement 1.67 images wide: a share of .995 became .161."""
    chain = [
        transforms.Resize((100, 100)),
        transforms.ToTensor(),
        transforms.Lambda(lambda t: ((t - 0.2) / 0.6).clamp(0, 1)),
    ]
    assert Preprocessing(transforms.Compose(chain)).placement((200, 160)) == Placement()


@pytest.mark.parametrize("size", [(36, 36), (8, 8), (7, 5), (5, 7), (3, 2), (1, 9), (1, 1), (300, 17), (97, 131)])
def test_identity_is_exactly_identity(size):
    placement = steps(transforms.ToTensor()).placement(size)
    assert placement == Placement()
    one_hot = np.zeros(size[::-1], np.float32)
    one_hot[size[1] // 2, size[0] // 3] = 1
    np.testing.assert_array_equal(place(one_hot, placement, one_hot.shape), one_hot)


@pytest.mark.parametrize("box", [(8, 0, 56, 48), (1, 2, 38, 47), (13, 7, 64, 41)])
def test_a_crop_of_whole_pixels_is_exact(box):
    """A map over the crop comes back to the very pixels that it was computed for."""
    left, top, right, bottom = box
    placement = steps(lambda image: image.crop(box), transforms.ToTensor()).placement((64, 48))
    values = np.random.default_rng(0).random((bottom - top, right - left)).astype(np.float32) + 1
    assert frame_size(values.shape, placement, (48, 64)) == (48, 64)
    expected = np.zeros((48, 64), np.float32)
    expected[top:bottom, left:right] = values
    np.testing.assert_allclose(place(values, placement, (48, 64)), expected, rtol=1e-6)


def test_bars_of_whole_pixels_are_exact():
    placement = steps(lambda image: functional.pad(image, [3, 8, 5, 16]), transforms.ToTensor()).placement((64, 48))
    values = np.random.default_rng(0).random((72, 72)).astype(np.float32)
    np.testing.assert_allclose(place(values, placement, (48, 64)), values[8:56, 3:67], rtol=1e-5)


def to_content(image: Image.Image) -> Image.Image:
    seen = np.asarray(image).max(axis=2) > 20
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)) if len(rows) else image


def around_the_colourful(image: Image.Image) -> Image.Image:
    weights = np.asarray(image).astype(float).std(axis=2) + 1e-3
    side = min(image.size) // 2
    corner = []
    for axis, length in ((0, image.width), (1, image.height)):
        centre = weights.sum(axis) @ np.arange(length) / weights.sum()
        corner.append(int(np.clip(centre - side / 2, 0, length - side)))
    return image.crop((*corner, corner[0] + side, corner[1] + side))


@pytest.mark.parametrize("crop", [to_content, around_the_colourful])
def test_a_crop_that_follows_the_content_is_refused(crop):
    with pytest.raises(ModelError, match="depends on the content"):
        steps(crop, resized, transforms.ToTensor()).placement((120, 90))


def middle(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture[height // 4 : -(height // 4), width // 4 : -(width // 4)]


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([cv2.resize(one, (96, 96)) for one in pictures], axis=1)


IN_PIECES: dict[str, Arrays] = {
    "shifted around the edge": lambda p: np.roll(p, p.shape[1] // 3, axis=1),
    "halves swapped": lambda p: np.roll(p, p.shape[0] // 2, axis=0),
    "rows of tiles shuffled": lambda p: np.concatenate(np.array_split(p, 4)[::-1]),
    "itself beside its middle": lambda p: side_by_side(p, middle(p)),
    "its middle beside itself": lambda p: side_by_side(middle(p), p),
    "tiled": lambda p: np.tile(p, (2, 2, 1)),
}


@pytest.mark.parametrize("name", IN_PIECES)
def test_an_image_that_is_shown_in_pieces_or_twice_is_refused(name):
    """Only one of the pieces can lie where a placement says: evidence in the others would be lost."""
    transform = steps(on_arrays(IN_PIECES[name]), functional.to_tensor)
    for size in ((160, 120), (101, 167)):
        with pytest.raises(ModelError, match=r"in one p(iece|lace).*placement="):
            transform.placement(size)


def behind_itself(picture: np.ndarray) -> np.ndarray:
    padded = cv2.GaussianBlur(cv2.resize(picture, (128, 128)), (0, 0), 9)
    padded[32:96] = cv2.resize(picture, (128, 64))
    return padded


def on_its_mean(picture: np.ndarray) -> np.ndarray:
    padded = np.full((128, 128, 3), picture.mean(axis=(0, 1)), np.uint8)
    padded[32:96] = cv2.resize(picture, (128, 64))
    return padded


def repeated(kind: int) -> Arrays:
    return lambda p: cv2.copyMakeBorder(cv2.resize(p, (128, 64)), 32, 32, 0, 0, kind)


@pytest.mark.parametrize(
    "padded",
    [behind_itself, on_its_mean, repeated(cv2.BORDER_REFLECT_101), repeated(cv2.BORDER_REPLICATE)],
    ids=["blurred", "mean", "reflected", "replicated"],
)
def test_padding_may_follow_the_image(padded):
    found = steps(on_arrays(padded), functional.to_tensor).placement((160, 120))
    assert (found.x, found.y, found.width, found.height) == pytest.approx((0, -0.5, 1, 2), abs=0.01)


def test_an_image_that_comes_out_in_another_size_than_its_like_is_refused():
    preprocessing = steps(to_content, transforms.ToTensor())
    picture = np.zeros((12, 12, 3), np.uint8)
    picture[3:9, 2:7] = 200
    with pytest.raises(ModelError, match=r"images of 12 × 12 pixels into tensors of one shape.* got \(3, 6, 5\)"):
        preprocessing(Image.fromarray(picture))


def test_threads_that_meet_a_new_size_at_once_measure_it_once():
    calls = []

    def count(image: Image.Image) -> Image.Image:
        calls.append(image.size)
        return image

    alone, together = (steps(count, resized, transforms.ToTensor()) for _ in range(2))
    alone.placement((120, 90))
    expected, calls[:] = len(calls), []
    threads = [threading.Thread(target=together.placement, args=((120, 90),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == expected
