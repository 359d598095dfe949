"""A transform together with its inverse: where does the network's input lie in the image?

The answer never comes from grey levels, which a step may bend, clip or standardise as it likes: it is said by hand, or
found by markers that are told apart by when they change (`models.locating`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError, SaliencyError
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.locating import WAY_OUT, find, refuse_moving, refuse_repeating

Size = tuple[int, int]
GivenPlacement = Placement | Callable[[Size], Placement] | None
_CACHED_SIZES = 4096
_PROBE = (131, 97)
_REPEATS = 8
# Below this, an image has too few pixels to hold markers in a part of it.
_FEW_PIXELS = 16


class MisfitError(ModelError):
    """Transform or network cannot take an image of this size; with one of another size they may."""


class Preprocessing:
    """Call the transform on an RGB image; get the network's input and its placement.

    Args:
        transform: what turns an RGB ``PIL.Image`` into a tensor (C, H, W).
        given: where its output lies in the image, if a person says so: a placement for all images, or a function from
            the size ``(width, height)`` of an image to a placement; None finds out.
    """

    def __init__(self, transform: Callable[[Image.Image], Any], given: GivenPlacement = None) -> None:
        self._transform, self._given = transform, given
        self._found: dict[Size, Future[tuple[Placement, tuple[int, ...] | None]]] = {}
        self._proved = False
        self._lock = threading.Lock()

    def __call__(self, image: Image.Image) -> tuple[Tensor, Placement]:
        """Return the network's input, float (C, H, W), and where it lies in the image.

        Raises:
            ModelError: if the transform has no placement, or this image comes out in another size than others of its
                size.
        """
        output = self._run(image)
        placement, shape = self._place(image.size)
        if shape is not None and output.shape != shape:
            raise ModelError(
                f"Expected `transform` to turn all images of {_text(image.size)} pixels into tensors of one shape, "
                f"{shape}, but got {tuple(output.shape)}. Its crop depends on the content. {WAY_OUT}"
            )
        return output, placement

    def placement(self, size: Size) -> Placement:
        """Return where the network's input lies in an image of ``(width, height)`` pixels.

        Raises:
            ModelError: if the transform turns, mirrors or randomly moves the image, or crops by content.
        """
        return self._place(size)[0]

    @property
    def placements(self) -> dict[Size, Placement]:
        """What was found so far, by size of image."""
        with self._lock:
            known = [(size, future) for size, future in self._found.items() if future.done()]
        return {size: future.result()[0] for size, future in known if future.exception() is None}

    def drawn(self, size: Size) -> Tensor:
        """Return what the transform makes of a drawn picture, and find out where that lies.

        Raises:
            ModelError: if the transform cannot take it, or has no placement.
        """
        output = self._try(noise_picture(size))
        _ = self.placement(size)
        return output

    @cached_property
    def fingerprint(self) -> bytes:
        """What the transform makes of a fixed picture: equal for equal preprocessing, in any process.

        Raises:
            ModelError: if it cannot take the picture, or makes something else of it every time.
        """
        return self._digest(_PROBE)

    def fingerprint_at(self, size: Size) -> bytes:
        """Return the fingerprint; of a transform that takes images of one size only, what it makes of that size.

        Raises:
            ModelError: if it cannot take such a picture either, or makes something else of it every time.
        """
        try:
            return self.fingerprint
        except MisfitError:
            return self._digest(size)

    def _digest(self, size: Size) -> bytes:
        picture = noise_picture(size)
        output, *again = (self._try(picture).double().numpy() for _ in range(_REPEATS))
        if not all(np.array_equal(output, other, equal_nan=True) for other in again):
            raise ModelError(
                "Expected `transform` to give the same output for the same image, but got two unlike ones. "
                "Use the preprocessing of evaluation, without random augmentation."
            )
        digest = hashlib.sha256(repr(output.shape).encode() + np.round(output, 4).tobytes())
        if self._given is not None:
            digest.update(repr([self.placement(some) for some in (size, (size[1], size[0]))]).encode())
        return digest.digest()

    def _run(self, image: Image.Image) -> Tensor:
        output = self._transform(image)
        if not isinstance(output, Tensor) or output.ndim != 3:
            got = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise ModelError(
                f"Expected `transform` to turn a PIL image into a tensor (C, H, W), but got {got}. "
                "Compose it with torchvision.transforms.ToTensor()."
            )
        return output.as_subclass(torch.Tensor)

    def _try(self, picture: Image.Image) -> Tensor:
        """Run the transform on a drawn picture; what it cannot do with it is an error of the model."""
        try:
            return self._run(picture)
        except SaliencyError:
            raise
        except Exception as error:
            raise MisfitError(
                f"Expected `transform` to take an RGB PIL image of {_text(picture.size)} pixels, but it raised "
                f"{type(error).__name__}: {error}. Let it take images of any size, as `PIL.Image` and not as arrays."
            ) from error

    def _place(self, size: Size) -> tuple[Placement, tuple[int, ...] | None]:
        """Return the placement, and the shape of the output where that was looked at."""
        with self._lock:
            future = self._found.get(size)
            mine = future is None
            if future is None:
                if len(self._found) >= _CACHED_SIZES:
                    self._found.clear()
                future = self._found[size] = Future()
        if mine:
            try:
                future.set_result(self._find(size))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def _find(self, size: Size) -> tuple[Placement, tuple[int, ...] | None]:
        if self._given is not None:
            return _check_given(self._given, size), None
        _ = self.fingerprint_at(size)  # a transform that moves the image at random has no placement
        placement, certain = find(self._transform, self._try, size)
        if not certain and min(size) >= _FEW_PIXELS:
            refuse_repeating(self._try, size, placement)
        if not certain and not self._proved and min(size) >= _FEW_PIXELS:
            refuse_moving(self._try, size, placement)
            self._proved = True
        return placement, tuple(self._try(noise_picture(size)).shape)


def noise_picture(size: Size) -> Image.Image:
    """Return noise of ``(width, height)`` pixels, the same in every process."""
    noise = np.random.default_rng(51).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise)


def _check_given(given: Placement | Callable[[Size], Placement], size: Size) -> Placement:
    placement = given if isinstance(given, Placement) else given(size)
    if not isinstance(placement, Placement):
        raise ModelError(
            f"Expected `placement` to return a `Placement` for an image of {_text(size)} pixels, but got {placement!r}."
        )
    return placement


def _text(size: Size) -> str:
    return f"{size[0]} × {size[1]}"
