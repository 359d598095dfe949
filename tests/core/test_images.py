"""More than 8 bits are scaled by one stated rule, or the image is a failure with its reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.images import image_size, read_image
from fiftyone_saliency.dataset.mean_maps import _read_image

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
LEVELS = RAMP * 255


def read(path: Path) -> np.ndarray:
    return np.asarray(read_image(str(path)))


def assert_shades(path: Path, within: float = 0.51) -> None:
    pixels = read(path)
    assert pixels.shape == (8, 8, 3)
    for channel in range(3):
        np.testing.assert_allclose(pixels[:, :, channel], LEVELS, atol=within)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_of_few_bits_in_a_png_of_sixteen_is_neither_black_nor_white(tmp_path, bits):
    path = tmp_path / "image.png"
    Image.fromarray(np.rint(RAMP * (2**bits - 1)).astype(np.uint16)).save(path)
    assert_shades(path)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_colours_of_sixteen_bits_are_scaled_like_grey(tmp_path, bits, name):
    """Pillow alone drops the lower 8 bits: 12-bit colours would be nearly black."""
    path = tmp_path / name
    levels = np.rint(RAMP * (2**bits - 1)).astype(np.uint16)
    red, blue = levels, levels[::-1]
    cv2.imwrite(str(path), np.dstack([blue, np.full_like(levels, levels.max() // 2), red]))
    pixels = read(path)
    np.testing.assert_allclose(pixels[:, :, 0], LEVELS, atol=0.51)
    np.testing.assert_allclose(pixels[:, :, 1], 127.5, atol=0.51)
    np.testing.assert_allclose(pixels[:, :, 2], LEVELS[::-1], atol=0.51)


def test_transparency_of_sixteen_bits_is_left_out(tmp_path):
    path = tmp_path / "image.png"
    levels = np.rint(RAMP * 4095).astype(np.uint16)
    cv2.imwrite(str(path), np.dstack([levels, levels, levels, np.full_like(levels, 65535)]))
    assert_shades(path)


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 65535).astype(">u2"),
        (RAMP * 4095).astype(">u2"),
        (RAMP * 4095).astype(np.int32),
        (RAMP * 65535).astype(np.int32),
        (RAMP * (2**31 - 1)).astype(np.int32),
        RAMP.astype(np.float32),
        (RAMP * 255).astype(np.float32),
        (RAMP * 4095).astype(np.float32),
    ],
    ids=["16, big endian", "12, big endian", "int32, 12", "int32, 16", "int32, 31", "shares", "float, 8", "float, 12"],
)
def test_every_type_of_a_tiff_keeps_its_shades(tmp_path, values):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, values, byteorder=">" if values.dtype.byteorder == ">" else "<")
    if values.max() == 2**31 - 1:
        # White is 32 bits, of which a signed number has 31.
        np.testing.assert_allclose(read(path)[:, :, 0], LEVELS / 2, atol=0.51)
    else:
        assert_shades(path, 1)


def test_black_stays_black_and_a_dim_image_is_not_stretched(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((8, 8), 1100, np.uint16)).save(path)
    assert (read(path) == round(1100 / 2047 * 255)).all() or (read(path) == round(1100 / 4095 * 255)).all()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)
    assert (read(path) == 0).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((RAMP * 4095 - 1024).astype(np.int32), "numbers from -1024 to 3071"),
        ((RAMP - 0.5).astype(np.float32), "numbers from -0.5 to 0.5"),
        (np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32), "numbers from nan to nan"),
        ((RAMP * 1e12).astype(np.float32), "more than 32 bits hold"),
    ],
)
def test_numbers_without_a_known_scale_are_a_failure_with_its_reason(tmp_path, values, reason):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, values)
    with pytest.raises(ImageError, match=reason):
        read_image(str(path))


def test_two_shades_are_black_and_white(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(RAMP > 0.5).save(path)
    np.testing.assert_array_equal(read(path)[:, :, 0], np.where(RAMP > 0.5, 255, 0))


def test_a_deep_image_is_turned_upright_like_any_other(tmp_path):
    path = tmp_path / "image.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.zeros((4, 6), np.uint16)
    levels[0, 0] = 65535
    Image.fromarray(levels).save(path, exif=exif)
    pixels = read(path)
    assert pixels.shape == (6, 4, 3)
    assert pixels[0, 3, 0] == 255
    assert image_size(str(path)) == (4, 6)


def test_the_size_in_the_head_is_the_upright_size(tmp_path):
    path = tmp_path / "image.jpg"
    Image.new("RGB", (8, 4)).save(path)
    assert image_size(str(path)) == (8, 4)
    with pytest.raises(ImageError, match="cannot be read"):
        image_size(str(tmp_path / "missing.jpg"))


def test_mean_images_are_read_by_the_same_rule(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(path)
    assert (_read_image(str(path)) == 255).all()
