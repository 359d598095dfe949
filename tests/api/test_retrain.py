"""Export what was tagged, and read it back: images, tags, labels, predictions, heatmaps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError, UnknownNameError
from tests.models_for_tests import add_pictures, state_of

QUIET = {"progress": False, "num_workers": 2}
FORMATS = [
    "ImageClassificationDirectoryTree",
    "FiftyOneImageClassificationDataset",
    "FiftyOneDataset",
    "CSVDataset",
]


def contents(samples):
    """All that an export must bring back, by the image's bytes; positions of files do not count."""
    found = {}
    for sample in samples:
        labels = {}
        for name in ("ground_truth", "predictions"):
            label = sample[name]
            labels[name] = None if label is None else (label.id, label.label, label.confidence, label.tags)
        heatmap = sample["saliency"] if samples.has_field("saliency") else None
        if heatmap is not None:
            document = heatmap.to_dict()
            labels["heatmap"] = Path(document.pop("map_path")).read_bytes(), str(document)
        found[Path(sample.filepath).read_bytes()] = sorted(sample.tags), labels
    return found


def format_folder(folder):
    """Where the chosen format lies; heatmaps and manifest may stand beside it."""
    return folder / "dataset" if (folder / "dataset").is_dir() else folder


def files_under(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def enriched(fo, pictures):
    """The twelve pictures with predictions and maps; five are tagged, of which one has no map and one no prediction.

    Exports leave it as it was.
    """
    from tests.models_for_tests import CLASSES, CROP, ColourNet

    dataset = fo.Dataset()
    seen = [CLASSES[i % 3] for i in range(12)]
    add_pictures(dataset, pictures, seen, seen)
    fos.predict(dataset, fos.load_model(ColourNet(), CLASSES, CROP), **QUIET)
    fos.compute_saliency(dataset, fos.load_model(ColourNet(), CLASSES, CROP), **QUIET)
    fos.tag_cell(dataset.limit(4), ["enrich", "mine"])
    fos.tag_cell(dataset.skip(11), "review")
    dataset.skip(5).limit(1).tag_samples("enrich")
    second, third = dataset.skip(1).limit(2)
    second["saliency"], third["predictions"] = None, None
    second.save()
    third.save()
    yield dataset
    dataset.delete()


@pytest.mark.parametrize("dataset_type", FORMATS)
def test_an_export_comes_back_whole_also_after_moving(enriched, fo, tmp_path, dataset_type):
    before = state_of(enriched)
    manifest = fos.export_for_retraining(enriched, tmp_path / "out", dataset_type=dataset_type)
    assert manifest["count"] == len(manifest["samples"]) == 5
    assert state_of(enriched) == before
    shutil.move(tmp_path / "out", tmp_path / "moved")
    loaded = fos.load_export(tmp_path / "moved")
    assert contents(loaded) == contents(enriched.match_tags("enrich"))
    assert all(path.startswith(str(tmp_path / "moved")) for path in loaded.values("filepath"))
    loaded.delete()


@pytest.mark.parametrize("dataset_type", FORMATS[:3])
def test_fiftyone_reads_the_format_itself(enriched, fo, tmp_path, dataset_type):
    """What stands beside the format, such as the heatmaps, must not pass for pictures and classes of it."""
    fos.export_for_retraining(enriched, tmp_path / "out", dataset_type=dataset_type)
    read = fo.Dataset.from_dir(
        dataset_dir=str(format_folder(tmp_path / "out")), dataset_type=getattr(fo.types, dataset_type)
    )
    assert read.count_values("ground_truth.label") == {"red": 2, "green": 1, "blue": 2}
    read.delete()


def test_torchvision_reads_the_folder_of_classes(enriched, tmp_path):
    """The training scripts of the world read a folder per class."""
    from torchvision.datasets import ImageFolder

    fos.export_for_retraining(enriched, tmp_path / "out")
    folder = ImageFolder(str(format_folder(tmp_path / "out")))
    assert folder.classes == ["blue", "green", "red"]
    assert sorted(target for _, target in folder.samples) == [0, 0, 1, 2, 2]


def test_paths_in_the_manifest_are_relative_and_exist(enriched, tmp_path):
    manifest = fos.export_for_retraining(enriched, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert (manifest["format"], manifest["label_field"]) == ("ImageClassificationDirectoryTree", "ground_truth")
    assert manifest["heatmap_fields"] == ["saliency"]
    tagged = enriched.match_tags("enrich")
    for entry, sample in zip(manifest["samples"], tagged, strict=True):
        assert (entry["id"], entry["source"]) == (sample.id, sample.filepath)
        image = Path(entry["image"])
        assert not image.is_absolute()
        assert (tmp_path / "out" / image).read_bytes() == Path(sample.filepath).read_bytes()
        assert (sample.saliency is None) == (entry["heatmaps"] == {})
        for heatmap in entry["heatmaps"].values():
            assert not Path(heatmap["map_path"]).is_absolute()
            assert (tmp_path / "out" / heatmap["map_path"]).is_file()


def test_the_tags_choose_and_none_exports_all(enriched, tmp_path):
    count = {
        str(tags): fos.export_for_retraining(enriched, tmp_path / str(i), tags=tags)["count"]
        for i, tags in enumerate(["enrich", "review", ["enrich", "review"], None])
    }
    assert count == {"enrich": 5, "review": 1, "['enrich', 'review']": 6, "None": 12}


def test_a_view_is_exported_alone(enriched, tmp_path):
    assert fos.export_for_retraining(enriched.limit(2), tmp_path / "out")["count"] == 2


def test_a_view_of_some_fields_can_be_exported(enriched, tmp_path):
    view = enriched.select_fields("ground_truth")
    fos.export_for_retraining(view, tmp_path / "out")
    loaded = fos.load_export(tmp_path / "out")
    assert sorted(loaded.values("ground_truth.label")) == ["blue", "blue", "green", "red", "red"]
    assert not loaded.has_field("predictions")
    loaded.delete()


@pytest.mark.parametrize(
    ("heatmaps", "fields"),
    [(True, ["saliency"]), (False, []), (["saliency"], ["saliency"]), ("saliency", ["saliency"])],
)
def test_the_heatmaps_are_chosen(enriched, tmp_path, heatmaps, fields):
    manifest = fos.export_for_retraining(enriched, tmp_path / "out", heatmaps=heatmaps)
    assert manifest["heatmap_fields"] == fields
    assert sum(len(entry["heatmaps"]) for entry in manifest["samples"]) == 4 * len(fields)
    loaded = fos.load_export(tmp_path / "out")
    assert loaded.has_field("saliency") == bool(fields)
    loaded.delete()


def test_a_heatmap_whose_file_is_gone_is_left_out(dataset, pictures, fo, tmp_path):
    add_pictures(dataset, pictures[:1], ["red"])
    sample = dataset.first()
    sample["saliency"] = fo.Heatmap(map_path=str(tmp_path / "gone.png"))
    sample.save()
    manifest = fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    assert manifest["samples"][0]["heatmaps"] == {}


@pytest.mark.parametrize("dataset_type", FORMATS[:3])
def test_pictures_of_one_name_in_two_folders_stay_apart(dataset, pictures, fo, tmp_path, dataset_type):
    paths, labels = [], ["red", "green", "blue", "red"]
    for i in range(4):
        folder = tmp_path / f"folder-{i}"
        folder.mkdir()
        paths.append(str(folder / ("same.png" if i < 3 else "same.jpg")))
        shutil.copy(pictures[i], paths[-1])
    add_pictures(dataset, paths, labels, labels)
    known = set(fo.list_datasets())
    fos.export_for_retraining(dataset, tmp_path / "out", dataset_type=dataset_type, tags=None)
    assert set(fo.list_datasets()) == known, "no scratch dataset is left behind"
    loaded = fos.load_export(tmp_path / "out")
    assert contents(loaded) == contents(dataset)
    loaded.delete()


def test_a_mask_of_the_same_name_is_not_taken_for_the_picture(dataset, pictures, fo, tmp_path):
    """Masks often lie in a folder of their own under the names of their pictures."""
    add_pictures(dataset, pictures[:3], ["red", "green", "blue"], ["red"] * 3)
    (tmp_path / "masks").mkdir()
    for sample in dataset:
        mask = tmp_path / "masks" / Path(sample.filepath).name
        cv2.imwrite(str(mask), np.eye(4, dtype=np.uint8))
        sample["regions"] = fo.Segmentation(mask_path=str(mask))
        sample.save()
    fos.export_for_retraining(dataset, tmp_path / "out", dataset_type="FiftyOneDataset", tags=None)
    loaded = fos.load_export(tmp_path / "out")
    assert contents(loaded) == contents(dataset)
    loaded.delete()


def test_labels_with_arrays_come_back(dataset, pictures, fo, tmp_path):
    add_pictures(dataset, pictures[:1], ["red"], ["red"])
    sample = dataset.first()
    sample.predictions.logits = np.array([1.5, -2.0], np.float32)
    sample["regions"] = fo.Segmentation(mask=np.eye(4, dtype=np.uint8))
    box = fo.Detection(label="x", bounding_box=[0, 0, 0.5, 0.25], mask=np.array([[True, False]]))
    sample["boxes"] = fo.Detections(detections=[box])
    sample.save()
    fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    dataset_again = fos.load_export(tmp_path / "out")
    again = dataset_again.first()
    np.testing.assert_array_equal(again.predictions.logits, [1.5, -2.0])
    np.testing.assert_array_equal(again.regions.mask, np.eye(4))
    np.testing.assert_array_equal(again.boxes.detections[0].mask, [[True, False]])
    assert again.boxes.detections[0].bounding_box == [0, 0, 0.5, 0.25]
    dataset_again.delete()


def test_names_that_are_hard_to_write_come_back(dataset, pictures, tmp_path):
    names = ["two words.png", "50% #1 é日本.PNG", "a.b.c.png"]
    for name, picture in zip(names, pictures, strict=False):
        shutil.copy(picture, tmp_path / name)
    add_pictures(dataset, [str(tmp_path / name) for name in names], ["a/b", "two words", "日本"], ["x", "y", "z"])
    fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    loaded = fos.load_export(tmp_path / "out")
    assert contents(loaded) == contents(dataset)
    loaded.delete()


def test_samples_without_label_are_exported_too(dataset, pictures, tmp_path):
    add_pictures(dataset, pictures[:2], ["red", None], ["red", "red"])
    fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    loaded = fos.load_export(tmp_path / "out")
    assert sorted(loaded.values("ground_truth.label"), key=str) == [None, "red"]
    loaded.delete()


@pytest.mark.parametrize("error", [RuntimeError("the disk is full"), KeyboardInterrupt("stop")])
def test_half_of_an_export_is_removed(enriched, tmp_path, error):
    """The manifest is written last; what stands in the folder until then is no export."""

    def fail(bar):
        if bar.iteration == 3:
            assert any((tmp_path / "out").iterdir())
            assert not (tmp_path / "out" / "manifest.json").exists()
            raise error

    with pytest.raises(type(error), match=str(error)):
        fos.export_for_retraining(enriched, tmp_path / "out", progress=fail)
    assert not (tmp_path / "out").exists()


def test_progress_is_told(enriched, tmp_path):
    seen = []
    fos.export_for_retraining(enriched, tmp_path / "out", progress=lambda bar: seen.append((bar.iteration, bar.total)))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_an_empty_folder_is_as_good_as_a_new_one(enriched, tmp_path):
    (tmp_path / "out").mkdir()
    assert fos.export_for_retraining(enriched, tmp_path / "out")["count"] == 5


def test_a_folder_with_anything_in_it_is_refused_and_untouched(enriched, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunConflictError, match=r"but .*mine holds files and no finished export. Choose another folder"):
        fos.export_for_retraining(enriched, tmp_path / "mine")
    assert files_under(tmp_path / "mine") == {"notes.txt": b"mine"}
    with pytest.raises(RunConflictError, match=r"but .*notes.txt is a file. Choose another"):
        fos.export_for_retraining(enriched, tmp_path / "mine" / "notes.txt")
    assert files_under(tmp_path / "mine") == {"notes.txt": b"mine"}
    fos.export_for_retraining(enriched, tmp_path / "out")
    before = files_under(tmp_path / "out")
    with pytest.raises(RunConflictError, match=r"but .*out holds an earlier export"):
        fos.export_for_retraining(enriched, tmp_path / "out", tags=None)
    assert files_under(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tags": "enriched"}, FieldError, "Expected samples tagged enriched, but none of 12 is"),
        ({"tags": ["a", "b"]}, FieldError, "Expected samples tagged a or b, but none of 12 is"),
        ({"tags": ""}, ArgumentError, "Expected `tags` to be one or more non-empty strings"),
        (
            {"dataset_type": "ImageClassificationDirectoryTre"},
            UnknownNameError,
            r"known export format of fiftyone.types, .* Did you mean `ImageClassificationDirectoryTree`",
        ),
        ({"dataset_type": int}, ArgumentError, "Expected `dataset_type` to be a type of fiftyone.types, but got <cl"),
        ({"dataset_type": 5}, ArgumentError, "Expected `dataset_type` to be a type of fiftyone.types, but got 5"),
        ({"gt_field": "groundtruth"}, UnknownNameError, r"`gt_field`, but got 'groundtruth'. Did you mean `ground_tr"),
        ({"gt_field": "filepath"}, FieldError, "`gt_field` to name a Label field, but 'filepath' is a StringField"),
        ({"heatmaps": ["salience"]}, UnknownNameError, r"`heatmaps`, but got 'salience'. Did you mean `saliency`"),
        ({"heatmaps": "ground_truth"}, FieldError, "`heatmaps` to name a Heatmap field, but 'ground_truth' is a Cl"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(enriched, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        fos.export_for_retraining(enriched, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_an_empty_view_is_refused(enriched, tmp_path):
    with pytest.raises(FieldError, match="Expected `samples` to hold at least one sample"):
        fos.export_for_retraining(enriched.match_tags("none"), tmp_path / "out", tags=None)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_manifest_is_no_export(enriched, fo, tmp_path):
    known = set(fo.list_datasets())
    with pytest.raises(FieldError, match="to hold a finished export, but it has no manifest"):
        fos.load_export(tmp_path)
    with pytest.raises(FieldError, match="to hold a finished export, but it has no manifest"):
        fos.load_export(tmp_path / "no such folder")
    assert set(fo.list_datasets()) == known


def test_a_loaded_dataset_has_the_name_and_lives_as_long_as_asked(enriched, fo, tmp_path):
    fos.export_for_retraining(enriched, tmp_path / "out")
    named = fos.load_export(tmp_path / "out", "retraining", persistent=True)
    assert (named.name, named.persistent) == ("retraining", True)
    named.delete()
    unnamed = fos.load_export(str(tmp_path / "out"))
    assert not unnamed.persistent
    unnamed.delete()


def test_the_maps_of_a_loaded_export_are_guarded_like_all_others(enriched, model, tmp_path):
    """Another run must not replace them unasked."""
    fos.export_for_retraining(enriched, tmp_path / "out")
    loaded = fos.load_export(tmp_path / "out")
    before = contents(loaded)
    with pytest.raises(RunConflictError, match="'saliency' to be free or to hold run"):
        fos.compute_saliency(loaded, model, target="blue", **QUIET)
    assert contents(loaded) == before
    loaded.delete()


@pytest.mark.parametrize("target", ["predicted", "blue"])
def test_computing_on_a_loaded_export_leaves_the_export_whole(enriched, model, tmp_path, target):
    fos.export_for_retraining(enriched, tmp_path / "out")
    before = files_under(tmp_path / "out")
    loaded = fos.load_export(tmp_path / "out")
    fos.compute_saliency(loaded, model, target=target, overwrite=True, **QUIET)
    fos.delete_run(loaded, "saliency")
    assert files_under(tmp_path / "out") == before
    loaded.delete()


def test_every_format_that_is_offered_is_fiftyones(fo):
    from fiftyone_saliency.api.retrain import export_formats

    assert export_formats()
    for name in export_formats():
        assert issubclass(getattr(fo.types, name), fo.types.Dataset)


@pytest.fixture
def dressed(fo, dataset, pictures, tmp_path):
    """Six pictures of two classes: head above uniform, evidence in one of them, a mask and a box with a mask.

    All masks have one name, in folders of their own.
    """
    for i, (truth, where) in enumerate([("a", 0), ("a", 0), ("a", 0), ("a", 1), ("b", 1), ("b", None)]):
        sample = fo.Sample(filepath=pictures[i], ground_truth=fo.Classification(label=truth), tags=["enrich"])
        folder = tmp_path / f"masks-{i}"
        folder.mkdir()
        levels = np.ones((48, 64), np.uint8)
        levels[24:] = 2
        levels[:, -4:] = 0
        levels[0, 0] = i
        cv2.imwrite(str(folder / "mask.png"), levels)
        cv2.imwrite(str(folder / "box.png"), np.full((4, 4), 255, np.uint8))
        sample["parts"] = fo.Segmentation(mask_path=str(folder / "mask.png"))
        box = fo.Detection(label="x", bounding_box=[0, 0, 1, 1], mask_path=str(folder / "box.png"))
        sample["boxes"] = fo.Detections(detections=[box])
        halves = {"head": [0, 0, 1, 0.5], "uniform": [0, 0.5, 1, 0.5], "button": [0.5, 0.75, 0.25, 0.25]}
        sample["regions"] = fo.Detections(
            detections=[fo.Detection(label=name, bounding_box=box) for name, box in halves.items()]
        )
        if where is not None:
            values = np.zeros((48, 64), np.float32)
            values[24 * where : 24 * where + 12] = 1
            sample["saliency"] = fo.Heatmap(map=values)
        dataset.add_sample(sample)
    dataset.mask_targets = {"parts": {1: "head", 2: "uniform"}}
    dataset.save()
    return dataset


REASON = {"groups": "reason", "regions": "regions"}


def test_groups_and_weights_by_reason_balance_the_groups(dressed, tmp_path):
    manifest = fos.export_for_retraining(dressed, tmp_path / "out", weights=True, **REASON)
    assert manifest["groups"] == {"a × head": 3, "a × uniform": 1, "b × (none)": 1, "b × uniform": 1}
    assert [(entry["group"], entry["weight"]) for entry in manifest["samples"]] == [
        *[("a × head", 0.5)] * 3,
        ("a × uniform", 1.5),
        ("b × uniform", 1.5),
        ("b × (none)", 1.5),
    ]


def test_groups_by_class_and_by_a_field(fo, dressed, tmp_path):
    by_class = fos.export_for_retraining(dressed, tmp_path / "class", weights=True)
    assert [entry["weight"] for entry in by_class["samples"]] == [0.75] * 4 + [1.5] * 2
    dressed.set_values("place", ["kitchen", None, *["street"] * 4])
    by_field = fos.export_for_retraining(dressed, tmp_path / "field", groups="place")
    assert by_field["groups"] == {"(none)": 1, "kitchen": 1, "street": 4}
    assert {entry["weight"] for entry in by_field["samples"]} == {None}


def test_masks_of_regions_have_the_images_size_and_named_levels(dressed, tmp_path):
    """The button lies on the uniform: the smaller region wins its pixels."""
    manifest = fos.export_for_retraining(dressed, tmp_path / "out", masks=True, regions="regions")
    values = manifest["regions"]["values"]
    assert {"head", "uniform", "button"} <= set(values)
    levels = cv2.imread(str(tmp_path / "out" / manifest["samples"][0]["region_mask"]), cv2.IMREAD_UNCHANGED)
    assert (levels.shape, levels.dtype) == ((48, 64), np.uint8)
    expected = np.full((48, 64), values["head"])
    expected[24:] = values["uniform"]
    expected[36:, 32:48] = values["button"]
    np.testing.assert_array_equal(levels, expected)


def test_weights_groups_masks_and_targets_come_back_also_after_moving(dressed, tmp_path):
    manifest = fos.export_for_retraining(dressed, tmp_path / "out", weights=True, masks=True, **REASON)
    exported = files_under(tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    for i in range(6):
        shutil.rmtree(tmp_path / f"masks-{i}")
    loaded = fos.load_export(tmp_path / "moved")
    assert loaded.values("sample_weight") == [entry["weight"] for entry in manifest["samples"]]
    assert loaded.values("sample_group") == [entry["group"] for entry in manifest["samples"]]
    assert loaded.mask_targets["parts"] == {1: "head", 2: "uniform"}
    assert {name: value for value, name in loaded.mask_targets["region_mask"].items()} == manifest["regions"]["values"]
    for i, sample in enumerate(loaded):
        assert sample.parts.get_mask()[0, 0] == i, "masks of one name stay apart"
        assert sample.boxes.detections[0].get_mask().shape == (4, 4)
        assert sample.region_mask.get_mask().shape == (48, 64)
    shares = fos.region_shares(loaded.limit(3), regions="region_mask")
    assert shares["head"].mean == pytest.approx(1)
    loaded.delete()
    assert files_under(tmp_path / "moved") == exported


def test_no_path_of_an_export_but_the_sources_is_absolute(dressed, tmp_path):
    manifest = fos.export_for_retraining(dressed, tmp_path / "out", weights=True, masks=True, **REASON)
    for entry in manifest["samples"]:
        entry.pop("source")
    assert str(tmp_path) not in json.dumps(manifest)
    assert json.dumps(manifest).count('"mask_path": "masks/') == 12


def test_a_mask_whose_file_is_gone_is_no_mask(dressed, tmp_path):
    (tmp_path / "masks-0" / "mask.png").unlink()
    fos.export_for_retraining(dressed, tmp_path / "out")
    loaded = fos.load_export(tmp_path / "out")
    assert [sample.parts.mask_path is None for sample in loaded] == [True] + [False] * 5
    loaded.delete()


@pytest.mark.parametrize("dataset_type", FORMATS)
@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", ".", "", "/{tmp}/x"])
def test_a_class_name_cannot_lead_out_of_the_folder(dataset, pictures, tmp_path, name, dataset_type):
    inner = tmp_path / "inner"
    inner.mkdir()
    add_pictures(dataset, pictures[:2], ["red", name.format(tmp=tmp_path)], ["x", "x"])
    before = files_under(tmp_path)
    fos.export_for_retraining(dataset, inner / "out", tags=None, dataset_type=dataset_type)
    loaded = fos.load_export(inner / "out")
    assert contents(loaded) == contents(dataset)
    loaded.delete()
    shutil.rmtree(inner / "out")
    assert files_under(tmp_path) == before
    assert list(inner.iterdir()) == []


def test_a_format_of_somebody_else_gets_no_name_that_leads_out(dataset, pictures, fo, tmp_path):
    class OwnFormat(fo.types.LabeledImageDataset):
        pass

    add_pictures(dataset, pictures[:2], ["red", "../x"])
    with pytest.raises(FieldError, match="Expected class names that can name a folder of the export, but got"):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None, dataset_type=OwnFormat)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"export_media": "move"}, "Expected `export_media` to copy the images, but got 'move'"),
        ({"export_media": "symlink"}, "Expected `export_media` to copy the images, but got 'symlink'"),
        ({"data_path": "../elsewhere"}, "stay inside of `out_dir`, but got data_path='../elsewhere'"),
        ({"labels_path": "/tmp/labels.csv"}, "stay inside of `out_dir`, but got labels_path='/tmp/labels.csv'"),
        ({"rel_dir": "pictures"}, "stay inside of `out_dir`, but got rel_dir='pictures'"),
        ({"masks": True}, "Expected `regions` for masks and groups by reason"),
        ({"groups": "reason"}, "Expected `regions` for masks and groups by reason"),
    ],
)
def test_options_that_would_write_elsewhere_or_lack_something_are_refused(enriched, tmp_path, options, message):
    before = [Path(path).read_bytes() for path in enriched.values("filepath")]
    with pytest.raises(ArgumentError, match=message):
        fos.export_for_retraining(enriched, tmp_path / "out", **options)
    assert [Path(path).read_bytes() for path in enriched.values("filepath")] == before
    assert not (tmp_path / "out").exists()


def test_a_class_list_is_checked_too(enriched, tmp_path):
    with pytest.raises(FieldError, match=r"but got '\.\./x'"):
        fos.export_for_retraining(enriched, tmp_path / "out", classes=["red", "../x"])


def test_groups_of_an_unknown_field_are_refused(enriched, tmp_path):
    with pytest.raises(UnknownNameError, match="for `groups`, but got 'reasons'"):
        fos.export_for_retraining(enriched, tmp_path / "out", groups="reasons")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["image", "heatmap", "region_mask"])
def test_a_manifest_that_leads_out_of_its_folder_is_not_followed(dressed, fo, tmp_path, place):
    """A manifest may come from anywhere; a link inside the folder leads out of it too."""
    fos.export_for_retraining(dressed, tmp_path / "out", masks=True, regions="regions")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (tmp_path / "out" / "link.png").symlink_to(secret)
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = manifest["samples"][3]
    if place == "heatmap":
        entry["labels"]["parts"]["mask_path"] = "link.png"
    else:
        entry[place] = "../secret.png"
    path.write_text(json.dumps(manifest))
    known = set(fo.list_datasets())
    with pytest.raises(FieldError, match="Expected paths inside of"):
        fos.load_export(tmp_path / "out")
    assert set(fo.list_datasets()) == known


def test_a_manifest_of_another_schema_is_refused(enriched, tmp_path):
    fos.export_for_retraining(enriched, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 1}))
    with pytest.raises(FieldError, match=r"Expected a manifest of schema 3, but .* has schema 1"):
        fos.load_export(tmp_path / "out")
