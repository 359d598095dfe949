"""Fields that are renamed, fields and datasets that are copied: runs follow, and a file goes with its last user."""

from __future__ import annotations

from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import RunConflictError, StorageError
from tests.models_for_tests import add_pictures, files_of, png_bytes, state_of

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture
def copy_of():
    """Clones that delete themselves."""
    made = []

    def clone(dataset):
        made.append(dataset.clone())
        return made[-1]

    yield clone
    for dataset in made:
        if not dataset.deleted:
            dataset.delete()


def test_a_run_follows_its_field_when_that_is_renamed(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    maps = png_bytes(colours)
    colours.rename_sample_field("saliency", "before")
    (renamed,) = fos.list_runs(colours)
    assert (renamed.key, renamed.field, renamed.request) == (run.key, "before", run.request)
    assert fos.load_run(colours, "before") == renamed
    with pytest.raises(ValueError, match=r"Did you mean|Choose one of"):
        fos.load_run(colours, "saliency")
    assert png_bytes(colours, "before") == maps
    fos.delete_run(colours, "before")
    assert fos.list_runs(colours) == []
    assert files_of(colours) == {}
    assert not colours.has_field("before")


@pytest.mark.parametrize("settings", [{}, {"target": "blue"}], ids=["same settings", "other settings"])
def test_a_renamed_run_keeps_its_maps_when_its_old_field_is_filled_again(colours, model, settings):
    old = fos.compute_saliency(colours, model, **QUIET)
    maps = png_bytes(colours)
    colours.rename_sample_field("saliency", "before")
    new = fos.compute_saliency(colours, model, **settings, **QUIET)
    assert (new.field, new.counts.done, new.counts.resumed) == ("saliency", 12, 0)
    assert new.key != old.key
    assert png_bytes(colours, "before") == maps
    assert {(run.key, run.field) for run in fos.list_runs(colours)} == {(old.key, "before"), (new.key, "saliency")}
    assert (png_bytes(colours) == maps) == (not settings)
    again = fos.compute_saliency(colours, model, **settings, **QUIET)
    assert (again.key, again.counts.resumed) == (new.key, 12)
    # Each of the two goes alone.
    fos.delete_run(colours, "saliency")
    assert png_bytes(colours, "before") == maps
    assert len(files_of(colours)) == 12


def test_a_renamed_run_goes_on_under_its_new_name(colours, model):
    old = fos.compute_saliency(colours.limit(5), model, **QUIET)
    kept = png_bytes(colours)
    colours.rename_sample_field("saliency", "before")
    run = fos.compute_saliency(colours, model, "before", **QUIET)
    assert (run.key, run.field, run.counts.done, run.counts.resumed) == (old.key, "before", 12, 5)
    assert kept.items() <= png_bytes(colours, "before").items()
    assert not colours.has_field("saliency")
    assert fos.list_runs(colours) == [run]
    assert len(files_of(colours)) == 12
    with pytest.raises(RunConflictError, match="'before' to be free or to hold run"):
        fos.compute_saliency(colours, model, "before", target="blue", **QUIET)


def test_runs_whose_fields_changed_names_stay_with_their_maps(colours, model):
    fos.compute_saliency(colours, model, "one", target="red", **QUIET)
    fos.compute_saliency(colours, model, "two", target="blue", **QUIET)
    for old, new in (("one", "three"), ("two", "one"), ("three", "two")):
        colours.rename_sample_field(old, new)
    assert {run.field: run.request.target for run in fos.list_runs(colours)} == {"one": "blue", "two": "red"}
    assert fos.load_run(colours, "one").request.target == "blue"
    assert set(colours.values("one.target")) == {"blue"}
    fos.delete_run(colours, "one")
    assert len(png_bytes(colours, "two")) == 12


def test_a_copied_field_keeps_its_maps(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    maps = png_bytes(colours)
    colours.clone_sample_field("saliency", "copy")
    assert fos.load_run(colours, run.key).field == "saliency"
    fos.delete_run(colours, "saliency")
    assert png_bytes(colours, "copy") == maps
    assert fos.read_map(colours.first()["copy"]) is not None
    # Its key is taken by files that are still there: the next run leaves them alone.
    fos.compute_saliency(colours, model, **QUIET)
    assert png_bytes(colours, "copy") == png_bytes(colours) == maps
    assert set(colours.values("saliency.map_path")).isdisjoint(colours.values("copy.map_path"))
    assert len(files_of(colours)) == 24


@pytest.mark.parametrize("change", ["compute again", "replace", "relabel"])
def test_a_copied_field_keeps_its_maps_whatever_becomes_of_the_original(colours, model, fo, change):
    fos.compute_saliency(colours, model, **QUIET)
    maps = png_bytes(colours)
    colours.clone_sample_field("saliency", "copy")
    paths = colours.values("copy.map_path")
    if change == "relabel":
        colours.set_values("predictions.label", ["green"] * 12)
        fos.compute_saliency(colours, model, **QUIET)
    else:
        fos.compute_saliency(
            colours, model, overwrite=True, **({"target": "blue"} if change == "replace" else {}), **QUIET
        )
    assert png_bytes(colours, "copy") == maps
    assert colours.values("copy.map_path") == paths
    assert len(png_bytes(colours)) == 12


def test_a_field_whose_original_is_deleted_takes_over_the_run(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    colours.clone_sample_field("saliency", "copy")
    colours.delete_sample_field("saliency")
    assert [(r.key, r.field) for r in fos.list_runs(colours)] == [(run.key, "copy")]
    fos.delete_run(colours, run.key)
    assert files_of(colours) == {}


@pytest.mark.parametrize("what", ["run", "dataset", "samples", "maps by another run"])
def test_a_cloned_dataset_keeps_its_maps(colours, model, copy_of, what):
    run = fos.compute_saliency(colours, model, **QUIET)
    clone = copy_of(colours)
    maps = png_bytes(clone)
    if what == "run":
        fos.delete_run(colours, run.key)
    elif what == "dataset":
        colours.delete()
    elif what == "samples":
        colours.delete_samples(colours)
    else:
        fos.compute_saliency(colours, model, target="blue", overwrite=True, **QUIET)
    assert png_bytes(clone) == maps
    (record,) = fos.list_runs(clone)
    assert (record.status, record.counts.done) == ("completed", 12)
    assert fos.compute_saliency(clone, model, **QUIET).counts.resumed == 12


def test_copies_by_other_ways_keep_their_maps(colours, model, fo, dataset):
    """Samples that are added to another dataset, a picture made of a map, a mask that is a map."""
    run = fos.compute_saliency(colours, model, **QUIET)
    paths = colours.values("saliency.map_path")
    other = fo.Dataset()
    try:
        other.add_samples([sample.copy() for sample in colours.limit(2)], progress=False)
        other.add_sample(fo.Sample(filepath=paths[2]))
        mask = fo.Detection(label="x", bounding_box=[0, 0, 1, 1], mask_path=paths[3])
        other.add_sample(fo.Sample(filepath="/nowhere.png", masks=fo.Detections(detections=[mask])))
        folder = Path(paths[4]).parent
        roundabout = f"{folder}/../{folder.name}/{Path(paths[4]).name}"
        other.add_sample(fo.Sample(filepath="/nowhere/else.png", map=fo.Heatmap(map_path=roundabout)))
        fos.delete_run(colours, run.key)
        assert [Path(path).is_file() for path in paths] == [True] * 5 + [False] * 7
    finally:
        other.delete()


def test_a_folder_that_cannot_be_changed_is_told_and_can_be_repeated(colours, model, monkeypatch):
    """As on a read-only mount; root is not stopped by permissions, so the refusal is that of the call."""
    run = fos.compute_saliency(colours, model, **QUIET)

    def refuse(path, missing_ok=False):
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match=r"12 of them are still there, .*Read-only file system"):
            fos.delete_run(colours, run.key)
    (left,) = fos.list_runs(colours)
    assert (left.key, left.status) == (run.key, "deleting")
    fos.delete_run(colours, run.key)
    assert fos.list_runs(colours) == []
    assert files_of(colours) == {}


def test_a_read_only_folder_is_refused_before_anything_is_changed(colours, model, monkeypatch):
    run = fos.compute_saliency(colours, model, **QUIET)
    before = state_of(colours)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StorageError, match=r"but it is read-only. Make it writable, and repeat the call"):
        fos.delete_run(colours, run.key)
    monkeypatch.undo()
    assert state_of(colours) == before


def test_new_samples_of_a_clone_have_files_of_their_own(colours, model, copy_of, pictures, tmp_path):
    fos.compute_saliency(colours, model, **QUIET)
    before = state_of(colours)
    clone = copy_of(colours)
    path = tmp_path / "new.png"
    path.write_bytes(Path(pictures[1]).read_bytes())
    add_pictures(clone, [str(path)], ["green"], ["green"])
    run = fos.compute_saliency(clone, model, **QUIET)
    assert (run.counts.done, run.counts.resumed) == (13, 12)
    assert len(files_of(clone)) == 1
    fos.delete_run(clone, run.key)
    assert files_of(clone) == {}
    assert state_of(colours) == before


def test_a_file_stays_that_any_text_of_a_sample_points_at(fo, colours, model, copy_of):
    """The App shows any text field as a picture that `media_fields` names, whatever it is called."""
    fos.compute_saliency(colours, model, **QUIET)
    paths = colours.values("saliency.map_path")
    other = copy_of(colours)
    other.delete_sample_field("saliency")
    other.set_values("thumbnail", [paths[0]] + [None] * 11)
    other.set_values("pictures", [None] * 11 + [[paths[1], "x.png"]])
    fos.delete_run(colours, "saliency")
    assert [path for path in paths if Path(path).is_file()] == paths[:2]
    fos.clean_up(dry_run=False)
    assert [path for path in paths if Path(path).is_file()] == paths[:2]
