"""The verdict on known numbers: each word, each guard, and what both axes say together."""

from __future__ import annotations

import json

import pytest

from fiftyone_saliency.core.statistics import Difference, Summary, difference, summarise
from fiftyone_saliency.core.verdict import Axis, NoiseFloor, Verdict, least_effect, noise_of


def axis(mean, low, high, p=0.001, state=0.97, name="reason", floor=0.05, goal=0.9):
    """An axis of 100 samples with these ends; the state's interval is 0.02 wide."""
    return Axis(
        name, Difference(mean, low, high, 100, 0, p), floor, Summary(state, state - 0.01, state + 0.01, 100, 0), goal
    )


FIXED = axis(0.4, 0.3, 0.5)
MOVED = axis(0.08, 0.02, 0.14)
STILL = axis(0.01, 0.005, 0.015)
WORSE = axis(-0.4, -0.5, -0.3, state=0.3)
BAD = axis(0.01, 0.005, 0.015, state=0.5)


@pytest.mark.parametrize(
    ("judged", "word"),
    [
        (FIXED, "fixed"),
        (axis(0.4, 0.3, 0.5, state=0.6), "moved, not proven"),
        (MOVED, "moved, not proven"),
        (axis(-0.08, -0.14, -0.02), "moved, not proven"),
        (STILL, "unchanged"),
        (axis(-0.04, -0.045, -0.035), "unchanged"),
        (WORSE, "worse"),
        (axis(0.4, 0.3, 0.5, p=0.06), "moved, not proven"),
        (axis(-0.4, -0.5, -0.3, p=0.06), "moved, not proven"),
        (axis(0.06, 0.051, 0.07), "fixed"),
        (axis(0.06, 0.051, 0.07, floor=0.055), "moved, not proven"),
        (axis(0.06, 0.051, 0.07, floor=0.2), "unchanged"),
    ],
)
def test_word_follows_the_interval_the_floor_the_test_and_the_state(judged, word):
    assert judged.word == word


def test_state_is_held_against_the_goal_by_the_low_end_of_its_interval():
    assert axis(0.4, 0.3, 0.5, state=0.91).word == "fixed"
    assert axis(0.4, 0.3, 0.5, state=0.90).word == "moved, not proven", "0.89 to 0.91 is not surely 0.9"


def test_slack_lets_a_state_of_few_samples_reach_its_goal_where_its_mean_does():
    """133 of 140 right are .95, with an interval from .900 on; 128 are .914, from .856 on."""
    for right, reached in ((133, True), (128, True), (125, False)):
        state = summarise([1.0] * right + [0.0] * (140 - right))
        assert Axis("accuracy", FIXED.movement, 0.05, state, 0.9, 0.1).good is reached
        assert Axis("accuracy", FIXED.movement, 0.05, state, 0.9).good is (state.low >= 0.9)
    few = summarise([1.0] * 9 + [0.0])
    assert not Axis("accuracy", FIXED.movement, 0.05, few, 0.9, 0.1).good, "nine of ten are not surely .8"
    assert "not reached" in Axis("accuracy", FIXED.movement, 0.05, summarise([1.0] * 125 + [0.0] * 15), 0.9, 0.1).why


def test_a_small_cue_need_not_fall_by_more_than_it_holds():
    assert least_effect(0.05, 0.097) == pytest.approx(0.097 / 4)
    assert least_effect(0.05, 0.6) == 0.05
    assert least_effect(0.05, None) == 0.05


def test_five_samples_prove_nothing_however_far_they_moved():
    few = Axis("reason", difference([0.0] * 5, [1.0] * 5), 0.05, summarise([1.0] * 5), 0.5)
    assert few.movement.low < 0 < few.movement.high == 1.0
    assert few.word == "moved, not proven"
    many = Axis("reason", difference([0.0] * 9, [1.0] * 9), 0.05, summarise([1.0] * 9), 0.5)
    assert many.word == "fixed"


def test_axis_without_pairs_is_undecided_and_says_so():
    nothing = Axis("reason", difference([None], [0.5]), 0.05, summarise([None]), 0.5)
    assert nothing.word is None
    assert nothing.why == "too few samples have both values"
    assert Verdict(nothing, FIXED).word is None
    assert "undecided" in str(Verdict(nothing, FIXED))


@pytest.mark.parametrize(
    ("reason", "accuracy", "word"),
    [
        (FIXED, FIXED, "fixed"),
        (FIXED, STILL, "fixed"),
        (FIXED, MOVED, "fixed"),
        (FIXED, BAD, "moved, not proven"),
        (FIXED, WORSE, "worse"),
        (STILL, FIXED, "moved, not proven"),
        (MOVED, STILL, "moved, not proven"),
        (STILL, STILL, "unchanged"),
        (BAD, BAD, "unchanged"),
        (WORSE, FIXED, "worse"),
    ],
)
def test_both_axes_together(reason, accuracy, word):
    assert Verdict(reason, accuracy).word == word


def test_gain_in_accuracy_that_the_map_does_not_show_is_no_fix_and_both_words_are_said():
    verdict = Verdict(STILL, axis(0.25, 0.2, 0.3, name="accuracy"))
    assert verdict.word == "moved, not proven"
    lines = [line.split(" (")[0].strip() for line in str(verdict).splitlines()]
    assert lines == ["verdict: moved, not proven", "reason: unchanged", "accuracy: fixed"]


def test_verdict_is_withheld_where_the_maps_are_not_to_be_trusted():
    verdict = Verdict(FIXED, FIXED, withheld="run a failed its trust checks")
    assert verdict.word is None
    assert str(verdict).startswith("verdict: withheld: run a failed its trust checks")
    assert verdict.to_json()["withheld"] == "run a failed its trust checks"


def test_reason_that_was_not_asked_for_leaves_accuracy_alone():
    verdict = Verdict(None, FIXED)
    assert verdict.word is None
    assert "not judged" in str(verdict)
    assert verdict.to_json()["reason"] is None


def test_noise_is_the_end_of_the_interval_that_lies_further_out():
    assert noise_of(Difference(0.0, -0.03, 0.02, 9, 0, 1.0)) == 0.03
    assert noise_of(Difference(None, None, None, 0, 3, None)) == 0.0
    assert "not measured" in str(NoiseFloor(0.004, 0.0, None))
    assert "run 'b'" in str(NoiseFloor(0.03, 0.0, "run 'b'"))


def test_json_is_plain_and_holds_the_word_and_its_numbers():
    data = json.loads(json.dumps(Verdict(FIXED, MOVED).to_json(), allow_nan=False))
    assert data["word"] == "fixed"
    assert data["reason"]["movement"]["low"] == 0.3
    assert data["accuracy"]["word"] == "moved, not proven"
    assert data["reason"]["why"] == FIXED.why
