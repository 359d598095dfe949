"""compute_saliency on a real dataset: what is stored, and that it is the map that was computed."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, LayerGradCam
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import CenterCrop, ToTensor

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import FieldError, ModelError, RunConflictError
from tests.models_for_tests import (
    CLASSES,
    CROP,
    BlindNet,
    ColourNet,
    add_pictures,
    logits_of,
    png_bytes,
)

QUIET = {"progress": False, "num_workers": 2}
METHODS = {
    "grad_cam": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 4},
    "occlusion": {"window": 0.5, "stride": 0.5},
    "smooth_grad": {"samples": 3, "noise": 1.0},
}


def levels_of(heatmap):
    return cv2.imread(heatmap.map_path, cv2.IMREAD_UNCHANGED)


def test_every_sample_gets_a_heatmap_in_a_file(colours, model, fo):
    run = fos.compute_saliency(colours, model, **QUIET)
    assert colours.get_field("saliency").document_type is fo.Heatmap
    for sample in colours:
        path = Path(sample.saliency.map_path)
        assert path.is_file()
        assert path.parent == Path(run.folder)
        assert path.name == f"{sample.id}-{run.key}.png", "the key in the name keeps caches from going stale"
        assert sample.saliency.map is None, "maps in the database would travel with every page of the grid"
        levels = levels_of(sample.saliency)
        assert (levels.dtype, levels.shape) == (np.uint8, (84, 112)), "112 pixels long, in the picture's 4 : 3"
    assert len(os.listdir(run.folder)) == 12


def check_against_captum(sample, frame, crop, tolerance):
    """Compare a stored map with captum's Grad-CAM, drawn into the part of the frame that the network saw."""
    net = ColourNet().eval()
    image = CenterCrop(crop)(Image.open(sample.filepath).convert("RGB"))
    target = CLASSES.index(sample.predictions.label)
    cam = LayerGradCam(net, net.relu).attribute(ToTensor()(image)[None], target=target, relu_attributions=True)
    height, width = frame
    expected = np.zeros(frame, np.float32)
    left = (width - height) // 2
    expected[:, left : left + height] = interpolate(cam, (height, height), mode="bilinear")[0, 0].detach()
    heatmap = sample.saliency
    stored = heatmap.vmin + levels_of(heatmap).astype(np.float64) * (heatmap.vmax - heatmap.vmin) / 255
    assert expected.max() > 0
    assert heatmap.vmax == pytest.approx(expected.max(), rel=1e-3)
    np.testing.assert_allclose(stored, expected, atol=tolerance * (heatmap.vmax - heatmap.vmin))
    np.testing.assert_allclose(fos.read_map(heatmap), stored, atol=1e-7)


def test_the_stored_map_is_captums_drawn_where_the_network_looked(colours, model):
    """The crop of 48 × 48 is the 84 columns from 14 on, of 112; a tenth of a stored pixel is 1.5 % of the range."""
    fos.compute_saliency(colours, model, **QUIET)
    for sample in colours:
        check_against_captum(sample, (84, 112), 48, tolerance=0.02)


def test_levels_and_scale_give_back_the_map_to_one_level(dataset, tmp_path):
    """On a whole picture of 51 × 51, where the network's view is known exactly."""
    picture = np.zeros((51, 51, 3), np.uint8)
    picture[10:30, 3:17, 0] = 250
    picture[22:40, 10:30, 0] = 180
    Image.fromarray(picture).save(tmp_path / "picture.png")
    add_pictures(dataset, [str(tmp_path / "picture.png")], [None], ["red"])
    fos.compute_saliency(dataset, fos.load_model(ColourNet(), CLASSES, ToTensor()), **QUIET)
    check_against_captum(dataset.first(), (112, 112), 51, tolerance=1 / 255)


def test_the_map_is_on_the_square_and_nothing_outside_the_crop(colours, model):
    fos.compute_saliency(colours, model, **QUIET)
    for i, sample in enumerate(colours):
        levels = levels_of(sample.saliency)
        row, column = 8 * (i % 4), 12 * (i % 5)
        y, x = np.argwhere(levels == 255).mean(axis=0) / (84, 112) * (48, 64)
        assert row <= y <= row + 12
        assert column <= x <= column + 12
        assert not levels[:, :13].any()
        assert not levels[:, 99:].any()


