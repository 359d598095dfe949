"""The README's script, as a user would run it: their own pictures, their own weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

import fiftyone_saliency as fos
from scripts.write_tables import renewed

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture
def my_files(tmp_path, monkeypatch):
    import torch

    rng = np.random.default_rng(51)
    for label in ("cake", "chocolate", "tea"):
        (tmp_path / "my-pictures" / label).mkdir(parents=True)
        for i in range(3):
            picture = rng.integers(0, 256, (60, 80, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / "my-pictures" / label / f"{label}-{i}.png")
    torch.manual_seed(51)
    model = torchvision.models.resnet18(weights=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "my-model.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_script_runs_as_it_stands(fo, my_files):
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for line in script.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) <= 15

    exec(compile(script, "README.md", "exec"), {})

    dataset = fo.load_dataset("my-dataset")
    exported = fos.load_export(my_files / "retraining")
    assert len(dataset.exists("saliency")) == 9
    assert exported.values("ground_truth.label") == dataset.match_tags("enrich").values("ground_truth.label") != []
    exported.delete()
    dataset.delete()


def test_tables_name_every_verb():
    text = README.read_text(encoding="utf-8")

    verbs = {name for name in fos.__all__ if name.islower() and not name.startswith("_")}

    assert {name for name in verbs if f"`{name}`" not in text} == set()


def test_tables_of_methods_and_models_are_those_of_the_registries():
    text = README.read_text(encoding="utf-8")

    assert renewed(text) == text, "run `make tables`"
    assert {name for name, info in fos.list_methods().items() if not info.hidden} == set(
        re.findall(r"^\| `(\w+)` \| \[", text, flags=re.M)
    )
