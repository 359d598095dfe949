"""An export that is damaged, whatever is wrong with it, is refused in our words, and leaves no dataset and no name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import ArgumentError, FieldError, RunConflictError, SaliencyError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

NAME = "read back or not at all"


@pytest.fixture(scope="module")
def exported(fo, pictures, tmp_path_factory):
    """An export of four samples with all that one can hold."""
    folder = tmp_path_factory.mktemp("exports") / "out"
    dataset = add_pictures(fo.Dataset(), pictures[:4], ["red", "green", "blue", "red"], ["red"] * 4)
    box = fo.Detection(label="square", bounding_box=[0.1, 0.1, 0.5, 0.5])
    dataset.set_values("boxes", [fo.Detections(detections=[box.copy()]) for _ in range(4)])
    fos.compute_saliency(dataset, fos.load_model(ColourNet(), CLASSES, CROP), progress=False)
    fos.export_for_retraining(dataset, folder, tags=None, weights=True, masks=True, regions="boxes")
    dataset.delete()
    return folder


@pytest.fixture
def out(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "out"))


def refused(fo, folder, name=NAME, error=FieldError):
    """Read an export that must be refused, and return the message."""
    known = set(fo.list_datasets())
    with pytest.raises(error) as caught:
        fos.load_export(folder, name)
    assert isinstance(caught.value, SaliencyError)
    assert set(fo.list_datasets()) == known
    assert str(caught.value).startswith("Expected ")
    return str(caught.value)


def change(folder, *path, to):
    """Set what stands at a path in the manifest; DROP takes it out."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    part = manifest
    for step in path[:-1]:
        part = part[step]
    if to is DROP:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    file.write_text(json.dumps(manifest))


DROP = object()


def test_what_was_exported_comes_back(exported, fo):
    loaded = fos.load_export(exported, NAME)
    assert (loaded.name, len(loaded), loaded.persistent) == (NAME, 4, False)
    assert loaded.values("sample_weight") == [2 / 3, 4 / 3, 4 / 3, 2 / 3]
    loaded.delete()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: EOF while parsing"),
        (b"\x00" * 100, "is damaged: expected value"),
        (b'{"schema_version": 3, "samples": [', "is damaged: EOF while parsing"),
        ("é".encode("latin-1"), "is damaged: "),
        (b'{"schema_version": 3, "format": "\xff"}', "is damaged: "),
        (b'{"a":' * 100_000, "is damaged: recursion limit exceeded"),
        (b"[" * 100_000 + b"]" * 100_000, "is damaged: recursion limit exceeded"),
        (b"[]", "is damaged: the whole: "),
        (b"null", "is damaged: the whole: "),
        (b"3", "is damaged: the whole: "),
        (b"{}", "is damaged: schema_version: Field required"),
        (b'{"schema_version": true}', "is damaged: schema_version: "),
        (b'{"schema_version": "3"}', "is damaged: schema_version: "),
        (b'{"schema_version": 9999999999999999999999999}', "has schema 9999999999999999999999999"),
        (b'{"schema_version": 4}', "has schema 4. Read it with the version of this package that wrote it"),
        (b'{"schema_version": 3}', "and 7 more"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(out, fo, content, message):
    (out / "manifest.json").write_bytes(content)
    assert message in refused(fo, out)


ROOT = ["schema_version", "format", "label_field", "classes", "heatmap_fields", "count", "left_out", "groups"]
ROOT += ["regions", "mask_targets", "samples"]
SAMPLE = ["id", "image", "source", "tags", "group", "weight", "region_mask", "labels", "heatmaps"]


@pytest.mark.parametrize("to", [DROP, 5, "text", ["list"], {"a": 1}, True])
def test_any_part_that_is_missing_or_of_another_type_is_refused(out, fo, to):
    """Every part of the manifest and of a sample; a few take one of these, and are left out."""
    taken = [("format", "text"), ("label_field", "text"), ("heatmap_fields", ["list"]), ("id", "text")]
    taken += [("source", "text"), ("tags", ["list"]), ("group", "text"), ("weight", 5), ("groups", {"a": 1})]
    before = (out / "manifest.json").read_bytes()
    for path in [*((name,) for name in ROOT), *(("samples", 2, name) for name in SAMPLE)]:
        if (path[-1], to) in taken and to is not True:
            continue
        change(out, *path, to=to)
        message = refused(fo, out)
        assert path[-1] in message or "name" in message or "schema" in message
        (out / "manifest.json").write_bytes(before)


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("count",), 3, "count is 3, but there are 4 samples"),
        (("samples",), [], "samples: List should have at least 1 item"),
        (("extra",), 1, "extra: Extra inputs are not permitted"),
        (("samples", 0, "weight"), float("nan"), "samples.0.weight: Input should be a finite number"),
        (("samples", 1, "tags"), ["a", None], "samples.1.tags.1: Input should be a valid string"),
        (("regions", "values"), {"square": 300}, "regions.values.square: Input should be less than or equal to 255"),
        (("mask_targets",), {"parts": {"one": "head"}}, "should be an integer or a colour"),
        (("samples", 2, "image"), "../../etc/passwd", "Expected paths inside of"),
        (("samples", 2, "image"), "/etc/passwd", "Expected paths inside of"),
        (("samples", 2, "image"), "a\0b", "to name paths, but got"),
        (("samples", 2, "image"), "x" * 5000, "to name paths, but got"),
        (("samples", 2, "image"), "", "are missing, such as ''"),
        (("samples", 2, "image"), "dataset", "1 are missing, such as 'dataset'"),
        (("samples", 2, "image"), "dataset/red/gone.png", "1 are missing, such as 'dataset/red/gone.png'"),
        (("samples", 2, "region_mask"), "masks/gone.png", "1 are missing, such as 'masks/gone.png'"),
        (("samples", 2, "heatmaps", "saliency", "map_path"), "gone.png", "1 are missing, such as 'gone.png'"),
        (("samples", 2, "image"), "manifest.mp4", "'manifest.mp4' is no image"),
        (("samples", 2, "labels", "ground_truth", "_cls"), "Sample", "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "_cls"), "NoSuchLabel", "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "_cls"), DROP, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "label"), 5, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "label"), ["red"], "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "_id"), "x", "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "confidence"), "much", "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "extra"), 2**70, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "ground_truth", "extra"), "x" * 2**24, "it is larger than the database takes"),
        (("samples", 2, "labels", "filepath"), {"_cls": "Classification"}, "'filepath' is no field for a label"),
        (("samples", 2, "labels", "_hidden"), {"_cls": "Classification"}, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "a$b"), {"_cls": "Classification"}, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", ""), {"_cls": "Classification"}, "sample 2 of the export to be readable"),
        (("samples", 2, "labels", "sample_weight"), {"_cls": "Classification"}, "'sample_weight'"),
        (("samples", 2, "labels", "boxes"), {"_cls": "Classification", "label": "x"}, "'boxes' to be of one type"),
        (("samples", 3, "labels", "predictions"), {"_cls": "Heatmap"}, "'predictions' to be of one type"),
    ],
)
def test_what_makes_no_sense_is_refused(out, fo, path, to, message):
    (out / "manifest.mp4").write_bytes(b"video")
    change(out, *path, to=to)
    assert message in refused(fo, out)


