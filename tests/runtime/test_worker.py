from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from fiftyone_saliency.core.targets import TargetSpec, parse_target
from fiftyone_saliency.core.types import SaliencyMap, SampleItem, Target
from fiftyone_saliency.runtime.loading import load_ahead
from fiftyone_saliency.runtime.worker import ChunkResult, Explainer, Predictor
from tests.oracles import CLASSES, Failing, NaNModel, PatchModel, SmallCNN, Snapshot, adapt, load_chunk, loaded, method

METHODS = ["grad_cam", "input_x_gradient", "integrated_gradients", "occlusion", "smooth_grad"]
RED = TargetSpec("red")


def explainer(network: nn.Module, name: str = "grad_cam", target: TargetSpec = RED, **options: Any) -> Explainer:
    return Explainer(adapt(network, options.pop("layer", None)), method(name), (target,), 51, **options)


def by_id(result: ChunkResult[Any]) -> dict[str, Any]:
    return {entry.sample_id: entry for entry in result.results}


def assert_equal_maps(found: dict[str, SaliencyMap], expected: dict[str, SaliencyMap]) -> None:
    assert found.keys() == expected.keys()
    for key, one in found.items():
        np.testing.assert_allclose(one.values, expected[key].values, atol=1e-6, rtol=1e-4)
        assert one.score == pytest.approx(expected[key].score, rel=1e-5)
        assert one.target == expected[key].target


@pytest.fixture
def white(tmp_path: Path) -> str:
    """An image that is brighter than all drawn ones, from its first pixel on."""
    Image.new("RGB", (64, 48), (255, 255, 255)).save(tmp_path / "white.png")
    return str(tmp_path / "white.png")


@pytest.mark.parametrize("name", METHODS)
def test_one_bad_image_is_one_failure_and_the_others_have_the_maps_they_have_without_it(pictures, tmp_path, name):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 no more")
    explain = explainer(SmallCNN(), name)
    expected = by_id(explain(load_chunk(pictures[:4], explain.model))[0])
    result = explain(load_chunk([*pictures[:2], str(bad), pictures[3]], explain.model))[0]
    (failure,) = result.failures
    assert (failure.sample_id, failure.filepath, failure.kind) == ("2", str(bad), "error")
    assert failure.reason.startswith("the image cannot be read: ")
    del expected["2"]
    assert_equal_maps(by_id(result), expected)


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_fails_for_one_image_costs_that_image_only(pictures, white, name):
    explain = explainer(Failing(SmallCNN(), limit=0.9), name, layer="network.body.4")
    before = Snapshot.of(explain.model.module)
    expected = by_id(explain(load_chunk(pictures[:4], explain.model))[0])
    assert len(expected) == 4
    result = explain(load_chunk([*pictures[:4], white], explain.model))[0]
    (failure,) = result.failures
    assert (failure.sample_id, failure.kind) == ("4", "error")
    assert failure.reason == "RuntimeError: the lamp is too bright"
    assert_equal_maps(by_id(result), expected)
    assert before.differences(Snapshot.of(explain.model.module)) == []


