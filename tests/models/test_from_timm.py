"""timm by name and as a network; the weights are drawn and lie in local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from fiftyone_saliency.core.errors import ModelError, UnknownNameError
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.models.load import load
from tests.oracles import CLASSES, Snapshot, batch, method, resize

timm = pytest.importorskip("timm")


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8))


def network(name: str = "test_vit", seed: int = 0, **arguments: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(name, **{"num_classes": 3} | arguments).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of three classes for each architecture, and `whole` with the thousand of ImageNet."""
    folder = tmp_path_factory.mktemp("timm")
    states = {name: network(name).state_dict() for name in ("test_vit", "resnet10t")}
    states["whole"] = network(num_classes=1000).state_dict()
    for name, state in states.items():
        save_file({key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in states}


@pytest.mark.parametrize("name", ["test_vit", "resnet10t"])
def test_a_name_with_weights_of_a_file_is_timms_own_network_and_preprocessing(name, files):
    model = load(f"timm:{name}", CLASSES, weights=files[name])
    own = network(name)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(own), is_training=False)
    tensor, _ = model.prepare(noise())
    assert torch.equal(tensor, transform(noise()))
    with torch.no_grad():
        torch.testing.assert_close(model.logits(tensor[None]), own(tensor[None]))
    assert (model.classes, model.name) == (CLASSES, name)
    assert not model.module.training


def test_without_a_file_timms_own_weights_are_taken(files, monkeypatch):
    """What timm would fetch from its hub is put in its place."""
    asked: list[dict[str, Any]] = []
    create = timm.create_model

    def stand_in(name: str, **arguments: Any) -> nn.Module:
        asked.append({"name": name, **arguments})
        return create(name, pretrained=False, num_classes=1000)

    monkeypatch.setattr(timm, "create_model", stand_in)
    assert len(load("timm:test_vit").classes) == 1000
    assert asked == [{"name": "test_vit", "pretrained": True}]


def test_imagenets_names_come_where_the_configuration_says_so(files):
    classes = load("timm:test_vit", weights=files["whole"]).classes
    assert len(classes) == 1000
    assert classes[0] == "tench, Tinca tinca"
    # ImageNet's "crane" is a bird and a machine: each takes its column with it.
    assert [name for name in classes if name.startswith("crane")] == ["crane (134)", "crane (517)"]


def test_a_network_of_timm_brings_its_preprocessing_and_is_shared():
    own = network().train()
    before = Snapshot.of(own)
    model = load(own, CLASSES, layer="blocks.5.norm1")
    assert model.module is own
    assert model.name == "VisionTransformer"
    values = torch.cat([attribute(method("grad_cam"), model, batch(model.probe_image(), i)).values for i in range(3)])
    assert values.shape == (3, 10, 10)
    assert values.max() > 0
    assert before.differences(Snapshot.of(own)) == []


def test_a_network_of_timm_takes_the_weights_of_a_file(files):
    own = network(seed=5)
    model = load(own, CLASSES, weights=files["test_vit"])
    image = model.probe_image()
    with torch.no_grad():
        torch.testing.assert_close(model.logits(image), network()(image))


def test_a_real_convolutional_network_is_explained_without_saying_more(files):
    model = load("timm:resnet10t", CLASSES, weights=files["resnet10t"])
    values = torch.cat([attribute(method("grad_cam"), model, batch(model.probe_image(), i)).values for i in range(3)])
    assert model.cam_layer == "layer4"
    assert values.shape == (3, 6, 6)
    assert values.max() > 0


def test_a_network_of_other_classes_needs_their_names():
    """Three logits are not ImageNet, whatever the configuration was before."""
    with pytest.raises(ModelError, match=r"Expected `classes` .* but got None for VisionTransformer"):
        load(network())


def test_names_of_classes_that_a_configuration_brings_are_taken():
    own = network()
    own.pretrained_cfg = {**own.pretrained_cfg, "label_names": ["cat", "dog", "cow"]}
    assert load(own).classes == ("cat", "dog", "cow")


def test_transform_of_the_caller_comes_first():
    assert load(network(), CLASSES, resize(160)).prepare(noise())[0].shape == (3, 160, 160)
    assert torch.equal(load(network(), CLASSES, resize(160)).prepare(noise())[0], resize(160)(noise()))


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known timm model, but got 'resnet10'.*`resnet10t`"):
        load("timm:resnet10")


def test_weights_that_do_not_fit_are_refused(files):
    with pytest.raises(ModelError, match=r"resnet10t\.safetensors to hold a state dict for test_vit, but got: missing"):
        load("timm:test_vit", CLASSES, weights=files["resnet10t"])
    with pytest.raises(ModelError, match=r"size mismatch for head\.weight \(3, 64\) instead of \(2, 64\)"):
        load("timm:test_vit", CLASSES[:2], weights=files["test_vit"])


def test_the_fingerprint_is_equal_over_two_loads_and_tells_models_apart(files):
    def prints(name: str = "test_vit", **changes: Any) -> str:
        return load(f"timm:{name}", **{"classes": CLASSES, "weights": files[name]} | changes).fingerprint

    first = prints()
    assert first == prints()
    others = [
        prints("resnet10t"),
        prints(classes=("a", "b", "c")),
        prints(transform=resize(160)),
        prints(layer="norm"),
        load(network(seed=1), CLASSES).fingerprint,
    ]
    assert len({first, *others}) == 6
