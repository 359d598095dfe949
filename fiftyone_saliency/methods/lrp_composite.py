"""Layer-wise relevance propagation with a rule for each kind of layer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fiftyone_saliency.core.checks import check_choice
from fiftyone_saliency.core.errors import MissingExtraError, ModelError
from fiftyone_saliency.methods import _lrp
from fiftyone_saliency.methods._attribute import Attribution
from fiftyone_saliency.methods._registry import register_method
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch

COMPOSITES = (
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
)


@register_method(
    "lrp_composite", "LRP (composite)", family="propagation", paper="https://doi.org/10.1007/978-3-030-28954-6_10"
)
@dataclass(frozen=True)
class LrpComposite:
    """Hand the score back from layer to layer, by another rule for convolutions than for linear layers.

    Needs the package zennit (``pip install 'fiftyone-saliency[lrp]'``). BatchNorm is merged into the layer before it,
    and the skip connections of torchvision's ResNets count as layers. Values are signed, in units of the score, at
    the network's resolution, and add up to the score: biases take nothing. The delta is the share of the score that
    is lost all the same. A contrast is the map of the one class minus that of the other.

    Args:
        composite: which rules: ``epsilon`` for linear layers and for convolutions ``plus`` (positive parts only),
            ``alpha2_beta1`` (twice the positive part minus the negative one) or ``gamma`` (positive weights favoured,
            and a ``box`` of the darkest and brightest input for the first layer); ``flat`` spreads evenly in the
            first layer.

    References:
        Montavon et al. Layer-Wise Relevance Propagation: An Overview. Explainable AI, LNCS 11700, 2019, sec. 10.2-10.3.
        https://doi.org/10.1007/978-3-030-28954-6_10. We depart in giving biases no relevance in any rule.
    """

    composite: str = "epsilon_plus"

    def __post_init__(self) -> None:
        check_choice(self.composite, "composite", COMPOSITES)

    def __call__(self, model: ModelAdapter, batch: Batch) -> Attribution:
        """Return the relevance (N, C, H, W) and how much of the score is not in it."""
        return self.all_targets(model, [batch])[0]

    def all_targets(self, model: ModelAdapter, batches: Sequence[Batch]) -> list[Attribution]:
        """Return the relevance for several targets of the same images; the network runs once."""
        _lrp.check_output(batches, "lrp_composite")
        images = batches[0].images.clone().requires_grad_(True)
        with _lrp.borrow(model) as model:
            _canonize(model, _lrp.probe(batches[0].images))
            with self._rules(model, images).context(model.module):
                logits = model.logits(images)
                return [_propagate(logits, images, batch) for batch in batches]

    def _rules(self, model: ModelAdapter, images: Tensor) -> Any:
        """Return zennit's composite."""
        box = _box(model, images) if self.composite == "epsilon_gamma_box" else {}
        return _zennit("composites").COMPOSITES[self.composite](zero_params=["bias"], **box)


_WAY_OUT = "Choose integrated_gradients."
_PASSED = (nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity, nn.Sequential, nn.Dropout, nn.Dropout2d)


def _zennit(part: str) -> Any:
    """Return one of zennit's modules.

    Raises:
        MissingExtraError: if zennit is not installed.
    """
    try:
        return importlib.import_module(f"zennit.{part}")
    except ImportError as error:
        raise MissingExtraError(
            "Expected the package zennit for lrp_composite, but it is not installed. Run "
            "`pip install 'fiftyone-saliency[lrp]'`, or choose lrp."
        ) from error


def _canonize(model: ModelAdapter, image: Tensor) -> None:
    """Bring the copied network into the form that the rules are made for.

    Raises:
        ModelError: if the network has layers without a rule, or if its BatchNorm cannot be merged.
    """
    with torch.no_grad():
        before = model.logits(image)
    canonizer = _zennit("torchvision").ResNetCanonizer()
    try:
        canonizer.apply(model.module)
        after = _lrp.check_layers(model, _has_rule, image, _WAY_OUT)
        same = torch.allclose(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        same = False
    # The canonizer takes the order of definition for the order of use.
    if not same:
        raise ModelError(
            "Expected each BatchNorm to be defined right after the layer that it follows, but merging them changes "
            f"the logits. Define the layers in the order of use. {_WAY_OUT}"
        )


def _has_rule(layer: nn.Module) -> bool:
    kinds = _zennit("types")
    known = (kinds.Linear, kinds.AvgPool, kinds.Activation, kinds.BatchNorm, _zennit("layer").Sum, *_PASSED)
    return isinstance(layer, known)


def _box(model: ModelAdapter, images: Tensor) -> dict[str, Tensor]:
    """Return the least and the greatest input of each channel, from what black and white become."""
    ends = [model.prepare(Image.new("RGB", (64, 64), colour))[0].flatten(1) for colour in ("black", "white")]
    both = torch.cat(ends, dim=1).to(images)[None, :, :, None]
    shape = images.detach()[:1]
    return {
        "low": both.amin(dim=2, keepdim=True).expand_as(shape),
        "high": both.amax(dim=2, keepdim=True).expand_as(shape),
    }


def _propagate(logits: Tensor, images: Tensor, batch: Batch) -> Attribution:
    scores = batch.scores(logits)
    # Each logit starts with its own value as relevance; a subtracted one with its negative.
    signs = torch.autograd.grad(scores.sum(), logits, retain_graph=True)[0]
    (relevance,) = torch.autograd.grad(logits, images, signs * logits.detach(), retain_graph=True)
    return _lrp.attribution(relevance, scores.detach())
