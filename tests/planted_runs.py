"""Stored runs whose shares of evidence and predictions are known, without a network: what comparisons are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiftyone_saliency.core.types import SaliencyMap, SaliencyRequest, Target
from fiftyone_saliency.dataset import runs, store
from fiftyone_saliency.dataset.runs import SaliencyRun
from fiftyone_saliency.dataset.store import HeatmapStore
from tests.models_for_tests import add_pictures

COUNT = 40
SIDES = {"regions": "regions", "should_fall": ["head"], "should_rise": ["uniform"]}


def tell_stories(pictures: Sequence[str]) -> Any:
    """Return a dataset of six runs: "biased" and what became of it; all truths are "a".

    Head, uniform and background cover a quarter, a quarter and half of each picture.
    """
    import fiftyone as fo

    dataset = add_pictures(fo.Dataset(), [pictures[i % 12] for i in range(COUNT)], ["a"] * COUNT)
    mask = np.repeat(np.array([1, 2, 0, 0], np.uint8), 2)[:, None].repeat(8, axis=1)
    dataset.set_values("regions", [fo.Segmentation(mask=mask) for _ in range(COUNT)])
    dataset.mask_targets = {"regions": {1: "head", 2: "uniform"}}
    dataset.save()
    plant(dataset, "biased", 0.7, right=4)
    plant(dataset, "again", 0.71, right=4)
    plant(dataset, "enriched", 0.15, right=COUNT, model="after")
    plant(dataset, "accurate", 0.705, right=COUNT, model="after")
    plant(dataset, "half", 0.52, right=COUNT, model="after")
    plant(dataset, "noisy", 0.6, right=4)
    return dataset


def plant(dataset: Any, field: str, head: float, right: int, model: str = "before") -> None:
    """Store a run with this mean share on the head, a tenth on the background, and the rest on the uniform.

    Shares vary by up to 0.04 from sample to sample. The first ``right`` samples are predicted right.
    """
    import fiftyone as fo

    dataset.set_values(f"labels_{field}", [fo.Classification(label="a" if i < right else "b") for i in range(COUNT)])
    request = SaliencyRequest(field, "grad_cam", {}, model, pred_field=f"labels_{field}")
    heatmaps = HeatmapStore(dataset, request, store.default_folder(dataset, request.key))
    heatmaps.prepare()
    maps = []
    for i, sample_id in enumerate(dataset.values("id")):
        share = head + 0.02 * (i % 5 - 2)
        rows = np.array([share, 0.9 - share, 0.05, 0.05], np.float32).repeat(2)
        maps.append(SaliencyMap(sample_id, Target(0, "a"), rows[:, None].repeat(8, axis=1), 1.0))
    heatmaps.write(maps)
    started = runs.now()
    runs.save(dataset, SaliencyRun(request.key, request, model, str(heatmaps.folder), "completed", started=started))
