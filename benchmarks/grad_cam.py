"""Grad-CAM over a FiftyOne dataset, end to end: ours, bare forward passes, and two scripts with peers.

All read the same JPEG files and use the same network. Ours chooses its number format itself (``precision="auto"``);
the bar is the bare loop in that format. The scripts with peers get fewer files; all is compared per image.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from captum.attr import LayerGradCam
from PIL import Image
from pytorch_grad_cam import GradCAM

import fiftyone_saliency as fos
from benchmarks import _bench as bench

IMAGES, FEW, ROUNDS = 1024, 48, 2


def measure(folder: Path) -> dict[str, Any]:
    """Measure both networks."""
    paths = bench.jpegs(folder / "jpegs", IMAGES)
    dataset = bench.make_dataset(paths)
    found = {"ResNet-50": _network(dataset, paths, bench.resnet(), folder)}
    found["EfficientNet-Lite0"] = _network(dataset, paths, bench.lite0(), folder)
    dataset.delete()
    return {"images": IMAGES, "images of the peers": FEW, "rounds": ROUNDS, **found}


def _network(dataset: fo.Dataset, paths: list[str], model: Any, folder: Path) -> dict[str, Any]:
    few = dataset.limit(FEW)
    bench.forwards(paths[:FEW], model, bfloat16=False)
    long = bench.take_turns(
        {
            "compute_saliency": partial(_ours, dataset, model),
            "forward passes alone, float32": partial(bench.forwards, paths, model, bfloat16=False),
            "forward passes alone, bfloat16": partial(bench.forwards, paths, model, bfloat16=True),
        },
        ROUNDS,
    )
    short = bench.take_turns(
        {
            "pytorch-grad-cam, batches": partial(_pytorch_grad_cam, few, model, folder),
            "captum, one sample at a time": partial(_captum, few, model, folder),
        },
        ROUNDS,
    )
    run = fos.load_run(dataset, "saliency")
    fos.delete_run(dataset, "saliency")
    each = {name: 1000 * s / IMAGES for name, s in long.items()} | {name: 1000 * s / FEW for name, s in short.items()}
    ours, format_ = each["compute_saliency"], run.request.precision
    return {
        "milliseconds per image": {name: round(value, 2) for name, value in each.items()},
        "number format": f"{format_}: {run.details['precision']}",
        "speed against forward passes alone in that format": round(each[f"forward passes alone, {format_}"] / ours, 3),
        "times faster than pytorch-grad-cam, batches": round(each["pytorch-grad-cam, batches"] / ours, 2),
        "times faster than captum, one sample at a time": round(each["captum, one sample at a time"] / ours, 2),
    }


def _ours(dataset: fo.Dataset, model: Any) -> None:
    fos.compute_saliency(
        dataset,
        model,
        pred_field=None,
        batch_size=bench.BATCH,
        num_workers=bench.THREADS,
        progress=False,
        overwrite=True,
    )


def _pytorch_grad_cam(samples: Any, model: Any, folder: Path) -> None:
    """A straightforward script: read a batch, call the library, store."""
    paths, ids = samples.values(["filepath", "id"])
    model.module.requires_grad_(True)
    with GradCAM(model.module, [model.module.get_submodule(model.cam_layer)]) as cam:
        for start in range(0, len(paths), bench.BATCH):
            part = slice(start, start + bench.BATCH)
            batch = next(bench.batches(paths[part], model.transform))
            for sample_id, values in zip(ids[part], cam(batch, None), strict=True):
                _store(samples[sample_id], values, folder)


def _captum(samples: Any, model: Any, folder: Path) -> None:
    """What one writes in an afternoon: a loop over samples, captum, a PNG, ``sample.save()``."""
    cam = LayerGradCam(model.module, model.module.get_submodule(model.cam_layer))
    for sample in samples:
        image = model.transform(Image.open(sample.filepath).convert("RGB"))[None]
        target = int(model.module(image).argmax())
        values = cam.attribute(image, target=target, relu_attributions=True)[0, 0].detach().numpy()
        _store(sample, values / max(float(values.max()), 1e-12), folder)


def _store(sample: fo.Sample, values: np.ndarray, folder: Path) -> None:
    path = str(folder / f"{sample.id}.png")
    cv2.imwrite(path, np.uint8(255 * cv2.resize(values, (112, 84))))
    sample["by_hand"] = fo.Heatmap(map_path=path)
    sample.save()
