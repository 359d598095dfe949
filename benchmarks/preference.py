"""How often does the margin of a preference hold: on maps that prefer nothing, and on networks whose reasons are known?

Per bed and method, the share of maps that prefer the object (the right region), that prefer another region, and that
prefer none, by three rules: the one in use; any excess over chance, as it was; and the quantile of shifted copies
without a least effect. Smooth random maps have nothing to do with their object. The tint networks decide by a tint of
the whole picture, whatever the object is; the cue networks by an object and, the stronger rho, by a coloured patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import fiftyone_saliency as fos
from benchmarks import _cues as cues
from fiftyone_saliency.core.maps import dequantise, frame_size, place, quantise
from fiftyone_saliency.core.preference import LEAST, Measured, chance_corrected, preferred
from fiftyone_saliency.core.region_labels import LabelMask
from fiftyone_saliency.core.region_spec import Labelled, RegionSpec
from fiftyone_saliency.core.regions import draw_regions
from fiftyone_saliency.core.types import Target
from fiftyone_saliency.methods._attribute import attribute
from fiftyone_saliency.methods._registry import get_method
from fiftyone_saliency.models.batch import Batch

TRAIN, TEST, RANDOM, SIDE = 2000, 240, 300, 64
METHODS = ("grad_cam", "integrated_gradients")
AREAS, SMOOTHNESS = (0.1, 0.35), (2, 4, 8, 16)
TINTED_OBJECTS = (12, 19, 25)
Row = dict[str, Measured]


def measure(folder: Path) -> dict[str, Any]:
    """Draw, train, explain, and count preferences."""
    del folder
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    found: dict[str, dict[str, Any]] = {}
    for area in AREAS:
        for sigma in SMOOTHNESS:
            found[f"random, object {area:g}, smoothness {sigma} of {SIDE}"] = _counted(list(_random(area, sigma)))
    for rho in (0.0, 0.9, 1.0):
        network = cues.train(cues.draw(TRAIN, rho, 0), 0)
        found |= _explained(f"cue, rho {rho:g}", network, cues.draw(TEST, 0.0, 9999), cues.REGIONS)
    for size in TINTED_OBJECTS:
        network = cues.train(_tinted(TRAIN, size, 1), 0)
        found |= _explained(f"tint, object {size} of {cues.SIZE}", network, _tinted(TEST, size, 2), {1: "object"})
    torch.set_num_threads(threads)
    return {"maps per network": TEST, "random maps": RANDOM, "least corrected share": LEAST, "beds": found}


def _counted(rows: Sequence[Row]) -> dict[str, Any]:
    """Return mean share and area of the object, and how often it is preferred by each rule."""
    names = list(rows[0])
    rules: dict[str, Callable[[Row], str | None]] = {
        "in use": lambda row: _name(names, preferred([[row[name] for name in names]])[0]),
        "any excess": lambda row: _best(row, lambda _, value: value > 1e-9),
        "shifts alone": lambda row: _best(row, lambda one, value: value > 0 and one.share >= one.reach - 1e-3),
    }
    defined = [row for row in rows if row["object"].share is not None]
    objects = [row["object"] for row in defined]
    counts: dict[str, Any] = {"share": _mean(o.share for o in objects), "area": _mean(o.area for o in objects)}
    for name, rule in rules.items():
        states = [rule(row) for row in defined]
        none, right = states.count(None), states.count("object")
        counts[name] = {
            "object": round(right / len(states), 3),
            "other": round((len(states) - none - right) / len(states), 3),
            "none": round(none / len(states), 3),
        }
    return counts


def _best(row: Row, is_preferred: Callable[[Any, float], bool]) -> str | None:
    values = {name: chance_corrected(one.share, one.area) for name, one in row.items()}
    kept = {name: value for name, value in values.items() if value is not None and is_preferred(row[name], value)}
    return max(kept, key=lambda name: kept[name]) if kept else None


def _name(names: Sequence[str], index: int | None) -> str | None:
    return None if index is None else names[index]


def _random(area: float, sigma: float) -> Iterator[Row]:
    """Yield what smooth random maps put on a square that lies at a random place."""
    rng = np.random.default_rng(round(100 * area) + sigma)
    side = round(SIDE * area**0.5)
    for _ in range(RANDOM):
        noise = cv2.GaussianBlur(rng.normal(size=(3 * SIDE, 3 * SIDE)), (0, 0), sigma)[SIDE : 2 * SIDE, SIDE : 2 * SIDE]
        mask = np.zeros((SIDE, SIDE), np.uint8)
        y, x = rng.integers(0, SIDE - side + 1, 2)
        mask[y : y + side, x : x + side] = 1
        yield _measured(np.maximum(noise, 0).astype(np.float32), mask, {1: "object"})


def _explained(
    bed: str, network: torch.nn.Module, pictures: cues.Pictures, regions: dict[int, str]
) -> dict[str, dict[str, Any]]:
    """Return the counts of each method's maps of a network."""
    model = fos.load_model(network, cues.CLASSES, cues.transform())
    found = {}
    for name in METHODS:
        maps = _maps(model, pictures.images, name)
        rows = [_measured(values, mask, regions) for values, mask in zip(maps, pictures.masks, strict=True)]
        found[f"{bed}, {name}"] = _counted(rows)
    return found


