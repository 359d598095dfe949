from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tomllib
import torch
from PIL import Image

from fiftyone_saliency.api.models import list_models, load_registered
from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.models import load as load_module
from fiftyone_saliency.models import registry
from fiftyone_saliency.models.load import load
from fiftyone_saliency.models.registry import models_file, register, registered_models, unregister
from tests.oracles import CLASSES, SmallCNN, adapt, resize

CODE = """
from tests.oracles import SmallCNN, adapt, resize

def make(side=40):
    return adapt(SmallCNN(), "body.4", resize(side))

def broken():
    raise OSError("the disk is gone")
"""
SETTINGS = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Settings:
    side: int = 16
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry of its own for each test."""
    path = tmp_path / "config" / "models.toml"
    monkeypatch.setenv(registry.FILE_VARIABLE, str(path))
    monkeypatch.setattr(registry, "_IN_PROCESS", {})
    yield path
    assert list(tmp_path.glob("config/*.part")) == []


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "my models.py"
    path.write_text(CODE)
    return path


def test_a_function_is_registered_for_this_process_only(file):
    register("mine", lambda layer: adapt(SmallCNN(), layer), {"layer": "body.0"})
    model = load("mine")
    assert (model.name, model.layer) == ("mine", "body.0")
    assert not file.exists()


def test_a_module_and_function_are_registered_in_the_file(file):
    register("small", "tests.oracles:SmallCNN", {"classes": 3})
    assert tomllib.loads(file.read_text()) == {
        "small": {"loader": "tests.oracles:SmallCNN", "arguments": {"classes": 3}}
    }
    assert type(registered_models()["small"].load()).__name__ == "SmallCNN"


def test_a_python_file_and_function_are_registered_in_the_file(code):
    register("mine", f"{code}:make", {"side": 16})
    tensor, _ = load("mine").prepare(Image.new("RGB", (30, 20)))
    assert tensor.shape == (3, 16, 16)


def test_a_python_file_may_hold_dataclasses_with_postponed_annotations(tmp_path):
    """They look up the module that they are in."""
    path = tmp_path / "settings.py"
    path.write_text(SETTINGS)
    register("mine", f"{path}:Settings", {})
    assert registered_models()["mine"].load().side == 16


@pytest.mark.parametrize("name", ["plain", "with space", "dotted.name", 'quo"te', "ünï", "a\nb"])
def test_any_name_and_plain_argument_comes_back_from_the_file(name):
    arguments = {
        "text": 'a "b" \\ ü',
        "count": 3,
        "share": 0.5,
        "switch": True,
        "list": [1, 2],
        "table": {"a": {"b": 1}},
    }
    register("other", "a:b", {})
    register(name, "package.module:function", arguments)
    found = registered_models()
    assert list(found) == ["other", name]
    assert (found[name].loader, found[name].arguments) == ("package.module:function", arguments)


def test_a_changed_part_of_a_registered_model_keeps_its_name(code):
    register("mine", f"{code}:make", {})
    model = load("mine", layer="body.0", classes=["a", "b", "c"])
    assert (model.name, model.layer, model.classes) == ("mine", "body.0", ("a", "b", "c"))


def test_registering_again_replaces_whichever_it_was(code):
    register("mine", lambda: adapt(SmallCNN(), "body.0"), {})
    register("mine", f"{code}:make", {})
    assert load("mine").layer == "body.4"
    register("mine", lambda: adapt(SmallCNN(), "body.0"), {})
    assert load("mine").layer == "body.0"


def test_a_registered_name_comes_before_torchvisions():
    register("resnet18", lambda: adapt(SmallCNN(), "body.0"), {})
    assert type(load("resnet18").module) is SmallCNN


def test_a_forgotten_model_is_forgotten_in_the_process_and_in_the_file(file, code):
    register("mine", f"{code}:make", {})
    register("other", "a:b", {})
    register("mine", lambda: None, {})
    unregister("mine")
    assert list(registered_models()) == ["other"]
    assert list(tomllib.loads(file.read_text())) == ["other"]
    with pytest.raises(UnknownNameError, match="known registered model, but got 'mine'"):
        unregister("mine")


def test_an_unknown_name_offers_the_registered_ones():
    register("professions-before", "a:b", {})
    with pytest.raises(UnknownNameError, match=r"Did you mean `professions-before`"):
        load("profession-before")


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(ArgumentError, match="Expected `name` to be a non-empty string"):
        register(name, "a:b", {})


@pytest.mark.parametrize("loader", ["torchvision.models.resnet18", "", 42])
def test_a_loader_that_is_no_function_and_names_none_is_refused(loader, file):
    with pytest.raises(ArgumentError, match=r"Expected `loader` to be .*'package.module:function'"):
        register("mine", loader, {})
    assert not file.exists()


def test_an_argument_that_a_file_cannot_hold_is_refused_and_leaves_the_file_as_it_was(file):
    """TOML knows no None."""
    register("other", "a:b", {})
    before = file.read_text()
    with pytest.raises(ArgumentError, match="arguments"):
        register("mine", "a:b", {"weights": None})
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        ("no_such_package:make", "No module named 'no_such_package'"),
        ("tests.oracles:no_such_function", "no_such_function"),
        ("/no/such/file.py:make", "No such file"),
        (":make", "Empty module name"),
    ],
)
def test_a_loader_that_cannot_be_found_says_which_entry_to_mend(loader, reason, file):
    register("mine", loader, {})
    with pytest.raises(ModelError, match=rf"of model 'mine' to be importable, but got: .*{reason}.*models\.toml"):
        load("mine")


def test_a_loader_that_fails_says_why(code):
    register("mine", f"{code}:broken", {})
    with pytest.raises(ModelError, match="registered model 'mine' to load, but got: the disk is gone") as caught:
        load("mine")
    assert isinstance(caught.value.__cause__, OSError)


def test_arguments_that_the_loader_does_not_know_are_refused(code):
    register("mine", f"{code}:make", {"sides": 3})
    with pytest.raises(ModelError, match=r"registered model 'mine' to load, but got: .*'sides'"):
        load("mine")


@pytest.mark.parametrize(
    "text",
    [
        b"not toml =",
        b"[mine]\nargument = 1\n",
        b"mine = 3\n",
        b'mine = "a:b"\n',
        b"[mine]\nloader = 3\n",
        b'[mine]\nloader = "a:b"\narguments = 3\n',
        b'[mine]\nloader = "a:\xff"\n',
    ],
    ids=["no TOML", "no loader", "a number", "a text", "a loader of 3", "arguments of 3", "no UTF-8"],
)
def test_a_file_that_was_broken_by_hand_is_named(text, file):
    file.parent.mkdir()
    file.write_bytes(text)
    with pytest.raises(ModelError, match=r"models\.toml to hold entries like \[my-model\] loader"):
        registered_models()
    with pytest.raises(ModelError, match=r"models\.toml to hold entries"):
        register("other", "a:b", {})
    assert file.read_bytes() == text


def test_without_a_file_nothing_is_registered(file):
    assert registered_models() == {}
    assert models_file() == file


def test_the_file_lies_beside_fiftyones_configuration(monkeypatch, tmp_path):
    monkeypatch.delenv(registry.FILE_VARIABLE)
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", str(tmp_path / "fo" / "config.json"))
    assert models_file() == tmp_path / "fo" / "saliency_models.toml"
    monkeypatch.delenv("FIFTYONE_CONFIG_PATH")
    assert models_file() == Path.home() / ".fiftyone" / "saliency_models.toml"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that brings two models by entry points."""
    site = tmp_path / "site"
    (site / "greens-1.0.dist-info").mkdir(parents=True)
    (site / "greens_models.py").write_text(CODE)
    (site / "greens-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: greens\nVersion: 1.0\n")
    (site / "greens-1.0.dist-info" / "entry_points.txt").write_text(
        "[fiftyone_saliency.models]\ngreens = greens_models:make\nlost = greens_models:no_such\n"
    )
    monkeypatch.syspath_prepend(site)
    registry._of_packages.cache_clear()
    yield site
    registry._of_packages.cache_clear()
    sys.modules.pop("greens_models", None)


