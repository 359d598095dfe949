"""Classifiers of torchvision, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes


@cache
def names() -> frozenset[str]:
    """Return the names of torchvision's image classifiers."""
    import torchvision

    return frozenset(torchvision.models.list_models(module=torchvision.models))


def load(
    name: str,
    classes: Sequence[str] | None,
    transform: Callable[..., Any] | None,
    layer: str | None,
    weights: str | Path | None,
) -> ModelAdapter:
    """Build a torchvision classifier, with weights of a local file or torchvision's own.

    Args:
        name: torchvision's name of the architecture, such as ``"resnet50"``.
        classes: class names; None stands for those of torchvision's default weights (ImageNet).
        transform: preprocessing; None stands for that of torchvision's default weights.
        layer: dotted name of the CAM layer, or None.
        weights: path of a state dict; None takes torchvision's default weights (a download the first time).

    Raises:
        ModelError: if the file cannot be read or does not fit the architecture.
    """
    import torchvision

    default = torchvision.models.get_model_weights(name).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    names_of_classes = check_classes(classes or default.meta["categories"], name)
    transform = transform or default.transforms()
    if weights is None:
        module = torchvision.models.get_model(name, weights=default)
    else:
        module = torchvision.models.get_model(name, weights=None, num_classes=len(names_of_classes))
        _load_weights(module, Path(weights), name)
    return ModelAdapter(module.eval(), names_of_classes, transform, layer, name)


def _load_weights(module: torch.nn.Module, path: Path, name: str) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state.get("state_dict", state))
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"Expected {path} to hold a state dict for {name}, but got: {reason}") from error
