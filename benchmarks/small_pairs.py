"""Are real fixes called fixed where only 140 pictures tell, and nothing else?

Two beds: drawn pictures with a coloured patch (`_cues`), and scikit-learn's digits with one in the corner. A pair is a
network that was trained with a patch that betrays the class, and one that came after: trained with patches of random
colours (fixed), trained again with the same patches, or with patches that betray the class in nine of ten pictures
(neither is fixed). All are measured on 140 pictures whose patch says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks import _cues as cues
from fiftyone_saliency.core.comparison import Sides, accuracy_change, balance, right_reasons, room
from fiftyone_saliency.core.evidence import Evidence
from fiftyone_saliency.core.statistics import difference, summarise
from fiftyone_saliency.core.verdict import (
    GOOD_ACCURACY,
    GOOD_REASON,
    MIN_EFFECT,
    SLACK,
    Axis,
    Verdict,
    least_effect,
)
from fiftyone_saliency.metrics.share import area_share, evidence_share

TRAIN, TEST, PAIRS = 2000, 140, 20
NAMES = {1: "object", 2: "cue", 0: "background"}
SIDES = {
    "cue should fall": Sides(("cue",), ()),
    "cue should fall, object rise": Sides(("cue",), ("object",)),
}
# Offset of the seeds that the same training takes the second time.
_AGAIN = 1000

Table = tuple[Evidence, list[float | None]]


def measure(_: Path) -> dict[str, Any]:
    """Train, measure, and judge all pairs of both beds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    digits = _Digits()
    beds: dict[str, Callable[[float, int], Table]] = {"drawn pictures": _drawn, "digits": digits.table}
    found = {name: _judged(_tables(table)) for name, table in beds.items()}
    torch.set_num_threads(threads)
    return {"pictures to measure on": TEST, "beds": found}


