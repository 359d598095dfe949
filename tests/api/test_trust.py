"""The gate: maps of what was learnt pass, maps of the image do not, and the verdict stays with the run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError, UnknownNameError
from fiftyone_saliency.core.trust import Trust, judge_agreement, judge_completeness, judge_evidence, judge_randomisation
from tests.models_for_tests import CLASSES, CROP, BlindNet, ColourNet
from tests.oracles import Snapshot, resize
from tests.trained import CLASSES as STRIPES
from tests.trained import SIDE, scenes, trained

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture(scope="module")
def striped(fo, tmp_path_factory):
    """Sixteen new pictures for the trained network, with its predictions."""
    folder = tmp_path_factory.mktemp("stripes")
    images, labels = scenes(16, 7)
    dataset = fo.Dataset()
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = str(folder / f"{i:02d}.png")
        Image.fromarray((image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
        dataset.add_sample(fo.Sample(filepath=path, ground_truth=fo.Classification(label=STRIPES[label])))
    model = fos.load_model(trained(), STRIPES, resize(SIDE))
    fos.predict(dataset, model, **QUIET)
    yield dataset, model
    dataset.delete()


def checked(striped, method: str, **options) -> Trust:
    dataset, model = striped
    fos.compute_saliency(dataset, model, f"map_{method}", method=method, **QUIET)
    return fos.check_trust(dataset, model, f"map_{method}", **QUIET, **options)


@pytest.mark.parametrize("method", ["grad_cam", "saliency", "integrated_gradients"])
def test_maps_of_what_was_learnt_pass(striped, method):
    trust = checked(striped, method)
    assert trust.passed, str(trust)
    assert trust.reasons == []
    assert trust["randomisation"].value.mean < 0.2
    assert trust["randomisation"].value.n == 16
    assert list(trust["randomisation"].details["by_share_of_layers"]) == ["0.50", "1.00"]
    assert trust["agreement"].details["other"] == "occlusion"
    assert trust["agreement"].value.mean > 0.3
    assert trust["completeness"].passed is (True if method == "integrated_gradients" else None)


@pytest.mark.parametrize("method", ["guided_backprop", "edge_detector", "eigen_cam"])
def test_maps_of_the_image_do_not(striped, method):
    trust = checked(striped, method)
    assert not trust.passed
    assert trust["randomisation"].passed is False
    assert "known for maps that depend too little on the weights" in trust.reasons[0]
    assert "not evidence" in str(trust).splitlines()[0]


def test_the_edge_detector_would_fail_without_being_known(striped):
    assert checked(striped, "edge_detector")["randomisation"].value.mean == pytest.approx(1)


def test_a_perturbation_method_is_held_against_gradients(striped):
    trust = checked(striped, "occlusion", count=8)
    assert trust.passed, str(trust)
    assert trust["agreement"].details["other"] == "integrated_gradients"
    assert trust["randomisation"].value.n == 8


def test_a_random_map_agrees_with_nothing(striped):
    trust = checked(striped, "random_map")
    assert trust["agreement"].passed is False
    assert abs(trust["agreement"].details["gain"]["mean"]) < 0.1


def test_the_verdict_is_stored_with_the_run_and_outlives_resuming_it(striped):
    dataset, model = striped
    trust = checked(striped, "grad_cam")
    assert fos.load_run(dataset, "map_grad_cam").trust == trust
    run = fos.compute_saliency(dataset, model, "map_grad_cam", **QUIET)
    assert run.trust == fos.load_run(dataset, run.key).trust == trust
    again = fos.check_trust(dataset, model, run.key, **QUIET)
    assert again == trust, "the seed decides"
    assert Trust.from_json(json.loads(json.dumps(trust.to_json()))) == trust


def test_batches_do_not_matter_and_neither_does_the_order_of_the_samples(striped):
    one = checked(striped, "grad_cam", count=6)
    dataset, model = striped
    view = dataset.sort_by("filepath", reverse=True)
    other = fos.check_trust(view, model, "map_grad_cam", count=6, batch_size=4, **QUIET)
    for name in ("randomisation", "agreement"):
        assert one[name].value.mean == pytest.approx(other[name].value.mean, abs=1e-5)
        assert one[name].value.n == 6


def test_the_model_is_given_back_as_it_was(striped):
    dataset, _ = striped
    net = trained()
    net.train()
    before = Snapshot.of(net)
    model = fos.load_model(net, STRIPES, resize(SIDE))
    fos.compute_saliency(dataset, model, "own", **QUIET)
    fos.check_trust(dataset, model, "own", count=4, **QUIET)
    assert before.differences(Snapshot.of(net)) == []


def test_maps_without_evidence_are_no_evidence(colours):
    model = fos.load_model(BlindNet(), CLASSES, CROP)
    fos.compute_saliency(colours, model, **QUIET)
    trust = fos.check_trust(colours, model, **QUIET)
    assert not trust.passed
    assert (trust["evidence"].passed, trust["evidence"].value.mean) == (False, 1)
    assert (trust["randomisation"].passed, trust["randomisation"].value.undefined) == (False, 12)


def test_a_black_box_is_checked_as_far_as_it_goes(colours):
    net = ColourNet().eval()
    model = fos.load_model(lambda images: net(images).detach(), CLASSES, CROP)
    fos.compute_saliency(colours, model, method="occlusion", **QUIET)
    trust = fos.check_trust(colours, model, **QUIET)
    assert (trust["randomisation"].passed, trust["agreement"].passed) == (None, None)
    assert trust.passed, "its maps have evidence"
    helped = fos.check_trust(colours, model, other="feature_ablation", **QUIET)
    assert helped["agreement"].passed is True


def test_a_run_without_a_verdict_has_none(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    assert fos.load_run(colours, run.key).trust is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"run": "salency"}, UnknownNameError, "saliency run"),
        ({"count": 0}, ArgumentError, "`count`"),
        ({"stages": 0}, ArgumentError, "`stages`"),
        ({"draws": 0}, ArgumentError, "`draws`"),
        ({"other": "ocluson"}, UnknownNameError, "Did you mean `occlusion`"),
    ],
)
def test_bad_arguments_are_refused(steady, model, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.check_trust(steady, model, **{"run": "other", **QUIET, **arguments})


def test_another_model_than_the_run_s_is_refused(steady):
    other = fos.load_model(BlindNet(), CLASSES, CROP)
    with pytest.raises(ModelError, match="Expected the model that computed run"):
        fos.check_trust(steady, other, "other", **QUIET)


def test_a_view_without_maps_is_refused(colours, model):
    fos.compute_saliency(colours.limit(3), model, **QUIET)
    with pytest.raises(FieldError, match="none of them does"):
        fos.check_trust(colours.skip(3), model, **QUIET)


def test_the_marks():
    assert judge_randomisation({1.0: [0.29, 0.3]}, False).passed is True
    assert judge_randomisation({1.0: [0.3, 0.3]}, False).passed is False
    assert judge_randomisation({0.3: [0.9], 0.5: [0.59], 0.7: [0.2], 1.0: [0.0]}, False).passed is True
    assert judge_randomisation({0.3: [0.9], 0.5: [0.4], 0.7: [0.6], 1.0: [0.0]}, False).passed is False
    assert judge_randomisation({0.5: [None], 1.0: [None]}, False).passed is False
    assert judge_randomisation({1.0: [0.0]}, True).passed is False
    assert judge_randomisation({}, False).passed is None
    assert judge_agreement("a", "b", [0.5, 0.6, 0.7, 0.6], [0.1, 0.0, 0.1, 0.0]).passed is True
    assert judge_agreement("a", "b", [0.5, -0.6, 0.1], [0.1, 0.0, 0.1]).passed is False
    assert judge_agreement("a", "b", [None], [0.1]).passed is False
    assert judge_agreement("a", "b", [0.5, 0.6, 0.7, 0.6], [0.1, 0.0, 0.1, 0.0]).state == "ok"
    assert judge_agreement("a", "b", [0.30, 0.31, 0.29, 0.30, 0.30], [0.2, 0.2, 0.2, 0.2, 0.22]).state == "weak"
    assert judge_agreement("a", None, [], []).state == "–"


def test_a_weak_agreement_passes_and_is_told():
    weak = judge_agreement("a", "b", [0.30, 0.31, 0.29, 0.30, 0.30], [0.2, 0.2, 0.2, 0.2, 0.22])
    trust = Trust("run", (weak, judge_evidence([False] * 10)), 51)
    assert trust.passed
    assert str(trust).splitlines()[0] == "run: may be believed, but its agreement is weak"
    assert "surely above +0.1 is demanded, surely above 0 is weak" in weak.reason
    assert "random" not in weak.reason
    assert Trust.from_json(json.loads(json.dumps(trust.to_json()))) == trust
    assert judge_evidence([False] * 9 + [True]).passed is True
    assert judge_evidence([False] * 8 + [True] * 2).passed is False
    assert judge_completeness([0.05] * 9 + [0.06], 0.05).passed is True
    assert judge_completeness([0.05] * 8 + [0.06] * 2, 0.05).passed is False
    assert judge_completeness([None, None], 0.05).passed is None


def test_nothing_checked_is_not_passed():
    undecided = judge_completeness([], 0.05)
    trust = Trust("run", (undecided,), 51)
    assert (trust.passed, trust.reasons) == (False, ["No check could be made."])
    assert replace(trust, checks=(undecided, judge_evidence([False]))).passed
