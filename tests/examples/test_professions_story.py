"""The whole story as `make demo ARGS=--no-app` tells it, and the numbers that make it a story."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1500)
def test_biased_model_looks_at_heads_and_the_enriched_one_at_uniforms(tmp_path):
    # The tests' own database: without it FiftyOne would join any that runs, and replace the dataset of an open demo.
    kept = "FIFTYONE_DATABASE_URI"
    environment = {name: v for name, v in os.environ.items() if not name.startswith("FIFTYONE_") or name == kept}
    table = tmp_path / "table.json"
    command = [
        sys.executable,
        "-m",
        "examples.professions",
        "--no-app",
        "--folder",
        str(tmp_path),
        "--json",
        str(table),
    ]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    before, after, control = (json.loads(table.read_text())[state] for state in ("before", "after", "control"))
    ratio = [state["share_head"] / (state["share_head"] + state["share_uniform"]) for state in (before, after)]
    assert before["accuracy_paired"] > 0.95
    assert before["accuracy_shuffled"] < 0.4
    assert ratio[0] > 0.6
    assert after["accuracy_paired"] > 0.9
    assert after["accuracy_shuffled"] > 0.9
    assert ratio[1] < 0.4
    assert (after["verdict"], after["reason"], after["accuracy"]) == ("fixed", "fixed", "fixed")
    assert control["verdict"] in ("unchanged", "moved, not proven", "worse")
    assert control["accuracy_shuffled"] < 0.4
    for state in (before, after, control):
        assert state["share_head"] + state["share_uniform"] + state["share_background"] == pytest.approx(1)
    assert "evidence on the background" in done.stdout
    mistakes, picked, exported = (
        int(re.search(pattern, done.stdout)[1])
        for pattern in (r"(\d+) samples tagged", r"(\d+) samples of the stock tagged", r"(\d+) samples exported")
    )
    assert min(mistakes, picked) > 500
    assert exported == mistakes + picked
