"""Maps of images that are no longer there, and files that are not whole: seen on the next call, made again, told."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import fiftyone_saliency as fos
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, files_of, png_bytes

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture
def own_pictures(dataset, pictures, tmp_path):
    """Six uncompressed copies of the pictures, all of one size and one time, as out of an archive."""
    paths = [str(tmp_path / f"picture-{i}.bmp") for i in range(6)]
    for source, path in zip(pictures[:6], paths, strict=True):
        Image.open(source).save(path)
        os.utime(path, ns=(10**18, 10**18))
    return add_pictures(dataset, paths, [None] * 6, [CLASSES[i % 3] for i in range(6)])


def fresh(dataset, model, field="fresh"):
    """The maps that are right: computed without any earlier ones, by sample."""
    fos.compute_saliency(dataset, model, field, **QUIET)
    return png_bytes(dataset, field)


def replace_file(path, source):
    """Another picture in its place; on disks of coarse time it may keep the time."""
    status = os.stat(path)
    Image.open(source).save(path)
    os.utime(path, ns=(status.st_mtime_ns + 10**9,) * 2)


def test_a_replaced_image_gets_a_map_of_its_own(own_pictures, model, pictures, caplog):
    fos.compute_saliency(own_pictures, model, **QUIET)
    before, paths = png_bytes(own_pictures), own_pictures.values("saliency.map_path")
    first = own_pictures.first()
    replace_file(first.filepath, pictures[8])
    with caplog.at_level(logging.WARNING, "fiftyone_saliency"):
        run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (run.counts.done, run.counts.resumed, run.counts.changed) == (6, 5, 1)
    assert "1 made again for an image that had changed" in str(run)
    assert "1 maps in field 'saliency' were of another image than the one that is there now" in caplog.text
    assert fos.load_run(own_pictures, "saliency") == run
    now = png_bytes(own_pictures)
    assert now == fresh(own_pictures, model)
    assert [i for i in now if now[i] != before[i]] == [first.id]
    # The App keeps pictures by their path: another map has another one.
    assert own_pictures.values("saliency.map_path")[0] != paths[0]
    assert own_pictures.values("saliency.map_path")[1:] == paths[1:]
    assert len(list(Path(run.folder).iterdir())) == 6
    again = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (again.counts.resumed, again.counts.changed) == (6, 0)


def test_another_filepath_gets_a_map_of_its_own(own_pictures, model):
    """Two samples change their pictures: size and time are equal, content is not."""
    fos.compute_saliency(own_pictures, model, **QUIET)
    paths = own_pictures.values("filepath")
    own_pictures.set_values("filepath", [*paths[1::-1], *paths[2:]])
    run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (run.counts.resumed, run.counts.changed) == (4, 2)
    assert png_bytes(own_pictures) == fresh(own_pictures, model)


def test_the_same_pictures_elsewhere_keep_their_maps(own_pictures, model, tmp_path):
    """A dataset that was copied to another disk, with new times: only its pictures are read once more."""
    fos.compute_saliency(own_pictures, model, **QUIET)
    before = own_pictures.values("saliency.map_path")
    moved = tmp_path / "moved"
    moved.mkdir()
    paths = [shutil.copy(path, moved) for path in own_pictures.values("filepath")]
    own_pictures.set_values("filepath", paths)
    run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (run.counts.resumed, run.counts.changed) == (6, 0)
    assert own_pictures.values("saliency.map_path") == before
    # Where they are now is known: a picture that is replaced there shows, and the others need not be read again.
    states = own_pictures.values("saliency.image")
    assert [int(state.split()[2]) for state in states] == [os.stat(path).st_mtime_ns for path in paths]


def test_pictures_that_are_away_keep_their_maps(own_pictures, model):
    """A disk that is not there for a moment is no reason to throw work away."""
    fos.compute_saliency(own_pictures, model, **QUIET)
    for path in own_pictures.values("filepath"):
        os.rename(path, f"{path}.away")
    run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (run.counts.done, run.counts.resumed, run.counts.failed) == (6, 6, 0)


def test_a_replaced_image_that_cannot_be_read_has_no_map(own_pictures, model):
    fos.compute_saliency(own_pictures, model, **QUIET)
    Path(own_pictures.first().filepath).write_bytes(b"no picture")
    run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert (run.counts.done, run.counts.failed, run.counts.changed) == (5, 1, 1)
    assert own_pictures.first().saliency is None
    assert len(files_of(own_pictures)) == 5


def test_a_picture_of_equal_size_time_and_path_shows_when_it_is_asked_for(own_pictures, model, pictures):
    fos.compute_saliency(own_pictures, model, **QUIET)
    path = own_pictures.first().filepath
    Image.open(pictures[8]).save(path)
    os.utime(path, ns=(10**18, 10**18))
    assert fos.compute_saliency(own_pictures, model, **QUIET).counts.changed == 0
    run = fos.compute_saliency(own_pictures, model, verify_images=True, **QUIET)
    assert (run.counts.resumed, run.counts.changed) == (5, 1)
    assert png_bytes(own_pictures) == fresh(own_pictures, model)


def test_an_image_that_is_replaced_while_it_is_explained_shows_next_time(own_pictures, model, pictures):
    path = own_pictures.first().filepath

    def replace(bar):
        if Path(path).stat().st_mtime_ns == 10**18:
            replace_file(path, pictures[8])

    fos.compute_saliency(own_pictures, model, batch_size=2, progress=replace)
    run = fos.compute_saliency(own_pictures, model, **QUIET)
    assert run.counts.changed == 1
    assert png_bytes(own_pictures) == fresh(own_pictures, model)


def damaged(whole):
    middle = len(whole) // 2
    return {
        "half": whole[:middle],
        "empty": b"",
        "zeros": b"\0" * len(whole),
        "no end": whole[:-4],
        "half zeros": whole[:middle] + b"\0" * (len(whole) - middle),
        "one byte": whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
    }


def test_a_damaged_file_is_made_again(colours, model, caplog):
    fos.compute_saliency(colours, model, **QUIET)
    before, paths = png_bytes(colours), colours.values("saliency.map_path")
    kinds = list(damaged(b"0"))
    for path, kind in zip(paths, kinds, strict=False):
        Path(path).write_bytes(damaged(Path(path).read_bytes())[kind])
    Path(paths[len(kinds)]).unlink()
    count = len(kinds) + 1
    with caplog.at_level(logging.WARNING, "fiftyone_saliency"):
        run = fos.compute_saliency(colours, model, **QUIET)
    assert (run.counts.done, run.counts.resumed, run.counts.damaged) == (12, 12 - count, count)
    assert f"{count} made again for a file that was missing or damaged" in str(run)
    assert f"{count} maps in field 'saliency' have a file that is missing or damaged" in caplog.text
    assert png_bytes(colours) == before
    assert len(files_of(colours)) == 12


@pytest.mark.parametrize("kind", list(damaged(b"0")))
def test_a_damaged_file_is_not_read_as_a_map(colours, model, kind):
    """OpenCV returns what is there of half a file: half of the evidence."""
    fos.compute_saliency(colours.limit(1), model, **QUIET)
    heatmap = colours.first().saliency
    path = Path(heatmap.map_path)
    assert fos.read_map(heatmap) is not None
    path.write_bytes(damaged(path.read_bytes())[kind])
    assert fos.read_map(heatmap) is None


def test_a_file_reaches_the_disk_before_its_name(colours, model, monkeypatch):
    """A machine that stops must not leave a name without its bytes."""
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("bytes"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append("name"), replace(old, new)))
    fos.compute_saliency(colours.limit(1), model, batch_size=1, **QUIET)
    assert order[order.index("name") - 1 :][:3] == ["bytes", "name", "bytes"]


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients"])
def test_counts_of_a_run_that_went_on_are_those_of_one_that_did_not_stop(colours, method):
    """Four of the twelve pictures are blue; two steps are too few for maps that add up to their score."""
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    settings = {"method": method, "target": "blue", **QUIET}
    if method == "integrated_gradients":
        settings["parameters"] = {"steps": 2}
    whole = fos.compute_saliency(colours, model, "whole", **settings)
    fos.compute_saliency(colours.limit(7), model, **settings)
    run = fos.compute_saliency(colours, model, **settings)
    assert run.counts.resumed == 7
    assert (run.counts.no_evidence, run.counts.incomplete) == (whole.counts.no_evidence, whole.counts.incomplete)
    assert run.counts.no_evidence == 8
    again = fos.compute_saliency(colours, model, **settings)
    assert (again.counts.resumed, again.counts.no_evidence) == (12, 8)
    assert again.counts.incomplete == whole.counts.incomplete
