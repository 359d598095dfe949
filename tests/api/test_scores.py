"""Models whose scores are no softmax's logits, from prediction to matrix, maps and checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, logits_of

QUIET = {"progress": False, "num_workers": 2}


class Labels(nn.Module):
    """Several labels: the logit of a colour is above 0 where the middle of the picture shows enough of it."""

    def __init__(self, end: Any = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 4, stride=4)
        self.relu = nn.ReLU()
        self._end = end
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.conv.bias.fill_(-0.3)

    def forward(self, images: Tensor) -> Tensor:
        logits = 200 * self.relu(self.conv(images)).mean(dim=(2, 3)) - 2
        return logits if self._end is None else self._end(logits)


class Bright(nn.Module):
    """One number: above 0 where a picture shows red."""

    def __init__(self, end: Any = None) -> None:
        super().__init__()
        self.network = ColourNet()
        self._end = end

    def forward(self, images: Tensor) -> Tensor:
        z = 30 * self.network(images)[:, :1] - 0.5
        return z if self._end is None else self._end(z)


@pytest.fixture
def several(dataset, pictures, fo):
    """The twelve pictures with the labels that they show, and those that `Labels` says."""
    add_pictures(dataset, pictures, [None] * 12)
    truths = [[CLASSES[i % 3], *(["green"] if i % 4 == 0 else [])] for i in range(12)]
    named = [[fo.Classification(label=name) for name in dict.fromkeys(names)] for names in truths]
    dataset.set_values("ground_truth", [fo.Classifications(classifications=names) for names in named])
    return dataset


@pytest.mark.parametrize("end", [None, torch.sigmoid], ids=["told", "found"])
def test_labels_and_confidences_of_several_are_the_models_own(end, several, fo):
    model = fos.load_model(Labels(end), CLASSES, CROP, scores=None if end else "sigmoid")
    assert fos.predict(several, model, store_logits=True, **QUIET) == []
    assert several.get_field("predictions").document_type is fo.Classifications
    for sample in several:
        logits = logits_of(Labels(), sample.filepath).double()
        expected = {CLASSES[k]: float(logits[k].sigmoid()) for k in range(3) if logits[k] >= 0}
        named = sample.predictions.classifications
        assert {one.label: pytest.approx(one.confidence, abs=1e-6) for one in named} == expected
        assert [one.confidence for one in named] == sorted(expected.values(), reverse=True)
        np.testing.assert_allclose(sample.predictions.logits, logits, atol=1e-4)
    assert {len(sample.predictions.classifications) for sample in several} >= {1}


def test_the_threshold_decides_which_labels_are_named(several):
    model = fos.load_model(Labels(), CLASSES, CROP, scores="sigmoid")
    fos.predict(several, model, "all", threshold=0, **QUIET)
    assert all(len(sample.all.classifications) == 3 for sample in several)
    fos.predict(several, model, "none", threshold=1, **QUIET)
    assert [sample.none.classifications for sample in several.limit(3)] != [None] * 3, "an empty list is an answer"
    with pytest.raises(ArgumentError, match="`threshold` to be a number from 0 to 1"):
        fos.predict(several, model, "more", threshold=2, **QUIET)
    with pytest.raises(ArgumentError, match="`threshold` only for a model whose classes do not exclude each other"):
        fos.predict(several, fos.load_model(ColourNet(), CLASSES, CROP), "more", threshold=0.3, **QUIET)
    assert several.get_field("more") is None


def test_a_field_of_the_other_kind_is_refused(several, fo):
    model = fos.load_model(Labels(), CLASSES, CROP, scores="sigmoid")
    several.add_sample_field("one", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with pytest.raises(FieldError, match="to name a Classifications field, but 'one' is a Classification field"):
        fos.predict(several, model, "one", **QUIET)
    with pytest.raises(FieldError, match="to name a Classification field, but 'ground_truth' is a Classifications"):
        fos.predict(several, fos.load_model(ColourNet(), CLASSES, CROP), "ground_truth", **QUIET)


def test_each_label_is_explained_in_a_field_of_its_own(several):
    model = fos.load_model(Labels(torch.sigmoid), CLASSES, CROP)
    fos.predict(several, model, **QUIET)
    runs = fos.compute_saliency_targets(several, model, {f"why_{name}": name for name in CLASSES}, **QUIET)
    assert [run.request.target for run in runs.values()] == list(CLASSES)
    assert "do not exclude each other (sigmoid)" in runs["why_red"].details["scores"]
    for sample in several:
        logits = logits_of(Labels(), sample.filepath)
        for k, name in enumerate(CLASSES):
            assert sample[f"why_{name}"].score == pytest.approx(float(logits[k]), abs=1e-4)
    one = several.limit(1)
    run = fos.compute_saliency(one, model, "p", target="red", output="sigmoid", method="saliency", **QUIET)
    assert run.request.output == "sigmoid"
    expected = logits_of(Labels(), one.first().filepath)[0].sigmoid()
    assert one.first().p.score == pytest.approx(float(expected), abs=1e-6)
    top = fos.compute_saliency(one, model, "top", target="top-1", **QUIET)
    assert top.counts.done == 1


@pytest.mark.parametrize("target", ["predicted", "ground_truth", "contrast", "predicted - red"])
def test_the_one_class_of_a_sample_with_several_is_not_guessed(target, several):
    model = fos.load_model(Labels(), CLASSES, CROP, scores="sigmoid")
    with pytest.raises(ArgumentError, match=r"`target` to name a label of Labels, .* Pass a label such as 'red'"):
        fos.compute_saliency(several, model, target=target, pred_field=None, **QUIET)
    assert several.list_runs() == []


def test_from_prediction_to_the_cell_that_is_explained(several):
    """The maps of the pictures in which a label was wrongly seen: a cell is a view like any other."""
    model = fos.load_model(Labels(), CLASSES, CROP, scores="sigmoid")
    fos.predict(several, model, threshold=0.2, **QUIET)
    matrix = fos.confusion(several, label="green")
    missed = matrix.cells["green", "not green"]
    assert missed.count == len(missed.view()) > 0
    run = fos.compute_saliency(missed.view(), model, target="green", **QUIET)
    assert run.counts.done == missed.count


def test_several_labels_are_exported_and_read_back(several, tmp_path):
    fos.tag_cell(fos.confusion(several.set_field("tags", []), "ground_truth", label="green").cells["green", "green"])
    assert len(several.match_tags("enrich")) == 6
    for kind in ("FiftyOneImageClassificationDataset", "FiftyOneDataset"):
        fos.export_for_retraining(several, tmp_path / kind, dataset_type=kind)
        back = fos.load_export(tmp_path / kind)
        names = [sorted(one.label for one in sample.ground_truth.classifications) for sample in back]
        expected = several.match_tags("enrich")
        assert sorted(names) == sorted(sorted(o.label for o in s.ground_truth.classifications) for s in expected)
        back.delete()


def test_answers_of_several_labels_flip_with_their_set(several, fo):
    box = fo.Detection(label="all", bounding_box=[0, 0, 1, 1])
    several.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    model = fos.load_model(Labels(), CLASSES, CROP, scores="sigmoid")
    hidden = fos.hide_region(
        several, model, "boxes", "all", fill="mean", gt_field=None, pred_field=None, controls=1, **QUIET
    )
    said = [{k for k in range(3) if logits_of(Labels(), s.filepath)[k] >= 0} for s in several]
    for row, labels, sample in zip(hidden.rows, said, several, strict=True):
        assert row.flip == float(bool(labels)), "a picture of one colour shows none"
        best = float(logits_of(Labels(), sample.filepath).max())
        assert row.logit_change == pytest.approx(-2 - best, abs=0.2)


@pytest.mark.parametrize("end", [None, torch.sigmoid, lambda z: z.sigmoid()[:, 0]])
def test_one_number_is_stored_as_two_classes(end, colours, fo):
    model = fos.load_model(Bright(end), ["other", "red"], CROP)
    assert fos.predict(colours, model, store_logits=True, **QUIET) == []
    for i, sample in enumerate(colours):
        z = float(logits_of(Bright(), sample.filepath)[0])
        positive = 1 / (1 + np.exp(-z))
        label = sample.predictions
        assert label.label == ("red" if i % 3 == 0 else "other")
        assert label.confidence == pytest.approx(positive if z > 0 else 1 - positive, abs=1e-6)
        e = np.exp(label.logits)
        assert e.max() / e.sum() == pytest.approx(label.confidence, abs=1e-6), "a softmax of the logits gives it too"


def test_what_speaks_for_either_of_two_classes_is_shown(colours):
    """The answer is explained, also where it is the negative one: its evidence is what lowers the number."""
    model = fos.load_model(Bright(), ["other", "red"], CROP)
    targets = {"said": "predicted", "red": "red", "other": "other", "rather": "red - other"}
    fos.compute_saliency_targets(
        colours, model, targets, method="integrated_gradients", pred_field=None, sign="signed", **QUIET
    )
    for i, sample in enumerate(colours):
        z = float(logits_of(Bright(), sample.filepath)[0])
        assert sample.red.score == pytest.approx(z, abs=1e-4)
        assert sample.other.score == pytest.approx(-z, abs=1e-4)
        assert sample.rather.score == pytest.approx(z, abs=1e-4)
        assert sample.said.score == pytest.approx(abs(z), abs=1e-4)
        assert sample.said.target == ("red" if i % 3 == 0 else "other")
        red, other = (fos.read_map(sample[name]) for name in ("red", "other"))
        np.testing.assert_allclose(red, -other, atol=2e-2 * np.abs(red).max())


def test_a_model_of_one_number_is_checked_as_any_other(colours, fo):
    box = fo.Detection(label="all", bounding_box=[0, 0, 1, 1])
    colours.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    model = fos.load_model(Bright(torch.sigmoid), ["other", "red"], CROP)
    run = fos.compute_saliency(colours, model, pred_field=None, **QUIET)
    found = fos.faithfulness(colours, model, run.key, count=3, steps=4, **QUIET)
    assert 0 <= found["deletion"].summary.mean <= 1
    fos.check_trust(colours, model, run.key, count=4, stages=2, draws=1, **QUIET)
    hidden = fos.hide_region(
        colours, model, "boxes", "all", fill="mean", gt_field=None, pred_field=None, controls=1, **QUIET
    )
    for i, (row, sample) in enumerate(zip(hidden.rows, colours, strict=True)):
        z = float(logits_of(Bright(), sample.filepath)[0])
        assert row.flip == float(i % 3 == 0)
        if i % 3 == 0:
            assert row.logit_change == pytest.approx(-0.5 - z, abs=0.5)


def test_a_model_of_probabilities_is_explained_by_them_and_says_so(colours):
    def answers(images: Tensor) -> Tensor:
        with torch.no_grad():
            return ColourNet()(images).mul(30).softmax(1)

    model = fos.load_model(answers, CLASSES, CROP)
    fos.predict(colours, model, **QUIET)
    for sample in colours:
        expected = logits_of(ColourNet(), sample.filepath).mul(30).double().softmax(0)
        assert sample.predictions.confidence == pytest.approx(float(expected.max()), abs=1e-5)
    run = fos.compute_saliency(colours, model, method="occlusion", **QUIET)
    assert run.request.output == "softmax"
    assert "probabilities of classes that exclude each other" in run.details["scores"]
    assert [s.saliency.score for s in colours] == pytest.approx(colours.values("predictions.confidence"), abs=1e-5)
    again = fos.compute_saliency(colours, model, method="occlusion", output="softmax", **QUIET)
    assert again.key == run.key
    found = fos.faithfulness(colours, model, run.key, count=2, steps=4, **QUIET)
    assert 0 <= found["insertion"].summary.mean <= 1


def test_a_function_that_may_mean_either_is_asked_about(colours):
    def answers(images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)).clamp(0.1, 0.9)

    with pytest.raises(ModelError, match="Expected to know what the scores of answers are"):
        fos.predict(colours, answers_model(answers), "mine", **QUIET)
    assert colours.get_field("mine") is None
    with pytest.raises(ModelError, match="Expected to know what the scores of answers are"):
        fos.compute_saliency(colours, answers_model(answers), output="softmax", method="occlusion", **QUIET)
    assert fos.predict(colours, fos.load_model(answers, CLASSES, CROP, scores="sigmoid"), "mine", **QUIET) == []


def answers_model(function: Any) -> Any:
    return fos.load_model(function, CLASSES, CROP)