@pytest.mark.parametrize("through_gradient", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_nan_logits_are_a_failure_of_their_image(pictures, white, name, through_gradient):
    """Also where the gradient is finite: a map of an undefined score explains nothing."""
    explain = explainer(NaNModel(through_gradient), name)
    expected = by_id(explain(load_chunk(pictures[1:4], explain.model))[0])
    result = explain(load_chunk([*pictures[1:4], white], explain.model))[0]
    (failure,) = result.failures
    assert (failure.sample_id, failure.kind) == ("3", "error")
    assert "not finite" in failure.reason
    assert len(expected) == 3
    assert_equal_maps(by_id(result), expected)


def test_nan_logits_are_no_prediction(pictures, white):
    model = adapt(NaNModel())
    result = Predictor(model)(load_chunk([pictures[1], white], model))
    assert list(by_id(result)) == ["0"]
    assert [(f.sample_id, f.reason) for f in result.failures] == [("1", "the logits are not finite")]


def test_inputs_of_unlike_shapes_may_share_a_chunk(pictures, tmp_path):
    """A transform without a fixed output size, as detectors and dense networks have."""
    tall = tmp_path / "tall.png"
    Image.open(pictures[1]).transpose(Image.Transpose.TRANSPOSE).save(tall)
    model = adapt(SmallCNN(), transform=transforms.Compose([transforms.Resize(40), transforms.ToTensor()]))
    explain = Explainer(model, method("integrated_gradients"), (RED,), 51)
    paths = [pictures[0], str(tall), pictures[2]]
    chunk = load_chunk(paths, model)
    assert len({entry.tensor.shape for entry in loaded(chunk)}) == 2
    result = explain(chunk)[0]
    assert result.failures == []
    assert {key: m.values.shape for key, m in by_id(result).items()} == {"0": (40, 53), "1": (53, 40), "2": (40, 53)}
    for i, path in enumerate(paths):
        (alone,) = explain(load_chunk([path], model))[0].results
        np.testing.assert_allclose(by_id(result)[str(i)].values, alone.values, atol=1e-6, rtol=1e-4)


def test_inputs_of_one_shape_go_through_the_network_together(pictures, tmp_path):
    sizes = []

    class Counting(SmallCNN):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(tuple(images.shape))
            return super().forward(images)

    tall = tmp_path / "tall.png"
    Image.open(pictures[1]).transpose(Image.Transpose.TRANSPOSE).save(tall)
    model = adapt(Counting(), transform=transforms.Compose([transforms.Resize(40), transforms.ToTensor()]))
    chunk = load_chunk([pictures[0], str(tall), pictures[2], pictures[3]], model)
    assert model.scoring.exclusive  # what the numbers are is asked once, before
    sizes.clear()
    assert len(Predictor(model)(chunk).results) == 4
    assert sizes == [(3, 3, 40, 53), (1, 3, 53, 40)]


@pytest.mark.parametrize("name", METHODS)
def test_a_map_does_not_depend_on_the_chunk_its_order_or_its_neighbours(pictures, name):
    """What resumption rests on: seeds belong to samples."""
    explain = explainer(SmallCNN(), name)
    chunk = load_chunk(pictures[:5], explain.model)
    together = by_id(explain(chunk)[0])
    assert_equal_maps(by_id(explain(chunk[::-1])[0]), together)
    apart = [entry for image in chunk for entry in explain([image])[0].results]
    assert_equal_maps({entry.sample_id: entry for entry in apart}, together)


def test_the_seed_of_a_sample_decides_its_noise(pictures):
    explain = explainer(SmallCNN(), "smooth_grad")
    (image,) = load_chunk(pictures[:1], explain.model)
    maps = [
        explain([replace(image, item=replace(image.item, id=sample_id))])[0].results[0].values for sample_id in "001"
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])
    other = replace(explain, seed=52)([image])[0].results[0].values
    assert not np.array_equal(maps[0], other)


def labelled(pictures: list[str], model: Any, *labels: tuple[str | None, str | None]) -> list[Any]:
    items = [SampleItem(str(i), pictures[i], *pair) for i, pair in enumerate(labels)]
    (chunk,) = load_ahead([items], model, 1)
    return chunk


def test_samples_without_anything_to_explain_are_skipped_one_by_one(pictures):
    explain = explainer(SmallCNN(), target=parse_target("contrast", CLASSES))
    pairs = [("red", "blue"), (None, "blue"), ("red", None), ("red", "red"), ("pie", "red"), ("green", "red")]
    result = explain(labelled(pictures, explain.model, *pairs))[0]
    assert {m.sample_id: m.target for m in result.results} == {
        "0": Target(2, "blue − red", 0),
        "5": Target(0, "red − green", 1),
    }
    for sample, image in zip(result.results, labelled(pictures, explain.model, *pairs)[::5], strict=True):
        np.testing.assert_allclose(sample.values, explain([image])[0].results[0].values, atol=1e-6)
    assert {f.sample_id: f.kind for f in result.failures} == dict.fromkeys("1234", "skip")
    assert [f.reason for f in result.failures] == [
        "the sample has no ground truth",
        "the sample has no prediction",
        "both sides of the contrast are 'red'",
        "the label 'pie' is not among the model's 3 classes",
    ]


def test_a_chunk_of_skipped_samples_only_never_asks_the_model(pictures):
    explain = explainer(Failing(SmallCNN()), target=TargetSpec("predicted"))
    result = explain(labelled(pictures, explain.model, (None, None), (None, None)))[0]
    assert result.results == []
    assert [f.kind for f in result.failures] == ["skip", "skip"]


def test_without_stored_predictions_the_models_own_is_explained(pictures):
    """Whatever label may be stored."""
    model = adapt(PatchModel())
    chunk = load_chunk(pictures[:3], model)
    expected = [int(model.logits(image.tensor[None]).argmax()) for image in chunk]
    wrong = [CLASSES[(column + 1) % 3] for column in expected]
    chunk += labelled(pictures, model, *((None, label) for label in wrong))
    explain = Explainer(model, method("grad_cam"), (TargetSpec("predicted"),), 51, stored_predictions=False)
    found = explain(chunk)[0].results
    assert [m.target for m in found] == [Target(column, CLASSES[column]) for column in expected * 2]


