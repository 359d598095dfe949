"""Files that nothing points at: found, told, deleted when that is asked for; and nothing else is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.cli import main
from fiftyone_saliency.core.errors import ArgumentError
from fiftyone_saliency.dataset import store
from tests.models_for_tests import files_of, state_of

QUIET = {"progress": False, "num_workers": 2}


@pytest.fixture
def run(colours, model):
    return fos.compute_saliency(colours, model, **QUIET)


def paths_of(found, folder):
    return {orphan.path for orphan in found.orphans if orphan.path.startswith(str(folder))}


def test_a_clean_dataset_has_nothing_to_clean_up(colours, run):
    before = state_of(colours)
    found = fos.clean_up(colours, dry_run=False)
    assert (found.orphans, found.missing, found.failures, found.left_alone) == ((), (), (), ())
    assert (found.size, found.deleted) == (0, 0)
    assert state_of(colours) == before


def test_files_of_deleted_samples_are_found_and_deleted_when_asked(colours, run):
    gone = colours.values("saliency.map_path")[:5]
    colours.delete_samples(colours.limit(5))
    size = sum(Path(path).stat().st_size for path in gone)
    found = fos.clean_up(colours)
    assert {orphan.path for orphan in found.orphans} == set(gone)
    assert (found.size, found.deleted, found.dry_run) == (size, 0, True)
    assert "5 files" in str(found)
    assert "nothing was deleted, this was a dry run" in str(found)
    assert all(Path(path).is_file() for path in gone)
    done = fos.clean_up(colours, dry_run=False)
    assert (done.deleted, done.size) == (5, size)
    assert len(files_of(colours)) == 7
    assert json.loads(json.dumps(done.to_json()))["deleted"] == 5
    assert fos.clean_up(colours).orphans == ()
    assert all(fos.read_map(sample.saliency) is not None for sample in colours)


def test_files_of_a_deleted_field_and_of_a_killed_run_are_found(colours, run):
    part = Path(run.folder) / f"{colours.first().id}-{run.key}.part"
    part.write_bytes(b"half of a PNG")
    found = fos.clean_up(colours)
    assert [(orphan.path, orphan.reason) for orphan in found.orphans] == [
        (str(part), "half-written by a run that was killed")
    ]
    colours.delete_sample_field("saliency")
    assert fos.clean_up(colours, dry_run=False).deleted == 13
    assert files_of(colours) == {}
    assert not Path(run.folder).exists()


def test_files_of_a_deleted_dataset_are_found_by_its_name(colours, run):
    folder, name = Path(run.folder), colours.name
    note = folder.parent.parent / "datasets" / f"{folder.parent.name}.json"
    colours.delete()
    found = fos.clean_up()
    ours = [orphan for orphan in found.orphans if orphan.path.startswith(str(folder))]
    assert len(ours) == 12
    assert {orphan.reason for orphan in ours} == {f"of dataset {name!r}, which was deleted"}
    assert note.is_file()
    fos.clean_up(dry_run=False)
    assert not folder.parent.exists()
    assert not note.exists()


def test_files_that_a_clone_uses_stay(colours, run):
    clone = colours.clone()
    try:
        folder = Path(run.folder)
        colours.delete()
        assert paths_of(fos.clean_up(dry_run=False), folder) == set()
        assert all(Path(path).is_file() for path in clone.values("saliency.map_path"))
    finally:
        clone.delete()
    assert len(paths_of(fos.clean_up(), folder)) == 12


def test_a_folder_of_another_database_is_left_alone(colours, run):
    """FiftyOne's folder is shared by all databases of a user: a dataset that this one does not know may live on."""
    folder = Path(run.folder)
    foreign = folder.parent.parent / "0123456789abcdef01234567"
    shutil.copytree(folder.parent, foreign)
    note = foreign.parent / "datasets" / f"{foreign.name}.json"
    try:
        for text in (None, "{}", "no json", '{"database": "another", "dataset": "theirs"}'):
            if text is not None:
                note.write_text(text)
            found = fos.clean_up(dry_run=False)
            assert paths_of(found, foreign) == set()
            assert (str(foreign), "no note says that it belonged to this database") in found.left_alone
        assert len(list(foreign.rglob("*.png"))) == 12
    finally:
        shutil.rmtree(foreign)
        note.unlink()


