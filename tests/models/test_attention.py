"""The recorded attention against what the networks say of themselves, for each way in which attention is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    DeiTConfig,
    DeiTForImageClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.models.attention import AttentionWatch, record_attention
from tests.methods.networks import TinyViT
from tests.oracles import SmallCNN, Snapshot, adapt, draw

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FACES = {
    "vit": (ViTForImageClassification, ViTConfig),
    "deit": (DeiTForImageClassification, DeiTConfig),
    "dinov2": (Dinov2ForImageClassification, Dinov2Config),
    "beit": (BeitForImageClassification, BeitConfig),
}


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        network = build()
        for parameter in network.parameters():
            # Heads and position biases often start at zero.
            parameter.data += 0.1 * torch.randn_like(parameter)
    return network.eval()


def torchvision_vit() -> nn.Module:
    return seeded(lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3))


def timm_vit(fused: bool = True, **kwargs: Any) -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
    network = seeded(lambda: timm.models.VisionTransformer(**sizes, **kwargs))
    for block in network.blocks:
        block.attn.fused_attn = fused
    return network


def face(kind: str, attention: str) -> nn.Module:
    cls, config = FACES[kind]
    return seeded(
        lambda: cls(config(**SIZES, image_size=32, patch_size=8, num_labels=3, attn_implementation=attention))
    )


NETWORKS = {
    "torchvision": torchvision_vit,
    "timm fused": timm_vit,
    "timm plain": lambda: timm_vit(fused=False),
    "own, weights asked": lambda: TinyViT(need_weights=True),
    "own, weights not asked": TinyViT,
    **{f"{kind} {a}": (lambda k=kind, a=a: face(k, a)) for kind in FACES for a in ("sdpa", "eager")},
}


def recorded(network: nn.Module, images: Tensor, graph: bool = True) -> Any:
    model = adapt(network)
    with model.explaining():
        return record_attention(model, images, graph)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_stay_the_same_and_every_layer_is_kept(name, graph):
    network, images = NETWORKS[name](), draw(2, side=32)
    with torch.no_grad():
        output = network(images)
    forward = recorded(network, images, graph)
    assert_close(forward.logits.detach(), getattr(output, "logits", output), atol=1e-5, rtol=1e-5)
    assert len(forward.activations) == 2
    for attention in forward.activations:
        images_, heads, queries, keys = attention.shape
        assert (images_, heads) == (2, 2)
        assert queries == keys >= 16
        assert attention.requires_grad == graph
        assert_close(attention.sum(dim=-1), torch.ones(2, 2, queries))


@pytest.mark.parametrize("kind", FACES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_hugging_face_says_the_same_of_itself(kind, attention):
    images = draw(2, side=32)
    with torch.no_grad():
        said = face(kind, "eager")(images, output_attentions=True).attentions
    for ours, theirs in zip(recorded(face(kind, attention), images).activations, said, strict=True):
        assert_close(ours.detach(), theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["torchvision", "own, weights asked", "own, weights not asked"])
def test_multi_head_attention_says_the_same_of_itself(name):
    network = NETWORKS[name]()
    said: list[Tensor] = []

    def ask(module: nn.MultiheadAttention, inputs: tuple[Tensor, ...], _: object) -> None:
        said.append(F.multi_head_attention_forward(*asked(module, inputs), **options(module))[1])

    handles = [m.register_forward_hook(ask) for m in network.modules() if isinstance(m, nn.MultiheadAttention)]
    with torch.no_grad():
        network(draw(2, side=32))
    for handle in handles:
        handle.remove()
    for ours, theirs in zip(recorded(network, draw(2, side=32)).activations, said, strict=True):
        assert_close(ours.detach(), theirs, atol=1e-6, rtol=1e-5)


def asked(module: nn.MultiheadAttention, inputs: tuple[Tensor, ...]) -> list[Any]:
    tokens = [t.transpose(0, 1) for t in inputs]
    weights = (module.in_proj_weight, module.in_proj_bias, None, None, False, 0.0)
    return [*tokens, module.embed_dim, module.num_heads, *weights, module.out_proj.weight, module.out_proj.bias]


def options(module: nn.MultiheadAttention) -> dict[str, Any]:
    return {"training": False, "need_weights": True, "average_attn_weights": False}


def test_fused_and_plain_attention_of_timm_are_the_same():
    images = draw(2, side=32)
    fused, plain = (recorded(timm_vit(fused), images) for fused in (True, False))
    for one, other in zip(fused.activations, plain.activations, strict=True):
        assert_close(one, other, atol=1e-6, rtol=1e-5)
    for one, other in zip(*(f.gradients(f.logits[:, 1]) for f in (fused, plain)), strict=True):
        assert_close(one, other, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.arange(25.0).view(5, 5).sin()},
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril()},
        {"enable_gqa": True},
    ],
)
def test_fused_attention_step_by_step_is_the_same(options):
    heads = 2 if "enable_gqa" in options else 4
    query, key, value = noise(3, 4, 5, 8), noise(3, heads, 5, 8), noise(3, heads, 5, 6)
    expected = F.scaled_dot_product_attention(query, key, value, **options)
    with AttentionWatch() as watch:
        output = F.scaled_dot_product_attention(query, key=key, value=value, **options)
    assert_close(output.detach(), expected, atol=1e-6, rtol=1e-5)
    assert watch.attentions[0].shape == (3, 4, 5, 5)


def test_attention_to_other_tokens_is_left_alone():
    query, key = noise(3, 4, 1, 8), noise(3, 4, 5, 8)
    with AttentionWatch() as watch:
        F.scaled_dot_product_attention(query, key, key)
        noise(3, 5, 5).softmax(dim=1)
        noise(5, 5).softmax(dim=-1)
    assert watch.attentions == []


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


class Windows(nn.Module):
    """Attention inside of windows: more rows than images."""

    def __init__(self, per_image: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.values = nn.Linear(8, 8)
        self.per_image = per_image
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.values(self.patches(images).flatten(2).transpose(1, 2))
        windows = tokens.view(len(images) * self.per_image, 1, -1, 8)
        windows = F.scaled_dot_product_attention(windows, windows, windows)
        return self.head(windows.reshape(len(images), -1, 8).mean(dim=1))


class Channels(Windows):
    """Attention of channels to channels, as many as would be a grid of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 4, stride=4), nn.Linear(16, 3)
        self.values = nn.Linear(16, 16)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.values(self.patches(images).flatten(2).transpose(1, 2)).transpose(1, 2)[:, None]
        return self.head(((tokens @ tokens.transpose(2, 3)).softmax(dim=-1) @ tokens).mean(dim=(1, 3)))


