"""Classifiers and CLIP models of transformers, tiny and with drawn weights, from a folder and as objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from tests.oracles import CLASSES, Snapshot, batch, method, resize

transformers = pytest.importorskip("transformers")
LABELS = {0: "cat", 1: "dog", 2: "crane", 3: "crane"}
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = SMALL | {"image_size": 32, "patch_size": 8}
TEMPLATES = ["a photo of a {}.", "the {} on a shelf"]


def noise(width: int = 50, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8))


def drawn(make: Callable[[], nn.Module]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def vit(**changes: Any) -> Any:
    config = transformers.ViTConfig(**VISION | changes, id2label=LABELS, label2id={})
    return drawn(lambda: transformers.ViTForImageClassification(config))


def resnet() -> Any:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    config.id2label = LABELS
    return drawn(lambda: transformers.ResNetForImageClassification(config))


def square() -> Any:
    return transformers.ViTImageProcessor(size={"height": 32, "width": 32})


def tokenizer() -> Any:
    """Letters, and the two marks that CLIP's has."""
    letters = [chr(c) for c in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return transformers.CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def clip(kind: str = "CLIP") -> Any:
    text = SMALL | {"vocab_size": 200, "max_position_embeddings": 24, "pad_token_id": 1, "bos_token_id": 0}
    config = getattr(transformers, f"{kind}Config")(text_config=text | {"eos_token_id": 1}, vision_config=VISION)
    return drawn(lambda: getattr(transformers, f"{kind}Model")(config))


def clip_processor() -> Any:
    image = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return transformers.CLIPProcessor(image_processor=image, tokenizer=tokenizer())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder per model, as `save_pretrained` writes them."""
    root = tmp_path_factory.mktemp("hub")
    models = {"vit": (vit(), square()), "resnet": (resnet(), square()), "clip": (clip(), clip_processor())}
    models["backbone"] = (drawn(lambda: transformers.ViTModel(transformers.ViTConfig(**VISION))), square())
    for name, (model, processor) in models.items():
        model.save_pretrained(root / name)
        processor.save_pretrained(root / name)
    return root


@pytest.mark.parametrize(("name", "make"), [("vit", vit), ("resnet", resnet)])
def test_a_folder_brings_network_classes_and_preprocessing(name, make, folder):
    model = load(f"hf:{folder / name}")
    assert model.classes == ("cat", "dog", "crane (2)", "crane (3)")
    assert model.name == str(folder / name)
    assert not model.module.training
    tensor, placement = model.prepare(noise())
    pixels = square()(images=noise(), return_tensors="pt")["pixel_values"]
    assert torch.equal(tensor, pixels[0])
    assert placement.width == pytest.approx(1, abs=0.01)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(tensor[None]), make()(pixel_values=pixels).logits)


@pytest.mark.parametrize(("name", "layer"), [("vit", "vit.layers.1.layernorm_before"), ("resnet", None)])
@pytest.mark.parametrize("how", ["grad_cam", "occlusion"])
def test_a_loaded_classifier_is_explained(name, layer, how, folder):
    model = load(f"hf:{folder / name}", layer=layer)
    values = torch.cat([attribute(method(how), model, batch(model.probe_image(), i)).values for i in range(3)])
    assert torch.isfinite(values).all()
    assert values.abs().max() > 0


def sources() -> dict[str, Callable[[], tuple[Any, dict[str, Any]]]]:
    return {
        "pair": lambda: ((vit(), square()), {}),
        "processor as transform": lambda: (vit(), {"transform": square()}),
        "pipeline": lambda: (
            transformers.pipeline("image-classification", model=vit(), image_processor=square(), device="cpu"),
            {},
        ),
    }


@pytest.mark.parametrize("kind", sources())
def test_objects_are_taken_as_a_folder_is(kind, folder):
    source, arguments = sources()[kind]()
    model, expected = load(source, **arguments), load(f"hf:{folder / 'vit'}")
    assert model.classes == expected.classes
    assert model.fingerprint == expected.fingerprint
    assert model.name == "ViTForImageClassification"


def test_the_network_of_a_pair_is_shared_and_left_as_it_was():
    network = vit().train()
    before = Snapshot.of(network)
    model = load((network, square()))
    assert model.module is network
    attribute(method("integrated_gradients", steps=2), model, batch(model.probe_image(), 1))
    assert before.differences(Snapshot.of(network)) == []


def test_classes_and_transform_of_the_caller_come_first(folder):
    model = load(f"hf:{folder / 'vit'}", ["a", "b", "c", "d"], resize(32))
    assert model.classes == ("a", "b", "c", "d")
    assert torch.equal(model.prepare(noise())[0], resize(32)(noise()))


def test_a_network_without_processor_is_refused_with_the_way_out():
    with pytest.raises(ModelError, match=r"processor that ViTForImageClassification .*Pass \(model, processor\)"):
        load(vit())


def test_a_network_that_was_trained_for_regression_is_refused():
    network = vit()
    network.config.problem_type = "regression"
    with pytest.raises(ModelError, match="was trained for regression"):
        load((network, square()))


def test_a_backbone_without_a_trained_head_is_refused(folder):
    """Its head would be drawn at random, and its maps noise."""
    with pytest.raises(ModelError, match=r"trained image classifier, but its weights lack classifier\.bias"):
        load(f"hf:{folder / 'backbone'}")


@pytest.mark.parametrize("content", [None, "{}", '{"model_type": "bert"}', '{"model_type": "no such model"}'])
def test_a_folder_that_holds_no_image_classifier_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match="to be a folder or a hub id of an image classifier or a CLIP model, but got"):
        load(f"hf:{tmp_path}")


def test_code_that_a_folder_brings_is_not_run(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "code.Config", '
        '"AutoModelForImageClassification": "code.Model"}}'
    )
    (tmp_path / "code.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'was here')!r}).touch()")
    with pytest.raises(ModelError, match="but got"):
        load(f"hf:{tmp_path}")
    assert not (tmp_path / "was here").exists()


def test_weights_do_not_belong_to_a_folder(folder):
    with pytest.raises(ArgumentError, match="`weights` only with a torch network"):
        load(f"hf:{folder / 'vit'}", weights="weights.pt")


def test_the_fingerprint_is_equal_over_two_loads_and_tells_models_apart(folder):
    def prints(name: str, **arguments: Any) -> str:
        return load(f"hf:{folder / name}", **arguments).fingerprint

    first = prints("vit")
    assert first == prints("vit")
    others = [
        prints("resnet"),
        prints("vit", classes=["a", "b", "c", "d"]),
        prints("vit", transform=resize(32)),
        load((vit(num_hidden_layers=1), square())).fingerprint,
    ]
    assert len({first, *others}) == 5


def expected_logits(model: Any, processor: Any, texts: list[str]) -> torch.Tensor:
    """What transformers itself says of an image and these texts."""
    tokens = processor.tokenizer(texts, padding="max_length", max_length=24, truncation=True, return_tensors="pt")
    if model.config.model_type == "siglip":
        tokens.pop("attention_mask")
    pixels = processor.image_processor(images=noise(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return model(pixel_values=pixels, **tokens).logits_per_image


@pytest.mark.parametrize("kind", ["CLIP", "Siglip", "MetaClip2"])
def test_a_clip_model_answers_what_transformers_says(kind):
    network, parts = clip(kind), clip_processor()
    processor = SimpleNamespace(image_processor=parts.image_processor, tokenizer=parts.tokenizer)
    model = load((network, processor), CLASSES, prompts=["a photo of a {}."])
    with torch.no_grad():
        logits = model.logits(model.prepare(noise())[0][None])
    texts = [f"a photo of a {name}." for name in CLASSES]
    torch.testing.assert_close(logits, expected_logits(network, processor, texts), rtol=1e-5, atol=1e-5)
    assert logits.std() > 0


def test_a_class_is_the_mean_direction_of_its_prompts(folder):
    model = load(f"hf:{folder / 'clip'}", CLASSES, prompts=TEMPLATES)
    each = [load(f"hf:{folder / 'clip'}", CLASSES, prompts=[template]).module.text for template in TEMPLATES]
    assert all(torch.allclose(text.norm(dim=1), torch.ones(3)) for text in each)
    total = each[0] + each[1]
    torch.testing.assert_close(model.module.text, total / total.norm(dim=1, keepdim=True))
    assert not torch.allclose(each[0], each[1], atol=1e-3)


@pytest.mark.parametrize("how", ["integrated_gradients", "occlusion"])
def test_a_clip_model_is_explained(how, folder):
    model = load(f"hf:{folder / 'clip'}", CLASSES)
    values = torch.cat([attribute(method(how), model, batch(model.probe_image(), i)).values for i in range(3)])
    assert torch.isfinite(values).all()
    assert values.abs().max() > 0


def test_the_fingerprint_of_a_clip_model_covers_classes_and_prompts(folder):
    def prints(classes: Any, prompts: Any = None) -> str:
        return load(f"hf:{folder / 'clip'}", classes, prompts=prompts).fingerprint

    first = prints(CLASSES)
    assert first == prints(list(CLASSES)) == prints(CLASSES, ["a photo of a {}."])
    assert len({first, prints(("red", "green", "bleu")), prints(CLASSES, TEMPLATES)}) == 3


def test_a_clip_model_without_classes_is_refused(folder):
    with pytest.raises(ModelError, match=r"`classes`, the names that .* is to choose from"):
        load(f"hf:{folder / 'clip'}")


@pytest.mark.parametrize("prompts", ["a photo of a {}.", [], ["a photo"], [3]])
def test_prompts_without_a_place_for_the_class_are_refused(prompts, folder):
    with pytest.raises(ArgumentError, match=r"templates with \{\} where the class name goes"):
        load(f"hf:{folder / 'clip'}", CLASSES, prompts=prompts)


def test_a_clip_model_without_its_tokenizer_is_refused():
    with pytest.raises(ModelError, match=r"the tokenizer of CLIPModel .*whole processor"):
        load((clip(), clip_processor().image_processor), CLASSES)


def test_prompts_do_not_belong_to_a_classifier(folder):
    with pytest.raises(ArgumentError, match="`prompts` only with a CLIP model"):
        load(f"hf:{folder / 'vit'}", prompts=TEMPLATES)


def test_a_clip_network_in_training_is_given_back_in_training():
    network = clip().train()
    before = Snapshot.of(network)
    load((network, clip_processor()), CLASSES)
    assert before.differences(Snapshot.of(network)) == []
