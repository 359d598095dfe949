"""Image classifiers and CLIP models of Hugging Face transformers, by path, by hub id or as objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.downloads import hub
from fiftyone_saliency.models.options import LoadOptions, import_extra, is_of
from fiftyone_saliency.models.zero_shot import (
    PROMPTS,
    ZeroShotClassifier,
    check_prompts,
    check_zero_shot_classes,
    embed_classes,
)

SCHEME = "hf:"
_CLIPS = ("clip", "siglip", "metaclip_2", "altclip")


@dataclass(frozen=True, eq=False)
class _Parts:
    model: Any
    processor: Any
    tokenizer: Any
    name: str


def matches(source: Any) -> bool:
    """Return whether it is a name such as ``"hf:google/vit-base-patch16-224"``, a transformers network or pipeline.

    A pair (network, processor) is taken too.
    """
    if isinstance(source, str):
        return source.startswith(SCHEME)
    if isinstance(source, tuple) and len(source) == 2:
        source = source[0]
    return is_of(source, "transformers", "PreTrainedModel", "Pipeline")


def is_processor(thing: Any) -> bool:
    """Return whether it is a processor of transformers, which is no plain function from image to tensor."""
    return is_of(thing, "transformers", "ImageProcessingMixin", "ProcessorMixin", "BaseImageProcessor")


def load(source: Any, options: LoadOptions, prompts: Sequence[str] = PROMPTS) -> ModelAdapter:
    """Adapt an image classifier with the classes of its configuration, or a CLIP model with those that are given.

    Args:
        source: what `matches`.
        options: what was said of it.
        prompts: templates of a CLIP model where none are given.

    Raises:
        ModelError: if the source holds no image classifier, or no preprocessing came with it.
        MissingExtraError: if transformers is not installed.
    """
    options.refuse("weights", source if isinstance(source, str) else "a transformers network")
    parts = _pretrained(source.removeprefix(SCHEME)) if isinstance(source, str) else _parts_of(source, options)
    chosen = options.transform if not is_processor(options.transform) else None
    if chosen is None and parts.processor is None:
        raise ModelError(
            f"Expected the processor that {parts.name} was trained with, but got None. "
            "Pass (model, processor) as the source, or `transform=processor`."
        )
    transform = chosen or _Processed(parts.processor)
    if _is_clip(parts.model):
        return _zero_shot(parts, options, transform, prompts)
    options.refuse("prompts", parts.name)
    labels = getattr(parts.model.config, "id2label", None) or {}
    classes = [label for _, label in sorted(labels.items(), key=lambda item: int(item[0]))]
    # What the loss took the logits for in training: the network itself ends in neither softmax nor sigmoid.
    problem = getattr(parts.model.config, "problem_type", None)
    if problem == "regression":
        raise ModelError(
            f"Expected an image classifier, but {parts.name} was trained for regression, whose numbers are no scores "
            "of classes. Pass a function that makes scores of them; set `config.problem_type` if that is wrong."
        )
    scores = "sigmoid" if problem == "multi_label_classification" else None
    return replace(options, transform=transform).adapt(parts.model, parts.name, classes, scores=scores)


class _Processed:
    """A processor as a function from image to tensor."""

    def __init__(self, processor: Any) -> None:
        self._processor = getattr(processor, "image_processor", processor)

    def __call__(self, image: Image.Image) -> Tensor:
        return self._processor(images=image, return_tensors="pt")["pixel_values"][0]


class _Encoder(nn.Module):
    """The image side of a CLIP model: tower, and projection where there is one."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.visual_projection = getattr(model, "visual_projection", None)
        self.train(model.vision_model.training)

    def forward(self, images: Tensor) -> Tensor:
        features = self.vision_model(pixel_values=images).pooler_output
        return features if self.visual_projection is None else self.visual_projection(features)


def _pretrained(path: str) -> _Parts:
    transformers = import_extra("transformers", "huggingface", path)
    try:
        with nullcontext() if Path(path).exists() else hub():
            return _fetched(transformers, path)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"Expected {path} to be a folder or a hub id of an image classifier or a CLIP model, but got: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def _fetched(transformers: Any, path: str) -> _Parts:
    config = transformers.AutoConfig.from_pretrained(path)
    clip = config.model_type in _CLIPS and "ImageClassification" not in str(config.architectures)
    kind = transformers.AutoModel if clip else transformers.AutoModelForImageClassification
    model, found = kind.from_pretrained(path, output_loading_info=True)
    processor = (transformers.AutoProcessor if clip else transformers.AutoImageProcessor).from_pretrained(path)
    if found["missing_keys"]:
        missing = ", ".join(sorted(found["missing_keys"])[:3])
        raise ModelError(
            f"Expected {path} to hold a trained image classifier, but its weights lack {missing}. "
            "Name a checkpoint that was trained to classify, not a backbone alone."
        )
    return _Parts(model.eval(), processor, getattr(processor, "tokenizer", None), path)


def _parts_of(source: Any, options: LoadOptions) -> _Parts:
    model, processor = source if isinstance(source, tuple) else (source, None)
    if is_of(model, "transformers", "Pipeline"):
        pipeline, model = model, model.model
        return _Parts(model, pipeline.image_processor, pipeline.tokenizer, type(model).__name__)
    if is_processor(options.transform):
        processor = options.transform
    return _Parts(model, processor, getattr(processor, "tokenizer", None), type(model).__name__)


def _is_clip(model: Any) -> bool:
    return hasattr(model, "vision_model") and hasattr(model, "get_text_features")


def _zero_shot(
    parts: _Parts, options: LoadOptions, transform: Callable[..., Any], prompts: Sequence[str]
) -> ModelAdapter:
    model = parts.model
    if model.config.model_type not in _CLIPS:
        raise ModelError(
            f"Expected a CLIP model of the kind {', '.join(_CLIPS)}, but got {model.config.model_type!r}. "
            "Wrap it in a torch.nn.Module that returns logits (N, K)."
        )
    if parts.tokenizer is None:
        raise ModelError(
            f"Expected the tokenizer of {parts.name} for its class prompts, but got none. "
            "Pass (model, processor) with the model's whole processor, such as AutoProcessor finds it."
        )
    classes = check_zero_shot_classes(options.classes, parts.name)
    length = model.config.text_config.max_position_embeddings

    def embed(texts: list[str]) -> Tensor:
        tokens = parts.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        # SigLIP saw its padding in training and takes no mask.
        wanted = ["input_ids"] if model.config.model_type == "siglip" else ["input_ids", "attention_mask"]
        output = model.get_text_features(**{name: tokens[name].to(model.device) for name in wanted})
        return output if isinstance(output, Tensor) else output.pooler_output

    text = embed_classes(model, embed, classes, check_prompts(options.prompts, prompts))
    module = ZeroShotClassifier(_Encoder(model), text, model.logit_scale.exp(), getattr(model, "logit_bias", None))
    return replace(options, transform=transform).adapt(module.train(model.training), parts.name)
