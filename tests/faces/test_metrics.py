"""The measures as metrics of FiftyOne's own evaluations, and as an operator: through FiftyOne, on a real dataset."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from tests.faces.test_operators import PLUGIN, execute, refused, resolve
from tests.models_for_tests import add_pictures

SHARE, GAME, GINI = (f"{PLUGIN}/{name}" for name in ("evidence_share", "pointing_game", "concentration"))
HEAD = {"regions": "parts", "region": "head"}
METRICS = {SHARE: HEAD, GAME: HEAD, GINI: {}}


@pytest.fixture
def samples(fo, dataset, pictures):
    """Three pictures whose left quarter is the head; it holds all, three quarters and an unknown share of evidence."""
    truths = ["chef", "chef", "judge"]
    add_pictures(dataset, pictures[:3], truths, ["chef", "judge", "judge"])
    maps = [np.array([[8, 0, 0, 0]], np.float32), np.array([[3, 1, 0, 0]], np.float32), None]
    dataset.add_sample_field("saliency", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    dataset.set_values("saliency", [None if m is None else fo.Heatmap(map=m) for m in maps])
    mask = np.zeros((12, 16), np.uint8)
    mask[:, :4] = 1
    dataset.set_values("parts", [fo.Segmentation(mask=mask) for _ in range(3)])
    dataset.mask_targets = {"parts": {1: "head"}}
    dataset.save()
    return dataset


def evaluate(samples, metrics=METRICS, **options):
    options = {"gt_field": "ground_truth", "eval_key": "eval", **options}
    return samples.evaluate_classifications("predictions", custom_metrics=metrics, **options)


def test_an_evaluation_with_metrics_carries_their_means(samples):
    results = evaluate(samples)
    metrics = results.metrics()
    assert metrics["evidence_share"] == pytest.approx((1 + 0.75) / 2)
    assert metrics["pointing_game"] == 1
    assert metrics["concentration"] == pytest.approx((0.75 + 0.625) / 2)
    assert metrics["accuracy"] == pytest.approx(2 / 3), "FiftyOne's own metrics stay"


def test_the_results_that_the_panel_loads_carry_them_too(samples):
    """The panel reads stored results, in another process; FiftyOne 1.22 by itself loses them on the way."""
    evaluate(samples)
    stored = samples.load_evaluation_results("eval", cache=False).custom_metrics
    assert set(stored) == set(METRICS)
    assert stored[SHARE]["key"] == "evidence_share"
    assert stored[SHARE]["label"] == "Saliency: evidence share"
    assert stored[SHARE]["value"] == pytest.approx(0.875)
    assert [stored[uri]["lower_is_better"] for uri in METRICS] == [False, False, False]


def test_the_value_of_each_sample_is_a_field_of_the_evaluation(fo, samples):
    evaluate(samples)
    samples.reload()
    assert isinstance(samples.get_field("eval_evidence_share"), fo.FloatField)
    assert samples.values("eval_evidence_share") == [1, 0.75, None]
    assert samples.values("eval_pointing_game") == [1, 1, None]
    assert samples.values("eval_concentration") == [0.75, 0.625, None]
    assert samples.get_field("saliency.gini") is None, "nothing else is written"


def test_a_view_is_evaluated_alone(samples):
    assert evaluate(samples.skip(1)).metrics()["evidence_share"] == pytest.approx(0.75)
    samples.reload()
    assert samples.values("eval_evidence_share") == [None, 0.75, None]


def test_metrics_can_be_added_to_an_evaluation_that_is_there(samples):
    evaluate(samples, metrics=None)
    samples.load_evaluation_results("eval").add_custom_metrics({SHARE: HEAD})
    assert samples.load_evaluation_results("eval", cache=False).metrics()["evidence_share"] == pytest.approx(0.875)
    samples.reload()
    assert samples.values("eval_evidence_share") == [1, 0.75, None]


def test_fields_follow_the_evaluation_when_it_is_renamed_and_go_with_it(samples):
    evaluate(samples)
    samples.rename_evaluation("eval", "final")
    schema = samples.get_field_schema()
    assert {"final_evidence_share", "final_pointing_game", "final_concentration"} <= set(schema)
    assert not [name for name in schema if name.startswith("eval_")]
    assert samples.values("final_evidence_share") == [1, 0.75, None]
    samples.delete_evaluation("final")
    assert not [name for name in samples.get_field_schema() if name.startswith("final")]


def test_an_evaluation_without_a_key_leaves_no_field(samples):
    before = set(samples.get_field_schema())
    assert evaluate(samples, eval_key=None).metrics()["evidence_share"] == pytest.approx(0.875)
    assert set(samples.get_field_schema()) == before


def test_where_nothing_is_defined_there_is_no_metric(samples):
    assert "evidence_share" not in evaluate(samples.skip(2)).metrics()


@pytest.mark.parametrize("parameters", [{}, {"regions": "parts"}, {"regions": "parts", "region": "had"}])
def test_what_is_missing_is_said_and_the_evaluation_goes_on(samples, parameters, caplog):
    """FiftyOne logs what a metric raises."""
    results = evaluate(samples, {SHARE: parameters})
    assert "evidence_share" not in results.metrics()
    assert results.metrics()["accuracy"] == pytest.approx(2 / 3)


def test_the_form_of_a_metric_offers_what_is_there(fo, samples):
    form = resolve("evidence_share", samples)
    assert form["field"]["type"]["values"] == ["saliency"]
    assert form["regions"]["type"]["values"] == ["parts"]
    assert "region" in form
    assert set(resolve("concentration", samples)) == {"field"}


# the operator


def test_measure_form_offers_measures_of_regions_only_with_regions(samples):
    form = resolve("measure_maps", samples)
    assert form["field"]["default"] == "saliency"
    assert form["regions"]["type"]["values"] == ["parts"]
    alone = {name for name, info in fos.list_measures().items() if not info.needs_region}
    assert set(form) & set(fos.list_measures()) == alone
    assert set(fos.list_measures()) <= set(resolve("measure_maps", samples, {"regions": "parts"}))
    assert refused(form) == set()


def test_measure_form_says_what_is_missing(fo, samples):
    assert refused(resolve("measure_maps", samples, {"gini": False, "entropy": False, "border_mass": False})) == {
        "nothing"
    }
    samples.delete_sample_field("saliency")
    form = resolve("measure_maps", samples)
    assert refused(form) == {"field"}
    assert "compute maps" in form["field"]["error_message"]


def test_measure_stores_the_values_that_were_chosen(samples):
    params = {"field": "saliency", "regions": "parts", "share": True, "gini": True}
    others = {name: False for name in fos.list_measures() if name not in params}
    execute("measure_maps", samples, params | others)
    assert samples.values("saliency.share_head") == [1, 0.75, None]
    assert samples.values("saliency.gini") == [0.75, 0.625, None]
    assert samples.values("saliency.dominant_region") == ["head", "head", None]
    assert samples.get_field("saliency.entropy") is None


def test_measure_takes_the_samples_of_the_view(samples):
    execute("measure_maps", samples, {"field": "saliency"}, samples.limit(1).view())
    assert samples.values("saliency.gini") == [0.75, None, None]
