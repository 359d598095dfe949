"""Models and methods by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fiftyone_saliency.methods._registry import MethodInfo
from fiftyone_saliency.methods._registry import list_methods as _list_methods
from fiftyone_saliency.models import load as _load
from fiftyone_saliency.models import registry
from fiftyone_saliency.models.adapter import ModelAdapter


def load_model(
    source: Any,
    classes: Sequence[str] | None = None,
    transform: Callable[..., Any] | None = None,
    layer: str | None = None,
    *,
    weights: str | Path | None = None,
) -> ModelAdapter:
    """Turn an image classifier into what the other verbs take; they call this themselves where need be.

    The network is lent, not copied: it is given back in the mode it had, with its gradients and activations as
    they were, also after an exception.

    Args:
        source: a ``torch.nn.Module`` that returns logits (N, K); a FiftyOne model around one, such as from
            ``foz.load_zoo_model``; the name of a registered model; or a torchvision name such as ``"resnet50"``.
        classes: K class names in the order of the logits. A FiftyOne model and torchvision's own weights bring
            theirs.
        transform: preprocessing from an RGB ``PIL.Image`` to a tensor (C, H, W): resize, crop, pad and
            normalise in any order. Where the input lies in the image is measured from it.
        layer: dotted name of the layer that CAM methods look at; by default the last one with a feature map.
        weights: path of a state dict, for a torchvision name only; without it torchvision's own are used.

    Returns:
        The model, ready to explain.

    Raises:
        ModelError: if the source and what was said of it do not agree.
        UnknownNameError: if a name or layer is not known; the nearest ones are offered.
    """
    return _load.load(source, classes, transform, layer, weights)


def register_model(name: str, loader: Callable[..., Any] | str, **arguments: Any) -> None:
    """Give a model a name, which the App's form offers and `load_model` takes.

    Args:
        name: the name.
        loader: a function that returns what `load_model` takes: known to this process only. As text,
            ``"package.module:function"`` or ``"/path/to/file.py:function"``, it is written to
            ``saliency_models.toml`` beside FiftyOne's configuration, where the App's server finds it.
        **arguments: keyword arguments for the function, plain JSON values.

    Raises:
        ArgumentError: if the name or the loader's text makes no sense.
    """
    registry.register(name, loader, arguments)


def unregister_model(name: str) -> None:
    """Forget a registered model.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    registry.unregister(name)


def list_models() -> list[str]:
    """Return the names of the registered models, in alphabetical order."""
    return sorted(registry.registered_models())


def list_methods() -> dict[str, MethodInfo]:
    """Return the attribution methods by name: title, summary, family, paper and parameters."""
    return _list_methods()
