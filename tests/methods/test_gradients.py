"""The gradient methods against captum, against each other, and against what their papers promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from captum import attr as captum
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision import models as torchvision_models

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.methods._attribute import Attribution, attribute
from fiftyone_saliency.methods._completeness import completeness_error
from fiftyone_saliency.methods._registry import list_methods
from fiftyone_saliency.models.batch import Batch
from tests.oracles import LinearModel, SmallCNN, SmoothNet, Snapshot, adapt, batch, draw, method

SIZE = 16
RANDOM = ("gradient_shap", "smooth_grad", "var_grad")
GUIDED = ("guided_backprop", "guided_grad_cam")

pytestmark = pytest.mark.filterwarnings("ignore:.*ooks:UserWarning")


class Written(nn.Module):
    """One convolution, an activation or pooling as someone wrote it, and a head; weights are always the same."""

    def __init__(self, middle: Callable[[Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(51)
            self.first = nn.Conv2d(3, channels, 3, padding=1)
            self.second = nn.Conv2d(channels, channels, 3, padding=1)
            self.head = nn.Linear(channels, 3)
        self.middle = middle
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        features = self.middle(self.first(images))
        return self.head(self.middle(self.second(features)).mean(dim=(2, 3)))


def contrast(network: nn.Module) -> nn.Module:
    """A module whose one output is logit 2 minus logit 0."""

    class Contrast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            logits = self.network(images)
            return logits[:, 2] - logits[:, 0]

    return Contrast().eval()


def explain(name: str, network: nn.Module, work: Batch, **parameters: Any) -> Attribution:
    return attribute(method(name, **parameters), adapt(network), work)


def raw(name: str, network: nn.Module, work: Batch, **parameters: Any) -> Tensor:
    """The attributions with their channels, before the caller sums them."""
    model = adapt(network)
    with model.explaining():
        output = method(name, **parameters)(model, work)
    return (output.values if isinstance(output, Attribution) else output).detach()


def assert_equal_maps(found: Tensor, expected: Tensor, share: float = 1e-5) -> None:
    """Differences are measured against the largest value of the expected map, which must have one."""
    largest = float(expected.detach().abs().max())
    assert largest > 0
    assert_close(found, expected.detach().to(found.dtype), atol=share * largest, rtol=0)


def not_in_place(network: SmallCNN) -> SmallCNN:
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


# --- equal to captum -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "theirs", "options"),
    [
        ("saliency", {}, captum.Saliency, {"abs": True}),
        ("input_x_gradient", {}, captum.InputXGradient, {}),
        ("integrated_gradients", {"steps": 7}, captum.IntegratedGradients, {"n_steps": 7}),
        ("guided_backprop", {}, captum.GuidedBackprop, {}),
    ],
)
@pytest.mark.parametrize("size", [(SIZE, SIZE), (SIZE, 10)])
def test_a_contrast_equals_captum(name, parameters, theirs, options, size):
    network, images = not_in_place(SmallCNN()), 2 * draw(3)[:, :, : size[0], : size[1]] - 1
    found = raw(name, network, batch(images, 2, minus=0), **parameters)
    expected = theirs(contrast(network)).attribute(images.clone().requires_grad_(True), **options)
    assert_equal_maps(found, expected)


@pytest.mark.parametrize("minus", [None, 0])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus])
def test_deep_lift_equals_captum_for_every_activation_that_it_knows(activation, minus):
    """One image at a time: captum gives pooled pixels the slopes of the batch's first image.

    An average over single pixels keeps pooling and activation apart: of neighbours, captum's hooks see each other's
    gradient as it was before the rule.
    """
    layers = [nn.Conv2d(3, 4, 3), activation(), nn.AvgPool2d(1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), activation()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(100, 3)).double().eval()
    images = 2 * draw(2, side=SIZE).double() - 1
    found = raw("deep_lift", network, batch(images, 2, minus=minus))
    module, target = (network, 2) if minus is None else (contrast(network), None)
    for i in range(2):
        image = images[i : i + 1].clone().requires_grad_(True)
        expected = captum.DeepLift(module).attribute(image, target=target)
        assert_equal_maps(found[i : i + 1], expected)


def test_guided_grad_cam_equals_captum():
    network, images = not_in_place(SmallCNN()), 2 * draw(2) - 1
    model, work = adapt(network, "body.4"), batch(images, 1)
    found = attribute(method("guided_grad_cam"), model, work).values
    theirs = captum.GuidedGradCam(network, network.body[4])
    expected = theirs.attribute(images.clone().requires_grad_(True), target=1, interpolate_mode="bilinear")
    assert_equal_maps(found, expected.sum(dim=1))


def drawn(seed: int, samples: int) -> Tensor:
    """The noise of an image's copies: after each follows the seed for a base that draws itself."""
    generator, noise = torch.Generator().manual_seed(seed), []
    for _ in range(samples):
        noise.append(torch.randn(3, SIZE, SIZE, generator=generator))
        torch.randint(2**62, (), generator=generator)
    return torch.stack(noise)


