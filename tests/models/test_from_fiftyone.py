"""FiftyOne's own models around a torch network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fiftyone_saliency.core.errors import ModelError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from fiftyone_saliency.runtime.worker import Predictor
from tests.oracles import CLASSES, SmallCNN, Snapshot, batch, draw, load_chunk, method, resize


def torch_model(fo: Any, network: torch.nn.Module, **config: Any) -> Any:
    import fiftyone.utils.torch as fout

    settings = {
        "model": network,
        "classes": list(CLASSES),
        "image_size": [24, 40],
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.2, 0.2, 0.2],
        "output_processor_cls": "fiftyone.utils.torch.ClassifierOutputProcessor",
        "device": "cpu",
    }
    return fout.TorchImageModel(fout.TorchImageModelConfig(settings | config))


def test_a_fiftyone_model_brings_its_network_classes_and_preprocessing(fo, pictures):
    network = SmallCNN()
    source = torch_model(fo, network)
    before = Snapshot.of(network)
    model = load(source, layer="body.4")
    assert model.module is network
    assert model.classes == CLASSES
    assert model.name == "TorchImageModel"
    (entry,) = load_chunk(pictures[:1], model)
    assert entry.tensor.shape == (3, 24, 40)
    assert entry.placement.width == pytest.approx(1, abs=0.01)
    assert entry.placement.height == pytest.approx(1, abs=0.01)
    maps = attribute(method("grad_cam"), model, batch(entry.tensor[None]))
    assert maps.shape == (1, 12, 20)
    assert before.differences(Snapshot.of(network)) == []


def test_a_fiftyone_model_predicts_the_same_through_both(fo, pictures):
    source = torch_model(fo, SmallCNN())
    model = load(source)
    found = Predictor(model)(load_chunk(pictures[:4], model)).results
    expected = [source.predict(np.asarray(Image.open(path).convert("RGB"))) for path in pictures[:4]]
    assert [p.label for p in found] == [label.label for label in expected]
    assert [p.confidence for p in found] == pytest.approx([label.confidence for label in expected], abs=1e-5)


def test_classes_and_transform_of_a_fiftyone_model_can_be_replaced(fo):
    model = load(torch_model(fo, SmallCNN()), ["a", "b", "c"], resize(16))
    assert model.classes == ("a", "b", "c")
    assert model.prepare(Image.new("RGB", (30, 20)))[0].shape == (3, 16, 16)


def test_a_fiftyone_model_without_classes_is_refused(fo):
    source = torch_model(fo, SmallCNN(), classes=None, output_processor_cls=None)
    with pytest.raises(ModelError, match=r"Expected `classes` .* but got None for TorchImageModel"):
        load(source)


class Duck:
    """What is recognised of a FiftyOne model, without FiftyOne."""

    def __init__(self, transforms: Any) -> None:
        self._model = SmallCNN()
        self.transforms = transforms
        self.classes = list(CLASSES)


def test_a_fiftyone_model_without_preprocessing_is_refused():
    with pytest.raises(ModelError, match=r"Duck to carry its preprocessing, but got None. Pass `transform=`"):
        load(Duck(None))


def test_a_tensor_in_a_list_is_taken_out_of_it():
    """Transforms of FiftyOne's ragged batches return one."""
    tensor, _ = load(Duck(lambda image: [resize()(image)])).prepare(Image.new("RGB", (30, 20)))
    assert torch.equal(tensor, torch.zeros_like(draw(1)[0]))
