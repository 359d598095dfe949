"""The one checked caller of all methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._registry import Method, list_methods
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from fiftyone_saliency.models.forward import Forward, cut, gradient_reaches, record

# What PyTorch says where a network hides its gradient: by detach and no_grad, in inference mode, or by functions
# without a derivative.
_HIDDEN = re.compile(
    "does not require grad|not have been used in the graph|nference tensor|derivative for .* is not implemented"
    "|must implement either the backward|not differentiable"
)


@dataclass(frozen=True, eq=False)
class Attribution:
    """What a method may return instead of bare attributions.

    Args:
        values: attributions (N, C, h, w) or (N, h, w).
        delta: (N,), at least 0: the completeness error as a share of what the map should add up to, or None.
    """

    values: Tensor
    delta: Tensor | None = None


def look(method: Method, model: ModelAdapter, images: Tensor) -> Forward:
    """Make the one forward pass that a method's maps, the scores and the model's own predictions share.

    Args:
        method: the method; its own ``look(model, images)`` makes the pass, or what its ``layers(model)`` names is
            recorded, if it has one of the two.
        model: the model, inside its `explaining`.
        images: (N, C, H, W) on the model's device.
    """
    own = getattr(method, "look", None)
    if own is not None:
        return own(model, images)
    layers = getattr(method, "layers", None)
    return record(model, images, layers(model) if layers is not None else ())


def attribute(method: Method, model: ModelAdapter, batch: Batch) -> Attribution:
    """Call a method for one target per image; see `attribute_all`."""
    return attribute_all(method, model, [batch])[0]


def attribute_all(method: Method, model: ModelAdapter, batches: Sequence[Batch]) -> list[Attribution]:
    """Call a method for several targets of the same images and check what comes back.

    A method that has ``all_targets(model, batches)`` shares its work between them.

    Args:
        method: the method.
        model: the model; it is given back as it was, also after an exception.
        batches: the same images and seeds with other targets.

    Returns:
        One per batch: maps (N, h, w), float32 on the CPU, signed, channels summed. A map whose values are not all
        finite is returned as it is: the caller decides, sample by sample.

    Raises:
        ModelError: if the method returns another number of maps or another shape, or needs a gradient that the
            network hides.
    """
    together = getattr(method, "all_targets", None)
    try:
        with model.explaining():
            outputs = together(model, batches) if together else [method(model, batch) for batch in batches]
            found = [_checked(method, output, batch) for output, batch in zip(outputs, batches, strict=True)]
            if not any(attribution.values.any() for attribution in found):
                _check_gradient(method, model, batches[0])
            return found
    except RuntimeError as error:
        if not _HIDDEN.search(str(error)):
            raise
        raise ModelError(
            f"Expected the logits to have a gradient for {type(method).__name__}, but they have none. Run the "
            "network without no_grad or detach inside it, or choose a method that needs none, such as occlusion."
        ) from error


def _check_gradient(method: Method, model: ModelAdapter, batch: Batch) -> None:
    """Raise if empty maps say nothing of the images, because no gradient of this network could ever reach them."""
    info = next((info for info in list_methods().values() if isinstance(method, info.cls)), None)
    if info is None or info.family not in {"gradient", "propagation"}:
        return
    images = batch.images.detach().clone().requires_grad_(True)
    if not gradient_reaches(model.logits(images), images):
        raise cut("the image")


def _checked(method: Method, output: Tensor | Attribution, batch: Batch) -> Attribution:
    if not isinstance(output, Attribution):
        output = Attribution(output)
    values = output.values.detach()
    if values.ndim == 4:
        values = values.sum(dim=1)
    if values.ndim != 3 or len(values) != len(batch):
        raise ModelError(
            f"Expected {type(method).__name__} to return attributions (N, C, h, w) or (N, h, w) for "
            f"N={len(batch)}, but got shape {tuple(values.shape)}. Choose a layer with a feature map."
        )
    delta = None if output.delta is None else output.delta.detach().to("cpu", torch.float32)
    return Attribution(values.to("cpu", torch.float32), delta)
