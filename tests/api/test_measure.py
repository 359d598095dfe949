"""Two runs beside each other: before and after, with known labels and known regions."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

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
    assert comparison.matrix_before.accuracy == pytest.approx(4 / 12)
    assert comparison.matrix_after.accuracy == pytest.approx(9 / 11), "the last has no prediction"
    assert comparison.outcomes == {"fixed": 6, "broken": 1, "still right": 3, "still wrong": 2}
    assert dict(comparison.matrix_before.counts.pairs) == {("red", "red"): 4, ("green", "red"): 3, ("blue", "red"): 5}


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


def test_samples_without_truth_are_no_outcome(compared):
    dataset, _, _ = compared
    dataset.clone_sample_field("ground_truth", "partial")
    sample = dataset.first()
    sample["partial"] = None
    sample.save()
    outcomes = fos.compare_runs(dataset, "map_before", "map_after", gt_field="partial").outcomes
    assert outcomes == {"fixed": 6, "broken": 1, "still right": 2, "still wrong": 2}


def test_a_comparison_reads_as_a_table(compared):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset, "map_before", "map_after", regions="regions")
    before, after = comparison.shares_before, comparison.shares_after
    assert [line.split() for line in str(comparison).splitlines()] == [
        ["before", "after"],
        ["accuracy", "0.333", "0.818"],
        ["share", "background", f"{before['background'].mean:.3f}", f"{after['background'].mean:.3f}"],
        ["share", "square", f"{before['square'].mean:.3f}", f"{after['square'].mean:.3f}"],
        ["6", "fixed,", "1", "broken,", "3", "still", "right,", "2", "still", "wrong"],
    ]


@pytest.mark.parametrize("order", [("map_before", "map_after"), ("map_after", "map_before")])
def test_a_table_of_a_view_that_one_run_left_out_shows_a_dash(compared, order):
    dataset, _, _ = compared
    comparison = fos.compare_runs(dataset.skip(11), *order, regions="regions")
    assert not comparison.shares_after.overall or not comparison.shares_before.overall
    assert "-" in str(comparison).splitlines()[2].split()


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
        ({"regions": "before"}, FieldError, "Segmentation or Detections field, but 'before' is a Classification"),
        ({"gt_field": "truth"}, UnknownNameError, "Classification field for `gt_field`"),
    ],
)
def test_bad_arguments_are_refused(compared, arguments, error, message):
    dataset, _, _ = compared
    with pytest.raises(error, match=message):
        fos.compare_runs(dataset, **{"before": "map_before", "after": "map_after", **arguments})
