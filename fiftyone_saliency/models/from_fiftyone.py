"""FiftyOne's own torch models (`TorchImageModel` and its kin), recognised by what they carry.

Nothing of FiftyOne is imported here: such a model has a torch network, a transform and class names. What it wraps
may be of a kind that has a loader of its own: ultralytics, transformers or CLIP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models import from_huggingface, from_open_clip, from_ultralytics
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.options import LoadOptions


def matches(source: Any) -> bool:
    """Return whether the object is a FiftyOne model around a torch network."""
    return isinstance(getattr(source, "_model", None), nn.Module) and hasattr(source, "transforms")


def load(source: Any, options: LoadOptions) -> ModelAdapter:
    """Adapt a FiftyOne model; its network is shared, not copied.

    Raises:
        ModelError: if it has no class names, or no preprocessing.
    """
    name, network = type(source).__name__, source._model
    options.refuse("weights", name)
    if options.classes is None and source.classes:
        options = replace(options, classes=list(source.classes))
    if from_ultralytics.matches(network):
        model = from_ultralytics.load(network, options)
    elif from_huggingface.matches(network):
        pair = (network, getattr(source.transforms, "processor", None))
        model = from_huggingface.load(pair, options, _prompts(source, options))
    elif from_open_clip.matches(network):
        embed, prompts = _embedder(source), _prompts(source, options)
        model = from_open_clip.zero_shot(network, name, options, _transform(source), embed, prompts)
    else:
        options.refuse("prompts", name)
        model = options.adapt(network, name, None, _transform(source))
    return replace(model, name=name)


class _Unwrapped:
    """FiftyOne's transforms take an image and may return it inside a list."""

    def __init__(self, transform: Callable[..., Any]) -> None:
        self._transform = transform

    def __call__(self, image: Any) -> Any:
        output = self._transform(image)
        if isinstance(output, (list, tuple)) and len(output) == 1 and isinstance(output[0], Tensor):
            return output[0]
        return output


def _transform(source: Any) -> Callable[..., Any] | None:
    return None if source.transforms is None else _Unwrapped(source.transforms)


def _embedder(source: Any) -> Callable[[list[str]], Tensor]:
    """Return what embeds texts: of its two CLIP models only the newer one has a tokenizer that takes them."""
    tokenizer: Any = source._tokenizer
    if callable(tokenizer):
        return from_open_clip.embedder(source._model, tokenizer)
    return source._embed_prompts


def _prompts(source: Any, options: LoadOptions) -> tuple[str, ...]:
    """Return the template of the model's configuration: FiftyOne writes the class name after a text."""
    config = getattr(source, "config", None)
    if options.prompts is None and getattr(config, "class_prompts", None):
        raise ModelError(
            f"Expected {type(source).__name__} to describe its classes by a template, but got `class_prompts`. "
            "Pass `prompts=[...]` with {} where the class name goes."
        )
    return (f"{getattr(config, 'text_prompt', None) or ''} {{}}".strip(),)
