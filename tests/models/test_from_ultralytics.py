"""Classifiers of ultralytics, whose wrapper starts a training when it is called like a torch module."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from tests.oracles import Snapshot, batch, method, resize


def import_ultralytics() -> Any:
    """Import the package without its effects on the process and the user: it would replace `PIL.Image.open`."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("YOLO_CONFIG_DIR", folder)
        patch.setenv("YOLO_AUTOINSTALL", "false")
        patch.setattr(Image, "open", Image.open)
        package = pytest.importorskip("ultralytics")
        # Its parts are imported where they are first asked for.
        _ = package.YOLO
        return package


@pytest.fixture(scope="module")
def ultralytics() -> Any:
    return import_ultralytics()


@pytest.fixture
def yolo(ultralytics, monkeypatch) -> Any:
    """The smallest classifier with drawn weights; it must never be called itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = ultralytics.YOLO("yolov8n-cls.yaml", verbose=False)
    source.overrides["imgsz"] = 64
    source.model.eval()

    def alarm(*_: Any, **__: Any) -> None:
        raise AssertionError("the wrapper was called")

    for name in ("train", "eval", "predict", "forward", "__call__"):
        monkeypatch.setattr(ultralytics.YOLO, name, alarm)
    return source


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 90, 3), np.uint8))


def test_a_classifier_brings_its_network_classes_and_preprocessing(yolo):
    from ultralytics.data.augment import classify_transforms

    model = load(yolo)
    assert model.classes == tuple(str(i) for i in range(1000))
    assert model.name == "YOLO"
    tensor, _ = model.prepare(noise())
    assert torch.equal(tensor, classify_transforms(64)(noise()))
    with torch.no_grad():
        probabilities, logits = yolo.model(tensor[None])
        assert torch.equal(model.logits(tensor[None]), logits)
    torch.testing.assert_close(model.logits(tensor[None]).softmax(1), probabilities)


@pytest.mark.parametrize("training", [True, False])
def test_it_is_explained_and_given_back_as_it_was(yolo, training):
    for m in yolo.model.modules():
        m.training = training
    before = Snapshot.of(yolo.model)
    model = load(yolo)
    values = torch.cat([attribute(method("grad_cam"), model, batch(model.probe_image(), i)).values for i in range(3)])
    assert values.shape == (3, 2, 2)
    assert values.max() > 0
    assert before.differences(Snapshot.of(yolo.model)) == []


def test_names_stand_in_the_order_of_the_logits(yolo):
    yolo.model.names = {2: "cow", 0: "cat", 1: "dog"}
    assert load(yolo).classes == ("cat", "dog", "cow")


def test_preprocessing_that_was_trained_with_comes_first(yolo):
    from ultralytics.data.augment import classify_transforms

    yolo.model.transforms = classify_transforms(64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert load(yolo).prepare(noise())[0].min() < -0.5
    yolo.overrides["imgsz"] = 32
    assert load(yolo).prepare(noise())[0].shape == (3, 32, 32)


def test_classes_transform_and_layer_of_the_caller_come_first(yolo):
    classes = [f"class {i}" for i in range(1000)]
    model = load(yolo, classes, resize(32), "network.model.4")
    assert model.classes == tuple(classes)
    assert torch.equal(model.prepare(noise())[0], resize(32)(noise()))
    assert model.cam_layer == "network.model.4"


def test_a_detector_is_refused(ultralytics):
    with pytest.raises(ModelError, match="an ultralytics classifier with a torch network, but got task 'detect'"):
        load(ultralytics.YOLO("yolov8n.yaml", verbose=False))


@pytest.mark.parametrize("argument", ["weights", "prompts"])
def test_what_it_has_no_use_for_is_refused(yolo, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}` only with .* for YOLO"):
        load(yolo, **{argument: ["{}"]})


def test_the_fingerprint_is_equal_over_two_loads_and_changes_with_weights_and_size(yolo):
    first = load(yolo).fingerprint
    assert first == load(yolo).fingerprint
    yolo.overrides["imgsz"] = 32
    second = load(yolo).fingerprint
    with torch.no_grad():
        yolo.model.model[-1].linear.bias += 1
    assert len({first, second, load(yolo).fingerprint}) == 3


def test_fiftyones_wrapper_predicts_what_the_adapter_does(fo, ultralytics):
    from fiftyone.utils.ultralytics import convert_ultralytics_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yolo = ultralytics.YOLO("yolov8n-cls.yaml", verbose=False)
    yolo.overrides["imgsz"] = 64
    source = convert_ultralytics_model(yolo)
    model = load(source)
    assert model.name == "FiftyOneYOLOClassificationModel"
    assert model.classes == tuple(source.classes)
    tensor, _ = model.prepare(noise())
    assert torch.equal(tensor, source.transforms(noise())["img"])
    label = source.predict(np.asarray(noise()))
    with model.explaining(), torch.no_grad():
        confidence, index = model.logits(tensor[None]).softmax(1).max(1)
    assert label.label == model.classes[int(index)]
    assert label.confidence == pytest.approx(float(confidence), abs=1e-5)
