from __future__ import annotations

import pytest

from fiftyone_saliency.core.errors import ArgumentError, TargetError, UnknownNameError
from fiftyone_saliency.core.targets import TargetSpec, parse_target
from fiftyone_saliency.core.types import SampleItem, Target

CLASSES = ("cake", "chocolate", "bread")
ITEM = SampleItem("1", "1.png", truth="cake", predicted="chocolate")
NAKED = SampleItem("2", "2.png")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("predicted", TargetSpec("predicted")),
        ("ground_truth", TargetSpec("ground_truth")),
        ("cake", TargetSpec("cake")),
        ("contrast", TargetSpec("predicted", "ground_truth")),
        ("predicted - ground_truth", TargetSpec("predicted", "ground_truth")),
        ("chocolate - cake", TargetSpec("chocolate", "cake")),
        ("ground_truth - bread", TargetSpec("ground_truth", "bread")),
    ],
)
def test_parse_reads_what_a_person_writes(text, expected):
    assert parse_target(text, CLASSES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rye - bread", TargetSpec("rye - bread")),
        ("rye - bread - cake", TargetSpec("rye - bread", "cake")),
        ("cake - rye - bread", TargetSpec("cake", "rye - bread")),
        ("rye - bread - rye - bread", TargetSpec("rye - bread", "rye - bread")),
    ],
)
def test_a_class_name_may_itself_contain_the_minus(text, expected):
    assert parse_target(text, ("cake", "rye - bread")) == expected


@pytest.mark.parametrize("text", ["predicted", "ground_truth", "contrast"])
def test_a_class_that_is_called_like_a_target_is_the_class(text):
    spec = parse_target(text, ("cake", text))
    assert spec == TargetSpec(text)
    assert spec.resolve(ITEM, ("cake", text)) == Target(1, text)


@pytest.mark.parametrize("name", ["predicted", "ground_truth"])
def test_contrast_never_turns_into_a_class_of_that_name(name):
    """It stands for prediction and truth; a class that takes one of the words makes it ambiguous."""
    with pytest.raises(ArgumentError, match=name):
        parse_target("contrast", ("cake", "chocolate", name))


@pytest.mark.parametrize(
    ("text", "near"),
    [("chocolat", "chocolate"), ("predict", "predicted"), ("cake-bread", "cake"), ("cake - bred", "cake")],
)
def test_an_unknown_target_offers_the_nearest(text, near):
    with pytest.raises(UnknownNameError, match=rf"known target, but got '{text}'. Did you mean .*`{near}`"):
        parse_target(text, CLASSES)


@pytest.mark.parametrize("text", [None, 3, ("cake", "bread")])
def test_a_target_that_is_no_text_is_refused_with_the_choices(text):
    with pytest.raises(ArgumentError, match=r'Expected `target` to be a string.*"contrast"'):
        parse_target(text, CLASSES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("predicted", Target(1, "chocolate")),
        ("ground_truth", Target(0, "cake")),
        ("bread", Target(2, "bread")),
        ("contrast", Target(1, "chocolate − cake", 0)),
        ("bread - predicted", Target(2, "bread − chocolate", 1)),
        ("top-1", Target(2, "bread")),
        ("top-3", Target(1, "chocolate")),
        ("top-2 - ground_truth", None),
        ("top-1 - top-2", Target(2, "bread − cake", 0)),
    ],
)
def test_resolve_finds_the_columns_of_one_sample(text, expected):
    spec = parse_target(text, CLASSES)
    if expected is None:
        with pytest.raises(TargetError, match="both sides"):
            spec.resolve(ITEM, CLASSES, [2, 0, 1])
    else:
        assert spec.resolve(ITEM, CLASSES, [2, 0, 1]) == expected


def test_without_a_stored_prediction_the_models_own_is_explained():
    assert parse_target("predicted", CLASSES).resolve(NAKED, CLASSES, [2, 0, 1]) == Target(2, "bread")


def test_a_stored_prediction_comes_before_the_models_own():
    assert parse_target("predicted", CLASSES).resolve(ITEM, CLASSES, [2, 0, 1]) == Target(1, "chocolate")


def test_the_models_own_prediction_is_no_ground_truth():
    with pytest.raises(TargetError, match="no ground truth"):
        parse_target("ground_truth", CLASSES).resolve(NAKED, CLASSES, [2, 0, 1])


@pytest.mark.parametrize(
    ("text", "item", "reason"),
    [
        ("predicted", NAKED, "the sample has no prediction"),
        ("ground_truth", NAKED, "the sample has no ground truth"),
        ("contrast", NAKED, "the sample has no prediction"),
        ("ground_truth", SampleItem("3", "3.png", truth="pie"), "the label 'pie' is not among the model's 3 classes"),
        ("contrast", SampleItem("4", "4.png", "cake", "cake"), "both sides of the contrast are 'cake'"),
        ("cake - ground_truth", ITEM, "both sides of the contrast are 'cake'"),
    ],
)
def test_a_sample_with_nothing_to_explain_says_why(text, item, reason):
    with pytest.raises(TargetError, match=reason):
        parse_target(text, CLASSES).resolve(item, CLASSES)


def test_a_rank_that_does_not_exist_is_answered_with_the_first_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean `top-\d` or `top-\d` or `top-\d`\?"):
        parse_target("top-0", [f"class {i}" for i in range(1000)])
