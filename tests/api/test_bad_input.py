"""compute_saliency refuses what makes no sense, says what to do, and leaves the dataset as it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, ModelError, RunConflictError, UnknownNameError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, state_of

QUIET = {"progress": False, "num_workers": 2}


def as_list(image):
    return [[0.0]]


def mirrored(image):
    return CROP(image).flip(2)


RANDOM = transforms.Compose([transforms.RandomCrop(40), transforms.ToTensor()])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "gradcam"}, UnknownNameError, r"known method, but got 'gradcam'. Did you mean `grad_cam`"),
        ({"method": 5}, ArgumentError, "Expected `method` to be a registered name or method, but got 5"),
        (
            {"method": "integrated_gradients", "parameters": {"step": 4}},
            UnknownNameError,
            r"parameter of integrated_gradients, but got 'step'. Did you mean `steps`",
        ),
        (
            {"method": "integrated_gradients", "parameters": {"steps": "many"}},
            ArgumentError,
            "`steps` to be an integer of at least 1, but got 'many'",
        ),
        ({"method": "occlusion", "parameters": {"window": 0.1, "stride": 0.2}}, ArgumentError, "larger stride would"),
        ({"parameters": {"steps": 4}}, UnknownNameError, "parameter of grad_cam"),
        ({"target": "bleu"}, UnknownNameError, r"known target, but got 'bleu'. Did you mean `blue`"),
        ({"target": "predicted - bleu"}, UnknownNameError, "known target, but got 'predicted - bleu'"),
        ({"target": 3}, ArgumentError, "Expected `target` to be a string, but got 3"),
        ({"pred_field": "prediction"}, UnknownNameError, r"`pred_field`, but got 'prediction'. Did you mean `predicti"),
        ({"pred_field": "boxes"}, FieldError, "`pred_field` to name a Classification field, but 'boxes' is a Detect"),
        ({"target": "ground_truth", "gt_field": "truth"}, UnknownNameError, "`gt_field`, but got 'truth'"),
        ({"target": "ground_truth", "gt_field": None}, UnknownNameError, "`gt_field`, but got None"),
        ({"target": "contrast", "gt_field": "filepath"}, FieldError, "`gt_field` to name a Classification field"),
        ({"field": "ground_truth"}, FieldError, "'ground_truth' to be new or to hold heatmaps, but it is a Classifi"),
        ({"field": "tags"}, FieldError, "'tags' to be new or to hold heatmaps, but it is a ListField"),
        ({"field": "two words"}, FieldError, "`field` to be a field name like 'saliency', but got 'two words'"),
        ({"field": "_hidden"}, FieldError, "`field` to be a field name like 'saliency', but got '_hidden'"),
        ({"field": "a.b"}, FieldError, "`field` to be a field name like 'saliency', but got 'a.b'"),
        ({"field": None}, FieldError, "`field` to be a field name like 'saliency', but got None"),
        ({"field": "saliency"}, RunConflictError, r"'saliency' to be free or to hold run grad_cam_\w+, but it holds"),
        ({"output": "logit"}, UnknownNameError, "value for `output`, but got 'logit'. Did you mean `logits`"),
        ({"precision": "float16"}, UnknownNameError, "value for `precision`, but got 'float16'"),
        ({"sign": "negative"}, UnknownNameError, "value for `sign`, but got 'negative'"),
        ({"seed": 2**64}, ArgumentError, r"`seed` to be an integer below 2\*\*32, but got 18446744073709551616"),
        ({"seed": 51.0}, ArgumentError, "`seed` to be an integer of at least 0, but got 51.0"),
        ({"seed": -1}, ArgumentError, "`seed` to be an integer of at least 0, but got -1"),
        ({"batch_size": 0}, ArgumentError, "`batch_size` to be an integer of at least 1, but got 0"),
        ({"batch_size": 10**9}, ArgumentError, "`batch_size` to be an integer of at most 1024, but got 1000000000"),
        ({"num_workers": 10**6}, ArgumentError, "`num_workers` to be an integer of at most 256, but got 1000000"),
        (
            {"method": "integrated_gradients", "parameters": {"steps": 10**9}},
            ArgumentError,
            "`steps` to be an integer of at most 1000, but got 1000000000",
        ),
        (
            {"method": "rise", "parameters": {"masks": 10**9}},
            ArgumentError,
            "`masks` to be an integer of at most 1000",
        ),
        ({"method": "rise", "parameters": {"grid": 10**5}}, ArgumentError, "`grid` to be an integer of at most 100,"),
        (
            {"method": "occlusion", "parameters": {"stride": 1e-9}},
            ArgumentError,
            "`stride` to be at least 0.005, w",
        ),
        ({"batch_size": True}, ArgumentError, "`batch_size` to be an integer of at least 1, but got True"),
        ({"num_workers": -1}, ArgumentError, "`num_workers` to be an integer of at least 0, but got -1"),
        ({"model": "resnet_18"}, UnknownNameError, "got 'resnet_18'. Did you mean `resnet18`"),
        ({"model": ColourNet()}, ModelError, "Expected `transform`, the preprocessing that ColourNet was trained"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_changed(steady, model, arguments, error, message):
    before = state_of(steady)
    with pytest.raises(error, match=message):
        fos.compute_saliency(steady, **{"model": model, "field": "new", **QUIET, **arguments})
    assert state_of(steady) == before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"classes": ["red", "green"]}, "the model returns 3 logits and `classes` has 2 names"),
        ({"classes": None}, "Expected `classes` to list the class names"),
        ({"layer": "cnv"}, r"known layer, but got 'cnv'. Did you mean `conv`"),
        ({"layer": "head"}, r"Expected the layer 'head' to return a feature map .*, but its output is \(1, 3\)"),
        ({"transform": as_list}, r"Expected `transform` to turn a PIL image into a tensor \(C, H, W\), but got list"),
        ({"transform": mirrored}, "Expected `transform` to keep the image upright"),
        ({"transform": RANDOM}, "Expected `transform` to give the same output for the same image"),
        ({"source": torch.nn.Conv2d(3, 3, 3)}, r"return a tensor of logits \(N, K\) for N=1, but got \(1, 3,"),
        ({"source": torch.nn.Flatten()}, "logits and `classes` has 3 names"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_model_that_does_not_fit_stops_the_run_before_anything_is_changed(steady, model, message, overwrite):
    """Also with overwrite=True: the old run must not be gone when the new one cannot start."""
    before = state_of(steady)
    arguments = {"source": ColourNet(), "classes": CLASSES, "transform": CROP, **model}
    with pytest.raises((ModelError, UnknownNameError), match=message):
        fos.compute_saliency(
            steady, fos.load_model(**arguments), "saliency" if overwrite else "new", overwrite=overwrite, **QUIET
        )
    assert state_of(steady) == before


def test_what_is_no_collection_of_images_is_refused(steady, model, dataset, fo):
    before = state_of(steady)
    with pytest.raises(FieldError, match=r"to hold at least one sample, but the view on .* is empty. Clear or widen"):
        fos.compute_saliency(steady.match_tags("none"), model, "new", **QUIET)
    with pytest.raises(FieldError, match="Expected `samples` to be a FiftyOne dataset or view, but got str"):
        fos.compute_saliency(steady.name, model, "new", **QUIET)
    assert state_of(steady) == before
    dataset.add_group_field("group", default="left")
    dataset.add_sample(fo.Sample(filepath="/nowhere/0.png", group=fo.Group().element("left")))
    with pytest.raises(FieldError, match="Expected a dataset of images, but got media type 'group'"):
        fos.compute_saliency(dataset, model, **QUIET)


def test_bad_files_are_failures_with_reasons_and_the_rest_is_computed(dataset, model, pictures, tmp_path):
    """In one batch, so that a bad file beside good ones is shown to cost nobody else their map."""
    Image.open(pictures[0]).save(tmp_path / "cut.jpg", quality=95)
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    bad = {
        "gone.png": "the image file is missing",
        "cut.jpg": "the image cannot be read: image file is truncated",
        "empty.png": "the image cannot be read: cannot identify image file",
        "text.png": "the image cannot be read: cannot identify image file",
        "folder.png": "the image cannot be read: ",
    }
    paths = [str(tmp_path / name) for name in bad]
    add_pictures(dataset, [*pictures[:2], *paths, pictures[2]], [None] * 8)
    run = fos.compute_saliency(dataset, model, pred_field=None, **QUIET)
    assert (run.status, run.counts.done, run.counts.failed, run.counts.skipped) == ("completed", 3, 5, 0)
    assert {f.filepath: f.kind for f in run.failures} == dict.fromkeys(paths, "error")
    for failure in run.failures:
        assert failure.reason.startswith(bad[Path(failure.filepath).name])
    assert [s.saliency is not None for s in dataset] == [True] * 2 + [False] * 5 + [True]
    assert str(run) == f"{run.key}: 3 maps in field 'saliency', 5 failed (completed)"


def test_pictures_of_every_kind_get_a_map(dataset, model, pictures, tmp_path):
    modes = {"grey.png": "L", "alpha.png": "RGBA", "palette.png": "P", "bit.png": "1", "print.jpg": "CMYK"}
    frames = [Image.open(path).convert("RGB") for path in pictures[:3]]
    for name, mode in modes.items():
        frames[0].convert(mode).save(tmp_path / name)
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    deep = np.asarray(frames[0].convert("L")).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    paths = sorted(str(p) for p in tmp_path.iterdir())
    add_pictures(dataset, paths, [None] * 7)
    run = fos.compute_saliency(dataset, model, pred_field=None, **QUIET)
    assert (run.counts.done, run.failures) == (7, ())
    assert {cv2.imread(s.saliency.map_path, cv2.IMREAD_UNCHANGED).shape for s in dataset} == {(84, 112)}


@pytest.mark.parametrize(
    ("size", "stored"), [((1, 1), (112, 112)), ((20_000, 10), (1, 112)), ((10, 3_000), (112, 1)), ((2, 90), (112, 2))]
)
def test_pictures_of_the_oddest_sizes_get_a_map_in_their_aspect(dataset, tmp_path, size, stored):
    Image.new("RGB", size, (250, 0, 0)).save(tmp_path / "odd.png")
    add_pictures(dataset, [str(tmp_path / "odd.png")], [None])
    stretch = transforms.Compose([transforms.Resize((48, 48)), transforms.ToTensor()])
    run = fos.compute_saliency(dataset, fos.load_model(ColourNet(), CLASSES, stretch), target="red", **QUIET)
    assert run.failures == ()
    levels = cv2.imread(dataset.first().saliency.map_path, cv2.IMREAD_UNCHANGED)
    assert levels.shape == stored
    assert levels.max() == 255


class Wrapped(ColourNet):
    """Return what many networks return instead of logits alone."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images):
        logits = super().forward(images)
        return {"tuple": (logits, None), "dict": {"scores": logits}, "list": [logits]}[self.kind]