def swin() -> nn.Module:
    sizes = {"patch_size": [4, 4], "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": [4, 4]}
    return torchvision.models.SwinTransformer(**sizes, num_classes=3)


@pytest.mark.parametrize("build", [Windows, Channels, swin])
def test_attention_that_is_not_among_all_tokens_is_refused(build):
    network = seeded(build)
    name = type(network).__name__
    with pytest.raises(ModelError, match=rf"among all tokens .* but {name} attends .* Choose grad_cam"):
        recorded(network, draw(2, side=32))


def test_the_same_network_with_one_window_is_taken():
    assert recorded(seeded(lambda: Windows(1)), draw(2, side=32)).activations[0].shape == (2, 1, 64, 64)


def test_a_network_without_attention_is_refused():
    with pytest.raises(ModelError, match="Expected a transformer with self-attention, but SmallCNN has none"):
        recorded(SmallCNN(), draw(2))


def test_the_graph_begins_at_the_first_attention():
    forward = recorded(TinyViT(), draw(2, side=32))
    assert [attention.is_leaf for attention in forward.activations] == [True, False]


def test_gradients_are_those_of_finite_differences():
    """Of the first attention, through the second, which depends on it."""
    network, images = TinyViT().double(), draw(1, side=16).double()
    forward = recorded(network, images)
    gradient = forward.gradients(forward.logits[:, 1])[0][0, 1, 2, 3]
    step, changed = 1e-5, []
    for sign in (1, -1):
        watch = Nudged(sign * step)
        with torch.no_grad(), watch:
            changed.append(network(images)[0, 1])
    assert_close((changed[0] - changed[1]) / (2 * step), gradient, atol=1e-9, rtol=1e-5)


class Nudged(AttentionWatch):
    """Changes one entry of the first attention."""

    def __init__(self, by: float) -> None:
        super().__init__(graph=False)
        self.by = by

    def _keep(self, attention: Tensor) -> Tensor:
        kept = super()._keep(attention)
        if len(self.attentions) == 1:
            kept[0, 1, 2, 3] += self.by
        return kept


def test_scores_of_a_network_that_hides_its_gradient_are_refused_in_words():
    class Hidden(TinyViT):
        @torch.no_grad()
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    forward = recorded(Hidden(), draw(1))
    with pytest.raises(ModelError, match="gradient"):
        forward.gradients(forward.logits[:, 0])


def test_attention_is_not_rounded_under_autocast():
    network, images = TinyViT(), draw(2, side=32)
    expected = recorded(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        forward = recorded(network, images)
    assert torch.equal(forward.activations[1], expected.activations[1])


def test_nothing_is_left_behind_after_an_exception():
    network, error = TinyViT(), RuntimeError("the lamp is too bright")

    def fail(*_: object) -> None:
        raise error

    before = Snapshot.of(network)
    handle = network.body[2].register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="the lamp is too bright"):
        recorded(network, draw(2))
    handle.remove()
    assert before.differences(Snapshot.of(network)) == []
    assert torch._C._len_torch_function_stack() == 0
