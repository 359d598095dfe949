"""Faithfulness by hand: curves of a known function, maps that are right, random and wrong, and captum's own numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import Saliency
from captum.metrics import infidelity, sensitivity_max
from torch import Generator, nn

from fiftyone_saliency.runtime.faithfulness import PERTURBATIONS, RADIUS, Prober, draw_squares
from fiftyone_saliency.runtime.substrate import blend, substrate_of
from tests.oracles import (
    PATCH,
    SIDE,
    Failing,
    LinearModel,
    PatchModel,
    SmallCNN,
    Snapshot,
    adapt,
    batch,
    draw,
    method,
    resize,
)

STEEP = 6.0


class Mean(nn.Module):
    """Two logits: six times the mean of the image, and 0. White is removed pixel by pixel: the mean is what stays."""

    def forward(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([STEEP * mean, torch.zeros_like(mean)], dim=1)


def prober(module, name="saliency", steps=40, substrate="mean", **options):
    return Prober(adapt(module, **options), method(name), steps, substrate)


def flat_patch() -> torch.Tensor:
    """Red in the patch, green elsewhere, with noise: an image whose answer is red by the patch alone."""
    images = 0.2 * draw(1)
    images[:, 1] += 0.5
    images[(0, slice(None), *PATCH)] = torch.tensor([0.9, 0.0, 0.0])[:, None, None]
    return images


def oracle() -> np.ndarray:
    saliency = np.zeros((SIDE, SIDE), np.float32)
    saliency[PATCH] = 1
    return saliency


def test_the_deletion_curve_of_a_known_function_has_its_known_area():
    """∫ σ(6 (1 − f)) df = (log(1 + e⁶) − log 2) / 6, for any map, since only the number of pixels counts."""
    area = (np.log1p(np.exp(STEEP)) - np.log(2)) / STEEP
    white = batch(torch.ones(1, 3, 20, 20))
    saliency = np.random.default_rng(51).random((20, 20)).astype(np.float32)
    measure = prober(Mean(), steps=100, substrate="zero", transform=resize(20), classes=2)
    found = measure(white, saliency, ("deletion", "insertion"))
    for value, chance in found.values():
        assert value == pytest.approx(area, abs=1e-4)
        assert chance == pytest.approx(area, abs=1e-4)


def test_each_step_removes_its_share_of_the_pixels_and_no_other():
    """With four steps the means are 1, 3/4, 1/2, 1/4 and 0, however many pixels of the map are tied."""
    levels = 1 / (1 + np.exp(-STEEP * np.array([1, 0.75, 0.5, 0.25, 0])))
    expected = float((levels[:-1] + levels[1:]).mean() / 2)
    tied = np.zeros((20, 20), np.float32)
    tied[3, 4] = 1
    measure = prober(Mean(), steps=4, substrate="zero", transform=resize(20), classes=2)
    ((value, _),) = measure(batch(torch.ones(1, 3, 20, 20)), tied, ("deletion",)).values()
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["deletion", "insertion", "road"])
@pytest.mark.parametrize("substrate", ["mean", "blur", "zero"])
def test_the_right_map_beats_a_random_one_and_that_beats_the_wrong_one(name, substrate):
    measure = prober(PatchModel(), substrate=substrate)
    images = batch(flat_patch())
    (right, chance), (wrong, _) = (measure(images, saliency, (name,))[name] for saliency in (oracle(), -oracle()))
    if name == "insertion":
        assert right > chance + 0.01
        assert chance > wrong + 0.01
    else:
        assert right < chance - 0.01
        assert chance < wrong - 0.01


def test_a_map_that_is_equal_everywhere_has_no_order_but_chance_has():
    found = prober(PatchModel())(batch(flat_patch()), np.zeros((SIDE, SIDE), np.float32), ("deletion", "road"))
    assert all(value is None and chance is not None for value, chance in found.values())


def test_infidelity_of_a_map_that_adds_up_is_nothing():
    """Of a linear model, what a square takes away is the sum of w · x over it, which is the map's own."""
    measure = prober(LinearModel(), "input_x_gradient", substrate="zero", transform=resize(8))
    images = batch(draw(1, side=8))
    value, chance = measure(images, np.ones((8, 8), np.float32), ("infidelity",))["infidelity"]
    assert value == pytest.approx(0, abs=1e-8)
    assert chance > 0.1


