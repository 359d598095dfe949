"""Several targets at once: one pass through the trunk, and in each field the run it would have had alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, png_bytes, state_of

QUIET = {"progress": False, "num_workers": 2}
TARGETS = {"why": "predicted", "why_not": "ground_truth", "rather": "contrast", "second": "top-2", "green": "green"}


class Counting(ColourNet):
    """Count the images that its first layer sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return super().forward(images)


@pytest.mark.parametrize("method", ["grad_cam", "occlusion", "input_x_gradient"])
def test_each_field_gets_the_run_and_the_bytes_it_gets_alone(colours, model, method):
    together = fos.compute_saliency_targets(colours, model, TARGETS, method=method, **QUIET)
    assert list(together) == list(TARGETS)
    keys = {field: run.key for field, run in together.items()}
    stored = {field: png_bytes(colours, field) for field in TARGETS}
    for field, target in TARGETS.items():
        fos.delete_run(colours, keys[field])
        alone = fos.compute_saliency(colours, model, field, target=target, method=method, **QUIET)
        assert alone.key == keys[field]
        assert (alone.counts, alone.failures) == (together[field].counts, together[field].failures)
        assert png_bytes(colours, field) == stored[field]


def test_the_trunk_runs_once_per_image_whatever_the_number_of_targets(colours):
    network = Counting()
    model = fos.load_model(network, CLASSES, CROP)
    fos.compute_saliency(colours, model, "one", **QUIET)
    alone, network.seen = sum(network.seen), []
    fos.compute_saliency_targets(colours, model, TARGETS, **QUIET)
    # Finding the layer and the probe see one drawn image each.
    assert sum(network.seen) <= alone
    assert sum(network.seen) >= 12


def test_a_sample_with_nothing_to_explain_for_one_target_keeps_its_other_maps(colours, model):
    sample = colours.first()
    sample.ground_truth = None
    sample.save()
    runs = fos.compute_saliency_targets(colours, model, {"why": "predicted", "why_not": "ground_truth"}, **QUIET)
    assert (runs["why"].counts.done, runs["why"].counts.skipped) == (12, 0)
    assert (runs["why_not"].counts.done, runs["why_not"].counts.skipped) == (11, 1)
    assert runs["why_not"].failures[0].reason == "the sample has no ground truth"
    sample.reload()
    assert sample.why is not None
    assert sample.why_not is None


def test_only_what_a_field_lacks_is_computed(colours, model):
    fos.compute_saliency(colours.limit(5), model, "why", **QUIET)
    runs = fos.compute_saliency_targets(colours, model, {"why": "predicted", "green": "green"}, **QUIET)
    assert (runs["why"].counts.done, runs["why"].counts.resumed) == (12, 5)
    assert (runs["green"].counts.done, runs["green"].counts.resumed) == (12, 0)
    again = fos.compute_saliency_targets(colours, model, {"why": "predicted", "green": "green"}, **QUIET)
    assert [run.counts.resumed for run in again.values()] == [12, 12]


def test_top_1_without_stored_predictions_is_the_prediction(colours, model):
    runs = fos.compute_saliency_targets(colours, model, {"a": "top-1", "b": "predicted"}, pred_field=None, **QUIET)
    assert runs["a"].key != runs["b"].key
    assert list(png_bytes(colours, "a").values()) == list(png_bytes(colours, "b").values())
    assert colours.values("a.target") == colours.values("b.target")


def test_probabilities_are_explained_on_request_and_the_record_says_so(colours, model):
    logits = fos.compute_saliency(colours, model, "a", **QUIET)
    softmax = fos.compute_saliency(colours, model, "b", output="softmax", **QUIET)
    assert (logits.request.output, softmax.request.output) == ("logits", "softmax")
    assert logits.key != softmax.key
    assert fos.load_run(colours, "b").request.output == "softmax"
    assert all(0 < score < 1 for score in colours.values("b.score"))
    for sample in colours:
        one, other = (fos.read_map(sample[field]) for field in "ab")
        # The gradient of a probability is that of its logit times p (1 - p), less the others' share.
        assert 0 < other.max() < one.max()


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ({}, ArgumentError, "Expected `targets` to name a field and a target"),
        ({"why": "predicted", "rather": "bleu"}, UnknownNameError, "Did you mean `blue`"),
        ({"why": "predicted", "ground_truth": "red"}, FieldError, "'ground_truth' to be new or to hold heatmaps"),
        ({"why": "predicted", "fourth": "top-4"}, UnknownNameError, "Did you mean `top-"),
        ({"why": "red", "taken": "red"}, RunConflictError, "Expected field 'taken' to be free"),
    ],
)
def test_one_bad_target_stops_all_before_anything_is_changed(colours, model, targets, error, message):
    fos.compute_saliency(colours, model, "taken", **QUIET)
    before = state_of(colours)
    with pytest.raises(error, match=message):
        fos.compute_saliency_targets(colours, model, targets, **QUIET)
    assert state_of(colours) == before


def test_memory_that_runs_out_halves_the_batch_and_is_told_once(colours, caplog):
    """As a GPU says it; here a network that cannot hold more than three images."""

    class Narrow(Counting):
        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(images)

    network = Narrow()
    run = fos.compute_saliency(colours, fos.load_model(network, CLASSES, CROP), batch_size=12, **QUIET)
    assert (run.counts.done, run.failures) == (12, ())
    assert max(network.seen) == 3
    assert [r.message for r in caplog.records if "Memory ran out" in r.message] == [
        "Memory ran out with 12 images at a time: going on with half, or less if need be."
    ]
    plain = fos.compute_saliency(colours, fos.load_model(ColourNet(), CLASSES, CROP), "plain", batch_size=12, **QUIET)
    assert plain.counts.done == 12
    assert list(png_bytes(colours, "plain").values()) == list(png_bytes(colours).values())
