"""Guided backpropagation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._functions import ACTIVATIONS, Function, is_rectifier
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method(
    "guided_backprop",
    "Guided backpropagation",
    family="gradient",
    paper="https://arxiv.org/abs/1412.6806",
    evidence=False,
)
@dataclass(frozen=True)
class GuidedBackprop:
    """Take the gradient of the score, but let no negative part of it pass a ReLU.

    Does not pass the randomisation check: the map hardly changes when the network's weights are drawn anew, since
    it restores the image's edges (Adebayo et al.). Sharp to look at, but no verdict may rest on it. Values are signed,
    in units of the score per unit of input, at the network's resolution. Other activations, such as GELU, pass
    gradients as they are; a network that has only those is refused.

    References:
        Springenberg, Dosovitskiy, Brox, Riedmiller. Striving for Simplicity: The All Convolutional Net.
        ICLR 2015 (workshop), sec. 3.4. https://arxiv.org/abs/1412.6806
        Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. https://arxiv.org/abs/1810.03292
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Tensor:
        """Return the attributions (N, C, H, W).

        Raises:
            ModelError: if the network has activations, but no ReLU among them.
        """
        images = batch.images.detach().clone().requires_grad_(True)
        # captum's GuidedBackprop sees only `nn.ReLU` modules; here a functional ReLU is one, too.
        with _Guided() as guided:
            scores = batch.scores(model.logits(images))
        if guided.others and not guided.rectifiers:
            raise ModelError(
                f"Expected the network to have a ReLU, but its activations are {', '.join(sorted(guided.others))}. "
                "Choose another method, such as integrated_gradients."
            )
        (gradient,) = torch.autograd.grad(scores.sum(), images)
        return gradient


class _Guided(TorchFunctionMode):
    """While it is entered, ReLUs pass only positive gradients on; no module is touched."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifiers = 0
        self.others: set[str] = set()

    def __torch_function__(
        self, func: Function, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch."""
        kwargs = kwargs or {}
        if func not in ACTIVATIONS:
            return func(*args, **kwargs)
        if not is_rectifier(func, args, kwargs):
            self.others.add(func.__name__)
            return func(*args, **kwargs)
        self.rectifiers += 1
        # A copy, so that the hook meets the gradient of this ReLU alone.
        own = args[0].clone()
        if own.requires_grad:
            # Where something hands back no gradient at all, there is nothing to rectify.
            own.register_hook(lambda gradient: None if gradient is None else gradient.relu())
        result = func(own, *args[1:], **kwargs)
        return args[0].copy_(result) if func.__name__.endswith("_") else result
