"""Tagging what a cell holds."""

from __future__ import annotations

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError

BLUE_AS_RED, RED_AS_GREEN = 3, 7


def tags_of(dataset):
    """Position and tags of the samples that have any."""
    return {i: tags for i, tags in enumerate(dataset.values("tags")) if tags}


def test_a_cell_is_tagged_for_enrichment_and_untagged(colours):
    cells = fos.confusion(colours).cells
    assert fos.tag_cell(cells["blue", "red"]) == 1
    assert tags_of(colours) == {BLUE_AS_RED: ["enrich"]}
    assert fos.tag_cell(cells["red", "red"]) == 3
    assert tags_of(colours) == {i: ["enrich"] for i in (0, BLUE_AS_RED, 6, 9)}
    assert fos.untag_cell(cells["red", "red"]) == 3
    assert tags_of(colours) == {BLUE_AS_RED: ["enrich"]}
    assert fos.untag_cell(cells["red", "red"]) == 0


def test_tagging_twice_tags_once(colours):
    cell = fos.confusion(colours).cells["blue", "red"]
    assert [fos.tag_cell(cell, "look"), fos.tag_cell(cell, "look")] == [1, 1]
    assert tags_of(colours) == {BLUE_AS_RED: ["look"]}


def test_several_tags_go_on_and_off_together(colours):
    cells = fos.confusion(colours).cells
    fos.tag_cell(cells["red", "green"], ["b"])
    assert fos.tag_cell(cells["blue", "red"], ["a", "b"]) == 1
    assert tags_of(colours) == {BLUE_AS_RED: ["a", "b"], RED_AS_GREEN: ["b"]}
    assert fos.untag_cell(colours, ["a", "b"]) == 2, "samples that carried one of them"
    assert tags_of(colours) == {}


def test_other_tags_stay(colours):
    colours.limit(5).tag_samples("mine")
    cell = fos.confusion(colours).cells["blue", "red"]
    fos.tag_cell(cell)
    fos.untag_cell(cell)
    assert colours.count_sample_tags() == {"mine": 5}


def test_any_view_can_be_tagged(colours):
    assert fos.tag_cell(colours.limit(4), "x") == 4
    assert fos.tag_cell(colours, "y") == 12
    assert colours.count_sample_tags() == {"x": 4, "y": 12}


def test_the_count_holds_when_the_view_is_about_the_tag(colours):
    """Once tagged, nothing is left in a view of the untagged: the number is that of the samples, not of the rest."""
    fos.tag_cell(colours.limit(5))
    untagged = colours.match_tags("enrich", bool=False)
    assert fos.tag_cell(untagged) == 7
    assert colours.count_sample_tags() == {"enrich": 12}
    assert fos.untag_cell(colours.match_tags("enrich")) == 12
    assert colours.count_sample_tags() == {}


def test_an_empty_cell_cannot_be_tagged_and_untags_nothing(colours):
    cell = fos.confusion(colours).cells["green", "blue"]
    with pytest.raises(FieldError, match="Expected `samples` to hold at least one sample"):
        fos.tag_cell(cell)
    assert fos.untag_cell(cell) == 0
    assert tags_of(colours) == {}


@pytest.mark.parametrize("tags", ["", " ", [], [""], ["a", ""], ["a", 3], 5, None])
@pytest.mark.parametrize("verb", [fos.tag_cell, fos.untag_cell])
def test_bad_tags_are_refused(steady, verb, tags):
    before = tags_of(steady)
    with pytest.raises(ArgumentError, match="Expected `tags` to be one or more non-empty strings, but got "):
        verb(steady, tags)
    assert tags_of(steady) == before


@pytest.mark.parametrize("verb", [fos.tag_cell, fos.untag_cell])
def test_what_is_no_collection_is_refused(verb):
    with pytest.raises(FieldError, match="Expected `samples` to be a FiftyOne dataset or view, but got str"):
        verb("a cell")
