from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision import models

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.layers import default_layer, find_layer
from tests.oracles import LinearModel, SmallCNN, Snapshot, adapt, batch, draw, method


def cam(network: nn.Module, layer: str | None = None, side: int = 64) -> Tensor:
    return attribute(method("grad_cam"), adapt(network, layer), batch(draw(2, side), (0, 1)))


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


def test_a_vision_transformer_has_no_feature_map_for_a_cam():
    """Its patch embedding is one, but explains nothing."""
    network = models.VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    )
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=r"a feature map \(N, C, H, W\).*integrated_grad"):
        cam(network)
    assert before.differences(Snapshot.of(network)) == []


def test_a_network_without_any_layer_has_no_feature_map():
    with pytest.raises(ModelError, match=r"found none. Pass `layer=`"):
        attribute(method("grad_cam"), adapt(LinearModel()), batch(draw(1, 8)))


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


@pytest.mark.parametrize("layer", ["head", "drop"])
def test_a_layer_without_a_feature_map_is_refused(layer):
    with pytest.raises(ModelError, match=r"CAM layer to return a feature map \(N, C, H, W\).*Pass `layer=`"):
        cam(SmallCNN(), layer)


def test_a_layer_that_the_network_never_calls_is_refused_in_words():
    """Such as the auxiliary head of an Inception network in evaluation."""
    network = SmallCNN()
    network.unused = nn.Conv2d(3, 3, 1)
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match="layer"):
        cam(network, "unused")
    assert before.differences(Snapshot.of(network)) == []
