"""A model is tried with an image of the samples' own size: networks of one size work, a misfit is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ModelError
from tests.models_for_tests import CLASSES, add_pictures

SIDE = 36
QUIET = {"progress": False, "num_workers": 1}


class FixedNet(nn.Module):
    """A head over all positions of a feature map: it takes 36 × 36 pixels and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4 * 18 * 18, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(images)).flatten(1))


@pytest.fixture(scope="module")
def small(fo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(6):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(paths[-1])
    seen = [CLASSES[i % 3] for i in range(6)]
    dataset = add_pictures(fo.Dataset(), paths, seen, seen)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4:14, 4:14] = 1
    dataset.set_values("regions", [fo.Segmentation(mask=mask.copy()) for _ in paths])
    dataset.mask_targets["regions"] = {1: "square"}
    dataset.save()
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return FixedNet()


def only_36(image: Image.Image) -> Tensor:
    if image.size != (SIDE, SIDE):
        raise ValueError(f"36 × 36 only, not {image.size}")
    return transforms.ToTensor()(image)


@pytest.mark.parametrize("transform", [transforms.ToTensor(), only_36], ids=["any size", "this size only"])
def test_every_verb_takes_a_network_of_one_size(small, network, transform):
    model = fos.load_model(network, CLASSES, transform)
    assert fos.predict(small, model, "seen", **QUIET) == []
    run = fos.compute_saliency(small, model, "why", method="grad_cam", pred_field="seen", **QUIET)
    assert (run.counts.done, run.counts.failed) == (6, 0)
    # The same model in another object is the same, so that nothing is computed twice.
    again = fos.compute_saliency(
        small, fos.load_model(network, CLASSES, transform), "why", method="grad_cam", pred_field="seen", **QUIET
    )
    assert (again.key, again.counts.resumed) == (run.key, 6)
    assert fos.check_trust(small, model, "why", count=2, draws=1, **QUIET).run == run.key
    assert len(fos.faithfulness(small, model, "why", count=2, steps=2, **QUIET).ids) == 2
    assert len(fos.hide_region(small, model, "regions", "square", controls=1, **QUIET).failures) == 0
    assert len(fos.embed(small, model, **QUIET).ids) == 6
    fos.delete_run(small, "why")


def test_a_function_of_one_size_is_known_by_its_answers(small, network):
    def ask(images: Tensor) -> Tensor:
        return network(images)

    run = fos.compute_saliency(
        small, fos.load_model(ask, CLASSES, transforms.ToTensor()), "why", method="occlusion", **QUIET
    )
    assert run.counts.done == 6
    fos.delete_run(small, "why")


def test_a_misfit_is_an_error_of_the_model_that_says_both_sizes(dataset, pictures, network):
    add_pictures(dataset, pictures[:2], ["red", "green"])
    model = fos.load_model(network, CLASSES, transforms.ToTensor())
    for verb in (fos.predict, fos.compute_saliency, fos.embed):
        with pytest.raises(
            ModelError, match=r"image of 64 × 48 pixels, a tensor of shape \(3, 48, 64\), but it raised"
        ):
            verb(dataset, model, **QUIET)


def test_the_fingerprint_does_not_depend_on_the_data_where_any_size_fits():
    model = fos.load_model(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), CLASSES, transforms.ToTensor())
    assert model.for_size((36, 36)).fingerprint == model.fingerprint
    assert model.for_size((500, 375)).fingerprint == model.fingerprint
