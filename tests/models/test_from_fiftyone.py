"""FiftyOne's own models around a torch network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fiftyone_saliency.core.errors import ArgumentError, ModelError
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
    maps = attribute(method("grad_cam"), model, batch(entry.tensor[None])).values
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
    with pytest.raises(ModelError, match=r"Expected `transform`, .* that Duck .* but got None. Pass a callable"):
        load(Duck(None))


def test_a_tensor_in_a_list_is_taken_out_of_it():
    """Transforms of FiftyOne's ragged batches return one."""
    tensor, _ = load(Duck(lambda image: [resize()(image)])).prepare(Image.new("RGB", (30, 20)))
    assert torch.equal(tensor, torch.zeros_like(draw(1)[0]))


def test_a_class_name_that_comes_twice_takes_its_column_with_it(fo):
    assert load(torch_model(fo, SmallCNN(), classes=["crane", "cat", "crane"])).classes == (
        "crane (0)",
        "cat",
        "crane (2)",
    )


@pytest.mark.parametrize("argument", ["weights", "prompts"])
def test_what_a_fiftyone_model_has_no_use_for_is_refused(fo, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}` only with .* for TorchImageModel"):
        load(torch_model(fo, SmallCNN()), **{argument: ["{}"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and a CLIP model of transformers, as `save_pretrained` writes them."""
    from tests.models.test_from_huggingface import clip, clip_processor, square, vit

    root = tmp_path_factory.mktemp("hub")
    for name, model, processor in (("vit", vit(), square()), ("clip", clip(), clip_processor())):
        model.save_pretrained(root / name)
        processor.save_pretrained(root / name)
    return root


def test_fiftyones_wrapper_of_a_transformers_classifier_predicts_what_the_adapter_does(fo, folder, pictures):
    import fiftyone.utils.transformers as fout

    config = {"name_or_path": str(folder / "vit")}
    source = fout.FiftyOneTransformerForImageClassification(
        fout.FiftyOneTransformerForImageClassificationConfig(config)
    )
    model = load(source)
    assert model.module is source._model
    assert (model.classes, model.name) == (("cat", "dog", "crane (2)", "crane (3)"), type(source).__name__)
    (expected,) = source.predict_all([Image.open(pictures[0])])
    (found,) = Predictor(model)(load_chunk(pictures[:1], model)).results
    assert found.label.startswith(expected.label)
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-5)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)


def test_fiftyones_wrapper_of_a_transformers_clip_predicts_what_the_adapter_does(fo, folder, pictures):
    import fiftyone.utils.transformers as fout

    config = {"name_or_path": str(folder / "clip"), "classes": list(CLASSES), "text_prompt": "A photo of"}
    source = fout.FiftyOneZeroShotTransformerForImageClassification(
        fout.FiftyOneZeroShotTransformerForImageClassificationConfig(config)
    )
    model = load(source)
    assert (model.classes, model.name) == (CLASSES, type(source).__name__)
    (expected,) = source.predict_all([Image.open(pictures[0])])
    (found,) = Predictor(model)(load_chunk(pictures[:1], model)).results
    assert found.label == expected.label
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert load(source, prompts=["{}"]).fingerprint != model.fingerprint
