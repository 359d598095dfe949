from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.methods import _registry
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method, list_methods, parameters_of, register_method
from tests.oracles import SmallCNN, Snapshot, adapt, batch, draw

BUILT_IN = ["grad_cam", "input_x_gradient", "integrated_gradients", "occlusion", "smooth_grad"]


@pytest.fixture
def entered() -> Iterator[dict[str, Any]]:
    """The registry, put back afterwards."""
    list_methods()
    kept = dict(_registry._METHODS)
    yield _registry._METHODS
    _registry._METHODS.clear()
    _registry._METHODS.update(kept)


def enter(name: str = "ones", module: str = "somewhere") -> type:
    @dataclass(frozen=True)
    class Ones:
        """Return a map of ones.

        More text.
        """

        value: float = 1.0

        def __call__(self, model: Any, batch: Any) -> Tensor:
            return torch.full_like(batch.images, self.value)

    Ones.__module__ = module
    return register_method(name, "Ones", family="perturbation", paper="https://example.org")(Ones)


def test_the_built_in_methods_are_listed_in_alphabetical_order():
    assert [name for name in list_methods() if name in BUILT_IN] == BUILT_IN
    assert list(list_methods()) == sorted(list_methods())


def test_a_method_of_ones_own_is_entered_by_one_decorator(entered):
    cls = enter()
    info = list_methods()["ones"]
    assert (info.cls, info.title, info.summary) == (cls, "Ones", "Return a map of ones.")
    assert info.parameters == {"value": (float, 1.0)}
    assert get_method("ones", {"value": 3.0}) == ("ones", cls(3.0))
    assert parameters_of(cls(3.0)) == {"value": 3.0}


def test_channels_of_a_method_are_summed(entered):
    maps = attribute(enter()(2.0), adapt(SmallCNN()), batch(draw(2, side=5))).values
    assert torch.equal(maps, torch.full((2, 5, 5), 6.0))


def test_a_taken_name_is_refused_and_reloading_the_same_module_is_not(entered):
    enter()
    assert enter() is list_methods()["ones"].cls
    with pytest.raises(ArgumentError, match="'ones' is taken by"):
        enter(module="elsewhere")


def test_an_unknown_method_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known method, but got 'gradcam'. Did you mean `grad_cam`"):
        get_method("gradcam")


def test_an_unknown_parameter_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"parameter of occlusion, but got 'windows'. Did you mean `window`"):
        get_method("occlusion", {"windows": 0.2})


@pytest.mark.parametrize("thing", [3, None, object(), SmallCNN])
def test_what_is_no_method_is_refused(thing):
    with pytest.raises(ArgumentError, match="Expected `method` to be a registered name or method"):
        get_method(thing)


def test_parameters_beside_a_method_object_are_not_dropped_in_silence():
    with pytest.raises(ArgumentError, match="parameters"):
        get_method(get_method("occlusion")[1], {"window": 0.5})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("integrated_gradients", {"steps": 0}, "`steps` to be an integer of at least 1, but got 0"),
        ("integrated_gradients", {"steps": 2.0}, "`steps` to be an integer of at least 1, but got 2.0"),
        ("smooth_grad", {"samples": 0}, "`samples` to be an integer of at least 1, but got 0"),
        ("smooth_grad", {"noise": -0.1}, "`noise` to be a number from 0 to 1, but got -0.1"),
        ("smooth_grad", {"noise": float("nan")}, "`noise` to be a number from 0 to 1, but got nan"),
        ("occlusion", {"window": 1.1}, "`window` to be a number from 0 to 1, but got 1.1"),
        ("occlusion", {"window": 0, "stride": 0}, "0 < `stride` <= `window`, but got stride 0"),
        ("occlusion", {"window": 0.1, "stride": 0.2}, "0 < `stride` <= `window`, but got stride 0.2"),
        ("occlusion", {"window": "0.2"}, "`window` to be a number from 0 to 1, but got '0.2'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(name, parameters, message):
    with pytest.raises(ArgumentError, match=message):
        get_method(name, parameters)


@pytest.mark.parametrize("shape", [(1, 5, 5), (2, 5), (2, 1, 3, 5, 5), (4, 5, 5)])
def test_a_method_that_returns_another_shape_is_refused(shape):
    def broken(model: Any, batch: Any) -> Tensor:
        return torch.zeros(shape)

    network = SmallCNN().train()
    before = Snapshot.of(network)
    with pytest.raises(ModelError, match=r"Expected function to return attributions \(N, C, h, w\) .* N=2"):
        attribute(broken, adapt(network), batch(draw(2, side=5)))
    assert before.differences(Snapshot.of(network)) == []
