"""Stored maps are measured: in the frame of the network's input, on a drawn subsample, beside chance."""

from __future__ import annotations

import json

import fiftyone
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, ModelError, UnknownNameError
from fiftyone_saliency.core.faithfulness import MEASURES
from tests.models_for_tests import CLASSES, CROP, BlindNet, ColourNet
from tests.oracles import Snapshot

QUIET = {"progress": False, "num_workers": 2}
CURVES = ("deletion", "insertion", "road")


@pytest.fixture(scope="module")
def measured(fo, pictures):
    """Three runs over pictures of a bright square: its Grad-CAM, a random map, and the map of a square elsewhere."""
    from tests.models_for_tests import add_pictures

    seen = [CLASSES[i % 3] for i in range(12)]
    dataset = add_pictures(fo.Dataset(), pictures, seen, seen)
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    fos.compute_saliency(dataset, model, "right", **QUIET)
    fos.compute_saliency(dataset, model, "drawn", method="random_map", **QUIET)
    yield dataset, model
    dataset.delete()


@pytest.mark.parametrize("substrate", ["mean", "blur"])
def test_the_map_of_the_square_beats_chance_by_every_measure(measured, substrate):
    dataset, model = measured
    found = fos.faithfulness(dataset, model, "right", measures=CURVES, substrate=substrate, steps=16, **QUIET)
    assert sorted(found.ids) == sorted(dataset.values("id"))
    for name in CURVES:
        one = found[name]
        assert (one.summary.n, one.baseline.n) == (12, 12)
        assert one.beats_random, f"{name}: {one.gain}"
        better = one.summary.mean > one.baseline.mean
        assert better is one.higher_is_better is (name == "insertion")


def test_a_drawn_map_does_not(measured):
    dataset, model = measured
    drawn, right = (
        fos.faithfulness(dataset, model, run, measures=CURVES, steps=16, **QUIET) for run in ("drawn", "right")
    )
    for name in CURVES:
        assert abs(drawn[name].gain.mean) < right[name].gain.mean / 3


def test_maps_are_brought_into_the_frame_of_the_network(measured):
    """The network sees the middle of each picture. Maps that are off by what it cuts away are worse."""
    dataset, model = measured
    right = fos.faithfulness(dataset, model, "right", measures=("insertion",), steps=16, **QUIET)["insertion"]
    key = fos.load_run(dataset, "right").key
    kept = dict(zip(*dataset.values(["id", "right"]), strict=True))
    moved = {}
    for sample_id, heatmap in kept.items():
        values = fos.read_map(heatmap)
        moved[sample_id] = fiftyone.Heatmap(map=np.roll(values, -values.shape[1] // 8, axis=1), run_key=key)
    dataset.set_values("right", moved, key_field="id")
    off = fos.faithfulness(dataset, model, "right", measures=("insertion",), steps=16, **QUIET)["insertion"]
    dataset.set_values("right", kept, key_field="id")
    assert off.random == right.random
    pairs = [(one, other) for one, other in zip(right.values, off.values, strict=True) if other is not None]
    assert len(pairs) > 6, "others have lost all evidence to the border"
    one, other = np.mean(pairs, axis=0)
    assert one - other > 0.2 * right.gain.mean


def test_all_measures_at_once_and_their_settings(measured):
    dataset, model = measured
    found = fos.faithfulness(dataset, model, "right", measures=MEASURES, count=4, steps=4, **QUIET)
    assert list(found.measures) == list(MEASURES)
    assert all(one.summary.n == 4 for one in found.measures.values())
    assert found["sensitivity"].baseline.n == 0
    assert found["sensitivity"].beats_random is None
    assert found["infidelity"].summary.mean < found["infidelity"].baseline.mean
    assert found.settings["substrate"] == "blur"
    assert found.settings["road_fractions"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9]
    values = json.loads(json.dumps(found.to_json()))
    assert (values["n"], set(values["measures"])) == (4, set(MEASURES))
    text = str(found)
    assert "substrate blur" in text
    assert "insertion" in text
    assert "(higher is better)" in text


def test_the_seed_draws_the_samples_and_batches_do_not_matter(measured):
    dataset, model = measured
    options = {"measures": ("deletion",), "count": 5, "steps": 8, **QUIET}
    one = fos.faithfulness(dataset, model, "right", batch_size=64, **options)
    other = fos.faithfulness(dataset.sort_by("filepath", reverse=True), model, "right", batch_size=3, **options)
    third = fos.faithfulness(dataset, model, "right", seed=9, **options)
    assert list(one.ids) == list(other.ids)
    assert one["deletion"].values == pytest.approx(other["deletion"].values, abs=1e-6)
    assert one["deletion"].random == pytest.approx(other["deletion"].random, abs=1e-6)
    assert set(one.ids) != set(third.ids)


def test_an_empty_map_is_undefined_and_counted(colours):
    model = fos.load_model(BlindNet(), CLASSES, CROP)
    fos.compute_saliency(colours, model, **QUIET)
    found = fos.faithfulness(colours, model, steps=4, **QUIET)
    assert (found["deletion"].summary.n, found["deletion"].summary.undefined) == (0, 12)
    assert found["deletion"].beats_random is None


def test_a_picture_that_is_gone_is_undefined(colours, model, tmp_path):
    fos.compute_saliency(colours, model, **QUIET)
    sample = colours.first()
    sample.filepath = str(tmp_path / "gone.png")
    sample.save()
    found = fos.faithfulness(colours, model, steps=4, **QUIET)
    missing = list(found.ids).index(sample.id)
    assert found["deletion"].values[missing] is None
    assert found["deletion"].summary.undefined == 1


def test_the_model_is_given_back_as_it_was(measured):
    dataset, _ = measured
    net = ColourNet()
    net.train()
    before = Snapshot.of(net)
    model = fos.load_model(net, CLASSES, CROP)
    fos.faithfulness(dataset, model, "right", measures=MEASURES, count=2, steps=4, **QUIET)
    assert before.differences(Snapshot.of(net)) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"run": "wright"}, UnknownNameError, "Did you mean `right`"),
        ({"measures": ("deletoin",)}, UnknownNameError, "Did you mean `deletion`"),
        ({"measures": ()}, ArgumentError, "at least one"),
        ({"substrate": "black"}, UnknownNameError, "`substrate`"),
        ({"steps": 0}, ArgumentError, "`steps`"),
        ({"count": 0}, ArgumentError, "`count`"),
    ],
)
def test_bad_arguments_are_refused(measured, arguments, error, message):
    dataset, model = measured
    with pytest.raises(error, match=message):
        fos.faithfulness(dataset, model, **{"run": "right", **QUIET, **arguments})


def test_another_model_than_the_run_s_is_refused(measured):
    with pytest.raises(ModelError, match="Expected the model that computed run"):
        fos.faithfulness(measured[0], fos.load_model(BlindNet(), CLASSES, CROP), "right", **QUIET)
