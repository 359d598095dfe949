from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fiftyone_saliency.core.errors import ArgumentError, UnknownNameError
from fiftyone_saliency.core.types import Counts, Failure, Placement, Prediction, SaliencyRequest

REQUEST = SaliencyRequest("saliency", "occlusion", {"window": 0.2, "stride": 0.1}, "0123456789abcdef")
CHANGES = {
    "field": "other",
    "method": "grad_cam",
    "params": {"window": 0.3, "stride": 0.1},
    "model": "fedcba9876543210",
    "target": "contrast",
    "gt_field": "ground_truth",
    "pred_field": "predictions",
    "sign": "signed",
    "seed": 52,
    "output": "softmax",
    "precision": "bfloat16",
    "revision": 3,
    "serial": 1,
}


def test_every_field_of_a_request_has_a_change_to_try():
    assert set(CHANGES) == set(SaliencyRequest.__dataclass_fields__)


@pytest.mark.parametrize("name", CHANGES)
def test_the_key_of_a_request_changes_with_every_field(name):
    assert replace(REQUEST, **{name: CHANGES[name]}).key != REQUEST.key


def test_the_keys_of_unlike_requests_are_all_unlike():
    keys = {replace(REQUEST, **{name: value}).key for name, value in CHANGES.items()}
    assert len(keys | {REQUEST.key}) == len(CHANGES) + 1


def test_equal_requests_have_equal_keys_whatever_the_order_of_their_parameters():
    other = SaliencyRequest("saliency", "occlusion", {"stride": 0.1, "window": 0.2}, "0123456789abcdef")
    assert other == REQUEST
    assert other.key == REQUEST.key


def test_the_key_is_the_method_and_ten_hexadecimal_digits():
    method, _, digest = REQUEST.key.rpartition("_")
    assert method == "occlusion"
    assert len(digest) == 10
    assert int(digest, 16) >= 0


def test_the_key_outlives_a_release():
    """A golden value: were it to change, no stored run could be resumed any more. Raise `revision` instead."""
    assert REQUEST.key == "occlusion_9e1abe9ad4"


def test_a_request_survives_json():
    assert SaliencyRequest(**json.loads(json.dumps(REQUEST.to_json()))) == REQUEST


def test_a_request_of_an_unknown_sign_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"`sign`, but got 'sigend'. Did you mean `signed`"):
        replace(REQUEST, sign="sigend")


@pytest.mark.parametrize(("name", "value"), [("output", "logit"), ("precision", "float16")])
def test_a_request_of_an_unknown_output_or_precision_is_refused(name, value):
    with pytest.raises(UnknownNameError, match=rf"`{name}`, but got '{value}'"):
        replace(REQUEST, **{name: value})


@pytest.mark.parametrize("seed", [-1, 1.5, True, None, "51"])
def test_a_request_of_a_seed_that_is_no_natural_number_is_refused(seed):
    with pytest.raises(ArgumentError, match="Expected `seed` to be an integer of at least 0"):
        replace(REQUEST, seed=seed)


@pytest.mark.parametrize(
    "numbers", [(0, 0, 0, 1), (0, 0, 1, -1), (np.nan, 0, 1, 1), (0, np.inf, 1, 1), (0, 0, 1, np.nan)]
)
def test_a_placement_without_a_size_is_refused(numbers):
    with pytest.raises(ArgumentError, match="finite numbers and positive size"):
        Placement(*numbers)


def test_failures_and_counts_survive_json():
    failure, counts = Failure("1", "a.png", "broke", "skip"), Counts(5, 1, 2, 3, 4)
    assert Failure(**json.loads(json.dumps(failure.to_json()))) == failure
    assert Counts(**json.loads(json.dumps(counts.to_json()))) == counts


def test_predictions_are_compared_without_their_logits():
    """Arrays have no truth value: comparing them would raise."""
    one, other = (Prediction("1", "cake", 0.5, np.array([1, n], np.float32)) for n in (2, 3))
    assert one == other