def test_the_score_is_the_explained_logit_or_the_difference(pictures):
    model = adapt(SmallCNN())
    (image,) = load_chunk(pictures[:1], model, truth="red", predicted="blue")
    with torch.no_grad():
        logits = model.module(image.tensor[None])[0]
    for target, expected in (("blue", logits[2]), ("contrast", logits[2] - logits[0])):
        (found,) = Explainer(model, method("grad_cam"), (parse_target(target, CLASSES),), 51)([image])[0].results
        assert found.score == pytest.approx(float(expected), abs=1e-5)


def test_a_map_lies_in_the_frame_of_the_image(pictures):
    explain = explainer(PatchModel(), "input_x_gradient")
    (found,) = explain(load_chunk(pictures[:1], explain.model))[0].results
    assert found.values.shape == (40, 53)
    assert found.values.dtype == np.float32
    rows, columns = np.nonzero(found.values)
    # The patch, rows 16 to 24 and columns 8 to 16 of 40, in an image of 4 : 3.
    assert (rows.min(), rows.max()) == pytest.approx((16, 23), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((8 * 53 / 40, 16 * 53 / 40 - 1), abs=1)


def test_a_chunk_of_failures_only_is_handed_on(pictures, tmp_path):
    explain = explainer(SmallCNN())
    chunk = load_chunk([str(tmp_path / "a.png"), str(tmp_path / "b.png")], explain.model)
    assert explain(chunk) == [ChunkResult([], chunk)]
    assert explain([]) == [ChunkResult([], [])]


def test_every_sample_of_a_chunk_is_named_once(pictures, white, tmp_path):
    """Maps, skips, broken images and a failing model together."""
    explain = explainer(Failing(SmallCNN(), limit=0.9), layer="network.body.4", target=TargetSpec("ground_truth"))
    paths = [pictures[0], white, str(tmp_path / "missing.png"), pictures[3]]
    truths = ["red", "red", "red", None]
    items = [SampleItem(str(i), *pair) for i, pair in enumerate(zip(paths, truths, strict=True))]
    (chunk,) = load_ahead([items], explain.model, 1)
    result = explain(chunk)[0]
    named = [entry.sample_id for entry in (*result.results, *result.failures)]
    assert sorted(named) == ["0", "1", "2", "3"]
    assert {f.sample_id: f.kind for f in result.failures} == {"1": "error", "2": "error", "3": "skip"}


class Interrupted(SmallCNN):
    """A user presses Ctrl-C while the network runs."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.body[0].weight.isfinite().all():
            raise KeyboardInterrupt
        return super().forward(images)


@pytest.mark.parametrize("work", ["explain", "predict"])
def test_an_interrupt_is_no_failure_of_an_image(pictures, work):
    network = Interrupted()
    network.body[0].weight.data.fill_(torch.nan)
    explain = explainer(network)
    chunk = load_chunk(pictures[:2], explain.model)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        (explain if work == "explain" else Predictor(explain.model))(chunk)


def test_a_prediction_is_the_best_class_with_its_softmax(pictures):
    model = adapt(SmallCNN())
    chunk = load_chunk(pictures[:3], model)
    before = Snapshot.of(model.module)
    result = Predictor(model)(chunk)
    assert result.failures == []
    for found, image in zip(result.results, chunk, strict=True):
        with torch.no_grad():
            logits = model.module(image.tensor[None])[0]
        assert found.label == CLASSES[int(logits.argmax())]
        assert found.confidence == pytest.approx(float(logits.softmax(0).max()), abs=1e-6)
        np.testing.assert_allclose(found.logits, logits, atol=1e-6)
        assert found.sample_id == image.item.id
    assert before.differences(Snapshot.of(model.module)) == []


def test_one_bad_image_costs_no_other_its_prediction(pictures, white):
    model = adapt(Failing(SmallCNN(), limit=0.9))
    result = Predictor(model)(load_chunk([pictures[0], white, pictures[1]], model))
    assert sorted(by_id(result)) == ["0", "2"]
    assert [(f.sample_id, f.reason) for f in result.failures] == [("1", "RuntimeError: the lamp is too bright")]


def test_the_confidence_of_large_logits_is_a_number(pictures):
    """exp(1000) is infinite; the softmax is not."""

    class Sure(SmallCNN):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[0.0, 1000.0, 999.0]]).repeat(len(images), 1) + 0 * images.sum()

    model = adapt(Sure())
    (found,) = Predictor(model)(load_chunk(pictures[:1], model)).results
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)
    assert found.label == "green"
