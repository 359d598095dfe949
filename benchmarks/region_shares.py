"""Shares of five regions over 1,000 stored maps and over 50,000: seconds, processor time, and peak resident memory.

Every sample has a map of its own, a PNG file of 112 × 84 pixels, and a box of its own; the regions are an expression
over it. Files and database are as warm as writing them left them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from bson import ObjectId

import fiftyone_saliency as fos
from benchmarks import _bench as bench
from examples._workspace import use_workspace

COUNTS, ROUNDS, SIZE = (1000, 50_000), 3, (84, 112)
REGIONS = {
    "head": "top(people.person, 0.3)",
    "badge": "left(bottom(people.person, 0.5), 0.5)",
    "uniform": "people.person - head - badge",
    "edge": "border(0.1) - people.person",
    "background": "rest",
}
BATCH = 1000


def measure(folder: Path) -> dict[str, Any]:
    """Measure each number of samples in a process of its own."""
    dataset = _make_dataset(folder / "maps", max(COUNTS))
    found: dict[int, dict[str, Any]] = {}
    for count in COUNTS:
        command = [sys.executable, "-m", "benchmarks.region_shares", dataset.name, str(count)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        found[count] = json.loads(answer.stdout.splitlines()[-1])
    dataset.delete()
    few, many = (found[count] for count in COUNTS)
    return {
        "regions": len(REGIONS),
        "rounds": ROUNDS,
        "seconds": {f"{count} samples": round(result["seconds"], 2) for count, result in found.items()},
        "processor seconds": {f"{count} samples": round(result["busy"], 2) for count, result in found.items()},
        "milliseconds per sample": round(1000 * many["seconds"] / max(COUNTS), 3),
        "peak resident memory, MiB": {f"{count} samples": result["peak"] for count, result in found.items()},
        "growth": round(many["peak"] / few["peak"] - 1, 3),
    }


def one(name: str, count: int) -> dict[str, Any]:
    """Measure the shares of that many samples and return the seconds and the peak in MiB."""
    samples = fo.load_dataset(name).limit(count)
    assert fos.region_shares(samples.limit(1), regions="outfit")["head"].n == 1  # noqa: S101
    started = time.process_time()
    turns = bench.take_turns({"shares": lambda: fos.region_shares(samples, regions="outfit")}, ROUNDS)
    busy = (time.process_time() - started) / ROUNDS
    return {"seconds": turns.median("shares"), "busy": busy, "peak": bench.peak_memory()}


def _make_dataset(folder: Path, count: int) -> fo.Dataset:
    """Make a dataset of samples without images, each with a map and a box; documents are written as dictionaries."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = bench.make_dataset([str(folder / f"{i}.jpg") for i in range(count)])
    dataset.persistent = True
    dataset.add_sample_field("saliency", fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    for name in ("vmin", "vmax"):
        dataset.add_sample_field(f"saliency.{name}", fo.FloatField)
    dataset.add_sample_field("people", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    ids = dataset.values("id")
    with ThreadPoolExecutor(bench.THREADS) as pool:
        for numbers in _batches(count):
            paths = list(pool.map(lambda i: _write_map(folder / f"{i}.png", i), numbers))
            keys = [ids[i] for i in numbers]
            maps = dict(zip(keys, map(_heatmap, paths), strict=True))
            dataset.set_values("saliency", maps, key_field="id", validate=False, expand_schema=False)
            boxes = dict(zip(keys, map(_person, numbers), strict=True))
            dataset.set_values("people", boxes, key_field="id", validate=False, expand_schema=False)
    fos.define_regions(dataset, "outfit", REGIONS)
    return dataset


def _batches(count: int) -> Iterator[range]:
    return (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _write_map(path: Path, seed: int) -> str:
    """Write a smooth map, as a coarse one looks when it is stored."""
    coarse = np.random.default_rng(seed).random((7, 9), np.float32) ** 2
    cv2.imwrite(str(path), (255 * cv2.resize(coarse, SIZE[::-1])).astype(np.uint8))
    return str(path)


def _heatmap(path: str) -> dict[str, Any]:
    return fo.Heatmap(map_path=path, range=[0, 255]).to_dict() | {"_id": ObjectId(), "vmin": 0.0, "vmax": 1.0}


def _person(seed: int) -> dict[str, Any]:
    x, y, width, height = np.random.default_rng(seed).uniform([0, 0, 0.2, 0.2], [0.5, 0.5, 0.6, 0.6]).tolist()
    return fo.Detections(detections=[fo.Detection(label="person", bounding_box=[x, y, width, height])]).to_dict()


if __name__ == "__main__":
    use_workspace()
    print(json.dumps(one(sys.argv[1], int(sys.argv[2]))))
