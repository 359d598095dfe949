"""Occlusion, ResNet-18, 169 windows: against the pure forward passes, and against captum's default call."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor

from benchmarks import _bench as bench
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.batch import ROWS, Batch

IMAGES, FEW, ROUNDS = 8, 1, 3
# 13 × 13 windows of 32 pixels, 16 apart.
WINDOW, STRIDE, WINDOWS = 32, 16, 169


def measure(folder: Path) -> dict[str, Any]:
    """Measure all three."""
    model = bench.resnet(18)
    paths = bench.jpegs(folder / "jpegs", IMAGES)
    images = next(bench.batches(paths, model.transform)).to(memory_format=torch.channels_last)
    ours = get_method("occlusion", {"window": WINDOW / 224, "stride": STRIDE / 224})[1]
    batch = Batch(images, (Target(0, ""),) * IMAGES, (0,) * IMAGES)
    seconds = bench.take_turns(
        {"ours": partial(attribute, ours, model, batch), "forward passes alone": partial(_forwards, model, images)},
        ROUNDS,
    )
    captum = bench.take_turns({"captum's default call": partial(_captum, model, images[:FEW].contiguous())}, ROUNDS)
    each = {n: s / IMAGES for n, s in seconds.items()} | {n: s / FEW for n, s in captum.items()}
    return {
        "images": IMAGES,
        "windows": WINDOWS,
        "rounds": ROUNDS,
        "seconds per image": {name: round(s, 3) for name, s in each.items()},
        "time against forward passes alone": round(each["ours"] / each["forward passes alone"], 3),
        "times faster than captum's default call": round(each["captum's default call"] / each["ours"], 2),
    }


def _forwards(model: Any, images: Tensor) -> None:
    """Run as many images as there are windows, and the images themselves, in full batches."""
    left = len(images) * (WINDOWS + 1)
    rows = images.repeat(-(-ROWS // len(images)), 1, 1, 1)[:ROWS].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        while left > 0:
            model.module(rows[:left])
            left -= ROWS


def _captum(model: Any, images: Tensor) -> None:
    CaptumOcclusion(model.module).attribute(images, (3, WINDOW, WINDOW), (3, STRIDE, STRIDE), target=0)
