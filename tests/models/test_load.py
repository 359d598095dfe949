from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomllib
import torch
from torch import nn
from torchvision import models

from fiftyone_saliency.core.errors import ArgumentError, MissingExtraError, ModelError, UnknownNameError
from fiftyone_saliency.core.targets import TargetSpec
from fiftyone_saliency.methods._registry import list_methods
from fiftyone_saliency.models import registry
from fiftyone_saliency.models.load import SOURCES, load
from fiftyone_saliency.runtime.worker import Explainer, Predictor
from tests.oracles import CLASSES, SmallCNN, adapt, method, resize

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return models.resnet18(weights=None, num_classes=3).eval()


@pytest.fixture(scope="module")
def weights(resnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(resnet.state_dict(), path)
    return path


def test_a_module_with_classes_and_transform_is_a_model():
    network, transform = SmallCNN(), resize()
    model = load(network, list(CLASSES), transform, "body.4")
    assert model.module is network
    assert (model.classes, model.transform, model.layer, model.name) == (CLASSES, transform, "body.4", "SmallCNN")


def test_a_module_without_a_transform_is_refused():
    with pytest.raises(ModelError, match="Expected `transform`, the preprocessing that SmallCNN was trained with"):
        load(SmallCNN(), CLASSES)


def test_a_module_without_classes_is_refused():
    with pytest.raises(ModelError, match=r"Expected `classes` to list .* but got None for SmallCNN"):
        load(SmallCNN(), transform=resize())


def test_an_unknown_layer_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known layer, but got 'heads'. Did you mean `head`"):
        load(SmallCNN(), CLASSES, resize(), "heads")


@pytest.mark.parametrize("thing", [3, None, [SmallCNN()], SmallCNN, {"model": 1}, (SmallCNN(), 3)])
def test_what_is_no_model_is_refused_with_the_choices(thing):
    with pytest.raises(ModelError, match=rf"any `torch.nn.Module`.* but got {type(thing).__name__}\.") as caught:
        load(thing, CLASSES, resize())
    for source in SOURCES:
        assert source.accepts in str(caught.value)


def test_a_loaded_model_is_taken_as_it_is():
    model = adapt(SmallCNN())
    assert load(model) is model


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [
        ({"classes": ["a", "b", "c"]}, ("a", "b", "c")),
        ({"transform": resize(12)}, None),
        ({"layer": "body.0"}, "body.0"),
    ],
)
def test_a_loaded_model_can_be_given_another_part(changes, attribute):
    model = adapt(SmallCNN(), "body.4")
    other = load(model, **changes)
    (name,) = changes
    assert getattr(other, name) == (attribute or changes[name])
    assert other.module is model.module
    kept = {"classes", "transform", "layer", "name"} - {name}
    assert {n: getattr(other, n) for n in kept} == {n: getattr(model, n) for n in kept}
    assert model.classes == CLASSES


# Attention and relevance propagation want networks of their own kind; controls look at no network.
OTHERS = {"attention", "propagation", "control"}
METHODS = [name for name, info in list_methods().items() if info.family not in OTHERS]


def probes() -> list[Callable[[Any], None]]:
    target = TargetSpec("red")
    explainers = [lambda model, n=n: Explainer(model, method(n), (target,), 51).probe() for n in METHODS]
    return [*explainers, lambda model: Predictor(model).probe()]


@pytest.mark.parametrize("probe", probes(), ids=[*METHODS, "predict"])
def test_a_probe_finds_classes_that_do_not_fit_before_the_first_image(probe):
    with pytest.raises(ModelError, match="the model returns 3 logits and `classes` has 2 names"):
        probe(load(SmallCNN(), CLASSES[:2], resize()))


@pytest.mark.parametrize("probe", probes(), ids=[*METHODS, "predict"])
def test_a_probe_finds_a_transform_that_gives_no_tensor(probe):
    with pytest.raises(ModelError, match=r"a tensor \(C, H, W\), but got Image"):
        probe(load(SmallCNN(), CLASSES, lambda image: image))


@pytest.mark.parametrize("probe", probes(), ids=[*METHODS, "predict"])
def test_a_probe_passes_a_model_that_fits(probe):
    probe(load(SmallCNN(), CLASSES, resize()))


def test_a_torchvision_name_takes_the_weights_of_a_file(resnet, weights):
    model = load("resnet18", CLASSES, resize(), weights=weights)
    images = torch.rand(1, 3, 40, 40)
    assert torch.equal(model.logits(images), resnet(images))
    assert model.classes == CLASSES
    assert model.name == "resnet18"
    assert not model.module.training


