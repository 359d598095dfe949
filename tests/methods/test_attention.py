"""The attention maps against rollouts computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute as checked
from fiftyone_saliency.methods._attribute import attribute_all
from fiftyone_saliency.methods._registry import list_methods
from fiftyone_saliency.models.batch import Batch
from tests.methods.networks import CELL, ConstantViT, FixedViT, PatchViT, TinyViT, cell_of_patch
from tests.oracles import PATCH, SIDE, SmallCNN, adapt, argmax2d, batch, draw, method

METHODS = ["attention_rollout", "gradient_rollout"]


def attribute(*arguments: Any) -> Tensor:
    return checked(*arguments).values


def scores(layers: int, tokens: int) -> Tensor:
    """Draw what the softmax makes attention of, for two heads."""
    return 2 * torch.randn(layers, 2, tokens, tokens, generator=torch.Generator().manual_seed(3))


def matrices(drawn: Tensor) -> np.ndarray:
    """Return the attention (layers, heads, T, T), by hand."""
    powers = np.exp(drawn.double().numpy())
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("class_token", [True, False])
def test_attention_rollout_of_known_matrices(class_token):
    """Images of 16 x 24 pixels are 2 x 3 patches."""
    drawn = scores(3, 6 + class_token)
    rollout = np.eye(6 + class_token)
    for layer in matrices(drawn):
        mixed = layer.mean(axis=0) + np.eye(6 + class_token)
        rollout = mixed / mixed.sum(axis=1, keepdims=True) @ rollout
    expected = rollout[0, 1:] if class_token else rollout.mean(axis=0)
    images = draw(2, side=24)[:, :, :16]
    maps = attribute(method("attention_rollout"), adapt(FixedViT(drawn, class_token=class_token)), batch(images))
    assert_close(maps, torch.tensor(expected, dtype=torch.float32).view(2, 3).expand(2, 2, 3))


def test_attention_rollout_asks_neither_for_the_class_nor_the_head():
    """Which is why it is no evidence."""
    network, images = TinyViT(), draw(2)
    expected = attribute(method("attention_rollout"), adapt(network), batch(images, 0))
    assert torch.equal(attribute(method("attention_rollout"), adapt(network), batch(images, 2, minus=1)), expected)
    nn.init.normal_(network.head.weight)
    assert torch.equal(attribute(method("attention_rollout"), adapt(network), batch(images, 0)), expected)
    assert not list_methods()["attention_rollout"].evidence
    assert list_methods()["gradient_rollout"].evidence


def test_gradient_rollout_of_one_layer_by_hand():
    """Relevance of a patch: mean over heads of what attention times value says for the class, where it is positive."""
    drawn, image = scores(1, 5), draw(1, side=16)
    network = FixedViT(drawn)
    tokens, layer = network.body[0], network.body[1]
    with torch.no_grad():
        values = layer.values(tokens(image))[0].numpy().reshape(5, 2, 2)
    weight = network.head.weight.detach().numpy()[1].reshape(2, 2)
    said = np.einsum("thc,hc->ht", values, weight) * matrices(drawn)[0, :, 0]
    maps = attribute(method("gradient_rollout"), adapt(network), batch(image, 1))
    expected = np.maximum(said, 0).mean(axis=0)[1:].reshape(1, 2, 2)
    assert_close(maps, torch.tensor(expected, dtype=torch.float32), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("minus", [None, 0])
def test_gradient_rollout_is_the_product_of_whole_matrices(class_token, minus):
    drawn, image = scores(3, 4 + class_token), draw(1, side=16)
    network = FixedViT(drawn, class_token=class_token)
    attentions = [layer.softmax(dim=-1).requires_grad_(True) for layer in drawn]
    tokens = network.body[0](image).detach()
    for attention, layer in zip(attentions, network.body[1:4], strict=True):
        values = layer.values(tokens)[0].view(-1, 2, 2).transpose(0, 1)
        tokens = tokens + (attention @ values).transpose(0, 1).reshape(1, -1, 4)
    logits = network.head(network.body[4](tokens))[0]
    score = logits[1] - (0 if minus is None else logits[minus])
    relevance = torch.eye(4 + class_token)
    for attention, gradient in zip(attentions, torch.autograd.grad(score, attentions), strict=True):
        relevance = relevance + (gradient * attention).clamp(min=0).mean(dim=0).detach() @ relevance
    relevance = relevance - torch.eye(4 + class_token)
    expected = relevance[0, 1:] if class_token else relevance.mean(dim=0)
    maps = attribute(method("gradient_rollout"), adapt(network), batch(image, 1, minus))
    assert_close(maps, expected.view(1, 2, 2), atol=1e-7, rtol=1e-5)
    assert maps.max() > 0


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("column", range(3))
def test_the_maximum_is_the_patch_that_decides(name, column):
    images = 0.2 * draw(2)
    images[(slice(None), column, *PATCH)] = 0.6
    images[:, :, 30:36, 30:36] = 1
    for values in attribute(method(name), adapt(PatchViT()), batch(images, column)).numpy():
        assert values.shape == (SIDE // CELL, SIDE // CELL)
        assert argmax2d(values) == cell_of_patch()


def test_gradient_rollout_of_another_class_shows_something_else():
    images = torch.zeros(1, 3, SIDE, SIDE)
    images[(slice(None), 0, *PATCH)] = 1
    first, second = (attribute(method("gradient_rollout"), adapt(PatchViT()), batch(images, k)) for k in (0, 1))
    assert first.max() > 0
    assert torch.equal(second, torch.zeros_like(second))


def test_gradient_rollout_of_a_constant_network_is_zero():
    for network in (ConstantViT(), seeded_vit(class_token=False, global_pool="avg")):
        nn.init.zeros_(network.head.weight)
        maps = attribute(method("gradient_rollout"), adapt(network), batch(draw(2, side=32)))
        assert torch.equal(maps, torch.zeros_like(maps))


def seeded_vit(**kwargs: Any) -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        return timm.models.VisionTransformer(**sizes, **kwargs)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("options", "prefix"),
    [({}, 1), ({"reg_tokens": 4}, 5), ({"class_token": False, "global_pool": "avg"}, 0), ({"global_pool": "avg"}, 1)],
)
def test_only_patches_are_on_the_map(name, options, prefix):
    network = seeded_vit(**options)
    assert network.num_prefix_tokens == prefix
    maps = attribute(method(name), adapt(network), batch(draw(2, side=32)))
    assert maps.shape == (2, 4, 4)
    assert maps.min() >= 0
    assert (maps.amax(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_the_grid_has_the_aspect_of_the_image(name):
    assert attribute(method(name), adapt(TinyViT()), batch(draw(2)[:, :, :24])).shape == (2, 3, 5)


@pytest.mark.parametrize("name", METHODS)
def test_several_targets_share_one_pass(name):
    network, images, passes = TinyViT(), draw(2), []
    network.body[0].register_forward_hook(lambda *_: passes.append(1))
    model = adapt(network)
    batches = [Batch(images, targets, (1, 2)) for targets in ((Target(0, ""), Target(1, "")), (Target(2, "", 0),) * 2)]
    together = attribute_all(method(name), model, batches)
    assert len(passes) == 1
    for attribution, work in zip(together, batches, strict=True):
        assert_close(attribution.values, attribute(method(name), model, work), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_pass_that_was_made_is_not_made_again(name):
    network, images, passes = TinyViT(), draw(2), []
    model, asked = adapt(network), method(name)
    expected = attribute(asked, model, batch(images))
    with model.explaining():
        forward = asked.look(model, images)
    network.body[0].register_forward_hook(lambda *_: passes.append(1))
    work = batch(images)
    assert torch.equal(attribute(asked, model, Batch(images, work.targets, work.seeds, forward=forward)), expected)
    assert passes == []


def test_autocast_does_not_round_the_map():
    images, model = draw(2), adapt(TinyViT())
    expected = attribute(method("gradient_rollout"), model, batch(images))
    with torch.autocast("cpu", torch.bfloat16):
        maps = attribute(method("gradient_rollout"), model, batch(images))
    assert_close(maps, expected, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_network_without_attention_is_refused_in_words(name):
    with pytest.raises(ModelError, match=r"Expected a transformer with self-attention, but SmallCNN has none\. Choose"):
        attribute(method(name), adapt(SmallCNN()), batch(draw(1)))


@pytest.mark.parametrize("name", METHODS)
def test_tokens_that_are_no_grid_are_refused_in_words(name):
    network = FixedViT(scores(1, 3))
    network.body[0].patches = nn.Conv2d(3, 4, (CELL, 2 * CELL), stride=(CELL, 2 * CELL))
    with pytest.raises(ModelError, match=r"Expected the tokens to be a grid .* but got 3 tokens for 16 x 16 pixels"):
        attribute(method(name), adapt(network), batch(draw(1, side=16)))
