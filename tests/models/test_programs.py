"""TorchScript, exported programs and quantised networks: black boxes, and a word on what to do for the rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.load import load
from tests.models_for_tests import CLASSES, CROP, ColourNet
from tests.oracles import batch

IMAGE = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(51))


class Doubtful(ColourNet):
    """One that answers differently in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.relu(self.conv(images)).mean(dim=(2, 3))))


def quietly(make: Callable[[], Any]) -> Callable[[], Any]:
    """PyTorch warns of what it is going to drop."""

    def made() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


def static_quantised() -> nn.Module:
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in torch.backends.quantized.supported_engines else "qnnpack"
    network = nn.Sequential(
        torch.ao.quantization.QuantStub(),
        ColourNet().conv,
        nn.ReLU(),
        torch.ao.quantization.DeQuantStub(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        ColourNet().head,
    ).eval()
    network[6].qconfig = None
    network.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = torch.ao.quantization.prepare(network)
    prepared(IMAGE)
    prepared[6].qconfig = None
    return torch.ao.quantization.convert(prepared)


BATCH = {0: torch.export.Dim("batch")}
PROGRAMS: dict[str, Callable[[], Any]] = {
    "scripted": quietly(lambda: torch.jit.script(Doubtful().train())),
    "traced": quietly(lambda: torch.jit.trace(ColourNet().eval(), IMAGE)),
    "frozen": quietly(lambda: torch.jit.freeze(torch.jit.trace(ColourNet().eval(), IMAGE))),
    "holding a traced part": quietly(lambda: nn.Sequential(torch.jit.trace(ColourNet().eval(), IMAGE), nn.Identity())),
    "exported": lambda: torch.export.export(ColourNet().eval(), (IMAGE,)),
    "exported for any batch": lambda: torch.export.export(
        ColourNet().eval(), (IMAGE.expand(2, -1, -1, -1),), dynamic_shapes=(BATCH,)
    ),
    "exported for two": lambda: torch.export.export(ColourNet().eval(), (IMAGE.expand(2, -1, -1, -1),)).module(),
    "dynamically quantised": quietly(lambda: torch.ao.quantization.quantize_dynamic(ColourNet().eval(), {nn.Linear})),
    "quantised": quietly(static_quantised),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_perturbation_methods_explain_it_as_the_network_itself(kind):
    model, own = load(PROGRAMS[kind](), CLASSES, CROP), load(ColourNet(), CLASSES, CROP)
    images = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(7))
    images[:, 0, 8:20, 8:20] = 1.0
    tolerance = 0.1 if "quantised" in kind else 1e-5
    assert not model.differentiable
    torch.testing.assert_close(model.logits(images), own.logits(images).detach(), rtol=tolerance, atol=tolerance)
    found, expected = (attribute(get_method("occlusion")[1], m, batch(images, 0)).values for m in (model, own))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients", "eigen_cam"])
def test_a_method_that_looks_inside_says_what_to_do_before_any_work(kind, method, colours):
    schema = set(colours.get_field_schema())
    model = load(PROGRAMS[kind](), CLASSES, CROP)
    reason = "is a black box.*Choose one of feature_ablation.*occlusion.*build the network .* weights=path"
    with pytest.raises(ModelError, match=reason):
        fos.compute_saliency(colours, model, method=method, progress=False)
    assert set(colours.get_field_schema()) == schema


def test_its_mode_is_as_it_was():
    scripted = PROGRAMS["scripted"]()
    assert torch.equal(*(load(scripted, CLASSES, CROP).logits(IMAGE) for _ in range(2)))
    assert scripted.training
    assert scripted.dropout.training


@pytest.mark.parametrize("kind", PROGRAMS)
def test_its_fingerprint_is_that_of_its_weights(kind, monkeypatch):
    first, again = (load(PROGRAMS[kind](), CLASSES, CROP).fingerprint for _ in range(2))
    assert first == again
    create = ColourNet.__init__

    def heavier(self: ColourNet) -> None:
        create(self)
        with torch.no_grad():
            self.head.weight.mul_(1.5)

    monkeypatch.setattr(ColourNet, "__init__", heavier)
    assert load(PROGRAMS[kind](), CLASSES, CROP).fingerprint != first


@pytest.mark.parametrize("wrap", [torch.fx.symbolic_trace, nn.DataParallel], ids=["fx", "DataParallel"])
def test_a_network_that_can_be_looked_into_is_no_black_box(wrap, colours):
    model = load(wrap(ColourNet().eval()), CLASSES, CROP)
    assert model.differentiable
    run = fos.compute_saliency(colours, model, method="grad_cam", progress=False)
    assert run.counts.done == 12
    assert run.counts.no_evidence == 0
