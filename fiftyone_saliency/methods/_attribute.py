"""The one checked caller of all methods."""

from __future__ import annotations

import torch
from torch import Tensor

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._registry import Method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


def attribute(method: Method, model: ModelAdapter, batch: Batch) -> Tensor:
    """Call a method and check what comes back.

    Args:
        method: the method.
        model: the model; it is given back as it was, also after an exception.
        batch: images, targets and seeds.

    Returns:
        Maps (N, h, w), float32 on the CPU, signed, channels summed. A map whose values are not all finite is
        returned as it is: the caller decides, sample by sample.

    Raises:
        ModelError: if the method returns another number of maps or another shape, or needs a gradient that the
            network hides.
    """
    try:
        with model.explaining():
            output = method(model, batch).detach()
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise ModelError(
            f"Expected the logits to have a gradient for {type(method).__name__}, but they have none. Run the "
            "network without no_grad or detach inside it, or choose a method that needs none, such as occlusion."
        ) from error
    if output.ndim == 4:
        output = output.sum(dim=1)
    if output.ndim != 3 or len(output) != len(batch):
        raise ModelError(
            f"Expected {type(method).__name__} to return attributions (N, C, h, w) or (N, h, w) for "
            f"N={len(batch)}, but got shape {tuple(output.shape)}. Choose a layer with a feature map."
        )
    return output.to("cpu", torch.float32)
