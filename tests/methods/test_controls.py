"""The controls: maps that know nothing of the model, for trust checks to compare with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import list_methods
from tests.oracles import PatchModel, SmallCNN, adapt, batch, draw, method

CONTROLS = ("edge_detector", "random_map")


class Untouchable(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a control looked at the model")


def test_controls_are_hidden_and_no_evidence():
    controls = {name: info for name, info in list_methods().items() if info.family == "control"}
    assert tuple(controls) == CONTROLS
    assert all(info.hidden and not info.evidence and not info.needs_network for info in controls.values())


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_depends_on_neither_the_model_nor_the_target(name):
    images = draw(2)
    first, second, third = (
        attribute(method(name), adapt(network), batch(images, *columns)).values
        for network, columns in ((SmallCNN(), (0,)), (PatchModel(), (2, 1)), (Untouchable(), (1,)))
    )
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_the_random_map_is_uniform_and_its_seed_decides_alone():
    images = draw(2, side=64)[:, :, :32]
    maps = attribute(method("random_map"), adapt(SmallCNN()), batch(images, seed=5)).values
    other = attribute(method("random_map"), adapt(SmallCNN()), batch(torch.zeros_like(images), seed=6)).values
    assert maps.shape == (2, 32, 64)
    assert torch.equal(maps[1], other[0])
    assert not torch.equal(maps[0], maps[1])
    assert maps.min() >= 0
    assert maps.max() < 1
    quarters = torch.histc(maps, bins=4, min=0, max=1) / maps.numel()
    assert_close(quarters, torch.full((4,), 0.25), atol=0.03, rtol=0)


def test_the_edge_detector_finds_the_border_of_a_square_and_nothing_else():
    images = torch.zeros(1, 3, 24, 24)
    images[:, :, 8:16, 8:16] = 1
    (found,) = attribute(method("edge_detector"), adapt(SmallCNN()), batch(images)).values
    assert found[8:16, 7:9].min() > 0.2
    assert found[7:9, 8:16].min() > 0.2
    assert torch.equal(found[10:14, 10:14], torch.zeros(4, 4))
    assert torch.equal(found[:6], torch.zeros(6, 24))


def test_the_edge_detector_is_the_sobel_magnitude_of_opencv():
    """OpenCV's kernels are not normalised: they add up to 4 on each side; scikit-image takes the root mean square."""
    images = draw(2)[:, :, :, :24]
    found = attribute(method("edge_detector"), adapt(SmallCNN()), batch(images)).values
    for image, values in zip(images.mean(dim=1).numpy(), found, strict=True):
        across, down = (
            cv2.Sobel(image, cv2.CV_32F, *order, borderType=cv2.BORDER_REFLECT) for order in ((1, 0), (0, 1))
        )
        expected = np.sqrt((across**2 + down**2) / 2) / 4
        assert_close(values, torch.from_numpy(expected), atol=1e-6, rtol=1e-4)
