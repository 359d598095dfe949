"""Classifiers of torchvision, by name."""

from __future__ import annotations

from functools import cache
from typing import Any

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.downloads import downloading
from fiftyone_saliency.models.options import LoadOptions
from fiftyone_saliency.models.weights import load_weights


@cache
def names() -> frozenset[str]:
    """Return the names of torchvision's image classifiers."""
    import torchvision

    return frozenset(torchvision.models.list_models(module=torchvision.models))


def matches(source: Any) -> bool:
    """Return whether it is the name of a torchvision classifier, such as ``"resnet50"``."""
    return isinstance(source, str) and source in names()


def load(source: str, options: LoadOptions) -> ModelAdapter:
    """Build a torchvision classifier, with weights of a local file or torchvision's own (a download the first time).

    Classes and preprocessing are those of torchvision's default weights (ImageNet), unless others are given.

    Raises:
        ModelError: if the weights cannot be fetched, or their file cannot be read or does not fit the architecture.
    """
    import torchvision

    options.refuse("prompts", source)
    default = torchvision.models.get_model_weights(source).DEFAULT  # pyright: ignore[reportAttributeAccessIssue]
    if options.weights is None:
        with downloading(source, "Or pass `weights=` with a local file."):
            module = torchvision.models.get_model(source, weights=default)
    else:
        count = len(options.classes or default.meta["categories"])
        module = torchvision.models.get_model(source, weights=None, num_classes=count)
        load_weights(module, options.weights, source)
    return options.adapt(module.eval(), source, default.meta["categories"], default.transforms())
