"""Occlusion, ResNet-18, 169 windows: against the pure forward passes, and against captum's default call."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor

from benchmarks import _bench as bench
from fiftyone_saliency.core.types import PRECISIONS, Precision, Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.batch import ROWS, Batch
from fiftyone_saliency.runtime.worker import reduced

IMAGES, ROUNDS = 4, 3
# 13 × 13 windows of 32 pixels, 16 apart.
WINDOW, STRIDE, WINDOWS = 32, 16, 169


def measure(folder: Path) -> dict[str, Any]:
    """Measure ours and the forward passes in both number formats, and captum in its own."""
    model = bench.resnet(18)
    paths = bench.jpegs(folder / "jpegs", IMAGES)
    images = next(bench.batches(paths, model.transform)).to(memory_format=torch.channels_last)
    ours = get_method("occlusion", {"window": WINDOW / 224, "stride": STRIDE / 224})[1]
    batch = Batch(images, (Target(0, ""),) * IMAGES, (0,) * IMAGES)
    first = images[:1].contiguous()
    ways: dict[str, Any] = {}
    for precision in PRECISIONS:
        ways[f"ours, {precision}"] = partial(_ours, ours, model, batch, precision)
        ways[f"forward passes alone, {precision}"] = partial(_forwards, model, images, precision)
    ways["captum's default call"] = partial(_captum, model, first)
    for way in ways.values():
        way()
    turns = bench.take_turns(ways, ROUNDS)
    return {
        "images": IMAGES,
        "images of captum": 1,
        "windows": WINDOWS,
        "rounds": ROUNDS,
        "seconds per image": {
            way: round(turns.median(way) / (1 if way.startswith("captum") else IMAGES), 3) for way in ways
        },
        **{
            f"{precision}: {name}": value
            for precision in PRECISIONS
            for name, value in {
                "time against forward passes alone": round(
                    turns.ratio(f"ours, {precision}", f"forward passes alone, {precision}"), 3
                ),
                "times faster than captum's default call": round(
                    IMAGES * turns.ratio("captum's default call", f"ours, {precision}"), 2
                ),
            }.items()
        },
    }


def _ours(method: Any, model: Any, batch: Batch, precision: Precision) -> None:
    with reduced(model, precision):
        attribute(method, model, batch)


def _forwards(model: Any, images: Tensor, precision: Precision) -> None:
    """Run as many images as there are windows, and the images themselves, in full batches."""
    left = len(images) * (WINDOWS + 1)
    rows = images.repeat(-(-ROWS // len(images)), 1, 1, 1)[:ROWS].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), reduced(model, precision):
        while left > 0:
            model.module(rows[:left])
            left -= ROWS


def _captum(model: Any, image: Tensor) -> None:
    CaptumOcclusion(model.module).attribute(image, (3, WINDOW, WINDOW), (3, STRIDE, STRIDE), target=0)