def test_what_is_not_ours_is_never_touched(colours, run, tmp_path):
    """Other names, links, folders of other names, reports, and what links lead to."""
    folder, sample_id = Path(run.folder), colours.first().id
    colours.delete_sample_field("saliency")
    victim = tmp_path / f"{sample_id}-{run.key}.png"
    others = [
        folder / "mine.png",
        folder / f"{sample_id}-other_0123456789.png",
        folder.parent / "notes.txt",
        folder.parent / "my folder" / f"{sample_id}-my folder.png",
        folder.parent / "reports" / "saliency.html",
        victim,
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"precious")
    (folder / f"{sample_id}-{run.key}-7.png").symlink_to(victim)
    (folder.parent / "linked_0123456789").symlink_to(tmp_path)
    found = fos.clean_up(colours, dry_run=False)
    assert found.deleted == 12
    assert [path.read_bytes() for path in others] == [b"precious"] * len(others)
    assert (folder / f"{sample_id}-{run.key}-7.png").is_symlink()
    shutil.rmtree(folder.parent)


def test_what_is_being_written_is_left_alone(colours, run):
    path = Path(run.folder) / f"{'a' * 24}-{run.key}.png"
    path.write_bytes(b"just written, not entered yet")
    with store.only_writer(colours, "saliency"):
        found = fos.clean_up(colours, dry_run=False)
    assert (found.orphans, found.left_alone) == ((), ((str(path.parent.parent), "a computation is writing to it"),))
    assert path.is_file()
    assert fos.clean_up(colours, dry_run=False).deleted == 1


def test_heatmaps_without_a_file_are_told_and_left(colours, run):
    paths = colours.values("saliency.map_path")
    for path in paths[:3]:
        Path(path).unlink()
    found = fos.clean_up(colours, dry_run=False)
    assert {heatmap.path for heatmap in found.missing} == set(paths[:3])
    assert {(heatmap.dataset, heatmap.field) for heatmap in found.missing} == {(colours.name, "saliency")}
    assert f"3 heatmaps whose file is missing (saliency of {colours.name}): compute them again" in str(found)
    assert colours.values("saliency.map_path") == paths


def test_what_cannot_be_deleted_is_told(colours, run, monkeypatch):
    colours.delete_samples(colours.limit(2))

    def refuse(path, missing_ok=False):
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        found = fos.clean_up(colours, dry_run=False)
        assert main(["clean-up", colours.name, "--delete"]) == 3
    assert (found.deleted, len(found.failures)) == (0, 2)
    assert "Read-only file system" in str(found)
    assert len(files_of(colours)) == 12


def test_the_command_line_looks_first_and_deletes_when_told(colours, run, capsys):
    colours.delete_samples(colours.limit(2))
    assert main(["clean-up", colours.name]) == 0
    assert "2 files" in capsys.readouterr().out
    assert len(files_of(colours)) == 12
    assert main(["clean-up", colours.name, "--delete", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == 2
    assert len(files_of(colours)) == 10
    assert main(["clean-up", "no such dataset"]) == 2


def test_the_app_looks_first_and_deletes_when_told(colours, run):
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    uri = "@fiftyone-saliency/saliency/clean_up"
    colours.delete_samples(colours.limit(2))
    context = ExecutionContext({"dataset_name": colours.name, "params": {}}, executor=Executor(), operator_uri=uri)
    form = foo.get_operator(uri).resolve_input(context).to_json()["type"]["properties"]
    assert {"everywhere", "found", "delete"} <= set(form)
    for params, left in (({}, 12), ({"everywhere": False, "delete": False}, 12), ({"delete": True}, 10)):
        answer = foo.execute_operator(uri, ctx={"dataset": colours}, params=params)
        answer.raise_exceptions()
        assert len(answer.result["orphans"]) == 2
        assert len(files_of(colours)) == left


@pytest.mark.parametrize("dry_run", [None, 0, "no"])
def test_nothing_is_deleted_by_a_slip(colours, run, dry_run):
    colours.delete_samples(colours.limit(5))
    before = state_of(colours)
    with pytest.raises(ArgumentError, match="Expected `dry_run` to be True or False"):
        fos.clean_up(colours, dry_run=dry_run)
    assert state_of(colours) == before