def _tables(table: Callable[[float, int], Table]) -> dict[str, list[Table]]:
    """Measure all networks of a bed: twenty with the cue, twenty without, and ten of each control."""
    return {
        "before": [table(1.0, seed) for seed in range(PAIRS)],
        "fixed": [table(0.0, seed) for seed in range(PAIRS)],
        "trained again": [table(1.0, _AGAIN + seed) for seed in range(PAIRS // 2)],
        "cue in nine of ten": [table(0.9, seed) for seed in range(PAIRS // 2)],
    }


def _judged(tables: Mapping[str, Sequence[Table]]) -> dict[str, Any]:
    before = tables["before"]
    after = {name: own for name, own in tables.items() if name != "before"}
    found: dict[str, Any] = {
        "mean accuracy": {name: _mean([value for _, right in own for value in right]) for name, own in tables.items()},
        "mean evidence on the cue": {
            name: _mean([v for e, _ in own for v in e.shares["cue"]]) for name, own in tables.items()
        },
    }
    for question, sides in SIDES.items():
        words = {
            name: Counter(str(_verdict(*pair, sides).word) for pair in zip(before, own, strict=False))
            for name, own in after.items()
        }
        found[question] = {
            "verdicts": {name: dict(sorted(own.items())) for name, own in words.items()},
            "fixed called fixed": f"{words['fixed']['fixed']} of {len(after['fixed'])}",
            "others called fixed": f"{sum(own['fixed'] for name, own in words.items() if name != 'fixed')} of {PAIRS}",
        }
    return found


def _verdict(before: Table, after: Table, sides: Sides) -> Verdict:
    """Judge a pair as `compare_runs` does without a second pass."""
    movement = difference(balance(before[0], sides), balance(after[0], sides), sides.bounds)
    floor = max(1 / 255, least_effect(MIN_EFFECT, room(before[0], sides)))
    reason = Axis("reason", movement, floor, summarise(right_reasons(after[0], sides)), GOOD_REASON, SLACK)
    change = accuracy_change(before[1], after[1])
    return Verdict(reason, Axis("accuracy", change, MIN_EFFECT, summarise(after[1]), GOOD_ACCURACY, SLACK))


def _drawn(rho: float, seed: int) -> Table:
    return _table(cues.train(cues.draw(TRAIN, rho, seed), seed), cues.draw(TEST, 0.0, 9999))


class _Digits:
    """Digits of 8 × 8 pixels drawn at 32 × 32, with a coloured patch in the corner."""

    def __init__(self) -> None:
        found: Any = load_digits()
        self.images, self.labels = found.images, found.target.astype(np.int64)
        order = np.random.default_rng(7).permutation(len(self.labels))
        self.test, self.train = order[:TEST], order[TEST:]

    def table(self, rho: float, seed: int) -> Table:
        network = cues.train(self.draw(self.train, rho, seed), seed, classes=len(_COLOURS))
        return _table(network, self.draw(self.test, 0.0, 9999))

    def draw(self, rows: NDArray[np.int64], rho: float, seed: int) -> cues.Pictures:
        """Draw digits whose patch has the colour of the class with probability ``rho``, else a random colour."""
        rng = np.random.default_rng(seed)
        size, patch = cues.SIZE, cues.PATCH
        images = np.zeros((len(rows), size, size, 3), np.uint8)
        masks = np.zeros((len(rows), size, size), np.uint8)
        for k, row in enumerate(rows):
            digit = cv2.resize((self.images[row] * 15).astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)
            images[k] = digit[:, :, None]
            masks[k][digit > 60] = 1
            colour = self.labels[row] if rng.random() < rho else rng.integers(0, len(_COLOURS))
            images[k, :patch, :patch] = _COLOURS[colour]
            masks[k, :patch, :patch] = 2
            images[k] = np.clip(images[k] + rng.normal(0, 10, images[k].shape), 0, 255)
        return cues.Pictures(images, self.labels[rows], masks)


_COLOURS = (
    (230, 60, 60),
    (60, 200, 80),
    (70, 90, 230),
    (230, 200, 60),
    (200, 70, 220),
    (60, 210, 220),
    (240, 140, 40),
    (150, 100, 60),
    (160, 220, 120),
    (240, 240, 240),
)


def _table(network: nn.Module, pictures: cues.Pictures) -> Table:
    """Measure where a network looks, by Grad-CAM of its last convolution, and what it gets right."""
    maps, predictions = _grad_cam(network, torch.from_numpy(pictures.images).permute(0, 3, 1, 2).float() / 255)
    shares: dict[str, list[float | None]] = {}
    areas: dict[str, list[float | None]] = {}
    for value, name in NAMES.items():
        masks = (pictures.masks == value).astype(np.float32)
        shares[name] = [evidence_share(one, mask) for one, mask in zip(maps, masks, strict=True)]
        areas[name] = [area_share(mask) for mask in masks]
    ids = [str(i) for i in range(len(maps))]
    truths, answers = ([str(label) for label in labels] for labels in (pictures.labels, predictions))
    right: list[float | None] = [float(truth == answer) for truth, answer in zip(truths, answers, strict=True)]
    return Evidence("saliency", "regions", ids, truths, answers, shares, areas), right


def _grad_cam(network: nn.Module, images: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the maps (N, H, W) and the predictions (N,): all pictures at once, which a run does in batches."""
    layers = list(network.children())
    trunk, head = nn.Sequential(*layers[:-3]), nn.Sequential(*layers[-3:])
    features = trunk(images).detach().requires_grad_(True)
    logits = head(features)
    predictions = logits.argmax(1)
    (gradients,) = torch.autograd.grad(logits.gather(1, predictions[:, None]).sum(), features)
    maps = (gradients.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
    maps = interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return maps.detach().numpy(), predictions.numpy()


def _mean(values: Sequence[float | None]) -> float:
    defined = [value for value in values if value is not None]
    return round(sum(defined) / len(defined), 4)
