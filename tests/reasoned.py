"""A dataset whose reasons are known: what the tests of the report, the gate and the command line share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.models_for_tests import CLASSES, CROP, ColourNet, add_pictures

EVIL = '<script>alert("x")</script> & <b>"blue"'
QUIET = {"progress": False, "num_workers": 1}


def make(pictures: list[str]) -> Any:
    """Return the twelve pictures with two runs and regions "square" and "background".

    `predictions` says red of all (runs in `saliency`), `after` the picture's own colour (run in `saliency_after`), so
    that all evidence lies on the square, but for the blur of the coarse map. Only the four red pictures have evidence
    for red. The truths are the pictures' colours, but one is a text that would break out of a page.
    """
    import fiftyone as fo

    import fiftyone_saliency as fos

    seen = [CLASSES[i % 3] for i in range(12)]
    dataset = add_pictures(fo.Dataset(), pictures, [EVIL if i == 3 else colour for i, colour in enumerate(seen)])
    for field, labels in {"predictions": ["red"] * 12, "after": seen}.items():
        dataset.set_values(field, [fo.Classification(label=label) for label in labels])
    dataset.set_values("regions", [fo.Segmentation(mask=_square(i)) for i in range(12)])
    dataset.mask_targets = {"regions": {1: "square"}}
    dataset.save()
    model = fos.load_model(ColourNet(), CLASSES, CROP)
    fos.compute_saliency(dataset, model, **QUIET)
    fos.compute_saliency(dataset, model, "saliency_after", pred_field="after", **QUIET)
    return dataset


def trust(dataset: Any, field: str, passed: bool | None) -> str:
    """Record that a run's maps passed or failed a check (None: nobody checked them); return the sentence for it."""
    from fiftyone_saliency.core.statistics import summarise
    from fiftyone_saliency.core.trust import Trust, TrustCheck
    from fiftyone_saliency.dataset import runs

    run = runs.load(dataset, field)
    reason = f"The maps {'depend' if passed else 'do not depend'} on the weights."
    check = TrustCheck("randomisation", summarise([0.1, 0.2]), passed, reason)
    runs.save(dataset, replace(run, trust=None if passed is None else Trust(run.key, (check,), 51)))
    return reason


def _square(i: int) -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    mask[8 * (i % 4) : 8 * (i % 4) + 12, 12 * (i % 5) : 12 * (i % 5) + 12] = 1
    return mask
