"""Read where a transform shows an image from the parameters of its steps, where torchvision or timm wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torchvision.transforms import InterpolationMode, v2

from fiftyone_saliency.core.types import Placement

_V1 = "torchvision.transforms.transforms"
_V2 = "torchvision.transforms.v2"
_CHAINS = (f"{_V1}.Compose", f"{_V2}._container.Compose")
_PRESET = "torchvision.transforms._presets.ImageClassification"
_RESIZES = (f"{_V1}.Resize", f"{_V2}._geometry.Resize")
_KEEPS_RATIO = "timm.data.transforms.ResizeKeepRatio"
_CROPS = (f"{_V1}.CenterCrop", f"{_V2}._geometry.CenterCrop", "timm.data.transforms.CenterCropOrPad")
_PADS = (f"{_V1}.Pad", f"{_V2}._geometry.Pad")
_INTENSITIES = {
    *(
        f"{_V1}.{name}"
        for name in ("ToTensor", "PILToTensor", "ConvertImageDtype", "Normalize", "Grayscale", "ToPILImage")
    ),
    *(f"{_V2}._type_conversion.{name}" for name in ("ToImage", "PILToTensor", "ToPureTensor", "ToPILImage")),
    *(f"{_V2}._misc.{name}" for name in ("ToDtype", "ConvertImageDtype", "Normalize", "Identity")),
    *(f"{_V2}._color.{name}" for name in ("Grayscale", "RGB")),
    f"{_V2}._deprecated.ToTensor",
    *(f"timm.data.transforms.{name}" for name in ("ToNumpy", "ToTensor", "MaybeToTensor", "MaybePILToTensor")),
    "open_clip.transform._convert_to_rgb",
}


@dataclass(frozen=True)
class Read:
    """Where an output lies, as its steps say.

    Args:
        placement: in shares of the image.
        size: height and width of the output.
        certain: whether all steps are known; the others are taken to change intensities only.
    """

    placement: Placement
    size: tuple[int, int]
    certain: bool


@dataclass(frozen=True)
class _Frame:
    """The picture between two steps: its size, and where its left upper corner lies in the picture last resized.

    Args:
        width: width in pixels.
        height: height in pixels.
        left: column of the resized picture that its first column shows.
        top: row of the resized picture that its first row shows.
        resized: width and height of the whole image after the resize.
    """

    width: int
    height: int
    left: float
    top: float
    resized: tuple[float, float]
    certain: bool = True


def read_steps(transform: Any, size: tuple[int, int]) -> Read:
    """Follow an image of ``(width, height)`` pixels through the steps of a transform."""
    frame = _Frame(*size, 0, 0, size)
    for step in _flat(transform):
        frame = _after(frame, step)
    width, height = frame.resized
    placement = Placement(frame.left / width, frame.top / height, frame.width / width, frame.height / height)
    return Read(placement, (frame.height, frame.width), frame.certain)


def _flat(transform: Any) -> Iterator[Any]:
    if _name(transform) in _CHAINS:
        for step in transform.transforms:
            yield from _flat(step)
    elif type(transform) is nn.Sequential:
        for step in transform:
            yield from _flat(step)
    else:
        yield transform


def _after(frame: _Frame, step: Any) -> _Frame:
    name = _name(step)
    if name in _RESIZES:
        return _resized(frame, step.size, step.max_size)
    if name == _KEEPS_RATIO and not (step.random_scale_prob or step.random_aspect_prob):
        return _resized(frame, step.get_params(_blank(frame), step.size, step.longest), None)
    if name in _CROPS:
        return _cropped(frame, step.size)
    if name in _PADS:
        return _padded(frame, step.padding)
    if name == _PRESET:
        return _cropped(_resized(frame, step.resize_size, None), step.crop_size)
    return frame if name in _INTENSITIES else replace(frame, certain=False)


def _name(step: Any) -> str:
    """Return the full name of a step's very class: a subclass may do something else."""
    kind = step if hasattr(step, "__qualname__") else type(step)
    return f"{kind.__module__}.{kind.__qualname__}"


def _blank(frame: _Frame) -> torch.Tensor:
    """Return a picture without pixels, of which torchvision takes the size only."""
    return torch.empty(3, frame.height, frame.width, device="meta")


def _resized(frame: _Frame, size: Any, max_size: int | None) -> _Frame:
    if isinstance(size, int):
        size = [size]
    output = v2.functional.resize(_blank(frame), size, InterpolationMode.NEAREST, max_size, antialias=False)
    height, width = output.shape[1:]
    across, down = width / frame.width, height / frame.height
    whole = (_exact(frame.resized[0] * across), _exact(frame.resized[1] * down))
    return replace(frame, width=width, height=height, left=frame.left * across, top=frame.top * down, resized=whole)


def _exact(length: float) -> float:
    """Return a whole number that rounding missed."""
    return round(length) if abs(length - round(length)) < 1e-9 * length else length


def _cropped(frame: _Frame, size: Any) -> _Frame:
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
    # Where the picture is smaller it is padded first, the odd pixel on the far side.
    left, top = (
        round((old - new) / 2) if old >= new else -((new - old) // 2)
        for old, new in ((frame.width, width), (frame.height, height))
    )
    return replace(frame, width=width, height=height, left=frame.left + left, top=frame.top + top)


def _padded(frame: _Frame, padding: Any) -> _Frame:
    sides = [padding] if isinstance(padding, int) else list(padding)
    left, top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
    return replace(
        frame,
        width=frame.width + left + right,
        height=frame.height + top + bottom,
        left=frame.left - left,
        top=frame.top - top,
    )