def nested(depth):
    document = {"_cls": "Classification", "label": "red"}
    for _ in range(depth):
        document = {"_cls": "Classification", "label": "red", "inner": document}
    return document


@pytest.mark.parametrize("depth", [70, 150])
def test_labels_of_any_depth_are_refused_before_the_database_does(out, fo, depth):
    change(out, "samples", 0, "labels", "ground_truth", to=nested(depth))
    message = refused(fo, out)
    assert "at most 60 levels" in message or "recursion limit" in message


def test_a_manifest_that_is_no_file_is_refused_and_not_waited_for(out, fo):
    (out / "manifest.json").unlink()
    os.mkfifo(out / "manifest.json")
    assert "it has no manifest.json" in refused(fo, out)
    (out / "manifest.json").unlink()
    (out / "manifest.json").mkdir()
    assert "it has no manifest.json" in refused(fo, out)


def test_a_manifest_of_absurd_size_is_not_read(out, fo):
    with (out / "manifest.json").open("ab") as file:
        file.truncate(5 * 2**30)
    assert "more than 4 GiB" in refused(fo, out)


def test_a_picture_that_is_gone_is_named(out, fo):
    image = json.loads((out / "manifest.json").read_text())["samples"][1]["image"]
    (out / image).unlink()
    assert f"1 are missing, such as {image!r}" in refused(fo, out)


@pytest.mark.parametrize("name", ["", " ", "x" * 2000, 5, ["name"], "///"])
def test_a_name_that_cannot_be_one_is_refused(out, fo, name):
    assert "`name` to name a dataset" in refused(fo, out, name, ArgumentError)


def test_a_taken_name_is_refused_and_its_dataset_left_alone(out, fo, pictures):
    taken = fo.Dataset("taken already")
    taken.add_sample(fo.Sample(filepath=pictures[0]))
    assert "there is a dataset 'taken already'" in refused(fo, out, "taken already", RunConflictError)
    assert len(fo.load_dataset("taken already")) == 1
    taken.delete()


def test_whatever_happens_while_it_is_read_the_name_stays_free(out, fo, monkeypatch):
    known = set(fo.list_datasets())

    def fail(self, samples, **_):
        assert not fo.dataset_exists(NAME)
        raise KeyboardInterrupt

    monkeypatch.setattr(fo.Dataset, "add_samples", fail)
    with pytest.raises(KeyboardInterrupt):
        fos.load_export(out, NAME)
    assert set(fo.list_datasets()) == known
