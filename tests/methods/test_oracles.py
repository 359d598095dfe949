"""Each method against a map that is known by hand, and against the others where they must agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch.testing import assert_close

from fiftyone_saliency.methods._attribute import attribute as checked
from tests.oracles import (
    PATCH,
    SIDE,
    LinearModel,
    OneConv,
    PatchModel,
    SmallCNN,
    SmoothNet,
    ThreePixels,
    adapt,
    batch,
    draw,
    method,
)

AREA = 64


def attribute(*arguments: Any) -> torch.Tensor:
    return checked(*arguments).values


SINGLE_PIXELS = {"window": 1 / 8, "stride": 1 / 8}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("input_x_gradient", {}),
        ("integrated_gradients", {"steps": 1}),
        ("integrated_gradients", {"steps": 24}),
        ("occlusion", SINGLE_PIXELS),
    ],
)
def test_the_map_of_a_linear_model_is_weight_times_input(name, parameters):
    network, images = LinearModel(), draw(2, side=8) - 0.5
    maps = attribute(method(name, **parameters), adapt(network), batch(images, (2, 1)))
    expected = (network.weight.detach()[[2, 1]] * images).sum(dim=1)
    assert_close(maps, expected, atol=1e-5, rtol=1e-5)


def test_the_map_of_a_linear_contrast_is_the_difference_of_weights_times_input():
    network, images = LinearModel(), draw(2, side=8) - 0.5
    weight = network.weight.detach()
    maps = attribute(method("integrated_gradients"), adapt(network), batch(images, 2, minus=1))
    assert_close(maps, ((weight[2] - weight[1]) * images).sum(dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 0.15, 1.0])
def test_smooth_grad_of_a_linear_model_is_the_magnitude_of_its_weights_whatever_the_noise(noise):
    network = LinearModel()
    maps = attribute(method("smooth_grad", noise=noise), adapt(network), batch(draw(1, side=8), 1))
    assert_close(maps[0], network.weight.detach()[1].abs().sum(dim=0), atol=1e-5, rtol=1e-5)


def test_smooth_grad_without_noise_is_the_magnitude_of_the_gradient():
    network, images = SmallCNN(), draw(2)
    asked = images.clone().requires_grad_(True)
    network(asked)[:, 1].sum().backward()
    maps = attribute(method("smooth_grad", noise=0, samples=1), adapt(network), batch(images, 1))
    assert_close(maps, asked.grad.abs().sum(dim=1))


def test_smooth_grad_averages_what_its_seed_draws():
    """The same noise drawn by hand: its spread is a share of the image's own range."""
    network, image = SmallCNN(), 4 * draw(1)
    maps = attribute(method("smooth_grad", samples=3, noise=0.2), adapt(network), batch(image, 1, seed=77))
    spread = 0.2 * (image.max() - image.min())
    noisy = (image + spread * drawn_noise(77, 3)).requires_grad_(True)
    network(noisy)[:, 1].sum().backward()
    assert_close(maps[0], noisy.grad.abs().mean(dim=0).sum(dim=0), atol=1e-6, rtol=1e-3)


def drawn_noise(seed: int, count: int) -> torch.Tensor:
    """The noise of each copy, and after it the seed of a base that draws itself."""
    generator, noise = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        noise.append(torch.randn(3, SIDE, SIDE, generator=generator))
        torch.randint(2**62, (), generator=generator)
    return torch.stack(noise)


def test_smooth_grad_depends_on_the_seed():
    first, second = (attribute(method("smooth_grad"), adapt(SmallCNN()), batch(draw(1), seed=seed)) for seed in (1, 2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "occlusion"])
def test_a_contrast_is_the_difference_of_two_maps_where_nothing_is_rectified(name):
    model, images = adapt(SmallCNN()), draw(2)
    first, second, contrast = (
        attribute(method(name), model, batch(images, *columns)) for columns in ((2,), (0,), (2, 0))
    )
    assert_close(contrast, first - second, atol=1e-6, rtol=1e-4)


def patch_images() -> torch.Tensor:
    """Grey but for the patch: more red in its upper half, more blue in its lower one."""
    images = torch.full((1, 3, SIDE, SIDE), 0.1)
    images[0, 0, 16:20, 8:16] = 0.9
    images[0, 2, 20:24, 8:16] = 0.9
    return images


def in_patch(values: torch.Tensor) -> torch.Tensor:
    frame = torch.zeros(1, SIDE, SIDE)
    frame[(0, *PATCH)] = values
    return frame


