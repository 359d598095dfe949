"""The operators that ask for proof: forms that offer what is there, and answers in words."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from tests.e2e import colour_model
from tests.faces.test_operators import execute, refused, resolve


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Models that other tests registered must not be offered here."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))


@pytest.fixture
def model(own_models):
    fos.register_model("colours", f"{colour_model.__file__}:load")
    yield "colours"
    fos.unregister_model("colours")


@pytest.fixture
def samples(fo, dataset, pictures):
    """Pictures of a bright square, which is a region by mask and by box."""
    names, masks = colour_model.CLASSES, []
    for i in range(12):
        dataset.add_sample(fo.Sample(filepath=pictures[i], ground_truth=fo.Classification(label=names[i % 3])))
        mask = np.zeros((48, 64), np.uint8)
        mask[8 * (i % 4) : 8 * (i % 4) + 12, 12 * (i % 5) : 12 * (i % 5) + 12] = 1
        masks.append(fo.Segmentation(mask=mask))
    dataset.set_values("parts", masks)
    dataset.mask_targets = {"parts": {1: "square"}}
    dataset.save()
    return dataset


def test_hide_a_region(samples, model):
    form = resolve("hide_region", samples)
    assert form["model"]["type"]["values"] == ["colours"]
    assert form["regions"]["type"]["values"] == ["parts"]
    assert form["region"]["type"]["values"] == ["background", "square"]
    assert refused(form) == set()
    params = {"model": "colours", "regions": "parts", "region": "square", "fill": "mean", "controls": 2}

    execute("hide_region", samples, params | {"gt_field": "ground_truth", "store_field": "effect"})

    hidden = fos.hide_region(
        samples, colour_model.load(), "parts", "square", fill="mean", controls=2, pred_field=None, progress=False
    )
    assert samples.values("effect.flip") == hidden.column("flip")
    assert samples.values("effect.control_logit_change") == pytest.approx(hidden.column("control_logit_change"))


def test_hiding_needs_a_model_regions_and_one_of_them(fo, samples, model):
    assert refused(resolve("hide_region", samples, {"regions": "parts", "region": "hat"})) == {"region"}
    fos.unregister_model("colours")
    samples.delete_sample_field("parts")
    assert {"model", "regions"} <= refused(resolve("hide_region", samples))
    fos.register_model("colours", f"{colour_model.__file__}:load")


def test_check_trust(samples, model):
    assert "run" in refused(resolve("check_trust", samples))
    loaded = colour_model.load()
    fos.predict(samples, loaded, progress=False)
    fos.compute_saliency(samples, loaded, progress=False)
    form = resolve("check_trust", samples)
    assert form["run"]["type"]["values"] == ["saliency"]
    assert "not checked yet" in form["verdict"]["default"]
    assert refused(form) == set()

    execute("check_trust", samples, {"model": "colours", "run": "saliency", "count": 4})

    trust = fos.load_run(samples, "saliency").trust
    assert trust["randomisation"].value.n == 4
    shown = resolve("check_trust", samples, {"run": "saliency"})["verdict"]["default"]
    assert ("**passed**" if trust.passed else "**did not pass**") in shown
    assert trust["randomisation"].reason in shown
