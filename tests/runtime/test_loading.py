from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from fiftyone_saliency.core.errors import ImageError
from fiftyone_saliency.core.images import read_image
from fiftyone_saliency.core.types import Failure, SampleItem
from fiftyone_saliency.runtime.loading import LoadedImage, load_ahead
from tests.oracles import SmallCNN, adapt, load_chunk, resize

EXIF_ORIENTATION = 0x0112
# Upright: 6 wide, 4 high, red in the upper left corner.
UPRIGHT = np.zeros((4, 6, 3), np.uint8)
UPRIGHT[:2, :3] = (255, 0, 0)
# How a camera stores the upright picture, by the orientation that it notes.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def save(path: Path, image: Image.Image, **options: object) -> str:
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_read_upright_whichever_way_the_camera_was_held(tmp_path, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    image = read_image(save(tmp_path / "photo.png", stored, exif=exif))
    assert image.size == (6, 4)
    np.testing.assert_array_equal(np.asarray(image), UPRIGHT)


def test_the_upright_size_goes_with_the_loaded_image(tmp_path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    path = save(tmp_path / "photo.jpg", Image.new("RGB", (80, 60)), exif=exif)
    (loaded,) = load_chunk([path], adapt(SmallCNN()))
    assert loaded.size == (80, 60)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("LA", (77, 128), (77, 77, 77)),
        ("RGBA", (10, 20, 30, 128), (10, 20, 30)),
    ],
)
def test_images_of_every_mode_are_read_as_rgb(tmp_path, mode, colour, expected):
    image = read_image(save(tmp_path / "image.png", Image.new(mode, (5, 3), colour)))
    assert (image.mode, image.size) == ("RGB", (5, 3))
    assert image.getpixel((0, 0)) == expected


def test_a_palette_is_looked_up(tmp_path):
    image = Image.new("P", (5, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert read_image(save(tmp_path / "image.png", image)).getpixel((4, 2)) == (10, 20, 30)


def test_a_printers_four_colours_are_read_as_rgb(tmp_path):
    path = save(tmp_path / "image.jpg", Image.new("CMYK", (16, 8), (0, 255, 255, 0)), quality=95)
    red, green, blue = read_image(path).getpixel((8, 4))
    assert red > 240
    assert max(green, blue) < 15


def test_sixteen_bits_of_grey_keep_their_shades(tmp_path):
    """Pillow alone clips them at 255: nearly all of a medical image would be white."""
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    path = save(tmp_path / "image.png", Image.fromarray(shades))
    np.testing.assert_allclose(np.asarray(read_image(path))[:, :, 0], shades / 257, atol=1)


def test_a_missing_file_is_an_image_error():
    with pytest.raises(ImageError, match="the image file is missing"):
        read_image("/no/such/image.png")


def broken(kind: str, path: Path) -> str:
    if kind == "folder":
        path.mkdir()
        return str(path)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, "JPEG" if kind == "truncated JPEG" else "PNG")
    data = path.read_bytes()
    spoilt = {
        "truncated JPEG": data[: len(data) // 2],
        "truncated PNG": data[: len(data) // 2],
        "zero bytes": b"",
        "text": b"this is no image",
        "zeros": bytes(1000),
        "spoilt PNG": data[:60] + bytes(64) + data[124:],
    }
    path.write_bytes(spoilt[kind])
    return str(path)


BROKEN = ["truncated JPEG", "truncated PNG", "zero bytes", "text", "zeros", "spoilt PNG", "folder"]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_an_image_error(tmp_path, kind):
    with pytest.raises(ImageError, match=r"the image cannot be read: \S"):
        read_image(broken(kind, tmp_path / "image"))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_one_failure_among_loaded_images(tmp_path, pictures, kind):
    paths = [pictures[0], broken(kind, tmp_path / "image"), pictures[1]]
    first, failure, last = load_chunk(paths, adapt(SmallCNN()))
    assert isinstance(failure, Failure)
    assert (failure.sample_id, failure.filepath, failure.kind) == ("1", paths[1], "error")
    assert failure.reason.startswith("the image cannot be read: ")
    assert isinstance(first, LoadedImage)
    assert isinstance(last, LoadedImage)


def test_a_transform_that_fails_is_a_failure_with_its_reason(pictures):
    def transform(image: Image.Image) -> Tensor:
        if image.getpixel((0, 0))[0] == 250:
            raise ZeroDivisionError
        return resize()(image)

    model = adapt(SmallCNN(), transform=transform)
    first, *others = load_chunk(pictures[:3], model)
    assert first == Failure("0", pictures[0], "ZeroDivisionError")
    assert all(isinstance(entry, LoadedImage) for entry in others)


@pytest.mark.parametrize("workers", [1, 4])
def test_chunks_and_their_images_come_in_order(pictures, workers):
    items = [SampleItem(str(i), path) for i, path in enumerate(pictures)]
    work = [items[:5], items[5:10], items[10:]]
    found = list(load_ahead(work, adapt(SmallCNN()), workers))
    assert [[entry.item.id for entry in chunk] for chunk in found] == [[item.id for item in chunk] for chunk in work]


def test_of_no_chunks_there_is_nothing():
    assert list(load_ahead([], adapt(SmallCNN()), 1)) == []


def test_images_are_read_one_chunk_ahead_and_no_further(pictures):
    """Ahead, so that the network need not wait; no further, so that memory does not grow with the dataset."""
    asked: list[int] = []

    def work() -> Iterator[list[SampleItem]]:
        for i in range(6):
            asked.append(i)
            yield [SampleItem(str(i), pictures[i])]

    loaded = load_ahead(work(), adapt(SmallCNN()), 1)
    next(loaded)
    assert asked == [0, 1]
    next(loaded)
    assert asked == [0, 1, 2]
    loaded.close()
    assert asked == [0, 1, 2]


def test_no_thread_is_left_when_the_work_ends_early(pictures):
    def threads() -> set[str]:
        return {t.name for t in threading.enumerate() if t.name.startswith("saliency-load")}

    before = threads()
    loaded = load_ahead(([SampleItem("0", path)] for path in pictures), adapt(SmallCNN()), 2)
    next(loaded)
    assert threads() != before
    loaded.close()
    assert threads() == before


@pytest.mark.parametrize(("workers", "here"), [(0, True), (2, False)])
def test_no_workers_means_the_calling_thread(pictures, workers, here):
    threads = []

    def transform(image: Image.Image) -> Tensor:
        threads.append(threading.current_thread())
        return resize(16)(image)

    model = adapt(SmallCNN(), transform=transform)
    items = [SampleItem(str(i), path) for i, path in enumerate(pictures[:4])]
    model.preprocessing.placement((64, 48))
    threads.clear()
    (first, second) = load_ahead([items[:3], items[3:]], model, workers)

    assert [image.item.id for image in [*first, *second]] == ["0", "1", "2", "3"]
    assert {thread is threading.current_thread() for thread in threads} == {here}
