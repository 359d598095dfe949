"""Grad-CAM over a FiftyOne dataset, end to end: ours, bare forward passes, and two scripts with peers.

All read the same JPEG files and use the same network. Ours chooses its number format itself (``precision="auto"``);
the bare loop runs in the faster of float32 and bfloat16. The scripts with peers get fewer files and are compared per
image: with ours as it comes, and with ours in their own format on the same files.
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

IMAGES, FEW, ROUNDS = 1024, 64, 3
OURS, BARE = "compute_saliency", "forward passes alone"
PYTORCH_GRAD_CAM, CAPTUM = "pytorch-grad-cam, batches", "captum, one sample at a time"


def measure(folder: Path) -> dict[str, Any]:
    """Measure both networks."""
    paths = bench.jpegs(folder / "jpegs", IMAGES)
    dataset = bench.make_dataset(paths)
    found = {"ResNet-50": _network(dataset, paths, bench.resnet(), folder)}
    found["EfficientNet-Lite0"] = _network(dataset, paths, bench.lite0(), folder)
    dataset.delete()
    return {"images": IMAGES, "images of the peers": FEW, "rounds": ROUNDS, **found}


def _network(dataset: fo.Dataset, paths: list[str], model: Any, folder: Path) -> dict[str, Any]:
    formats = {narrow: partial(bench.forwards, paths[:FEW], model, bfloat16=narrow) for narrow in (False, True)}
    tried = bench.take_turns(formats, ROUNDS)
    best = min(formats, key=tried.median)
    runs: list[Any] = []
    long = bench.take_turns(
        {
            OURS: lambda: runs.append(_ours(dataset, model)),
            BARE: partial(bench.forwards, paths, model, bfloat16=best),
        },
        ROUNDS,
        partial(bench.forget, dataset),
    )
    few = dataset.limit(FEW)
    short = bench.take_turns(
        {
            f"{OURS}, float32": partial(_ours, few, model, precision="float32", overwrite=True),
            PYTORCH_GRAD_CAM: partial(_pytorch_grad_cam, few, model, folder),
            CAPTUM: partial(_captum, few, model, folder),
        },
        ROUNDS,
    )
    bench.forget(dataset)
    each = {way: 1000 * turns.median(way) / n for turns, n in ((long, IMAGES), (short, FEW)) for way in turns.seconds}
    return {
        "milliseconds per image": {way: round(value, 2) for way, value in each.items()},
        "number format of the forward passes": "bfloat16" if best else "float32",
        "number format of compute_saliency": f"{runs[-1].request.precision}: {runs[-1].details['precision']}",
        "speed against forward passes alone": round(long.ratio(BARE, OURS), 3),
        **{f"times faster than {peer}": round(each[peer] / each[OURS], 2) for peer in (PYTORCH_GRAD_CAM, CAPTUM)},
        **{
            f"times faster than {peer}, both in float32": round(short.ratio(peer, f"{OURS}, float32"), 2)
            for peer in (PYTORCH_GRAD_CAM, CAPTUM)
        },
    }


def _ours(samples: Any, model: Any, **options: Any) -> Any:
    return fos.compute_saliency(
        samples,
        model,
        **options,
        pred_field=None,
        batch_size=bench.BATCH,
        num_workers=bench.THREADS,
        progress=False,
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
