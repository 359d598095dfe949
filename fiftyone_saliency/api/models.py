"""Models and methods by name.

What needs PyTorch is imported where it is called: the App's server lists its operators without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone_saliency.core.types import Placement, Scores
from fiftyone_saliency.models import registry

if TYPE_CHECKING:
    from fiftyone_saliency.methods._registry import MethodInfo
    from fiftyone_saliency.models.adapter import ModelAdapter


def load_model(
    source: Any,
    classes: Sequence[str] | None = None,
    transform: Callable[..., Any] | None = None,
    layer: str | None = None,
    *,
    weights: str | Path | None = None,
    prompts: Sequence[str] | None = None,
    scores: Scores | None = None,
    placement: Placement | Callable[[tuple[int, int]], Placement] | None = None,
) -> ModelAdapter:
    """Turn an image classifier into what the other verbs take; they call this themselves where need be.

    The network is lent, not copied: it is given back in the mode it had, with its gradients and activations as
    they were, also after an exception. Names of timm, Hugging Face, open_clip and torchvision may download weights
    the first time, never code.

    Args:
        source: the name of a registered model, or one of these:

            - PyTorch: a ``torch.nn.Module`` that returns logits or probabilities (N, K). TorchScript,
              a program of ``torch.export`` or a quantised network is taken as a black box.
            - torchvision: a name such as ``"resnet50"``.
            - timm: a name such as ``"timm:resnet18"``, or a network that timm built.
            - Hugging Face: ``"hf:PATH_OR_ID"``, a pair (model, processor), an image-classification pipeline, or a
              model with ``transform=processor``.
            - CLIP, as a zero-shot classifier: ``"open_clip:ARCHITECTURE/TAG"``, a model of open_clip or a pair
              (model, tokenizer), or a CLIP or SigLIP model of Hugging Face as above. It needs `classes`.
            - FiftyOne: a torch model, such as from ``foz.load_zoo_model``, also around one of the others.
            - ultralytics: a ``YOLO`` classifier; it is never called itself, only the network inside.
            - black box: the path of an ``.onnx`` file, or a function that takes images, a float32 tensor
              (N, C, H, W), and returns scores (N, K). Only perturbation methods explain it.
        classes: K class names in the order of the logits, or ``[negative, positive]`` for a model that returns one
            number. Models that carry theirs, and ImageNet weights of torchvision and timm, need none.
        transform: preprocessing from an RGB ``PIL.Image`` to a tensor (C, H, W): resize, crop, pad and
            normalise in any order, and whatever changes intensities. Models that carry theirs need none.
        layer: dotted name of the layer that CAM methods look at; by default the last one with a feature map.
        weights: path of a local file, safetensors or a state dict of ``torch.save``, for a torch network and for
            names of torchvision, timm and open_clip. A file that would run code is refused.
        prompts: templates of a CLIP model, such as ``["a photo of a {}."]``; a class is the mean of its prompts.
        scores: what the numbers that the model returns are:

            - ``"logits"``: a softmax makes probabilities of them; an image has exactly one of the classes. Of one
              number for two classes, ``[negative, positive]``, a sigmoid makes that of the second.
            - ``"probabilities"``: they are probabilities already, of classes that exclude each other.
            - ``"sigmoid"``: an image may have several classes or none; a sigmoid makes a probability of each number,
              unless the network ends in one, or they lie in [0, 1] whatever the image.

            By default that is found out: from the softmax or sigmoid that a network ends in (the logits before it
            are then explained), from the configuration of Hugging Face, or from the answers to a few drawn images,
            which are probabilities where they lie in [0, 1] and add up to 1. Where they lie in [0, 1] and do not add up
            to 1, they may be anything, and what needs a probability raises. ``print(model)`` says what was found.
        placement: where the transform's output lies in the image: a `Placement` for all images, or a function from the
            size ``(width, height)`` of an image to one. By default that is found out by pictures with markers, for
            each size once, to a fraction of a pixel, and exactly for whole pixels; ``print(model)`` says what was
            found. A transform that turns or mirrors the image, or crops by its content, is refused.

    Returns:
        The model, ready to explain.

    Raises:
        ModelError: if the source and what was said of it do not agree.
        ArgumentError: if `weights` or `prompts` is given for a source that has no use for it.
        MissingExtraError: if the package of the source is not installed; the error names the extra.
        UnknownNameError: if a name or layer is not known; the nearest ones are offered.
    """
    from fiftyone_saliency.models.load import load

    return load(source, classes, transform, layer, weights, prompts, scores, placement)


def load_registered(name: str) -> ModelAdapter:
    """Load a registered model: what a face calls with a text that came from a browser.

    Such a text never names a file, an architecture or a hub, as those of `load_model` may.

    Args:
        name: one of `list_models`.

    Raises:
        UnknownNameError: if no model is registered under exactly that name.
        ModelError: if it does not load.
    """
    from fiftyone_saliency.models import load

    return load.load_registered(name)


def register_model(name: str, loader: Callable[..., Any] | str, **arguments: Any) -> None:
    """Give a model a name, which the App's form offers and `load_model` takes.

    Args:
        name: the name.
        loader: a function that returns what `load_model` takes: known to this process only. As text,
            ``"package.module:function"`` or ``"/path/to/file.py:function"``, it is written to
            ``saliency_models.toml`` beside FiftyOne's configuration, where the App's server finds it. An installed
            package registers its models by entry points of the group ``fiftyone_saliency.models``.
        **arguments: keyword arguments for the function, plain JSON values.

    Raises:
        ArgumentError: if the name or the loader's text makes no sense.
    """
    registry.register(name, loader, arguments)


def unregister_model(name: str) -> None:
    """Forget a registered model.

    Raises:
        UnknownNameError: if there is none of that name.
        ArgumentError: if it comes with an installed package.
    """
    registry.unregister(name)


def list_models() -> list[str]:
    """Return the names of the registered models, in alphabetical order; nothing is imported for it."""
    return sorted(registry.registered_models())


def list_methods() -> dict[str, MethodInfo]:
    """Return the attribution methods by name: title, summary, family, paper and parameters."""
    from fiftyone_saliency.methods import _registry

    return _registry.list_methods()
