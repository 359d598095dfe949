from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import transformers
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision import models

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.forward import record
from fiftyone_saliency.models.grids import Grid, find_grid
from fiftyone_saliency.models.layers import MapLayer, default_layer, find_layer, layer_shapes, map_layers
from tests.oracles import LinearModel, SmallCNN, Snapshot, adapt, batch, draw, method, resize


def cam(network: nn.Module, layer: str | None = None, side: int = 64) -> Tensor:
    return attribute(method("grad_cam"), adapt(network, layer, resize(side)), batch(draw(2, side), (0, 1))).values


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "layer4"),
        ("mobilenet_v3_small", "features"),
        ("densenet121", "features"),
        ("squeezenet1_1", "classifier.2"),
    ],
)
def test_by_default_a_cam_looks_at_the_last_feature_map(name, last):
    """Equal to captum on the stage whose output is pooled, activations behind it included."""
    torch.manual_seed(0)
    network = models.get_model(name, weights=None, num_classes=3).eval()
    images = draw(2, 64)
    asked = images.clone().requires_grad_(True)
    before = Snapshot.of(network)
    expected = LayerGradCam(network, network.get_submodule(last)).attribute(
        asked, torch.tensor([0, 1]), relu_attributions=True
    )
    assert_close(cam(network), expected[:, 0].detach(), atol=1e-7, rtol=1e-4)
    assert before.differences(Snapshot.of(network)) == []


SIDE = 64
TINY_VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def torchvision_model(name: str) -> nn.Module:
    """One small member of the family; where even that is large, the family's class with few and narrow blocks."""
    narrow: dict[str, Callable[[], nn.Module]] = {
        "maxvit": lambda: models.MaxVit(
            (SIDE, SIDE), 8, 2, [8, 16], [1, 1], head_dim=4, stochastic_depth_prob=0.0, num_classes=3
        ),
        "swin": lambda: models.SwinTransformer([4, 4], 8, [1, 1], [1, 1], [4, 4], num_classes=3),
        "swin_v2": lambda: models.swin_transformer.SwinTransformer(
            [4, 4], 8, [1, 1], [1, 1], [4, 4], num_classes=3,
            block=models.swin_transformer.SwinTransformerBlockV2,
            downsample_layer=models.swin_transformer.PatchMergingV2,
        ),
        "vit": lambda: models.VisionTransformer(SIDE, 16, 2, 2, 8, 16, num_classes=3),
        "googlenet": lambda: models.googlenet(num_classes=3, init_weights=False),
        "inception_v3": lambda: models.inception_v3(num_classes=3, init_weights=False),
    }  # fmt: skip
    return narrow.get(name, lambda: models.get_model(name, num_classes=3))()


def timm_model(name: str) -> nn.Module:
    name, _, small = name.partition(" ")
    settings: dict[str, Any] = {
        "": {},
        "tokens": {"img_size": 70 if "14" in name else SIDE, "depth": 2},
        "windows": {"img_size": SIDE, "window_size": 2},
        "side": {"img_size": SIDE},
    }
    return timm.create_model(name, num_classes=3, **settings[small])


def hugging_face_model(name: str) -> nn.Module:
    stages = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
    windows = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4}
    settings = {
        "ConvNext": stages,
        "ConvNextV2": stages,
        "ResNet": {**stages, "embedding_size": 8},
        "RegNet": {**stages, "embedding_size": 8, "groups_width": 8},
        "Swin": windows,
        "Swinv2": windows,
        "Dinov2": {**TINY_VIT, "patch_size": 16},
        "Dinov2WithRegisters": {**TINY_VIT, "patch_size": 16},
        "MobileViT": {},
        "MobileNetV2": {},
        "Segformer": {},
        "PoolFormer": {},
    }.get(name, {**TINY_VIT, "patch_size": 16})
    config = getattr(transformers, f"{name}Config")(num_labels=3, image_size=SIDE, **settings)
    return getattr(transformers, f"{name}ForImageClassification")(config)