def test_infidelity_is_captum_s_own():
    model, images = adapt(SmallCNN()), batch(draw(1), plus=2)
    value, chance = Prober(model, method("saliency"), 10, "blur")(images, oracle(), ("infidelity",))["infidelity"]
    filling, generator = substrate_of(images.images, "blur"), Generator().manual_seed(images.seeds[0])

    def perturb(copies):
        squares = draw_squares(len(copies), (SIDE, SIDE), generator)
        return squares.expand_as(copies), blend(copies, filling, squares)

    attributions = Saliency(model.module).attribute(images.images.clone().requires_grad_(), target=2)
    spread = attributions.sum(dim=1, keepdim=True).expand_as(attributions) / 3
    expected = infidelity(
        model.module, perturb, images.images, spread, target=2, n_perturb_samples=PERTURBATIONS, normalize=True
    )
    assert value == pytest.approx(float(expected), rel=1e-4)
    assert value < chance


def test_sensitivity_is_captum_s_own():
    model, images = adapt(SmallCNN()), batch(draw(1), plus=1)
    value, chance = Prober(model, method("saliency"), 10, "blur")(images, oracle(), ("sensitivity",))["sensitivity"]
    generator = Generator().manual_seed(images.seeds[0])
    radius = RADIUS * float(images.images.max() - images.images.min())

    def explain(copies):
        with torch.enable_grad():
            return (Saliency(model.module).attribute(copies.requires_grad_(), target=1).sum(dim=1),)

    expected = sensitivity_max(
        lambda copies: explain(copies[0] if isinstance(copies, tuple) else copies),
        images.images,
        lambda copies: copies + radius * (2 * torch.rand(copies.shape, generator=generator) - 1),
        n_perturb_samples=PERTURBATIONS,
    )
    assert value == pytest.approx(float(expected), rel=1e-4)
    assert value > 0
    assert chance is None


def test_the_gradient_of_a_linear_model_is_not_sensitive_at_all():
    measure = prober(LinearModel(), transform=resize(8))
    assert measure(batch(draw(1, side=8)), np.ones((8, 8), np.float32), ("sensitivity",)) == {"sensitivity": (0, None)}


def test_rows_do_not_matter_and_seeds_decide():
    measure = prober(SmallCNN())
    names = ("deletion", "insertion", "road", "infidelity", "sensitivity")
    images = batch(draw(1))
    one, other, again = (measure(replace(images, rows=rows), oracle(), names) for rows in (32, 5, 32))
    for name in names:
        assert one[name][0] == pytest.approx(other[name][0], rel=1e-4, abs=1e-6), name
        assert name == "sensitivity" or one[name][1] == pytest.approx(other[name][1], rel=1e-4, abs=1e-6), name
    assert one == again
    assert one["deletion"] != measure(replace(images, seeds=(9,)), oracle(), names)["deletion"]


def test_the_model_is_given_back_also_after_an_exception():
    for module, works in ((SmallCNN(), True), (Failing(SmallCNN()), False)):
        module.train()
        before = Snapshot.of(module)
        names = ("deletion", "infidelity", "sensitivity")
        if works:
            prober(module)(batch(draw(1)), oracle(), names)
        else:
            with pytest.raises(RuntimeError, match="too bright"):
                prober(module)(batch(draw(1)), oracle(), names)
        assert before.differences(Snapshot.of(module)) == []


def test_squares_are_a_quarter_of_each_side_and_lie_anywhere():
    squares = draw_squares(200, (40, 20), Generator().manual_seed(51))
    areas = squares.sum(dim=(1, 2, 3))
    assert areas.max() == 10 * 5
    assert areas.min() >= 5 * 2
    assert squares.amax(dim=0).min() == 1, "every pixel is asked about"
