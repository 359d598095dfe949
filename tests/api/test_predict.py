"""predict and evaluate: the model's own answers, stored; and refusals that leave the dataset as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, logits_of, state_of

QUIET = {"progress": False, "num_workers": 2}


def test_labels_and_confidences_are_the_models_own(dataset, pictures, model):
    add_pictures(dataset, pictures, [None] * 12)
    assert fos.predict(dataset, model, "guess", **QUIET) == []
    for i, sample in enumerate(dataset):
        probabilities = logits_of(ColourNet(), sample.filepath).double().softmax(dim=0)
        assert sample.guess.label == CLASSES[int(probabilities.argmax())] == CLASSES[i % 3]
        assert sample.guess.confidence == pytest.approx(float(probabilities.max()), abs=1e-6)
        assert sample.guess.logits is None


def test_logits_are_stored_on_request(colours, model):
    fos.predict(colours, model, store_logits=True, **QUIET)
    for sample in colours:
        np.testing.assert_allclose(sample.predictions.logits, logits_of(ColourNet(), sample.filepath), atol=1e-6)


def test_predictions_do_not_depend_on_the_batch(colours, model):
    fos.predict(colours, model, "one", batch_size=1, store_logits=True, **QUIET)
    fos.predict(colours, model, "all", batch_size=12, store_logits=True, **QUIET)
    one, together = colours.values(["one.logits", "all.logits"])
    np.testing.assert_allclose(one, together, atol=1e-6)


def test_a_view_is_predicted_alone_and_its_labels_replaced(colours, model, fo):
    colours.set_values("predictions", [fo.Classification(label="old") for _ in range(12)])
    fos.predict(colours.limit(2), model, **QUIET)
    assert colours.values("predictions.label") == ["red", "green"] + ["old"] * 10


def test_failures_are_returned_and_left_without_a_label(colours, model, tmp_path):
    """An old label beside a failure would pass for the answer."""
    first, second = colours.limit(2)
    first.filepath = str(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("not a picture")
    second.filepath = str(tmp_path / "text.png")
    first.save()
    second.save()
    failures = fos.predict(colours, model, batch_size=3, **QUIET)
    assert [(f.sample_id, f.filepath, f.kind) for f in failures] == [
        (first.id, first.filepath, "error"),
        (second.id, second.filepath, "error"),
    ]
    assert failures[0].reason == "the image file is missing"
    assert failures[1].reason.startswith("the image cannot be read: ")
    assert colours.values("predictions.label") == [None, None] + [CLASSES[i % 3] for i in range(2, 12)]


def test_logits_that_are_not_finite_are_failures(colours):
    net = ColourNet()
    with torch.no_grad():
        net.head.bias[0] = torch.nan
    failures = fos.predict(colours, fos.load_model(net, CLASSES, CROP), **QUIET)
    assert {f.reason for f in failures} == {"the logits are not finite"}
    assert len(failures) == 12
    assert colours.count("predictions") == 0


def test_progress_goes_to_a_callback(colours, model):
    seen = []
    fos.predict(colours, model, batch_size=8, progress=lambda bar: seen.append((bar.iteration, bar.total)))
    assert seen == [(8, 12), (12, 12)]


def test_the_model_is_given_back_in_its_mode(colours):
    net = ColourNet().train()
    fos.predict(colours.limit(1), fos.load_model(net, CLASSES, CROP), **QUIET)
    assert net.training
    assert net.conv.training


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_pictures_of_any_depth_are_read_alike(dataset, model, tmp_path, depth):
    """Pillow turns 16-bit grey into white on its own; the levels of both files are the same."""
    levels = np.zeros((48, 64), np.uint16)
    levels[:24] = 60
    levels[24:] = 150
    picture = levels * 257 if depth == 16 else levels.astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "grey.png")
    add_pictures(dataset, [str(tmp_path / "grey.png")], [None])
    assert fos.predict(dataset, model, store_logits=True, **QUIET) == []
    # By hand: half of the pixels lie 150/255 - 0.3 above the threshold, in three channels of weights 3, -1, -1.
    expected = (150 / 255 - 0.3) / 2
    np.testing.assert_allclose(dataset.first().predictions.logits, [expected] * 3, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pred_field": "tags"}, FieldError, "`pred_field` to name a Classification field, but 'tags' is a ListField"),
        ({"pred_field": "boxes"}, FieldError, "Classification field, but 'boxes' is a Detections field"),
        ({"pred_field": "_hidden"}, FieldError, "`pred_field`"),
        ({"pred_field": ""}, FieldError, "`pred_field`"),
        ({"pred_field": None}, FieldError, "`pred_field`"),
        ({"pred_field": "no.such"}, FieldError, "`pred_field`"),
        ({"batch_size": 0}, ArgumentError, "`batch_size` to be an integer of at least 1, but got 0"),
        ({"num_workers": -1}, ArgumentError, "`num_workers` to be an integer of at least 0, but got -1"),
        ({"model": "resnet51"}, UnknownNameError, r"got 'resnet51'. Did you mean `resnet50`"),
        ({"model": object()}, ModelError, r"Expected the name of a registered model; .*but got object"),
        ({"classes": ["a", "b"]}, ModelError, "the model returns 3 logits and `classes` has 2 names"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_changed(steady, model, arguments, error, message):
    before = state_of(steady)
    given = {"model": model, "pred_field": "new", **QUIET, **arguments}
    if "classes" in given:
        given["model"] = fos.load_model(ColourNet(), given.pop("classes"), CROP)
    with pytest.raises(error, match=message):
        fos.predict(steady, **given)
    assert state_of(steady) == before


def test_an_empty_view_is_refused(steady, model):
    with pytest.raises(FieldError, match="Expected `samples` to hold at least one sample, but the view on"):
        fos.predict(steady.match_tags("none"), model, "empty", **QUIET)
    assert not steady.has_field("empty")


def test_an_evaluation_is_fiftyones_own(colours):
    results = fos.evaluate(colours, eval_key="first")
    assert colours.list_evaluations() == ["first"]
    assert results.metrics()["accuracy"] == pytest.approx(10 / 12)
    assert colours.values("first") == [i not in (3, 7) for i in range(12)]
    assert fos.confusion(colours, eval_key="first").accuracy == pytest.approx(10 / 12)


def test_an_evaluation_is_replaced_only_when_asked(colours, fo):
    fos.evaluate(colours)
    colours.set_values("predictions", [fo.Classification(label="red") for _ in range(12)])
    before = state_of(colours)
    with pytest.raises(FieldError, match="`eval_key` to be new, but 'eval' exists"):
        fos.evaluate(colours)
    assert state_of(colours) == before
    assert fos.evaluate(colours, overwrite=True).metrics()["accuracy"] == pytest.approx(4 / 12)
    assert colours.list_evaluations() == ["eval"]


@pytest.mark.parametrize(("eval_key", "overwrite"), [("ground_truth", False), ("ground_truth", True), ("id", False)])
def test_an_evaluation_cannot_take_the_name_of_a_field(colours, eval_key, overwrite):
    """FiftyOne keeps an evaluation's verdicts in a field of its name, and deletes that field with it."""
    before = state_of(colours)
    with pytest.raises(FieldError, match=f"`eval_key` .*'{eval_key}'"):
        fos.evaluate(colours, eval_key=eval_key, overwrite=overwrite)
    assert state_of(colours) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"eval_key": "two words"}, FieldError, "`eval_key` to be an identifier like 'eval', but got 'two words'"),
        ({"eval_key": "_ev"}, FieldError, "`eval_key` to be an identifier like 'eval', but got '_ev'"),
        ({"eval_key": "__"}, FieldError, "`eval_key`"),
        ({"eval_key": "a.b"}, FieldError, "`eval_key`"),
        ({"eval_key": "a$b"}, FieldError, "`eval_key`"),
        ({"eval_key": None}, FieldError, "`eval_key` to be an identifier like 'eval', but got None"),
        ({"pred_field": "prediction"}, UnknownNameError, "Did you mean `predictions`"),
        ({"gt_field": "filepath"}, FieldError, "`gt_field` to name a Classification field"),
    ],
)
def test_bad_arguments_of_an_evaluation_are_refused(steady, arguments, error, message):
    before = state_of(steady)
    with pytest.raises(error, match=message):
        fos.evaluate(steady, **arguments)
    assert state_of(steady) == before