FAMILIES = {
    torchvision_model: {
        "alexnet": "avgpool",
        "convnext_tiny": "features",
        "densenet121": "features",
        "efficientnet_b0": "features",
        "efficientnet_v2_s": "features",
        "googlenet": "inception5b",
        "inception_v3": "Mixed_7c",
        "maxvit": "blocks.1",
        "mnasnet0_5": "layers",
        "mobilenet_v2": "features",
        "mobilenet_v3_small": "features",
        "regnet_y_400mf": "trunk_output",
        "resnet18": "layer4",
        "resnext50_32x4d": "layer4",
        "shufflenet_v2_x0_5": "conv5",
        "squeezenet1_1": "classifier.2",
        "swin": "permute",
        "swin_v2": "permute",
        "vgg11": "avgpool",
        "vit": "encoder.layers.encoder_layer_1.ln_1",
        "wide_resnet50_2": "layer4",
    },
    timm_model: {
        "resnet10t": "layer4",
        "efficientnet_b0": "bn2",
        "mobilenetv3_small_050": "blocks",
        "convnext_atto": "stages",
        "regnety_002": "s4",
        "vit_tiny_patch16_224 tokens": "blocks.1.norm1",
        "deit_tiny_distilled_patch16_224 tokens": "blocks.1.norm1",
        "vit_small_patch14_reg4_dinov2 tokens": "blocks.1.norm1",
        "eva02_tiny_patch14_224 tokens": "blocks.1",
        "beit_base_patch16_224 tokens": "blocks.1",
        "vit_base_patch16_siglip_224 tokens": "norm",
        "cait_xxs24_224 tokens": "blocks_token_only.1.norm1",
        "swin_tiny_patch4_window7_224 windows": "norm",
        "swinv2_tiny_window8_256 windows": "norm",
        "mixer_s32_224 side": "norm",
        "xcit_nano_12_p16_224 side": "cls_attn_blocks.1.norm1",
        "mobilevit_xxs": "final_conv",
    },
    hugging_face_model: {
        "ViT": "vit.layers.1.layernorm_before",
        "DeiT": "deit.layers.1.layernorm_before",
        "Beit": "beit.layers.1",
        "Dinov2": "dinov2.layernorm",
        "Dinov2WithRegisters": "dinov2_with_registers.layernorm",
        "Swin": "swin.layernorm",
        "Swinv2": "swinv2.layernorm",
        "ConvNext": "convnext.encoder.stages.3",
        "ConvNextV2": "convnextv2.encoder.stages.3",
        "ResNet": "resnet.encoder.stages.3",
        "RegNet": "regnet.encoder.stages.3",
        "MobileViT": "mobilevit.conv_1x1_exp",
        "MobileNetV2": "mobilenet_v2.conv_1x1",
        "Segformer": "segformer.stages.3",
        "PoolFormer": "norm",
    },
}


@pytest.mark.parametrize(
    ("make", "name", "layer"), [(make, name, layer) for make, all_ in FAMILIES.items() for name, layer in all_.items()]
)
def test_the_layer_of_every_family_is_found_and_feels_the_score(make, name, layer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        network = make(name).eval()
        for parameter in network.parameters():  # some heads begin at zero
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    side = 224 if name == "levit_128s" else 128 if name == "inception_v3" else 70 if "14" in name else SIDE
    model = adapt(network, transform=resize(side))
    with model.explaining():
        assert model.cam_layer == layer
        forward = record(model, draw(2, side), (layer,))
        (gradients,) = forward.gradients(forward.logits[:, 1])
    grid = find_grid(gradients, draw(2, side), layer)
    assert grid.height == grid.width > 1
    assert (grid(gradients) != 0).flatten(1).any(dim=1).all()


class Attentive(nn.Module):
    """Its last layer with four axes is attention from token to token, not a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 10, stride=10)
        self.norm = nn.LayerNorm(4)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(images).flatten(2).transpose(1, 2))
        weights = self.drop((tokens @ tokens.transpose(1, 2)).softmax(dim=2)[:, None])
        return self.head((weights[:, 0] @ tokens).mean(dim=1))


def test_attention_from_token_to_token_is_no_feature_map():
    assert adapt(Attentive()).cam_layer == "norm"


def test_a_network_that_hides_its_gradient_is_judged_by_shapes():
    class Hidden(SmallCNN):
        @torch.no_grad()
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    assert adapt(Hidden()).cam_layer == "body"


class Overwritten(nn.Module):
    """It writes over what autograd remembers of a layer: without a copy nothing can be differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid())
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mul_(2).mean(dim=(2, 3)))


def test_a_layer_that_is_written_over_is_found():
    assert adapt(Overwritten()).cam_layer == "body"


def test_finding_a_layer_leaves_nothing_behind():
    network = SmallCNN()
    before = Snapshot.of(network)
    assert adapt(network).cam_layer == "body"
    assert before.differences(Snapshot.of(network)) == []


def test_the_layers_for_a_cam_come_in_the_order_of_the_network_with_shape_and_grid():
    network = SmallCNN()
    found = map_layers(network, lambda: network(draw(1)))
    assert [layer.name for layer in found] == [*(f"body.{i}" for i in range(7)), "body"]
    assert found[0].shape == (8, 40, 40)
    assert found[-1] == MapLayer("body", (8, 20, 20), Grid("NCHW", 20, 20))


