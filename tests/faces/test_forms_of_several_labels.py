"""The forms on a dataset whose samples have several labels each: they offer what the SDK's verbs take."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from tests.e2e import colour_model
from tests.faces.test_operators import execute, refused, resolve

TREE = "ImageClassificationDirectoryTree"
LOADER = """
import fiftyone_saliency as fos
from tests.e2e import colour_model

def load():
    return fos.load_model(colour_model.load(), scores="sigmoid")
"""


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("FIFTYONE_SALIENCY_MODELS", str(tmp_path / "models.toml"))
    (tmp_path / "labels.py").write_text(LOADER)
    fos.register_model("labels", f"{tmp_path / 'labels.py'}:load")
    yield "labels"
    fos.unregister_model("labels")


@pytest.fixture
def samples(fo, dataset, pictures, tmp_path, monkeypatch):
    """Six pictures with one or two labels, and predictions that miss the second one."""
    monkeypatch.setenv("FIFTYONE_SALIENCY_FOLDERS", str(tmp_path))
    for i, path in enumerate(pictures[:6]):
        named = [fo.Classification(label=name) for name in ("red", "green")[: 1 + i % 2]]
        truth, said = fo.Classifications(classifications=named), fo.Classifications(classifications=named[:1])
        dataset.add_sample(fo.Sample(filepath=path, ground_truth=truth, predictions=said))
    return dataset


def test_one_label_is_explained_through_the_form(samples, model):
    form = resolve("compute_saliency", samples, {"target": "class"})
    assert refused(form) == set()
    assert form["target_class"]["type"]["values"] == ["green", "red"]
    assert form["gt_field"]["type"]["values"] == ["ground_truth", "predictions"]
    execute("compute_saliency", samples, {"model": model, "target": "class", "target_class": "green", "field": "why"})
    assert fos.load_run(samples, "why").request.target == "green"
    assert samples.count("why") == 6
    assert {"ground_truth", "predictions", "why"} <= set(samples.app_config.active_fields.paths)


@pytest.mark.parametrize(
    ("target", "wrong"),
    [("predicted", set()), ("top-2", set())] + [(t, {"gt_field"}) for t in ("ground_truth", "contrast", "all")],
)
def test_only_what_needs_one_true_class_asks_for_its_field(samples, target, wrong):
    assert refused(resolve("compute_saliency", samples, {"target": target})) == wrong


def test_a_dataset_without_labels_takes_any_class_of_the_model(fo, samples, model):
    samples.delete_sample_fields(["ground_truth", "predictions"])
    form = resolve("compute_saliency", samples, {"target": "class", "target_class": "blue"})
    assert refused(form) == set()
    execute("compute_saliency", samples, {"model": model, "target": "class", "target_class": "blue"})
    assert fos.load_run(samples, "saliency").request.target == "blue"


def test_without_predictions_the_models_own_are_explained(fo, samples, model):
    """The field of the truth is no prediction."""
    samples.delete_sample_fields(["ground_truth", "predictions"])
    samples.set_values("ground_truth", [fo.Classification(label="red")] * 6)
    fos.register_model("colours", f"{colour_model.__file__}:load")
    form = resolve("compute_saliency", samples)
    assert form["pred_field"]["default"] is None
    execute("compute_saliency", samples, {"model": "colours"})
    fos.unregister_model("colours")
    assert fos.load_run(samples, "saliency").request.pred_field is None
    assert samples.count("saliency") == 6


@pytest.mark.parametrize("format_name", ["FiftyOneImageClassificationDataset", "FiftyOneDataset"])
def test_several_labels_are_exported_and_read_back(samples, tmp_path, format_name):
    folder = tmp_path / "out"
    params = {"tag": "(all samples)", "dataset_type": format_name, "out_dir": str(folder)}
    form = resolve("export_for_retraining", samples, params)
    assert refused(form) == set()
    assert TREE not in form["dataset_type"]["type"]["values"], "it has one folder for an image"
    assert form["groups"]["type"]["values"] == ["(none)"]
    execute("export_for_retraining", samples, params)
    exported = fos.load_export(folder)
    path = "ground_truth.classifications.label"
    assert exported.values(path) == samples.values(path)
    exported.delete()
    params = params | {"out_dir": str(tmp_path / "other"), "weights": True}
    assert refused(resolve("export_for_retraining", samples, params)) == {"weights"}


def test_cells_of_pairs_are_tagged_and_saved(samples):
    form = resolve("tag_cell", samples)
    assert refused(form) == set()
    cell = {"truth": "green", "prediction": "(none)", "tag": "missed"}
    assert execute("tag_cell", samples, cell).result["count"] == 3
    assert samples.match_tags("missed").values("id") == samples.values("id")[1::2]
    assert refused(resolve("save_cell_views", samples)) == set()
    saved = execute("save_cell_views", samples, {}).result["names"]
    assert [len(samples.load_saved_view(name)) for name in saved] == [3]
