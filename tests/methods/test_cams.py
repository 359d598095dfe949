"""Class activation maps against captum, pytorch-grad-cam and torchcam, and against loops written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytest
import timm
import torch
from captum.attr import LayerActivation, LayerGradCam
from pytorch_grad_cam import AblationCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate
from torch.testing import assert_close
from torchcam.methods import GradCAM as TorchCamGradCAM
from torchvision import models, transforms

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute, attribute_all
from fiftyone_saliency.methods._registry import list_methods
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.batch import Batch
from tests.oracles import PatchModel, SmallCNN, Snapshot, adapt, batch, draw, method

CAMS = [name for name, info in list_methods().items() if info.family == "cam"]
REPLAYED = ["ablation_cam", "recipro_cam"]
SIZE = (64, 96)


@dataclass(frozen=True, eq=False)
class Peer:
    """A network, the layer to look at, and how its output is read as a feature map."""

    network: nn.Module
    layer: str
    read: Callable[[Tensor], Tensor] | None = None

    @property
    def module(self) -> nn.Module:
        return self.network.get_submodule(self.layer)

    def model(self, layer: str | None = None) -> ModelAdapter:
        return adapt(self.network, layer, wide())


def patches_of(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, 4, 6)


NETWORKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "resnet18": ("layer4", lambda: models.resnet18(num_classes=3)),
    "mobilenet_v3_small": ("features", lambda: models.mobilenet_v3_small(num_classes=3)),
    "regnet_y_400mf": ("trunk_output", lambda: models.regnet_y_400mf(num_classes=3)),
    "convnext_atto": ("stages", lambda: timm.create_model("convnext_atto", num_classes=3)),
    "tf_efficientnet_lite0": ("bn2", lambda: timm.create_model("tf_efficientnet_lite0", num_classes=3)),
    "vit_tiny_patch16_224": (
        "blocks.11.norm1",
        lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=SIZE),
    ),
}


@cache
def peer(name: str) -> Peer:
    """Make a network whose logits depend on the image: normalised by what it sees, with a head of some size."""
    layer, make = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        network = make()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            network.train()(images(4))
        heads = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 3]
        nn.init.normal_(heads[-1].weight, 2, 20)
    return Peer(network.eval(), layer, patches_of if "vit" in name else None)


def wide() -> transforms.Compose:
    return transforms.Compose([transforms.Resize(SIZE), transforms.ToTensor()])


def images(count: int) -> Tensor:
    return draw(count, 96)[:, :, : SIZE[0]] * 2 - 1


def columns(count: int) -> tuple[int, ...]:
    return tuple((i + 1) % 3 for i in range(count))


def unit(maps: Tensor) -> Tensor:
    """Scale each map to [0, 1]."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def upsample(maps: Tensor, size: tuple[int, int] = SIZE) -> Tensor:
    return interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def correlations(maps: Tensor, expected: Tensor) -> list[float]:
    return [
        float(torch.corrcoef(torch.stack([m.flatten(), e.flatten()]))[0, 1])
        for m, e in zip(maps, expected, strict=True)
    ]