@pytest.mark.parametrize(("name", "kind"), [("smooth_grad", "smoothgrad"), ("var_grad", "vargrad")])
@pytest.mark.parametrize(
    ("base", "theirs", "options"),
    [
        ("saliency", captum.Saliency, {}),
        ("input_x_gradient", captum.InputXGradient, {}),
        ("integrated_gradients", captum.IntegratedGradients, {"n_steps": 24}),
    ],
)
def test_smoothing_equals_captums_noise_tunnel_with_the_same_noise(name, kind, base, theirs, options, monkeypatch):
    network, images, samples = SmallCNN().double(), 3 * draw(2, side=SIZE).double(), 5
    found = raw(name, network, batch(images, 1, seed=70), base=base, samples=samples, noise=0.2)
    for i in range(2):
        image = images[i : i + 1]
        noisy = image + 0.2 * (image.max() - image.min()) * drawn(70 + i, samples)
        monkeypatch.setattr(captum.NoiseTunnel, "_add_noise_to_input", staticmethod(lambda *_, noisy=noisy: noisy))
        tunnel = captum.NoiseTunnel(theirs(network))
        expected = tunnel.attribute(image.clone(), nt_type=kind, nt_samples=samples, target=1, **options)
        assert_equal_maps(found[i : i + 1], expected, 1e-6)


def test_gradient_shap_equals_captum_with_the_same_draws(monkeypatch):
    network, image, samples = SmallCNN().double(), 3 * draw(1, side=SIZE).double(), 6
    found = raw("gradient_shap", network, batch(image, 1, seed=70), samples=samples, noise=0.2)
    generator, noise, shares = torch.Generator().manual_seed(70), [], []
    for _ in range(samples):
        noise.append(torch.randn(3, SIZE, SIZE, generator=generator))
        shares.append(float(torch.rand(1, generator=generator)))
    # captum draws which baseline and how far to go; its share counts from the baseline, too.
    monkeypatch.setattr(np.random, "choice", lambda count, size: np.arange(size))
    monkeypatch.setattr(np.random, "uniform", lambda *_: np.array(shares))
    baselines = (0.2 * (image.max() - image.min()) * torch.stack(noise)).double()
    expected = captum.GradientShap(network).attribute(image, baselines, n_samples=samples, stdevs=0.0, target=1)
    assert_equal_maps(found, expected, 1e-6)


# --- axioms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("input_x_gradient", {}),
        ("integrated_gradients", {}),
        ("deep_lift", {}),
        ("gradient_shap", {"noise": 0}),
        ("smooth_grad", {"base": "integrated_gradients", "noise": 0, "samples": 2}),
    ],
)
def test_the_map_of_a_linear_contrast_is_weight_times_input(name, parameters):
    network, images = LinearModel(), draw(2, side=8) - 0.5
    weight = network.weight.detach()
    found = explain(name, network, batch(images, 2, minus=1), **parameters)
    assert_close(found.values, ((weight[2] - weight[1]) * images).sum(dim=1), atol=1e-5, rtol=1e-5)
    if found.delta is not None:
        assert_close(found.delta, torch.zeros(2), atol=1e-5, rtol=0)


def test_saliency_is_the_magnitude_summed_over_channels():
    network, images = LinearModel(), draw(2, side=8) - 0.5
    expected = network.weight.detach()[1].abs().sum(dim=0)
    assert_close(explain("saliency", network, batch(images, 1)).values, torch.stack([expected, expected]))


def test_the_gradient_of_a_linear_model_does_not_vary():
    found = explain("var_grad", LinearModel(), batch(draw(1, side=8)))
    assert_close(found.values, torch.zeros(1, 8, 8), atol=1e-10, rtol=0)


def test_input_times_gradient_of_a_linear_model_varies_as_the_noise_does():
    network, images = LinearModel(), draw(1, side=8)
    found = raw("var_grad", network, batch(images, 1), base="input_x_gradient", samples=2000, noise=0.5)
    spread = 0.5 * (images.max() - images.min())
    expected = (network.weight.detach()[1] * spread) ** 2
    assert_close(found[0], expected, atol=1e-6, rtol=0.2)


