"""One field, one run: going on, adding, replacing, refusing; and what a stopped run leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import RunConflictError, SaliencyError
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, files_of, png_bytes, state_of

QUIET = {"progress": False, "num_workers": 2}


def times(samples, field="saliency"):
    """When each stored file was written."""
    return {path: os.stat(path).st_mtime_ns for path in samples.values(f"{field}.map_path") if path}


def test_a_second_call_keeps_every_map(colours, model):
    first = fos.compute_saliency(colours, model, **QUIET)
    before = times(colours)
    second = fos.compute_saliency(colours, model, **QUIET)
    assert second.key == first.key
    assert (second.counts.done, second.counts.resumed) == (12, 12)
    assert times(colours) == before
    assert len(fos.list_runs(colours)) == 1


def test_what_does_not_decide_a_pixel_does_not_start_another_run(colours, model):
    first = fos.compute_saliency(colours, model, **QUIET)
    second = fos.compute_saliency(
        colours.sort_by("filepath", reverse=True),
        fos.load_model(ColourNet().train(), CLASSES, CROP),
        batch_size=3,
        num_workers=1,
        gt_field="not used by this target",
        skip_failures=False,
        progress=False,
    )
    assert (second.key, second.counts.resumed) == (first.key, 12)


def test_new_samples_are_added_to_the_run(colours, model, pictures, tmp_path):
    view = colours.limit(9)
    fos.compute_saliency(view, model, **QUIET)
    before = times(view)
    copy = tmp_path / "new.png"
    copy.write_bytes(Path(pictures[0]).read_bytes())
    add_pictures(colours, [str(copy)], ["red"], ["red"])
    run = fos.compute_saliency(colours, model, **QUIET)
    assert (run.counts.done, run.counts.resumed) == (13, 9)
    assert times(view) == before
    assert len(times(colours)) == 13
    assert len(fos.list_runs(colours)) == 1


def test_a_missing_file_is_computed_again(colours, model):
    fos.compute_saliency(colours, model, **QUIET)
    before, kept = png_bytes(colours), times(colours.skip(2))
    for sample in colours.limit(2):
        os.unlink(sample.saliency.map_path)
    run = fos.compute_saliency(colours, model, **QUIET)
    assert (run.counts.done, run.counts.resumed) == (12, 10)
    assert png_bytes(colours) == before
    assert times(colours.skip(2)) == kept


def test_a_file_that_was_written_but_not_entered_is_not_kept_twice(colours, model):
    """A run can be killed between the file and the database."""
    run = fos.compute_saliency(colours, model, **QUIET)
    before = files_of(colours)
    sample = colours.first()
    sample["saliency"] = None
    sample.save()
    again = fos.compute_saliency(colours, model, **QUIET)
    assert (again.counts.done, again.counts.resumed) == (12, 11)
    assert files_of(colours) == before
    assert len(before) == 12
    assert Path(run.folder).is_dir()


def test_what_a_killed_run_left_half_written_is_cleared_away(colours, model):
    run = fos.compute_saliency(colours.limit(1), model, **QUIET)
    before = files_of(colours)
    Path(run.folder, f"{colours.last().id}-{run.key}.part").write_bytes(b"half of a PNG")
    fos.compute_saliency(colours.limit(1), model, **QUIET)
    assert files_of(colours) == before


@pytest.mark.parametrize(("target", "field"), [("ground_truth", "ground_truth"), ("predicted", "predictions")])
def test_a_relabelled_sample_gets_the_map_of_its_new_label(colours, model, fo, target, field):
    """The label decides the pixels: a map of the old label would be a wrong answer to the question asked."""
    fos.compute_saliency(colours, model, target=target, **QUIET)
    sample = colours.first()
    sample[field] = fo.Classification(label="green")
    sample.save()
    kept = times(colours.skip(1))
    run = fos.compute_saliency(colours, model, target=target, **QUIET)
    assert colours.first().saliency.target == "green"
    assert (run.counts.done, run.counts.resumed) == (12, 11)
    assert times(colours.skip(1)) == kept


def test_another_run_is_not_replaced_unasked(colours, model):
    first = fos.compute_saliency(colours, model, **QUIET)
    before = state_of(colours)
    message = (
        rf"'saliency' to be free or to hold run input_x_gradient_\w+, but it holds {first.key} \(target 'predicted'"
    )
    with pytest.raises(RunConflictError, match=message):
        fos.compute_saliency(colours.limit(2), model, method="input_x_gradient", **QUIET)
    assert state_of(colours) == before


def test_overwriting_replaces_another_run_with_files_and_record(colours, model):
    first = fos.compute_saliency(colours, model, **QUIET)
    second = fos.compute_saliency(colours.limit(4), model, target="blue", overwrite=True, **QUIET)
    assert second.key != first.key
    assert not Path(first.folder).exists()
    assert [run.key for run in fos.list_runs(colours)] == [second.key]
    assert colours.count_values("saliency.run_key") == {second.key: 4, None: 8}
    assert len(files_of(colours)) == 4


def test_overwriting_the_same_run_computes_its_samples_again(colours, model):
    first = fos.compute_saliency(colours, model, **QUIET)
    good, kept = png_bytes(colours), times(colours.skip(4))
    for sample in colours.limit(4):
        Image.new("L", (112, 84), 7).save(sample.saliency.map_path)
    second = fos.compute_saliency(colours.limit(4), model, overwrite=True, **QUIET)
    assert (second.key, second.counts.done, second.counts.resumed) == (first.key, 4, 0)
    assert png_bytes(colours) == good
    assert times(colours.skip(4)) == kept, "what lies outside the view is not touched"


def test_overwriting_an_empty_field_is_an_ordinary_run(colours, model):
    assert fos.compute_saliency(colours, model, overwrite=True, **QUIET).counts.done == 12


@pytest.mark.parametrize("overwrite", [False, True])
def test_heatmaps_of_the_user_are_never_replaced(colours, model, fo, tmp_path, overwrite):
    mine = tmp_path / "mine.png"
    Image.new("L", (4, 4), 200).save(mine)
    sample = colours.last()
    sample["saliency"] = fo.Heatmap(map_path=str(mine))
    sample.save()
    before = state_of(colours)
    with pytest.raises(RunConflictError, match="hold heatmaps of this plugin, but some were written by something else"):
        fos.compute_saliency(colours.limit(3), model, overwrite=overwrite, **QUIET)
    assert state_of(colours) == before
    assert mine.is_file()


def test_a_run_without_any_map_does_not_keep_the_field(colours, model):
    """One record per field: a run that found nothing to explain must not be taken for the one that did."""
    colours.set_values("predictions", colours.values("ground_truth"))
    empty = fos.compute_saliency(colours, model, target="contrast", **QUIET)
    assert (empty.counts.done, empty.counts.skipped) == (0, 12)
    run = fos.compute_saliency(colours, model, target="blue", **QUIET)
    assert fos.list_runs(colours) == [run]
    assert fos.load_run(colours, "saliency") == run
    assert not Path(empty.folder).exists()


def test_two_fields_hold_two_runs(colours, model):
    one = fos.compute_saliency(colours, model, "one", **QUIET)
    two = fos.compute_saliency(colours, model, "two", target="blue", **QUIET)
    assert [(run.key, run.field) for run in fos.list_runs(colours)] == [(one.key, "one"), (two.key, "two")]
    assert set(colours.values("one.run_key")) == {one.key}
    assert set(colours.values("two.run_key")) == {two.key}


@pytest.fixture
def spoilt(dataset, pictures, tmp_path):
    """Six copies of the pictures; the file of the fourth is cut in half."""
    paths = []
    for i, path in enumerate(pictures[:6]):
        paths.append(str(tmp_path / f"copy-{i}.jpg"))
        Image.open(path).save(paths[-1], quality=95)
    whole = Path(paths[3]).read_bytes()
    Path(paths[3]).write_bytes(whole[: len(whole) // 2])
    add_pictures(dataset, paths, [None] * 6, [CLASSES[i % 3] for i in range(6)])
    return dataset, Path(paths[3]), whole


def test_a_run_that_raises_keeps_what_it_did_and_can_be_resumed(spoilt):
    dataset, path, whole = spoilt
    net = ColourNet().train()
    model = fos.load_model(net, CLASSES, CROP)
    with pytest.raises(
        SaliencyError, match=rf"{path} failed: the image cannot be read: .*truncated.*skip_failures=True"
    ):
        fos.compute_saliency(dataset, model, batch_size=2, skip_failures=False, **QUIET)
    assert net.training
    assert net.relu.inplace
    run = fos.load_run(dataset, "saliency")
    assert run.status == "interrupted"
    assert run.counts.done == 3, "the first batch, and the good half of the second"
    assert [s.saliency is not None for s in dataset] == [True] * 3 + [False] * 3
    assert run.finished is not None
    before = times(dataset)
    path.write_bytes(whole)
    again = fos.compute_saliency(dataset, model, batch_size=2, skip_failures=False, **QUIET)
    assert (again.key, again.status) == (run.key, "completed")
    assert (again.counts.done, again.counts.resumed, again.failures) == (6, 3, ())
    assert before.items() <= times(dataset).items()


def test_a_run_that_the_user_stops_is_interrupted(spoilt, model):
    dataset, _, _ = spoilt

    def stop(bar):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fos.compute_saliency(dataset, model, batch_size=2, progress=stop, num_workers=1)
    run = fos.load_run(dataset, "saliency")
    assert (run.status, run.counts.done) == ("interrupted", 2)
    assert fos.compute_saliency(dataset, model, **QUIET).counts.resumed == 2


def test_failures_are_recorded_and_forgotten_once_mended(spoilt, model):
    dataset, path, whole = spoilt
    run = fos.compute_saliency(dataset, model, **QUIET)
    assert (run.counts.done, run.counts.failed, run.counts.skipped) == (5, 1, 0)
    (failure,) = run.failures
    assert (failure.sample_id, failure.filepath, failure.kind) == (dataset.skip(3).first().id, str(path), "error")
    assert failure.reason.startswith("the image cannot be read: ")
    assert fos.load_run(dataset, "saliency").failures == run.failures
    rest = fos.compute_saliency(dataset.limit(3), model, **QUIET)
    assert rest.failures == run.failures, "a call on other samples does not forget it"
    path.write_bytes(whole)
    mended = fos.compute_saliency(dataset, model, **QUIET)
    assert (mended.counts.done, mended.counts.failed, mended.failures) == (6, 0, ())
    assert fos.load_run(dataset, "saliency").failures == ()
