"""A process that is killed in the middle of a run, and the call that goes on after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fiftyone_saliency as fos
from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures, png_bytes

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])

import fiftyone as fo

import fiftyone_saliency as fos
from tests.models_for_tests import CLASSES, CROP, ColourNet

dataset = fo.load_dataset(sys.argv[2])
model = fos.load_model(ColourNet(pause=0.05), CLASSES, CROP)
fos.compute_saliency(dataset, model, batch_size=2, num_workers=2, progress=False)
"""


def wait_for_files(folder, count, process):
    """Wait until the run has stored some files; fail if it ends before that."""
    deadline = time.monotonic() + 200
    while not folder.is_dir() or len(list(folder.glob("*/*.png"))) < count:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run stored nothing"
        time.sleep(0.01)


def test_a_killed_run_goes_on_and_ends_with_the_maps_of_an_undisturbed_one(dataset, pictures, fo, tmp_path):
    """The dataset outlives the killed process because both talk to the same database."""
    paths = []
    for i in range(40):
        paths.append(str(tmp_path / f"picture-{i:02d}.png"))
        os.symlink(pictures[i % 12], paths[-1])
    add_pictures(dataset, paths, [None] * 40, [CLASSES[i % 12 % 3] for i in range(40)])
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    folder = Path(fo.config.default_dataset_dir, "saliency", str(dataset._doc.id))

    process = subprocess.Popen([sys.executable, str(script), str(ROOT), dataset.name], start_new_session=True)
    try:
        wait_for_files(folder, 6, process)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL

    dataset.reload()
    stored = png_bytes(dataset)
    run = fos.load_run(dataset, "saliency")
    assert 4 <= len(stored) < 40, "what was written before the kill is in the database"
    assert run.status == "running"
    written = {path: os.stat(path).st_mtime_ns for path in dataset.values("saliency.map_path") if path}

    model = fos.load_model(ColourNet(), CLASSES, CROP)
    again = fos.compute_saliency(dataset, model, batch_size=2, num_workers=2, progress=False)
    assert (again.key, again.status) == (run.key, "completed")
    assert (again.counts.done, again.counts.resumed, again.failures) == (40, len(stored), ())
    assert fos.load_run(dataset, "saliency") == again
    assert written.items() <= {p: os.stat(p).st_mtime_ns for p in dataset.values("saliency.map_path")}.items()

    undisturbed = fos.compute_saliency(dataset, model, "undisturbed", progress=False)
    assert undisturbed.counts.resumed == 0
    assert png_bytes(dataset) == png_bytes(dataset, "undisturbed")
    assert len(png_bytes(dataset)) == 40
    names = {path.name for path in Path(again.folder).iterdir()}
    assert names == {f"{sample_id}-{again.key}.png" for sample_id in dataset.values("id")}
