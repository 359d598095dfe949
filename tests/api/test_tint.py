"""A network that decides by a tint of the whole image: its maps lean to the object, its answers do not need it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, ModelError
from tests.models_for_tests import CLASSES, ColourNet

QUIET = {"progress": False, "num_workers": 1}
SIDE, OBJECT = 64, 38
ASK = {"regions": "boxes", "right": ["object"], "require_trust": False}


class TintNet(ColourNet):
    """Names the colour that the mean of all pixels leans to; the brighter a place, the more evidence it has."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.conv.bias.zero_()


@pytest.fixture(scope="module")
def tinted(fo, tmp_path_factory):
    """Pictures in a red, green or blue light, each with a grey object that is a little lighter than the rest."""
    folder, rng = tmp_path_factory.mktemp("tint"), np.random.default_rng(5)
    dataset = fo.Dataset()
    for i in range(24):
        picture = np.full((SIDE, SIDE, 3), 90.0)
        y, x = rng.integers(0, SIDE - OBJECT, 2)
        picture[y : y + OBJECT, x : x + OBJECT] += 25
        picture[:, :, i % 3] += 30
        picture += rng.normal(0, 8, picture.shape)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        box = [x / SIDE, y / SIDE, OBJECT / SIDE, OBJECT / SIDE]
        boxes = fo.Detections(detections=[fo.Detection(label="object", bounding_box=box)])
        label = fo.Classification(label=CLASSES[i % 3])
        dataset.add_sample(fo.Sample(folder / f"{i}.png", ground_truth=label, boxes=boxes))
    model = fos.load_model(TintNet(), CLASSES, transforms.ToTensor())
    fos.predict(dataset, model, **QUIET)
    fos.compute_saliency(dataset, model, **QUIET)
    yield dataset, model
    dataset.delete()


def test_a_slight_excess_on_the_object_is_no_right_reason(tinted):
    dataset, _ = tinted
    reasons = fos.reasons(dataset, regions="boxes", right=["object"])
    share = reasons.overall.shares["object"]
    pairs = zip(reasons.evidence.shares["object"], reasons.evidence.areas["object"], strict=True)
    assert all(one > area for one, area in pairs), "each map has more there than chance"
    assert share.mean - share.area < 0.05
    assert (reasons.overall.right.mean, reasons.overall.no_preference.mean) == (0, 1)
    assert {cell.state for cell in reasons.cells.values()} == {"no preference"}
    assert "evidence mostly: no preference" in str(reasons)
    assert len(reasons.right_without_preference) == 24


def test_answers_that_do_not_need_the_object_fail_the_gate(tinted):
    dataset, model = tinted
    gate = fos.gate(dataset, min_accuracy=0.8, min_needed={"object": 0.3}, model=model, **ASK)
    accuracy, needed = gate.checks
    assert accuracy.passed
    assert (needed.rule, needed.region, needed.passed) == ("min_needed", "object", False)
    assert needed.value.mean == pytest.approx(0, abs=0.05)
    assert "answers that change without object, above the control" in needed.text
    assert gate.proposal is None


def test_what_was_hidden_before_is_not_hidden_again(tinted):
    dataset, model = tinted
    hidden = fos.hide_region(dataset, model, "boxes", "object", pred_field=None, **QUIET)
    gate = fos.gate(dataset, min_needed={"object": 0.3}, hidden=[hidden], by="class", **ASK)
    assert [check.label for check in gate.checks] == [None, "blue", "green", "red"]
    assert [check.value.n for check in gate.checks] == [24, 8, 8, 8]
    with pytest.raises(ArgumentError, match="'object' was hidden in 24 samples that are others"):
        fos.gate(dataset.limit(12), min_needed={"object": 0.3}, hidden=[hidden], **ASK)


def test_hiding_is_proposed_where_nobody_asked_for_it(tinted):
    dataset, _ = tinted
    gate = fos.gate(dataset, min_accuracy=0.5, **ASK)
    assert gate.passed
    assert "Not asked: whether the answers need 'object'" in gate.proposal
    assert str(gate).endswith(gate.proposal)
    assert gate.to_json()["proposal"] == gate.proposal
    nameless = fos.gate(dataset, regions="boxes", min_accuracy=0.5, require_trust=False)
    assert nameless.proposal is None, "nobody said where the evidence should lie"


def test_the_model_has_to_be_there_and_to_be_the_one_of_the_maps(tinted):
    dataset, _ = tinted
    with pytest.raises(ArgumentError, match=r"Expected `model` for min_needed=\{'object': ...\}, but got None"):
        fos.gate(dataset, min_needed={"object": 0.3}, **ASK)
    other = fos.load_model(ColourNet(), CLASSES, transforms.ToTensor())
    with pytest.raises(ModelError, match="Expected the model that computed run"):
        fos.gate(dataset, min_needed={"object": 0.3}, model=other, **ASK)


def test_answers_that_need_their_square_pass(fo, dataset, pictures):
    """The bright square is all that a picture shows of its colour: without it, the answer is a tie, and then red."""
    from tests.models_for_tests import CROP, add_pictures

    seen = [CLASSES[1 + i % 2] for i in range(12)]
    chosen = [path for i, path in enumerate(pictures) if i % 3]
    add_pictures(dataset, (chosen * 2)[:12], [CLASSES[(1, 2)[i % 2]] for i in range(12)], seen)
    dataset.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    for sample in dataset:
        i = pictures.index(sample.filepath)
        box = [12 * (i % 5) / 64, 8 * (i % 4) / 48, 12 / 64, 12 / 48]
        sample["boxes"] = fo.Detections(detections=[fo.Detection(label="object", bounding_box=box)])
        sample.save()
    model = fos.load_model(MostlyRed(), CLASSES, CROP)
    fos.compute_saliency(dataset, model, **QUIET)
    gate = fos.gate(dataset, min_needed={"object": 0.3}, model=model, **ASK)
    assert gate.passed, str(gate)
    assert gate.checks[0].value.mean > 0.9


class MostlyRed(ColourNet):
    """Red unless another colour shines: without its square, every picture is red."""

    def forward(self, images):
        return super().forward(images) + torch.tensor([0.01, 0.0, 0.0])
