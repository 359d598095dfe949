"""The enrichment and export forms, headless: what they offer, what they refuse, what they do and how it is undone."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from operators.enrich import arguments
from tests.e2e import colour_model
from tests.faces.test_operators import execute, refused, resolve

ASK = {
    "field": "saliency",
    "regions": "boxes",
    "right": ["uniform"],
    "gt_field": "ground_truth",
    "pred_field": "predictions",
    "pool": "(none: only say what is missing)",
}


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Models that other tests registered must not be offered here."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))


@pytest.fixture
def model():
    fos.register_model("colours", f"{colour_model.__file__}:load")
    yield "colours"
    fos.unregister_model("colours")


@pytest.fixture
def samples(fo, dataset, pictures):
    """Six pictures that are right because of their heads, and a pool of six with maps and without prediction."""
    found = []
    for i, path in enumerate(pictures):
        label = fo.Classification(label=colour_model.CLASSES[i % 3])
        sample = fo.Sample(filepath=path, ground_truth=label, tags=["pool" if i >= 6 else "seen"])
        boxes = {"head": [0, 0, 1, 0.5], "uniform": [0, 0.5, 1, 0.5]}
        sample["boxes"] = fo.Detections(detections=[fo.Detection(label=n, bounding_box=b) for n, b in boxes.items()])
        sample["predictions"] = None if i >= 6 else label.copy()
        sample["saliency"] = fo.Heatmap(map=np.repeat([[1.0], [0.1]], 2, 1).astype(np.float32))
        found.append(sample)
    dataset.add_samples(found, progress=False)
    dataset.save_view("held out", dataset.match_tags("pool"))
    return dataset


def test_the_form_offers_regions_pools_and_registered_models(samples, model):
    form = resolve("plan_enrichment", samples, ASK)
    assert form["regions"]["type"]["values"] == ["boxes"]
    assert {choice["value"] for choice in form["right"]["view"]["choices"]} == {"head", "uniform", "background"}
    assert form["pool"]["type"]["values"] == [ASK["pool"], "saved view: held out", "tag: pool", "tag: seen"]
    assert "model" not in form, "without a pool nothing is embedded"
    assert refused(form) == set()

    form = resolve("plan_enrichment", samples, ASK | {"pool": "tag: pool"})
    assert form["model"]["type"]["values"] == fos.list_models()
    assert refused(form) == set()


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"right": ["unifrom"]}, {"right"}),
        ({"pool": "tag: pool", "tag": " "}, {"tag"}),
        ({"pool": "tag: pool", "count": -1}, {"count"}),
    ],
)
def test_the_form_refuses_what_makes_no_sense(samples, model, params, wrong):
    assert refused(resolve("plan_enrichment", samples, ASK | params)) == wrong


def test_the_form_of_a_dataset_without_maps_or_regions_says_what_is_missing(fo, dataset, pictures):
    dataset.add_sample(fo.Sample(filepath=pictures[0], ground_truth=fo.Classification(label="red")))
    form = resolve("plan_enrichment", dataset, {})
    assert {"field", "regions"} <= refused(form)
    assert "compute maps" in form["field"]["error_message"]


def test_a_plan_alone_tags_nothing(samples):
    before = samples.count_sample_tags()
    answer = execute("plan_enrichment", samples, ASK, view=samples.match_tags("seen")).result
    assert answer["needed"] == 6
    assert "6 samples fail, 6 pictures are needed" in answer["text"]
    assert "red → red: 2 pictures of 'red' with another head than the usual one." in answer["text"]
    assert "tagged" not in answer
    assert samples.count_sample_tags() == before


@pytest.mark.parametrize("pool", ["tag: pool", "saved view: held out"])
def test_proposals_are_tagged_and_untagged(samples, model, pool):
    params = ASK | {"pool": pool, "model": model, "apply": True, "tag": "more"}
    before = samples.count_sample_tags()

    answer = execute("plan_enrichment", samples, params, view=samples.match_tags("seen")).result

    tagged = samples.match_tags("more")
    assert answer["tagged"] == len(tagged)
    assert 0 < len(tagged) == len(tagged.match_tags("pool"))
    assert f"{len(tagged)} samples got the tag 'more'" in answer["text"]
    assert "Remove the tag instead" in answer["text"]

    undone = execute("plan_enrichment", samples, params | {"remove": True}, view=samples.match_tags("seen")).result
    assert undone["untagged"] == answer["tagged"]
    assert samples.count_sample_tags() == before


def test_at_most_so_many_are_proposed(samples, model):
    params = ASK | {"pool": "tag: pool", "model": model, "apply": True, "tag": "more", "count": 1}
    execute("plan_enrichment", samples, params, view=samples.match_tags("seen"))
    assert len(samples.match_tags("more")) == 1


def test_a_browser_cannot_name_anything_but_a_registered_model(samples, tmp_path):
    with pytest.raises(fos.SaliencyError, match="known registered model"):
        arguments(ASK | {"pool": "tag: pool", "model": f"{tmp_path}/trap.py:load"})


def test_the_export_form_adds_groups_weights_and_masks(samples, tmp_path):
    folder = tmp_path / "out"
    params = {
        "tag": "seen",
        "gt_field": "ground_truth",
        "dataset_type": "ImageClassificationDirectoryTree",
        "heatmaps": True,
        "out_dir": str(folder),
        "groups": "reason",
        "weights": True,
        "masks": True,
        "field": "saliency",
        "regions": "boxes",
    }
    form = resolve("export_for_retraining", samples, params)
    assert form["groups"]["type"]["values"] == ["(none)", "class", "reason", "ground_truth", "predictions"]
    assert refused(form) == set()
    assert "regions" not in resolve("export_for_retraining", samples, {"groups": "class"})

    execute("export_for_retraining", samples, params)

    exported = fos.load_export(folder)
    assert set(exported.values("sample_group")) == {"red × head", "green × head", "blue × head"}
    assert exported.values("sample_weight") == [1.0] * 6
    assert {mask.get_mask().shape for mask in exported.values("region_mask")} == {(48, 64)}
    exported.delete()
