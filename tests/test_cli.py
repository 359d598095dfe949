"""The command line: exit codes are a contract, errors are one line, help needs no database."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.cli import main
from tests.reasoned import make, trust


@pytest.fixture(scope="module")
def dataset(fo, pictures):
    dataset = make(pictures)
    trust(dataset, "saliency_after", passed=True)
    dataset.save_view("some", dataset.limit(11))
    dataset.limit(10).tag_samples("ten")
    yield dataset
    dataset.delete()


@pytest.fixture
def shared(dataset):
    return [dataset.name, "--regions", "regions", "--field", "saliency_after", "--pred-field", "after"]


def test_a_build_is_told_by_the_exit_status(shared):
    """In a process of its own, as a build runs it: 1 where the reasons fall short, without a traceback."""
    command = [sys.executable, "-m", "fiftyone_saliency", "gate", *shared, "--min-share", "square=0.99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "FAIL evidence: square" in done.stdout
    assert "Traceback" not in done.stderr


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys; from fiftyone_saliency.cli import main\n"
        "try: main(['gate', '--help'])\n"
        "except SystemExit as end: status = end.code\n"
        "print(status, [m for m in ('fiftyone', 'torch', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "--max-share REGION=SHARE" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"fiftyone-saliency {fos.__version__}\n"


def test_a_gate_that_passes_ends_with_0_and_writes_its_numbers(dataset, shared, tmp_path, capsys):
    file = tmp_path / "gate.json"
    limits = ["--min-share", "square=0.5", "--max-share", "background=0.5", "--min-accuracy", "0.6"]
    assert main(["gate", *shared, *limits, "--json", str(file)]) == 0
    gate = fos.gate(
        dataset,
        "saliency_after",
        regions="regions",
        pred_field="after",
        min_share={"square": 0.5},
        max_share={"background": 0.5},
        min_accuracy=0.6,
    )
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(gate.to_json()))
    assert capsys.readouterr().out == f"{gate}\n"


def test_answers_that_need_a_region_can_be_asked_for(dataset, shared, capsys):
    fos.register_model("colours", colours)
    limits = ["--min-needed", "square=0.05", "--without-trust", "--bound", "mean"]
    assert main(["gate", *shared, *limits, "--model", "colours"]) in {0, 1}
    assert "answers that change without square, above the control" in capsys.readouterr().out
    assert main(["gate", *shared, *limits]) == 2
    assert "Expected `model` for min_needed={'square': ...}" in capsys.readouterr().err
    fos.unregister_model("colours")


def colours():
    from tests.models_for_tests import CLASSES, CROP, ColourNet

    return fos.load_model(ColourNet(), CLASSES, CROP)


def test_eleven_right_of_twelve_are_no_proof_of_seven_in_ten(shared):
    assert main(["gate", *shared, "--min-accuracy", "0.7"]) == 1
    assert main(["gate", *shared, "--min-accuracy", "0.7", "--bound", "mean"]) == 0


def test_maps_that_nobody_checked_do_not_pass_unless_they_may(dataset, capsys):
    base = [dataset.name, "--regions", "regions", "--min-share", "square=0.1", "--min-samples", "4"]
    assert main(["gate", *base]) == 1
    assert "nobody checked" in capsys.readouterr().out
    assert main(["gate", *base, "--without-trust"]) == 0


@pytest.mark.parametrize(("part", "count"), [(["--view", "some"], 11), (["--tags", "ten"], 10), ([], 12)])
def test_a_part_of_the_dataset_can_be_named(shared, capsys, part, count):
    main(["gate", *shared, *part, "--min-share", "square=0.1"])
    assert f"(n={count})" in capsys.readouterr().out


def test_a_report_is_written(shared, tmp_path, capsys):
    page = tmp_path / "report.html"
    command = ["report", *shared, "--right", "square,background", "--out", str(page), "--cells", "1", "--seed", "7"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{page} and {page.with_suffix('.json')}\n"
    data = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert data["reasons"]["right_regions"] == ["square", "background"]
    assert (data["settings"]["seed"], len(data["worst_cells"])) == (7, 0), "both regions are right"
    assert main(command) == 2, "the files are there"
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--view", "sum"], "known saved view, but got 'sum'. Did you mean `some`"),
        (["--tags", "tan"], "known tag, but got 'tan'. Did you mean `ten`"),
        (["--field", "saliency_afer", "--min-accuracy", "0"], "Did you mean `saliency_after`"),
        (["--max-share", "squares=0.5"], "Did you mean `square`"),
        (["--max-share", "square=5"], "to be a number from 0 to 1, but got 5.0"),
        (["--json", "/nowhere/at/all.json", "--min-accuracy", "0"], "No such file"),
        ([], "at least one limit"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(shared, capsys, change, message):
    assert main(["gate", *shared, *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("fiftyone-saliency: ")


def test_an_unknown_dataset_is_answered_with_the_nearest(dataset, capsys):
    assert main(["gate", dataset.name + "x", "--regions", "regions"]) == 2
    assert f"Did you mean `{dataset.name}`" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["gate"], ["gate", "x"], ["gate", "x", "--regions", "r", "--by", "cell"]])
def test_a_command_that_is_incomplete_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_crash_does_not_look_like_a_verdict(shared, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr("fiftyone_saliency.api.gate.reasons", broken)
    assert main(["gate", *shared, "--min-accuracy", "0"]) == 3
    assert "the database is gone" in capsys.readouterr().err