def test_a_network_without_any_layer_has_no_feature_map():
    with pytest.raises(ModelError, match=r"found none. Pass `layer=`"):
        attribute(method("grad_cam"), adapt(LinearModel(), transform=resize(8)), batch(draw(1, 8)))


class Branches(nn.Module):
    """Two branches that are joined by the block itself, as in Inception, or added, as in ConvNeXt."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 2, 3, padding=1)
        self.right = nn.Conv2d(3, 2, 3, padding=1)
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        left, right = self.left(images), self.right(images)
        return torch.cat([left, right], dim=1) if self.join == "cat" else left.relu() + right


class Joined(nn.Module):
    def __init__(self, join: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = Branches(join)
        self.head = nn.Linear(4 if join == "cat" else 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.block(images).mean(dim=(2, 3)))


@pytest.mark.parametrize("join", ["cat", "add"])
def test_by_default_a_cam_looks_at_joined_branches_not_at_one_of_them(join):
    network = Joined(join)
    assert_close(cam(network), cam(network, "block"))


class Shared(nn.Module):
    """One activation for all, as in every tutorial; after the first linear layer too, or not."""

    def __init__(self, in_head: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.in_head = in_head
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.conv2(self.relu(self.conv1(images))))
        hidden = self.fc1(features.mean(dim=(2, 3)))
        return self.fc2(self.relu(hidden) if self.in_head else hidden)


@pytest.mark.parametrize("in_head", [True, False])
def test_by_default_a_cam_passes_over_a_layer_that_is_used_several_times(in_head):
    """It is no place in the network, and a hook on it may see vectors."""
    network = Shared(in_head)
    assert_close(cam(network), cam(network, "conv2"))


def test_default_layer_takes_its_hooks_away_when_the_network_fails():
    network = SmallCNN()
    before = Snapshot.of(network)

    def fail() -> Tensor:
        network(draw(1))
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        default_layer(network, fail)
    assert before.differences(Snapshot.of(network)) == []


def test_a_map_of_one_pixel_is_no_feature_map():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert default_layer(network, lambda: network(draw(1))) == ("3", network[3])


def test_a_network_with_a_long_head_still_has_a_last_feature_map():
    """LeNet-5: more layers after the last map than before it."""
    network = nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(784, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3),
    )  # fmt: skip
    assert default_layer(network, lambda: network(draw(1))) == ("5", network[5])


def test_a_layer_is_found_by_its_dotted_name():
    network = SmallCNN()
    assert find_layer(network, "body.4") is network.body[4]


@pytest.mark.parametrize(
    ("name", "near"), [("body.44", "body.4"), ("Head", "head"), ("", ""), ("body.4.weight", "body.4")]
)
def test_an_unknown_layer_offers_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=rf"known layer, but got '{name}'.*`{near}"):
        adapt(SmallCNN(), name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("body.44", r"For one image .*`body.4` returns \(8, 20, 20\)"), ("heads", r"`head` returns \(3,\)")],
)
def test_an_unknown_layer_offers_what_the_nearest_return(name, hint):
    network = SmallCNN()
    before = Snapshot.of(network)
    with pytest.raises(UnknownNameError, match=rf"known layer, but got '{name}'. Did you mean .*{hint}"):
        find_layer(network, name, lambda: network(draw(1)))
    assert before.differences(Snapshot.of(network)) == []


def test_an_unknown_layer_of_a_network_that_fails_still_offers_the_nearest():
    network = SmallCNN()
    with pytest.raises(UnknownNameError, match=r"`body.4`") as caught:
        find_layer(network, "body.44", lambda: network(torch.zeros(1, 5, 8, 8)))
    assert "channels" in str(caught.value.__cause__)


def test_the_shape_of_every_layer_is_measured_without_the_batch():
    network = SmallCNN()
    shapes = layer_shapes(network, lambda: network(draw(2)))
    assert shapes["body.3"] == (8, 20, 20)
    assert shapes["head"] == (3,)
    assert "" not in shapes


@pytest.mark.parametrize("layer", ["head", "drop"])
def test_a_layer_without_a_feature_map_is_refused(layer):
    with pytest.raises(ModelError, match=r"a feature map \(N, C, H, W\) or tokens.*Pass `layer=`.*`body` with output"):
        cam(SmallCNN(), layer)


def test_a_layer_that_the_network_never_calls_is_refused_in_words():
    """Such as the auxiliary head of an Inception network in evaluation."""
    network = SmallCNN()
    network.unused = nn.Conv2d(3, 3, 1)
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match="layer"):
        cam(network, "unused")
    assert before.differences(Snapshot.of(network)) == []
