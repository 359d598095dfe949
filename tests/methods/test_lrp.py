"""Layer-wise relevance propagation against worked examples, its conservation, and zennit used by hand."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision
from captum.testing.helpers.basic_models import SimpleLRPModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision import transforms
from zennit.composites import COMPOSITES as ZENNIT
from zennit.torchvision import ResNetCanonizer

from fiftyone_saliency.core.errors import ArgumentError, MissingExtraError, ModelError, UnknownNameError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import Attribution, attribute, attribute_all
from fiftyone_saliency.methods.lrp_composite import COMPOSITES
from fiftyone_saliency.models.batch import Batch
from tests.methods.networks import FailingBetween, LayeredCNN, TinyViT
from tests.oracles import PATCH, PatchModel, SmallCNN, Snapshot, adapt, batch, draw, method

METHODS = ["lrp", "lrp_composite"]


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        return build().eval()


def resnet() -> nn.Module:
    return seeded(lambda: torchvision.models.resnet18(weights=None, num_classes=3)).double()


def small_resnet() -> nn.Module:
    block = torchvision.models.resnet.Bottleneck
    return seeded(lambda: torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=3)).double()


def explain(
    name: str, network: nn.Module, images: Tensor, *columns: Any, classes: int = 3, **kwargs: Any
) -> Attribution:
    return attribute(method(name, **kwargs), adapt(network, classes=classes), batch(images, *columns))


class Row(nn.Module):
    """A network of numbers on images of one row; `between` is called on what reaches the network."""

    def __init__(self, *layers: nn.Module, between: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        self.between = between

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(self.between(images))


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("inplace", [False, True])
def test_captums_worked_example(name, inplace):
    found = explain(name, Row(SimpleLRPModel(inplace)), row(1, 2, 3), classes=1)
    assert_close(found.values, torch.tensor([[[18.0, 36, 54]]]), atol=1e-3, rtol=1e-5)
    assert found.delta.item() < 1e-5


def test_captums_worked_example_with_tanh():
    """Tanh hands on whole what reaches it: relevance of 3 a is a part of the score, however flat tanh is there."""
    network = Row(linear([[1.0, 2]]), nn.Tanh(), linear([[3.0]]))
    found = explain("lrp", network, row(4, 3), classes=1)
    score = 3 * torch.tanh(torch.tensor(10.0))
    assert_close(found.values[0, 0], score * torch.tensor([0.4, 0.6]))


def test_a_bias_takes_its_share_in_lrp_and_nothing_in_the_composite():
    """Score 4 = 1·1 + 1·2 + 1: a quarter of it is the bias's."""
    network = Row(linear([[1.0, 1]], [1.0]))
    plain, composite = (explain(name, network, row(1, 2), classes=1) for name in METHODS)
    assert_close(plain.values[0, 0], torch.tensor([1.0, 2]))
    assert_close(plain.delta, torch.tensor([0.25]))
    assert_close(composite.values[0, 0], torch.tensor([4 / 3, 8 / 3]), atol=1e-4, rtol=1e-4)
    assert composite.delta.item() < 1e-5