def torch_map(values: Any) -> Tensor:
    return torch.as_tensor(values).float()


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", NETWORKS)
class TestGradCamOfManyNetworks:
    def ours(self, name: str, count: int) -> Tensor:
        maps = attribute(method("grad_cam"), peer(name).model(), batch(images(count), columns(count))).values
        assert (maps.amax(dim=(1, 2)) > 1e-4).float().mean() > 0.4
        return maps

    def test_the_layer_found_is_the_usual_one(self, name, count):
        assert self.ours(name, count).shape[1:] == ((4, 6) if "vit" in name else (2, 3))

    def test_it_equals_captum(self, name, count):
        network, asked = peer(name), images(count).requires_grad_(True)
        chosen = torch.tensor(columns(count))
        if network.read is None:
            expected = LayerGradCam(network.network, network.module).attribute(asked, chosen, relu_attributions=True)
            expected = expected[:, 0]
        else:
            features = LayerActivation(network.network, network.module).attribute(asked)
            gradients = layer_gradient(network, asked, chosen)
            features, gradients = network.read(features), network.read(gradients)
            expected = (gradients.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()
        largest = expected.detach().max()
        assert_close(self.ours(name, count) / largest, expected.detach() / largest, atol=1e-6, rtol=1e-6)

    def test_it_equals_pytorch_grad_cam_after_the_same_upsampling(self, name, count):
        network = peer(name)
        targets = [ClassifierOutputTarget(c) for c in columns(count)]
        with GradCAM(network.network, [network.module], network.read) as theirs:
            expected = torch_map(theirs(images(count), targets))
        network.network.zero_grad()
        assert_close(unit(upsample(unit(self.ours(name, count)))), expected, atol=5e-6, rtol=0)

    def test_it_equals_torchcam_after_the_same_upsampling(self, name, count):
        network = peer(name)
        with TorchCamGradCAM(network.network, network.layer, reshape_transform=network.read) as theirs:
            scores = network.network(images(count))
            (expected,) = theirs(list(columns(count)), scores)
        ours = unit(upsample(unit(self.ours(name, count))))
        assert_close(ours, unit(upsample(expected.detach())), atol=5e-6, rtol=0)


def layer_gradient(network: Peer, asked: Tensor, chosen: Tensor) -> Tensor:
    kept = []
    handle = network.module.register_forward_hook(lambda _m, _i, output: kept.append(output))
    scores = network.network(asked).gather(1, chosen[:, None])
    handle.remove()
    return torch.autograd.grad(scores.sum(), kept[0])[0]


def small(scale: float = 1.0) -> SmallCNN:
    """A network whose last features are not negative, with logits of some size."""
    network = SmallCNN()
    with torch.no_grad():
        network.head.weight.mul_(scale)
    return network


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("grad_cam", GradCAM),
        ("grad_cam_plus_plus", GradCAMPlusPlus),
        ("hires_cam", HiResCAM),
        ("xgrad_cam", XGradCAM),
        ("layer_cam", LayerCAM),
    ],
)
@pytest.mark.parametrize("architecture", ["small", "resnet18"])
def test_a_gradient_cam_looks_like_pytorch_grad_cams(name, theirs, architecture):
    """Logits are large, so that the constant in their denominator does not count."""
    if architecture == "small":
        network, layer, asked = small(1e4), "body.6", draw(3)
    else:
        network, layer, asked = peer("resnet18").network, "layer2", images(3)
    maps = attribute(method(name), adapt(network, layer), batch(asked, (0, 1, 2))).values
    with theirs(network, [network.get_submodule(layer)]) as cam:
        expected = torch_map(cam(asked, [ClassifierOutputTarget(c) for c in (0, 1, 2)]))
    network.zero_grad()
    assert_maps_look_alike(maps.relu(), expected)


def assert_maps_look_alike(maps: Tensor, expected: Tensor) -> None:
    size = expected.shape[1:]
    alive = expected.amax(dim=(1, 2)) > 0
    assert alive.any()
    assert torch.equal(maps.amax(dim=(1, 2)) > 0, alive)
    assert min(correlations(upsample(maps, size)[alive], expected[alive])) > 0.9999


def test_grad_cam_plus_plus_is_equation_19_cell_by_cell():
    network, asked = SmallCNN().double(), draw(2).double()
    features = network.body(asked).detach().requires_grad_(True)
    scores = network.head(features.mean(dim=(2, 3)))[:, 1]
    (gradients,) = torch.autograd.grad(scores.sum(), features)
    total = features.sum(dim=(2, 3), keepdim=True)
    alpha = gradients**2 / (2 * gradients**2 + total * gradients**3)
    weights = (alpha * gradients.relu()).sum(dim=(2, 3), keepdim=True)
    expected = (weights * features).sum(dim=1).relu().detach()
    maps = method("grad_cam_plus_plus")(adapt(network), batch(asked, 1))
    assert_close(maps, expected, atol=1e-12, rtol=1e-9)