@pytest.mark.parametrize("minus", [None, 0])
@pytest.mark.parametrize("name", ["saliency", "integrated_gradients", "deep_lift", "gradient_shap"])
def test_a_softmax_score_is_differentiated_through_the_softmax(name, minus):
    """Of a linear model the gradient is known: p_k (w_k - sum of p_j w_j)."""
    network, images = LinearModel().double(), 0.05 * (draw(2, side=8).double() - 0.5)
    weight, bias = network.weight.detach(), network.bias.detach()

    def slope(points: Tensor) -> Tensor:
        p = (torch.einsum("nchw,kchw->nk", points, weight) + bias).softmax(dim=1)
        mean = torch.einsum("nk,kchw->nchw", p, weight)
        slopes = p[:, :, None, None, None] * (weight[None] - mean[:, None])
        return slopes[:, 2] - (0 if minus is None else slopes[:, minus])

    shares = torch.linspace(0, 1, 2001).double()
    mean_slope = torch.stack([torch.trapezoid(slope(shares[:, None, None, None] * x), shares, dim=0) for x in images])
    expected = {
        "saliency": slope(images).abs(),
        # A linear network has one slope per logit and image: the way through the softmax is the straight one.
        "integrated_gradients": mean_slope * images,
        "deep_lift": mean_slope * images,
        "gradient_shap": mean_slope * images,
    }[name]
    work = replace(batch(images, 2, minus=minus), output="softmax")
    parameters, close = ({"samples": 3000, "noise": 0}, 2e-2) if name == "gradient_shap" else ({}, 1e-4)
    found = raw(name, network, work, **parameters)
    assert_equal_maps(found, expected, close)


# --- completeness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "parameters"), [("integrated_gradients", {"steps": 2}), ("deep_lift", {})])
def test_the_delta_is_the_completeness_error_as_a_share_of_the_rise(name, parameters):
    network, images = SmoothNet().float(), 6 * draw(2, side=15) - 3
    found = explain(name, network, batch(images, (0, 2)), **parameters)
    with torch.no_grad():
        rise = (network(images) - network(torch.zeros_like(images)))[[0, 1], [0, 2]]
    expected = (found.values.sum(dim=(1, 2)) - rise).abs() / rise.abs()
    assert_close(found.delta, expected, atol=1e-5, rtol=1e-3)


def test_the_delta_of_integrated_gradients_falls_with_steps():
    network, work = SmoothNet(), batch(6 * draw(2, side=15).double() - 3)
    deltas = [explain("integrated_gradients", network, work, steps=steps).delta for steps in (1, 8, 32)]
    assert (deltas[0] > 0.05).all()
    assert (deltas[1] < deltas[0]).all()
    assert (deltas[2] < 1e-4).all()


@pytest.mark.parametrize("name", ["integrated_gradients", "deep_lift"])
def test_the_delta_does_not_depend_on_the_batch(name):
    network, images = SmoothNet().float(), 6 * draw(4, side=15) - 3
    together = explain(name, network, batch(images, 1)).delta
    alone = torch.cat([explain(name, network, batch(images[i : i + 1], 1)).delta for i in range(4)])
    assert together.shape == (4,)
    assert together.dtype == torch.float32
    assert (together >= 0).all()
    assert_close(together, alone, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["integrated_gradients", "deep_lift"])
def test_the_delta_of_a_score_that_does_not_rise_is_zero(name):
    found = explain(name, SmallCNN(), batch(torch.zeros(2, 3, SIZE, SIZE)))
    assert torch.equal(found.delta, torch.zeros(2))
    assert torch.equal(found.values, torch.zeros(2, SIZE, SIZE))


def test_the_delta_is_not_a_share_of_rounding():
    """The score rises by 1e-7 and the map adds up to 0; where nothing rises and nothing is said, nothing is missed."""
    values = torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.6, 0.2]])[:, None, None]
    scores = torch.tensor([1 + 1e-7, 0, 1.5], dtype=torch.float64)
    reference = torch.tensor([1, 0, 0.5], dtype=torch.float64)
    delta = completeness_error(values.double(), scores, reference)
    assert_close(delta, torch.tensor([1e-7 / 4e-4, 0, 0.2]).double(), atol=1e-6, rtol=0)


