"""Two runs beside each other: before and after, with known labels, known regions and known maps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.core.statistics import summarise
from fiftyone_saliency.core.trust import Trust, TrustCheck
from fiftyone_saliency.dataset import runs
from fiftyone_saliency.dataset.outcomes import LabelPair
from fiftyone_saliency.dataset.regions import read_evidence
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures
from tests.planted_runs import COUNT, SIDES, tell_stories

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture(scope="module")
def compared(fo, pictures):
    """Before: everything is red. After: the pictures' colours, none for the last; two of the truths are wrong.

    The region "square" is the bright square, so that all evidence for its colour lies on it.
    """
    seen = [CLASSES[i % 3] for i in range(12)]
    dataset = add_pictures(fo.Dataset(), pictures, [{3: "blue", 7: "red"}.get(i, c) for i, c in enumerate(seen)])
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    after = [fo.Classification(label=label) for label in seen]
    dataset.set_values("after", [*after[:-1], None])
    dataset.set_values("before", [fo.Classification(label="red") for _ in range(12)])
    masks = []
    for i in range(12):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 * (i % 4) : 8 * (i % 4) + 12, 12 * (i % 5) : 12 * (i % 5) + 12] = 1
        masks.append(fo.Segmentation(mask=mask))
    dataset.set_values("regions", masks)
    dataset.mask_targets = {"regions": {1: "square"}}
    dataset.save()
    runs = [fos.compute_saliency(dataset, model, f"map_{f}", pred_field=f, **QUIET) for f in ("before", "after")]
    yield dataset, *runs
    dataset.delete()


def test_two_runs_by_hand(compared):
    """Red in truth: 0, 6, 9 and 7; the pictures of 3 and 7 are red and green, their truths blue and red."""
    dataset, before, after = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after", regions="regions")
    assert (comparison.before, comparison.after) == (before, after)
    assert comparison.left_out == 1, "the last has no prediction after"
    assert comparison.matrix_before.accuracy == pytest.approx(4 / 11)
    assert comparison.matrix_after.accuracy == pytest.approx(9 / 11)
    assert comparison.outcomes == {"fixed": 6, "broken": 1, "still right": 3, "still wrong": 1}
    assert comparison.accuracy_before.mean == pytest.approx(4 / 11)
    assert comparison.accuracy_after.mean == pytest.approx(9 / 11)
    assert (comparison.accuracy_change.n, comparison.accuracy_change.undefined) == (11, 1)
    assert comparison.confusion_delta["blue", "red"] == 1 - 4, "3 is still called red"
    assert not [pair for pair in comparison.confusion_delta if None in pair]
    assert dict(comparison.matrix_before.counts.pairs) == {("red", "red"): 4, ("green", "red"): 3, ("blue", "red"): 4}


def test_the_shares_are_those_of_each_run(compared):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after", regions="regions")
    assert comparison.shares_before == fos.region_shares(dataset, "map_before", regions="regions")
    assert comparison.shares_after == fos.region_shares(dataset, "map_after", regions="regions")
    shares = comparison.shares_after["square"]
    assert (shares.n, shares.undefined) == (11, 1)
    assert shares.mean > 0.6 > 6 * shares.area, "the evidence lies on the square, but for the blur of the coarse map"
    assert comparison.shares_before["square"].n == 4, "only four pictures have any evidence for red"


def test_runs_are_named_by_key_or_field_and_regions_can_be_left_out(compared):
    dataset, before, after = compared
    comparison = fos.compare_runs(dataset, before.key, after.key)
    assert (comparison.shares_before, comparison.shares_after) == (None, None)
    assert comparison.outcomes == fos.compare_runs(dataset, "map_before", "map_after").outcomes


def test_a_view_is_compared_alone(compared):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset.limit(3), "map_before", "map_after")
    assert comparison.outcomes == {"fixed": 2, "broken": 0, "still right": 1, "still wrong": 0}
    assert comparison.matrix_after.counts.total == 3


def test_samples_that_one_run_never_saw_are_neither_broken_nor_wrong(compared, fo):
    """The second run saw the half that it got right: nothing is broken, whatever the others were before."""
    dataset, _, _ = compared
    dataset.clone_sample_field("after", "half")
    right = [
        i
        for i, (t, p) in enumerate(
            zip(dataset.values("ground_truth.label"), dataset.values("after.label"), strict=True)
        )
        if t == p
    ]
    labels = dataset.values("after")
    dataset.set_values("half", [label if i in right[::2] else None for i, label in enumerate(labels)])
    pair = LabelPair(dataset, "ground_truth", "before", "half")
    counts = pair.count()
    assert (counts["broken"], counts["still wrong"]) == (0, 0)
    assert sum(counts.values()) == len(right[::2]) == len(pair.paired)
    assert {name: len(pair.view(name)) for name in counts} == counts
    assert pair.store("became") == counts
    assert dataset.count_values("became") == {name: n for name, n in counts.items() if n} | {None: 12 - len(right[::2])}
    dataset.delete_sample_fields(["half", "became"])


def test_samples_without_truth_are_no_outcome(compared):
    dataset, _, _ = compared
    dataset.clone_sample_field("ground_truth", "partial")
    sample = dataset.first()
    sample["partial"] = None
    sample.save()
    outcomes = fos.compare_runs(dataset, "map_before", "map_after", gt_field="partial").outcomes
    assert outcomes == {"fixed": 6, "broken": 1, "still right": 2, "still wrong": 1}


def test_a_comparison_reads_as_a_table(compared):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after", regions="regions")
    square, change = comparison.shares.overall["square"], comparison.accuracy_change
    lines = [line.split() for line in str(comparison).splitlines()]
    assert lines[0] == ["before", "after", "change", "95", "%", "interval", "p"]
    interval = [f"[{change.low:+.3f},", f"{change.high:+.3f}]"]
    assert lines[1] == ["accuracy", "0.364", "0.818", "+0.455", *interval, f"{change.p:.2g}"]
    assert lines[3][:4] == ["share", "square", f"{square.before:.3f}", f"{square.after:.3f}"]
    assert lines[4] == ["6", "fixed,", "1", "broken,", "3", "still", "right,", "1", "still", "wrong"]
    assert " ".join(lines[5]) == "1 samples left out: they lack a prediction of one of the two runs"
    assert "not measured" in str(comparison)
    assert "reason: not judged" in str(comparison)


@pytest.mark.parametrize("order", [("map_before", "map_after"), ("map_after", "map_before")])
def test_a_table_of_a_view_that_one_run_left_out_shows_a_dash(compared, order):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset.skip(11), *order, regions="regions")
    assert not comparison.shares_after.overall or not comparison.shares_before.overall
    assert str(comparison).splitlines()[2].split().count("–") == 3


def test_runs_that_explain_no_stored_predictions_are_refused(compared, model):
    dataset, _, _ = compared
    run = fos.compute_saliency(dataset.limit(1), model, target=CLASSES[0], **QUIET)
    with pytest.raises(ArgumentError, match=f"Expected run {run.key} to explain stored predictions, but its target is"):
        fos.compare_runs(dataset, "map_before", "saliency")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"after": "map_aftr"}, UnknownNameError, "got 'map_aftr'. Did you mean `map_after`"),
        ({"regions": "region"}, UnknownNameError, "`regions`, but got 'region'. Did you mean `regions`"),
        ({"regions": "before"}, FieldError, "field, but 'before' is a Classification"),
        ({"gt_field": "truth"}, UnknownNameError, "Classification field for `gt_field`"),
        ({"regions": "regions", "should_fall": ["sqare"]}, UnknownNameError, "got 'sqare'. Did you mean `square`"),
        ({"regions": "regions", "should_fall": "square"}, ArgumentError, r"Pass \['square'\]"),
        ({"should_rise": ["square"]}, ArgumentError, "Expected `regions` to say which ones"),
        ({"min_effect": 1.5}, ArgumentError, "`min_effect` to be a number from 0 to 1"),
        ({"noise": "map_before"}, ArgumentError, "`noise` to name a third run"),
    ],
)
def test_bad_arguments_are_refused(compared, arguments, error, message):
    dataset, _, _ = compared
    with pytest.raises(error, match=message):
        fos.compare_runs(dataset, **{"before": "map_before", "after": "map_after", **arguments})


@pytest.fixture(scope="module")
def stories(fo, pictures):
    dataset = tell_stories(pictures)
    yield dataset
    dataset.delete()


@pytest.mark.parametrize(
    ("before", "after", "whole", "reason", "accuracy"),
    [
        ("biased", "enriched", "fixed", "fixed", "fixed"),
        ("biased", "accurate", "moved, not proven", "unchanged", "fixed"),
        ("biased", "half", "moved, not proven", "moved, not proven", "fixed"),
        ("biased", "again", "unchanged", "unchanged", "unchanged"),
        ("accurate", "enriched", "fixed", "fixed", "unchanged"),
        ("enriched", "biased", "worse", "worse", "worse"),
    ],
)
def test_verdict_on_both_axes(stories, before, after, whole, reason, accuracy):
    verdict = fos.compare_runs(stories, before, after, **SIDES).verdict
    assert (verdict.word, verdict.reason.word, verdict.accuracy.word) == (whole, reason, accuracy)


def test_movement_is_that_of_the_shares_between_the_sides(stories):
    comparison = fos.compare_runs(stories, "biased", "enriched", **SIDES)
    assert comparison.verdict.reason.movement.mean == pytest.approx(0.55, abs=0.005)
    assert comparison.shares.overall["head"].change.mean == pytest.approx(-0.55, abs=0.005)
    assert comparison.shares.cells["a", "b"]["uniform"].change.n == COUNT - 4
    assert comparison.shares.classes["a"]["background"].after == pytest.approx(0.1, abs=0.005)


def test_second_run_of_one_model_measures_the_floor(stories):
    """Two passes lie 0.1 apart: the interval of that is what a movement has to exceed."""
    bare = fos.compare_runs(stories, "biased", "half", **SIDES)
    assert (bare.noise.source, bare.verdict.reason.floor) == (None, 0.05)
    measured = fos.compare_runs(stories, "biased", "half", noise="noisy", **SIDES)
    assert measured.noise.reason == pytest.approx(0.1, abs=0.01)
    assert measured.noise.accuracy == 0
    assert measured.noise.source == "run 'noisy' beside 'biased'"
    assert measured.verdict.reason.floor == measured.noise.reason
    assert fos.compare_runs(stories, "biased", "noisy", **SIDES).verdict.reason.word == "moved, not proven"
    assert fos.compare_runs(stories, "biased", "noisy", noise="half", **SIDES).verdict.reason.word == "unchanged"


def test_noise_run_of_the_second_model_is_held_against_the_second_run(stories):
    comparison = fos.compare_runs(stories, "biased", "enriched", noise="accurate", **SIDES)
    assert comparison.noise.source == "run 'accurate' beside 'enriched'"
    assert comparison.noise.reason == pytest.approx(0.555, abs=0.01)


def test_second_pass_as_a_table_is_aligned_by_sample(stories):
    """Rows in another order, and some missing, must not look like noise."""
    table = read_evidence(stories, "noisy", "regions", pred_field="labels_noisy")
    table = replace(table.select(list(range(COUNT - 4))[::-1]), field="biased")
    comparison = fos.compare_runs(stories, "biased", "half", noise=table, **SIDES)
    assert comparison.noise.source == "a second pass beside 'biased'"
    assert comparison.noise.reason == pytest.approx(0.1, abs=0.01)
    assert comparison.noise.accuracy == 0
    with pytest.raises(ArgumentError, match="second pass of 'biased' or 'half', but it is of 'noisy'"):
        fos.compare_runs(stories, "biased", "half", noise=replace(table, field="noisy"), **SIDES)


@pytest.mark.parametrize("outcome", ["fixed", "broken", "still right", "still wrong"])
def test_view_of_an_outcome_holds_its_samples(compared, fo, outcome):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after")
    assert len(comparison.view(outcome)) == comparison.outcomes[outcome]
    wrong_before = comparison.view(outcome).match(fo.ViewField("before.label") != fo.ViewField("ground_truth.label"))
    assert len(wrong_before) == (comparison.outcomes[outcome] if outcome in ("fixed", "still wrong") else 0)
    with pytest.raises(UnknownNameError, match="Did you mean `fixed`"):
        comparison.view("fxed")


def test_stored_outcomes_can_be_filtered_by(compared, fo):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after")
    assert comparison.store_outcomes("became") == comparison.outcomes
    for name, count in comparison.outcomes.items():
        found = dataset.match(fo.ViewField("became") == name).values("id")
        assert (len(found), found) == (count, comparison.view(name).values("id"))
    with pytest.raises(FieldError, match="'ground_truth' to be new or a text field"):
        comparison.store_outcomes("ground_truth")
    dataset.delete_sample_field("became")


@pytest.mark.parametrize(("passed", "word"), [(False, None), (True, "fixed")])
def test_verdict_is_withheld_where_a_run_failed_its_trust_checks(stories, passed, word):
    run = fos.load_run(stories, "enriched")
    check = TrustCheck("randomisation", summarise([0.9]), passed, "The maps hardly change with the weights.")
    runs.save(stories, replace(run, trust=Trust(run.key, (check,), 51)))
    try:
        verdict = fos.compare_runs(stories, "biased", "enriched", **SIDES).verdict
    finally:
        runs.save(stories, run)
    assert verdict.word == word
    assert verdict.reason.word == "fixed", "the numbers stay"
    assert ("'enriched'" in str(verdict) and "hardly change" in str(verdict)) is not passed


def test_json_holds_every_number_and_no_nan(stories):
    comparison = fos.compare_runs(stories, "biased", "enriched", noise="again", **SIDES)
    data = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert data["verdict"]["word"] == "fixed"
    assert data["accuracy"]["change"]["p"] == comparison.accuracy_change.p
    assert data["confusion"] == [
        {"truth": "a", "prediction": "a", "before": 4, "after": COUNT, "delta": COUNT - 4},
        {"truth": "a", "prediction": "b", "before": COUNT - 4, "after": 0, "delta": 4 - COUNT},
    ]
    assert data["shares"]["overall"]["head"]["change"]["mean"] == pytest.approx(-0.55, abs=0.005)
    assert data["shares"]["means"]["after"]["head"]["area"] == 0.25
    assert {cell["prediction"] for cell in data["shares"]["cells"]} == {"a", "b"}
    assert data["noise"]["source"] == "run 'again' beside 'biased'"
