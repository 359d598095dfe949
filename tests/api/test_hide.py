"""Hide a region of real pictures in a real dataset: what decides flips all, what does not flips none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import fiftyone_saliency as fos
from fiftyone_saliency.api._scenes import pair
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, logits_of
from tests.oracles import Snapshot

QUIET = {"progress": False, "num_workers": 2}


class MostlyRed(ColourNet):
    """Red unless another colour shines: without its square, every picture is red."""

    def forward(self, images):
        return super().forward(images) + torch.tensor([0.01, 0.0, 0.0])


@pytest.fixture(scope="module")
def squares(fo, pictures):
    """The twelve pictures; the region "square" is the bright square, "corner" a dark one of its size, if outside."""
    seen = [CLASSES[i % 3] for i in range(12)]
    dataset = add_pictures(fo.Dataset(), pictures, seen, seen)
    masks = []
    for i in range(12):
        mask = np.zeros((48, 64), np.uint8)
        row, column = 8 * (i % 4), 12 * (i % 5)
        mask[row : row + 12, column : column + 12] = 1
        mask[36:, (column + 32) % 64 : (column + 32) % 64 + 12] = 2
        masks.append(fo.Segmentation(mask=mask))
    masks[11] = None
    dataset.set_values("parts", masks)
    dataset.mask_targets = {"parts": {1: "square", 2: "corner", 3: "hat"}}
    dataset.save()
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def red():
    return fos.load_model(MostlyRed(), CLASSES, CROP)


@pytest.mark.parametrize("fill", ["blur", "mean"])
def test_the_square_decides_and_the_corner_does_not(squares, pictures, red, fill):
    """Of eleven pictures with a mask four are red already (0, 3, 6, 9): without their square they stay red."""
    square = fos.hide_region(squares, red, "parts", "square", fill=fill, **QUIET)
    corner = fos.hide_region(squares, red, "parts", "corner", fill=fill, controls=30, **QUIET)
    assert (len(square), square.flips.n, square.flips.undefined) == (12, 11, 1)
    assert square.flips.mean == pytest.approx(7 / 11)
    assert square.column("flip") == [float(i % 3 != 0) for i in range(11)] + [None]
    assert square.control_flips.mean == 0
    assert square.flip_difference.low > 0
    gone = [float(logits_of(MostlyRed(), path).max()) - 0.01 * (i % 3 == 0) for i, path in enumerate(pictures)]
    assert square.column("logit_change")[:11] == pytest.approx([-logit for logit in gone[:11]], abs=1e-3)
    assert abs(square.control_logit_change.mean) < 0.01
    assert square.logit_difference.p < 0.01
    assert (corner.flips.mean, corner.logit_difference.mean > 0) == (0, True)
    assert corner.control_logit_change.mean < 0, "some of the corner's controls lie on the square"


def test_every_fill_sees_the_same_pictures_and_swap_brings_the_other_colour(squares, red):
    """Each square goes to a picture of another colour, which then has the other picture's colour."""
    swapped = fos.hide_region(squares.limit(9), red, "parts", "square", fill="swap", **QUIET)
    assert swapped.flips.mean == 1
    assert swapped.fill == "swap"


def test_a_region_is_read_from_boxes_too(fo, squares, red):
    view = squares.limit(4)
    boxes = []
    for i in range(4):
        box = [12 * (i % 5) / 64, 8 * (i % 4) / 48, 12 / 64, 12 / 48]
        boxes.append(fo.Detections(detections=[fo.Detection(label="square", bounding_box=box)]))
    view.set_values("boxes", boxes)
    by_mask = fos.hide_region(view, red, "parts", "square", **QUIET)
    by_box = fos.hide_region(view, red, "boxes", "square", **QUIET)
    assert by_box.column("flip") == by_mask.column("flip") == [0, 1, 1, 0]
    assert by_box.column("area") == pytest.approx(by_mask.column("area"), abs=0.01)


def test_a_view_keeps_its_order_and_labels_and_cells_can_be_taken_out(squares, red):
    view = squares.select_fields(["ground_truth", "predictions", "parts"]).sort_by("filepath", reverse=True)
    hidden = fos.hide_region(view, red, "parts", "square", **QUIET)
    assert hidden.ids == view.values("id")
    assert hidden.truths == hidden.predictions == view.values("ground_truth.label")
    greens = hidden.select([i for i, truth in enumerate(hidden.truths) if truth == "green"])
    assert (len(greens), greens.flips.mean, set(greens.truths)) == (4, 1, {"green"})