@pytest.mark.parametrize("kind", ["tuple", "dict", "list"])
def test_a_network_that_returns_no_tensor_is_refused_with_the_way_out(steady, kind):
    before = state_of(steady)
    with pytest.raises(ModelError, match=rf"but got {kind}.* Wrap the model in a module that returns the logits"):
        fos.compute_saliency(steady, fos.load_model(Wrapped(kind), CLASSES, CROP), "new", **QUIET)
    assert state_of(steady) == before


def test_a_flat_map_is_stored_as_no_evidence_and_never_drawn(colours):
    net = ColourNet()
    with torch.no_grad():
        net.head.weight.zero_()
    run = fos.compute_saliency(colours, fos.load_model(net, CLASSES, CROP), target="red", **QUIET)
    assert (run.counts.done, run.counts.no_evidence) == (12, 12)
    assert "12 without evidence" in str(run)
    for sample in colours:
        assert not cv2.imread(sample.saliency.map_path, cv2.IMREAD_UNCHANGED).any()


def test_a_label_outside_the_classes_is_a_counted_skip(colours, model, fo):
    sample = colours.first()
    sample.predictions = fo.Classification(label="pie")
    sample.save()
    run = fos.compute_saliency(colours, model, **QUIET)
    assert (run.counts.done, run.counts.skipped) == (11, 1)
    assert run.failures[0].reason == "the label 'pie' is not among the model's 3 classes"


