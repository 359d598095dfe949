"""FiftyOne's own torch models (`TorchImageModel` and its kin), recognised by what they carry.

Nothing of FiftyOne is imported here: such a model has a torch network, a transform and class names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes


def matches(source: Any) -> bool:
    """Return whether the object is a FiftyOne model around a torch network."""
    return isinstance(getattr(source, "_model", None), nn.Module) and hasattr(source, "transforms")


def load(
    source: Any,
    classes: Sequence[str] | None,
    transform: Callable[..., Any] | None,
    layer: str | None,
) -> ModelAdapter:
    """Adapt a FiftyOne model; its network is shared, not copied.

    Raises:
        ModelError: if it has no class names, or no preprocessing.
    """
    name = type(source).__name__
    transform = transform or source.transforms
    if transform is None:
        raise ModelError(f"Expected {name} to carry its preprocessing, but got None. Pass `transform=`.")
    return ModelAdapter(
        source._model, check_classes(classes or source.classes, name), _Unwrapped(transform), layer, name
    )


class _Unwrapped:
    """FiftyOne's transforms take an image and may return it inside a list."""

    def __init__(self, transform: Callable[..., Any]) -> None:
        self._transform = transform

    def __call__(self, image: Any) -> Any:
        output = self._transform(image)
        if isinstance(output, (list, tuple)) and len(output) == 1 and isinstance(output[0], Tensor):
            return output[0]
        return output
