"""One suite for every registered method: what a caller may rely on, whatever the method."""

from __future__ import annotations

import json
import random
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import FAMILIES, get_method, list_methods, parameters_of
from fiftyone_saliency.models.batch import Batch
from tests.methods.networks import Networks, networks_of
from tests.oracles import PATCH, SIDE, Snapshot, adapt, argmax2d, batch, draw

METHODS = list_methods()
CONTROLS = {name for name, info in METHODS.items() if info.family == "control"}
NO_GRADIENT = CONTROLS | {name for name, info in METHODS.items() if info.family == "perturbation"}
NO_GRADIENT |= {"ablation_cam", "attention_rollout", "eigen_cam", "recipro_cam", "score_cam"}

pytestmark = pytest.mark.parametrize("name", METHODS)


def networks(name: str) -> Networks:
    return networks_of(METHODS[name].family)


@pytest.fixture
def explanation(name: str) -> None:
    """Only for what explains a model: a control never looks at it."""
    if name in CONTROLS:
        pytest.skip("a control does not look at the model")


def run(name: str, model: Any, images: Any) -> torch.Tensor:
    return attribute(get_method(name)[1], model, images).values


def other_parameters(name: str) -> dict[str, Any]:
    """Values that are not the defaults, in range for any count, share or switch."""
    changed = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2, str: lambda v: v}
    return {key: changed[kind](default) for key, (kind, default) in METHODS[name].parameters.items()}


def test_maps_are_finite_float32_on_the_cpu_one_per_image(name):
    maps = run(name, adapt(networks(name).small()), batch(draw(3)))
    assert maps.dtype == torch.float32
    assert maps.device.type == "cpu"
    assert maps.ndim == 3
    assert len(maps) == 3
    assert torch.isfinite(maps).all()
    assert not maps.requires_grad


def test_maps_cover_images_that_are_not_square(name):
    images = draw(2)[:, :, :24]
    maps = run(name, adapt(networks(name).small()), batch(images))
    assert maps.shape[2] / maps.shape[1] == SIDE / 24


def test_a_map_does_not_depend_on_its_batch(name):
    images, model = draw(3), adapt(networks(name).small())
    together = run(name, model, batch(images, (0, 1, 2)))
    for i in range(3):
        alone = run(name, model, Batch(images[i : i + 1], (Target(i, ""),), (1 + i,)))
        assert_close(together[i], alone[0], atol=1e-6, rtol=1e-4)


def test_the_same_seed_gives_the_same_map_whatever_was_drawn_before(name):
    model, work = adapt(networks(name).small()), batch(draw(2))
    first = run(name, model, work)
    torch.rand(3)
    assert torch.equal(run(name, model, work), first)