def test_a_package_brings_models_by_entry_points_and_nothing_is_imported_to_list_them(package):
    assert list_models() == ["greens", "lost"]
    assert "greens_models" not in sys.modules
    model = load("greens")
    assert (model.name, model.layer) == ("greens", "body.4")


def test_process_comes_before_file_and_file_before_packages(package, code):
    register("greens", "tests.oracles:SmallCNN", {})
    assert registered_models()["greens"].loader == "tests.oracles:SmallCNN"
    register("greens", SmallCNN, {})
    assert registered_models()["greens"].loader is SmallCNN
    unregister("greens")
    assert registered_models()["greens"].package == "greens"


def test_a_broken_entry_point_names_its_package(package):
    with pytest.raises(ModelError, match=r"'greens_models:no_such' of model 'lost' .* Mend the package greens\."):
        load("lost")


def test_a_model_of_a_package_cannot_be_forgotten(package):
    with pytest.raises(ArgumentError, match=r"'greens' comes with the installed package greens\. Uninstall that"):
        unregister("greens")


def test_a_registered_function_may_return_whatever_load_model_takes():
    register("function", lambda: lambda images: images.mean(dim=(2, 3)), {})
    register("resnet18", lambda: "resnet18", {})
    register("nothing", lambda: None, {})
    register("itself", lambda: "itself", {})
    assert load("function", CLASSES, resize()).name == "function"
    with pytest.raises(ModelError, match="but got NoneType"):
        load("nothing")
    with pytest.raises(UnknownNameError, match="but got 'itself'"):
        load("itself")