def test_a_network_in_training_is_explained_in_evaluation_and_given_back_in_training(colours):
    net = ColourNet().train()
    net.conv.eval()
    fos.compute_saliency(colours, fos.load_model(net, CLASSES, CROP), **QUIET)
    assert [m.training for m in (net, net.conv, net.relu, net.head)] == [True, False, True, True]
    assert net.relu.inplace


def test_two_computations_of_one_field_at_once_are_refused(colours, model):
    """The second is refused while the first runs; the first ends as if nothing had happened."""
    refused = []

    def meanwhile(bar):
        if not refused:
            with pytest.raises(RunConflictError, match="'saliency' to be idle, but another computation is writing"):
                fos.compute_saliency(colours, model, target="red", overwrite=True, **QUIET)
            refused.append(fos.compute_saliency(colours, model, "other_field", target="red", **QUIET).counts.done)

    run = fos.compute_saliency(colours, model, progress=meanwhile, batch_size=4, num_workers=1)
    assert refused == [12]
    assert (run.status, run.counts.done) == ("completed", 12)
    assert fos.compute_saliency(colours, model, **QUIET).counts.resumed == 12


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_map_lies_on_the_picture_as_people_see_it(dataset, model, tmp_path, orientation):
    """Cameras store turned pictures with a note; the map belongs to the upright one, as the App draws it."""
    picture = Image.new("RGB", (96, 48))
    picture.paste((250, 0, 0), (44, 4, 64, 24))
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = picture if turn[orientation] is None else picture.transpose(turn[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "camera.png", exif=exif)
    assert stored.size == ((48, 96) if orientation in (6, 8) else (96, 48))
    add_pictures(dataset, [str(tmp_path / "camera.png")], ["red"])
    fos.compute_saliency(dataset, model, target="red", **QUIET)
    levels = cv2.imread(dataset.first().saliency.map_path, cv2.IMREAD_UNCHANGED)
    assert levels.shape == (56, 112), "the upright picture is 96 × 48"
    rows, columns = (levels > 127).nonzero()
    centre = (rows.mean() / 56 * 48, columns.mean() / 112 * 96)
    assert centre == pytest.approx((14, 54), abs=1)


def test_samples_without_prediction_are_skipped_and_counted(steady, model):
    run = fos.load_run(steady, "other")
    assert (run.status, run.counts.done, run.counts.skipped, run.counts.failed) == ("completed", 11, 1, 0)
    (failure,) = run.failures
    assert (failure.sample_id, failure.kind) == (steady.last().id, "skip")
    assert failure.reason == "the sample has no prediction"


def test_a_map_that_is_not_finite_is_a_failure(colours):
    net = ColourNet()
    with torch.no_grad():
        net.head.weight[0, 0] = torch.inf
    run = fos.compute_saliency(colours, fos.load_model(net, CLASSES, CROP), target="red", **QUIET)
    assert run.counts.failed == 12
    assert {f.reason[:40] for f in run.failures} == {"the map has values that are not finite ("}
    assert colours.count("saliency") == 0


@pytest.mark.parametrize("seed", [2**64, 2**32, -1, 51.0, True, "51", None])
def test_every_verb_that_draws_refuses_a_seed_that_something_here_cannot_take(steady, model, seed, tmp_path):
    """NumPy takes any, scikit-learn 32 bits, the database 64: one bound for all, checked before anything is made."""
    before = state_of(steady)
    calls = [
        lambda: fos.compute_saliency(steady, model, "new", seed=seed, **QUIET),
        lambda: fos.compute_saliency_targets(steady, model, {"new": "red"}, seed=seed, **QUIET),
        lambda: fos.cluster_maps(steady, seed=seed),
        lambda: fos.check_trust(steady, model, seed=seed, progress=False),
        lambda: fos.faithfulness(steady, model, seed=seed, progress=False),
        lambda: fos.hide_region(steady, model, "boxes", "square", seed=seed, progress=False),
        lambda: fos.report(steady, regions="boxes", seed=seed, out=tmp_path / "report.html"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match="Expected `seed` to be an integer"):
            call()
    assert state_of(steady) == before
    assert list(tmp_path.iterdir()) == []
