"""The records of runs: written, listed, loaded, deleted, and nothing else touched."""

from __future__ import annotations

import datetime
import json
from importlib.metadata import version
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import UnknownNameError
from fiftyone_saliency.core.types import Counts, SaliencyRequest
from tests.models_for_tests import files_of, state_of

QUIET = {"progress": False, "num_workers": 2}


def test_the_record_says_what_was_done(colours, model, fo):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    run = fos.compute_saliency(
        colours, model, method="integrated_gradients", parameters={"steps": 2}, target="blue", seed=7, **QUIET
    )
    assert run.request == SaliencyRequest(
        field="saliency",
        method="integrated_gradients",
        params={"steps": 2},
        model=model.fingerprint,
        target="blue",
        gt_field=None,
        pred_field=None,
        sign="positive",
        seed=7,
    )
    assert run.key == run.request.key
    assert (run.field, run.model_name, run.status) == ("saliency", "ColourNet", "completed")
    # Four pictures are blue; two steps are too few for maps that add up to their score.
    assert (run.counts, run.failures) == (Counts(done=12, no_evidence=8, incomplete=12), ())
    assert run.details["device"] == "cpu"
    assert run.details["precision"].startswith("bfloat16 is for CAM and perturbation methods")
    assert Path(run.folder) == Path(fo.config.default_dataset_dir, "saliency", str(colours._doc.id), run.key)
    started, finished = (datetime.datetime.fromisoformat(t) for t in (run.started, run.finished))
    assert before <= started <= finished <= datetime.datetime.now(datetime.timezone.utc)
    assert run.versions == {
        "fiftyone-saliency": fos.__version__,
        **{name: version(name) for name in ("fiftyone", "torch", "captum", "numpy")},
    }
    said = "12 maps in field 'saliency', 8 without evidence, 12 that do not add up to their score (completed)"
    assert str(run) == f"{run.key}: {said}"


def test_a_record_comes_back_as_it_was_saved(colours, model):
    run = fos.compute_saliency(colours, model, target="contrast", **QUIET)
    assert len(run.failures) == 10
    colours.reload()
    assert fos.load_run(colours, run.key) == run
    assert fos.load_run(colours, "saliency") == run
    assert fos.load_run(colours.limit(1), "saliency") == run
    assert fos.list_runs(colours) == [run]


def test_a_record_is_plain_json(colours, model):
    run = fos.compute_saliency(colours, model, target="contrast", **QUIET)
    parts = [run.request.to_json(), run.counts.to_json(), [f.to_json() for f in run.failures], dict(run.versions)]
    request, counts, failures, _ = json.loads(json.dumps(parts))
    assert SaliencyRequest(**request).key == run.key
    assert Counts(**counts) == run.counts
    assert len(failures) == 10
    stored = colours.get_run_info(run.key).config.serialize()
    assert json.loads(json.dumps(stored)) == stored


def test_runs_are_listed_oldest_first_and_those_of_others_are_not(colours, model):
    config = colours.init_run(note="mine")
    colours.register_run("my_run", config)
    assert fos.list_runs(colours) == []
    keys = [fos.compute_saliency(colours.limit(1), model, f, target="red", **QUIET).key for f in ("zebra", "ant")]
    assert [run.key for run in fos.list_runs(colours)] == keys
    with pytest.raises(UnknownNameError, match="saliency run"):
        fos.load_run(colours, "my_run")


def test_an_unknown_run_brings_the_nearest(colours, model):
    with pytest.raises(UnknownNameError, match=r"No saliency run \(key or field\) is known yet"):
        fos.load_run(colours, "saliency")
    fos.compute_saliency(colours.limit(1), model, **QUIET)
    for verb in (fos.load_run, fos.delete_run):
        with pytest.raises(UnknownNameError, match=r"but got 'salience'. Did you mean `saliency`\?"):
            verb(colours, "salience")
    assert len(fos.list_runs(colours)) == 1


@pytest.mark.parametrize("by", ["key", "field"])
def test_deleting_a_run_leaves_everything_else(colours, model, by):
    colours.register_run("my_run", colours.init_run(note="mine"))
    colours.save_view("mine", colours.limit(1))
    fos.tag_cell(colours.limit(2))
    fos.evaluate(colours)
    other = fos.compute_saliency(colours, model, "other", target="blue", **QUIET)
    before = state_of(colours)
    run = fos.compute_saliency(colours, model, **QUIET)
    assert len(files_of(colours)) == 24
    fos.delete_run(colours.limit(1), run.key if by == "key" else "saliency")
    assert state_of(colours) == before
    assert not Path(run.folder).exists()
    assert fos.list_runs(colours) == [other]


def test_a_run_whose_field_was_deleted_can_still_be_deleted_with_its_files(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    colours.delete_sample_field("saliency")
    fos.delete_run(colours, run.key)
    assert fos.list_runs(colours) == []
    assert files_of(colours) == {}


def test_a_run_whose_files_were_deleted_can_still_be_deleted(colours, model):
    run = fos.compute_saliency(colours, model, **QUIET)
    for path in Path(run.folder).iterdir():
        path.unlink()
    Path(run.folder).rmdir()
    fos.delete_run(colours, "saliency")
    assert fos.list_runs(colours) == []
    assert not colours.has_field("saliency")


def delete_it(copy, model):
    fos.delete_run(copy, "saliency")
    assert fos.list_runs(copy) == []
    assert not copy.has_field("saliency")


def replace_it(copy, model):
    fos.compute_saliency(copy, model, target="blue", overwrite=True, **QUIET)


def compute_it_again(copy, model):
    fos.compute_saliency(copy, model, overwrite=True, **QUIET)


@pytest.mark.parametrize("change", [delete_it, replace_it, compute_it_again])
def test_a_run_of_a_cloned_dataset_leaves_the_files_of_the_original(colours, model, change):
    """A clone has the heatmaps and the record, but the files they point at are still the original's."""
    fos.compute_saliency(colours, model, **QUIET)
    before = state_of(colours)
    copy = colours.clone()
    try:
        change(copy, model)
        assert state_of(colours) == before
    finally:
        copy.delete()
