"""Grad-CAM over a FiftyOne dataset, end to end: ours, a bare forward loop, and a script with captum per sample.

All three read the same JPEG files and use the same network (EfficientNet-Lite0, its ImageNet weights). They take
turns, several rounds, and the ratios are of the medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
import torch
from captum.attr import LayerGradCam
from PIL import Image

import fiftyone_saliency as fos
from examples.groceries import classifier

IMAGES, ROUNDS, BATCH, THREADS = 128, 3, 16, 2


def measure(folder: Path) -> dict[str, Any]:
    """Measure all three and return seconds per image and ratios."""
    dataset, model = _dataset(folder), _model()
    ways: dict[str, Callable[[], None]] = {
        "compute_saliency": lambda: _ours(dataset, model),
        "forward passes alone": lambda: _forwards(dataset, model),
        "captum, one sample at a time": lambda: _captum(dataset, model, folder),
    }
    _forwards(dataset, model)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ours = median["compute_saliency"]
    dataset.delete()
    return {
        "images": IMAGES,
        "rounds": ROUNDS,
        "milliseconds per image": {name: round(1000 * value / IMAGES, 2) for name, value in median.items()},
        "speed against forward passes alone": round(median["forward passes alone"] / ours, 3),
        "times faster than captum, one sample at a time": round(median["captum, one sample at a time"] / ours, 3),
    }


def _ours(dataset: fo.Dataset, model: Any) -> None:
    fos.compute_saliency(
        dataset,
        model,
        pred_field=None,
        batch_size=BATCH,
        num_workers=THREADS,
        progress=False,
        overwrite=dataset.get_field("saliency") is not None,
    )


def _forwards(dataset: fo.Dataset, model: Any) -> None:
    paths = dataset.values("filepath")
    with ThreadPoolExecutor(THREADS) as pool, torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            images = list(pool.map(lambda path: model.transform(Image.open(path)), paths[start : start + BATCH]))
            model.module(torch.stack(images))


def _captum(dataset: fo.Dataset, model: Any, folder: Path) -> None:
    """What one writes in an afternoon: a loop over samples, captum, a PNG, ``sample.save()``."""
    cam = LayerGradCam(model.module, model.module.get_submodule(model.layer))
    for sample in dataset:
        image = model.transform(Image.open(sample.filepath))[None].requires_grad_(True)
        target = int(model.module(image).argmax())
        values = cam.attribute(image, target=target, relu_attributions=True)[0, 0].detach().numpy()
        values = cv2.resize(values, (112, 84))
        path = str(folder / f"{sample.id}.png")
        cv2.imwrite(path, np.uint8(255 * values / max(float(values.max()), 1e-12)))
        sample["by_hand"] = fo.Heatmap(map_path=path)
        sample.save()


def _model() -> Any:
    network = classifier.build(None).eval()
    names = [f"class {i}" for i in range(1000)]
    return fos.load_model(network, names, classifier.build_transform(), classifier.CAM_LAYER)


def _dataset(folder: Path) -> fo.Dataset:
    rng = np.random.default_rng(51)
    samples = []
    for i in range(IMAGES):
        blurred = cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 4)
        path = folder / f"{i:04d}.jpg"
        Image.fromarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX)).save(path, quality=90)
        samples.append(fo.Sample(filepath=str(path)))
    dataset = fo.Dataset("benchmark", overwrite=True)
    dataset.add_samples(samples, progress=False)
    return dataset
