"""The operator that writes a report: its form refuses what cannot be written, and it writes what the SDK writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from tests.faces.test_operators import execute, refused, resolve
from tests.reasoned import make


@pytest.fixture(scope="module")
def dataset(fo, pictures):
    dataset = make(pictures)
    yield dataset
    dataset.delete()


def test_the_form_offers_what_is_there(dataset):
    form = resolve("write_report", dataset)
    assert (form["field"]["default"], form["regions"]["default"]) == ("saliency", "regions")
    assert [choice["value"] for choice in form["right"]["view"]["choices"]] == ["background", "square"]
    assert form["compare_with"]["type"]["values"] == ["saliency_after"]
    assert Path(form["out"]["default"]).is_absolute()
    assert refused(form) == set()


def test_a_report_is_written_where_the_form_says_and_replaced_only_when_confirmed(dataset):
    out = resolve("write_report", dataset)["out"]["default"]
    params = {
        "field": "saliency",
        "regions": "regions",
        "right": ["square"],
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "out": out,
    }

    execute("write_report", dataset, params)

    data = json.loads(Path(out).with_suffix(".json").read_text(encoding="utf-8"))
    found = fos.reasons(dataset, regions="regions", right=["square"])
    assert data["reasons"] == json.loads(json.dumps(found.to_json()))
    assert Path(out).is_file()
    assert refused(resolve("write_report", dataset, params)) == {"out"}
    assert refused(resolve("write_report", dataset, params | {"overwrite": True})) == set()


@pytest.mark.parametrize("out", ["report.html", "/tmp/report.pdf"])
def test_the_form_refuses_a_path_that_is_not_full_or_no_page(dataset, out):
    assert refused(resolve("write_report", dataset, {"out": out})) == {"out"}


def test_without_maps_and_regions_the_form_says_what_to_do_first(fo, pictures):
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(filepath=pictures[0], ground_truth=fo.Classification(label="red")))
    assert {"field", "regions"} <= refused(resolve("write_report", dataset))
    dataset.delete()


@pytest.mark.parametrize("name", ["write_report", "export_for_retraining", "load_export"])
@pytest.mark.parametrize("typed", ["{secret}/x", "{inside}/../secret/x", "{inside}/link/x"])
def test_no_path_of_the_app_leads_out_of_the_folders(dataset, tmp_path, monkeypatch, name, typed):
    """Neither in the form nor for a caller who never saw it."""
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.mkdir()
    (inside / "link").symlink_to(secret)
    monkeypatch.setenv("FIFTYONE_SALIENCY_FOLDERS", str(inside))
    entry = "out" if name == "write_report" else "out_dir"
    path = typed.format(inside=inside, secret=secret) + (".html" if entry == "out" else "")
    params = {
        "field": "saliency",
        "regions": "regions",
        "gt_field": "ground_truth",
        "pred_field": "predictions",
        "tag": "(all samples)",
        "dataset_type": "ImageClassificationDirectoryTree",
        "heatmaps": True,
        "name": "taken from elsewhere",
        entry: path,
    }
    form = resolve(name, dataset, params)
    assert entry in refused(form)
    assert f"to lie in {inside}, but got" in form[entry]["error_message"]
    with pytest.raises(Exception, match=f"Expected `{entry}` to lie in {inside}"):
        execute(name, dataset, params).raise_exceptions()
    assert list(secret.iterdir()) == []


def test_what_writes_files_or_deletes_says_so(fo):
    import fiftyone.operators as foo

    ours = [o for o in foo.list_operators(builtin=False) if o.plugin_name.endswith("/saliency")]
    high = {o.name for o in ours if str(getattr(o.config.risk_level, "value", o.config.risk_level)) == "high"}
    deleting = {"manage_runs", "clean_up", "compute_saliency", "define_regions"}
    assert {"write_report", "export_for_retraining", "load_export"} | deleting <= high
