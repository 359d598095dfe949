"""What happens to a run while it is computed: deleted, without a disk, without a database."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.core.errors import RunConflictError, StorageError
from fiftyone_saliency.dataset.fields import count_samples, has_samples
from tests.models_for_tests import files_of, png_bytes

ROOT = Path(__file__).resolve().parent.parent.parent


def once(action, after=4):
    """A progress callback that does something when some samples are done."""
    state = {"done": False}

    def progress(bar):
        if bar.iteration >= after and not state["done"]:
            state["done"] = True
            action()

    return progress


def test_a_dataset_that_is_deleted_meanwhile_ends_the_run(fo, colours, model):
    folder = Path(fo.config.default_dataset_dir, "saliency", str(colours._doc.id))
    name = colours.name
    with pytest.raises(RunConflictError, match=f"Expected dataset '{name}' to stay while its maps are computed"):
        fos.compute_saliency(colours, model, batch_size=2, progress=once(colours.delete))
    assert not list(folder.rglob("*.p*"))


def test_a_dataset_that_is_deleted_elsewhere_ends_the_run(fo, colours, model):
    """By another process: this one's object knows nothing of it."""
    import fiftyone.core.odm as foo

    folder = Path(fo.config.default_dataset_dir, "saliency", str(colours._doc.id))

    def delete():
        connection = foo.get_db_conn()
        connection.datasets.delete_one({"_id": colours._doc.id})
        connection.runs.delete_many({"_dataset_id": colours._doc.id})
        connection.drop_collection(colours._doc.sample_collection_name)

    with pytest.raises(RunConflictError, match=r"Expected dataset .* to stay .*, but it was deleted"):
        fos.compute_saliency(colours, model, batch_size=2, progress=once(delete))
    assert not list(folder.rglob("*.p*"))
    assert colours._doc.sample_collection_name not in foo.get_db_conn().list_collection_names()


@pytest.mark.parametrize("after", [2, 12])
def test_a_run_that_is_deleted_meanwhile_ends_and_leaves_nothing(colours, model, after):
    def delete():
        fos.delete_run(colours, "saliency")

    with pytest.raises(RunConflictError, match=r"Expected run grad_cam_\w+ to stay while its maps are computed"):
        fos.compute_saliency(colours, model, batch_size=2, progress=once(delete, after))
    colours.reload()
    assert fos.list_runs(colours) == []
    assert files_of(colours) == {}
    assert not colours.has_field("saliency")
    documents = list(colours._sample_collection.find({}, {"saliency": 1}))
    assert not any(document.get("saliency") for document in documents)
    assert fos.compute_saliency(colours, model, progress=False).counts.done == 12


def test_the_other_fields_of_a_computation_keep_what_they_have(colours, model):
    def delete():
        fos.delete_run(colours, "why_not")

    targets = {"why": "predicted", "why_not": "blue"}
    with pytest.raises(RunConflictError, match="to stay while its maps"):
        fos.compute_saliency_targets(colours, model, targets, batch_size=2, progress=once(delete))
    (run,) = fos.list_runs(colours)
    assert (run.field, run.status) == ("why", "interrupted")
    assert run.counts.done == len(png_bytes(colours, "why")) >= 4
    assert fos.compute_saliency(colours, model, "why", progress=False).counts.resumed == run.counts.done


def test_samples_that_are_deleted_meanwhile_leave_no_files(colours, model):
    ids = colours.values("id")
    delete = once(lambda: colours.delete_samples(ids[-3:]), 2)
    run = fos.compute_saliency(colours, model, batch_size=2, progress=delete)
    assert (run.status, run.counts.done, run.counts.skipped) == ("completed", 9, 3)
    assert {failure.reason for failure in run.failures} == {"the sample was deleted while its map was computed"}
    assert len(files_of(colours)) == 9


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(colours, model):
    """A limit on the size of files is what this process can fill without a disk of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = once(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard)))
    try:
        with pytest.raises(StorageError, match=r"Expected to write maps into .*, but got File too large") as caught:
            fos.compute_saliency(colours, model, batch_size=2, progress=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value, OSError)
    assert "repeat the call: it goes on where it stopped" in str(caught.value)
    run = fos.load_run(colours, "saliency")
    assert (run.status, run.counts.done) == ("interrupted", len(png_bytes(colours)))
    assert not [name for name in files_of(colours) if name.endswith(".part")]
    again = fos.compute_saliency(colours, model, progress=False)
    assert (again.counts.done, again.counts.resumed) == (12, run.counts.done)


SCRIPT = """
import json, os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
mongod, data, port, pictures = sys.argv[2], sys.argv[3], sys.argv[4], json.loads(sys.argv[5])

def start():
    options = ["--dbpath", data, "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket"]
    return subprocess.Popen([mongod, *options], stdout=subprocess.DEVNULL)

server = start()
import fiftyone as fo
import fiftyone_saliency as fos
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

dataset = fo.Dataset("killed", persistent=True)
add_pictures(dataset, pictures, [None] * 12, [CLASSES[i % 3] for i in range(12)])
model = fos.load_model(ColourNet(), CLASSES, CROP)
told = {}

def kill(bar):
    if bar.iteration >= 4 and server.poll() is None:
        time.sleep(1)  # MongoDB writes its journal every 0.1 s
        server.kill()
        server.wait()

try:
    fos.compute_saliency(dataset, model, batch_size=2, num_workers=1, progress=kill)
except fos.SaliencyError as error:
    told["killed"] = [type(error).__name__, str(error)]
try:
    fos.compute_saliency(dataset, model, progress=False)
except fos.SaliencyError as error:
    told["away"] = [type(error).__name__, str(error)]
server = start()
try:
    told["estimate"] = len(dataset)
    run = fos.compute_saliency(dataset, model, progress=False)
    told["run"] = [run.status, run.counts.done, run.counts.resumed]
    told["again"] = fos.compute_saliency(dataset, model, progress=False).counts.resumed
finally:
    server.kill()
    server.wait()
print(json.dumps(told))
"""


def test_a_killed_database_is_told_and_the_run_goes_on_when_it_is_back(fo, pictures, tmp_path):
    import socket

    mongod = Path(fo.__file__).parent / "db" / "bin" / "mongod"
    if not mongod.is_file():
        pytest.skip("the database is not one that can be killed here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "db").mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=4000"
    environment = os.environ | {"FIFTYONE_DATABASE_URI": uri, "FIFTYONE_DEFAULT_DATASET_DIR": str(tmp_path / "data")}
    arguments = [str(ROOT), str(mongod), str(tmp_path / "db"), str(port), json.dumps(pictures)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for moment in ("killed", "away"):
        kind, text = told[moment]
        assert kind == "DatabaseError"
        assert text.startswith("Expected the database to answer, but it did not: ")
        assert "Start the database again and repeat the call: it goes on where it stopped." in text
    assert told["estimate"] == 0, "the estimate that must not be trusted"
    status, finished, resumed = told["run"]
    assert (status, finished) == ("completed", 12)
    assert resumed >= 2
    assert told["again"] == 12


def test_samples_are_counted_and_not_estimated(colours, monkeypatch):
    monkeypatch.setattr(type(colours), "__len__", lambda self: 0)
    assert has_samples(colours)
    assert (count_samples(colours), count_samples(colours.limit(5))) == (12, 5)
    assert not has_samples(colours.match_tags("none"))
