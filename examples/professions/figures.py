"""A figure: the uniform of one emoji below the head of another, each with its exact outline."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image

from examples.professions.emoji import render

SKIN_TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")

# All lengths below are fractions of the emoji tile's side, read off a grid drawn over the emoji.
NECK = 0.607  # between the person's chin and the collar: everything above belongs to the person's head
HEM = 0.807  # the uniform's lower edge, just above the round ends of its outlines
CHIN = 0.66  # where the animal's chin comes to lie: a little below the collar, so that no gap shows


@dataclass(frozen=True)
class Uniform:
    """How a profession's uniform is found in OpenMoji.

    Attributes:
        man: Code points of the man's variant, with ``{tone}`` for the skin tone.
        person: The same for the person's variant.
        tool: A box (left, top) right of and below which the picture belongs to a tool that reaches above the collar.
    """

    man: str
    person: str
    tool: tuple[float, float] | None = None


UNIFORMS: Mapping[str, Uniform] = MappingProxyType(
    {
        "police officer": Uniform("1F46E-{tone}-200D-2642-FE0F", "1F46E-{tone}"),
        "firefighter": Uniform("1F468-{tone}-200D-1F692", "1F9D1-{tone}-200D-1F692", tool=(0.66, 0.50)),
        "cook": Uniform("1F468-{tone}-200D-1F373", "1F9D1-{tone}-200D-1F373"),
        "health worker": Uniform("1F468-{tone}-200D-2695-FE0F", "1F9D1-{tone}-200D-2695-FE0F"),
        "farmer": Uniform("1F468-{tone}-200D-1F33E", "1F9D1-{tone}-200D-1F33E", tool=(0.72, 0.30)),
        "pilot": Uniform("1F468-{tone}-200D-2708-FE0F", "1F9D1-{tone}-200D-2708-FE0F"),
        "construction worker": Uniform("1F477-{tone}-200D-2642-FE0F", "1F477-{tone}"),
        "mechanic": Uniform("1F468-{tone}-200D-1F527", "1F9D1-{tone}-200D-1F527", tool=(0.70, 0.45)),
    }
)


@dataclass(frozen=True)
class Head:
    """An animal's face in OpenMoji.

    Attributes:
        code: Code points.
        below_chin: Part of the face's height that hangs below its chin: whiskers, tongues.
    """

    code: str
    below_chin: float = 0.0


HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "dog": Head("1F436", below_chin=0.02),
        "fox": Head("1F98A", below_chin=0.04),
        "bear": Head("1F43B"),
        "frog": Head("1F438"),
        "chick": Head("1F424"),
        "panda": Head("1F43C"),
        "mouse": Head("1F42D"),
        "tiger": Head("1F42F", below_chin=0.03),
        "cat": Head("1F431", below_chin=0.08),
        "rabbit": Head("1F430"),
        "lion": Head("1F981"),
        "hamster": Head("1F439", below_chin=0.07),
        "wolf": Head("1F43A", below_chin=0.05),
        "cow": Head("1F42E", below_chin=0.03),
        "chicken": Head("1F414"),
        "dragon": Head("1F432", below_chin=0.10),
        "robot": Head("1F916"),
    }
)


@dataclass(frozen=True)
class Part:
    """A cut-out and where its upper left corner lies on the figure's tile, in pixels."""

    image: Image.Image
    left: int
    top: int


def uniform(rng: np.random.Generator, profession: str, tile: int, hue: float) -> Part:
    """Draw the clothes and the tool, without the person's head and hat.

    Args:
        rng: Source of the variant, the skin tone and the colours.
        profession: A key of `UNIFORMS`.
        tile: Side of the figure's tile in pixels.
        hue: Colours are turned by up to this part of the colour wheel, either way, and dyed by up to this much.
    """
    kind = UNIFORMS[profession]
    code = (kind.man if rng.random() < 0.5 else kind.person).format(tone=SKIN_TONES[rng.integers(len(SKIN_TONES))])
    part = _scaled(_uniform(code, kind.tool, _drawn(tile)), tile / _drawn(tile))
    turned = _turned(part.image, turn=rng.uniform(-hue, hue), saturation=rng.uniform(0.8, 1.15))
    return Part(_dyed(turned, rng.uniform(1 - hue, 1, size=3)), part.left, part.top)


def head(rng: np.random.Generator, name: str, tile: int) -> Part:
    """Draw an animal's head with its chin on the collar; all heads cover about the same area.

    Args:
        rng: Source of the size.
        name: A key of `HEADS`.
        tile: Side of the figure's tile in pixels.
    """
    kind = HEADS[name]
    drawn = _head(kind.code, _drawn(tile)).image
    part = _scaled(Part(drawn, 0, 0), rng.uniform(0.45, 0.51) * tile / (drawn.width * drawn.height) ** 0.5)
    chin = part.image.height * (1 - kind.below_chin)
    return Part(part.image, round((tile - part.image.width) / 2), round(CHIN * tile - chin))


def _drawn(tile: int) -> int:
    """Return the size to draw emoji at before they are scaled down to `tile`: few sizes, as drawing is slow."""
    return 96 * math.ceil(tile / 96)


@functools.cache
def _uniform(code: str, tool: tuple[float, float] | None, pixels: int) -> Part:
    """Cut an emoji off at the neck and the hem."""
    rgba = render(code, pixels).copy()
    kept = np.zeros((pixels, pixels), dtype=bool)
    kept[round(NECK * pixels) : round(HEM * pixels)] = True
    if tool is not None:
        left, top = (round(edge * pixels) for edge in tool)
        kept[top : round(HEM * pixels), left:] = True
    rgba[~kept] = 0
    return _trimmed(rgba)


@functools.cache
def _head(code: str, pixels: int) -> Part:
    return _trimmed(render(code, pixels))


def _trimmed(rgba: np.ndarray) -> Part:
    """Cut empty margins off."""
    image = Image.fromarray(rgba)
    box = image.getchannel("A").getbbox() or (0, 0, *image.size)
    return Part(image.crop(box), box[0], box[1])


def _scaled(part: Part, scale: float) -> Part:
    width, height = (max(1, round(side * scale)) for side in part.image.size)
    resized = part.image.resize((width, height), Image.Resampling.BICUBIC)
    return Part(resized, round(part.left * scale), round(part.top * scale))


def _turned(image: Image.Image, turn: float, saturation: float) -> Image.Image:
    """Turn hues by `turn` of the colour wheel and scale saturation; black, white and grey stay as they are."""
    hue, colourfulness, value = image.convert("RGB").convert("HSV").split()
    shift = round(turn * 256)
    hue = hue.point([(level + shift) % 256 for level in range(256)])
    colourfulness = colourfulness.point((np.arange(256) * saturation).clip(0, 255).round().astype(int).tolist())
    turned = Image.merge("HSV", (hue, colourfulness, value)).convert("RGB")
    turned.putalpha(image.getchannel("A"))
    return turned


def _dyed(image: Image.Image, dye: np.ndarray) -> Image.Image:
    """Multiply red, green and blue by `dye` (3,), each in [0, 1], as dyeing would: white clothes take its colour."""
    return image.point(np.outer((*dye, 1), np.arange(256)).round().astype(int).ravel().tolist())
