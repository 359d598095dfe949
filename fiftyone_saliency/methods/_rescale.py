"""DeepLIFT's rules: non-linear functions whose gradient is the slope between an image and a reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.methods._functions import ACTIVATIONS, CLAMP, MAX_POOL, PRODUCT, Function

# A smaller change than this is rounding: its slope is the gradient.
_FLAT = 1e-6


class Rescale(TorchFunctionMode):
    """While it is entered, gradients are multipliers; what functions return stays the same.

    The network must be called with images and, after them, one reference row. Calls are met as PyTorch meets them,
    so that functional, shared and in-place activations are seen, and no module is touched.

    Args:
        images: number of images before the reference.
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.rows = images + 1

    def __torch_function__(
        self, func: Function, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, by a rule where there is one."""
        kwargs = kwargs or {}
        if args and self._has_rows(args[0]):
            if func in ACTIVATIONS or func in CLAMP:
                return self._rescale(func, *args, **kwargs)
            if func in MAX_POOL and args[0].ndim == 4 and len(args) < 7 and not kwargs.get("return_indices"):
                return self._max_pool(MAX_POOL[func], *args, **kwargs)
            if func in PRODUCT and len(args) == 2 and self._has_rows(args[1]):
                return self._product(*args)
        return func(*args, **kwargs)

    def _has_rows(self, value: object) -> bool:
        """Return whether a value depends on the images and has the same number of rows for each."""
        return isinstance(value, Tensor) and value.requires_grad and value.ndim > 0 and len(value) % self.rows == 0

    def _rescale(self, func: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Multiplier: the output's change over the input's."""
        # The function may write in place, and the input is still needed.
        y = func(x.clone(), *args, **kwargs)
        dx, dy = self._change(x), self._change(y)
        flat = dx.abs() < _FLAT
        slope = dy / dx.masked_fill(flat, 1)
        result = torch.where(flat, y, _with_gradient(y, (x, slope)))
        return x.copy_(result) if func.__name__.endswith("_") else result

    def _max_pool(self, pool: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Multiplier: a rise belongs to the image's maximum, a fall to the reference's."""
        y, own = pool(x, *args, **{**kwargs, "return_indices": True})
        y, own = y.detach(), own.flatten(2)
        other = self._reference(own).contiguous()
        top = torch.maximum(y, self._reference(y))
        flat_x, dx = x.flatten(2), self._change(x).flatten(2)
        rise = _ratio((top - self._reference(y)).flatten(2), dx.gather(2, own), otherwise=1)
        fall = _ratio((y - top).flatten(2), dx.gather(2, other), otherwise=0)
        parts = (flat_x.gather(2, own), rise), (flat_x.gather(2, other), fall)
        return _with_gradient(y.flatten(2), *parts).view_as(y)

    def _product(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiplier of each factor: the other's mean over image and reference."""
        middle_x, middle_y = (value.detach() - self._change(value) / 2 for value in (x, y))
        return _with_gradient(x * y, (x, middle_y), (y, middle_x))

    def _change(self, value: Tensor) -> Tensor:
        return value.detach() - self._reference(value.detach())

    def _reference(self, value: Tensor) -> Tensor:
        """Return the reference's rows in the place of each image's; a row may be many, such as windows."""
        by_image = value.unflatten(0, (self.rows, -1))
        return by_image[-1:].expand_as(by_image).reshape(value.shape)


def _ratio(numerator: Tensor, denominator: Tensor, otherwise: float) -> Tensor:
    flat = denominator.abs() < _FLAT
    return (numerator / denominator.masked_fill(flat, 1)).masked_fill(flat, otherwise)


def _with_gradient(value: Tensor, *parts: tuple[Tensor, Tensor]) -> Tensor:
    """Return the value with another gradient: to each part, its multiplier."""
    result = value.detach()
    for part, multiplier in parts:
        result = result + (part - part.detach()) * multiplier
    return result
