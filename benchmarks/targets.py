"""Ten targets against one, ResNet-50: the trunk runs once per image, only the head is differentiated per target."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import fiftyone as fo

import fiftyone_saliency as fos
from benchmarks import _bench as bench

IMAGES, ROUNDS = 256, 3


def measure(folder: Path) -> dict[str, Any]:
    """Measure one target and ten."""
    dataset, model = bench.make_dataset(bench.jpegs(folder / "jpegs", IMAGES)), bench.resnet()
    _explain(dataset, model, 1)
    bench.forget(dataset)
    turns = bench.take_turns(
        {f"{n} targets": partial(_explain, dataset, model, n) for n in (1, 10)}, ROUNDS, partial(bench.forget, dataset)
    )
    dataset.delete()
    return {
        "images": IMAGES,
        "rounds": ROUNDS,
        "milliseconds per image": {way: round(1000 * turns.median(way) / IMAGES, 2) for way in turns.seconds},
        "ten targets against one": round(turns.ratio("10 targets", "1 targets"), 3),
    }


def _explain(dataset: fo.Dataset, model: Any, count: int) -> None:
    targets = {f"top_{k}": f"top-{k}" for k in range(1, count + 1)}
    fos.compute_saliency_targets(dataset, model, targets, batch_size=bench.BATCH, progress=False)