def test_the_heatmap_carries_what_it_shows(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    for sample in colours:
        heatmap, logits = sample.saliency, logits_of(ColourNet(), sample.filepath)
        levels = levels_of(heatmap)
        assert heatmap.run_key == run.key
        assert (heatmap.method, heatmap.target, heatmap.sign) == ("grad_cam", sample.predictions.label, "positive")
        assert heatmap.score == pytest.approx(logits[CLASSES.index(sample.predictions.label)].item(), abs=1e-6)
        assert heatmap.vmin == 0 < heatmap.vmax
        assert (levels.min(), levels.max()) == (0, 255), "all levels are used"
        assert heatmap.range == [0, int(np.quantile(levels[levels > 0], 0.995, method="higher"))]


def test_the_attributes_can_be_filtered_by(colours, model):
    from fiftyone import ViewField as F

    fos.compute_saliency(colours, model, **QUIET)
    assert colours.count_values("saliency.target") == dict.fromkeys(CLASSES, 4)
    scores = colours.values("saliency.score")
    assert len(colours.match(F("saliency.score") >= sorted(scores)[6])) == sum(s >= sorted(scores)[6] for s in scores)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_stores_the_same_bytes_in_any_batch_and_order(colours, model, method):
    """A map must not depend on its neighbours: not on the batch, not on the order, not on random numbers."""
    view = colours.limit(5)
    stored = []
    for samples, batch_size in ((view, 16), (view, 1), (view.sort_by("filepath", reverse=True), 2)):
        run = fos.compute_saliency(
            samples, model, method=method, parameters=METHODS[method], batch_size=batch_size, **QUIET
        )
        assert (run.counts.done, run.counts.resumed, run.failures) == (5, 0, ())
        stored.append(png_bytes(view))
        fos.delete_run(colours, run.key)
    assert len(set(stored[0].values())) > 1, "the pictures differ, and so do their maps"
    assert stored[0] == stored[1] == stored[2]


def test_another_seed_gives_other_noise_and_another_key(colours, model):
    view, parameters = colours.limit(2), METHODS["smooth_grad"]
    runs = [
        fos.compute_saliency(view, model, f"s{seed}", method="smooth_grad", parameters=parameters, seed=seed, **QUIET)
        for seed in (1, 2)
    ]
    assert runs[0].key != runs[1].key
    first, second = png_bytes(view, "s1"), png_bytes(view, "s2")
    assert all(first[i] != second[i] for i in first)


def test_signs_are_kept_dropped_or_folded(dataset, tmp_path):
    """By hand: input × gradient, summed over the channels; of a red and a blue square, blue speaks against red."""
    picture = np.zeros((51, 85, 3), np.uint8)
    picture[8:20, 12:24, 0] = 250
    picture[28:40, 48:68, 2] = 250
    Image.fromarray(picture).save(tmp_path / "two.png")
    add_pictures(dataset, [str(tmp_path / "two.png")], [None])
    net = ColourNet().eval()
    model = fos.load_model(net, CLASSES, ToTensor())
    for sign in ("signed", "positive", "absolute"):
        fos.compute_saliency(dataset, model, sign, method="input_x_gradient", target="red", sign=sign, **QUIET)
    image = ToTensor()(Image.fromarray(picture))[None].requires_grad_(True)
    product = InputXGradient(net).attribute(image, target=0).sum(dim=1)[0].detach().numpy()
    assert product.min() < 0 < product.max()
    sample = dataset.first()
    expected = {"signed": product, "positive": np.maximum(product, 0), "absolute": np.abs(product)}
    for sign, values in expected.items():
        heatmap = sample[sign]
        assert heatmap.sign == sign
        np.testing.assert_allclose(fos.read_map(heatmap), values, atol=3 * (heatmap.vmax - heatmap.vmin) / 255)
    assert sample["signed"].vmin < 0 < sample["signed"].vmax
    assert sample["signed"].range == [0, 255], "no evidence is the middle of the scale"
    assert sample["positive"].vmin == sample["absolute"].vmin == 0


def two_without_labels(colours, fo):
    """The first sample loses its prediction, the second its truth; the fourth (3) and eighth (7) are errors."""
    first, second = colours.limit(2)
    first["predictions"], second["ground_truth"] = None, fo.Classification()
    first.save()
    second.save()
    return first, second


@pytest.mark.parametrize(
    ("target", "labels", "skipped"),
    [
        ("predicted", {1: "green", 3: "red", 7: "green"}, {0: "the sample has no prediction"}),
        ("ground_truth", {0: "red", 3: "blue", 7: "red"}, {1: "the sample has no ground truth"}),
        ("blue", {0: "blue", 1: "blue", 11: "blue"}, {}),
        ("green - red", {0: "green − red", 11: "green − red"}, {}),
        (
            "predicted - blue",
            {1: "green − blue", 3: "red − blue"},
            {0: "the sample has no prediction"} | dict.fromkeys((2, 5, 8, 11), "both sides of the contrast are 'blue'"),
        ),
        (
            "contrast",
            {3: "red − blue", 7: "green − red"},
            {0: "the sample has no prediction", 1: "the sample has no ground truth"}
            | {i: f"both sides of the contrast are {CLASSES[i % 3]!r}" for i in (2, 4, 5, 6, 8, 9, 10, 11)},
        ),
    ],
)
def test_targets_and_what_they_cannot_explain(colours, model, fo, target, labels, skipped):
    two_without_labels(colours, fo)
    run = fos.compute_saliency(colours, model, target=target, **QUIET)
    assert (run.counts.done, run.counts.skipped, run.counts.failed) == (12 - len(skipped), len(skipped), 0)
    ids = colours.values("id")
    assert {ids.index(f.sample_id): f.reason for f in run.failures} == skipped
    assert {f.kind for f in run.failures} <= {"skip"}
    samples = list(colours)
    assert {i for i in range(12) if samples[i].saliency is None} == set(skipped)
    assert {i: samples[i].saliency.target for i in labels} == labels
    for i, label in labels.items():
        logits = dict(zip(CLASSES, logits_of(ColourNet(), samples[i].filepath).tolist(), strict=True))
        plus, _, minus = label.partition(" − ")
        assert samples[i].saliency.score == pytest.approx(logits[plus] - logits.get(minus, 0), abs=1e-6)


def test_a_label_that_the_model_does_not_know_is_skipped(colours, model, fo):
    sample = colours.first()
    sample["predictions"] = fo.Classification(label="mauve")
    sample.save()
    run = fos.compute_saliency(colours, model, **QUIET)
    assert [f.reason for f in run.failures] == ["the label 'mauve' is not among the model's 3 classes"]
    assert (run.counts.done, run.counts.skipped) == (11, 1)


def test_predicted_is_the_stored_label_or_what_the_model_says_now(colours, model, fo):
    colours.set_values("predictions", [fo.Classification(label="blue") for _ in range(12)])
    fos.compute_saliency(colours, model, "stored", **QUIET)
    assert set(colours.values("stored.target")) == {"blue"}
    fos.compute_saliency(colours, model, "now", pred_field=None, **QUIET)
    assert colours.values("now.target") == [CLASSES[i % 3] for i in range(12)]


def test_without_predictions_the_models_own_are_explained(dataset, pictures, model):
    add_pictures(dataset, pictures, [None] * 12)
    run = fos.compute_saliency(dataset, model, pred_field=None, gt_field=None, **QUIET)
    assert run.counts.done == 12
    assert dataset.values("saliency.target") == [CLASSES[i % 3] for i in range(12)]


def test_a_blind_model_has_no_evidence_anywhere(colours):
    run = fos.compute_saliency(colours, fos.load_model(BlindNet(), CLASSES, CROP), **QUIET)
    assert (run.counts.done, run.counts.no_evidence) == (12, 12)
    for sample in colours:
        assert (sample.saliency.vmin, sample.saliency.vmax) == (0, 0)
        assert not levels_of(sample.saliency).any()


def test_a_view_is_computed_alone(colours, model):
    run = fos.compute_saliency(colours.skip(8), model, **QUIET)
    assert run.counts.done == 4
    assert [s.saliency is not None for s in colours] == [False] * 8 + [True] * 4


@pytest.fixture
def pairs(dataset, pictures, fo):
    """A grouped dataset of three pairs; its active slice is the left one."""
    dataset.add_group_field("group", default="left")
    for left, right in zip(pictures[:3], pictures[3:6], strict=True):
        group = fo.Group()
        dataset.add_sample(fo.Sample(filepath=left, group=group.element("left")))
        dataset.add_sample(fo.Sample(filepath=right, group=group.element("right")))
    return dataset


def test_one_slice_of_a_grouped_dataset_is_computed_alone(pairs, model):
    left, right = (pairs.select_group_slices(name) for name in ("left", "right"))
    run = fos.compute_saliency(right, model, pred_field=None, **QUIET)
    assert run.counts.done == 3
    assert (left.count("saliency"), right.count("saliency")) == (0, 3)
    fos.delete_run(right, "saliency")
    assert not pairs.has_field("saliency")
    assert not Path(run.folder).exists()


def test_a_run_on_another_slice_is_not_replaced_unasked(pairs, model):
    left, right = (pairs.select_group_slices(name) for name in ("left", "right"))
    fos.compute_saliency(right, model, target="red", **QUIET)
    before = png_bytes(right)
    for samples in (left, right):
        with pytest.raises(RunConflictError, match="'saliency' to be free or to hold run"):
            fos.compute_saliency(samples, model, target="blue", **QUIET)
    assert png_bytes(right) == before
    fos.compute_saliency(left, model, target="blue", overwrite=True, **QUIET)
    assert (left.count("saliency"), right.count("saliency")) == (3, 0)


def test_patches_are_refused_because_their_image_is_the_whole_picture(colours, model, fo):
    """A patch's sample lives in a generated dataset: its maps could not be stored, and would show the whole image."""
    box = [0.1, 0.1, 0.5, 0.5]
    colours.set_values(
        "boxes", [fo.Detections(detections=[fo.Detection(label="x", bounding_box=box)]) for _ in range(12)]
    )
    with pytest.raises(FieldError, match="patches"):
        fos.compute_saliency(colours.to_patches("boxes"), model, pred_field=None, **QUIET)
    assert not colours.has_field("saliency")


def test_progress_goes_to_a_callback(colours, model):
    seen = []
    fos.compute_saliency(
        colours, model, batch_size=5, progress=lambda bar: seen.append((bar.iteration, bar.total, bar.complete))
    )
    assert seen == [(5, 12, False), (10, 12, False), (12, 12, True)]


@pytest.mark.parametrize("method", METHODS)
def test_the_model_is_given_back_as_it_was(colours, method):
    net = ColourNet().train()
    net.head.eval()
    net.conv.weight.requires_grad_(False)
    net.head.bias.grad = torch.ones(3)
    model = fos.load_model(net, CLASSES, CROP)
    fos.compute_saliency(colours.limit(1), model, method=method, parameters=METHODS[method], **QUIET)
    assert (net.training, net.conv.training, net.head.training) == (True, True, False)
    assert net.relu.inplace
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]
    assert torch.equal(net.head.bias.grad, torch.ones(3))
    assert all(p.grad is None for n, p in net.named_parameters() if n != "head.bias")
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())


