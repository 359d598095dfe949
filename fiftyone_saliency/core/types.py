"""The values that travel: where a map lies, what it explains, which run it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiftyone_saliency.core.checks import check_choice, check_seed
from fiftyone_saliency.core.errors import ArgumentError

Sign = Literal["positive", "absolute", "signed"]
SIGNS: tuple[Sign, ...] = ("positive", "absolute", "signed")
Output = Literal["logits", "softmax", "sigmoid"]
OUTPUTS: tuple[Output, ...] = ("logits", "softmax", "sigmoid")
Scores = Literal["logits", "probabilities", "sigmoid"]
SCORES: tuple[Scores, ...] = ("logits", "probabilities", "sigmoid")
Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SEED = 51
Window = tuple[float, float, float, float]
"""A part of an image: left, top, width and height, in image widths and heights."""
WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the network's input frame lies in the original image.

    All four numbers are relative to the image: ``(0, 0, 1, 1)`` is the whole image. A centre crop lies inside
    the image; a letterbox reaches beyond it (negative ``x``, or ``width`` above 1).

    Args:
        x: left edge of the input frame, in image widths.
        y: top edge of the input frame, in image heights.
        width: width of the input frame, in image widths, above 0.
        height: height of the input frame, in image heights, above 0.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.width, self.height)
        if not np.isfinite(numbers).all() or self.width <= 0 or self.height <= 0:
            raise ArgumentError(
                f"Expected a `Placement` of finite numbers and positive size, but got {numbers}. "
                "The preprocessing must keep the image upright: resize, crop and pad only."
            )

    @property
    def seen(self) -> Window:
        """The part of the image that the network sees: left, top, width and height, in image widths and heights.

        Padding lies outside of the image and is no part of it.
        """
        left, top = max(0.0, self.x), max(0.0, self.y)
        right, bottom = min(1.0, self.x + self.width), min(1.0, self.y + self.height)
        return left, top, max(0.0, right - left), max(0.0, bottom - top)


@dataclass(frozen=True, slots=True)
class Target:
    """What one map explains: one logit, or the difference of two.

    Args:
        index: column of the logits whose evidence is shown.
        label: what a person reads, such as ``"cake"`` or ``"chocolate − cake"``.
        minus: column that is subtracted (a contrast), or None.
    """

    index: int
    label: str
    minus: int | None = None


@dataclass(frozen=True, slots=True)
class SaliencyRequest:
    """Everything that decides the pixels of a run; its ``key`` names the run.

    Args:
        field: the sample field that takes the heatmaps.
        method: the method's registered name.
        params: the method's parameters, as JSON values.
        model: fingerprint of weights, architecture, layer and preprocessing.
        target: the target as written by the user, such as ``"predicted"``.
        gt_field: field of the true labels, if the target needs it.
        pred_field: field of the predicted labels, if the target needs it.
        sign: which evidence is stored: ``"positive"``, ``"absolute"`` or ``"signed"``.
        seed: seed of stochastic methods, at least 0.
        output: whether logits or probabilities are explained: ``"softmax"`` of classes that exclude each other,
            ``"sigmoid"`` of others.
        precision: number format of the network's trunk: ``"float32"`` leaves the network's own, ``"bfloat16"`` runs
            the trunk in bfloat16 and the head in float32.
        revision: raised when the same request would give other pixels than before.
        serial: 0, or more where another run of the dataset has the key that the request would have: it was made for
            this field, which was renamed since.
    """

    field: str
    method: str
    params: Mapping[str, Any]
    model: str
    target: str = "predicted"
    gt_field: str | None = None
    pred_field: str | None = None
    sign: Sign = "positive"
    seed: int = SEED
    output: Output = "logits"
    precision: Precision = "float32"
    revision: int = 2
    serial: int = 0

    def __post_init__(self) -> None:
        check_choice(self.sign, "sign", SIGNS)
        check_choice(self.output, "output", OUTPUTS)
        check_choice(self.precision, "precision", PRECISIONS)
        check_seed(self.seed)

    def to_json(self) -> dict[str, Any]:
        """Return the request as plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"params": dict(self.params)}

    @property
    def key(self) -> str:
        """The run's key: the method's name and 10 hexadecimal digits of a hash over the whole request."""
        parts = {name: value for name, value in self.to_json().items() if name != "serial" or value}
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return f"{self.method}_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap:
    """One sample's map, in the frame of the original image.

    Args:
        sample_id: id of the sample.
        target: what the map explains.
        values: float32 (H, W), signed, in units of the score; positive values speak for the target.
        score: the explained score (logit or probability, or the difference of two).
        delta: how far the map is from adding up to the score, as a share of what it should add up to; None for
            methods that do not promise it.
        seen: the part of the image that the network saw; the map is 0 elsewhere.
    """

    sample_id: str
    target: Target
    values: NDArray[np.float32]
    score: float
    delta: float | None = None
    seen: Window = WHOLE


@dataclass(frozen=True, slots=True)
class Failure:
    """One sample that has no map, and why.

    Args:
        sample_id: id of the sample.
        filepath: the sample's image.
        reason: one sentence.
        kind: ``"error"`` for what broke, ``"skip"`` for a sample that has nothing to explain.
    """

    sample_id: str
    filepath: str
    reason: str
    kind: Literal["error", "skip"] = "error"

    def to_json(self) -> dict[str, str]:
        """Return the failure as plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class SampleItem:
    """What the computation needs to know of a sample.

    Args:
        id: the sample's id.
        filepath: the image on disk.
        truth: label of the ground truth, or None.
        predicted: label of the prediction, or None.
    """

    id: str
    filepath: str
    truth: str | None = None
    predicted: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the samples of one call.

    Args:
        done: samples that now carry a map of the run.
        skipped: samples that have nothing to explain, such as no label.
        failed: samples whose image or map broke.
        resumed: samples among those done that carried their map before the call.
        no_evidence: samples among those done whose map is empty.
        incomplete: samples among those done whose map misses what it should add up to by more than 5 %.
        changed: samples whose map was of another image than the one that is there now, so that it was made again.
        damaged: samples whose map's file was missing or broken, so that it was made again.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    resumed: int = 0
    no_evidence: int = 0
    incomplete: int = 0
    changed: int = 0
    damaged: int = 0

    def to_json(self) -> dict[str, int]:
        """Return the counts as plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Prediction:
    """One sample's predicted class.

    Args:
        sample_id: id of the sample.
        label: the class with the highest logit.
        confidence: its probability, in [0, 1].
        logits: one per class, float32 (K,).
    """

    sample_id: str
    label: str
    confidence: float
    logits: NDArray[np.float32] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """What a model says of one sample, where classes do not exclude each other.

    Args:
        sample_id: id of the sample.
        labels: the labels whose probability reaches the threshold, the most probable first; there may be none.
        confidences: their sigmoid probabilities, in [0, 1].
        logits: one per class, float32 (K,).
    """

    sample_id: str
    labels: tuple[str, ...]
    confidences: tuple[float, ...]
    logits: NDArray[np.float32] = field(repr=False, compare=False)
