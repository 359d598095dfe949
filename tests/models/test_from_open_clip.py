"""CLIP models of open_clip and FiftyOne as zero-shot classifiers, tiny and with drawn weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from tests.oracles import CLASSES, Snapshot, batch, method, resize

open_clip = pytest.importorskip("open_clip")
TEXT = {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
ARCHITECTURES = {
    "tiny-vit": {"image_size": 32, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8},
    "tiny-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
}


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 90, 3), np.uint8))


@pytest.fixture(scope="module", autouse=True)
def architectures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small architectures beside those that open_clip knows."""
    folder = tmp_path_factory.mktemp("configs")
    for name, vision in ARCHITECTURES.items():
        config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    for name in ARCHITECTURES:
        open_clip.factory._MODEL_CONFIGS.pop(name)


def network(name: str = "tiny-vit", seed: int = 0, **arguments: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.create_model(name, pretrained=None, **arguments).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(network().state_dict(), tmp_path / "clip.pt")
    return tmp_path / "clip.pt"


def answers(model: Any, texts: list[str], image: torch.Tensor) -> torch.Tensor:
    """What open_clip itself says of an image and these texts."""
    with torch.no_grad():
        return model.get_logits(image, open_clip.get_tokenizer("tiny-vit")(texts))[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("bias", [None, -3.0])
def test_a_clip_network_answers_what_open_clip_says(name, bias):
    own = network(name, init_logit_bias=bias)
    model = load(own, CLASSES, prompts=["a photo of a {}."])
    image = model.prepare(noise())[0][None]
    with torch.no_grad():
        logits = model.logits(image)
    expected = answers(own, [f"a photo of a {c}." for c in CLASSES], image)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert logits.std() > 0
    assert (model.classes, model.name) == (CLASSES, "CLIP")


def test_a_clip_network_brings_the_preprocessing_that_its_factory_wrote_on_it():
    own = network(force_preprocess_cfg={"resize_mode": "longest", "fill_color": 100})
    model = load(own, CLASSES)
    config = open_clip.transform.PreprocessCfg(**own.visual.preprocess_cfg)
    assert torch.equal(
        model.prepare(noise())[0], open_clip.transform.image_transform_v2(config, is_train=False)(noise())
    )
    assert model.prepare(noise())[1].height == pytest.approx(32 / 21, abs=0.02)


def test_a_name_takes_the_weights_of_a_file(weights):
    model = load("open_clip:tiny-vit", CLASSES, weights=weights)
    assert model.name == "tiny-vit"
    assert model.fingerprint == load(network(), CLASSES).fingerprint
    assert not model.module.training


def test_a_name_with_a_tag_takes_open_clips_own_weights(monkeypatch):
    """What open_clip would fetch from its hub is put in its place."""
    asked = []

    def stand_in(name: str, **arguments: Any) -> nn.Module:
        asked.append((name, arguments))
        return network(force_context_length=77)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", stand_in)
    assert load("open_clip:ViT-B-32/openai", CLASSES, resize(32)).classes == CLASSES
    assert asked == [("ViT-B-32", {"pretrained": "openai", "return_transform": False})]


def test_a_local_folder_of_open_clip_is_loaded(tmp_path):
    own = network()
    config = {"embed_dim": 8, "vision_cfg": ARCHITECTURES["tiny-vit"], "text_cfg": TEXT}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.save(own.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    model = load(f"open_clip:local-dir:{tmp_path}", CLASSES)
    assert model.fingerprint == load(own, CLASSES).fingerprint


@pytest.mark.parametrize(
    ("name", "offer"), [("ViT-B-32", "Choose one of `commonpool"), ("ViT-B-32/openay", "Did you mean `openai`")]
)
def test_a_name_without_a_known_tag_offers_those_that_are_known(name, offer):
    with pytest.raises(UnknownNameError, match=rf"pretrained tag of ViT-B-32.*{offer}.*Write open_clip:ViT-B-32/TAG"):
        load(f"open_clip:{name}", CLASSES)


def test_an_unknown_architecture_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known open_clip model, but got 'ViT-B-33'.*`ViT-B-32`"):
        load("open_clip:ViT-B-33/openai", CLASSES)


def test_weights_that_do_not_fit_leave_the_network_as_it_was(weights):
    own = network("tiny-resnet")
    before = Snapshot.of(own)
    with pytest.raises(ModelError, match="to hold a state dict for CLIP"):
        load(own, CLASSES, weights=weights)
    assert before.differences(Snapshot.of(own)) == []


@pytest.mark.parametrize("source", [lambda: "open_clip:tiny-vit", network], ids=["name", "network"])
def test_a_clip_model_without_classes_is_refused(source, weights):
    with pytest.raises(ModelError, match=r"`classes`, the names that .* is to choose from"):
        load(source(), weights=weights)


def test_a_tokenizer_of_its_own_is_passed_beside_the_network():
    own = network()
    seen: list[str] = []

    def tokenizer(texts: list[str]) -> torch.Tensor:
        seen.extend(texts)
        return open_clip.get_tokenizer("tiny-vit")(texts)

    load((own, tokenizer), CLASSES, prompts=["{}", "a {}"])
    assert seen == ["red", "a red", "green", "a green", "blue", "a blue"]
    own.vocab_size = 32000
    with pytest.raises(ModelError, match=r"tokenizer of CLIP, which is not CLIP's own.*Pass \(model, tokenizer\)"):
        load(own, CLASSES)


@pytest.mark.parametrize(
    ("name", "how", "layer"),
    [
        ("tiny-resnet", "grad_cam", "visual.layer3"),
        ("tiny-vit", "grad_cam", "visual.transformer.resblocks.1.ln_1"),
        ("tiny-vit", "occlusion", None),
    ],
)
def test_a_clip_model_is_explained(name, how, layer):
    own = network(name).train()
    before = Snapshot.of(own)
    model = load(own, CLASSES, layer=layer)
    values = [attribute(method(how), model, batch(model.probe_image(), i)).values for i in range(3)]
    assert torch.isfinite(torch.stack(values)).all()
    assert torch.stack(values).max() > 0
    assert before.differences(Snapshot.of(own)) == []


def test_the_fingerprint_covers_weights_architecture_classes_prompts_and_preprocessing():
    first = load(network(), CLASSES).fingerprint
    assert first == load(network(), CLASSES).fingerprint
    assert first == load(network(), CLASSES, prompts=["a photo of a {}."]).fingerprint
    others = [
        load(network(seed=1), CLASSES),
        load(network("tiny-resnet"), CLASSES),
        load(network(), ("a", "b", "c")),
        load(network(), CLASSES, prompts=["a drawing of a {}."]),
        load(network(), CLASSES, resize(32)),
    ]
    assert len({first, *(model.fingerprint for model in others)}) == 6


def test_more_texts_than_go_in_at_once_are_embedded_in_order():
    classes = [f"thing {i}" for i in range(300)]
    model = load(network(), classes)
    image = model.probe_image()
    with torch.no_grad():
        logits = model.logits(image)
    expected = answers(network(), [f"a photo of a {c}." for c in classes], image)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


class ZooClip:
    """FiftyOne's `TorchOpenClipModel`, without the weights that it fetches: `__init__` alone is skipped."""

    @staticmethod
    def of(own: nn.Module, **config: Any) -> Any:
        from fiftyone.utils.open_clip import TorchOpenClipModel

        source = TorchOpenClipModel.__new__(TorchOpenClipModel)
        source.config = SimpleNamespace(text_prompt="A photo of", **config)
        source._model, source._tokenizer = own, open_clip.get_tokenizer("tiny-vit")
        source._clip_preprocess = open_clip.image_transform(32, is_train=False)
        source._transforms, _ = source._build_transforms(SimpleNamespace(ragged_batches=None))
        source._classes, source._text_features, source._using_gpu = list(CLASSES), None, False
        return source


def test_a_clip_model_of_fiftyone_answers_the_same_through_both(fo):
    source = ZooClip.of(network())
    model = load(source)
    assert (model.classes, model.name) == (CLASSES, "TorchOpenClipModel")
    image = source.transforms(noise())[None]
    assert torch.equal(model.prepare(noise())[0][None], image)
    with torch.no_grad():
        expected, _ = source._get_class_logits(source._get_text_features(), source._model.encode_image(image))
        torch.testing.assert_close(model.logits(image), expected, rtol=1e-5, atol=1e-5)


def test_prompts_and_classes_of_a_fiftyone_clip_model_can_be_replaced(fo):
    source = ZooClip.of(network())
    model = load(source, ["cat", "dog"], prompts=["a photo of a {}."])
    expected = load(network(), ["cat", "dog"])
    assert torch.equal(model.module.text, expected.module.text)


def test_fiftyones_first_clip_model_is_taken_too(fo):
    """It embeds texts by a method of its own: its tokenizer takes one word at a time."""
    own = network()

    class FirstZooClip:
        def __init__(self) -> None:
            self._model, self._tokenizer = own, object()
            self.transforms, self.classes, self.config = resize(32), list(CLASSES), None

        def _embed_prompts(self, texts: list[str]) -> torch.Tensor:
            return own.encode_text(open_clip.get_tokenizer("tiny-vit")(texts))

    model = load(FirstZooClip(), prompts=["a photo of a {}."])
    assert torch.equal(model.module.text, load(own, CLASSES).module.text)


def test_class_prompts_of_fiftyone_that_are_no_template_are_refused(fo):
    with pytest.raises(ModelError, match=r"by a template, but got `class_prompts`. Pass `prompts="):
        load(ZooClip.of(network(), class_prompts={"red": "something red"}))


def test_prompts_that_are_no_templates_are_refused():
    with pytest.raises(ArgumentError, match=r"templates with \{\} where the class name goes"):
        load(network(), CLASSES, prompts=["a photo"])
