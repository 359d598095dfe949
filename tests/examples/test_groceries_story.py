"""The groceries story on a few made-up photos: a network with real weights, no package fetched."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_saliency as fos
from examples.groceries import photos, scene, story
from examples.groceries.catalogue import CLASSES
from tests.examples.test_groceries import foods


@pytest.mark.timeout(900)
def test_the_story_measures_proves_and_judges(fo, tmp_path, monkeypatch, capsys):
    """Fifteen pictures prove no accuracy of 90 %, however right the model is: it must not be cleared."""
    props = scene.draw_props(np.random.default_rng(0), surfaces=2, tags=4)
    monkeypatch.setattr(scene, "draw_props", lambda rng: props)
    monkeypatch.setattr(photos, "write", lambda folder: photos.draw(folder, foods(8), photos.Drawing(60, 15)))
    try:
        dataset, report = story.tell(tmp_path)
    finally:
        fos.unregister_model("groceries")
    told = capsys.readouterr().out
    checks = {check["rule"]: check for check in report["gate"]["checks"]}

    assert len(dataset.exists("saliency")) == len(dataset) == 15
    assert report["accuracy"] > 0.6
    assert set(report["share_of_product_by_class"]) == set(CLASSES)
    assert sum(report["share"].values()) == pytest.approx(1, abs=0.01)
    assert report["share"][story.PRODUCT] > report["area"][story.PRODUCT]
    assert set(checks) == {"trust", *story.LIMITS}
    assert not report["cleared"]
    assert not checks["min_accuracy"]["passed"]
    assert f"NOT CLEARED: {next(c['text'] for c in checks.values() if not c['passed'])}" in story.show(report)
    for region in (story.PRODUCT, story.TAG):
        assert f"{region} hidden, answers that change" in told
    assert story.PRODUCT in (tmp_path / "report.html").read_text()
    assert "CLEARED: every limit is kept" in story.show(report | {"cleared": True})
    dataset.delete()
