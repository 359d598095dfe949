"""Classifiers of timm, by name or as a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.downloads import downloading
from fiftyone_saliency.models.options import LoadOptions, import_extra
from fiftyone_saliency.models.weights import load_weights

SCHEME = "timm:"


def matches(source: Any) -> bool:
    """Return whether it is a name such as ``"timm:resnet18"``, or a network that timm has built."""
    if isinstance(source, str):
        return source.startswith(SCHEME)
    configured = getattr(source, "pretrained_cfg", None) or getattr(source, "default_cfg", None)
    return isinstance(source, nn.Module) and bool(configured)


def load(source: str | nn.Module, options: LoadOptions) -> ModelAdapter:
    """Adapt a timm network, or build one with weights of a local file or timm's own (a download the first time).

    Preprocessing is what its configuration says for evaluation; classes are those of the ImageNet set that its
    configuration names, unless others are given.

    Raises:
        ModelError: if classes are missing, or the file of weights does not fit.
        MissingExtraError: if timm is not installed.
        UnknownNameError: if timm does not know the name.
    """
    options.refuse("prompts", "a timm network")
    timm = import_extra("timm", "timm", source if isinstance(source, str) else "a timm network")
    if isinstance(source, str):
        name = source.removeprefix(SCHEME)
        module = _build(timm, name, options)
    else:
        module, name = source, type(source).__name__
    model = options.adapt(module, name, _classes(timm.data, module), options.transform or _transform(timm.data, module))
    if options.weights is not None:
        load_weights(module, options.weights, name)
    return model


def _build(timm: Any, name: str, options: LoadOptions) -> nn.Module:
    # A name with a colon, such as hf-hub:someone/something, is looked up by timm in another place.
    if ":" not in name and not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    count = {} if options.classes is None or options.weights is None else {"num_classes": len(options.classes)}
    if options.weights is not None and ":" not in name:
        return timm.create_model(name, pretrained=False, **count).eval()
    with downloading(SCHEME + name, "Or pass `weights=` with a local file beside the name of an architecture."):
        return timm.create_model(name, pretrained=options.weights is None, **count).eval()


def _transform(data: Any, module: nn.Module) -> Callable[..., Any]:
    return data.create_transform(**data.resolve_model_data_config(module), is_training=False)


def _classes(data: Any, module: nn.Module) -> list[str] | None:
    """Return the names that the configuration brings or points to, if they are as many as the logits."""
    config = getattr(module, "pretrained_cfg", None) or {}
    names = config.get("label_names")
    if names is None and (subset := data.infer_imagenet_subset(module)):
        info = data.ImageNetInfo(subset)
        names = [info.index_to_description(i) for i in range(info.num_classes())]
    return names if names is not None and len(names) == getattr(module, "num_classes", None) else None