def test_grad_cam_plus_plus_does_not_depend_on_the_size_of_the_gradients_alone():
    """A constant in the denominator would make the map of a network with small logits another one."""
    asked = batch(draw(1), 1)
    flat = [method("grad_cam_plus_plus")(adapt(small(scale)), asked) for scale in (1e-6, 1e-7)]
    assert_close(flat[0], 10 * flat[1], atol=0, rtol=1e-3)


def test_hires_cam_adds_up_to_the_score_where_the_head_is_linear():
    network, asked = SmallCNN(), draw(2)
    maps = attribute(method("hires_cam"), adapt(network), batch(asked, 1)).values
    with torch.no_grad():
        expected = network(asked)[:, 1] - network.head.bias[1]
    assert_close(maps.sum(dim=(1, 2)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["hires_cam", "xgrad_cam"])
def test_a_map_of_the_patch_model_adds_up_to_its_score(name):
    network, asked = PatchModel(), draw(2)
    maps = attribute(method(name), adapt(network), batch(asked, 2)).values
    assert_close(maps.sum(dim=(1, 2)), network(asked)[:, 2].detach())


@pytest.mark.parametrize(("architecture", "layer"), [("small", "body.6"), ("resnet18", "layer2")])
def test_eigen_cam_is_the_positive_side_of_pytorch_grad_cams(architecture, layer):
    network, asked = (small(), draw(3)) if architecture == "small" else (peer(architecture).network, images(3))
    model = adapt(network, layer)
    maps = attribute(method("eigen_cam"), model, batch(asked, (0, 1, 2))).values
    features = LayerActivation(network, network.get_submodule(layer)).attribute(asked).detach()
    projections = torch_map(get_2d_projection(features.numpy().copy()))
    energy = features.square().sum(dim=1)
    for found, projection, strong in zip(maps, projections, energy, strict=True):
        sign = torch.corrcoef(torch.stack([projection.flatten(), strong.flatten()]))[0, 1].sign()
        assert_close(found, (sign * projection).relu(), atol=1e-4 * float(found.max()), rtol=1e-3)
        assert (found * (strong - strong.mean())).sum() > 0


def test_eigen_cam_is_the_same_for_every_target_and_no_evidence():
    model, asked = adapt(SmallCNN()), draw(2)
    first, second = (attribute(method("eigen_cam"), model, batch(asked, column)).values for column in (0, 2))
    assert torch.equal(first, second)
    assert list_methods()["eigen_cam"].evidence is False


def test_eigen_cam_of_features_that_are_not_finite_is_not_finite_and_stops_nothing():
    network, asked = SmallCNN(), draw(2)
    asked[0, 0, 0, 0] = torch.nan
    maps = attribute(method("eigen_cam"), adapt(network, "body.6"), batch(asked)).values
    assert not torch.isfinite(maps[0]).any()
    assert torch.isfinite(maps[1]).all()


def test_score_cam_looks_like_pytorch_grad_cams(monkeypatch):
    """Theirs upsamples with aligned corners, as nothing else here does: it is made to do as all others."""
    monkeypatch.setattr(
        torch.nn, "UpsamplingBilinear2d", partial(torch.nn.Upsample, mode="bilinear", align_corners=False)
    )
    network, asked = small(20), draw(3)
    maps = attribute(method("score_cam"), adapt(network, "body.6"), batch(asked, (0, 1, 2))).values
    with ScoreCAM(network, [network.body[6]]) as cam:
        expected = torch_map(cam(asked, [ClassifierOutputTarget(c) for c in (0, 1, 2)]))
    assert_maps_look_alike(maps, expected)


def test_score_cam_equals_a_loop_over_channels():
    network, asked = small(20), draw(2)
    maps = attribute(method("score_cam"), adapt(network, "body.4"), batch(asked, 1, minus=0)).values
    with torch.no_grad():
        features = network.body[:5](asked)
        for image, feature, found in zip(asked, features, maps, strict=True):
            scores = []
            for channel in feature:
                mask = upsample(channel[None], (40, 40))
                logits = network(image[None] * unit(mask)[:, None])[0]
                scores.append(logits[1] - logits[0])
            weights = torch.stack(scores).softmax(dim=0)
            assert_close(found, (weights[:, None, None] * feature).sum(dim=0).relu(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("output", ["logits", "softmax"])
def test_ablation_cam_equals_a_loop_over_channels(output):
    network, asked = small(20), draw(2)
    work = Batch(asked, (Target(1, ""), Target(2, "", 0)), (1, 2), output)
    maps = attribute(method("ablation_cam"), adapt(network, "body.6"), work).values
    with torch.no_grad():
        features = network.body(asked)
        before = work.scores(network.head(features.mean(dim=(2, 3))))
        expected = torch.zeros_like(features[:, 0])
        for channel in range(features.shape[1]):
            without = features.clone()
            without[:, channel] = 0
            fall = before - work.scores(network.head(without.mean(dim=(2, 3))))
            expected += fall[:, None, None] * features[:, channel]
    assert_close(maps, expected.relu(), atol=1e-5, rtol=1e-4)


def test_ablation_cam_looks_like_pytorch_grad_cams_where_the_score_is_positive():
    network, asked = small(20), draw(3)
    with torch.no_grad():
        network.head.bias.fill_(100)
        assert (network(asked) > 0).all()
    maps = attribute(method("ablation_cam"), adapt(network, "body.6"), batch(asked, (0, 1, 2))).values
    theirs = AblationCAM(network, [network.body[6]])
    expected = torch_map(theirs(asked, [ClassifierOutputTarget(c) for c in (0, 1, 2)]))
    assert_maps_look_alike(maps, expected)


@pytest.mark.parametrize("blur", [True, False])
def test_recipro_cam_equals_a_loop_over_cells(blur):
    network, asked = small(20), draw(2)[:, :, :24]
    maps = attribute(method("recipro_cam", blur=blur), adapt(network, "body.6"), batch(asked, (1, 2))).values
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    with torch.no_grad():
        features = network.body(asked)
        empty = network.head(torch.zeros(1, 8))[0]
        for row in range(12):
            for column in range(20):
                mask = torch.zeros(1, 1, 12, 20)
                mask[0, 0, row, column] = 1
                if blur:
                    mask = conv2d(mask, kernel[None, None], padding=1)
                rise = network.head((features * mask).mean(dim=(2, 3))) - empty
                assert_close(maps[:, row, column], rise[[0, 1], [1, 2]], atol=1e-5, rtol=1e-4)


def count_rows(layer: nn.Module) -> list[int]:
    rows: list[int] = []
    layer.register_forward_hook(lambda _m, inputs, _o: rows.append(len(inputs[0])))
    return rows


@pytest.mark.parametrize("name", REPLAYED)
def test_only_the_head_sees_every_change_of_the_features(name):
    network = SmallCNN()
    trunk, head = count_rows(network.body[0]), count_rows(network.head)
    attribute(method(name), adapt(network, "body.6"), batch(draw(2)))
    changes = {"ablation_cam": 8, "recipro_cam": 400}[name] + 1
    assert sum(head) >= 2 * changes
    assert sum(trunk) <= 2 + 3 + 2 * -(-changes // 32)


class Reshapes(SmallCNN):
    """It notes the size of the batch before the layer and reshapes by it behind: fed one copy, it fails."""

    def forward(self, images: Tensor) -> Tensor:
        count = len(images)
        return self.head(self.body(images).reshape(count, 8, -1).mean(dim=2))


class Scales(SmallCNN):
    """It notes the size of the batch before the layer and divides by it behind: fed one copy, it is wrong."""

    def forward(self, images: Tensor) -> Tensor:
        count = len(images)
        features = self.body(images)
        return self.head(features.sum(dim=(2, 3)) * len(features) / count / features[0, 0].numel())


@pytest.mark.parametrize("name", REPLAYED)
@pytest.mark.parametrize("network", [Reshapes, Scales])
def test_a_network_that_notes_the_size_of_the_batch_gets_the_same_map(name, network):
    asked = batch(draw(2), (0, 2))
    expected = attribute(method(name), adapt(SmallCNN(), "body.6"), asked).values
    noting = network()
    noting.load_state_dict(SmallCNN().state_dict())
    rows = count_rows(noting.body[0])
    assert_close(attribute(method(name), adapt(noting, "body.6"), asked).values, expected, atol=1e-6, rtol=1e-4)
    assert max(rows) > 2


@pytest.mark.parametrize("name", REPLAYED)
def test_features_of_tokens_are_changed_behind_the_class_token(name):
    """By a loop that changes the norm's output by hand; the class token and the branch around it stay."""
    network = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=SIZE, depth=2, embed_dim=12)
    nn.init.normal_(network.eval().head.weight)
    layer, asked = network.blocks[1].norm1, images(2)
    maps = attribute(method(name), adapt(network, transform=wide()), batch(asked, 1)).values
    assert maps.shape == (2, 4, 6)

    @torch.no_grad()
    def score(change: Tensor) -> Tensor:
        handle = layer.register_forward_hook(lambda _m, _i, output: output * change)
        logits = network(asked)[:, 1]
        handle.remove()
        return logits

    if name == "recipro_cam":
        nothing = torch.ones(25, 1)
        nothing[1:] = 0
        alone = nothing.clone()
        alone[[1 + 8, 1 + 2, 1 + 14], 0] = torch.tensor([1 / 4, 1 / 8, 1 / 8])
        alone[[1 + 7, 1 + 9], 0] = 1 / 8
        alone[[1 + 1, 1 + 3, 1 + 13, 1 + 15], 0] = 1 / 16
        assert_close(maps[:, 1, 2], score(alone) - score(nothing), atol=1e-6, rtol=1e-3)
        return
    features = patches_of(LayerActivation(network, layer).attribute(asked)).detach()
    expected = torch.zeros_like(features[:, 0])
    for channel in range(12):
        change = torch.ones(25, 12)
        change[1:, channel] = 0
        expected += (score(torch.ones(1)) - score(change))[:, None, None] * features[:, channel]
    assert_close(maps, expected.relu(), atol=1e-5, rtol=1e-3)


def test_fused_cam_is_the_largest_of_layer_cams():
    """The first is lifted by tanh, the second is not; both are scaled by their own maximum."""
    model, asked = adapt(SmallCNN()), batch(draw(2), (0, 2))
    fine, coarse = (
        attribute(method("layer_cam"), adapt(SmallCNN(), layer), asked).values for layer in ("body.2", "body.6")
    )
    fine, coarse = (m / m.amax(dim=(1, 2), keepdim=True) for m in (fine, coarse))
    expected = torch.maximum(torch.tanh(2 * fine), upsample(coarse, (40, 40)))
    for parameters in ({}, {"layer_names": "body.2, body.6"}, {"levels": 2}):
        assert_close(attribute(method("fused_cam", **parameters), model, asked).values, expected, atol=1e-5, rtol=1e-4)
    assert_close(attribute(method("fused_cam", levels=1), model, asked).values, coarse, atol=1e-5, rtol=1e-4)


def test_fused_cam_takes_the_last_layer_of_each_resolution():
    model = peer("resnet18").model()
    assert method("fused_cam").layers(model) == ("layer2", "layer3", "layer4")
    assert method("fused_cam", levels=2).layers(model) == ("layer3", "layer4")
    assert method("fused_cam", levels=9).layers(model)[-4:] == ("layer1", "layer2", "layer3", "layer4")


def test_fused_cam_ends_at_the_layer_that_the_model_names():
    model = peer("resnet18").model("layer3")
    assert method("fused_cam", levels=2).layers(model) == ("layer2", "layer3")


def test_fused_cam_refuses_no_levels_and_an_unknown_layer():
    with pytest.raises(ArgumentError, match="`levels`"):
        method("fused_cam", levels=0)
    with pytest.raises(ArgumentError, match=r"`body.6`"):
        attribute(method("fused_cam", layer_names="body.2,body.66"), adapt(SmallCNN()), batch(draw(1)))


@pytest.mark.parametrize("name", CAMS)
class TestEveryCam:
    def test_ten_targets_together_equal_each_alone_and_the_trunk_runs_once(self, name):
        network, asked = SmallCNN(classes=10), draw(2)
        model = adapt(network, "body.6", classes=10)
        batches = [Batch(asked, (Target(k, ""), Target(9 - k, "", k)), (1, 2)) for k in range(10)]
        alone = [attribute(method(name), model, work).values for work in batches]
        rows = count_rows(network.body[0])
        together = attribute_all(method(name), model, batches)
        once = sum(rows)
        for found, expected in zip(together, alone, strict=True):
            assert_close(found.values, expected, atol=1e-7, rtol=1e-5)
        rows.clear()
        attribute(method(name), model, batches[0])
        assert once == sum(rows)
        if name not in {"score_cam", *REPLAYED}:
            assert rows in ([2], [1, 2])

    def test_the_rows_of_a_pass_do_not_change_a_map(self, name):
        model, asked = adapt(small(20), "body.6"), draw(2)
        targets = (Target(0, ""), Target(2, "", 1))
        few, many = (
            attribute(method(name), model, Batch(asked, targets, (1, 2), rows=rows)).values for rows in (3, 500)
        )
        assert_close(few, many, atol=1e-5, rtol=1e-4)

    def test_no_pass_is_larger_than_its_rows(self, name):
        network = small(20)
        rows = count_rows(network.head)
        attribute(method(name), adapt(network, "body.6"), Batch(draw(2), (Target(0, ""),) * 2, (1, 2), rows=5))
        assert max(rows) <= 5

    def test_an_activation_that_writes_over_the_layer_does_not_change_the_map(self, name):
        plain, inplace = (
            attribute(method(name), adapt(Rectified(inplace), "body"), batch(draw(2))).values
            for inplace in (False, True)
        )
        assert_close(inplace, plain, atol=1e-7, rtol=1e-5)
        assert plain.abs().max() > 0

    def test_maps_of_a_bfloat16_network_look_like_those_in_float32(self, name):
        asked = draw(2)
        network = small(20)
        expected = attribute(method(name), adapt(network, "body.6"), batch(asked, 1)).values
        half = adapt(small(20).to(torch.bfloat16), "body.6")
        assert min(correlations(attribute(method(name), half, batch(asked, 1)).values, expected)) > 0.95

    def test_a_layer_that_is_no_feature_map_is_refused_with_layers_that_are(self, name):
        if name == "fused_cam":
            refused, model = method(name, layer_names="head"), adapt(SmallCNN())
        else:
            refused, model = method(name), adapt(SmallCNN(), "head")
        before = Snapshot.of(model.module)
        with pytest.raises(ModelError, match=r"'head'.*output is \(1, 3\).*`body` with output \(8, 20, 20\)"):
            attribute(refused, model, batch(draw(1)))
        assert before.differences(Snapshot.of(model.module)) == []


class Rectified(nn.Module):
    """A body whose output is rectified by a function, in place or not."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        network = SmallCNN()
        self.body, self.head = network.body[:6], network.head
        self.inplace = inplace

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        features = features.relu_() if self.inplace else features.relu()
        return self.head(features.mean(dim=(2, 3)))