def test_a_method_can_be_given_as_an_object(colours, model):
    method = fos.list_methods()["integrated_gradients"].cls(steps=3)
    run = fos.compute_saliency(colours.limit(1), model, method=method, **QUIET)
    assert (run.request.method, run.request.params) == ("integrated_gradients", {"steps": 3})


def test_parameters_beside_a_method_object_are_refused(colours, model):
    """They would be ignored, and the record would not say so."""
    method = fos.list_methods()["integrated_gradients"].cls(steps=3)
    with pytest.raises(ValueError, match="parameters"):
        fos.compute_saliency(colours.limit(1), model, method=method, parameters={"steps": 9}, **QUIET)


def test_maps_that_do_not_add_up_are_told_and_carry_by_how_much(colours, model, caplog):
    few = fos.compute_saliency(
        colours, model, "few", method="integrated_gradients", parameters={"steps": 1}, pred_field=None, **QUIET
    )
    assert few.counts.incomplete == 12
    assert min(colours.values("few.delta")) > 0.05
    assert "12 that do not add up to their score" in str(few)
    assert "12 of 12 maps in field 'few' miss what they should add up to by more than 5 %" in caplog.text
    caplog.clear()
    many = fos.compute_saliency(
        colours, model, "many", method="integrated_gradients", parameters={"steps": 200}, pred_field=None, **QUIET
    )
    assert many.counts.incomplete == 0
    assert max(colours.values("many.delta")) < 0.05
    assert caplog.text == ""
    fos.compute_saliency(colours, model, **QUIET)
    assert colours.values("saliency.delta") == [None] * 12, "a Grad-CAM promises no sum"


def test_a_black_box_is_explained_by_perturbation_and_refused_by_what_looks_inside(colours):
    net = ColourNet().eval()
    box = fos.load_model(lambda images: net(images).detach().numpy(), CLASSES, CROP)
    with pytest.raises(ModelError, match=r"a torch network for the method 'grad_cam', .* black box.* occlusion, rise"):
        fos.compute_saliency(colours, box, pred_field=None, **QUIET)
    assert "saliency" not in colours.get_field_schema()
    run = fos.compute_saliency(colours, box, "hidden", method="occlusion", pred_field=None, **QUIET)
    assert (run.counts.done, run.failures) == (12, ())
    network = fos.load_model(net, CLASSES, CROP)
    fos.compute_saliency(colours, network, "seen", method="occlusion", pred_field=None, **QUIET)
    assert list(png_bytes(colours, "hidden").values()) == list(png_bytes(colours, "seen").values())