def test_a_checkpoint_may_hold_its_weights_under_state_dict(resnet, tmp_path):
    torch.save({"state_dict": resnet.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    assert load("resnet18", CLASSES, resize(), weights=str(tmp_path / "checkpoint.pt")).classes == CLASSES


def test_a_torchvision_name_brings_its_own_preprocessing(weights):
    model = load("resnet18", CLASSES, weights=weights)
    assert repr(model.transform) == repr(models.ResNet18_Weights.DEFAULT.transforms())


def test_weights_of_another_number_of_classes_say_what_does_not_fit(weights):
    with pytest.raises(ModelError, match=r"state dict for resnet18, but got: .*size mismatch for fc"):
        load("resnet18", CLASSES[:2], resize(), weights=weights)


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(ModelError, match="to hold a state dict for mobilenet_v3_small, but got"):
        load("mobilenet_v3_small", CLASSES, resize(), weights=weights)


def not_weights(kind: str, path: Path) -> None:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "whole module":
        torch.save(SmallCNN(), path)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "list", "whole module", "folder"])
def test_a_file_that_holds_no_weights_is_refused_by_its_name(kind, tmp_path):
    """A whole pickled module is code: it is refused too."""
    path = tmp_path / "weights.pt"
    not_weights(kind, path)
    with pytest.raises(ModelError, match=r"weights\.pt to hold a state dict for resnet18, but got: \S"):
        load("resnet18", CLASSES, resize(), weights=path)


class Intruder:
    """What a pickle can do when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def test_a_file_of_weights_never_runs_code(tmp_path):
    torch.save({"state_dict": Intruder(tmp_path / "was here")}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="to hold a state dict for resnet18"):
        load("resnet18", CLASSES, resize(), weights=tmp_path / "weights.pt")
    assert not (tmp_path / "was here").exists()


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"registered or torchvision model, but got 'resnet_18'.*`resnet18`"):
        load("resnet_18")


def test_an_unknown_name_says_what_other_sources_there_are():
    with pytest.raises(UnknownNameError, match=r"Other sources: .*`hf:.*`open_clip:.*`timm:resnet18`.*\.onnx"):
        load("tim:resnet18")


def test_weights_do_not_belong_to_a_registered_name(weights, monkeypatch):
    monkeypatch.setattr(registry, "_IN_PROCESS", {})
    registry.register("my-model", lambda: adapt(SmallCNN()), {})
    with pytest.raises(ArgumentError, match=r"`weights` only with .*, but got it for my-model"):
        load("my-model", weights=weights)


def test_weights_do_not_belong_to_a_loaded_model(weights):
    with pytest.raises(ArgumentError, match="`weights` only with a torch network, or the name of an architecture"):
        load(adapt(SmallCNN()), weights=weights)


@pytest.mark.parametrize(
    "source", [SmallCNN(), adapt(SmallCNN()), "resnet18", "timm:test_vit", len], ids=lambda s: type(s).__name__
)
def test_prompts_belong_to_a_clip_model_only(source):
    with pytest.raises(ArgumentError, match="`prompts` only with a CLIP model, whose classes are texts, but got it"):
        load(source, CLASSES, resize(), prompts=["a photo of a {}."])


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [
        ("timm:test_vit", "timm", "timm"),
        ("hf:/no/such/folder", "transformers", "huggingface"),
        ("open_clip:ViT-B-32/openai", "open_clip", "open-clip"),
        ("/no/such/file.onnx", "onnxruntime", "onnx"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(source, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"package {package} .*pip install 'fiftyone-saliency\[{extra}\]'"):
        load(source, CLASSES, resize())
    assert {s.extra for s in SOURCES} - {None} <= extras()


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(project["project"]["optional-dependencies"])


def test_nothing_optional_is_imported_before_it_is_needed():
    optional = {"timm", "transformers", "open_clip", "onnxruntime", "ultralytics", "fiftyone"}
    code = (
        "import sys; from fiftyone_saliency.models.load import load; from tests.oracles import *; "
        f"load(SmallCNN(), CLASSES, resize()); print(sorted({optional} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("file", ["best.ckpt", "runs/last.PT", Path("model.safetensors"), "program.pt2"])
def test_a_file_of_weights_alone_says_how_to_load_it(file):
    with pytest.raises(ModelError, match=r"Expected a network, but got the file .*`weights=` with this file"):
        load(file, ["a", "b"])
