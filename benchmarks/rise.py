"""RISE, ResNet-18, 256 and 4,096 masks: time against the pure forward passes, and peak memory of both."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import _bench as bench
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.batch import ROWS, Batch

IMAGES = 2
ROUNDS = {256: 3, 4096: 1}


def measure(folder: Path) -> dict[str, Any]:
    """Measure each number of masks in a process of its own, so that each has its own peak."""
    found: dict[str, Any] = {}
    for masks in ROUNDS:
        command = [sys.executable, "-m", "benchmarks.rise", str(folder), str(masks)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        found[f"{masks} masks"] = json.loads(answer.stdout.splitlines()[-1])
    peaks = [found[f"{masks} masks"]["peak memory, MiB"] for masks in ROUNDS]
    return {"images": IMAGES, **found, "peak memory of 4096 masks against 256": round(peaks[1] / peaks[0], 3)}


def one(folder: Path, masks: int) -> dict[str, Any]:
    """Measure one number of masks."""
    model = bench.resnet(18)
    paths = bench.jpegs(folder / "jpegs", IMAGES)
    images = next(bench.batches(paths, model.transform)).to(memory_format=torch.channels_last)
    batch = Batch(images, (Target(0, ""),) * IMAGES, (1, 2))
    rise = get_method("rise", {"masks": masks})[1]
    turns = bench.take_turns(
        {
            "ours": partial(attribute, rise, model, batch),
            "forward passes alone": partial(_forwards, model, images, masks),
        },
        ROUNDS[masks],
    )
    return {
        "seconds per image": {way: round(turns.median(way) / IMAGES, 3) for way in turns.seconds},
        "time against forward passes alone": round(turns.ratio("ours", "forward passes alone"), 3),
        "peak memory, MiB": bench.peak_memory(),
    }


def _forwards(model: Any, images: torch.Tensor, masks: int) -> None:
    rows = images.repeat(-(-ROWS // len(images)), 1, 1, 1)[:ROWS].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(len(images) * masks // ROWS):
            model.module(rows)


if __name__ == "__main__":
    print(json.dumps(one(Path(sys.argv[1]), int(sys.argv[2]))))
