"""Classifiers of ultralytics, recognised by what they carry; nothing of that package is imported here.

Its `YOLO` object is a torch module whose ``train`` and ``eval`` start a training: only the network inside is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.options import LoadOptions


def matches(source: Any) -> bool:
    """Return whether it is an ultralytics model with its network inside."""
    ours = any(kind.__module__.partition(".")[0] == "ultralytics" for kind in type(source).__mro__)
    return ours and hasattr(source, "overrides") and hasattr(source, "task")


def load(source: Any, options: LoadOptions) -> ModelAdapter:
    """Adapt a classifier; its network is shared, not copied.

    Raises:
        ModelError: if it is no classifier, or its network is not a torch one.
    """
    name = type(source).__name__
    options.refuse("weights", name)
    options.refuse("prompts", name)
    network = source.model
    if source.task != "classify" or not isinstance(network, nn.Module):
        raise ModelError(
            f"Expected an ultralytics classifier with a torch network, but got task {source.task!r} with a "
            f"{type(network).__name__}. Load a model such as yolov8n-cls.pt."
        )
    names = [label for _, label in sorted(source.names.items())]
    transform = options.transform or _transform(source, network)
    return options.adapt(YoloLogits(network), name, names, transform)


class YoloLogits(nn.Module):
    """The network's logits; in evaluation it returns probabilities beside them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        output = self.network(images)
        if self.network.training:
            return output
        if isinstance(output, tuple) and len(output) == 2:
            return output[1]
        raise ModelError(
            "Expected an ultralytics classifier to return (probabilities, logits), but it did not. "
            "Update ultralytics to 8.3 or later, and load the model as it was before an export."
        )


def _transform(source: Any, network: nn.Module) -> Callable[..., Any] | None:
    """Return the preprocessing of the predictor, else what a predictor would take."""
    ready = getattr(getattr(source, "predictor", None), "transforms", None)
    if ready is not None:
        return ready
    settings = getattr(network, "args", None)
    trained = settings.get("imgsz") if isinstance(settings, dict) else getattr(settings, "imgsz", None)
    size = source.overrides.get("imgsz") or trained
    own: Any = getattr(network, "transforms", None)
    if own is not None and size in {None, getattr(own.transforms[0], "size", None)}:
        return own
    augment = sys.modules.get("ultralytics.data.augment")
    return None if augment is None or size is None else augment.classify_transforms(size)