class Gate(nn.Module):
    """Squeeze and excitation: a product of two things that both depend on the image."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.sigmoid(features.mean(dim=(2, 3), keepdim=True)) * F.silu(features)


def halved(features: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(features, features.shape[-1] // 2)


def by_statement(features: Tensor) -> Tensor:
    copy = features.clone()
    copy.relu_()
    return copy


def in_place(features: Tensor) -> Tensor:
    return F.relu(features.clone(), inplace=True)


def by_clamp(features: Tensor) -> Tensor:
    return features.clamp(min=0)


RELUS = [F.relu, torch.relu, nn.ReLU(), in_place, by_statement]


@pytest.mark.parametrize(
    "middle",
    [
        *RELUS,
        by_clamp,
        nn.GELU(),
        nn.Hardswish(),
        nn.ReLU6(),
        nn.PReLU(),
        Gate(),
        nn.MaxPool2d(3, 2, 1),
        lambda features: F.max_pool2d(features, 2, 1, ceil_mode=True),
        lambda features: torch.max_pool2d(features, 3, 2),
        halved,
    ],
    ids=lambda middle: getattr(middle, "__name__", type(middle).__name__),
)
def test_deep_lift_is_complete_however_the_network_is_written(middle):
    """Functional, shared, in-place: captum refuses these or gives a map that does not add up."""
    network, images = Written(middle).double(), 4 * draw(2, side=SIZE).double() - 2
    found = explain("deep_lift", network, batch(images, (2, 1)))
    assert (found.delta < 1e-5).all()
    plain = explain("input_x_gradient", network, batch(images, (2, 1)))
    assert not torch.allclose(found.values, plain.values, rtol=1e-3)


class Modules(Written):
    """The same network as `Written` with a ReLU, in the one way that captum's DeepLIFT understands."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.one, self.two = nn.ReLU(), nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.two(self.second(self.one(self.first(images)))).mean(dim=(2, 3)))


@pytest.mark.parametrize("written", RELUS)
def test_deep_lift_of_a_relu_is_the_same_however_it_is_written(written):
    images = 4 * draw(2, side=SIZE) - 2
    found = raw("deep_lift", Written(written), batch(images, 1))
    for i in range(2):
        expected = captum.DeepLift(Modules()).attribute(images[i : i + 1].clone().requires_grad_(True), target=1)
        assert_equal_maps(found[i : i + 1], expected)


def test_deep_lift_takes_the_gradient_where_pooling_sees_no_change():
    """Red minus green is 0 for a yellow image and for nothing: red still speaks for the score, green against it."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1, 0]] * 3)[:, :, None, None])
    images = torch.ones(1, 3, 4, 4)
    found = raw("deep_lift", network, batch(images))
    assert found.sum(dim=(0, 2, 3)).tolist() == [1, -1, 0]


def test_deep_lift_says_by_its_delta_where_its_rules_do_not_reach():
    class Normed(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return F.layer_norm(features, features.shape[1:])

    found = explain("deep_lift", Written(Normed()), batch(4 * draw(2, side=SIZE) - 2))
    assert (found.delta > 0.05).all()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_deep_lift_of_real_architectures_adds_up(name):
    """Shared in-place ReLUs, overlapping pooling, squeeze and excitation with Hardswish and SiLU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        network = getattr(torchvision_models, name)(num_classes=3).double().eval()
    before = Snapshot.of(network)
    found = explain("deep_lift", network, batch(2 * draw(2, side=32).double() - 1))
    assert (found.delta < 1e-3).all()
    assert found.values.abs().amax() > 0
    assert before.differences(Snapshot.of(network)) == []


def test_gradient_shap_adds_up_in_expectation():
    network, images = SmoothNet(), 2 * draw(1, side=15).double() - 1
    with torch.no_grad():
        rise = float((network(images) - network(torch.zeros_like(images)))[0, 0])
    total = float(explain("gradient_shap", network, batch(images), samples=400, noise=0).values.sum())
    assert total == pytest.approx(rise, rel=0.05)


# --- noise, seeds, passes --------------------------------------------------------------------------------------------


