"""The second pass of a model: the same run on pictures saved once more, and nothing left behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

import fiftyone_saliency as fos
from fiftyone_saliency.api.second_pass import second_pass
from fiftyone_saliency.core.errors import ArgumentError, ModelError
from fiftyone_saliency.dataset.regions import read_evidence
from tests.models_for_tests import BlindNet, state_of


@pytest.fixture
def explained(fo, colours, model):
    """The twelve pictures with their bright square as a region, explained."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:24] = 1
    colours.set_values("regions", [fo.Segmentation(mask=mask) for _ in range(12)])
    colours.mask_targets = {"regions": {1: "top"}}
    colours.save()
    fos.compute_saliency(colours, model, progress=False)
    return colours


def test_second_pass_differs_a_little_and_leaves_everything_as_it_was(fo, explained, model):
    before, datasets = state_of(explained), set(fo.list_datasets())
    folders = set((Path(fo.config.default_dataset_dir) / "saliency").iterdir())

    table = second_pass(explained, model, regions="regions", quality=20)

    first = read_evidence(explained, "saliency", "regions", pred_field="predictions")
    assert (table.field, list(table.ids)) == ("saliency", list(first.ids))
    assert list(table.predictions) == list(first.predictions)
    gaps = [abs(a - b) for a, b in zip(table.shares["top"], first.shares["top"], strict=True) if None not in (a, b)]
    assert len(gaps) == 12
    assert 0 < max(gaps) < 0.1
    assert state_of(explained) == before
    assert set(fo.list_datasets()) == datasets
    assert set((Path(fo.config.default_dataset_dir) / "saliency").iterdir()) == folders
    assert list(Path(tempfile.gettempdir()).glob("fiftyone-saliency-*.jpg")) == []


def test_second_pass_of_a_view_is_the_noise_of_a_comparison(explained, model):
    fos.compute_saliency(explained, model, "other", seed=7, progress=False)
    view = explained.limit(9)
    table = second_pass(view, model, regions="regions")
    comparison = fos.compare_runs(view, "saliency", "other", regions="regions", should_rise=["top"], noise=table)
    assert list(table.ids) == view.values("id")
    assert comparison.noise.source == "a second pass beside 'saliency'"
    assert 0 < comparison.noise.reason < 0.05


def test_another_model_and_a_run_without_predictions_are_refused(explained, model):
    blind = fos.load_model(BlindNet(), model.classes, model.transform)
    with pytest.raises(ModelError, match="Expected the model of run"):
        second_pass(explained, blind, regions="regions")
    fos.compute_saliency(explained, model, "blue", target="blue", progress=False)
    with pytest.raises(ArgumentError, match="its target is 'blue'"):
        second_pass(explained, model, "blue", regions="regions")
    with pytest.raises(ArgumentError, match="`quality`"):
        second_pass(explained, model, regions="regions", quality=99)
