"""Compose a picture: a product and a price tag on a surface, with the exact region of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .price_tag import draw_price_tag
from .surfaces import draw_surface

WIDTH, HEIGHT = 320, 240
"""Size of a picture in pixels: not square, so a classifier that crops its centre sees a part of it."""

BACKGROUND, PRODUCT, TAG = 0, 1, 2
"""Values of the mask."""

VISIBLE = 210
"""Side in pixels of the centred square left by ``Resize(256), CenterCrop(224)``: 240 * 224 / 256."""

_LEFT, _TOP = (WIDTH - VISIBLE) // 2, (HEIGHT - VISIBLE) // 2


@dataclass(frozen=True, eq=False)
class Props:
    """What a scene is set with, besides the product; drawn once, used in many pictures.

    Attributes:
        surfaces: RGB ``(H, W, 3)`` uint8, each larger than a picture.
        tags: RGBA pictures.
    """

    surfaces: tuple[np.ndarray, ...]
    tags: tuple[Image.Image, ...]


def draw_props(rng: np.random.Generator, surfaces: int = 20, tags: int = 100) -> Props:
    """Draw a stock of surfaces and price tags."""
    height, width = HEIGHT * 3 // 2, WIDTH * 3 // 2
    return Props(
        tuple(draw_surface(height, width, rng) for _ in range(surfaces)),
        tuple(draw_price_tag(rng) for _ in range(tags)),
    )


def compose(cutout: np.ndarray, props: Props, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """Lay a product and a price tag on a surface.

    The product lies wholly inside the visible square; the tag lies anywhere in the picture, often partly outside
    that square, and covers little of the product. Which surface and which tag has nothing to do with the product.

    Args:
        cutout: the product, RGBA ``(h, w, 4)`` uint8.
        props: surfaces and tags to choose from.
        rng: decides everything.

    Returns:
        The picture, RGB, and its mask, "L", of the same size.
    """
    picture = _backdrop(props.surfaces, rng)
    tag = props.tags[rng.integers(len(props.tags))]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    product = _product(cutout, rng)
    left = _LEFT + int(rng.integers(VISIBLE - product.width + 1))
    top = _TOP + int(rng.integers(VISIBLE - product.height + 1))
    _lay(picture, mask, product, (left, top), PRODUCT)
    _lay(picture, mask, tag, _place_for_tag(mask, tag, rng), TAG)
    return picture, Image.fromarray(mask)


def _backdrop(surfaces: Sequence[np.ndarray], rng: np.random.Generator) -> Image.Image:
    surface = surfaces[rng.integers(len(surfaces))]
    top = int(rng.integers(surface.shape[0] - HEIGHT + 1))
    left = int(rng.integers(surface.shape[1] - WIDTH + 1))
    part = surface[top : top + HEIGHT, left : left + WIDTH]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return Image.fromarray(_lit(part, rng))


def _lit(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A lamp somewhere above: brighter near it, darker away from it."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    distance = np.hypot(x - rng.uniform(0.2, 0.8), (y - rng.uniform(0.1, 0.7)) * HEIGHT / WIDTH)
    light = rng.uniform(1.0, 1.12) - 0.42 * distance
    return np.clip(part * light[..., None], 0, 255).astype(np.uint8)


def _product(cutout: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """The product turned, mirrored, scaled to fit the visible square and, where it is thin, laid out twice."""
    piece = Image.fromarray(cutout)
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if piece.height < 0.45 * piece.width and rng.random() < 0.6:
        piece = _pair(piece, rng)
    piece = piece.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC, expand=True)
    piece = piece.crop(piece.getchannel("A").getbbox())
    scale = VISIBLE * rng.uniform(0.82, 1.0) / max(piece.size)
    size = (max(1, int(piece.width * scale)), max(1, int(piece.height * scale)))
    return piece.resize(size, Image.Resampling.LANCZOS)


def _pair(piece: Image.Image, rng: np.random.Generator) -> Image.Image:
    step, shift = int(piece.height * rng.uniform(1.0, 1.2)), int(piece.width * rng.uniform(0, 0.12))
    both = Image.new("RGBA", (piece.width + shift, piece.height + step))
    both.paste(piece, (0, 0))
    both.alpha_composite(piece, (shift, step))
    return both


def _lay(picture: Image.Image, mask: np.ndarray, piece: Image.Image, place: tuple[int, int], region: int) -> None:
    """Paste a piece with its shadow, and write its region into the mask where it is more than half opaque."""
    alpha = Image.new("L", picture.size)
    alpha.paste(piece.getchannel("A"), place)
    lift = 4 if region == PRODUCT else 1
    for blur, strength in ((lift * 1.6, 0.5), (1.5, 0.35)):
        shadow = Image.new("L", picture.size)
        shadow.paste(alpha, (lift, lift))
        shadow = shadow.filter(ImageFilter.GaussianBlur(blur)).point(lambda value, s=strength: int(value * s))
        picture.paste((12, 10, 8), (0, 0), shadow)
    picture.paste(piece, place, piece)
    mask[np.asarray(alpha) > 127] = region


def _place_for_tag(mask: np.ndarray, tag: Image.Image, rng: np.random.Generator) -> tuple[int, int]:
    """The best of a few random places: where the tag covers least of the product."""
    covered = {}
    for _ in range(12):
        left, top = int(rng.integers(WIDTH - tag.width + 1)), int(rng.integers(HEIGHT - tag.height + 1))
        covered[left, top] = int(np.count_nonzero(mask[top : top + tag.height, left : left + tag.width]))
    return min(covered, key=covered.get)
