"""A network that lets no gradient pass is an error, not a run of empty maps; a gradient of zero is no such network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method, list_methods
from fiftyone_saliency.models.load import load
from tests.models_for_tests import CLASSES, CROP, BlindNet, state_of
from tests.oracles import batch

FREE = {"ablation_cam", "eigen_cam", "recipro_cam", "score_cam"}
GRADIENT = [
    name
    for name, info in list_methods().items()
    if info.family in {"cam", "gradient", "propagation"} and name not in FREE and info.cls.__module__.startswith("fift")
]


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()


class NothingBack(NoBackward):
    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        return None


def under(context: Callable[[], Any]) -> Callable[[nn.Module, Tensor], Tensor]:
    def run(part: nn.Module, values: Tensor) -> Tensor:
        with context():
            return part(values)

    return run


def after(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda part, values: change(part(values))


GAIN = torch.ones((), requires_grad=True)
CUTS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "no_grad": under(torch.no_grad),
    "inference_mode": under(torch.inference_mode),
    "detach": after(Tensor.detach),
    "detach and a gain": after(lambda x: x.detach() * GAIN),
    "a new leaf": after(lambda x: x.detach().requires_grad_(True)),
    "integers": after(lambda x: (64 * x).long().float() / 64),
    "rounding": after(lambda x: (64 * x).round() / 64),
    "floor in place": after(lambda x: (64 * x).floor_() / 64),
    "steps": after(lambda x: torch.where(x > 0.01, torch.ones_like(x), torch.zeros_like(x))),
    "numpy": after(lambda x: torch.from_numpy(x.detach().numpy().copy())),
    "no backward": after(NoBackward.apply),
    "nothing back": after(NothingBack.apply),
}


class Cut(nn.Module):
    """Convolutions, then something that no gradient passes, then a head; with it or without it, it works."""

    def __init__(self, way: str) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(51)
        self.conv = nn.Conv2d(3, 4, 4, stride=4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 3)
        self.way = way
        for parameter in self.parameters():
            parameter.data = torch.rand(parameter.shape, generator=generator) - 0.3

    def forward(self, images: Tensor) -> Tensor:
        trunk = nn.Sequential(self.conv, self.relu)
        features = CUTS[self.way](trunk, images) if self.way in CUTS else trunk(images)
        return self.head(features.mean(dim=(2, 3)))


def maps_of(name: str, network: nn.Module) -> Tensor:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    return attribute(get_method(name)[1], load(network, CLASSES, CROP), batch(images, 1)).values


@pytest.mark.parametrize("way", CUTS)
@pytest.mark.parametrize("name", GRADIENT)
def test_a_gradient_that_is_cut_is_an_error(name, way):
    with pytest.raises(ModelError, match="Expected "):
        maps_of(name, Cut(way))


@pytest.mark.parametrize("way", ["no_grad", "rounding", "nothing back"])
@pytest.mark.parametrize("name", [*sorted(FREE), "occlusion"])
def test_what_needs_no_gradient_works(name, way):
    assert maps_of(name, Cut(way)).any()


@pytest.mark.parametrize("name", [name for name in GRADIENT if not name.startswith("lrp")])
def test_a_gradient_of_zero_is_no_cut(name):
    """Nothing speaks for any class: empty maps, which are counted."""
    assert not maps_of(name, BlindNet()).any()


@pytest.mark.parametrize("method", ["grad_cam", "fused_cam", "integrated_gradients", "smooth_grad", "saliency"])
@pytest.mark.parametrize("way", ["detach and a gain", "rounding", "nothing back"])
def test_a_run_stops_before_anything_is_changed(steady, method, way):
    before = state_of(steady)
    model = load(Cut(way), CLASSES, CROP, layer="relu")
    with pytest.raises(ModelError, match=r"choose a (perturbation )?method"):
        fos.compute_saliency(steady, model, "new", method=method, progress=False)
    assert state_of(steady) == before
