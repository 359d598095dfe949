"""Any torch network, with what belongs to it said by hand."""

from __future__ import annotations

from typing import Any

from torch import nn

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.options import LoadOptions
from fiftyone_saliency.models.programs import Program, is_exported, kind_of
from fiftyone_saliency.models.weights import load_weights


def matches(source: Any) -> bool:
    """Return whether it is a torch network, or a program that ``torch.export`` made of one."""
    return isinstance(source, nn.Module) or is_exported(source)


def load(source: Any, options: LoadOptions) -> ModelAdapter:
    """Adapt a network; it is shared, not copied, and takes the weights of a file if one is given.

    TorchScript, exported programs and quantised networks become black boxes.

    Raises:
        ModelError: if it comes without classes or preprocessing, or the weights do not fit.
    """
    name = getattr(source, "original_name", type(source).__name__)
    options.refuse("prompts", name)
    if is_exported(source):
        source = source.module()
    kind = kind_of(source)
    if kind is not None:
        options.refuse("weights", f"{name}, which is {kind}")
        return options.adapt(Program(source, kind), name, differentiable=False)
    model = options.adapt(source, name)
    if options.weights is not None:
        load_weights(source, options.weights, name)
    return model