def test_a_registered_name_is_loaded_for_a_form(code):
    register("mine", f"{code}:make", {})
    assert load_registered("mine").name == "mine"


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """Files of every kind that `load_model` would open, were it given their names."""
    torch.save(SmallCNN(), tmp_path / "model.pt")
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "model.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')")
    return tmp_path


@pytest.mark.parametrize(
    "sent",
    [
        "timm:resnet18",
        "timm:hf-hub:someone/something",
        "hf:google/vit-base-patch16-224",
        "hf:{traps}",
        "open_clip:ViT-B-32/openai",
        "open_clip:local-dir:{traps}",
        "resnet18",
        "{traps}",
        "{traps}/model.onnx",
        "{traps}/model.pt",
        "{traps}/model.py:make",
        "os:getcwd",
        "builtins:print",
        "Mine",
        "mine ",
        "",
        None,
        3,
        ["mine"],
        {"loader": "os:getcwd"},
    ],
)
def test_a_form_can_only_send_a_registered_name(sent, traps, monkeypatch):
    register("mine", lambda: adapt(SmallCNN()), {})
    if isinstance(sent, str):
        sent = sent.replace("{traps}", str(traps))
    monkeypatch.setattr(load_module, "_from_source", lambda *_: pytest.fail("a source was opened"))
    monkeypatch.setattr(registry, "_resolve", lambda *_: pytest.fail("code was looked up"))
    with pytest.raises(UnknownNameError, match=r"Expected a known registered model, but got"):
        load_registered(sent)
    assert not (traps / "was here").exists()


def test_models_registered_at_the_same_time_are_all_kept(file):
    names = [f"model-{i}" for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: register(name, "package.module:load", {}), names))

    assert sorted(registered_models()) == sorted(names)


def test_a_refused_model_leaves_the_one_of_this_process(file):
    register("mine", lambda: None, {})

    with pytest.raises(ArgumentError, match="plain values that TOML can hold"):
        register("mine", "package.module:load", {"x": object()})

    assert callable(registered_models()["mine"].loader)
