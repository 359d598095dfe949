"""Turn whatever a person calls a model into a `ModelAdapter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.models import from_fiftyone, from_torchvision
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes
from fiftyone_saliency.models.registry import registered_models

_NO_WEIGHTS = "Expected `weights` only with a torchvision name. Load them into the module yourself."


def load(
    source: Any,
    classes: Sequence[str] | None = None,
    transform: Callable[..., Any] | None = None,
    layer: str | None = None,
    weights: str | Path | None = None,
) -> ModelAdapter:
    """See `fiftyone_saliency.load_model`."""
    if isinstance(source, ModelAdapter):
        return _override(source, classes, transform, layer)
    if isinstance(source, str):
        return _by_name(source, classes, transform, layer, weights)
    if weights is not None:
        raise ArgumentError(_NO_WEIGHTS)
    if isinstance(source, nn.Module):
        return _from_module(source, classes, transform, layer)
    if from_fiftyone.matches(source):
        return from_fiftyone.load(source, classes, transform, layer)
    raise ModelError(
        f"Expected a torch.nn.Module, a FiftyOne model with a torch network, a registered name or a torchvision "
        f"name, but got {type(source).__name__}. Wrap your model in a torch.nn.Module that returns logits (N, K)."
    )


def _by_name(
    name: str,
    classes: Sequence[str] | None,
    transform: Callable[..., Any] | None,
    layer: str | None,
    weights: str | Path | None,
) -> ModelAdapter:
    registered = registered_models()
    if name in registered and weights is not None and name not in from_torchvision.names():
        raise ArgumentError(_NO_WEIGHTS)
    if name in registered and weights is None:
        model = load(registered[name].load(), classes, transform, layer)
        return ModelAdapter(model.module, model.classes, model.transform, model.layer, name)
    if name in from_torchvision.names():
        return from_torchvision.load(name, classes, transform, layer, weights)
    raise UnknownNameError("registered or torchvision model", name, {*registered, *from_torchvision.names()})


def _from_module(
    module: nn.Module,
    classes: Sequence[str] | None,
    transform: Callable[..., Any] | None,
    layer: str | None,
) -> ModelAdapter:
    name = type(module).__name__
    if transform is None:
        raise ModelError(
            f"Expected `transform`, the preprocessing that {name} was trained with, but got None. "
            "Pass a callable that turns a PIL image into a tensor (C, H, W)."
        )
    return ModelAdapter(module, check_classes(classes, name), transform, layer, name)


def _override(
    model: ModelAdapter,
    classes: Sequence[str] | None,
    transform: Callable[..., Any] | None,
    layer: str | None,
) -> ModelAdapter:
    if classes is None and transform is None and layer is None:
        return model
    return ModelAdapter(
        model.module,
        model.classes if classes is None else check_classes(classes, model.name),
        transform or model.transform,
        layer or model.layer,
        model.name,
    )
