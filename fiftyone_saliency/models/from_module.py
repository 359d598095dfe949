"""Any torch network, with what belongs to it said by hand."""

from __future__ import annotations

from typing import Any

from torch import nn

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.options import LoadOptions
from fiftyone_saliency.models.weights import load_weights


def matches(source: Any) -> bool:
    """Return whether it is a torch network."""
    return isinstance(source, nn.Module)


def load(source: nn.Module, options: LoadOptions) -> ModelAdapter:
    """Adapt a network; it is shared, not copied, and takes the weights of a file if one is given.

    Raises:
        ModelError: if it comes without classes or preprocessing, or the weights do not fit.
    """
    name = type(source).__name__
    options.refuse("prompts", name)
    model = options.adapt(source, name)
    if options.weights is not None:
        load_weights(source, options.weights, name)
    return model