def test_batches_do_not_matter_and_seeds_are_kept(squares, red):
    columns = [
        fos.hide_region(squares, red, "parts", "corner", batch_size=size, seed=seed, **QUIET).column(
            "control_logit_change"
        )
        for size, seed in ((16, 51), (5, 51), (16, 52))
    ]
    assert columns[0][:11] == pytest.approx(columns[1][:11], abs=1e-6)
    assert columns[0][:11] != pytest.approx(columns[2][:11], abs=1e-6)


def test_results_are_stored_if_asked_for(squares, red):
    hidden = fos.hide_region(squares, red, "parts", "square", store_field="effect", **QUIET)
    assert squares.values("effect.flip") == hidden.column("flip")
    assert squares.values("effect.logit_change") == hidden.column("logit_change")
    assert "effect.flip" in squares.get_field_schema(flat=True)
    fos.hide_region(squares, red, "parts", "square", store_field="effect", **QUIET)
    with pytest.raises(FieldError, match="'ground_truth' is a"):
        fos.hide_region(squares, red, "parts", "square", store_field="ground_truth", **QUIET)
    squares.delete_sample_field("effect")


def test_it_reads_as_text_and_as_json(squares, red):
    hidden = fos.hide_region(squares, red, "parts", "square", **QUIET)
    text = str(hidden)
    assert "'square' hidden by blur" in text
    assert "0.636" in text
    assert "difference +0.636" in text
    values = json.loads(json.dumps(hidden.to_json()))
    assert values["flips"]["mean"] == pytest.approx(7 / 11)
    assert values["flip_difference"]["n"] == 11


def test_a_broken_picture_is_one_failure(fo, squares, red, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    dataset = squares.limit(3).clone()
    sample = dataset.first()
    sample.filepath = str(broken)
    sample.save()
    hidden = fos.hide_region(dataset, red, "parts", "square", **QUIET)
    assert [failure.sample_id for failure in hidden.failures] == [sample.id]
    assert hidden.column("flip") == [None, 1, 1]
    assert (hidden.flips.n, hidden.flips.undefined) == (2, 1)
    dataset.delete()


def test_the_model_is_given_back_as_it_was(squares):
    net = MostlyRed()
    net.train()
    before = Snapshot.of(net)
    fos.hide_region(squares, fos.load_model(net, CLASSES, CROP), "parts", "square", **QUIET)
    assert before.differences(Snapshot.of(net)) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"region": "squre"}, UnknownNameError, "Did you mean `square`"),
        ({"regions": "part"}, UnknownNameError, "part"),
        ({"fill": "paint"}, UnknownNameError, "`fill`"),
        ({"controls": 0}, ArgumentError, "`controls`"),
        ({"gt_field": "truth"}, UnknownNameError, "Did you mean"),
        ({"store_field": "9"}, FieldError, "`store_field`"),
        ({"model": nn.Flatten()}, ModelError, "`transform`"),
    ],
)
def test_bad_arguments_are_refused(squares, red, arguments, error, message):
    given = {"samples": squares, "model": red, "regions": "parts", "region": "square", **QUIET, **arguments}
    with pytest.raises(error, match=message):
        fos.hide_region(**given)


def test_a_region_that_is_named_but_nowhere_is_undefined_throughout(squares, red):
    hidden = fos.hide_region(squares, red, "parts", "hat", **QUIET)
    assert (hidden.flips.n, hidden.flips.mean, hidden.flip_difference.p) == (0, None, None)
    assert "undefined" in str(hidden)


def test_labels_may_be_missing(squares, red):
    hidden = fos.hide_region(squares, red, "parts", "square", gt_field=None, pred_field=None, **QUIET)
    assert set(hidden.truths) == set(hidden.predictions) == {None}
    assert hidden.flips.mean == pytest.approx(7 / 11)


@pytest.mark.parametrize("labels", ["aabbcc", "aaab", "aaaa", "ab", "abcabcabcd" * 5])
def test_partners_are_others_and_of_another_label_where_that_can_be(labels):
    partners = pair(labels, 51)
    assert sorted(partners) == list(range(len(labels)))
    assert all(i != partner for i, partner in enumerate(partners))
    if max(labels.count(label) for label in labels) <= len(labels) / 2:
        assert all(labels[i] != labels[partner] for i, partner in enumerate(partners))
    assert partners == pair(labels, 51)


def test_one_alone_and_none_have_no_partner_to_choose():
    assert pair(["a"], 51) == [0]
    assert pair([], 51) == []
