"""CONTRIBUTING's example is a whole method: put into the folder, it is registered, explains and passes the suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# The folder of methods, one file longer.
PLUGIN = """
import fiftyone_saliency.methods
fiftyone_saliency.methods.__path__.append({folder!r})
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (method,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    added = tmp_path / "added"
    added.mkdir()
    (added / "squared_gradient.py").write_text(method)
    (tmp_path / "one_more_method.py").write_text(PLUGIN.format(folder=str(added)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPOSITORY)])}


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_method_is_listed_with_its_parameter(environment):
    script = (
        "import one_more_method, fiftyone_saliency as fos; info = fos.list_methods()['squared_gradient']; "
        "print(info.title, info.parameters)"
    )
    assert run(environment, "-c", script).strip() == "Squared gradient {'power': (<class 'float'>, 2.0)}"


def test_the_method_passes_the_suite_of_all_methods(environment):
    suite = "tests/methods/test_conformance.py"
    said = run(environment, "-m", "pytest", "-q", "-p", "one_more_method", "-k", "squared_gradient", suite)
    passed = re.search(r"(\d+) passed", said)
    assert passed
    assert int(passed[1]) >= 20
