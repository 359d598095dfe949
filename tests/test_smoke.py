"""The loop once round, in a few seconds: what `make floors` runs with the oldest packages."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

import fiftyone_saliency as fos
from tests.conftest import ROOT


@pytest.fixture
def boxed(fo, colours):
    """The coloured squares with a box over the left half."""
    box = fo.Detection(label="left", bounding_box=[0, 0, 0.5, 1])
    colours.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(12)])
    return colours


def test_the_plugin_loads_with_all_its_operators(fo):
    from fiftyone.plugins.context import build_plugin_contexts

    manifest = yaml.safe_load((ROOT / "fiftyone.yml").read_text())
    (plugin,) = [c for c in build_plugin_contexts() if c.plugin_definition.name == manifest["name"]]

    assert plugin.errors == []
    assert {face.config.name for face in plugin.instances} == {*manifest["operators"], *manifest["panels"]}


def test_the_loop_once_round(fo, boxed, model, tmp_path):
    assert fos.predict(boxed, model, progress=False) == []
    run = fos.compute_saliency(boxed, model, progress=False)
    again = fos.compute_saliency(boxed, model, progress=False)
    fos.compute_saliency(boxed, model, "steps", method="integrated_gradients", parameters={"steps": 4}, progress=False)
    matrix = fos.confusion(boxed)
    (cell,) = [cell for cell in matrix.cells.values() if (cell.truth, cell.prediction) == ("blue", "red")]
    reasons = fos.reasons(boxed, regions="boxes", right=["left"])
    hidden = fos.hide_region(boxed, model, regions="boxes", region="left", progress=False)
    fos.tag_cell(cell, "enrich")
    fos.export_for_retraining(boxed, tmp_path / "out", tags="enrich")
    loaded = fos.load_export(tmp_path / "out")

    assert (run.counts.done, again.counts.resumed) == (12, 12)
    assert matrix.counts.total == 12
    assert cell.view().values("id") == boxed.match_tags("enrich").values("id")
    assert np.isclose(sum(share.mean for share in reasons.overall.shares.values()), 1)
    assert len(hidden) == 12
    assert loaded.values("ground_truth.label") == ["blue"]
    loaded.delete()


def test_an_operator_runs_without_its_form(fo, boxed):
    import fiftyone.operators as foo

    fos.predict(boxed, fos.load_model(*_colour_model()), progress=False)
    context = {"dataset": boxed, "params": {"pred_field": "predictions", "gt_field": "ground_truth", "eval_key": "e"}}
    foo.execute_operator("@fiftyone-saliency/saliency/evaluate_predictions", context)

    boxed.reload()
    assert boxed.list_evaluations() == ["e"]


def _colour_model():
    from tests.models_for_tests import CLASSES, CROP, ColourNet

    return ColourNet(), CLASSES, CROP
