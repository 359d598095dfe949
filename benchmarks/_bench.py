"""What the measurements share: pictures, networks, and ways that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import ResNet50_Weights, resnet18, resnet50

import fiftyone_saliency as fos

THREADS = 2
BATCH = 16
NAMES = [f"class {i}" for i in range(1000)]


@dataclass(frozen=True)
class Turns:
    """Seconds that each way took, round by round."""

    seconds: Mapping[Any, Sequence[float]]

    def median(self, way: Any) -> float:
        """Return the median seconds of one way."""
        return statistics.median(self.seconds[way])

    def ratio(self, one: Any, other: Any) -> float:
        """Return the median over the rounds of one way's seconds divided by the other's.

        A round's turns follow each other closely, so that a machine whose speed drifts does so for both.
        """
        return statistics.median(a / b for a, b in zip(self.seconds[one], self.seconds[other], strict=True))


def take_turns(
    ways: Mapping[Any, Callable[[], object]], rounds: int, after: Callable[[], object] = lambda: None
) -> Turns:
    """Time each way once per round, in turns; ``after`` is not timed."""
    seconds: dict[Any, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
            after()
    return Turns(seconds)


def peak_memory() -> int:
    """Return the peak resident memory of this process in MiB; what `getrusage` says includes who started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def jpegs(folder: Path, count: int) -> list[str]:
    """Write JPEG files of 500 × 375 pixels; they look like photos to a decoder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        if not path.is_file():
            noise = np.random.default_rng(i).integers(0, 256, (375, 500, 3), np.uint8)
            smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
            Image.fromarray(smooth).save(path, quality=90)
    return [str(path) for path in paths]


def make_dataset(paths: list[str]) -> fo.Dataset:
    """Return a dataset of these files."""
    dataset = fo.Dataset("benchmark", overwrite=True)
    dataset.add_samples([fo.Sample(filepath=path) for path in paths], progress=False)
    return dataset


def forget(dataset: fo.Dataset) -> None:
    """Remove what was computed, so that every turn begins on the same dataset."""
    for run in fos.list_runs(dataset):
        fos.delete_run(dataset, run.key)
    for field in list(dataset.get_field_schema(embedded_doc_type=fo.Heatmap)):
        dataset.delete_sample_field(field)


def resnet(depth: int = 50) -> Any:
    """Return a ResNet with drawn weights, whose speed is that of a trained one."""
    with torch.random.fork_rng():
        torch.manual_seed(51)
        network = (resnet50 if depth == 50 else resnet18)(num_classes=1000).eval()
    return fos.load_model(network, NAMES, ResNet50_Weights.IMAGENET1K_V1.transforms())


def lite0() -> Any:
    """Return EfficientNet-Lite0 with its ImageNet weights."""
    from examples.groceries import classifier

    return fos.load_model(classifier.build(None).eval(), NAMES, classifier.build_transform(), classifier.CAM_LAYER)


def batches(paths: list[str], transform: Callable[[Image.Image], Tensor]) -> Iterator[Tensor]:
    """Read and prepare the files in batches with `THREADS` threads, one batch ahead."""
    chunks = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    with ThreadPoolExecutor(THREADS) as pool:
        ahead = [pool.submit(_read, path, transform) for path in chunks[0]]
        for following in [*chunks[1:], []]:
            current, ahead = ahead, [pool.submit(_read, path, transform) for path in following]
            yield torch.stack([future.result() for future in current])


def forwards(paths: list[str], model: Any, bfloat16: bool) -> None:
    """Read the files and run the network, channels-last, and nothing else."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for batch in batches(paths, model.transform):
            model.module(batch.to(memory_format=torch.channels_last))


def _read(path: str, transform: Callable[[Image.Image], Tensor]) -> Tensor:
    return transform(Image.open(path).convert("RGB"))
