"""Turn whatever a person calls a model into a `ModelAdapter`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.core.types import Scores
from fiftyone_saliency.models import (
    from_black_box,
    from_fiftyone,
    from_huggingface,
    from_module,
    from_open_clip,
    from_timm,
    from_torchvision,
    from_ultralytics,
)
from fiftyone_saliency.models.adapter import ModelAdapter, check_classes
from fiftyone_saliency.models.options import LoadOptions
from fiftyone_saliency.models.preprocessing import GivenPlacement
from fiftyone_saliency.models.registry import registered_models


@dataclass(frozen=True)
class Source:
    """A place that models come from.

    Args:
        title: the name that people read.
        accepts: what `load_model` takes of it.
        loader: module with ``matches(source)`` and ``load(source, options)``.
        extra: the extra of this package that it needs, if any.
    """

    title: str
    accepts: str
    loader: ModuleType
    extra: str | None = None


_WEIGHTS = {".bin", ".ckpt", ".pt", ".pt2", ".pth", ".safetensors", ".torchscript"}
# In the order in which they are asked: special networks before any torch.nn.Module, and any function last.
SOURCES = (
    Source("torchvision", "a name such as `resnet50`", from_torchvision),
    Source("ultralytics", "a `YOLO` classifier", from_ultralytics),
    Source(
        "Hugging Face transformers",
        "a folder or hub id such as `hf:google/vit-base-patch16-224`, a pair (model, processor) or a pipeline",
        from_huggingface,
        "huggingface",
    ),
    Source(
        "open_clip",
        "a name such as `open_clip:ViT-B-32/openai`, or a CLIP model or pair (model, tokenizer)",
        from_open_clip,
        "open-clip",
    ),
    Source("timm", "a name such as `timm:resnet18`, or a network that timm built", from_timm, "timm"),
    Source("FiftyOne", "a `TorchImageModel`, as the zoo's are", from_fiftyone),
    Source("PyTorch", "any `torch.nn.Module` that returns logits or probabilities (N, K)", from_module),
    Source(
        "black box",
        "a path that ends in .onnx, or a function from images (N, C, H, W) to scores (N, K)",
        from_black_box,
        "onnx",
    ),
)


def load(
    source: Any,
    classes: Sequence[str] | None = None,
    transform: Callable[..., Any] | None = None,
    layer: str | None = None,
    weights: str | Path | None = None,
    prompts: Sequence[str] | None = None,
    scores: Scores | None = None,
    placement: GivenPlacement = None,
) -> ModelAdapter:
    """See `fiftyone_saliency.load_model`."""
    options = LoadOptions(classes, transform, layer, weights, prompts, scores, placement)
    registered = registered_models().get(source) if isinstance(source, str) else None
    # Weights belong to an architecture: they pass over a registered model of the same name.
    if registered is None or (weights is not None and from_torchvision.matches(source)):
        return _from_source(source, options)
    options.refuse("weights", source)
    return replace(_from_source(registered.load(), options), name=source)


def load_registered(name: str) -> ModelAdapter:
    """See `fiftyone_saliency.api.models.load_registered`."""
    registered = registered_models()
    if not isinstance(name, str) or name not in registered:
        raise UnknownNameError("registered model", name, registered, "Register it in Python: register_model(...).")
    return load(name)


def _from_source(source: Any, options: LoadOptions) -> ModelAdapter:
    if isinstance(source, ModelAdapter):
        return _override(source, options)
    loader = next((s.loader for s in SOURCES if s.loader.matches(source)), None)
    if loader is not None:
        return loader.load(source, options)
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() in _WEIGHTS:
        raise ModelError(
            f"Expected a network, but got the file {source}. Pass the network or the name of its architecture and "
            "`weights=` with this file; where it holds a whole program, pass torch.jit.load(file) or "
            "torch.export.load(file)."
        )
    accepted = "; ".join(s.accepts for s in SOURCES)
    if isinstance(source, str):
        known = {*registered_models(), *from_torchvision.names()}
        raise UnknownNameError("registered or torchvision model", source, known, f"Other sources: {accepted}.")
    raise ModelError(f"Expected the name of a registered model; {accepted}; but got {type(source).__name__}.")


def _override(model: ModelAdapter, options: LoadOptions) -> ModelAdapter:
    options.refuse("weights", model.name)
    options.refuse("prompts", model.name)
    said = (options.classes, options.transform, options.layer, options.scores, options.placement)
    if all(one is None for one in said):
        return model
    return replace(
        model,
        classes=model.classes if options.classes is None else check_classes(options.classes, model.name),
        transform=options.transform or model.transform,
        layer=options.layer or model.layer,
        scores=options.scores or model.scores,
        # What was said of one transform does not hold for another.
        placement=options.placement or (None if options.transform else model.placement),
    )
