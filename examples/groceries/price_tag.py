"""Draw a printed price tag; everything on it is random, so that it tells nothing about the goods."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SCALE = 3
"""Drawn this much larger, then reduced: smooth edges and print."""

_CARDS = ((252, 250, 244), (255, 224, 92), (255, 246, 200), (216, 236, 214), (44, 44, 46))
_INKS = ((196, 30, 40), (28, 84, 160), (22, 120, 66), (226, 116, 20), (30, 30, 32))
_WORDS = ("OFFER", "FRESH", "TODAY", "BEST BUY", "SPECIAL", "MARKET")
_UNITS = ("per kg", "per 500 g", "each", "per pack")


def draw_price_tag(rng: np.random.Generator) -> Image.Image:
    """Draw one tag, slightly turned.

    Returns:
        RGBA, about 74 x 48 pixels; transparent outside the card.
    """
    width, height = int(rng.integers(64, 80)), int(rng.integers(42, 50))
    card, ink = _CARDS[rng.integers(len(_CARDS))], _INKS[rng.integers(len(_INKS) - 1)]
    dark = sum(card) < 300
    text = (250, 250, 246) if dark else _INKS[-1]
    tag = Image.new("RGBA", (width * _SCALE, height * _SCALE))
    pen = ImageDraw.Draw(tag)
    pen.rounded_rectangle((0, 0, width * _SCALE - 1, height * _SCALE - 1), 4 * _SCALE, fill=card)
    band = 13 * _SCALE
    pen.rounded_rectangle((0, 0, width * _SCALE - 1, band), 4 * _SCALE, fill=ink)
    pen.rectangle((0, band // 2, width * _SCALE - 1, band), fill=ink)
    _write(pen, (width / 2, 6.5), _WORDS[rng.integers(len(_WORDS))], 9, (255, 255, 255))
    price = f"{rng.integers(0, 20)}.{rng.integers(10)}9"
    _write(pen, (width / 2, 23), price, 19, text)
    _write(pen, (width / 2 - 12, height - 7), _UNITS[rng.integers(len(_UNITS))], 7.5, text)
    _barcode(pen, (width - 25, height - 11, width - 5, height - 4), rng, text)
    tag = tag.rotate(rng.uniform(-9, 9), Image.Resampling.BICUBIC, expand=True)
    return tag.resize((tag.width // _SCALE, tag.height // _SCALE), Image.Resampling.LANCZOS)


def _write(pen: ImageDraw.ImageDraw, centre: tuple[float, float], text: str, size: float, fill: tuple) -> None:
    font = ImageFont.load_default(size * _SCALE)
    pen.text((centre[0] * _SCALE, centre[1] * _SCALE), text, fill=fill, font=font, anchor="mm")


def _barcode(pen: ImageDraw.ImageDraw, box: tuple[float, ...], rng: np.random.Generator, fill: tuple) -> None:
    left, top, right, bottom = (int(side * _SCALE) for side in box)
    x = left
    while x < right:
        bar = int(rng.integers(2, 6))
        pen.rectangle((x, top, min(x + bar, right), bottom), fill=fill)
        x += bar + int(rng.integers(2, 6))