@pytest.mark.parametrize(
    ("plus", "minus", "upper", "lower"), [(0, None, 0.9, 0.1), (0, 2, 0.8, 0.0), (2, 0, 0.0, 0.8), (1, None, 0.1, 0.1)]
)
def test_grad_cam_of_the_patch_model_is_its_colour_in_the_patch(plus, minus, upper, lower):
    """Each feature has the same gradient 1/area, so the map is the rectified colour itself."""
    maps = attribute(method("grad_cam"), adapt(PatchModel()), batch(patch_images(), plus, minus))
    colour = torch.full((8, 8), upper)
    colour[4:] = lower
    assert_close(maps, in_patch(colour) / AREA, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("minus", "channels"), [(None, 1), (2, 2)])
def test_smooth_grad_of_the_patch_model_is_flat_in_the_patch(minus, channels):
    maps = attribute(method("smooth_grad"), adapt(PatchModel()), batch(patch_images(), 0, minus))
    assert_close(maps, in_patch(torch.tensor(channels / AREA)), atol=1e-7, rtol=1e-5)


def test_grad_cam_of_captums_worked_example():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    maps = attribute(method("grad_cam"), adapt(OneConv(), "conv1", classes=4), batch(images))
    assert maps.tolist() == [[[11.25, 13.5], [20.25, 22.5]]]


@pytest.mark.parametrize(
    ("pixels", "stride", "baseline", "expected"),
    [
        (1, 1, 0, [80, 200, 120]),
        (2, 2, 0, [280, 280, 120]),
        # a pixel under two windows: the mean of both falls
        (2, 1, 0, [280, 300, 320]),
        (2, 1, 10, [200, 220, 240]),
    ],
)
def test_occlusion_of_captums_worked_example(pixels, stride, baseline, expected):
    """The pixels are 20, 50, 30; a baseline of 10 is the same as a model that adds 10 to an input 10 smaller."""
    images = torch.tensor([20.0, 50, 30]).view(1, 1, 1, 3) - baseline
    occlusion = method("occlusion", window=pixels / 3, stride=stride / 3)
    maps = attribute(occlusion, adapt(ThreePixels(baseline), classes=2), batch(images))
    assert_close(maps, torch.tensor([[expected]], dtype=torch.float32))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("window", "stride", "pixels"), [(0.2, 0.1, (8, 6, 4, 3)), (0.5, 0.5, (20, 15, 20, 15)), (0.3, 0.07, (12, 9, 3, 2))]
)
def test_occlusion_equals_captum_with_one_window_per_forward(window, stride, pixels, count):
    network, images = SmallCNN(), draw(count)[:, :, :, :30]
    maps = attribute(method("occlusion", window=window, stride=stride), adapt(network), batch(images, 1))
    rows, columns, down, right = pixels
    with torch.no_grad():
        expected = CaptumOcclusion(network).attribute(
            images, (3, rows, columns), (3, down, right), target=1, perturbations_per_eval=1
        )
    assert_close(maps, expected[:, 0], atol=1e-5, rtol=1e-4)


def test_occlusion_of_the_whole_image_is_the_score_without_it():
    network, images = SmallCNN(), draw(2)
    maps = attribute(method("occlusion", window=1, stride=1), adapt(network), batch(images, 1))
    with torch.no_grad():
        fall = network(images)[:, 1] - network(torch.zeros_like(images))[:, 1]
    assert_close(maps, fall[:, None, None].expand(2, SIDE, SIDE), atol=1e-6, rtol=1e-4)


def test_integrated_gradients_add_up_to_the_rise_of_the_score():
    """Completeness, in float64 on a network without kinks, where the quadrature converges to rounding."""
    network, images = SmoothNet(), 3 * draw(2, side=15).double() - 1
    model, work = adapt(network), batch(images, (0, 2))
    attributions = method("integrated_gradients", steps=32)(model, work)
    with torch.no_grad():
        rise = network(images) - network(torch.zeros_like(images))
    assert_close(attributions.values.sum(dim=(1, 2, 3)), rise[[0, 1], [0, 2]], atol=1e-9, rtol=0)


def test_integrated_gradients_come_closer_with_more_steps():
    network, images = SmoothNet(), 6 * draw(1, side=15).double() - 3
    with torch.no_grad():
        rise = float((network(images) - network(torch.zeros_like(images)))[0, 0])
    gaps = [
        abs(float(method("integrated_gradients", steps=steps)(adapt(network), batch(images)).values.sum()) - rise)
        for steps in (1, 4, 16)
    ]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def test_input_x_gradient_is_the_first_step_of_the_score():
    network, images = SmallCNN(), draw(1)
    asked = images.clone().requires_grad_(True)
    network(asked)[0, 1].backward()
    maps = attribute(method("input_x_gradient"), adapt(network), batch(images, 1))
    assert_close(maps, (asked.grad * images).sum(dim=1))