def test_an_evaluation_that_fails_leaves_nothing(colours, monkeypatch):
    from fiftyone.utils.eval.classification import SimpleEvaluation

    def fail(*_, **__):
        raise RuntimeError("the database is gone")

    before = state_of(colours)
    monkeypatch.setattr(SimpleEvaluation, "evaluate_samples", fail)
    with pytest.raises(RuntimeError, match="the database is gone"):
        fos.evaluate(colours)
    assert state_of(colours) == before
    assert colours.list_evaluations() == []


def test_pictures_of_every_kind_are_read(dataset, model, pictures, tmp_path):
    """Grey, transparent, with a palette, four inks, in a TIFF: what people see is what the network gets."""
    original = Image.open(pictures[0])
    for name, mode in (("grey.png", "L"), ("alpha.png", "RGBA"), ("palette.png", "P"), ("ink.jpg", "CMYK")):
        original.convert(mode).save(tmp_path / name)
    original.save(tmp_path / "picture.tiff")
    paths = [str(tmp_path / n) for n in ("grey.png", "alpha.png", "palette.png", "ink.jpg", "picture.tiff")]
    add_pictures(dataset, paths, [None] * 5)
    assert fos.predict(dataset, model, **QUIET) == []
    assert dataset.values("predictions.label")[1:] == ["red"] * 4
    assert [Path(p).name for p in dataset.exists("predictions").values("filepath")] == [Path(p).name for p in paths]
