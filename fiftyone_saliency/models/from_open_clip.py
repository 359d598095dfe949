"""CLIP models of open_clip, of OpenAI's package and of FiftyOne's zoo, as zero-shot classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.downloads import downloading
from fiftyone_saliency.models.options import LoadOptions, import_extra
from fiftyone_saliency.models.weights import load_weights
from fiftyone_saliency.models.zero_shot import (
    PROMPTS,
    ZeroShotClassifier,
    check_prompts,
    check_zero_shot_classes,
    embed_classes,
)

SCHEME = "open_clip:"
_VOCABULARY = 49408  # of CLIP's own tokenizer


def matches(source: Any) -> bool:
    """Return whether it is such a name, a network that embeds images and texts, or a pair of that and its tokenizer.

    A name is ``"open_clip:ViT-B-32/openai"``: architecture and pretrained tag; the tag is left out beside
    `weights`. The places that open_clip knows, ``hf-hub:`` and ``local-dir:``, stand behind the scheme.
    """
    if isinstance(source, str):
        return source.startswith(SCHEME)
    if isinstance(source, tuple) and len(source) == 2 and callable(source[1]):
        source = source[0]
    parts = ("visual", "encode_image", "encode_text", "logit_scale")
    return isinstance(source, nn.Module) and all(hasattr(source, part) for part in parts)


def load(source: Any, options: LoadOptions) -> ModelAdapter:
    """Make a zero-shot classifier; its CAM layers are those of the image encoder, below ``visual``.

    Raises:
        ModelError: if there are no classes, no preprocessing, or the tokenizer is not known.
        MissingExtraError: if open_clip is not installed but needed.
        UnknownNameError: if open_clip does not know the name.
    """
    if isinstance(source, str):
        name = source.removeprefix(SCHEME)
        check_zero_shot_classes(options.classes, name)
        model, tokenizer = _build(name, options)
    else:
        model, tokenizer = source if isinstance(source, tuple) else (source, None)
        name = type(model).__name__
        check_zero_shot_classes(options.classes, name)
        if options.weights is not None:
            load_weights(model, options.weights, name)
    transform = options.transform or _transform(model)
    embed = None if tokenizer is None else embedder(model, tokenizer)
    return zero_shot(model, name, options, transform, embed)


def zero_shot(
    model: Any,
    name: str,
    options: LoadOptions,
    transform: Callable[..., Any] | None,
    embed: Callable[[list[str]], Tensor] | None = None,
    prompts: Sequence[str] = PROMPTS,
) -> ModelAdapter:
    """Embed the class prompts and join them with the image encoder.

    Args:
        model: what embeds images and texts.
        name: what a person calls it.
        options: what was said of it.
        transform: its preprocessing.
        embed: turns texts into embeddings (T, D); None for CLIP's own tokenizer.
        prompts: templates where none are given.
    """
    classes = check_zero_shot_classes(options.classes, name)
    templates = check_prompts(options.prompts, prompts)
    text = embed_classes(model, embed or embedder(model, _tokenizer(model, name)), classes, templates)
    module = ZeroShotClassifier(model.visual, text, model.logit_scale.exp(), getattr(model, "logit_bias", None))
    return options.adapt(module.train(model.visual.training), name, None, transform)


def embedder(model: Any, tokenizer: Callable[..., Any]) -> Callable[[list[str]], Tensor]:
    """Return what turns texts into embeddings, with a tokenizer that takes a list of texts."""
    device = next(model.parameters()).device
    return lambda texts: model.encode_text(tokenizer(texts).to(device))


def _build(name: str, options: LoadOptions) -> tuple[Any, Callable[..., Tensor]]:
    open_clip = import_extra("open_clip", "open-clip", name)
    architecture, tag = (name, None) if ":" in name else (name.partition("/")[0], name.partition("/")[2] or None)
    if ":" not in name and architecture not in open_clip.list_models():
        raise UnknownNameError("open_clip model", architecture, open_clip.list_models())
    if ":" in name or options.weights is None:
        if ":" not in name and tag not in (tags := open_clip.list_pretrained_tags_by_model(architecture)):
            hint = f"Write open_clip:{architecture}/TAG, or pass `weights=` with a local file."
            raise UnknownNameError(f"pretrained tag of {architecture}", tag, tags, hint)
        with downloading(SCHEME + name, "Or pass `weights=` with a local file beside the architecture."):
            model = open_clip.create_model_from_pretrained(architecture, pretrained=tag, return_transform=False)
    else:
        model = open_clip.create_model(architecture, pretrained=None)
        load_weights(model, options.weights, name)
    with downloading(f"the tokenizer of {name}", "Or pass the pair (model, tokenizer)."):
        return model.eval(), open_clip.get_tokenizer(architecture)


def _transform(model: Any) -> Callable[..., Any] | None:
    """Return the preprocessing that open_clip's factory has written on the network, if it made it."""
    config = getattr(model.visual, "preprocess_cfg", None)
    if not config:
        return None
    transform = import_extra("open_clip.transform", "open-clip", "an open_clip network")
    return transform.image_transform_v2(transform.PreprocessCfg(**config), is_train=False)


def _tokenizer(model: Any, name: str) -> Callable[..., Tensor]:
    if getattr(model, "vocab_size", None) != _VOCABULARY:
        raise ModelError(
            f"Expected the tokenizer of {name}, which is not CLIP's own, but got none. "
            "Pass (model, tokenizer) as the source."
        )
    open_clip = import_extra("open_clip", "open-clip", f"the tokenizer of {name}")
    return open_clip.SimpleTokenizer(context_length=model.context_length)
