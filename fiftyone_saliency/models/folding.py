"""Fold batch normalisation into the convolutions before it: the same function of the image, in fewer passes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.layers import find_layer

_TOLERANCE = 1e-3
_Pair = tuple[str, str]


def folded(model: ModelAdapter, keep: Collection[str]) -> ModelAdapter:
    """Return a twin of the model whose batch normalisation is folded into its convolutions.

    The twin shares all other tensors with the model, which stays as it is.

    Args:
        model: the model.
        keep: dotted names of layers whose outputs are looked at; they stay what they are.

    Returns:
        The twin, or the model itself if there is nothing to fold, or if the twin would not say the same: its logits of
        one drawn image must be the model's to 0.1 % of the largest.
    """
    try:
        with model.explaining(), torch.no_grad():
            image = model.probe_image()
            pairs, expected = _pairs(model, image)
            pairs = [pair for pair in pairs if not {*pair} & {*keep}]
            if not pairs:
                return model
            twin = model.twin(_fold(model.module, pairs), layer=model.cam_layer if keep else model.layer)
            found = twin.logits(image)
    except Exception:  # noqa: BLE001 - a network that cannot be copied or looked into runs as it was written
        return model
    same = torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * float(expected.abs().max()))
    return twin if same else model


def _pairs(model: ModelAdapter, image: Tensor) -> tuple[list[_Pair], Tensor]:
    """Return the names of convolutions and the batch norms that take their outputs, each called once; and the logits.

    Whether something else takes the output too, or the convolution is of a kind that does more, does not show here:
    the logits of the twin tell.
    """
    calls: Counter[str] = Counter()
    made: dict[int, tuple[str, Tensor]] = {}
    pairs: list[_Pair] = []
    handles = []

    def after_convolution(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            calls[name] += 1
            # The tensor is held so that no other one takes its identity.
            made[id(output)] = name, output

        return hook

    def before_norm(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] += 1
            if id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        return hook

    for name, module in model.module.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after_convolution(name)))
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None:
            handles.append(module.register_forward_pre_hook(before_norm(name)))
    try:
        logits = model.logits(image)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[name] == 1 for name in pair)], logits


def _fold(network: nn.Module, pairs: list[_Pair]) -> nn.Module:
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    twin = copy.deepcopy(network, shared)
    for convolution_name, norm_name in pairs:
        convolution: Any = find_layer(twin, convolution_name)
        norm: Any = find_layer(twin, norm_name)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        parent, _, child = norm_name.rpartition(".")
        setattr(find_layer(twin, parent) if parent else twin, child, nn.Identity())
    return twin.requires_grad_(False)
