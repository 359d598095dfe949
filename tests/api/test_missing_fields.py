"""Views that lack a field: each verb does without it, or says in our words which one it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, SaliencyError

QUIET = {"progress": False}
RIGHT: dict[str, Any] = {"regions": "boxes", "right": ["square"]}
VERBS: dict[str, Callable[..., Any]] = {
    "compute_saliency": lambda v, m: fos.compute_saliency(v, m, "new", target="contrast", **QUIET),
    "compute_saliency, again": lambda v, m: fos.compute_saliency(v, m, "saliency", target="blue", **QUIET),
    "predict": lambda v, m: fos.predict(v, m, "new", **QUIET),
    "evaluate": lambda v, m: fos.evaluate(v, eval_key="new"),
    "confusion": lambda v, m: fos.confusion(v),
    "confusion of an evaluation": lambda v, m: fos.confusion(v, eval_key="eval"),
    "save_cell_views": lambda v, m: fos.save_cell_views(v, fos.confusion(v)),
    "define_regions": lambda v, m: fos.define_regions(v, "new", {"a": "boxes['square']", "b": "rest"}),
    "show_regions": lambda v, m: fos.show_regions(v, "boxes", "new"),
    "reasons": lambda v, m: fos.reasons(v, "saliency", **RIGHT),
    "region_shares": lambda v, m: fos.region_shares(v, "saliency", regions="boxes"),
    "measure": lambda v, m: fos.measure(v, "saliency", regions="boxes", **QUIET),
    "mean_map": lambda v, m: fos.mean_map(v, "saliency"),
    "cluster_maps": lambda v, m: fos.cluster_maps(v, "saliency"),
    "check_trust": lambda v, m: fos.check_trust(v, m, "saliency", stages=1, draws=1, **QUIET),
    "faithfulness": lambda v, m: fos.faithfulness(v, m, "saliency", steps=2, measures=["deletion"], **QUIET),
    "hide_region": lambda v, m: fos.hide_region(v, m, regions="boxes", region="square", **QUIET),
    "second_pass": lambda v, m: fos.second_pass(v, m, "saliency", regions="boxes", **QUIET),
    "compare_runs": lambda v, m: fos.compare_runs(v, "saliency", "other", regions="boxes", should_rise=["square"]),
    "common_scale": lambda v, m: fos.common_scale(v, ["saliency", "other"]),
    "plan_enrichment": lambda v, m: fos.plan_enrichment(v, "saliency", **RIGHT),
    "plan_enrichment from a pool": lambda v, m: fos.plan_enrichment(
        v._dataset, "saliency", pool=v, model=m, known=v.limit(1), **RIGHT
    ),
    "embed": lambda v, m: fos.embed(v, m, "salient", field="saliency"),
    "export_for_retraining": lambda v, m: fos.export_for_retraining(
        v, "out", field="saliency", maps=True, masks=True, weights=True, **RIGHT
    ),
    "gate": lambda v, m: fos.gate(v, "saliency", min_accuracy=0.5, require_trust=False, **RIGHT),
    "report": lambda v, m: fos.report(v, "saliency", out="report.html", **RIGHT),
    "show_heatmaps": lambda v, m: fos.show_heatmaps(v),
    "list_regions": lambda v, m: fos.list_regions(v),
    "list_runs": lambda v, m: fos.list_runs(v),
    "pairs_picture": lambda v, m: fos.pairs_picture(v.first(), "saliency", "other"),
    "tag_cell": lambda v, m: fos.tag_cell(v, "enrich"),
}
LACKING = {
    "all": lambda dataset: dataset.select_fields(),
    "truth": lambda dataset: dataset.exclude_fields("ground_truth"),
    "prediction": lambda dataset: dataset.exclude_fields("predictions"),
    "maps": lambda dataset: dataset.exclude_fields("saliency"),
    "regions": lambda dataset: dataset.exclude_fields("boxes"),
    "parts of the maps": lambda dataset: dataset.select_fields(["ground_truth", "predictions", "saliency.map_path"]),
    "verdicts": lambda dataset: dataset.exclude_fields("eval"),
    "keys of runs": lambda dataset: dataset.exclude_fields(["saliency.run_key", "other.run_key"]),
}


@pytest.mark.parametrize("lacking", LACKING)
def test_a_verb_does_without_a_field_or_says_which_one_it_needs(clone, model, lacking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    view = LACKING[lacking](clone)
    raw = {}
    for name, verb in VERBS.items():
        try:
            verb(view, model)
        except SaliencyError:
            continue
        except Exception as error:  # noqa: BLE001 - what is raw is what is looked for
            raw[name] = repr(error)
    assert raw == {}


def test_a_view_that_selects_fields_is_evaluated(clone):
    view = clone.limit(4).select_fields(["ground_truth", "predictions"])
    fos.evaluate(view, eval_key="new")
    assert clone.load_evaluation_view("new").count() == 4
    assert sum(verdict is not None for verdict in clone.values("new")) == 4


def test_a_pair_says_which_field_the_sample_lacks(clone):
    for view in (clone.exclude_fields("saliency"), clone.select_fields("other")):
        with pytest.raises(FieldError, match="Heatmap field 'saliency', but it has none, or its view leaves"):
            fos.pairs_picture(view.first(), "saliency", "other")
    with pytest.raises(FieldError, match="'ground_truth' to be a Heatmap field, but it is a Classification"):
        fos.pairs_picture(clone.first(), "ground_truth", "other")


@pytest.fixture
def clone(steady):
    """A copy of the lived-in dataset, as the calls that go well write to it."""
    dataset = steady.clone()
    yield dataset
    dataset.delete()
