"""Measures of stored maps, on maps and regions drawn by hand: every number is known, and found again in the dataset."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from fiftyone_saliency.core.statistics import summarise
from tests.models_for_tests import add_pictures, state_of

MAPS = (
    [[8, 0, 0, 0], [0, 0, 0, 0]],  # all on the head
    [[0, 0, 0, 6], [0, 0, 0, 2]],  # none on the head
    [[0, 0, 0, 0], [0, 0, 0, 0]],  # no evidence
    None,
    [[3, 3, 3, 3], [3, 3, 3, 3]],  # the same everywhere
)
SHARES = [1.0, 0.0, None, None, 0.25]


@pytest.fixture
def drawn(fo, dataset, pictures):
    """Five pictures whose left quarter is the head; the fourth has no map, the last no prediction."""
    truths = ["chef", "chef", "judge", "judge", "judge"]
    add_pictures(dataset, pictures[:5], truths, ["chef", "judge", "judge", "judge", None])
    dataset.add_sample_field("saliency", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    heatmaps = [None if m is None else fo.Heatmap(map=np.array(m, np.float32)) for m in MAPS]
    dataset.set_values("saliency", heatmaps)
    mask = np.zeros((12, 16), np.uint8)
    mask[:, :4] = 1
    dataset.set_values("parts", [fo.Segmentation(mask=mask) for _ in range(5)])
    dataset.mask_targets = {"parts": {1: "head"}}
    dataset.save()
    return dataset


def values(dataset, name, field="saliency"):
    dataset.reload()
    return dataset.values(f"{field}.{name}")


def test_values_are_returned_and_stored_as_attributes_of_the_map(drawn):
    measured = fos.measure(drawn, regions="parts")
    assert list(measured.ids) == drawn.values("id")
    assert measured.values["share_head"] == [pytest.approx(v) if v is not None else None for v in SHARES]
    for name, column in measured.values.items():
        assert values(drawn, name) == column, name
    assert measured.values["pointing_game_head"] == [1, 0, None, None, None]
    assert measured.values["rank_accuracy_head"] == [pytest.approx((1 + 1 / 7) / 2), pytest.approx(0), None, None, None]
    assert measured.values["overlap_head"] == [0.5, 0, None, None, 0.25]
    assert measured.values["gini"][4] == 0
    assert measured.values["entropy"][4] == pytest.approx(1)
    assert measured.values["border_mass"][4] == pytest.approx(0.36)


def test_the_region_that_dominates_is_stored_too(drawn):
    measured = fos.measure(drawn, regions="parts", measures=["gini"])
    assert measured.dominant_region == ["head", "background", None, None, "no preference"]
    assert values(drawn, "dominant_region") == measured.dominant_region


def test_attributes_are_in_the_schema_so_that_the_app_filters_by_them(fo, drawn):
    fos.measure(drawn, regions="parts")
    drawn.reload()
    assert isinstance(drawn.get_field("saliency.share_head"), fo.FloatField)
    assert isinstance(drawn.get_field("saliency.dominant_region"), fo.StringField)
    assert drawn.match(fo.ViewField("saliency.share_head") > 0.5).values("id") == [drawn.first().id]
    assert drawn.count_values("saliency.dominant_region")["head"] == 1


def test_a_sample_without_a_map_gets_no_half_of_one(drawn):
    fos.measure(drawn, regions="parts")
    drawn.reload()
    assert drawn.skip(3).first().saliency is None
    assert len(drawn.exists("saliency")) == 4


def test_the_map_itself_is_left_as_it_was(drawn):
    before = [None if s.saliency is None else s.saliency.map.tolist() for s in drawn]
    fos.measure(drawn, regions="parts")
    drawn.reload()
    assert [None if s.saliency is None else s.saliency.map.tolist() for s in drawn] == before


def test_values_go_with_the_map(colours, model):
    fos.compute_saliency(colours, model, progress=False)
    fos.measure(colours)
    assert None not in values(colours, "gini")
    fos.compute_saliency(colours, model, target="blue", overwrite=True, progress=False)
    assert values(colours, "gini") == [None] * 12


def test_a_later_measurement_replaces_an_earlier_one(fo, drawn):
    fos.measure(drawn, regions="parts")
    drawn.set_values("parts", [fo.Segmentation(mask=np.ones((12, 16), np.uint8)) for _ in range(5)])
    fos.measure(drawn, regions="parts")
    assert values(drawn, "share_head") == [1, 1, None, None, 1]


def test_nothing_is_stored_where_that_is_not_wanted(drawn):
    before = state_of(drawn)
    measured = fos.measure(drawn, regions="parts", store=False)
    drawn.reload()
    assert state_of(drawn) == before
    assert measured["share_head"].n == 3


def test_means_come_with_numbers_and_interval(drawn):
    measured = fos.measure(drawn, regions="parts", store=False)
    share = measured["share_head"]
    assert share == measured.overall["share_head"] == summarise(measured.values["share_head"])
    assert share.mean == pytest.approx(1.25 / 3)
    assert (share.n, share.undefined) == (3, 2)
    assert (share.low, share.high) == (None, None), "three samples are too few"
    lines = {line.split()[0]: line.split()[1] for line in str(measured).splitlines()}
    assert lines["share_head"] == "0.417"
    assert list(lines) == list(measured.values)


def test_means_by_class_and_by_cell(drawn):
    measured = fos.measure(drawn, regions="parts", store=False)
    classes = {group: summaries["share_head"] for group, summaries in measured.by("class").items()}
    assert {g: (s.mean, s.n, s.undefined) for g, s in classes.items()} == {
        "chef": (0.5, 2, 0),
        "judge": (pytest.approx(0.25), 1, 2),
    }
    cells = {group: summaries["share_head"] for group, summaries in measured.by("cell").items()}
    assert {g: (s.mean, s.n, s.undefined) for g, s in cells.items()} == {
        ("chef", "chef"): (1, 1, 0),
        ("chef", "judge"): (0, 1, 0),
        ("judge", "judge"): (None, 0, 2),
        ("judge", None): (pytest.approx(0.25), 1, 0),
    }


def test_groups_need_labels(drawn):
    measured = fos.measure(drawn, gt_field="truth", store=False)
    with pytest.raises(FieldError, match=r"Expected labels to group by class.*Measure again with `gt_field`"):
        measured.by("class")
    measured = fos.measure(drawn, pred_field="guess", store=False)
    assert set(measured.by("class")) == {"chef", "judge"}
    with pytest.raises(FieldError, match="labels to group by cell"):
        measured.by("cell")
    with pytest.raises(UnknownNameError, match="`by`"):
        measured.by("label")


def test_without_regions_maps_are_measured_alone(drawn):
    measured = fos.measure(drawn)
    assert list(measured.values) == ["entropy", "gini", "border_mass"]
    assert measured.dominant_region is None
    assert drawn.get_field("saliency.dominant_region") is None


def test_measures_and_regions_can_be_chosen(drawn):
    measured = fos.measure(drawn, regions="parts", measures=["gini", "share"], region=["head"])
    assert list(measured.values) == ["gini", "share_head"]
    assert measured.dominant_region[1] == "background", "what dominates is found among all regions"


def test_a_view_is_measured_alone(drawn):
    measured = fos.measure(drawn.limit(2), regions="parts")
    assert measured.values["share_head"] == pytest.approx([1, 0])
    assert values(drawn, "share_head") == [pytest.approx(1), pytest.approx(0), None, None, None]


def test_a_region_that_a_sample_lacks_is_undefined_there(fo, drawn):
    sample = drawn.first()
    sample["parts"] = None
    sample.save()
    measured = fos.measure(drawn, regions="parts", store=False)
    assert measured.values["share_head"] == [None, 0, None, None, pytest.approx(0.25)]
    assert measured.values["gini"][0] is not None
    assert measured.dominant_region[0] is None


def test_where_no_sample_has_a_map_everything_is_undefined(drawn):
    measured = fos.measure(drawn.skip(3).limit(1), regions="parts", region=["head"], store=False)
    assert measured.values["share_head"] == [None]
    assert measured["gini"].mean is None


def test_names_of_regions_become_names_of_attributes(drawn):
    drawn.mask_targets = {"parts": {1: "price tag (red)"}}
    drawn.save()
    measured = fos.measure(drawn, regions="parts", measures=["share"])
    assert list(measured.values) == ["share_background", "share_price_tag_red_"]
    assert values(drawn, "share_price_tag_red_")[0] == pytest.approx(1)


def test_regions_that_would_share_an_attribute_are_refused_before_anything_is_written(fo, drawn):
    mask = np.repeat(np.arange(4, dtype=np.uint8), 3)[:, None] * np.ones((1, 16), np.uint8)
    drawn.set_values("parts", [fo.Segmentation(mask=mask) for _ in range(5)])
    drawn.mask_targets = {"parts": {1: "price tag", 2: "price-tag"}}
    drawn.save()
    with pytest.raises(ArgumentError, match="'price-tag' would share the attribute 'share_price_tag'"):
        fos.measure(drawn, regions="parts", measures=["share"])
    drawn.reload()
    assert drawn.get_field("saliency.dominant_region") is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"field": "salency"}, UnknownNameError, "Did you mean `saliency`"),
        ({"field": "predictions"}, FieldError, "Expected `field` to name a Heatmap field"),
        ({"measures": ["gine"]}, UnknownNameError, "Did you mean `gini`"),
        ({"measures": "gini"}, ArgumentError, r"`measures` to be a list of names, but got 'gini'. Pass \['gini'\]"),
        ({"measures": ["share"]}, ArgumentError, "Expected `regions` for the measure 'share'"),
        ({"regions": "parts", "region": "head"}, ArgumentError, "`region` to be a list of names"),
        ({"regions": "parts", "region": ["had"]}, UnknownNameError, "known region, but got 'had'. Did you mean `head`"),
        ({"regions": "part"}, UnknownNameError, "Did you mean `parts`"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(drawn, arguments, error, message):
    before = state_of(drawn)
    with pytest.raises(error, match=message):
        fos.measure(drawn, **arguments)
    drawn.reload()
    assert state_of(drawn) == before


def test_an_empty_view_is_refused(drawn):
    with pytest.raises(FieldError, match="at least one sample"):
        fos.measure(drawn.limit(0))


def test_an_unknown_value_is_answered_with_the_nearest(drawn):
    with pytest.raises(UnknownNameError, match="Did you mean `share_head`"):
        fos.measure(drawn, regions="parts", store=False)["share_hed"]


def test_progress_is_reported_to_a_callback(drawn):
    seen = []
    fos.measure(drawn, progress=lambda bar: seen.append(bar.iteration))
    assert seen[-1] == 5


def test_the_list_of_measures_says_what_each_is():
    measures = fos.list_measures()
    assert next(iter(measures)) == "share"
    assert measures["gini"].higher_is_better is None
    assert not measures["gini"].needs_region
    measures.clear()
    assert fos.list_measures()
