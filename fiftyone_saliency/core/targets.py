"""What a map explains, written by a person and resolved for one sample."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_saliency.core.errors import ArgumentError, TargetError, UnknownNameError
from fiftyone_saliency.core.types import SampleItem, Target

TOP = re.compile(r"top-([1-9]\d*)")
PREDICTED = "predicted"
GROUND_TRUTH = "ground_truth"
CONTRAST = "contrast"
MINUS = " - "


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target as written: ``plus``, or ``plus`` minus ``minus``.

    Each side is ``"predicted"``, ``"ground_truth"``, ``"top-k"`` (the class of the k-th highest logit) or the name
    of a class.
    """

    plus: str
    minus: str | None = None

    @property
    def sides(self) -> tuple[str, ...]:
        """The one or two sides."""
        return (self.plus,) if self.minus is None else (self.plus, self.minus)

    def depth(self, classes: Sequence[str], stored_predictions: bool = True) -> int:
        """Return how many of the model's highest logits decide the target; 0 if they do not."""
        tops = [int(top[1]) for side in self.sides if side not in classes and (top := TOP.fullmatch(side))]
        return max([*tops, int(PREDICTED in self.sides and not stored_predictions)])

    def resolve(self, item: SampleItem, classes: Sequence[str], ranking: Sequence[int] | None = None) -> Target:
        """Resolve the target for one sample.

        Args:
            item: the sample.
            classes: the model's class names, in the order of its logits.
            ranking: columns of the model's logits from the highest on; used by "top-k", and by "predicted" where
                no prediction is stored.

        Returns:
            The target, with columns of the logits.

        Raises:
            TargetError: if the sample lacks the label, the class is not the model's, or a contrast is empty.
        """
        columns = [_column(side, item, classes, ranking) for side in self.sides]
        if self.minus is None:
            return Target(columns[0], classes[columns[0]])
        if columns[0] == columns[1]:
            raise TargetError(f"both sides of the contrast are {classes[columns[0]]!r}")
        return Target(columns[0], f"{classes[columns[0]]} − {classes[columns[1]]}", columns[1])


def parse_target(text: Any, classes: Sequence[str]) -> TargetSpec:
    """Read a target such as ``"predicted"``, ``"top-2"``, ``"cake"``, ``"contrast"`` or ``"chocolate - cake"``.

    ``"contrast"`` stands for ``"predicted - ground_truth"``: why this answer *rather than* the right one.

    Args:
        text: the target.
        classes: the model's class names.

    Returns:
        The parsed target.

    Raises:
        ArgumentError: if ``text`` is not a string, or "contrast" is ambiguous.
        UnknownNameError: if a side names no class.
    """
    if not isinstance(text, str):
        raise ArgumentError(
            f"Expected `target` to be a string, but got {text!r}. "
            'Use "predicted", "ground_truth", "contrast", "top-2", a class name or "a - b".'
        )
    if text in classes:
        return TargetSpec(text)
    if text == CONTRAST:
        for word in (PREDICTED, GROUND_TRUTH):
            if word in classes:
                raise ArgumentError(
                    f"Expected `target` to be unambiguous, but {CONTRAST!r} names {word!r}, which is also a class. "
                    'Name two classes: "a - b".'
                )
        return TargetSpec(PREDICTED, GROUND_TRUTH)
    words = {PREDICTED, GROUND_TRUTH, *classes}
    tops = [f"top-{k}" for k in range(1, len(classes) + 1)]
    known = words.union(tops)
    if text in known:
        return TargetSpec(text)
    for left, right in _splits(text):
        if left in known and right in known:
            return TargetSpec(left, right)
    # Of a thousand ranks, the first ones say it.
    raise UnknownNameError("target", text, {*words, CONTRAST, *tops[:3]})


def _splits(text: str) -> list[tuple[str, str]]:
    """Every way to cut at " - ": a class name may itself contain it."""
    parts = text.split(MINUS)
    return [(MINUS.join(parts[:i]), MINUS.join(parts[i:])) for i in range(1, len(parts))]


def _column(side: str, item: SampleItem, classes: Sequence[str], ranking: Sequence[int] | None) -> int:
    if side in classes:
        return classes.index(side)
    top = TOP.fullmatch(side)
    if top and ranking is not None:
        return ranking[int(top[1]) - 1]
    label = item.truth if side == GROUND_TRUTH else item.predicted
    if side == PREDICTED and label is None and ranking is not None:
        return ranking[0]
    if label is None:
        raise TargetError("the sample has no ground truth" if side == GROUND_TRUTH else "the sample has no prediction")
    if label not in classes:
        raise TargetError(f"the label {label!r} is not among the model's {len(classes)} classes")
    return classes.index(label)