class Counting(SmallCNN):
    """Notes how many images it is shown at once."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        if hasattr(self, "shown"):
            self.shown.append(len(images))
        return super().forward(images)


@pytest.mark.parametrize("name", RANDOM)
def test_copies_of_several_images_fill_each_pass_and_no_more(name):
    network = Counting()
    network.shown.clear()
    explain(name, network, replace(batch(draw(3, side=SIZE)), rows=4), samples=5)
    assert network.shown == [4, 4, 4, 3]


def test_steps_of_several_images_fill_each_pass_and_no_more():
    network = Counting()
    network.shown.clear()
    explain("integrated_gradients", network, replace(batch(draw(3, side=SIZE)), rows=7), steps=5)
    # Five steps of three images, two steps at a time; then the images and zero, for the completeness error.
    assert network.shown == [6, 6, 3, 4]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [*((name, {}) for name in RANDOM), ("integrated_gradients", {}), ("smooth_grad", {"base": "gradient_shap"})],
)
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_the_map_does_not_depend_on_how_passes_are_cut(name, parameters, rows):
    network, work = SmallCNN(), batch(draw(3, side=SIZE), (0, 1, 2))
    expected = explain(name, network, work, **parameters).values
    found = explain(name, network, replace(work, rows=rows), **parameters).values
    assert_equal_maps(found, expected)


@pytest.mark.parametrize("name", RANDOM)
def test_each_image_draws_from_its_own_seed(name):
    network, image = SmallCNN(), draw(1, side=SIZE)
    first, other, again = explain(
        name, network, Batch(image.repeat(3, 1, 1, 1), batch(image).targets * 3, (5, 6, 5))
    ).values
    assert_equal_maps(first, again)
    assert not torch.allclose(first, other, rtol=1e-2)


def test_a_base_that_draws_itself_draws_anew_for_each_copy():
    """Without noise all copies are the same image: only GradientSHAP's own draws can make them differ."""
    work = batch(draw(1, side=SIZE))
    assert explain("var_grad", SmallCNN(), work, base="gradient_shap", noise=0).values.sum() > 0
    assert explain("var_grad", SmallCNN(), work, base="input_x_gradient", noise=0).values.sum() < 1e-12


def test_the_variance_of_one_copy_is_zero():
    found = explain("var_grad", SmallCNN(), batch(draw(2, side=SIZE)), samples=1)
    assert torch.equal(found.values, torch.zeros(2, SIZE, SIZE))


@pytest.mark.parametrize("name", ["smooth_grad", "var_grad"])
@pytest.mark.parametrize("base", ["guided_backprop", "guided_grad_cam", "smooth_grad", "var_grad", "grad_cam", "", 3])
def test_only_gradient_methods_that_are_evidence_can_be_smoothed(name, base):
    with pytest.raises(UnknownNameError, match="value for `base`"):
        method(name, base=base)


def test_a_misspelt_base_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean `saliency`"):
        method("smooth_grad", base="saliencey")


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("parameter", "value"), [("samples", 0), ("samples", 1.5), ("noise", -0.1), ("noise", 1.1)])
def test_a_parameter_of_the_noise_that_makes_no_sense_is_refused(name, parameter, value):
    with pytest.raises(ArgumentError, match=f"`{parameter}`"):
        method(name, **{parameter: value})


# --- guided backpropagation ------------------------------------------------------------------------------------------


def test_guided_methods_are_marked_as_no_evidence():
    assert {name for name, info in list_methods().items() if info.family == "gradient" and not info.evidence} == set(
        GUIDED
    )


@pytest.mark.parametrize("written", RELUS)
def test_guided_backprop_sees_every_relu_however_it_is_written(written):
    """By hand: the gradient of a ReLU's input is kept where both it and the input are positive."""
    network, images = Written(written), 4 * draw(2, side=SIZE) - 2
    first = network.first(images).detach()
    second = network.second(first.relu()).detach()
    by_head = network.head.weight.detach()[1][None, :, None, None].expand_as(second) / SIZE**2
    by_second = by_head.relu() * (second > 0)
    by_first = F.conv_transpose2d(by_second, network.second.weight.detach(), padding=1).relu() * (first > 0)
    expected = F.conv_transpose2d(by_first, network.first.weight.detach(), padding=1)
    assert_equal_maps(raw("guided_backprop", network, batch(images, 1)), expected)


def test_guided_backprop_takes_relu6_for_a_relu():
    images = draw(2, side=SIZE)
    found, expected = (raw("guided_backprop", Written(m), batch(images, 1)) for m in (nn.ReLU6(), nn.ReLU()))
    plain = raw("input_x_gradient", Written(nn.ReLU()), batch(images, 1)) / images
    assert_close(found, expected)
    assert not torch.allclose(found, plain, rtol=1e-2)


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize(
    ("activation", "said"), [(nn.GELU(), "gelu"), (nn.SiLU(), "silu"), (nn.Hardtanh(), "hardtanh")]
)
def test_a_network_without_relu_is_refused_by_guided_methods(name, activation, said):
    network = Written(activation)
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=f"Expected the network to have a ReLU, but its activations are {said}"):
        explain(name, network, batch(draw(1, side=SIZE)))
    assert before.differences(Snapshot.of(network)) == []


def test_nothing_but_hooks_of_the_user_meets_later_passes():
    """After guided backpropagation and DeepLIFT the plain gradient is what it was."""
    network, work = SmallCNN(), batch(draw(2, side=SIZE), 1)
    before = raw("saliency", network, work)
    for name in (*GUIDED, "deep_lift"):
        explain(name, network, work)
        assert torch.equal(raw("saliency", network, work), before)