def test_the_random_numbers_of_the_caller_stay_as_they_are(name):
    def state() -> tuple[object, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    torch.manual_seed(12345)  # a state that no method leaves behind
    before = state()
    run(name, adapt(networks(name).small()), batch(draw(2)))
    assert state() == before


def touched(network: torch.nn.Module) -> torch.nn.Module:
    """Leave on a network what a user may have there: a hook, a gradient, mixed modes, frozen parameters."""
    parameters = list(network.parameters())
    parameters[0].grad = torch.ones_like(parameters[0])
    parameters[1].requires_grad_(False)
    for i, module in enumerate(network.modules()):
        module.training = i % 2 == 0
    next(network.children()).register_forward_hook(lambda *_: None)
    return network


@pytest.fixture
def network(name: str) -> torch.nn.Module:
    return touched(networks(name).small())


def test_nothing_is_left_on_the_model_or_the_images(name, network):
    images = draw(2)
    untouched, before = images.clone(), Snapshot.of(network)
    run(name, adapt(network), batch(images))
    assert before.differences(Snapshot.of(network)) == []
    assert torch.equal(images, untouched)
    assert not images.requires_grad
    assert images.grad is None


@pytest.mark.usefixtures("explanation")
def test_nothing_is_left_on_the_model_after_a_failing_forward(name):
    failing = touched(networks(name).failing(networks(name).small()))
    images, before = draw(2), Snapshot.of(failing)
    with pytest.raises(RuntimeError, match="the lamp is too bright"):
        run(name, adapt(failing, networks(name).layer), batch(images))
    assert before.differences(Snapshot.of(failing)) == []
    assert not images.requires_grad


@pytest.mark.usefixtures("explanation")
def test_nothing_is_left_on_the_model_after_a_keyboard_interrupt(name, network):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    network.head.register_forward_hook(interrupt)
    before = Snapshot.of(network)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run(name, adapt(network), batch(draw(2)))
    assert before.differences(Snapshot.of(network)) == []


@pytest.mark.parametrize(
    "setting",
    ["frozen", "no_grad", "inference_mode", "inference images", "training", "gradients", "channels last", "compiled"],
)
def test_the_map_does_not_depend_on_the_state_the_model_is_lent_in(name, setting):
    images = draw(2)
    expected = run(name, adapt(networks(name).small()), batch(images))
    network = networks(name).small()
    if setting == "frozen":
        network.requires_grad_(False)
    if setting == "training":
        network.train()
    if setting == "gradients":
        images.requires_grad_(True)
    if setting == "channels last":
        network, images = (x.to(memory_format=torch.channels_last) for x in (network, images))
    if setting == "compiled":
        network.compile(backend="eager")
    if setting == "inference images":
        with torch.inference_mode():
            images = images.clone()
    before = Snapshot.of(network)
    with torch.no_grad() if setting == "no_grad" else torch.inference_mode(setting == "inference_mode"):
        maps = run(name, adapt(network), batch(images))
    # Another layout adds the same numbers up in another order.
    tolerance = {"atol": 1e-6, "rtol": 1e-4} if setting == "channels last" else {"atol": 1e-7, "rtol": 1e-6}
    assert_close(maps, expected, **tolerance)
    assert before.differences(Snapshot.of(network)) == []


def test_half_precision_models_are_explained_in_float32(name):
    maps = run(name, adapt(networks(name).small().to(torch.bfloat16)), batch(draw(2).to(torch.bfloat16)))
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()


@pytest.mark.usefixtures("explanation")
@pytest.mark.parametrize("column", range(3))
def test_the_maximum_lies_in_the_patch_that_decides(name, column):
    """Classes differ in their patch's colour, and each image is brightest outside the patch."""
    if name == "var_grad":
        pytest.skip("the gradient of a linear model does not vary")
    images = 0.2 * draw(3)
    images[(slice(None), column, *PATCH)] = 0.6
    images[:, :, 30:36, 30:36] = 1
    maps = run(name, adapt(networks(name).patch()), batch(images, column)).numpy()
    for values in maps:
        row, at = argmax2d(values)
        cell = networks(name).cell
        assert values.shape == (SIDE // cell, SIDE // cell)
        assert PATCH[0].start <= row * cell < PATCH[0].stop
        assert PATCH[1].start <= at * cell < PATCH[1].stop


@pytest.mark.usefixtures("explanation")
def test_the_map_of_a_constant_model_is_zero(name):
    if name == "attention_rollout":
        pytest.skip("it shows where the network looks, whatever it answers")
    maps = run(name, adapt(networks(name).constant()), batch(draw(2)))
    assert torch.equal(maps, torch.zeros_like(maps))


def test_a_mixed_batch_of_plain_targets_and_contrasts_equals_each_alone(name):
    images, model = draw(2), adapt(networks(name).small())
    targets = (Target(1, "b"), Target(2, "c − a", 0))
    together = run(name, model, Batch(images, targets, (1, 2)))
    for i in range(2):
        alone = run(name, model, Batch(images[i : i + 1], targets[i : i + 1], (1 + i,)))
        assert_close(together[i], alone[0], atol=1e-6, rtol=1e-4)


def test_a_model_that_hides_its_gradient_is_refused_in_words(name):
    """A forward pass under no_grad is a common wrapper; only methods that need no gradient can explain it."""

    class Hidden(torch.nn.Sequential):
        @torch.no_grad()
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images)

    layer = networks(name).layer and "0.body.4"
    model, work = adapt(Hidden(networks(name).small()), layer), batch(draw(1))
    if name in NO_GRADIENT:
        assert torch.isfinite(run(name, model, work)).all()
        return
    with pytest.raises(ModelError, match="gradient"):
        run(name, model, work)


def test_parameters_survive_json(name):
    for parameters in ({}, other_parameters(name)):
        method = get_method(name, parameters)[1]
        stored = json.loads(json.dumps(parameters_of(method)))
        assert get_method(name, stored) == (name, method)
    assert parameters_of(method) == other_parameters(name)


def test_a_method_as_an_object_keeps_its_name_and_parameters(name):
    method = get_method(name, other_parameters(name))[1]
    assert get_method(method) == (name, method)


def test_a_method_is_a_frozen_dataclass_that_compares_by_value(name):
    method = get_method(name)[1]
    assert is_dataclass(method)
    assert method == get_method(name)[1]
    assert hash(method) == hash(get_method(name)[1])
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        method.anything = 1


def test_the_docstring_names_every_parameter_and_the_paper(name):
    info = METHODS[name]
    text = info.cls.__doc__
    assert info.summary == text.strip().splitlines()[0]
    assert info.summary.endswith(".")
    assert "References:" in text
    assert info.paper.startswith("https://")
    assert info.paper in text
    arguments = text.partition("Args:")[2].partition("References:")[0]
    for parameter in fields(info.cls):
        assert f"    {parameter.name}: " in arguments
    assert info.title
    assert info.family in FAMILIES
    assert info.name == name


def test_every_parameter_has_a_default_and_a_plain_type(name):
    """They make the operator's form."""
    for kind, default in METHODS[name].parameters.values():
        assert kind in {bool, int, float, str}
        assert isinstance(default, kind)


def test_every_number_has_bounds_and_nothing_beyond_them_is_taken(name):
    """They are what the form shows, and what stands between a slip of the finger and a run that never ends."""
    numbers = {
        key: (kind, default) for key, (kind, default) in METHODS[name].parameters.items() if kind in {int, float}
    }
    assert METHODS[name].bounds.keys() == numbers.keys()
    for key, (kind, default) in numbers.items():
        low, high = METHODS[name].bounds[key]
        assert low <= default <= high
        beyond = [
            low - 1,
            high + 1,
            10**12,
            10**400,
            float("inf"),
            float("nan"),
            -float("inf"),
            True,
            None,
            str(default),
        ]
        for value in [*beyond, float(default)] if kind is int else beyond:
            with pytest.raises(ArgumentError, match=f"Expected `{key}` to be"):
                get_method(name, {key: value})


def test_large_numbers_need_no_more_memory(name):
    """No forward pass holds more than `rows` images, whatever is asked for."""
    bounds = METHODS[name].bounds.items()
    large = {k: int(min(high, 150)) for k, (_, high) in bounds if METHODS[name].parameters[k][0] is int}
    if not large:
        pytest.skip("counts nothing")
    model = adapt(networks(name).small())
    seen: set[int] = set()
    model.module.register_forward_pre_hook(lambda _, inputs: seen.add(len(inputs[0])))
    with model.explaining():
        get_method(name, large)[1](model, replace(batch(draw(2)), rows=32))
    assert max(seen) <= 32