def _maps(model: Any, images: NDArray[np.uint8], name: str) -> Iterator[NDArray[np.float32]]:
    """Yield the maps of the predicted classes as they are stored."""
    _, method = get_method(name)
    for start in range(0, len(images), 40):
        inputs, placements = zip(*(model.prepare(Image.fromarray(i)) for i in images[start : start + 40]), strict=True)
        batch = torch.stack(inputs)
        with model.explaining():
            with torch.no_grad():
                answers = model.logits(batch).argmax(dim=1).tolist()
            targets = tuple(Target(answer, "") for answer in answers)
            values = attribute(method, model, Batch(batch, targets, tuple(range(len(batch))))).values.numpy()
        for one, placement in zip(values, placements, strict=True):
            size = frame_size(one.shape, placement, (cues.SIZE, cues.SIZE))
            yield dequantise(*quantise(np.maximum(place(one, placement, size), 0), "positive"))


def _measured(values: NDArray[np.float32], mask: NDArray[np.uint8], regions: dict[int, str]) -> Row:
    names = {0: "background", **regions}
    spec = RegionSpec({name: Labelled("mask", name) for name in names.values()})
    found = draw_regions(spec, {"mask": LabelMask(mask, names)}, mask.shape).shares(values)
    return {name: one for name, one in found.items() if one is not None}


def _tinted(count: int, size: int, seed: int) -> cues.Pictures:
    """Draw pictures whose colour cast names the class; the lighter object says nothing of it."""
    rng = np.random.default_rng(seed)
    casts = np.array([[25, -5, -10], [-10, 25, -5], [-5, -10, 25], [15, 15, -25]])
    labels = rng.integers(0, len(cues.CLASSES), count)
    images = np.empty((count, cues.SIZE, cues.SIZE, 3), np.uint8)
    masks = np.zeros((count, cues.SIZE, cues.SIZE), np.uint8)
    for image, mask, label in zip(images, masks, labels, strict=True):
        ground = cv2.GaussianBlur(rng.normal(0, 1, mask.shape), (0, 0), 2)
        y, x = rng.integers(0, cues.SIZE - size + 1, 2)
        cv2.circle(mask, (int(x) + size // 2, int(y) + size // 2), size // 2, 1, -1)
        grey = 110 + 25 * ground / ground.std() + mask * rng.uniform(25, 60)
        image[:] = np.clip(grey[:, :, None] + casts[label] + rng.normal(0, 12, image.shape), 0, 255)
    return cues.Pictures(images, labels, masks)


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 3)