def test_lrp_is_input_x_gradient_where_all_activations_are_relu():
    """Also for branches that are joined, and where captum has no rule of its own: Flatten, Identity."""
    network = seeded(lambda: torchvision.models.squeezenet1_1(weights=None, num_classes=3))
    for net, images in ((LayeredCNN(), draw(2)), (network, draw(2, side=32))):
        expected = explain("input_x_gradient", net, images, 1).values
        assert_close(explain("lrp", net, images, 1).values, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_functional_relu_is_a_relu():
    class Functional(LayeredCNN):
        def forward(self, images: Tensor) -> Tensor:
            features = images
            for layer in self.body:
                features = F.relu(features) if isinstance(layer, nn.ReLU) else layer(features)
            return self.head(features)

    for name in METHODS:
        expected = explain(name, LayeredCNN(), draw(2), 1).values
        assert_close(explain(name, Functional(), draw(2), 1).values, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("minus", [None, 0])
def test_the_relevance_of_a_network_without_biases_adds_up_to_the_score(name, minus):
    network, images = LayeredCNN(bias=False).double(), draw(3).double()
    logits = network(images).detach()
    score = logits[:, 1] - (0 if minus is None else logits[:, minus])
    found = explain(name, network, images, 1, minus)
    assert_close(found.values.double().sum(dim=(1, 2)), score, atol=1e-6, rtol=1e-4)
    assert found.delta.max() < 1e-4


@pytest.mark.parametrize("composite", COMPOSITES)
def test_composites_conserve_the_score_of_a_resnet_with_biases(composite):
    network, images = resnet(), draw(2, side=32).double()
    found = explain("lrp_composite", network, images, 1, composite=composite)
    ratio = found.values.double().sum(dim=(1, 2)) / network(images)[:, 1].detach()
    assert_close(ratio, torch.ones(2, dtype=torch.float64), atol=1e-4, rtol=0)
    assert found.delta.max() < 1e-4


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_composite_is_zennits(composite):
    network, images = small_resnet(), draw(2, side=32).double()
    box = {"low": torch.zeros_like(images[:1]), "high": torch.ones_like(images[:1])}
    rules = ZENNIT[composite](
        canonizers=[ResNetCanonizer()], zero_params=["bias"], **(box if composite == "epsilon_gamma_box" else {})
    )
    asked = images.clone().requires_grad_(True)
    with rules.context(network) as changed:
        logits = changed(asked)
        start = torch.zeros_like(logits)
        start[:, 1] = logits[:, 1].detach()
        (relevance,) = torch.autograd.grad(logits, asked, start)
    found = explain("lrp_composite", small_resnet(), images, 1, composite=composite)
    expected = relevance.sum(dim=1).float()
    assert_close(found.values, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


def test_the_box_is_from_black_to_white_as_the_network_sees_them():
    """Relevance of the first layer by the box rule: x w - low w+ - high w-, of which each pixel has its share."""
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.Flatten(), linear([[1.0, 0.0]]))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([2.0, -1.0, 3.0]).view(1, 3, 1, 1))
    normalize = transforms.Normalize([0.5, 0.4, 0.3], [0.5, 0.2, 0.1])
    model = adapt(network, transform=transforms.Compose([transforms.ToTensor(), normalize]), classes=1)
    pixel = torch.tensor([0.5, 1.0, 2.0])
    images = torch.zeros(1, 3, 1, 2)
    images[0, :, 0, 0] = pixel
    low, high = torch.tensor([-1.0, -2, -3]), torch.tensor([1.0, 3, 7])
    weight = network[0].weight.detach().flatten()
    shares = pixel * weight - low * weight.clamp(min=0) - high * weight.clamp(max=0)
    score = float(pixel @ weight)
    found = attribute(method("lrp_composite", composite="epsilon_gamma_box"), model, batch(images)).values
    assert_close(found[0, 0], torch.tensor([score, 0.0]), atol=1e-4, rtol=1e-4)
    with model.explaining():
        by_channel = method("lrp_composite", composite="epsilon_gamma_box")(model, batch(images)).values
    assert_close(by_channel[0, :, 0, 0], score * shares / shares.sum(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_contrast_is_the_difference_of_two_maps(name):
    images, model = draw(2), adapt(LayeredCNN())
    first, second, contrast = (
        attribute(method(name), model, batch(images, *columns)).values for columns in ((2,), (0,), (2, 0))
    )
    assert_close(contrast, first - second, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_several_targets_are_each_as_alone(name):
    images, model = draw(2), adapt(LayeredCNN())
    batches = [Batch(images, targets, (1, 2)) for targets in ((Target(0, ""), Target(1, "")), (Target(2, "", 0),) * 2)]
    for together, work in zip(attribute_all(method(name), model, batches), batches, strict=True):
        alone = attribute(method(name), model, work)
        assert_close(together.values, alone.values, atol=1e-7, rtol=1e-6)
        assert_close(together.delta, alone.delta, atol=1e-6, rtol=1e-5)


def test_the_composites_of_several_targets_share_one_pass():
    passes: list[int] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        passes.append(len(inputs[0]))

    network, images = LayeredCNN(), draw(2)
    network.body[9].register_forward_hook(note)
    batches = [batch(images, column) for column in range(3)]
    attribute_all(method("lrp_composite"), adapt(network), batches)
    assert passes.count(2) == 1


@pytest.mark.parametrize("name", METHODS)
def test_the_maximum_lies_where_the_score_comes_from(name):
    """Two patches, and logit k is the mean of colour k in the k-th of them."""
    images = torch.zeros(1, 3, 40, 40)
    images[(slice(None), 1, *PATCH)] = 1
    images[:, 0, 30:36, 30:36] = 1
    weight = torch.zeros(3, 3, 40, 40)
    weight[(1, 1, *PATCH)] = weight[0, 0, 30:36, 30:36] = 1
    network = Row(linear(weight.flatten(1).tolist()))
    for column, place in ((1, PATCH), (0, (slice(30, 36), slice(30, 36)))):
        values = explain(name, network, images, column).values[0]
        assert_close(values[place].sum(), values.sum())
        assert values[place].min() > 0.9


def densenet() -> nn.Module:
    """BatchNorm before the convolutions: one would be merged into a layer of another size."""
    return torchvision.models.DenseNet(4, (1, 1), 8, num_classes=3)


class Skip(LayeredCNN):
    def forward(self, images: Tensor) -> Tensor:
        features = self.body[:3](images)
        return self.head(self.body[7:](features + self.body[2](features)))


class Unordered(nn.Module):
    """BatchNorm is defined behind a layer that it does not follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)
        self.norm.running_mean += 1

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.second(self.norm(self.first(images)).relu())).flatten(1))


@pytest.mark.parametrize(
    ("name", "build", "message"),
    [
        ("lrp", PatchModel, r"has a rule for, but 'window' is a Window\. .*integrated_gradients"),
        ("lrp_composite", PatchModel, r"has a rule for, but 'window' is a Window\. Choose integrated_gradients"),
        ("lrp", SmallCNN, r"between them the network calls mean, .*lrp_composite"),
        ("lrp_composite", SmallCNN, r"between them the network calls mean, .* Choose integrated_gradients"),
        ("lrp", Skip, r"between them the network calls add,"),
        ("lrp_composite", Skip, r"between them the network calls add,"),
        (
            "lrp",
            resnet,
            r"between them the network calls add_, .*lrp_composite \(pip install 'fiftyone-saliency\[lrp\]'\)",
        ),
        ("lrp", TinyViT, r"'body.0' is a Tokens|is a LayerNorm|between them"),
        ("lrp_composite", TinyViT, r"is a LayerNorm|between them"),
        ("lrp", lambda: Row(nn.GELU(), nn.Linear(300, 3)), r"'layers.1' is a GELU"),
        ("lrp_composite", densenet, r"merging them changes the logits"),
        ("lrp_composite", Unordered, r"merging them changes the logits\. Define the layers in the order of use"),
    ],
)
def test_what_relevance_cannot_be_handed_through_is_refused_in_words(name, build, message):
    network = seeded(build)
    images = draw(2).to(next(network.parameters()).dtype)
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=message):
        explain(name, network, images)
    assert before.differences(Snapshot.of(network)) == []


def test_a_shared_layer_is_refused_in_words():
    shared = linear([[1.0, 2], [3, 4]])
    with pytest.raises(ModelError, match="use each layer with weights once"):
        explain("lrp", Row(shared, nn.ReLU(), shared), row(1, 2), classes=2)


@pytest.mark.parametrize("name", METHODS)
def test_a_shared_relu_is_fine(name):
    relu = nn.ReLU()
    network = Row(linear([[1.0, 2], [3, -4]]), relu, linear([[5.0, 6], [1, 1]]), relu)
    # 1·1 + 2·2 = 5 passes, 3·1 − 4·2 does not; the score is 25.
    found = explain(name, network, row(1, 2), classes=2)
    assert_close(found.values[0, 0], torch.tensor([5.0, 20.0]), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_network_that_cannot_be_copied_is_refused_in_words(name):
    network = LayeredCNN()
    network.lock = threading.Lock()
    with pytest.raises(ModelError, match="Expected a network that can be copied, but LayeredCNN cannot"):
        explain(name, network, draw(1))


@pytest.mark.parametrize("name", METHODS)
def test_probabilities_are_refused_in_words(name):
    work = replace(batch(draw(1)), output="softmax")
    with pytest.raises(ArgumentError, match=f"`output` to be 'logits' for {name}, .* Pass output='logits'"):
        attribute(method(name), adapt(LayeredCNN()), work)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_given_back_bit_for_bit(name, fails):
    network = resnet().float() if name == "lrp_composite" and not fails else LayeredCNN()
    network = FailingBetween(network) if fails else network
    before, attributes = Snapshot.of(network), {id(m): set(vars(m)) for m in network.modules()}
    if fails:
        with pytest.raises(RuntimeError, match="the lamp is too bright"):
            explain(name, network, draw(2))
    else:
        explain(name, network, draw(2))
    assert before.differences(Snapshot.of(network)) == []
    assert {id(m): set(vars(m)) for m in network.modules()} == attributes


@pytest.mark.parametrize("name", METHODS)
def test_autocast_does_not_round_the_map(name):
    model, work = adapt(LayeredCNN()), batch(draw(2))
    expected = attribute(method(name), model, work).values
    with torch.autocast("cpu", torch.bfloat16):
        maps = attribute(method(name), model, work).values
    assert_close(maps, expected, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_weights_are_explained_in_float32(name):
    wide = LayeredCNN().to(torch.bfloat16).float()
    expected = explain(name, wide, draw(2)).values
    maps = explain(name, LayeredCNN().to(torch.bfloat16), draw(2)).values
    assert_close(maps, expected, atol=1e-6, rtol=1e-4)


def test_an_unknown_composite_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="`epsilon_plus_flat`"):
        method("lrp_composite", composite="epsilon_flat")


def test_without_zennit_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "zennit", None)
    for part in ("composites", "torchvision", "types", "layer"):
        monkeypatch.delitem(sys.modules, f"zennit.{part}", raising=False)
    with pytest.raises(MissingExtraError, match=r"the package zennit .*pip install 'fiftyone-saliency\[lrp\]'"):
        explain("lrp_composite", LayeredCNN(), draw(1))
    assert torch.isfinite(explain("lrp", LayeredCNN(), draw(1)).values).all()
