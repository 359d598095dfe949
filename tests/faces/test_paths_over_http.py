"""Whoever reaches the App may edit any path in the database: no file but a run's own is deleted for it."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import StorageError
from tests.conftest import HOME
from tests.e2e.app_server import serve
from tests.models_for_tests import files_of, state_of

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture(scope="module")
def server(fo):
    with serve(HOME) as url:
        yield url


def patch(server, dataset, sample, operations):
    """Edit a sample as the App does."""
    request = urllib.request.Request(
        f"{server}/dataset/{dataset._doc.id}/sample/{sample.id}",
        json.dumps(operations).encode(),
        {"Content-Type": "application/json-patch+json", "If-Match": f'"{sample.last_modified_at.isoformat()}"'},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def victims(fo, dataset, key, folder):
    """Files that are not the run's, and the paths that lead to them from a heatmap of the dataset."""
    own = Path(fo.config.default_dataset_dir, "saliency", str(dataset._doc.id), key)
    names = [folder / "victim.png", own.parent.parent.parent / "victim.png", own.parent / "note.txt", own / "mine.png"]
    for name in names:
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(b"precious")
    # Through `..`, through a link, and straight.
    os.symlink(folder, own / "link")
    paths = [f"{own}/../../../victim.png", str(own / "link" / "victim.png"), str(folder / "victim.png")]
    return names, [*paths, str(own.parent / "note.txt"), str(own / "mine.png")]


@pytest.mark.parametrize("change", ["compute again", "replace", "delete"])
def test_a_path_that_was_edited_in_the_app_deletes_nothing(server, fo, colours, model, tmp_path, change):
    run = fos.compute_saliency(colours, model, **QUIET)
    files, paths = victims(fo, colours, run.key, tmp_path)
    for sample, path in zip(list(colours.limit(len(paths))), paths, strict=True):
        patch(server, colours, sample, [{"op": "replace", "path": "/saliency/map_path", "value": path}])
    colours.reload()
    assert colours.values("saliency.map_path")[: len(paths)] == paths
    if change == "delete":
        fos.delete_run(colours, run.key)
    else:
        other = {"compute again": {}, "replace": {"target": "blue"}}[change]
        fos.compute_saliency(colours, model, overwrite=True, **other, **QUIET)
    assert [path.read_bytes() for path in files] == [b"precious"] * len(files)
    # What the run wrote itself does go: nothing points at it any more.
    kept = [
        name for name in files_of(colours) if name.startswith(run.key) and "mine" not in name and "link" not in name
    ]
    assert len(kept) == (12 if change == "compute again" else 0)


def test_a_record_that_was_edited_deletes_nothing(fo, colours, model, tmp_path):
    """The folder stands in the record, and the record in the database."""
    run = fos.compute_saliency(colours, model, **QUIET)
    victim = tmp_path / str(colours._doc.id) / run.key / "victim.png"
    victim.parent.mkdir(parents=True)
    victim.write_bytes(b"precious")
    config = colours.get_run_info(run.key).config
    config.folder = str(victim.parent)
    colours.update_run_config(run.key, config)
    fos.delete_run(colours, run.key)
    assert victim.read_bytes() == b"precious"
    assert files_of(colours) == {}


@pytest.mark.parametrize("key", ["../../../victims", "..", "", "a/../../../../victims"])
def test_a_run_key_that_was_edited_deletes_nothing(fo, colours, model, key):
    run = fos.compute_saliency(colours, model, **QUIET)
    folder = Path(fo.config.default_dataset_dir, "victims")
    folder.mkdir(exist_ok=True)
    sample = colours.first()
    victim = folder / f"{sample.id}-{Path(key).name}.png"
    victim.write_bytes(b"precious")
    sample.saliency.run_key, sample.saliency.map_path = key, str(victim)
    sample.save()
    fos.compute_saliency(colours, model, target="blue", overwrite=True, **QUIET)
    assert victim.read_bytes() == b"precious"
    assert not Path(run.folder).exists()


def test_files_of_another_dataset_are_left_alone(fo, colours, model):
    other = colours.clone()
    try:
        fos.compute_saliency(other, model, "theirs", **QUIET)
        run = fos.compute_saliency(colours, model, **QUIET)
        theirs = files_of(other)
        colours.set_values("saliency.map_path", other.values("theirs.map_path"))
        fos.delete_run(colours, run.key)
        assert files_of(other) == theirs
        assert len(theirs) == 12
    finally:
        other.delete()


def test_a_folder_that_is_a_link_is_not_followed(fo, colours, model, tmp_path):
    run = fos.compute_saliency(colours, model, **QUIET)
    folder = Path(run.folder)
    elsewhere = tmp_path / "elsewhere"
    os.rename(folder, elsewhere)
    os.symlink(elsewhere, folder)
    before = state_of(colours)
    with pytest.raises(StorageError, match=rf"but it leads to {elsewhere}. Remove the link"):
        fos.delete_run(colours, run.key)
    assert state_of(colours) == before
    assert len(list(elsewhere.iterdir())) == 12
    folder.unlink()
    fos.delete_run(colours, run.key)
    assert fos.list_runs(colours) == []
    assert len(list(elsewhere.iterdir())) == 12
