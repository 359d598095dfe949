"""Layer-wise relevance propagation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captum import attr
from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods import _lrp
from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch


@register_method("lrp", "LRP", family="propagation", paper="https://doi.org/10.1371/journal.pone.0130140")
@dataclass(frozen=True)
class Lrp:
    """Hand the score back from layer to layer, to each input by its share in the output.

    The epsilon rule in every layer. For networks of convolutions, linear layers, BatchNorm, pooling, ReLU, tanh and
    dropout without skip connections; where all activations are ReLU it is Input × Gradient but for rounding. Values
    are signed, in units of the score, at the network's resolution. They add up to the score but for what biases
    take; the delta is that part's share of the score. A contrast is the map of the one class minus that of the other.

    References:
        Bach et al. On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
        Propagation. PLOS ONE 2015, eq. 58. https://doi.org/10.1371/journal.pone.0130140
    """

    def __call__(self, model: ModelAdapter, batch: Batch) -> Attribution:
        """Return the relevance (N, C, H, W) and how much of the score is not in it."""
        _lrp.check_output([batch], "lrp")
        with _lrp.borrow(model) as model:
            _lrp.check_layers(model, _has_rule, _lrp.probe(batch.images), _WAY_OUT)
            relevance, scores = _propagate(model, batch.images, batch.plus)
            contrast = batch.minus >= 0
            if contrast.any():
                taken, taken_scores = _propagate(model, batch.images, batch.minus.clamp(min=0))
                relevance = torch.where(contrast[:, None, None, None], relevance - taken, relevance)
                scores = torch.where(contrast, scores - taken_scores, scores)
            return _lrp.attribution(relevance, scores)


_WAY_OUT = (
    "Choose integrated_gradients, or lrp_composite (pip install 'fiftyone-saliency[lrp]'), which knows more layers."
)
# They change no value, so that the epsilon rule holds for them as well; captum has no rule for them.
_SHAPES = (nn.Flatten, nn.Identity, nn.Sequential)


def _has_rule(layer: nn.Module) -> bool:
    kinds = [*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS, *_SHAPES]
    return type(layer) in kinds


class _Logits(nn.Module):
    """The network with the adapter around it, as the module that captum wants."""

    def __init__(self, model: ModelAdapter) -> None:
        super().__init__()
        self.network = model.module
        self._model = model

    def forward(self, images: Tensor) -> Tensor:
        return self._model.logits(images)


def _propagate(model: ModelAdapter, images: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the relevance for one logit of each image, and the logit."""
    for layer in _lrp.leaves(model.module).values():
        if isinstance(layer, _SHAPES):
            layer.rule = EpsilonRule()  # type: ignore[assignment]
    try:
        relevance, delta = attr.LRP(_Logits(model)).attribute(
            images.clone().requires_grad_(True), columns, return_convergence_delta=True
        )
    except RuntimeError as error:
        if "more than once" not in str(error):
            raise
        raise ModelError(
            f"Expected the network to use each layer with weights once, but it shares some: {error} {_WAY_OUT}"
        ) from error
    relevance = relevance.detach()
    return relevance, relevance.flatten(1).sum(dim=1) + delta.detach()
