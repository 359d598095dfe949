"""A twin with folded batch norms says the same; the model itself stays as it is, and what cannot be folded runs on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import efficientnet_b0, resnet18

from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.models.adapter import ModelAdapter
from fiftyone_saliency.models.folding import folded
from fiftyone_saliency.runtime.precision import in_precision
from fiftyone_saliency.runtime.worker import Explainer
from tests.oracles import PatchModel, adapt, method


def drawn(network: nn.Module) -> nn.Module:
    """Give the batch norms statistics and weights that do something."""
    generator = torch.Generator().manual_seed(51)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 2, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(generator=generator)
    return network.eval()


def norms(model: ModelAdapter) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.module.modules())


@pytest.mark.parametrize("build", [resnet18, efficientnet_b0])
def test_twin_says_the_same_and_the_model_stays_as_it_is(build):
    model = adapt(drawn(build()), classes=1000)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    state = {name: value.clone() for name, value in model.module.state_dict().items()}
    fingerprint = model.fingerprint

    twin = folded(model, ())

    assert twin is not model
    assert norms(twin) == 0 < norms(model)
    with torch.no_grad():
        assert torch.allclose(twin.logits(images), model.logits(images), rtol=1e-4, atol=1e-4)
    assert model.fingerprint == fingerprint
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.module.parameters())


def test_tensors_that_are_not_folded_are_shared():
    model = adapt(drawn(resnet18()), classes=1000)
    twin = folded(model, ())
    assert twin.module.fc.weight is model.module.fc.weight


def test_a_layer_that_is_looked_at_stays_what_it_is():
    model = adapt(drawn(resnet18()), classes=1000)
    kept = "layer4.1.conv2"
    twin = folded(model, (kept,))
    assert norms(twin) == 1
    assert isinstance(twin.module.get_submodule("layer4.1.bn2"), nn.BatchNorm2d)
    assert twin.module.get_submodule(kept).bias is None
    assert twin.cam_layer == model.cam_layer


class Twice(nn.Module):
    """The convolution's own output is used beside the normalised one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 1000)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        return self.head((self.norm(features) + features).mean(dim=(2, 3)))


class Shared(Twice):
    """One batch norm behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.conv(images)) + self.norm(self.second(images))
        return self.head(features.mean(dim=(2, 3)))


class NoCopy(Twice):
    """Two threads may not share a lock: such a network cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = torch.multiprocessing.get_context("spawn").RLock()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(images)).mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", [Twice, Shared, NoCopy])
def test_what_cannot_be_folded_runs_as_it_was_written(kind):
    model = adapt(drawn(kind()), classes=1000)
    assert folded(model, ()) is model


def test_network_without_batch_norm_is_its_own_twin():
    model = adapt(PatchModel())
    assert folded(model, ()) is model


@pytest.mark.parametrize(
    ("name", "precision", "fewer"),
    [
        ("grad_cam", "bfloat16", True),
        ("occlusion", "bfloat16", True),
        ("integrated_gradients", "bfloat16", False),
        ("lrp", "bfloat16", False),
        ("grad_cam", "float32", False),
    ],
)
def test_only_a_narrow_trunk_that_no_method_looks_into_is_folded(name, precision, fewer):
    model = adapt(drawn(resnet18()), classes=1000)
    explainer = in_precision(Explainer(model, method(name), (TargetSpec("class 1"),), 51), precision)
    assert explainer.precision == precision
    assert (norms(explainer.model) < norms(model)) is fewer
