"""Other readers see the classes of an export; what cannot be exported is passed over and counted by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, UnknownNameError
from tests.models_for_tests import add_pictures

LABELS = ["dog/poodle", "dog/terrier", "dog", "Dog", "con", "_unlabeled", ".x", "50%", "50%25", "$5", "end ", ".."]


@pytest.fixture
def named(dataset, pictures):
    return add_pictures(dataset, pictures, LABELS)


def test_other_readers_see_as_many_classes_as_there_are_labels(named, fo, tmp_path):
    from torchvision.datasets import ImageFolder

    manifest = fos.export_for_retraining(named, tmp_path / "out", tags=None)
    folder = ImageFolder(str(tmp_path / "out" / "dataset"))
    assert sorted(map(unquote, folder.classes)) == sorted(LABELS)
    assert {unquote(name): label for name, label in manifest["classes"].items()} == {n: n for n in LABELS}
    for path, target in folder.samples:
        entry = next(e for e in manifest["samples"] if (tmp_path / "out" / e["image"]).samefile(path))
        assert unquote(folder.classes[target]) == entry["labels"]["ground_truth"]["label"]
    read = fo.Dataset.from_dir(
        dataset_dir=str(tmp_path / "out" / "dataset"), dataset_type=fo.types.ImageClassificationDirectoryTree
    )
    assert sorted(map(unquote, read.values("ground_truth.label"))) == sorted(LABELS)
    read.delete()
    loaded = fos.load_export(tmp_path / "out")
    assert loaded.values("ground_truth.label") == LABELS
    loaded.delete()


def test_samples_without_a_label_are_no_class(dataset, fo, pictures, tmp_path):
    from torchvision.datasets import ImageFolder

    add_pictures(dataset, pictures[:4], ["red", None, "blue", None])
    manifest = fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    assert ImageFolder(str(tmp_path / "out" / "dataset")).classes == ["blue", "red"]
    assert [entry["image"].split("/")[0] for entry in manifest["samples"]] == ["dataset", "unlabeled"] * 2
    loaded = fos.load_export(tmp_path / "out")
    assert [s.ground_truth and s.ground_truth.label for s in loaded] == ["red", None, "blue", None]
    assert [Path(s.filepath).read_bytes() for s in loaded] == [Path(p).read_bytes() for p in pictures[:4]]
    loaded.delete()


def test_a_tree_without_any_label_is_refused(dataset, pictures, tmp_path):
    add_pictures(dataset, pictures[:2], ["red", "red"])
    dataset.set_values("ground_truth", [None, None])
    with pytest.raises(
        FieldError, match=r"a label in 'ground_truth' for ImageClassificationDirectoryTree, .* none of 2"
    ):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    assert not (tmp_path / "out").exists()


def test_a_tree_takes_one_label_per_image_and_no_options(dataset, fo, pictures, tmp_path):
    add_pictures(dataset, pictures[:1], ["red"])
    dataset.set_values("boxes", [fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0, 0, 1, 1])])])
    with pytest.raises(FieldError, match="`gt_field` to name a Classification field, but 'boxes'"):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None, gt_field="boxes")
    with pytest.raises(
        ArgumentError, match="no further options for ImageClassificationDirectoryTree, but got 'classes'"
    ):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None, classes=["red"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dataset_type", ["ImageClassificationDirectoryTree", "FiftyOneDataset", "CSVDataset"])
def test_pictures_that_are_no_files_are_passed_over_and_named(dataset, pictures, tmp_path, dataset_type):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    bad = {
        str(tmp_path / "gone.png"): "the image file is missing",
        str(tmp_path / "empty.png"): "the image file is empty",
        str(tmp_path / "folder.png"): "the image cannot be read: Is a directory",
    }
    add_pictures(dataset, [*pictures[:2], *bad, pictures[2]], ["red", "green", "x", "x", "x", "blue"])
    ids = dataset.values("id")
    manifest = fos.export_for_retraining(
        dataset, tmp_path / "out", tags=None, dataset_type=dataset_type, weights=True, groups="class"
    )
    assert manifest["left_out"] == [
        {"id": i, "source": path, "reason": reason} for i, (path, reason) in zip(ids[2:5], bad.items(), strict=True)
    ]
    assert manifest["count"] == 3
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    loaded = fos.load_export(tmp_path / "out")
    assert loaded.values("ground_truth.label") == ["red", "green", "blue"]
    assert loaded.values("sample_weight") == [1.0] * 3, "they balance what is exported"
    loaded.delete()


def test_where_no_picture_can_be_read_nothing_is_exported(dataset, tmp_path):
    add_pictures(dataset, [str(tmp_path / f"{i}.png") for i in range(3)], ["red"] * 3)
    with pytest.raises(FieldError, match=r"of 3 none can, such as .*0\.png: the image file is missing"):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("allowed", ["symlink", "link", "copy"])
@pytest.mark.parametrize("dataset_type", ["ImageClassificationDirectoryTree", "FiftyOneImageClassificationDataset"])
def test_equal_names_need_no_links(dataset, pictures, tmp_path, monkeypatch, allowed, dataset_type):
    """Windows refuses links to most users; names that differ in case alone are equal there."""

    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    paths = []
    for i, name in enumerate(["same.png", "same.png", "SAME.png", "same.PNG"]):
        (tmp_path / f"{i}").mkdir()
        paths.append(str(tmp_path / f"{i}" / name))
        shutil.copy(pictures[i], paths[-1])
    add_pictures(dataset, paths, ["red", "red", "red", "blue"])
    if allowed != "symlink":
        monkeypatch.setattr(os, "symlink", refuse)
    if allowed == "copy":
        monkeypatch.setattr(os, "link", refuse)
    manifest = fos.export_for_retraining(dataset, tmp_path / "out", tags=None, dataset_type=dataset_type)
    images = [entry["image"] for entry in manifest["samples"]]
    assert len({image.casefold() for image in images}) == 4
    assert [(tmp_path / "out" / i).read_bytes() for i in images] == [Path(p).read_bytes() for p in pictures[:4]]
    assert sorted(os.listdir(tmp_path / "out")) == ["dataset", "manifest.json"]


def test_masks_of_one_name_within_a_sample_stay_apart(dataset, fo, pictures, tmp_path):
    """Instance masks may lie in a folder of their own each, all of the same name."""
    boxes = []
    for i in range(3):
        (tmp_path / f"{i}").mkdir()
        cv2.imwrite(str(tmp_path / f"{i}" / "mask.png"), np.full((4, 4), 50 * i, np.uint8))
        mask = str(tmp_path / f"{i}" / "mask.png")
        boxes.append(fo.Detection(label="x", bounding_box=[0, 0, 1, 1], mask_path=mask))
    add_pictures(dataset, pictures[:1], ["red"])
    dataset.set_values("boxes", [fo.Detections(detections=boxes)])
    fos.export_for_retraining(dataset, tmp_path / "out", tags=None)
    loaded = fos.load_export(tmp_path / "out")
    levels = [cv2.imread(box.mask_path, -1)[0, 0] for box in loaded.first().boxes.detections]
    assert levels == [0, 50, 100]
    loaded.delete()


def test_an_unknown_format_is_still_refused_first(dataset, pictures, tmp_path):
    add_pictures(dataset, pictures[:1], ["red"])
    with pytest.raises(UnknownNameError):
        fos.export_for_retraining(dataset, tmp_path / "out", tags=None, dataset_type="Tree")


@pytest.mark.parametrize(
    "place", [5, None, ["x"], "", "  ", "a\0b", "x" * 300, "picture.png/x", "~nobody-of-that-name/x"]
)
def test_what_is_no_place_is_refused_in_our_words(named, tmp_path, monkeypatch, place):
    """By all verbs that take one, before anything is made."""
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    page = f"{place}.html" if isinstance(place, str) and place.strip() else place
    for call in (
        lambda: fos.export_for_retraining(named, place, tags=None),
        lambda: fos.load_export(place),
        lambda: fos.report(named, regions="boxes", out=page),
    ):
        with pytest.raises(ArgumentError, match=r"Expected `(out_dir|out)` to (be a path|lie in a folder)"):
            call()
    assert sorted(os.listdir(tmp_path)) == ["empty", "picture.png"]


def test_groups_that_are_no_name_are_refused(named, tmp_path):
    with pytest.raises(ArgumentError, match="Expected `groups` to be class, reason or the name of a field, but got 5"):
        fos.export_for_retraining(named, tmp_path / "out", tags=None, groups=5)
    assert not (tmp_path / "out").exists()
